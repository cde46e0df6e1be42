//! How the sets score an answer, as their own programs do it.

use super::babilong::only_label;
use super::stem::stem;
use crate::score::answers;

/// How an answer is scored.
#[derive(Clone, Debug, PartialEq)]
pub enum Scoring {
    /// The share of these values that the answer contains, in any case of letters (RULER).
    Share(Vec<String>),
    /// Whether it contains one of them, in any case of letters (questions of RULER, and the values
    /// of Lost in the Middle).
    Any(Vec<String>),
    /// Whether its first run of digits is this (InfiniteBench's pass key).
    FirstNumber(String),
    /// Whether its last run of digits is this number (LongEval's lines).
    LastNumber(String),
    /// Whether its first sentence names this label and no other of the task's, those of the
    /// question left out (BABILong).
    Label {
        /// The right one.
        target: String,
        /// All that the task knows.
        labels: &'static [&'static str],
        /// The question.
        question: String,
    },
    /// Overlap of words (LoCoMo).
    F1(String),
    /// The mean over these parts, each compared with the part of the answer, between commas, that
    /// fits it best (LoCoMo's questions that join several turns).
    F1Parts(Vec<String>),
    /// Whether it contains this value as whole words.
    Value(String),
    /// The text does not say it: right when nothing is given out.
    Absent,
    /// No program can tell.
    Unscored,
}

impl Scoring {
    /// The score of an answer, 0 to 1: `said` is what was said, `found` whether it is given out;
    /// `None` when no program can tell.
    #[must_use]
    pub fn score(&self, said: &str, found: bool) -> Option<f64> {
        let yes = |right: bool| Some(f64::from(u8::from(right)));
        match self {
            Self::Share(values) => {
                let said = said.to_lowercase();
                let held = values.iter().filter(|v| said.contains(&v.to_lowercase())).count();
                Some(held as f64 / values.len().max(1) as f64)
            }
            Self::Any(values) => {
                let said = said.to_lowercase();
                yes(values.iter().any(|v| said.contains(&v.to_lowercase())))
            }
            Self::FirstNumber(number) => yes(numbers(said).next() == Some(number.as_str())),
            Self::LastNumber(number) => {
                let last = numbers(said).last().map(|n| n.trim_start_matches('0'));
                yes(last == Some(number.trim_start_matches('0')))
            }
            Self::Label { target, labels, question } => {
                yes(only_label(target, said, question, labels))
            }
            Self::F1(expected) => Some(f1(said, expected)),
            Self::F1Parts(parts) => Some(f1_of_parts(said, parts)),
            Self::Value(value) => yes(answers(said, value)),
            Self::Absent => yes(!found),
            Self::Unscored => None,
        }
    }

    /// The right answer as people read it.
    #[must_use]
    pub fn expected(&self) -> String {
        match self {
            Self::Share(values) | Self::F1Parts(values) => values.join(", "),
            Self::Any(values) => values.join(" or "),
            Self::FirstNumber(x) | Self::LastNumber(x) | Self::Value(x) | Self::F1(x) => x.clone(),
            Self::Label { target, .. } => target.clone(),
            Self::Absent => "(absent)".to_owned(),
            Self::Unscored => "(not scored)".to_owned(),
        }
    }
}

/// Runs of digits.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_digit()).filter(|run| !run.is_empty())
}

/// Words in lower case, without signs.
fn words(text: &str, left_out: &[&str]) -> Vec<String> {
    let signs = |c: &char| !c.is_ascii_punctuation();
    let text: String = text.chars().filter(signs).flat_map(char::to_lowercase).collect();
    text.split_whitespace().filter(|w| !left_out.contains(w)).map(str::to_owned).collect()
}

/// Overlap of the stems of the words of `said` with those of `expected`: harmonic mean of precision
/// and recall, in lower case, without signs and articles.
#[must_use]
pub fn f1(said: &str, expected: &str) -> f64 {
    let stems = |text: &str| -> Vec<String> {
        words(text, &["a", "an", "the", "and"]).iter().map(|w| stem(w)).collect()
    };
    let (said, mut wanted) = (stems(said), stems(expected));
    let total = said.len() + wanted.len();
    let mut shared = 0;
    for word in &said {
        if let Some(at) = wanted.iter().position(|w| w == word) {
            wanted.swap_remove(at);
            shared += 1;
        }
    }
    if shared == 0 { 0.0 } else { 2.0 * f64::from(shared) / total as f64 }
}

fn f1_of_parts(said: &str, parts: &[String]) -> f64 {
    let best = |part: &String| said.split(',').map(|piece| f1(piece, part)).fold(0.0, f64::max);
    parts.iter().map(best).sum::<f64>() / parts.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|&w| w.to_owned()).collect()
    }

    #[test]
    fn values_are_found_in_any_case() {
        let share = Scoring::Share(strings(&["Alpha", "7"]));
        assert_eq!(share.score("It is ALPHA.", false), Some(0.5));
        assert_eq!(share.score("alpha and 17", false), Some(1.0), "as RULER's own program");
        let any = Scoring::Any(strings(&["Alpha", "Beta"]));
        assert_eq!(any.score("the beta one", false), Some(1.0));
        assert_eq!(any.score("", true), Some(0.0));
    }

    #[test]
    fn numbers_are_taken_first_or_last() {
        let first = Scoring::FirstNumber("123".to_owned());
        for (said, score) in [("The key is 123, not 45", 1.0), ("45, 123", 0.0), ("none", 0.0)] {
            assert_eq!(first.score(said, true), Some(score), "{said}");
        }
        let last = Scoring::LastNumber("420".to_owned());
        for (said, score) in [("line 7 holds <420>", 1.0), ("420 in line 7", 0.0), ("0420", 1.0)] {
            assert_eq!(last.score(said, true), Some(score), "{said}");
        }
    }

    #[test]
    fn a_value_is_wanted_as_whole_words() {
        let value = Scoring::Value("95%".to_owned());
        assert_eq!(value.score("It rose to 95% in May.", true), Some(1.0));
        assert_eq!(Scoring::Value("25 problems".to_owned()).score("125 problems", true), Some(0.0));
    }

    #[test]
    fn absent_facts_are_right_when_nothing_is_given_out() {
        assert_eq!(Scoring::Absent.score("7", false), Some(1.0));
        assert_eq!(Scoring::Absent.score("7", true), Some(0.0));
        assert_eq!(Scoring::Unscored.score("7", true), None);
    }

    #[test]
    fn overlap_counts_each_word_once() {
        assert_eq!(f1("The cat, the cat!", "a cat"), 2.0 / 3.0);
        assert_eq!(f1("7 May 2023", "7 May 2023"), 1.0);
        assert_eq!(f1("no idea", "7 May 2023"), 0.0);
        assert_eq!(f1("", ""), 0.0);
        assert_eq!(Scoring::F1("a cat".to_owned()).score("Cats, dogs", true), Some(2.0 / 3.0));
        assert_eq!(f1("She went camping twice.", "camped"), 0.4);
        let parts = Scoring::F1Parts(strings(&["pottery", "camping trips"]));
        assert_eq!(parts.score("camping, pottery", true), Some((1.0 + 2.0 / 3.0) / 2.0));
    }
}
