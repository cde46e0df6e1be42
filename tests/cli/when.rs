//! Questions about a time, and counting.

use serde_json::Value;

use crate::world::World;

/// A store with a log of a day, two lines an hour, and a file without times.
fn world() -> World {
    let world = World::new();
    let line = |n: usize| {
        let who = ["oleg", "ines", "greta"][n % 3];
        let (hour, minute) = (n / 2, 30 * (n % 2));
        let what = format!("Failed password for {who} from 10.0.0.{n}");
        format!("2026-03-02T{hour:02}:{minute:02}:00Z sshd[{n}]: {what}\n")
    };
    world.write("day.log", (0..48).map(line).collect::<String>());
    world.write("notes.txt", "The password of the cellar was changed by ines.\nIt rained.\n");
    world.json("stream --input day.log --store memory").ok();
    world.json("stream --input notes.txt --store memory").ok();
    world
}

fn ask(world: &World, words: &[&str]) -> Value {
    let words = ["ask"].iter().chain(words).chain(&["--store", "memory", "--json"]);
    let mut command = world.command(words);
    command.env("TZ", "UTC");
    crate::world::finish(&mut command).ok().one("answer")
}

fn hours(answer: &Value) -> Vec<String> {
    let text = |c: &Value| c["text"].as_str().unwrap().get(11..13).unwrap_or("-").to_owned();
    let mut all: Vec<String> = answer["citations"].as_array().unwrap().iter().map(text).collect();
    all.sort();
    all.dedup();
    all
}

#[test]
fn lines_outside_of_a_time_are_not_cited() {
    let world = world();
    let q = "Whose password failed?";
    let a = ask(&world, &[q, "--since", "2026-03-02T10:00", "--until", "2026-03-02T12:00Z"]);
    assert_eq!(hours(&a), ["10", "11"], "{a}");
    assert_eq!(a["since"], "2026-03-02T10:00:00+00:00");
    let a = ask(&world, &[q, "--until", "2026-03-02T01:00"]);
    assert_eq!(hours(&a), ["00"], "{a}");
    // The file has no times: its lines are of when they were read.
    let a = ask(&world, &[q, "--since", "2h"]);
    assert!(a["citations"].as_array().unwrap().iter().all(|c| c["source"] == "notes.txt"), "{a}");
    assert!(!a["citations"].as_array().unwrap().is_empty());
    let a = ask(&world, &["Whose password failed between 10:00 and noon?"]);
    assert_eq!(hours(&a), ["10", "11"], "{a}");
    let words = ["ask", "Whose password failed between 10:00 and noon?", "--store", "memory"];
    let people = crate::world::finish(world.command(words).env("TZ", "UTC")).ok();
    let looked = "(looked from 2026-03-02 10:00 until 2026-03-02 12:00)";
    assert!(people.out.contains(looked), "{}", people.out);
    // The memory has nothing of that time: it is not taken for one.
    let a = ask(&world, &["Whose password failed in the last two minutes?", "--source", "day.log"]);
    assert!(a["since"].is_null() && hours(&a).len() > 1, "{a}");
}

#[test]
fn how_often_is_counted_and_not_guessed() {
    let world = world();
    let a = ask(&world, &["How often did oleg fail?"]);
    assert_eq!(
        (&a["answer"], &a["found"], &a["counted"]),
        (&"16".into(), &true.into(), &true.into())
    );
    assert_eq!(a["counted_lines"]["words"], serde_json::json!(["oleg", "fail"]));
    let lines: Vec<u64> = a["citations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["line_start"].as_u64().unwrap())
        .collect();
    assert_eq!(lines, [1, 4, 7, 10, 37, 40, 43, 46], "the first and the last");
    let a = ask(&world, &["How often did oleg fail?", "--since", "2026-03-02T12:00"]);
    assert_eq!(a["answer"], "8");
    let a = ask(&world, &["How often did \"password for ines\" fail between 10:00 and 12:00?"]);
    assert_eq!((&a["answer"], &a["since"]), (&"1".into(), &"2026-03-02T10:00:00+00:00".into()));
    let a = ask(&world, &["How many lines contain \"password\"?", "--top", "3"]);
    assert_eq!((&a["answer"], a["citations"].as_array().unwrap().len()), (&"49".into(), 3));
    // None is not guessed.
    let a = ask(&world, &["How often did veronika fail?"]);
    assert_eq!(
        (&a["answer"], &a["found"], &a["counted"]),
        (&"".into(), &false.into(), &true.into())
    );
    let words = ["ask", "How often did veronika fail?", "--store", "memory", "--fail-if-absent"];
    world.run(words).code(1);
    let people = world.run(["ask", "How often did oleg fail?", "--store", "memory"]).ok();
    assert!(
        people.out.contains("16") && people.out.contains("lines with oleg, fail"),
        "{}",
        people.out
    );
}

#[test]
fn what_is_not_certain_is_not_counted() {
    let world = world();
    for (question, counted) in [
        ("How many lines does notes.txt have?", Some("2")),
        ("How often did the word rained appear in notes.txt?", Some("1")),
        ("How often is the password changed?", None),
        ("How many lines mention oleg or ines?", None),
        ("How many lines mention oleg without ines?", None),
    ] {
        let a = ask(&world, &[question]);
        assert_eq!(a["counted"], counted.is_some(), "{a}");
        if let Some(n) = counted {
            assert_eq!(a["answer"], n, "{question}");
        }
    }
}

#[test]
fn what_happened_in_a_time_is_shown() {
    let world = world();
    let a = ask(&world, &["What happened between ten and eleven?", "--source", "day.log"]);
    assert_eq!((&a["answer"], hours(&a)), (&"2".into(), vec!["10".to_owned()]));
    let a = ask(&world, &["What happened on March 3rd?"]);
    assert_eq!(a["found"], false);
}

#[test]
fn times_that_are_none_are_refused() {
    let world = world();
    for words in
        ["--since soon", "--until 2026-02-30", "--since 2h --until 3h", "--since 106751991167d"]
    {
        let error =
            world.json(&format!("ask Who? --store memory {words}")).code(2).error("bad_argument");
        assert!(error["message"].as_str().unwrap().contains("--"), "{error}");
    }
}
