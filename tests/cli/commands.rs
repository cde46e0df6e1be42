//! Each command once, and what the command says of itself.

use std::fs;

use crate::world::{World, files};

#[test]
fn help_lists_what_works_and_nothing_else() {
    let world = World::new();
    let help = world.run(["help"]).ok();
    for command in [
        "stream",
        "ask",
        "chat",
        "memory",
        "model",
        "plan",
        "doctor",
        "bench",
        "eval",
        "completions",
        "man",
    ] {
        assert!(help.out.lines().any(|l| l.trim_start().starts_with(command)), "{command}");
    }
    for later in ["serve", "mcp"] {
        assert!(!help.out.lines().any(|l| l.trim_start().starts_with(later)), "{later}");
    }
    let memory = world.run(["memory", "--help"]).ok();
    assert!(memory.out.contains("verify") && memory.out.contains("export"), "{}", memory.out);
    assert!(world.run(["--version"]).ok().out.starts_with("lcedge "));
    for shell in ["bash", "zsh", "fish"] {
        assert!(world.run(["completions", shell]).ok().out.contains("offline"), "{shell}");
    }
    let man = world.run(["man"]).ok();
    assert!(man.out.contains(".TH lcedge") && man.out.contains("stale"), "{}", man.out);
    assert!(world.run(["man", "memory", "search"]).ok().out.contains("passages"));
    world.run(["man", "nothing"]).code(2);
    let none = world.run(Vec::<&str>::new()).code(2);
    assert!(none.out.is_empty() && none.err.contains("Usage"), "{}", none.err);
}

#[test]
fn commands_of_later_versions_say_so() {
    let world = World::new();
    let later = ["serve", "mcp", "model pull x"];
    for words in later {
        let error = world.json(words).code(2).error("not_in_this_version");
        assert!(error["message"].as_str().unwrap().contains("not in this version"), "{error}");
    }
}

#[test]
fn offline_with_nothing_here_is_a_clear_error_and_leaves_nothing() {
    let world = World::new();
    world.write("a.log", "text\n");
    let words = "stream --input a.log --model smollm2-135m --cache cache";
    let error = world.json(words).code(2).error("offline");
    assert!(error["hint"].as_str().unwrap().contains("--offline"), "{error}");
    let left = if world.path("cache").exists() { files(&world.path("cache")) } else { Vec::new() };
    let half: Vec<_> = left.iter().filter(|p| p.metadata().unwrap().len() > 0).collect();
    assert!(half.is_empty(), "{half:?}");
    let doctor = world.run("doctor --model smollm2-135m --cache cache".split(' ')).code(1);
    assert!(doctor.out.contains("FAILED model") && doctor.out.contains("->"), "{}", doctor.out);
}

#[test]
fn models_are_listed_inspected_and_prepared() {
    let world = World::new();
    let prepared = world.json("model prepare stories260k").ok().one("prepared");
    assert!(fs::exists(prepared["dir"].as_str().unwrap()).unwrap());
    let listed = world.json("model list").ok().all("model");
    let names: Vec<&str> = listed.iter().map(|m| m["model"].as_str().unwrap()).collect();
    assert_eq!(names, ["smollm2-135m", "stories260k"]);
    assert!(!listed[1]["prepared"].as_array().unwrap().is_empty());
    let card = world.json("model inspect stories260k").ok().one("model");
    assert_eq!((&card["parameters"], &card["card"]["layers"]), (&260_032.into(), &5.into()));
    world.run(["model", "inspect", "smollm2-135m"]).ok();
}

