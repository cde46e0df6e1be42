//! Dead files: Rust that no `mod` leads to.

use crate::Problem;
use crate::files::File;
use crate::metadata::Package;
use crate::source::code_only;
use std::collections::{BTreeMap, BTreeSet};

/// Files of Rust that no library, program, test, example or bench of the workspace reaches.
///
/// Folders with a manifest that is not of this workspace are left out.
#[must_use]
pub fn dead_files(files: &[File], workspace: &[Package]) -> Vec<Problem> {
    let sources: BTreeMap<&str, &str> = files
        .iter()
        .filter(|file| file.ending() == "rs")
        .map(|file| (file.path.as_str(), file.text.as_deref().unwrap_or("")))
        .collect();
    let mut reached = BTreeSet::new();
    for root in workspace.iter().flat_map(|package| &package.roots) {
        reach(root, true, &sources, &mut reached);
    }
    let foreign: Vec<&str> = files
        .iter()
        .filter_map(|file| file.path.strip_suffix("/Cargo.toml"))
        .filter(|folder| {
            workspace
                .iter()
                .all(|package| package.manifest.trim_end_matches("/Cargo.toml") != *folder)
        })
        .collect();
    let is_foreign = |path: &str| foreign.iter().any(|folder| within(path, folder));
    let dead = sources.keys().filter(|path| !reached.contains(**path) && !is_foreign(path));
    dead.map(|path| Problem::of(path, "no `mod` leads here: name it in its parent or remove it"))
        .collect()
}

fn within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

fn reach(path: &str, root: bool, sources: &BTreeMap<&str, &str>, reached: &mut BTreeSet<String>) {
    let Some(text) = sources.get(path) else { return };
    if !reached.insert(path.to_owned()) {
        return;
    }
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let own = if root || name == "mod.rs" {
        folder.to_owned()
    } else {
        join(folder, name.trim_end_matches(".rs"))
    };
    for named in named_files(text) {
        match named {
            Named::Path(other) => reach(&join(folder, &other), false, sources, reached),
            Named::Module(module) => {
                let base = join(&own, &module);
                reach(&format!("{base}.rs"), false, sources, reached);
                reach(&format!("{base}/mod.rs"), false, sources, reached);
            }
        }
    }
}

/// `folder` and `path` in one, without `.` and `..`.
pub(crate) fn join(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    parts.join("/")
}

#[derive(Debug, PartialEq, Eq)]
enum Named {
    /// A module, with the inline modules around it: `outer/inner`.
    Module(String),
    /// A file, from the folder of the file that names it.
    Path(String),
}

/// What a file names with `mod name;`, `#[path = "..."] mod name;` and `include!("...")`.
fn named_files(text: &str) -> Vec<Named> {
    let code = code_only(text);
    let mut named = Vec::new();
    let mut inline: Vec<(String, usize)> = Vec::new();
    let mut depth = 0;
    let mut last_end = 0;
    let mut words = Words { code: &code, at: 0 };
    while let Some((at, word)) = words.next() {
        match word {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                inline.retain(|(_, opened)| *opened <= depth);
            }
            "mod" => {
                let (Some((_, module)), Some((end, after))) = (words.next(), words.next()) else {
                    break;
                };
                if after == "{" {
                    depth += 1;
                    inline.push((module.to_owned(), depth));
                } else if after == ";" {
                    let around: Vec<&str> = inline.iter().map(|(name, _)| name.as_str()).collect();
                    let module = join(&around.join("/"), module.trim_start_matches("r#"));
                    let path = quoted(&text[last_end..at], "path = \"");
                    named.push(path.map_or(Named::Module(module), Named::Path));
                    last_end = end;
                }
            }
            "include" => {
                let rest = &text[at..];
                let call = rest.strip_prefix("include!(\"").and_then(|rest| rest.split('"').next());
                named.extend(call.map(|path| Named::Path(path.to_owned())));
            }
            ";" => last_end = at,
            _ => {}
        }
        if word == "{" || word == "}" {
            last_end = at;
        }
    }
    named
}

fn quoted(text: &str, before: &str) -> Option<String> {
    let rest = &text[text.rfind(before)? + before.len()..];
    rest.split('"').next().map(str::to_owned)
}

/// Words and single signs, with their places.
struct Words<'a> {
    code: &'a str,
    at: usize,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<(usize, &'a str)> {
        let rest = &self.code[self.at..];
        let start = self.at + (rest.len() - rest.trim_start().len());
        let rest = &self.code[start..];
        let first = rest.chars().next()?;
        let part = |c: char| c.is_alphanumeric() || c == '_';
        let length = match rest.find(|c: char| !part(c)) {
            Some(0) => first.len_utf8(),
            Some(length) => length,
            None => rest.len(),
        };
        self.at = start + length;
        Some((start, &rest[..length]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules(text: &str) -> Vec<Named> {
        named_files(text)
    }

    fn module(name: &str) -> Named {
        Named::Module(name.to_owned())
    }

    #[test]
    fn modules_are_read_from_code_alone() {
        let text = "//! mod no;\npub(crate) mod a;\nmod b {\n    mod c;\n    fn x() {}\n}\nmod d;\n\
                    const S: &str = \"mod e;\";\n#[cfg(test)]\nmod tests;\n";
        assert_eq!(modules(text), [module("a"), module("b/c"), module("d"), module("tests")]);
    }

    #[test]
    fn paths_and_includes_are_read() {
        let text = "#[path = \"other/x.rs\"]\nmod x;\nmod y;\ninclude!(\"z.rs\");\n";
        let path = |path: &str| Named::Path(path.to_owned());
        assert_eq!(modules(text), [path("other/x.rs"), module("y"), path("z.rs")]);
    }

    #[test]
    fn a_file_that_nothing_names_is_dead() {
        let files = [
            File::made("a/src/lib.rs", "mod x;\nmod y { mod z; }"),
            File::made("a/src/x.rs", "mod deep;"),
            File::made("a/src/x/deep.rs", ""),
            File::made("a/src/y/z/mod.rs", ""),
            File::made("a/src/forgotten.rs", ""),
            File::made("fuzz/Cargo.toml", ""),
            File::made("fuzz/src/main.rs", ""),
        ];
        let package = Package {
            manifest: "a/Cargo.toml".to_owned(),
            roots: vec!["a/src/lib.rs".to_owned()],
            ..Package::default()
        };
        let dead = dead_files(&files, &[package]);
        assert_eq!(dead.len(), 1);
        assert_eq!(dead[0].path, "a/src/forgotten.rs");
    }
}
