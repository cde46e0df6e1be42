//! Stores that are not what they should be, and looking into those that are.

use std::fs;
use std::process::{Command, Stdio};

use crate::world::{World, finish};

#[test]
fn a_store_that_is_a_file_is_refused() {
    let world = World::new();
    world.write("a.log", World::log(5));
    world.write("memory", "a file");
    let error =
        world.json("stream --input a.log --store memory").code(2).error("store_not_a_directory");
    assert!(error["message"].as_str().unwrap().contains("memory"), "{error}");
    assert_eq!(fs::read(world.path("memory")).unwrap(), b"a file", "left as it was");
    fs::create_dir(world.path("other")).unwrap();
    world.write("other/thing.txt", "x");
    world.json("stream --input a.log --store other").code(2).error("store_not_a_store");
}

#[test]
fn a_store_of_another_model_is_refused() {
    let world = World::stored(20);
    let words = "ask Who? --store memory --weights int8";
    let error = world.json(words).code(2).error("store_foreign");
    assert!(error["hint"].as_str().unwrap().contains("--store"), "{error}");
    world.json("stream --input a.log --store memory --weights int8").code(2).error("store_foreign");
    world.json("memory verify --deep --store memory").ok();
}

#[test]
fn a_truncated_segment_is_found_and_the_rest_still_answers() {
    let world = World::stored(200);
    let whole = world.json("memory verify --store memory").ok().one("verify");
    assert_eq!((&whole["ok"], &whole["corrupt"]), (&true.into(), &0.into()));
    let segment = world.segment();
    let length = segment.metadata().unwrap().len();
    fs::OpenOptions::new().write(true).open(&segment).unwrap().set_len(length / 2).unwrap();
    let broken = world.json("memory verify --store memory").code(1).one("verify");
    assert_eq!(broken["ok"], false);
    assert!(!broken["problems"].as_array().unwrap().is_empty());
    assert!(broken["blocks"].as_u64() < whole["blocks"].as_u64());
    let people = world.run(["memory", "verify", "--store", "memory"]).code(1);
    assert!(people.out.contains("Damage was found"), "{}", people.out);
    // What is whole is served, and reading goes on.
    let answer = world.json("ask Lily --store memory").ok().one("answer");
    assert!(!answer["citations"].as_array().unwrap().is_empty());
    world.json("memory rebuild --store memory").ok().one("rebuild");
    world.json("stream --input a.log --store memory").ok();
}

#[test]
fn a_flipped_byte_is_found_by_a_deep_look() {
    let world = World::stored(60);
    let segment = world.segment();
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let found = world.json("memory verify --deep --store memory").code(1).one("verify");
    assert!(found["corrupt"].as_u64() >= Some(1), "{found}");
}

#[test]
fn one_writer_at_a_time() {
    let world = World::stored(20);
    let follow = ["stream", "--input", "a.log", "--store", "memory", "--follow"];
    let mut command = world.command(follow);
    let mut first = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let locked = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        world.json("stream --input a.log --store memory").err.contains("store_locked")
    });
    // Looking needs no lock.
    let stats = world.json("memory stats --store memory");
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(locked);
    assert!(stats.ok().one("stats")["blocks"].as_u64() > Some(0));
}

#[cfg(unix)]
#[test]
fn a_full_disk_ends_in_a_clear_error_and_what_is_stored_stays() {
    let world = World::new();
    world.write("a.log", World::log(40));
    world.json("stream --input a.log --store memory").ok();
    world.write("a.log", World::log(2000));
    // Files may not grow beyond so many KiB: the same as a disk without room.
    let limit = "trap '' XFSZ; ulimit -f 1000; exec \"$0\" \"$@\"";
    let mut shell = Command::new("bash");
    world.dress(&mut shell);
    shell.args(["-c", limit, env!("CARGO_BIN_EXE_lcedge")]);
    shell.args(["stream", "--input", "a.log", "--store", "memory", "--json"]);
    let ran = finish(shell.stdin(Stdio::null())).code(2);
    let last = ran.err.lines().last().unwrap_or_default().to_owned();
    assert!(last.contains("\"event\":\"error\""), "{}", ran.err);
    assert!(last.contains("no_space"), "{last}");
    // With room again nothing is lost: the rest is read, and all of it is there.
    let again = world.json("stream --input a.log --store memory").ok();
    again.summary();
    let listed = world.json("memory list --store memory").ok().all("source");
    assert!(listed.iter().any(|s| s["lines"] == 2000 && s["complete"] == true), "{listed:?}");
    world.json("memory verify --store memory").ok();
}

