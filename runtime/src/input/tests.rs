//! Which sources an input has. Reading them into a session is tested from outside, with the built
//! command.

use std::fs;
use std::path::Path;

use super::json_lines::JsonLines;
use super::{InputError, Place, check_text, list, probe};
use fuzz::Target;

#[path = "../../../tests/common/fuzz.rs"]
mod fuzz;

#[test]
fn a_folder_is_its_text_files_in_order_of_their_paths() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for folder in ["b", "a.d", ".git", "memory"] {
        fs::create_dir(at(folder)).unwrap();
    }
    for (name, text) in [
        ("b/2.log", "x"),
        ("b/1.log", "x"),
        ("a.log", "x"),
        ("a.d/z", "x"),
        (".hidden", "x"),
        (".git/config", "x"),
        ("memory/store.json", "{}"),
        ("empty", ""),
    ] {
        fs::write(at(name), text).unwrap();
    }
    fs::write(at("image.png"), b"\x89PNG\r\n\x1a\n").unwrap();
    let listing = list(dir.path(), Some(&at("memory"))).unwrap();
    let names: Vec<&str> = listing.sources.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["a.d/z", "a.log", "b/1.log", "b/2.log", "empty"]);
    let mut skipped: Vec<String> =
        listing.skipped.iter().map(|s| format!("{} {}", s.path.display(), s.why)).collect();
    skipped.sort();
    let expected = [
        ".git hidden",
        ".hidden hidden",
        "image.png is an image (PNG), not text",
        "memory the store itself",
    ];
    assert_eq!(skipped, expected);
}

#[test]
fn a_file_and_standard_input_are_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("server.log");
    fs::write(&file, "x").unwrap();
    let source = list(&file, None).unwrap().sources.remove(0);
    assert_eq!((source.name.as_str(), &source.place), ("server.log", &Place::Path(file)));
    let stdin = list(Path::new("-"), None).unwrap().sources.remove(0);
    assert_eq!((stdin.name.as_str(), stdin.place), ("stdin", Place::Stdin));
}

#[test]
fn what_cannot_be_read_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let nothing = list(&dir.path().join("no"), None).unwrap_err();
    assert_eq!(nothing.kind(), "input_missing");
    let empty = list(dir.path(), None).unwrap_err();
    assert!(matches!(empty, InputError::Empty { skipped: 0, .. }), "{empty}");
    let file = dir.path().join("x");
    fs::write(&file, b"\xff\xfeh\0i\0").unwrap();
    let below = list(&file.join("y"), None).unwrap_err();
    assert_eq!(below.kind(), "input_unreadable", "{below}");
    let source = list(&file, None).unwrap().sources.remove(0);
    let wide = probe(&source, true).unwrap_err();
    assert!(wide.to_string().contains("UTF-16LE") && wide.hint().is_some(), "{wide}");
}

#[test]
fn changed_lines_of_json_are_judged_alike_wherever_they_are_cut() {
    let deep = [b"[".repeat(3000), b"\n{\"a\":".repeat(300)].concat();
    let lines = r#"{"time":"2026-01-02T03:04:05Z","n":-1.5e3,"s":"gr\u00f6\u00dfe \ud83d\ude00"}

[1, 2, {"k": null}]
"text"
true
{"cut"#;
    let inputs = vec![lines.as_bytes().to_vec(), deep];
    let target = Target { name: "json lines", seed: 41, rounds: 1000, kept: &[], inputs };
    target.run(|input, random| {
        let count = |step: usize| {
            let mut lines = JsonLines::default();
            input.chunks(step).for_each(|part| lines.push(part));
            lines.finish();
            (lines.bad, lines.first_bad)
        };
        let judged = count(input.len().max(1));
        assert_eq!(judged, count(1 + random.below(4096)));
        let bad = |line: &[u8]| {
            !line.iter().all(u8::is_ascii_whitespace)
                && serde_json::from_slice::<serde::de::IgnoredAny>(line).is_err()
        };
        let bad = input.split(|&b| b == b'\n').filter(|line| bad(line)).count();
        assert_eq!(judged.0, bad as u64);
        let _ = (check_text(input, false), check_text(input, true));
    });
}
