//! The files of the repository: what git tracks or would track, without what it ignores.

use crate::Problem;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The largest file that the repository may hold.
pub const FILE_BYTES_MAX: u64 = 48 << 20;

/// Folders that are never looked into when there is no git to ask.
const SKIPPED: &[&str] = &["target", ".git", ".dev", "__pycache__"];

/// A file, read once.
#[derive(Clone, Debug)]
pub struct File {
    /// From the top of the repository, with `/`.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its content, if it is UTF-8 and not over a megabyte.
    pub text: Option<String>,
}

impl File {
    /// A file that is not on disk, for testing rules.
    #[must_use]
    pub fn made(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), bytes: text.len() as u64, text: Some(text.to_owned()) }
    }

    /// The ending of its name, without the dot.
    #[must_use]
    pub fn ending(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or("");
        name.rsplit_once('.').map_or("", |(_, ending)| ending)
    }

    /// Whether its head says that a program made it.
    #[must_use]
    pub fn is_generated(&self) -> bool {
        let text = self.text.as_deref().unwrap_or("");
        text.lines().take(5).any(|line| line.contains("@generated"))
    }

    /// Its lines with their numbers; none when it is not text.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.as_deref().unwrap_or("").lines())
    }
}

/// Every file below `root`.
///
/// # Errors
///
/// When a folder or a file cannot be read.
pub fn all(root: &Path) -> io::Result<Vec<File>> {
    let mut paths = match git(root) {
        Some(paths) => paths,
        None => {
            let mut paths = Vec::new();
            walk(root, root, &mut paths)?;
            paths
        }
    };
    paths.sort();
    paths.dedup();
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        let full = root.join(&path);
        // A tracked file may just have been removed.
        let Ok(meta) = fs::symlink_metadata(&full) else { continue };
        if !meta.is_file() {
            continue;
        }
        let text =
            if meta.len() <= 1 << 20 { String::from_utf8(fs::read(&full)?).ok() } else { None };
        files.push(File { path, bytes: meta.len(), text });
    }
    Ok(files)
}

/// What git lists: tracked files and those that are neither tracked nor ignored.
fn git(root: &Path) -> Option<Vec<String>> {
    if !root.join(".git").exists() {
        return None;
    }
    let mut command = Command::new("git");
    command.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let output = command.current_dir(root).output().ok()?;
    if !output.status.success() {
        return None;
    }
    let listed = String::from_utf8(output.stdout).ok()?;
    Some(listed.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
}

fn walk(root: &Path, folder: &Path, paths: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path: PathBuf = entry.path();
        let name = entry.file_name();
        if entry.file_type()?.is_dir() {
            if !SKIPPED.iter().any(|skipped| name == *skipped) {
                walk(root, &path, paths)?;
            }
        } else if let Ok(relative) = path.strip_prefix(root) {
            paths.push(relative.to_string_lossy().replace('\\', "/"));
        }
    }
    Ok(())
}

/// Files that are too large for a repository.
#[must_use]
pub fn too_large(files: &[File]) -> Vec<Problem> {
    let large = files.iter().filter(|file| file.bytes > FILE_BYTES_MAX);
    let advice = "fetch it by name and hash instead of committing it";
    large
        .map(|file| {
            let mib = file.bytes >> 20;
            Problem::of(&file.path, format!("{mib} MiB, more than 48 MiB: {advice}"))
        })
        .collect()
}

/// TOML files that are data (models, profiles, rules) and do not parse.
#[must_use]
pub fn broken_toml(files: &[File]) -> Vec<Problem> {
    let toml = files.iter().filter(|file| file.ending() == "toml");
    toml.filter_map(|file| {
        let text = file.text.as_deref()?;
        let error = text.parse::<toml::Table>().err()?;
        let line = error.span().map_or(0, |span| text[..span.start].matches('\n').count() + 1);
        Some(Problem::at(&file.path, line, format!("not TOML: {}", error.message())))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_over_the_limit_is_named() {
        let mut file = File::made("weights.bin", "");
        assert!(too_large(std::slice::from_ref(&file)).is_empty());
        file.bytes = FILE_BYTES_MAX + 1;
        assert_eq!(too_large(&[file]).len(), 1);
    }

    #[test]
    fn broken_toml_is_named_with_its_line() {
        let files = [File::made("a.toml", "x = 1\n"), File::made("b.toml", "x = 1\ny = \n")];
        let problems = broken_toml(&files);
        assert_eq!(problems.len(), 1);
        assert_eq!((problems[0].path.as_str(), problems[0].line), ("b.toml", 2));
    }

    #[test]
    fn without_git_the_folder_is_walked() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let files = all(root).unwrap();
        assert!(files.iter().any(|file| file.path == "src/files.rs"));
        assert!(files.iter().all(|file| !file.path.starts_with("target/")));
    }

    #[test]
    fn endings_and_generated_heads_are_seen() {
        assert_eq!(File::made("a/b.tar.gz", "").ending(), "gz");
        assert_eq!(File::made("a.b/LICENSE", "").ending(), "");
        let head = concat!("// @gen", "erated by x\n");
        assert!(File::made("a.rs", head).is_generated());
        assert!(!File::made("a.rs", "// made by hand\n").is_generated());
    }
}
