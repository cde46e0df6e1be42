//! Evaluations on test sets and tiers, on small files made here in the sets' published forms.

use std::fmt::Write as _;
use std::fs;

use serde_json::{Value, json};

use crate::world::World;

/// Sentences of a log, as the tiny model reads them.
fn text(lines: usize) -> String {
    World::log(lines)
}

/// One sample a line.
fn lines(samples: &[Value]) -> String {
    samples.iter().fold(String::new(), |mut all, sample| {
        writeln!(all, "{sample}").unwrap();
        all
    })
}

fn ruler() -> Value {
    let input = format!(
        "Remember.\n{}The number for blue-fox is: 7041.\n{}What is the number for blue-fox?",
        text(15),
        text(15)
    );
    json!({"index": 1, "input": input, "outputs": ["7041"], "length": 900})
}

fn passkey() -> Value {
    let context = format!("{}The pass key is 4711.\n{}", text(9), text(9));
    json!({"context": context, "input": "What is the pass key?", "answer": "4711"})
}

fn babilong() -> Value {
    let input = format!("{}The kitchen is west of the office. {}", text(9), text(9));
    json!({"input": input, "question": "What is west of the office? ", "target": "kitchen"})
}

fn longeval() -> Value {
    let mut prompt = String::from("Remember these lines.\n");
    for i in 0..12 {
        writeln!(prompt, "line park-{i}: REGISTER_CONTENT is <{}>", i * 17 + 5).unwrap();
    }
    prompt.push_str("Now the record is over. What is the content of line park-7?");
    json!({"expected_number": 124, "num_lines": 12, "prompt": prompt,
        "correct_line": "line park-7: REGISTER_CONTENT is <124>\n"})
}

fn kv() -> Value {
    let records: Vec<_> = (0..12).map(|i| [format!("k-{i}"), format!("v-{}", i * 3)]).collect();
    json!({"ordered_kv_records": records, "key": "k-7", "value": "v-21"})
}

fn locomo() -> Value {
    let said = |i: usize| {
        let text = format!("I saw {} birds in the park with my friend.", i * 3);
        let who = ["Ann", "Ben"][i % 2];
        json!({"speaker": who, "dia_id": format!("D1:{i}"), "text": text})
    };
    json!({"sample_id": "a", "conversation": {
            "speaker_a": "Ann", "speaker_b": "Ben", "session_1_date_time": "1 May, 2023",
            "session_1": (1..15).map(said).collect::<Vec<_>>()},
        "qa": [
            {"question": "Who saw 9 birds?", "answer": "Ben", "evidence": ["D1:3"], "category": 4},
            {"question": "Whose boat?", "adversarial_answer": "x", "evidence": [], "category": 5}]})
}

fn beam() -> Value {
    let names = ["Lily", "Tom", "Ben", "Mia", "Sam"];
    let turn = |i: usize| {
        let text = format!("I saw {} birds in the park with my friend {}.", i * 3, names[i % 5]);
        let role = ["user", "assistant"][i % 2];
        json!({"id": i, "role": role, "time": null, "text": text})
    };
    json!({"id": "c", "turns": (0..40).map(turn).collect::<Vec<_>>(), "questions": [
        {"ability": "information_extraction", "question": "Who saw 27 birds?", "answer": "Sam",
            "source_ids": [9]},
        {"ability": "abstention", "question": "Which boat?", "answer": "None.", "source_ids": []}]})
}

#[test]
fn every_set_is_read_asked_and_scored() {
    let world = World::new();
    for (name, file, sample, n, evidence) in [
        ("ruler", "niah_single_7_1024.jsonl", ruler(), 2, true),
        ("passkey", "passkey_512.jsonl", passkey(), 2, true),
        ("babilong", "qa4_1k.json", babilong(), 2, false),
        ("longeval", "lines.jsonl", longeval(), 2, true),
        ("kv", "kv.jsonl", kv(), 2, true),
        ("locomo", "locomo.json", locomo(), 4, true),
    ] {
        let array = Value::Array(vec![sample.clone(), sample.clone()]).to_string();
        world.write(
            file,
            if file.ends_with('l') { lines(&[sample.clone(), sample]) } else { array },
        );
        let ran = world.json(&format!("eval {name} --data {file} --max-tokens 4")).ok();
        assert_eq!(ran.all("row").len(), n, "{name}");
        let last = ran.events().pop().unwrap();
        assert_eq!((&last["event"], &last["name"]), (&"eval".into(), &name.into()));
        assert_eq!(last["n"], n, "{last}");
        assert!((0.0..=1.0).contains(&last["score"].as_f64().unwrap()), "{last}");
        assert!((0.0..=1.0).contains(&last["score_given"].as_f64().unwrap()), "{last}");
        assert_eq!(last["recall_at_8"].is_f64(), evidence, "{last}");
        let tasks = last["tasks"].as_array().unwrap();
        let counted: u64 = tasks.iter().map(|t| t["n"].as_u64().unwrap()).sum();
        assert_eq!(counted, n as u64, "{last}");
        assert!(last["tokens"].as_u64() > Some(100), "{last}");
    }
    let one = world.json("eval ruler --data niah_single_7_1024.jsonl --limit 1").ok().one("eval");
    assert_eq!((&one["n"], &one["recall_text_at_8"]), (&1.into(), &1.0.into()), "{one}");
    assert_eq!(one["tasks"][0]["task"], "niah_single_7");
    assert_eq!(one["tasks"][0]["length"], "1024");
    let words = "eval kv --data kv.jsonl --memory window --limit 1";
    let window = world.json(words).ok().one("eval");
    assert!(window["recall_at_8"].is_null(), "nothing is searched: {window}");
    let people = world.run("eval kv --data kv.jsonl --limit 1".split(' ')).ok();
    assert!(people.out.contains("| kv   | 12 keys |"), "{}", people.out);
    world.nothing_left();
}

