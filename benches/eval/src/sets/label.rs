//! Which row of the table a question counts for: a task and a length.

use std::fmt;
use std::path::Path;

/// A task (or ability, or category) and a length.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    /// The task.
    pub task: String,
    /// The length, as the set states it; empty where it does not.
    pub length: String,
}

/// Names of files that say which part of a set they are, not which task.
const SPLITS: [&str; 5] = ["validation", "test", "train", "dev", "data"];

impl Label {
    /// A label without a length.
    #[must_use]
    pub fn of_task(task: impl Into<String>) -> Self {
        Self { task: task.into(), length: String::new() }
    }

    /// What a file's name says: `qa4_64k.json.zst` is task `qa4` at length `64k`; a file named for
    /// its split (`niah_single_1/validation.jsonl`) has the task of its folder, and a file whose
    /// folder is a length (`64k/qa4.json`) that length.
    #[must_use]
    pub fn of_file(path: &Path) -> Self {
        let names = path.iter().rev().map(|name| name.to_string_lossy().into_owned());
        let mut names = names.map(|name| name.trim_start_matches('.').to_owned());
        let stem = |name: String| name.split('.').next().unwrap_or_default().to_owned();
        let file = stem(names.next().unwrap_or_default());
        let folder = names.next();
        let mut label = Self::split(&file);
        if let Some(folder) = folder {
            if SPLITS.contains(&file.as_str()) {
                label = Self::split(&folder);
            } else if label.length.is_empty() && is_length(&folder) {
                label.length = folder;
            }
        }
        label
    }

    fn split(name: &str) -> Self {
        let at = name.rfind(['_', '-']).filter(|&at| at > 0 && is_length(&name[at + 1..]));
        match at {
            Some(at) => Self { task: name[..at].to_owned(), length: name[at + 1..].to_owned() },
            None => Self::of_task(name),
        }
    }
}

/// `8192`, `64k`, `1M`. One or two digits alone are a number of a task.
fn is_length(word: &str) -> bool {
    let digits = word.trim_end_matches(['k', 'K', 'm', 'M']);
    let unit = word.len() - digits.len();
    let number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    number && (unit == 1 || (unit == 0 && digits.len() >= 3))
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.task)?;
        if self.length.is_empty() { Ok(()) } else { write!(f, " at {}", self.length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn task_and_length_come_from_the_name() {
        for (path, task, length) in [
            ("x/niah_single_1_8192.jsonl.zst", "niah_single_1", "8192"),
            ("niah_single_2/validation.jsonl", "niah_single_2", ""),
            ("x/qa4_64k.json.zst", "qa4", "64k"),
            ("64k/qa4.json", "qa4", "64k"),
            ("passkey-1M.jsonl", "passkey", "1M"),
            ("qa_2.jsonl", "qa_2", ""),
            ("kv-retrieval-75_keys.jsonl.gz", "kv-retrieval-75_keys", ""),
            ("validation.jsonl", "validation", ""),
            ("", "", ""),
        ] {
            let label = Label::of_file(Path::new(path));
            assert_eq!((label.task.as_str(), label.length.as_str()), (task, length), "{path}");
        }
        assert_eq!(Label::of_file(Path::new("qa4_64k.json")).to_string(), "qa4 at 64k");
        assert_eq!(Label::of_task("a").to_string(), "a");
    }
}
