//! Readers of public test sets, each in the form in which it is published, and the way each is
//! scored.
//!
//! Nothing of a set is in this repository: its files are named by who runs the evaluation. A file
//! is JSON, one object a line or one array of objects, plain or packed with Zstandard or gzip. One
//! sample at a time is in memory.

mod babilong;
mod beam;
mod evidence;
mod file;
mod kv;
mod label;
mod locomo;
mod longeval;
mod passkey;
mod records;
mod ruler;
mod scoring;
mod stem;
mod tally;

use std::io::BufRead;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::de::DeserializeOwned;

pub use evidence::{PASSAGES, share_found};
pub use label::Label;
pub use scoring::{Scoring, f1};
pub use tally::{Figures, Scored, Tally};

use records::{RecordError, Records};

/// A public test set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// RULER (Hsieh et al. 2024): needles, tracing, aggregation, questions; by task and length.
    Ruler,
    /// BABILong (Kuratov et al. 2024): bAbI facts among the sentences of books.
    Babilong,
    /// A pass key among repeated sentences (as in InfiniteBench, Zhang et al. 2024).
    Passkey,
    /// Line retrieval of LongEval (Li et al. 2023).
    Longeval,
    /// Key-value retrieval (Liu et al. 2023, "Lost in the Middle"; InfiniteBench).
    Kv,
    /// LoCoMo (Maharana et al. 2024): long dialogues of two people.
    Locomo,
    /// BEAM (Tavakoli et al. 2025): conversations with an assistant and questions of ten abilities.
    Beam,
}

impl Set {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Ruler,
        Self::Babilong,
        Self::Passkey,
        Self::Longeval,
        Self::Kv,
        Self::Locomo,
        Self::Beam,
    ];

    /// As `lcedge eval` takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ruler => "ruler",
            Self::Babilong => "babilong",
            Self::Passkey => "passkey",
            Self::Longeval => "longeval",
            Self::Kv => "kv",
            Self::Locomo => "locomo",
            Self::Beam => "beam",
        }
    }

    /// Tokens that an answer of this set may need.
    #[must_use]
    pub const fn answer_tokens(self) -> usize {
        match self {
            Self::Ruler => 128,
            Self::Kv => 64,
            Self::Passkey | Self::Longeval | Self::Babilong => 32,
            Self::Locomo | Self::Beam => 48,
        }
    }
}

/// A word that names no set.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is none of ruler, babilong, passkey, longeval, kv, locomo, beam")]
pub struct UnknownSet(String);

impl FromStr for Set {
    type Err = UnknownSet;

    fn from_str(word: &str) -> Result<Self, UnknownSet> {
        let found = Self::ALL.into_iter().find(|set| set.name() == word);
        found.ok_or_else(|| UnknownSet(word.to_owned()))
    }
}

/// One context and what is asked about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The context.
    pub text: String,
    /// The turns of a conversation, as byte ranges of the text that follow one another; empty for
    /// a text that is no conversation.
    pub turns: Vec<Range<usize>>,
    /// What is asked.
    pub questions: Vec<Asked>,
}

/// One question and how its answer is scored.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The row of the table that it counts for.
    pub label: Label,
    /// The question.
    pub text: String,
    /// How the answer is scored.
    pub scoring: Scoring,
    /// Where the text says so, as byte ranges of the text; empty where the set does not tell.
    pub evidence: Vec<Range<usize>>,
}

