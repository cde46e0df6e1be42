//! What can be read, and what is said of what cannot.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::world::{Ran, World};

fn read(text: impl AsRef<[u8]>) -> Ran {
    let world = World::new();
    world.write("x.txt", text);
    world.json("stream --input x.txt").ok()
}

#[test]
fn an_empty_file_is_read_and_holds_nothing() {
    let summary = read("").summary();
    assert_eq!(
        (&summary["tokens"], &summary["bytes"], &summary["lines"]),
        (&0.into(), &0.into(), &0.into())
    );
    let world = World::new();
    world.write("x.txt", "");
    let answer =
        world.run(["stream", "--input", "x.txt", "--ask", "Who?", "--json"]).ok().one("answer");
    assert_eq!((&answer["found"], &answer["answer"]), (&false.into(), &"".into()));
}

#[test]
fn one_line_without_an_end() {
    let summary = read("Lily went to the park").summary();
    assert_eq!((&summary["bytes"], &summary["lines"]), (&21.into(), &1.into()));
    assert!(summary["tokens"].as_u64() > Some(0));
}

#[test]
fn carriage_returns_are_not_part_of_what_is_shown() {
    let world = World::new();
    world.write("x.txt", World::log(120).replace('\n', "\r\n"));
    let question = "day 77 Mia went to the park";
    let ran = world.run(["stream", "--input", "x.txt", "--ask", question, "--json"]).ok();
    assert_eq!(ran.summary()["lines"], 120);
    for surprise in ran.all("surprise") {
        assert!(!surprise["text"].as_str().unwrap().contains('\r'), "{surprise}");
    }
    assert!(!ran.one("answer")["citations"].as_array().unwrap().is_empty());
}

#[test]
fn nul_bytes_and_what_is_not_utf_8_are_read() {
    let summary = read("a\0b\nc\n\0\0\n").summary();
    assert_eq!((&summary["bytes"], &summary["lines"]), (&9.into(), &3.into()));
    let mut bytes = World::log(20).into_bytes();
    for at in [10, 200, 333, 334] {
        bytes[at] = 0xF0;
    }
    let summary = read(&bytes).summary();
    assert_eq!(summary["bytes"], bytes.len());
    assert!(summary["invalid_utf8"].as_u64() >= Some(3), "{summary}");
}

#[test]
fn a_line_of_a_megabyte() {
    let world = World::new();
    let line = "once upon a time there was a little girl named Lily ".repeat(20_500);
    assert!(line.len() > 1 << 20);
    world.write("x.txt", &line);
    let ran = world.json("stream --input x.txt --surprise off --stale-blocks 0").ok();
    let summary = ran.summary();
    assert_eq!((&summary["bytes"], &summary["lines"]), (&line.len().into(), &1.into()));
}

#[test]
fn what_is_missing_or_no_text_is_refused_at_once() {
    let world = World::new();
    let error = world.json("stream --input nothing.log").code(2).error("input_missing");
    assert!(error["message"].as_str().unwrap().contains("nothing.log"));
    // No permission: a path below a file cannot be entered by anyone, not even by root.
    world.write("file", "x");
    world.json("stream --input file/below").code(2).error("input_unreadable");
    world.write("wide.txt", b"\xff\xfeh\0i\0\n\0");
    let error = world.json("stream --input wide.txt").code(2).error("input_not_text");
    assert!(error["hint"].as_str().unwrap().contains("iconv"), "{error}");
    let binary: Vec<u8> = (0..4000u32).map(|i| (i * 7 % 256) as u8).collect();
    world.write("binary", &binary);
    world.json("stream --input binary").code(2).error("input_not_text");
    let summary = world.json("stream --input binary --format text").ok().summary();
    assert_eq!(summary["bytes"], 4000);
    for wrong in ["stream --input . --follow", "stream --input file --format yaml", "stream"] {
        world.json(wrong).code(2).error("bad_argument");
    }
}

#[cfg(unix)]
#[test]
fn a_file_without_permission_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    world.write("secret", "x");
    let path = world.path("secret");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o0)).unwrap();
    if std::fs::read(&path).is_ok() {
        // This user may read everything; a path below a file stands for it in the test above.
        return;
    }
    let error = world.json("stream --input secret").code(2).error("input_unreadable");
    assert!(error["hint"].as_str().unwrap().contains("permission"), "{error}");
}

#[test]
fn a_folder_is_every_text_file_in_it_in_order() {
    let world = World::new();
    for folder in ["logs", "logs/b"] {
        std::fs::create_dir(world.path(folder)).unwrap();
    }
    world.write("logs/b/2.log", "Tom saw a bird\n");
    world.write("logs/a.log", World::log(5));
    world.write("logs/.hidden", "hidden");
    world.write("logs/picture.png", b"\x89PNG\r\n\x1a\n");
    let ran = world.run(["stream", "--input", "logs", "--store", "memory"]).ok();
    assert!(ran.err.contains(".hidden (hidden)"), "{}", ran.err);
    assert!(ran.err.contains("picture.png (is an image"), "{}", ran.err);
    let listed = world.json("memory list --store memory").ok().all("source");
    let names: Vec<&str> = listed.iter().map(|s| s["source"].as_str().unwrap()).collect();
    assert_eq!(names, ["a.log", "b/2.log"]);
    assert!(listed.iter().all(|s| s["complete"] == true), "{listed:?}");
    std::fs::create_dir(world.path("empty")).unwrap();
    world.json("stream --input empty").code(2).error("input_empty");
}

#[test]
fn standard_input_is_a_source() {
    let world = World::new();
    let text = World::log(40);
    let ran = world.piped("stream --input - --store memory --json", text.as_bytes()).ok();
    let summary = ran.summary();
    assert_eq!((&summary["source"], &summary["bytes"]), (&"stdin".into(), &text.len().into()));
    let longer = format!("{text}day 41: Tom came home\n");
    let ran = world.piped("stream --input - --store memory --json", longer.as_bytes()).ok();
    assert_eq!(ran.summary()["bytes"], longer.len() - text.len(), "only what is new");
    let other = World::log(30).replace("birds", "frogs");
    let ran = world.piped("stream --input - --store memory --json", other.as_bytes()).ok();
    assert_eq!(ran.summary()["bytes"], other.len(), "another text is read whole");
    let listed = world.json("memory list --store memory").ok().all("source");
    assert_eq!(listed.len(), 2);
    assert_eq!((&listed[0]["superseded"], &listed[1]["version"]), (&true.into(), &2.into()));
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let world = World::stored(60);
    let mut command =
        world.command(["memory", "search", "park", "--top", "50", "--store", "memory"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    Ran::of(child).ok();
    let question = ["stream", "--input", "a.log", "--top", "50", "--ask", "Who?", "--json"];
    let mut child =
        world.command(question).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("event"));
    let ran = Ran::of(child).ok();
    assert_eq!(ran.err, "");
}
