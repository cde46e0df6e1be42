//! The committed examples are what the generator makes, and their README tells the truth of them.

use lcedge_eval::samples;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

fn committed(file: &str) -> String {
    let path = folder().join(file);
    let text = std::fs::read_to_string(&path);
    // A checkout on Windows may have turned the ends of lines.
    text.unwrap_or_else(|error| panic!("{}: {error}", path.display())).replace("\r\n", "\n")
}

#[test]
fn committed_logs_equal_what_the_generator_makes() {
    for sample in samples::all() {
        let same = committed(sample.file) == sample.text;
        let advice = "cargo run --release -p lcedge-eval --example make_logs -- examples examples";
        assert!(same, "examples/{} is not what the generator makes: {advice}", sample.file);
    }
}

#[test]
fn the_readme_has_the_questions_with_their_answers_and_lines() {
    let readme = committed("README.md");
    for sample in samples::all() {
        let advice = "take them from `make_logs questions`";
        assert!(readme.contains(&sample.table()), "questions of {}: {advice}", sample.file);
    }
}
