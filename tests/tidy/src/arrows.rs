//! Which crate of ours may know which, and where external crates live.

use crate::Problem;
use crate::metadata::Package;

/// A crate of ours and those of ours that it may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("lcedge-memory", &[]),
    ("lcedge-compress", &["lcedge-memory"]),
    ("lcedge-models", &["lcedge-memory"]),
    ("lcedge-targets", &["lcedge-models", "lcedge-memory"]),
    ("lcedge", &["lcedge-memory", "lcedge-compress", "lcedge-models", "lcedge-targets"]),
    ("lcedge-eval", &["lcedge"]),
    ("lcedge-server", &["lcedge"]),
    ("lcedge-capi", &["lcedge"]),
    ("lcedge-cli", &["lcedge", "lcedge-server", "lcedge-eval"]),
    ("lcedge-tidy", &[]),
];

/// For tests alone: crates of ours that may be used beyond [`ARROWS`].
const TEST_ARROWS: &[(&str, &[&str])] = &[("lcedge", &["lcedge-eval"])];

/// External crates and the crates of ours in which they live.
const HOMES: &[(&str, &[&str])] = &[
    ("ort", &["lcedge-targets"]),
    ("ort-sys", &["lcedge-targets"]),
    ("memmap2", &["lcedge-memory"]),
    ("rusqlite", &["lcedge-memory"]),
    ("libsqlite3-sys", &["lcedge-memory"]),
    ("tokenizers", &["lcedge-models"]),
    ("prost", &["lcedge-models"]),
    ("prost-build", &["lcedge-models"]),
    ("protox", &["lcedge-models"]),
    ("minijinja", &["lcedge-models"]),
    ("ndarray", &["lcedge-compress"]),
    ("crossbeam", &["lcedge"]),
    ("crossbeam-channel", &["lcedge"]),
    ("crossbeam-queue", &["lcedge"]),
    ("heapless", &["lcedge", "lcedge-memory"]),
    ("clap", &["lcedge-cli"]),
    ("anyhow", &["lcedge-cli"]),
    ("tokio", &["lcedge-server", "lcedge-cli"]),
    ("axum", &["lcedge-server"]),
    ("hyper", &["lcedge-server"]),
];

/// Arrows between crates of ours that the design does not have.
#[must_use]
pub fn wrong_arrows(workspace: &[Package]) -> Vec<Problem> {
    let ours = |name: &str| workspace.iter().any(|package| package.name == name);
    let mut problems = Vec::new();
    for package in workspace {
        let Some(allowed) = find(ARROWS, &package.name) else {
            let what = format!("crate {} is new: add its arrows to tidy's ARROWS", package.name);
            problems.push(Problem::of(&package.manifest, what));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|one| ours(&one.name)) {
            let for_tests = find(TEST_ARROWS, &package.name).unwrap_or(&[]);
            let name = dependency.name.as_str();
            // A crate may turn on its own test features.
            let itself = dependency.dev && name == package.name;
            if itself || allowed.contains(&name) || (dependency.dev && for_tests.contains(&name)) {
                continue;
            }
            let knows = if allowed.is_empty() { "none of ours".into() } else { allowed.join(", ") };
            let what = format!("{} must not know {name}: it may know {knows}", package.name);
            problems.push(Problem::of(&package.manifest, what));
        }
    }
    problems
}

/// External crates outside their home.
#[must_use]
pub fn away_from_home(workspace: &[Package]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for package in workspace {
        for dependency in &package.dependencies {
            let Some(homes) = find(HOMES, &dependency.name) else { continue };
            if homes.contains(&package.name.as_str()) {
                continue;
            }
            let (name, home) = (&dependency.name, homes.join(" or "));
            let what = format!("{name} lives in {home}: use what that crate offers instead");
            problems.push(Problem::of(&package.manifest, what));
        }
    }
    problems
}

fn find<'a>(table: &[(&str, &'a [&'a str])], name: &str) -> Option<&'a [&'a str]> {
    table.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Dependency;

    fn package(name: &str, dependencies: &[(&str, bool)]) -> Package {
        let dependency =
            |(name, dev): &(&str, bool)| Dependency { name: (*name).to_owned(), dev: *dev };
        Package {
            name: name.to_owned(),
            manifest: format!("{name}/Cargo.toml"),
            dependencies: dependencies.iter().map(dependency).collect(),
            ..Package::default()
        }
    }

    #[test]
    fn an_arrow_against_the_flow_is_found_also_in_tests() {
        let good = package("lcedge-compress", &[("lcedge-memory", false), ("half", false)]);
        let bad = package("lcedge-memory", &[("lcedge-compress", true)]);
        let problems = wrong_arrows(&[good, bad]);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].what.contains("it may know none of ours"), "{}", problems[0]);
    }

    #[test]
    fn a_crate_without_arrows_is_found() {
        assert_eq!(wrong_arrows(&[package("lcedge-new", &[])]).len(), 1);
    }

    #[test]
    fn tests_of_the_library_may_use_the_generators() {
        let eval = package("lcedge-eval", &[]);
        assert!(
            wrong_arrows(&[package("lcedge", &[("lcedge-eval", true)]), eval.clone()]).is_empty()
        );
        assert_eq!(wrong_arrows(&[package("lcedge", &[("lcedge-eval", false)]), eval]).len(), 1);
    }

    #[test]
    fn a_crate_away_from_home_is_found() {
        let home = package("lcedge-targets", &[("ort", false)]);
        let away = package("lcedge", &[("ort", false), ("crossbeam", false)]);
        let problems = away_from_home(&[home, away]);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].path, "lcedge/Cargo.toml");
    }
}