#[test]
fn turns_of_a_conversation_are_found() {
    let world = World::new();
    world.write("beam.jsonl", lines(&[beam(), beam()]));
    let ran = world.json("eval beam --data beam.jsonl").ok();
    assert_eq!(ran.all("row").len(), 4);
    let last = ran.events().pop().unwrap();
    assert_eq!(
        (&last["name"], &last["n"], &last["evidence_n"]),
        (&"beam".into(), &4.into(), &2.into())
    );
    // The turn holds two words of the question that no other turn has together.
    assert_eq!(last["evidence_text_at_8"], 1.0, "{last}");
    for field in ["evidence_at_8", "evidence_address_at_8", "evidence_blocks_at_8"] {
        assert!((0.0..=1.0).contains(&last[field].as_f64().unwrap()), "{field} in {last}");
    }
    let extraction = &last["abilities"]["information_extraction"];
    assert_eq!(extraction["evidence_at_8"], last["evidence_at_8"], "{last}");
    assert!(last["abilities"]["abstention"]["evidence_at_8"].is_null(), "{last}");
    assert!(last["abstention"].is_null(), "nothing was answered: {last}");
    let words = "eval beam --data beam.jsonl --limit 1 --answers --max-tokens 4 --confidence-min 1";
    let last = world.json(words).ok().one("eval");
    assert_eq!((&last["abstention"], &last["refused"]), (&1.0.into(), &1.0.into()), "{last}");
    assert_eq!((&last["n"], &last["score_n"]), (&2.into(), &1.into()), "{last}");
    assert!(last["evidence_cited"].is_f64(), "{last}");
    world.nothing_left();
}

#[test]
fn bad_files_are_named_with_their_line() {
    let world = World::new();
    world.write("half.jsonl", format!("{}{{\"context\": \"x\"}}\n", lines(&[passkey()])));
    world.write("cut.jsonl", &lines(&[passkey()])[..200]);
    world.write("empty.jsonl", "\n");
    world.write("text.jsonl", "no json\n");
    for (words, kind, has) in [
        ("passkey --data half.jsonl", "bad_argument", "half.jsonl, line 2"),
        ("passkey --data cut.jsonl", "bad_argument", "line 1"),
        ("passkey --data empty.jsonl", "bad_argument", "no sample"),
        ("kv --data text.jsonl", "bad_argument", "line 1"),
        ("ruler --data half.jsonl", "bad_argument", "`outputs`"),
        ("locomo --data half.jsonl", "bad_argument", "`conversation`"),
        ("beam --data half.jsonl", "bad_argument", "`turns`"),
        ("kv --data nothing.jsonl", "file", "nothing.jsonl"),
        ("kv --data text.jsonl --limit 0", "bad_argument", "--limit 0"),
        ("longeval", "bad_argument", "--data"),
    ] {
        let error = world.json(&format!("eval {words}")).code(2).error(kind);
        assert!(error["message"].as_str().unwrap().contains(has), "{words}: {error}");
    }
    world.nothing_left();
}

