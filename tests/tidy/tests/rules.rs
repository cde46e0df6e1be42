//! The project's own rules, run over this repository.

use lcedge_tidy::files::File;
use lcedge_tidy::metadata::{self, Package};
use lcedge_tidy::rules::Rules;
use lcedge_tidy::{Problem, arrows, files, licences, links, modules, source};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", root.display()))
}

fn all_files() -> Vec<File> {
    files::all(&root()).unwrap_or_else(|error| panic!("cannot read the repository: {error}"))
}

fn rules() -> Rules {
    Rules::read(&root()).unwrap_or_else(|error| panic!("{error}"))
}

fn workspace() -> Vec<Package> {
    metadata::workspace(&root()).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn none(problems: &[Problem]) {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}

#[test]
fn crates_know_only_what_they_may_know() {
    none(&arrows::wrong_arrows(&workspace()));
}

#[test]
fn external_crates_stay_at_home() {
    none(&arrows::away_from_home(&workspace()));
}

fn everything() -> Vec<Package> {
    let (packages, _) = metadata::everything(&root()).unwrap_or_else(|error| panic!("{error}"));
    assert!(packages.len() > 10, "cargo metadata lists only {} packages", packages.len());
    packages
}

#[test]
fn licences_are_permissive() {
    none(&licences::not_allowed(&everything()));
}

#[test]
fn third_party_names_every_direct_dependency_and_licence() {
    let path = root().join("THIRD-PARTY.md");
    let text = std::fs::read_to_string(&path);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    none(&licences::unnamed(&workspace(), &everything(), &text));
}

#[test]
fn lines_are_short() {
    none(&source::long_lines(&all_files()));
}

#[test]
fn files_are_short() {
    none(&source::long_files(&all_files(), &rules()));
}

#[test]
fn no_file_is_dead() {
    none(&modules::dead_files(&all_files(), &workspace()));
}

#[test]
fn unsafe_stays_in_its_rooms() {
    none(&source::unsafe_outside_rooms(&all_files(), &rules()));
}

#[test]
fn characters_can_be_seen() {
    none(&source::odd_characters(&all_files(), &rules()));
}

#[test]
fn no_path_of_a_machine() {
    none(&source::machine_paths(&all_files()));
}

#[test]
fn toml_parses() {
    none(&files::broken_toml(&all_files()));
}

#[test]
fn models_and_profiles_are_there_to_be_parsed() {
    let files = all_files();
    let count = |start: &str, end: &str| {
        files.iter().filter(|file| file.path.starts_with(start) && file.path.ends_with(end)).count()
    };
    assert!(count("models/zoo/", "/model.toml") > 0, "no models/zoo/*/model.toml");
    assert!(count("targets/profiles/", ".toml") > 0, "no targets/profiles/*.toml");
}

#[test]
fn links_lead_somewhere() {
    none(&links::broken_links(&all_files()));
}

#[test]
fn no_file_is_large() {
    none(&files::too_large(&all_files()));
}

#[test]
fn the_justfile_has_every_step_of_ci() {
    let files = all_files();
    let text = |path: &str| {
        let file = files.iter().find(|file| file.path == path);
        file.and_then(|file| file.text.as_deref()).unwrap_or_else(|| panic!("no {path}"))
    };
    let line = text(".ci/run").lines().find_map(|line| line.strip_prefix("steps=("));
    let steps = line.and_then(|line| line.strip_suffix(')')).expect("a line steps=(...)");
    for step in steps.split(' ') {
        let recipe = format!("\n{step}:\n    .ci/run {step}\n");
        assert!(text("justfile").contains(&recipe), "justfile: add a recipe for the step {step}");
    }
}
