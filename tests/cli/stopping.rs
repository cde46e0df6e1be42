//! Ctrl-C, SIGTERM, and files that grow.

#![cfg(unix)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::world::{Ran, World};

fn signal(child: &Child, name: &str) {
    let done = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(done.success());
}

/// Starts a run and waits for its first line.
fn started(world: &World, words: &str) -> (Child, BufReader<ChildStdout>, String) {
    let mut command = world.command(words.split(' '));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    out.read_line(&mut first).unwrap();
    (child, out, first)
}

/// What a run that was started gave in all.
fn ended(child: Child, out: BufReader<ChildStdout>, first: &str) -> Ran {
    let rest: String = out.lines().map(|line| line.unwrap() + "\n").collect();
    Ran { out: format!("{first}{rest}"), ..Ran::of(child) }
}

#[test]
fn ctrl_c_stops_well_and_a_second_run_continues() {
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        let world = World::new();
        let text = World::log(3000);
        world.write("a.log", &text);
        let words = "stream --input a.log --store memory --json";
        let (child, out, first) = started(&world, words);
        assert!(first.contains("progress"), "{first}");
        let asked = Instant::now();
        signal(&child, name);
        let ran = ended(child, out, &first).code(code);
        assert!(asked.elapsed() < Duration::from_secs(10));
        let before = ran.summary()["bytes"].as_u64().unwrap();
        assert!(before > 0 && before < text.len() as u64, "{before}");
        let listed = world.json("memory list --store memory").ok().one("source");
        assert_eq!((&listed["bytes"], &listed["complete"]), (&before.into(), &false.into()));
        // The rest is read, once.
        let ran = world.run(words.split(' ')).ok();
        let after = ran.summary()["bytes"].as_u64().unwrap();
        assert_eq!(before + after, text.len() as u64);
        let listed = world.json("memory list --store memory").ok().one("source");
        assert_eq!((&listed["lines"], &listed["complete"]), (&3000.into(), &true.into()));
        world.json("memory verify --store memory").ok();
    }
}

#[test]
fn a_temporary_memory_is_removed_after_ctrl_c() {
    let world = World::new();
    world.write("a.log", World::log(3000));
    let (child, out, first) = started(&world, "stream --input a.log --json");
    signal(&child, "-INT");
    ended(child, out, &first).code(130);
    world.nothing_left();
}

#[test]
fn a_silent_standard_input_can_be_given_up() {
    let world = World::new();
    let mut command = world.command(["stream", "--input", "-", "--json"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(World::log(20).as_bytes()).unwrap();
    std::thread::sleep(Duration::from_secs(4));
    signal(&child, "-INT");
    let ran = Ran::of(child).code(130);
    // After two quiet seconds what had come was taken in.
    assert_eq!(ran.summary()["bytes"], World::log(20).len());
    drop(stdin);
}

/// Waits until the memory has what is looked for.
fn wait_for(world: &World, words: &str) -> bool {
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        let found = world.run(["memory", "search", words, "--store", "memory", "--json"]);
        if found.out.contains(words) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    false
}

#[test]
fn a_file_that_grows_is_followed_also_through_rotation() {
    let world = World::new();
    world.write("a.log", World::log(30));
    let mut command = world.command([
        "stream", "--input", "a.log", "--store", "memory", "--follow", "--ask", "Who?", "--json",
    ]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    assert!(wait_for(&world, "park"), "what is there is read");
    let mut file = fs::OpenOptions::new().append(true).open(world.path("a.log")).unwrap();
    file.write_all(b"a zebra came to the garden\n").unwrap();
    assert!(wait_for(&world, "zebra"), "what is added is read");
    fs::rename(world.path("a.log"), world.path("a.log.1")).unwrap();
    world.write("a.log", "a giraffe came to the garden\n");
    assert!(wait_for(&world, "giraffe"), "the new file of the name is read");
    signal(&child, "-INT");
    let ran = Ran::of(child).code(130);
    ran.summary();
    assert_eq!(ran.all("answer").len(), 1, "asked when it had caught up");
    let listed = world.json("memory list --store memory").ok().all("source");
    assert_eq!(listed.len(), 2, "{listed:?}");
}

#[test]
fn an_evaluation_that_is_stopped_has_no_figures_and_leaves_nothing() {
    let world = World::new();
    let sample = serde_json::json!({"context": World::log(40), "input": "Who?", "answer": "Tom"});
    world.write("many.jsonl", format!("{sample}\n").repeat(500));
    let (child, out, first) = started(&world, "eval passkey --data many.jsonl --json");
    assert!(first.contains("row"), "{first}");
    signal(&child, "-INT");
    let ran = ended(child, out, &first).code(130);
    assert!(ran.all("eval").is_empty());
    ran.error("stopped");
    world.nothing_left();
}
