//! A second run on the same store continues where the first one stopped.

use std::fs;
use std::io::Write;

use crate::world::World;

const STREAM: &str = "stream --input a.log --store memory";

#[test]
fn what_is_unchanged_is_not_read_again() {
    let world = World::stored(80);
    let ran = world.run(STREAM.split(' ')).ok();
    assert!(ran.err.contains("nothing is read again"), "{}", ran.err);
    let summary = world.json(STREAM).ok().summary();
    assert_eq!((&summary["tokens"], &summary["bytes"]), (&0.into(), &0.into()));
    assert!(summary["tokens_read_by_model"].as_u64() < Some(10), "{summary}");
}

#[test]
fn a_file_that_grew_is_read_on() {
    let world = World::stored(80);
    let whole = World::log(100);
    world.write("a.log", &whole);
    let ran = world.json(&format!("{STREAM} --verbose")).ok();
    assert_eq!(ran.summary()["bytes"], whole.len() - World::log(80).len());
    let listed = world.json("memory list --store memory").ok().one("source");
    assert_eq!((&listed["lines"], &listed["version"]), (&100.into(), &1.into()));
    assert_eq!(listed["bytes"], whole.len());
    // The line numbers go on.
    let hit = world.json("memory search 97 --store memory --top 1").ok().one("hit");
    assert!(
        hit["line_start"].as_u64() <= Some(97) && hit["line_end"].as_u64() >= Some(97),
        "{hit}"
    );
}

#[test]
fn a_file_that_changed_is_a_new_version() {
    let world = World::stored(40);
    world.write("a.log", World::log(40).replacen("birds", "frogs", 1));
    let ran = world.run(STREAM.split(' ')).ok();
    assert!(ran.err.contains("version 2"), "{}", ran.err);
    // Shorter than what was absorbed: changed as well.
    world.write("a.log", World::log(10));
    let ran = world.json(STREAM).ok();
    assert_eq!(ran.summary()["bytes"], World::log(10).len());
    let listed = world.json("memory list --store memory").ok().all("source");
    let versions: Vec<_> =
        listed.iter().map(|s| (s["version"].as_u64(), s["superseded"].as_bool())).collect();
    let expected = [(1, true), (2, true), (3, false)].map(|(v, s)| (Some(v), Some(s)));
    assert_eq!(versions, expected);
}

#[test]
fn a_source_can_have_another_name_than_its_file() {
    let world = World::stored(20);
    let ran = world.json(&format!("{STREAM} --source other.log")).ok();
    assert!(ran.summary()["bytes"].as_u64() > Some(0));
    let names: Vec<_> = world.json("memory list --store memory").ok().all("source");
    assert_eq!(names.len(), 2, "{names:?}");
    let answer = world.json("ask Tom --store memory --source other.log").ok().one("answer");
    for citation in answer["citations"].as_array().unwrap() {
        assert_eq!(citation["source"], "other.log", "{citation}");
    }
    world.json("ask Tom --store memory --source nothing.log").code(2).error("source_unknown");
}

#[test]
fn json_lines_that_are_none_are_counted() {
    let world = World::new();
    world.write("x.jsonl", "{\"a\": 1}\nbroken\n[2]\nalso broken");
    let ran = world.run(["stream", "--input", "x.jsonl", "--format", "jsonl"]).ok();
    assert!(ran.err.contains("2 lines are not JSON (the first is line 2)"), "{}", ran.err);
}

#[test]
fn a_temporary_memory_is_removed_and_a_named_one_stays_private() {
    let world = World::new();
    world.write("a.log", World::log(30));
    world.json("stream --input a.log").ok();
    world.nothing_left();
    world.json(STREAM).ok();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(world.path("memory")).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{mode:o}");
    }
    let mut log = fs::OpenOptions::new().append(true).open(world.path("a.log")).unwrap();
    log.write_all(b"one more line\n").unwrap();
    assert_eq!(world.json(STREAM).ok().summary()["lines"], 1);
}
