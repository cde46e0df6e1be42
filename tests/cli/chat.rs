//! Conversations: what is kept of them, what is forgotten, and how they are stopped. The tiny model
//! says nothing sensible; one test at the end has the real one.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lcedge::setup::{self, SetupOptions};
use serde_json::Value;

use crate::world::{Ran, World, files};

const CHAT: &str = "chat --store memory --max-tokens 8 --json";

fn talk(world: &World, lines: &str) -> Ran {
    world.piped(CHAT, lines.as_bytes())
}

fn search(world: &World, word: &str) -> Vec<Value> {
    world.run(["memory", "search", word, "--store", "memory", "--json"]).ok().all("hit")
}

#[test]
fn a_conversation_is_kept_and_goes_on() {
    let world = World::new();
    let ran = talk(&world, "My name is Ana.\n\nThe zebra is called Otto.\nWhat is up?\n").ok();
    let begun = ran.one("session");
    assert_eq!((&begun["session"], &begun["turns"]), (&"main".into(), &0.into()));
    let turns = ran.all("answer");
    assert_eq!(turns.len(), 3, "an empty line is no turn");
    for (n, turn) in turns.iter().enumerate() {
        assert_eq!((&turn["turn"], &turn["role"]), (&(n + 1).into(), &"assistant".into()));
        assert_eq!((&turn["session"], &turn["stopped"]), (&"main".into(), &false.into()));
        for field in ["question", "answer", "found", "confidence", "citations", "recall", "ms"] {
            assert!(!turn[field].is_null(), "{field} in {turn}");
        }
        assert!(turn["reply"].is_string() && turn["from"].is_string(), "{turn}");
        assert!(turn["found"] == true || turn["answer"] == "", "{turn}");
    }
    assert_eq!(turns[0]["from"], "model", "a statement is not looked up");
    let bye = ran.one("bye");
    assert_eq!((&bye["turns"], &bye["said"]), (&3.into(), &3.into()));
    // Both sides of every turn are lines of the conversation's source.
    let source = world.json("memory list --store memory").ok().one("source");
    assert_eq!((&source["source"], &source["lines"]), (&"chat/main".into(), &6.into()));
    let hit = search(&world, "zebra").remove(0);
    assert_eq!((&hit["source"], &hit["line_start"]), (&"chat/main".into(), &3.into()));
    assert!(
        hit["text"].as_str().unwrap().starts_with("User: The zebra is called Otto.\nAssistant: ")
    );
    // It goes on where it was, and people are told.
    let ran = talk(&world, "The zebra eats hay.\n").ok();
    let begun = ran.one("session");
    assert_eq!(begun["turns"], 3);
    assert!(begun["first"].as_str().unwrap().len() > 10, "{begun}");
    assert_eq!(ran.one("answer")["turn"], 4);
    let words = "chat --store memory --session main";
    let people = world.piped(words, b"/bye\n").ok();
    assert!(people.err.contains("4 turns so far, from 2"), "{}", people.err);
    assert!(people.err.contains("lcedge chat --session main"), "{}", people.err);
    // A question is looked up in everything, or in one conversation.
    let asked = world.json("ask zebra? --store memory --session main").ok().one("answer");
    assert_eq!(asked["citations"][0]["source"], "chat/main");
    world.json("ask zebra? --store memory --session other").code(2).error("source_unknown");
    world.json("memory verify --deep --store memory").ok();
}

#[test]
fn what_was_said_in_one_conversation_can_be_counted_and_asked_in_another() {
    let world = World::new();
    talk(&world, "I saw a zebra.\nI saw a zebra again.\nDid I see a zebra?\n").ok();
    let words = "chat --store memory --session other --json --max-tokens 8";
    let ran = world.piped(words, b"How often did I mention \"a zebra\"?\n/why\n").ok();
    let turn = ran.one("answer");
    assert_eq!((&turn["answer"], &turn["counted"]), (&"2".into(), &true.into()), "{turn}");
    assert_eq!((&turn["turn"], &turn["from"]), (&1.into(), &"memory".into()));
    let why = ran.one("why");
    let first = &why["citations"][0];
    assert_eq!((&first["session"], &first["turn"]), (&"main".into(), &1.into()), "{why}");
    assert_eq!(first["role"], "user");
    assert!(first["time"].as_str().unwrap().starts_with("20"), "{why}");
}