/// Why a file of samples could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetError {
    /// It could not be read or unpacked.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system or the unpacker says.
        source: std::io::Error,
    },
    /// A sample is not of the set's form.
    #[error("{}, line {line}: {what}", path.display())]
    Bad {
        /// The file.
        path: PathBuf,
        /// The line on which the sample begins, from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
    /// It holds no sample.
    #[error("{}: there is no sample in the file", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// The samples of one file, read as they are asked for. Ends behind the first error.
pub struct Samples {
    set: Set,
    path: PathBuf,
    label: Label,
    records: Records<Box<dyn BufRead>>,
    read: usize,
    ended: bool,
}

impl Samples {
    /// Opens a file of a set.
    ///
    /// # Errors
    /// [`SetError::Read`] when the file cannot be opened.
    pub fn open(set: Set, path: &Path) -> Result<Self, SetError> {
        let read = |source| SetError::Read { path: path.to_owned(), source };
        let input = file::open(path).map_err(read)?;
        Ok(Self::of(set, path, input))
    }

    fn of(set: Set, path: &Path, input: Box<dyn BufRead>) -> Self {
        let (label, records) = (Label::of_file(path), Records::new(input));
        Self { set, path: path.to_owned(), label, records, read: 0, ended: false }
    }

    fn read_next(&mut self) -> Result<Option<Sample>, SetError> {
        let path = || self.path.clone();
        let (line, object) = match self.records.next() {
            Ok(Some(found)) => found,
            Ok(None) if self.read == 0 => return Err(SetError::Empty { path: path() }),
            Ok(None) => return Ok(None),
            Err(RecordError::Read(source)) => return Err(SetError::Read { path: path(), source }),
            Err(RecordError::Bad(line, what)) => {
                return Err(SetError::Bad { path: path(), line, what });
            }
        };
        self.read += 1;
        let sample = match self.set {
            Set::Ruler => ruler::sample(object, &self.label),
            Set::Babilong => babilong::sample(object, &self.label),
            Set::Passkey => passkey::sample(object, &self.label),
            Set::Longeval => longeval::sample(object, &self.label),
            Set::Kv => kv::sample(object, &self.label),
            Set::Locomo => locomo::sample(object),
            Set::Beam => beam::sample(object),
        };
        sample.map(Some).map_err(|what| SetError::Bad { path: path(), line, what })
    }
}

impl Iterator for Samples {
    type Item = Result<Sample, SetError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.read_next().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

/// Reads an object as `T`; what is missing is said without positions, which would be those within
/// the object.
fn parse<T: DeserializeOwned>(object: &[u8], set: &str) -> Result<T, String> {
    serde_json::from_slice(object).map_err(|e| {
        let words = e.to_string();
        let words = words.split(" at line ").next().unwrap_or(&words);
        format!("this is no sample of {set}: {words}")
    })
}

/// The whole line around a byte of `text`, without its end.
fn line_around(text: &str, at: usize) -> Range<usize> {
    let start = text[..at].rfind('\n').map_or(0, |i| i + 1);
    let end = text[at..].find('\n').map_or(text.len(), |i| at + i);
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn samples(set: Set, text: &str) -> Vec<Result<Sample, SetError>> {
        let input = Box::new(Cursor::new(text.to_owned().into_bytes()));
        Samples::of(set, Path::new("made/passkey_8192.jsonl"), input).collect()
    }

    #[test]
    fn names_are_those_of_the_command() {
        for set in Set::ALL {
            assert_eq!(set.name().parse(), Ok(set));
        }
        assert!("needle".parse::<Set>().unwrap_err().to_string().contains("ruler"));
    }

    #[test]
    fn a_bad_sample_is_named_with_its_line_and_ends_the_file() {
        let good = r#"{"context": "The key is 7.", "input": "Which?", "answer": "7"}"#;
        let all = samples(Set::Passkey, &format!("{good}\n\n{{\"context\": \"x\"}}\n{good}\n"));
        assert_eq!(all.len(), 2);
        assert!(all[0].is_ok());
        let words = all[1].as_ref().unwrap_err().to_string();
        assert!(words.starts_with("made/passkey_8192.jsonl, line 3:"), "{words}");
        assert!(words.ends_with("missing field `input`"), "{words}");
        let words = samples(Set::Passkey, "no json")[0].as_ref().unwrap_err().to_string();
        assert!(words.contains("line 1") && words.contains("object"), "{words}");
        assert!(matches!(samples(Set::Passkey, " \n")[..], [Err(SetError::Empty { .. })]));
        assert!(matches!(samples(Set::Passkey, "[]")[..], [Err(SetError::Empty { .. })]));
        assert!(matches!(
            Samples::open(Set::Kv, Path::new("nothing.json")),
            Err(SetError::Read { .. })
        ));
    }

    #[test]
    fn an_array_is_read_like_lines() {
        let one =
            r#"{"input": "The cat is west of the dog.", "question": "Who?", "target": "cat"}"#;
        for text in [format!("[{one},\n{one}]"), format!("{one}\n{one}\n")] {
            let all = samples(Set::Babilong, &text);
            assert_eq!(all.len(), 2);
            assert_eq!(all[1].as_ref().unwrap().text, "The cat is west of the dog.");
        }
    }

    #[test]
    fn the_line_around_a_byte_ends_where_lines_end() {
        let text = "one\ntwo\nthree";
        assert_eq!([0, 5, 8].map(|at| line_around(text, at)), [0..3, 4..7, 8..13]);
        assert_eq!(line_around(text, 3), 0..3);
    }
}