#[test]
fn the_plan_adds_up() {
    let world = World::new();
    let plan = world.json("plan").ok().one("plan");
    let parts: u64 = plan["ram"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(plan["ram_bytes"].as_u64(), Some(parts));
    let people = world.run(["plan"]).ok();
    assert!(people.out.contains("weights") && people.out.contains("together"), "{}", people.out);
}

#[test]
fn the_doctor_says_what_is_wrong() {
    let world = World::stored(10);
    let ran = world.json("doctor --store memory").ok();
    assert!(ran.all("check").len() >= 5);
    assert_eq!(ran.one("doctor")["ok"], true);
    world.write("file", "x");
    let ran = world.json("doctor --store file").code(1);
    let failed: Vec<_> = ran.all("check").into_iter().filter(|c| c["state"] == "failed").collect();
    assert_eq!((failed.len(), &failed[0]["check"]), (1, &"memory".into()), "{failed:?}");
    let ran = world.json("doctor --ort nothing.so").code(1);
    assert!(ran.out.contains("nothing.so"), "{}", ran.out);
}

#[test]
fn ask_can_fail_when_the_answer_is_absent() {
    let world = World::stored(30);
    let words = ["ask", "Who?", "Where?", "--store", "memory", "--confidence-min", "1", "--json"];
    let ran = world.run(words).ok();
    assert_eq!(ran.all("answer").len(), 2);
    let answer = &ran.all("answer")[0];
    assert_eq!((&answer["found"], &answer["answer"]), (&false.into(), &"".into()));
    let ran = world.run(words.iter().chain(&["--fail-if-absent"])).code(1);
    assert_eq!(ran.all("answer").len(), 2);
    let few = world.run(words.iter().chain(&["--top", "1"])).ok();
    assert!(few.all("answer").iter().all(|a| a["citations"].as_array().unwrap().len() <= 1));
    let again = ["ask", "Who?", "--store", "memory", "--recall", "text", "--json"];
    let answer = world.run(again).ok().one("answer");
    assert_eq!(answer["recall"], "text");
    assert!(answer["prefilled_tokens"].as_u64() > Some(50), "{answer}");
}

#[test]
fn questions_come_from_a_file_too() {
    let world = World::new();
    world.write("a.log", World::log(30));
    world.write("questions.txt", "Who went?\n\n  Where to?  \n");
    let words = "stream --input a.log --questions questions.txt --ask First?";
    let asked: Vec<String> = world
        .json(words)
        .ok()
        .all("answer")
        .iter()
        .map(|a| a["question"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(asked, ["First?", "Who went?", "Where to?"]);
    world.json("stream --input a.log --questions nothing.txt").code(2).error("file");
    // One question that is too long leaves the others.
    let long = "why ".repeat(400);
    let ran = world
        .run(["stream", "--input", "a.log", "--ask", &long, "--ask", "Who?", "--json"])
        .code(2);
    assert_eq!(ran.all("answer").len(), 1);
    ran.error("bad_argument");
    ran.summary();
}

#[test]
fn benches_run_with_their_smallest_parameters() {
    let world = World::new();
    for (name, fields) in [
        ("loop", vec!["loop_ratio", "tokens_per_second", "bare_tokens_per_second"]),
        ("tiers", vec!["rounds", "chunks"]),
        ("recall", vec!["p50_ms", "p99_ms", "cold_p50_ms", "text_recall_10", "blocks"]),
        ("recall --trained-address", vec!["p50_ms", "index_recall_10"]),
        ("open", vec!["session_p50_ms", "store_p50_ms"]),
        ("spill", vec!["blocks_per_second", "store_bytes"]),
    ] {
        let ran = world.json(&format!("bench {name} --smoke")).ok();
        let last = ran.events().pop().unwrap();
        let name = name.split(' ').next().unwrap();
        assert_eq!((&last["event"], &last["name"]), (&"bench".into(), &name.into()));
        for field in fields {
            assert!(last[field].as_f64() > Some(0.0), "{field} in {last}");
        }
    }
    world.nothing_left();
}

/// The index of a store that grew is as large as it is; what is resident of it is what the plan
/// says.
#[test]
fn a_grown_store_stays_within_its_ram() {
    let world = World::new();
    world.json("bench open --blocks 12000 --rounds 1 --store grown").ok();
    let plan = world.json("plan --store grown").ok().one("plan");
    let of = |value: &serde_json::Value| value.as_u64().unwrap();
    let (mapped, total) = (of(&plan["index_mapped_bytes"]), of(&plan["ram_bytes"]));
    assert!(mapped > 12 << 20 && of(&plan["ram"]["index"]) > mapped, "{plan}");
    world.write("a.log", World::log(60));
    world.write("b.log", World::log(70));
    let free = world.json("stream --input a.log --store grown --ask Who?").ok().summary();
    let limit = total - (13 << 20);
    let words = format!("stream --input b.log --store grown --ask Who? --ram {limit}");
    let tight = world.json(&words).ok().summary();
    assert!(of(&tight["ram_planned_bytes"]) <= limit && of(&tight["ram_peak_bytes"]) <= limit);
    assert!(of(&free["ram"]["index"]) >= mapped, "all of it is resident: {free}");
    assert!(of(&tight["ram"]["index"]) < 5 << 20, "{tight}");
    let less = of(&free["ram_peak_bytes"]).saturating_sub(of(&tight["ram_peak_bytes"]));
    assert!(less > 6 << 20, "{less} bytes less were resident");
}

#[test]
fn evaluations_run_and_print_their_figures() {
    let world = World::new();
    world.write("a.log", World::log(120));
    let ran = world.json("eval needles --input a.log --facts 2 --absent 2 --seed 3").ok();
    assert_eq!(ran.all("row").len(), 4);
    let last = ran.events().pop().unwrap();
    assert_eq!(
        (&last["event"], &last["name"], &last["n"]),
        (&"eval".into(), &"needles".into(), &4.into())
    );
    for field in [
        "accuracy",
        "cited",
        "cited_first",
        "invented",
        "recall_address_at_8",
        "recall_text_at_8",
        "recall_fused_at_8",
        "exact_kv",
        "exact_text",
    ] {
        assert!((0.0..=1.0).contains(&last[field].as_f64().unwrap()), "{field} in {last}");
    }
    let last = world.json("eval perplexity --input a.log").ok().one("eval");
    let (token, byte) = (&last["nats_per_token"], &last["nats_per_byte"]);
    assert!(token.as_f64() > byte.as_f64() && byte.as_f64() > Some(0.0), "{last}");
    let mut text = World::log(120);
    text.push_str("@@## %% ^^ zq xv kj\n");
    world.write("odd.log", text);
    world.write("labels", "# the last line\n121\n");
    let last = world.json("eval surprise --input odd.log --labels labels").ok().one("eval");
    assert!(last["auc_nats_per_token"].as_f64() > Some(0.9), "{last}");
    world.json("eval surprise --input odd.log --labels a.log").code(2).error("bad_argument");
}