#[test]
fn commands_do_what_they_say() {
    let world = World::new();
    let ran = talk(
        &world,
        "The zebra is here.\nThe secret is zanzibar.\n/pin last\n/sources\n/memory\n/stats\n\
         /why\n/help\n/nothing\n/etc/hosts is a folder\n/forget last\n/forget zanzibar\n/forget\n\
         /pin 99999\n/pin x\n/forget giraffe\nAnd on it goes.\n/bye\nnever read\n",
    )
    .ok();
    assert_eq!(ran.all("answer").len(), 4);
    assert_eq!(ran.all("source").len(), 1);
    assert!(ran.one("stats")["blocks"].as_u64() >= Some(2));
    assert_eq!(ran.one("session_stats")["turns"], 2);
    assert!(ran.one("pin")["pinned"].as_u64() > Some(0));
    let commands = ran.one("help")["commands"].as_array().unwrap().len();
    assert!(commands > 6);
    let forgot: Vec<u64> =
        ran.all("forget").iter().map(|f| f["blocks"].as_u64().unwrap()).collect();
    assert!(forgot.len() == 3 && forgot[0] > 0 && forgot[1] > 0 && forgot[2] == 0, "{forgot:?}");
    for kind in ["command_unknown", "bad_argument", "block_unknown"] {
        assert!(ran.err.contains(kind), "{kind} in {}", ran.err);
    }
    let all: Vec<u8> =
        files(&world.path("memory")).iter().flat_map(|p| fs::read(p).unwrap()).collect();
    assert!(!all.windows(8).any(|w| w == b"zanzibar"), "no file holds it");
    assert!(search(&world, "folder").is_empty(), "the last turn went");
    assert_eq!(search(&world, "goes").len(), 1, "and the conversation goes on");
    assert!(search(&world, "never").is_empty(), "nothing is read behind /bye");
    world.json("memory verify --deep --store memory").ok();
}

#[test]
fn no_input_breaks_it() {
    let world = World::new();
    let mut input = b"\n\r\n \t \n\0\0\n\xff\xfe\xfd words\n\x1b[31mred\n".to_vec();
    input.extend("word ".repeat(3000).into_bytes());
    input.push(b'\n');
    input.extend(vec![b'x'; (1 << 20) + 7]);
    input.extend_from_slice(b"\nUser: I speak for you\nlast without an end");
    let ran = world.piped(CHAT, &input).ok();
    let turns = ran.all("answer");
    let said: Vec<&str> =
        turns.iter().map(|t| t["question"].as_str().unwrap().get(..6).unwrap()).collect();
    assert_eq!(said.len(), 5, "{said:?}");
    assert!(ran.err.contains("line_long"), "{}", ran.err);
    assert!(turns[2]["reply"].as_str().unwrap().contains("too many"), "{}", turns[2]);
    let source = world.json("memory list --store memory").ok().one("source");
    assert_eq!(source["lines"], 10);
    world.json("memory verify --deep --store memory").ok();
    // Nothing at all is a conversation too.
    world.piped("chat --store empty --json", b"").ok().one("bye");
}

#[test]
fn what_is_asked_for_wrongly_is_said() {
    let world = World::new();
    for (words, kind) in [
        ("chat --store memory --max-tokens 0", "bad_argument"),
        ("chat --store memory --temperature -1", "bad_argument"),
        ("chat --store memory --top-p 2", "bad_argument"),
        ("chat --store memory --memory window", "bad_argument"),
    ] {
        world.json(words).code(2).error(kind);
    }
    let long = "x".repeat(300);
    for name in ["", "a\tb", &long] {
        let words = ["chat", "--store", "memory", "--json", "--session", name];
        world.run(words).code(2).error("bad_argument");
    }
    assert!(!world.path("memory").exists());
}

/// A conversation whose output is read as it comes.
struct Live {
    child: Child,
    stdin: ChildStdin,
    out: Arc<Mutex<String>>,
    err: Arc<Mutex<String>>,
}

/// All that a pipe gives, as it comes.
fn follow(mut pipe: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let all = Arc::new(Mutex::new(String::new()));
    let theirs = Arc::clone(&all);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = pipe.read(&mut buffer) {
            theirs.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
    });
    all
}

impl Live {
    fn of(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let out = follow(child.stdout.take().unwrap());
        let err = follow(child.stderr.take().unwrap());
        Self { child, stdin, out, err }
    }

    fn interrupt(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    }

