//! Facts hidden in a log or a text, questions about them, and questions that the text does not
//! answer.
//!
//! There are two families of templates that share no wording. What is tuned (the threshold on
//! confidence) is tuned on [`Family::Calibration`] and reported on [`Family::Evaluation`]. Names
//! are drawn from two halves of each list of words, so the families share no name either.

mod calibration;
mod evaluation;
mod planter;
mod stamp;
mod template;
mod words;

use planter::Planter;

/// Which set of templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// For choosing thresholds and weights.
    Calibration,
    /// For reporting. Nothing is ever chosen on it.
    Evaluation,
}

impl Family {
    /// The family's name on a command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Calibration => "calibration",
            Self::Evaluation => "evaluation",
        }
    }

    /// The family of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Calibration, Self::Evaluation].into_iter().find(|family| family.name() == name)
    }
}

/// How much to hide: the same options and text make the same result on every machine.
#[derive(Clone, Copy, Debug)]
pub struct NeedleOptions {
    /// Which templates.
    pub family: Family,
    /// Facts to hide, each with a question.
    pub facts: usize,
    /// Questions that the text does not answer.
    pub absent: usize,
    /// Look-alikes to hide: the same kind of line about a similar name, with another value.
    pub distractors: usize,
    /// No fact stands in this many bytes at the end, so that none is in the window when the text
    /// ends.
    pub clear_tail_bytes: usize,
    /// The seed of everything random.
    pub seed: u64,
}

impl NeedleOptions {
    /// 60 facts, 60 absent questions and 60 look-alikes of `family`.
    #[must_use]
    pub fn new(family: Family, seed: u64) -> Self {
        Self { family, facts: 60, absent: 60, distractors: 60, clear_tail_bytes: 0, seed }
    }
}

/// A hidden fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needle {
    /// The template's name.
    pub template: &'static str,
    /// Whom or what the fact is about.
    pub entity: String,
    /// The question.
    pub question: String,
    /// The value that a right answer contains. It occurs once in the text.
    pub answer: String,
    /// The line, counted from 1.
    pub line: u64,
    /// The line's first byte in the text.
    pub byte_start: usize,
    /// One past the line's last byte, without its end of line.
    pub byte_end: usize,
}

/// Why a question has no answer in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AbsentKind {
    /// Nothing is said of this name; a similar one may occur.
    UnknownEntity,
    /// The name occurs in a fact, what is asked of it does not.
    UnstatedAttribute,
}

/// A question that the text does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent {
    /// The template whose question, or whose near miss, this is.
    pub template: &'static str,
    /// Whom or what it asks about.
    pub entity: String,
    /// The question.
    pub question: String,
    /// Why nothing answers it.
    pub kind: AbsentKind,
}

/// A text with hidden facts.
#[derive(Clone, Debug)]
pub struct Haystack {
    /// The text with the facts and look-alikes in it.
    pub text: Vec<u8>,
    /// The facts, in the order of their lines.
    pub needles: Vec<Needle>,
    /// The questions without an answer.
    pub absent: Vec<Absent>,
    /// The lines of the look-alikes, counted from 1.
    pub distractors: Vec<u64>,
}

/// One question of either sort, for a loop over all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case<'a> {
    /// The question.
    pub question: &'a str,
    /// The right answer and its line; `None` when the text holds none.
    pub expected: Option<(&'a str, u64)>,
}

impl Haystack {
    /// Every question: first the facts, then the absent ones.
    pub fn cases(&self) -> impl Iterator<Item = Case<'_>> {
        let facts = self.needles.iter().map(|needle| Case {
            question: &needle.question,
            expected: Some((&needle.answer, needle.line)),
        });
        let absent = self.absent.iter().map(|a| Case { question: &a.question, expected: None });
        facts.chain(absent)
    }
}

/// Why facts could not be hidden.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlantError {
    /// No further unique name and value was found.
    #[error(
        "only {made} of {wanted} {what} could be made: no further name and value is new to it; \
         ask for fewer"
    )]
    Exhausted {
        /// `facts`, `look-alikes` or `absent questions`.
        what: &'static str,
        /// How many were asked for.
        wanted: usize,
        /// How many there are.
        made: usize,
    },
}

/// Hides facts in `text` as extra lines and makes the questions.
///
/// Lines are inserted between the lines of `text`, spread over its length; in a log they carry the
/// time of the line before. The ends of lines follow the text (`\r\n` where its first line has
/// that).
///
/// # Errors
///
/// [`PlantError::Exhausted`] when the lists of words do not hold enough names and values that are
/// new to the text.
pub fn plant(text: &[u8], options: &NeedleOptions) -> Result<Haystack, PlantError> {
    let mut planter = Planter::new(text, options);
    planter.hide_facts()?;
    planter.hide_distractors()?;
    let absent = planter.ask_absent()?;
    Ok(planter.assemble(absent))
}

#[cfg(test)]
mod tests;