#[test]
fn the_disk_budget_is_kept() {
    let world = World::new();
    world.write("a.log", World::log(400));
    let ran = world.json("stream --input a.log --store memory --disk 600KiB");
    let bytes: u64 = crate::world::files(&world.path("memory"))
        .iter()
        .map(|p| p.metadata().unwrap().len())
        .sum();
    // The catalogue's log may pass the line for a moment.
    assert!(bytes < 1 << 20, "{bytes} {ran:?}");
    let last = ran.events().pop().unwrap();
    let fates = &last["fates"];
    let total: u64 = fates.as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(Some(total), last["tokens"].as_u64(), "{last}");
    if fates["dropped"] != 0 {
        assert!(ran.err.contains("warning"), "what is dropped is said: {}", ran.err);
    }
}

#[test]
fn a_memory_can_be_looked_into() {
    let world = World::stored(100);
    let source = world.json("memory list --store memory").ok().one("source");
    assert_eq!((&source["source"], &source["lines"]), (&"a.log".into(), &100.into()));
    let stats = world.json("memory stats --store memory").ok().one("stats");
    assert!(stats["blocks"].as_u64() > Some(10) && stats["store_bytes"].as_u64() > Some(1000));
    let hits = world.run(["memory", "search", "day", "77", "--store", "memory", "--json"]).ok();
    let hit = hits.all("hit").remove(0);
    assert!(hit["text"].as_str().unwrap().contains("77"), "{hit}");
    let id = hit["block"].to_string();
    let block = world.run(["memory", "show", &id, "--store", "memory", "--json"]).ok().one("block");
    assert_eq!(block["text"], hit["text"]);
    world.json("memory show 99999 --store memory").code(2).error("block_unknown");
    let none = world.json("memory search zebra --store memory").ok();
    assert_eq!(none.out, "");
}

/// Every file of a store, as one run of bytes.
fn every_byte(world: &World) -> Vec<u8> {
    let files = crate::world::files(&world.path("memory"));
    files.iter().flat_map(|p| fs::read(p).unwrap()).collect()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|w| w == text.as_bytes())
}

#[test]
fn what_is_forgotten_is_in_no_file_any_more() {
    let world = World::new();
    let secret = "the vault opens with 7391-zanzibar";
    world.write("a.log", World::log(60) + secret + "\n" + &World::log(60));
    world.write("b.log", World::log(30));
    world.json("stream --input a.log --store memory").ok();
    world.json("stream --input b.log --store memory").ok();
    assert!(holds(&every_byte(&world), secret));
    let words = ["memory", "forget", "--matching", "7391-Zanzibar", "--store", "memory", "--json"];
    let forgot = world.run(words).ok().one("forget");
    assert!(forgot["blocks"].as_u64() > Some(0), "{forgot}");
    assert!(!holds(&every_byte(&world), "zanzibar"), "no file holds it");
    assert_eq!(world.json("memory search zanzibar --store memory").ok().out, "");
    world.json("memory verify --deep --store memory").ok();
    // The rest is there, and a source can go as a whole.
    let listed = world.json("memory list --store memory").ok().all("source");
    assert_eq!(listed.len(), 2);
    world.json("memory forget --source b.log --store memory").ok();
    assert_eq!(world.json("memory list --store memory").ok().all("source").len(), 1);
    world.json("memory forget --source b.log --store memory").code(2).error("source_unknown");
    world.json("memory forget 99999 --store memory").code(2).error("block_unknown");
    world.json("memory forget --store memory").code(2).error("bad_argument");
    world.json("memory forget 1 --source a.log --store memory").code(2).error("bad_argument");
    world.json("memory forget --matching  --store memory").code(2);
}

#[test]
fn a_time_is_forgotten() {
    let world = World::new();
    let line = |n: usize| {
        format!("2026-03-{n:02}T10:00:00Z the zebra number{n} came to the garden of the zoo\n")
    };
    world.write("a.log", (1..=28).map(line).collect::<String>());
    world.json("stream --input a.log --store memory").ok();
    let words = "memory forget --since 2026-03-10 --until 2026-03-19 --store memory";
    let forgot = world.json(words).ok().one("forget");
    assert!(forgot["blocks"].as_u64() > Some(3), "{forgot}");
    let left = |n: usize| {
        world.json(&format!("memory search number{n} --store memory")).ok().out.contains("hit")
    };
    assert!(left(1) && left(28) && !left(13) && !left(16), "{forgot}");
    world.json("memory forget --until yesterweek --store memory").code(2).error("bad_argument");
    world.json("memory verify --deep --store memory").ok();
}

#[test]
fn blocks_are_pinned_and_let_go() {
    let world = World::stored(50);
    let pinned = world.json("memory pin 1 2 --store memory").ok().one("pin");
    assert_eq!(pinned["pinned"], 2);
    assert_eq!(world.json("memory unpin 2 --store memory").ok().one("unpin")["pinned"], 1);
    world.json("memory pin 99999 --store memory").code(2).error("block_unknown");
}