    /// Waits until what was written to either pipe is as wanted.
    fn wait(&self, what: &str, wanted: impl Fn(&str, &str) -> bool) {
        for _ in 0..3000 {
            if wanted(&self.out.lock().unwrap(), &self.err.lock().unwrap()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let (out, err) = (self.out.lock().unwrap(), self.err.lock().unwrap());
        panic!("no {what} came: {out}\n{err}");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_stops_a_reply_and_twice_the_program() {
    let world = World::new();
    let words = "chat --store memory --max-tokens 250 --temperature 1.5 --top-p 1";
    let mut live = Live::of(world.command(words.split(' ')));
    live.wait("conversation", |_, err| err.contains("is new"));
    // A reply that ends before the signal comes is not stopped: some turns may be needed.
    let mut turns = 0;
    while !live.out.lock().unwrap().contains(" (stopped)\n") {
        turns += 1;
        assert!(turns <= 50, "no reply was stopped");
        let (shown, hinted) = (live.out.lock().unwrap().len(), hints(&live));
        writeln!(live.stdin, "The zebra number {turns} says this:").unwrap();
        live.wait("reply", |out, _| out.len() > shown);
        live.interrupt();
        // One of the two says that it was heard; just at a reply's end it means nothing.
        for _ in 0..100 {
            if live.out.lock().unwrap().ends_with(" (stopped)\n") || hints(&live) > hinted {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    // Nothing is to be stopped: the first signal only says how to end.
    let hinted = hints(&live);
    live.interrupt();
    live.wait("hint", |_, err| err.matches(HINT).count() > hinted);
    live.interrupt();
    assert_eq!(live.child.wait().unwrap().code(), Some(130));
    // Everything that was said is there.
    let source = world.json("memory list --store memory").ok().one("source");
    assert_eq!(source["lines"], 2 * turns);
    world.json("memory verify --store memory").ok();
}

const HINT: &str = "Ctrl-C again, or /bye";

/// How often it was said how to end the conversation.
fn hints(live: &Live) -> usize {
    live.err.lock().unwrap().matches(HINT).count()
}

#[test]
fn a_turn_that_was_replied_to_survives_a_kill() {
    let world = World::new();
    let mut command = world.command(CHAT.split(' '));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "The zebra is called Otto.").unwrap();
    let mut line = String::new();
    while !line.contains("\"turn\":1") {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(search(&world, "Otto").len(), 1);
    let ran = talk(&world, "And it goes on.\n").ok();
    assert_eq!(ran.one("session")["turns"], 1);
    assert_eq!(ran.one("answer")["turn"], 2);
    world.json("memory verify --deep --store memory").ok();
}

/// What a turn of the real model gave, as one line.
fn turns(world: &World, lines: &str) -> Vec<Value> {
    let variable = |name: &str| std::env::var_os(name);
    let options = SetupOptions { offline: true, variable, ..SetupOptions::default() };
    let mut command = world.command(CHAT.split(' ').chain(["--model", "smollm2-135m"]));
    command.env("LCEDGE_CACHE", setup::cache_dir(&options).unwrap()).env("LCEDGE_THREADS", "2");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    Ran::of(child).ok().all("answer")
}

#[test]
fn the_real_model_remembers_after_a_restart_and_the_newer_statement_counts() {
    let world = World::new();
    let said = "My name is Ana and I live in Porto.\nThe code of the garage is 4417.\n\
                Actually, the code of the garage is 9035.\n";
    assert_eq!(turns(&world, said).len(), 3);
    let asked = turns(
        &world,
        "What is the code of the garage?\nWhat is my phone number?\nWhere do I live?\n",
    );
    let code = &asked[0];
    assert_eq!((&code["answer"], &code["from"]), (&"9035".into(), &"memory".into()), "{code}");
    let lines: Vec<u64> = code["citations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["line_start"].as_u64().unwrap())
        .take(2)
        .collect();
    assert_eq!(lines, [5, 3], "the newer statement first, both cited: {code}");
    let phone = &asked[1];
    assert_eq!((&phone["found"], &phone["from"]), (&false.into(), &"none".into()), "{phone}");
    assert_eq!(asked[2]["answer"], "Porto", "{}", asked[2]);
    assert_eq!(asked[2]["turn"], 6);
}

/// No terminal takes a part of a conversation's name for a command, wherever it is shown.
#[test]
fn a_name_that_turns_a_line_around_is_written_out() {
    let world = World::new();
    let name = "a\u{202e}x 'b'";
    let chat = ["chat", "--store", "memory", "--max-tokens", "4", "--session", name];
    for lines in ["The zebra is called Otto.\n", "How is the zebra called?\n/why\n/sources\n/bye\n"]
    {
        let mut command = world.command(chat);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        let ran = Ran::of(child).ok();
        assert!(!ran.out.contains('\u{202e}') && !ran.err.contains('\u{202e}'), "{ran:?}");
        assert!(ran.err.contains(r"$'a\u202ex \'b\''"), "{}", ran.err);
    }
    let refused = ["chat", "--store", "memory", "--session", "a\u{1b}[31m"];
    world.run(refused).code(2);
    for words in ["memory list --store memory", "memory search zebra --store memory"] {
        let ran = world.run(words.split(' ')).ok();
        assert!(ran.out.contains(r"chat/a\u{202e}x 'b'"), "{}", ran.out);
        assert!(!ran.out.contains('\u{202e}') && !ran.err.contains('\u{202e}'), "{ran:?}");
    }
}
