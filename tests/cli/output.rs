//! What is printed where: the objects of the contract, and text for people.

use serde_json::Value;

use crate::world::World;

const QUESTION: &str = "Who went to the park on day 33?";

#[track_caller]
fn has(object: &Value, fields: &str) {
    for field in fields.split(' ') {
        assert!(object.get(field).is_some(), "no {field} in {object}");
    }
}

#[test]
fn the_objects_of_a_run_have_every_field() {
    let world = World::new();
    world.write("a.log", World::log(300));
    let ran = world
        .run([
            "stream", "--input", "a.log", "--ask", QUESTION, "--ask", "What?", "--top", "3",
            "--json",
        ])
        .ok();
    assert_eq!(ran.err, "", "nothing on standard error that is no terminal");
    let events = ran.events();
    let order: Vec<&str> =
        events.iter().map(|e| e["event"].as_str().unwrap()).filter(|e| *e != "progress").collect();
    assert_eq!(order, ["surprise", "surprise", "surprise", "answer", "answer", "summary"]);
    let surprise = &ran.all("surprise")[0];
    has(surprise, "source line nats nats_per_token text");
    let line = surprise["line"].as_u64().unwrap() as usize;
    let text = World::log(300).lines().nth(line - 1).unwrap().to_owned();
    assert_eq!(surprise["text"], text.as_str(), "the line that it names");
    let answer = &ran.all("answer")[0];
    has(answer, "question answer found confidence citations recalled_blocks recall");
    has(answer, "prefilled_tokens restored_tokens ms");
    assert_eq!((&answer["question"], &answer["recall"]), (&QUESTION.into(), &"kv".into()));
    assert!((0.0..=1.0).contains(&answer["confidence"].as_f64().unwrap()));
    let citation = &answer["citations"][0];
    has(citation, "source line_start line_end byte_start byte_end score found_by text");
    let at = |field: &str| citation[field].as_u64().unwrap() as usize;
    let cited = &World::log(300)[at("byte_start")..at("byte_end")];
    assert_eq!(citation["text"], cited, "the bytes that it names");
    let summary = ran.summary();
    has(&summary, "source bytes lines tokens tokens_read_by_model tokens_per_second ms fates");
    has(&summary, "recalled_blocks blocks store_bytes written_bytes ram_peak_bytes ram_anon_bytes");
    has(&summary, "ram model weights device device_reason restored_tokens prefilled_tokens");
    has(&summary["ram"], "weights window engine index queue map");
    has(&summary["fates"], "resident spilled condensed text dropped");
    assert_eq!((&summary["source"], &summary["device"]), (&"a.log".into(), &"cpu".into()));
    assert_eq!((&summary["model"], &summary["weights"]), (&"stories260k".into(), &"f32".into()));
    assert_eq!(summary["lines"], 300);
    assert!(summary["ram_peak_bytes"].as_u64() >= summary["ram_anon_bytes"].as_u64());
    assert!(
        summary["store_bytes"].as_u64() > Some(0) && summary["written_bytes"].as_u64() > Some(0)
    );
}

#[test]
fn progress_comes_at_most_once_a_second() {
    let world = World::new();
    world.write("a.log", World::log(600));
    let ran = world.json("stream --input a.log").ok();
    let seconds = ran.summary()["ms"].as_u64().unwrap() / 1000;
    let progress = ran.all("progress");
    assert!(progress.len() as u64 <= seconds + 1, "{} in {seconds} s", progress.len());
    for p in &progress {
        has(p, "tokens bytes tokens_per_second blocks ram_bytes");
    }
    let quiet = world.json("stream --input a.log --quiet").ok();
    assert!(quiet.all("progress").is_empty());
}

#[test]
fn people_see_lines_answer_citations_and_a_summary() {
    let world = World::new();
    world.write("a.log", World::log(200));
    let words = ["stream", "--input", "a.log", "--ask", QUESTION];
    let ran = world.run(words).ok();
    for part in
        ["Most surprising lines", QUESTION, "  a.log:", "Read ", "tokens/s", "none lost", "RAM "]
    {
        assert!(ran.out.contains(part), "no {part:?} in {}", ran.out);
    }
    assert!(!ran.out.contains('\x1b') && !ran.err.contains('\x1b'), "no colours off a terminal");
    assert!(ran.err.contains("stories260k"), "{}", ran.err);
    let quiet = world.run(words.iter().chain(&["--quiet"])).ok();
    assert_eq!(quiet.err, "");
    assert!(quiet.out.contains(QUESTION) && !quiet.out.contains("tokens/s"), "{}", quiet.out);
    let colour = world.run(words.iter().chain(&["--color", "always"])).ok();
    assert!(colour.out.contains("\x1b[1m"), "{}", colour.out);
    let mut plain = world.command(words);
    plain.env("NO_COLOR", "1");
    assert!(!crate::world::finish(&mut plain).ok().out.contains('\x1b'));
}

#[test]
fn errors_are_one_object_or_two_plain_lines() {
    let world = World::new();
    let error = world.json("stream --input nothing").code(2).error("input_missing");
    assert!(error["hint"].is_string());
    let ran = world.run(["stream", "--input", "nothing"]).code(2);
    assert_eq!(ran.out, "");
    assert!(ran.err.starts_with("error: nothing: no such file"), "{}", ran.err);
    assert!(ran.err.contains("hint:"), "{}", ran.err);
    for (words, kind) in [
        ("frobnicate", "bad_argument"),
        ("stream --input x --window wide", "bad_argument"),
        ("stream --input x --ram 4apples", "bad_argument"),
        ("stream --input x --threads 0", "bad_argument"),
        ("stream --input x --top-p 2", "bad_argument"),
        ("stream --input x --nonsense", "bad_argument"),
        ("model inspect nothing-of-this-name", "model_unknown"),
        ("ask Who? --store nowhere", "store_absent"),
        ("memory stats --store nowhere", "store_absent"),
    ] {
        world.json(words).code(2).error(kind);
    }
    world.write("x", "text\n");
    for (words, kind) in [
        ("stream --input x --device hamster", "bad_argument"),
        ("stream --input x --window 100000", "plan"),
        ("stream --input x --ram 1MiB", "plan_ram"),
        ("stream --input x --memory gist", "tier_missing"),
        ("stream --input x --ort nothing.so", "ort_missing"),
    ] {
        let error = world.json(words).code(2).error(kind);
        assert!(error["message"].as_str().unwrap().len() > 10, "{error}");
    }
}