#[test]
fn a_memory_goes_into_a_file_and_comes_back() {
    let world = World::stored(60);
    world.write("b.log", "the zebra came to the garden\n");
    world.json("stream --input b.log --store memory").ok();
    let wrote = world.json("memory export all.lcedge --store memory").ok().one("export");
    let bytes = world.path("all.lcedge").metadata().unwrap().len();
    assert_eq!((&wrote["sources"], &wrote["bytes"]), (&2.into(), &bytes.into()));
    assert_eq!(wrote["kv_blocks"], wrote["blocks"], "{wrote}");
    // Nothing is written over.
    let error = world.json("memory export all.lcedge --store memory").code(2).error("file_exists");
    assert!(error["message"].as_str().unwrap().contains("all.lcedge"), "{error}");
    let words = "memory export b.lcedge --source b.log --text-only --store memory";
    let text = world.json(words).ok().one("export");
    assert_eq!((&text["sources"], &text["kv_blocks"]), (&1.into(), &0.into()));
    world.json("memory export c.lcedge --source c --store memory").code(2).error("source_unknown");
    // Into another memory, exactly as it was.
    let took = world.json("memory import all.lcedge --store other").ok().one("import");
    assert_eq!((&took["sources"], &took["kv_blocks"]), (&2.into(), &wrote["kv_blocks"]));
    assert_eq!(world.json("memory list --store other").ok().all("source").len(), 2);
    world.json("memory verify --deep --store other").ok();
    let answer = world.json("ask zebra? --store other").ok().one("answer");
    assert_eq!(
        (&answer["recall"], &answer["citations"][0]["source"]),
        (&"kv".into(), &"b.log".into())
    );
    // A name that is there is refused, or put behind a prefix; people see what happened.
    world.json("memory import b.lcedge --store other").code(2).error("source_exists");
    let people = world.run("memory import b.lcedge --prefix old/ --store other".split(' ')).ok();
    assert!(people.out.contains("1 source, 1 block, as text"), "{}", people.out);
    let found = world.json("memory search zebra --source old/b.log --store other").ok();
    assert_eq!(found.all("hit").len(), 1);
    // What has no keys and values is read again as text, and the answer says so.
    let answer = world.json("ask zebra? --source old/b.log --store other").ok().one("answer");
    assert_eq!(answer["recall"], "text");
}

#[test]
fn a_memory_of_another_model_comes_as_text() {
    let world = World::stored(20);
    world.json("memory export all.lcedge --store memory").ok();
    world.write("c.log", "a giraffe\n");
    world.json("stream --input c.log --store other --weights int8").ok();
    let words = "memory import all.lcedge --store other --weights int8";
    let took = world.json(words).ok().one("import");
    assert!(took["blocks"].as_u64() > Some(2) && took["kv_blocks"] == 0, "{took}");
    let ran = world.run("ask 7 --source a.log --store other --weights int8 --json".split(' ')).ok();
    let answer = ran.one("answer");
    assert_eq!(answer["recall"], "text");
    assert!(!answer["citations"].as_array().unwrap().is_empty(), "{answer}");
}

#[test]
fn what_is_no_export_or_a_damaged_one_changes_nothing() {
    let world = World::stored(20);
    world.json("memory export all.lcedge --store memory").ok();
    let mut bytes = fs::read(world.path("all.lcedge")).unwrap();
    world.write("cut.lcedge", &bytes[..bytes.len() - 9]);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    world.write("flipped.lcedge", &bytes);
    world.write("text.txt", "some text, and it is long enough to be read as a head of a file");
    for (file, kind) in [
        ("cut.lcedge", "export_damaged"),
        ("flipped.lcedge", "export_damaged"),
        ("text.txt", "not_an_export"),
        ("nothing", "file"),
    ] {
        let words = format!("memory import {file} --prefix x/ --store memory");
        world.json(&words).code(2).error(kind);
    }
    assert_eq!(world.json("memory list --store memory").ok().all("source").len(), 1);
    world.json("memory export all.lcedge --store nowhere").code(2).error("store_absent");
}

#[test]
fn compacting_keeps_what_there_is() {
    let world = World::stored(200);
    for n in 0..3 {
        world.write("b.log", format!("{n} {}", World::log(30)));
        world.json("stream --input b.log --store memory").ok();
    }
    world.json("memory forget --source b.log --store memory").ok();
    let before = world.json("memory stats --store memory").ok().one("stats");
    let done = world.json("memory compact --store memory").ok().one("compact");
    assert!(done["bytes_after"].as_u64() <= done["bytes_before"].as_u64(), "{done}");
    let after = world.json("memory stats --store memory").ok().one("stats");
    assert_eq!((&before["blocks"], &before["tokens"]), (&after["blocks"], &after["tokens"]));
    world.json("memory verify --deep --store memory").ok();
    let people = world.run(["memory", "compact", "--store", "memory"]).ok();
    assert!(people.out.contains("The memory takes"), "{}", people.out);
}
