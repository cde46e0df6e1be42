//! Licences of all that is built in: only permissive ones.

use crate::Problem;
use crate::metadata::Package;
use std::collections::{BTreeMap, BTreeSet};

/// Licences that ask for no more than keeping notices.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Unlicense",
    "Zlib",
];

/// Packages that are allowed though their manifest states no allowed licence, with the reason.
const EXCEPTIONS: &[(&str, &str)] = &[];

/// Packages whose licence is not allowed: copyleft, unknown or missing.
#[must_use]
pub fn not_allowed(packages: &[Package]) -> Vec<Problem> {
    let excepted = |name: &str| EXCEPTIONS.iter().any(|(package, _)| *package == name);
    let others = packages.iter().filter(|package| !excepted(&package.name));
    others
        .filter_map(|package| {
            let what = match package.licence.as_deref() {
                None => "states no licence".to_owned(),
                Some(text) if is_allowed(text) => return None,
                Some(text) => format!("is under {text}"),
            };
            let place = format!("{} {}", package.name, package.version);
            let advice = "use another crate, or decide on it in tidy's ALLOWED or EXCEPTIONS";
            Some(Problem::of(&place, format!("{what}: {advice}")))
        })
        .collect()
}

/// Whether an SPDX expression can be met with allowed licences alone (`/` is an old way to write
/// `OR`).
#[must_use]
pub fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let allowed = any(&mut words);
    allowed && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words<'_>) -> bool {
    let mut allowed = every(words);
    while words.next_if_eq(&"OR").is_some() {
        let other = every(words);
        allowed = allowed || other;
    }
    allowed
}

fn every(words: &mut Words<'_>) -> bool {
    let mut allowed = single(words);
    while words.next_if_eq(&"AND").is_some() {
        let other = single(words);
        allowed = allowed && other;
    }
    allowed
}

fn single(words: &mut Words<'_>) -> bool {
    let Some(word) = words.next() else { return false };
    if word == "(" {
        let allowed = any(words);
        return words.next_if_eq(&")").is_some() && allowed;
    }
    match words.next_if_eq(&"WITH").and_then(|_| words.next()) {
        Some(exception) => ALLOWED.contains(&format!("{word} WITH {exception}").as_str()),
        None => ALLOWED.contains(&word),
    }
}

/// The packages that are not ours, by their licence as stated: `name version`.
#[must_use]
pub fn by_licence(
    packages: &[Package],
    workspace: &[Package],
) -> BTreeMap<String, BTreeSet<String>> {
    let mut table: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let ours = |name: &str| workspace.iter().any(|own| own.name == name);
    for package in packages.iter().filter(|package| !ours(&package.name)) {
        let licence = package.licence.as_deref().unwrap_or("(none stated)");
        let licence = licence.replace('/', " OR ");
        let licence = licence.split_whitespace().collect::<Vec<_>>().join(" ");
        table.entry(licence).or_default().insert(format!("{} {}", package.name, package.version));
    }
    table
}

/// The external crates that manifests of ours name for what is shipped, not for tests alone.
#[must_use]
pub fn direct(workspace: &[Package]) -> BTreeSet<String> {
    let ours = |name: &str| workspace.iter().any(|own| own.name == name);
    let all = workspace.iter().flat_map(|package| &package.dependencies);
    all.filter(|one| !one.dev && !ours(&one.name)).map(|one| one.name.clone()).collect()
}

/// Direct dependencies and licences that `THIRD-PARTY.md` does not name.
#[must_use]
pub fn unnamed(workspace: &[Package], packages: &[Package], third_party: &str) -> Vec<Problem> {
    let advice = "put what `cargo run -p lcedge-tidy --example third_party` prints into it";
    let crates = direct(workspace).into_iter().map(|name| format!("| `{name}` |"));
    let licences = by_licence(packages, workspace).into_keys().map(|name| format!("* {name}\n"));
    let missing = |entry: &String| !third_party.contains(entry.as_str());
    let entries = crates.chain(licences).filter(missing);
    entries
        .map(|entry| {
            let what = format!("does not have `{}`: {advice}", entry.trim());
            Problem::of("THIRD-PARTY.md", what)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Dependency;

    #[test]
    fn expressions_are_read_as_spdx() {
        let good = [
            "MIT",
            "MIT OR Apache-2.0",
            "MIT/Apache-2.0",
            "GPL-2.0-only OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-3.0-only",
            "Apache-2.0 AND (MIT OR LGPL-2.1-only)",
        ];
        for expression in good {
            assert!(is_allowed(expression), "{expression}");
        }
        let bad = [
            "",
            "GPL-3.0-only",
            "MIT AND GPL-2.0-only",
            "LGPL-2.1-or-later",
            "MPL-2.0",
            "AGPL-3.0-only OR SSPL-1.0",
            "GPL-2.0-only WITH Classpath-exception-2.0",
            "(MIT",
            "MIT Apache-2.0",
            "Proprietary",
        ];
        for expression in bad {
            assert!(!is_allowed(expression), "{expression}");
        }
    }

    fn package(name: &str, licence: Option<&str>) -> Package {
        let licence = licence.map(str::to_owned);
        Package {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            licence,
            ..Package::default()
        }
    }

    #[test]
    fn copyleft_and_silence_are_found() {
        let packages =
            [package("a", Some("MIT")), package("b", Some("GPL-3.0-only")), package("c", None)];
        let problems = not_allowed(&packages);
        assert_eq!(problems.len(), 2);
        assert!(problems[1].what.contains("states no licence"));
    }

    #[test]
    fn direct_dependencies_and_licences_must_be_named() {
        let mut own = package("own", Some("Apache-2.0"));
        let dependency = |name: &str, dev| Dependency { name: name.to_owned(), dev };
        own.dependencies = vec![dependency("serde", false), dependency("proptest", true)];
        let own = [own];
        let serde = [package("serde", Some("MIT/Apache-2.0"))];
        assert_eq!(unnamed(&own, &serde, "| `toml` | MIT |\n* MIT\n").len(), 2);
        assert!(unnamed(&own, &serde, "| `serde` | MIT |\n* MIT OR Apache-2.0\n").is_empty());
    }
}