#[test]
fn what_follows_a_history_is_measured_tier_by_tier() {
    let world = World::new();
    world.write("a.log", text(160));
    let words = "eval tiers --input a.log --history 330 --targets 50 --windows 2 --controls";
    let ran = world.json(words).ok();
    let last = ran.events().pop().unwrap();
    assert_eq!(
        (&last["event"], &last["name"], &last["n"]),
        (&"eval".into(), &"tiers".into(), &2.into())
    );
    let arms = last["arms"].as_array().unwrap();
    let names: Vec<&str> = arms.iter().map(|a| a["arm"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "window",
            "condensed by surprisal",
            "condensed by camelot",
            "condensed by matching",
            "recall",
            "recall of random blocks",
            "full attention"
        ]
    );
    assert_eq!(ran.all("row").len(), 2 * names.len());
    for arm in arms {
        assert!(arm["nats_per_token"].as_f64() > Some(0.0), "{arm}");
    }
    assert_eq!(arms[0]["gain"], 0.0);
    let nats: Vec<f64> = arms.iter().map(|a| a["nats_per_token"].as_f64().unwrap()).collect();
    assert!(nats[1] != nats[2] && nats[2] != nats[3] && nats[1] != nats[3], "{nats:?}");
    let (window, full) = (&arms[0]["window"], &arms[6]["window"]);
    assert!(window.as_u64() < full.as_u64() && full.as_u64() >= Some(330), "{last}");
    // More history than the model was trained on: no full attention, and no share of a gap.
    let words = "eval tiers --input a.log --history 600 --targets 50 --windows 1";
    let last = world.json(words).ok().one("eval");
    assert_eq!(last["arms"].as_array().unwrap().len(), 5, "{last}");
    assert!(last["arms"][2]["gap_closed"].is_null(), "{last}");
    let words = "eval perplexity --input a.log --history 330 --targets 50 --windows 2";
    let last = world.json(&format!("{words} --memory window")).ok().one("eval");
    assert_eq!((&last["windows"], &last["history"]), (&2.into(), &330.into()));
    let (mine, theirs) = (last["nats_per_token"].as_f64(), arms[0]["nats_per_token"].as_f64());
    assert!((mine.unwrap() - theirs.unwrap()).abs() < 1e-6, "the same arm, measured twice");
    let error = world.json(&format!("{words}000")).ok().one("eval");
    assert!(error["windows"].as_u64() < Some(2000), "{error}");
    let short = "eval tiers --input a.log --history 99999";
    let error = world.json(short).code(2).error("bad_argument");
    assert!(error["message"].as_str().unwrap().contains("99999"), "{error}");
    world.nothing_left();
}

/// Random beacons for the tiny model, as a folder that `--trained-memory` takes.
fn beacons(world: &World) {
    const HIDDEN: usize = 64;
    // Queries of 8 heads, keys and values of 4, of 8 values each.
    const ROWS: usize = (8 + 2 * 4) * 8;
    let mut state = 1u32;
    let mut noise = |n: usize| -> Vec<u8> {
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..n).flat_map(|_| (0.3 * next()).to_le_bytes()).collect()
    };
    let mut shapes = vec![("beacon_embedding".to_owned(), [4, HIDDEN])];
    shapes.extend((0..5).map(|l| (format!("model.layers.{l}.beacon_qkv"), [ROWS, HIDDEN])));
    let mut header = json!({"__metadata__": {"ratios": "[4, 8, 16, 32]"}});
    let mut data = Vec::new();
    for (name, shape) in shapes {
        let from = data.len();
        data.extend(noise(shape[0] * shape[1]));
        header[name] = json!({"dtype": "F32", "shape": shape, "data_offsets": [from, data.len()]});
    }
    let header = header.to_string().into_bytes();
    let bytes = [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat();
    fs::create_dir(world.path("memory")).unwrap();
    let file = world.path("memory").join("beacons.safetensors");
    fs::write(&file, bytes).unwrap();
    let sha256 = lcedge::models::fetch::sha256_file(&file).unwrap();
    let card = json!({"base": {}, "files": {"beacons.safetensors": {"sha256": sha256}},
        "prompt": {"system": "Answer from memory.", "absent": "Not in memory."}});
    world.write("memory/memory.json", card.to_string());
}

#[test]
fn a_model_with_beacons_has_an_arm_for_each_ratio() {
    let world = World::new();
    world.write("a.log", text(160));
    beacons(&world);
    let words = "eval tiers --input a.log --trained-memory memory --history 330 --targets 50 \
                 --windows 2 --window 256 --slots 48 --stale-blocks 1 --controls";
    let ran = world.run(words.split_whitespace().chain(["--json", "--cache", "cache"])).ok();
    let last = ran.events().pop().unwrap();
    let arms = last["arms"].as_array().unwrap();
    let names: Vec<&str> = arms.iter().map(|a| a["arm"].as_str().unwrap()).collect();
    assert_eq!(names[0], "window");
    assert!(names[1].starts_with("window of "), "one of equal cost: {names:?}");
    assert_eq!(
        names[2..],
        [
            "condensed r4",
            "condensed r8",
            "condensed r16",
            "condensed r32",
            "recall",
            "everything",
            "condensed r8, shuffled",
            "recall of random blocks",
            "full attention"
        ]
    );
    let nats = |i: usize| arms[i]["nats_per_token"].as_f64().unwrap();
    // Random beacons are random, but they are seen: no two ratios measure the same.
    assert!(nats(2) != nats(0) && nats(2) != nats(3) && nats(3) != nats(4), "{last}");
    assert!(nats(3) != nats(8), "their order matters: {last}");
    assert_eq!(arms[3]["slots"], 48);
    assert!(arms[10]["gap_closed"].as_f64().is_none_or(|share| share == 1.0), "{last}");
    world.nothing_left();
}
