//! Scoring: is an answer right, does a citation hold the line, and rates with their intervals.
//!
//! Nothing here knows a model. An [`Outcome`] is one question with what was answered; [`Summary`]
//! counts them.

mod curve;
mod matching;
mod rate;
mod table;

pub use curve::{CurvePoint, choose_threshold, threshold_curve};
pub use matching::{answers, normalise};
pub use rate::{Mean, Rate, auc, recall_at_k};
pub use table::Table;

/// The lines of a citation, from 1, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineRange {
    /// The first line.
    pub line_start: u64,
    /// The last line.
    pub line_end: u64,
}

impl LineRange {
    /// Whether `line` lies in the range.
    #[must_use]
    pub fn holds(self, line: u64) -> bool {
        (self.line_start..=self.line_end).contains(&line)
    }
}

/// The right answer to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The value that a right answer contains.
    pub answer: String,
    /// The line that says so, from 1.
    pub line: u64,
}

/// One question with what was answered, before any threshold is applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The right answer; `None` when the text holds none.
    pub expected: Option<Expected>,
    /// What was answered.
    pub answer: String,
    /// Whether the answer was given out as found.
    pub found: bool,
    /// How sure the answer is; larger is surer.
    pub confidence: f64,
    /// The citations, best first.
    pub citations: Vec<LineRange>,
}

impl Outcome {
    /// Whether the answer's text contains the right value, found or not.
    #[must_use]
    pub fn says_right(&self) -> bool {
        self.expected.as_ref().is_some_and(|expected| answers(&self.answer, &expected.answer))
    }

    /// Right and given out as found.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.found && self.says_right()
    }

    /// An answer given out to a question that has none.
    #[must_use]
    pub fn is_invented(&self) -> bool {
        self.expected.is_none() && self.found
    }

    /// The rank of the first citation that holds the line, from 0.
    #[must_use]
    pub fn cited_at(&self) -> Option<usize> {
        let line = self.expected.as_ref()?.line;
        self.citations.iter().position(|citation| citation.holds(line))
    }
}

/// What a run of questions came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Facts answered rightly and given out as found, of all facts.
    pub accuracy: Rate,
    /// Facts whose line is among the citations.
    pub cited: Rate,
    /// Facts whose line is in the first citation.
    pub cited_first: Rate,
    /// Absent facts for which an answer was given out.
    pub invented: Rate,
    /// Facts that were wrongly said not to be there.
    pub refused: Rate,
    /// Facts answered with another value.
    pub wrong: Rate,
}

impl Summary {
    /// Counts `outcomes`.
    #[must_use]
    pub fn of(outcomes: &[Outcome]) -> Self {
        let facts = || outcomes.iter().filter(|outcome| outcome.expected.is_some());
        let absent = outcomes.iter().filter(|outcome| outcome.expected.is_none());
        Self {
            accuracy: Rate::of(facts().map(Outcome::is_right)),
            cited: Rate::of(facts().map(|outcome| outcome.cited_at().is_some())),
            cited_first: Rate::of(facts().map(|outcome| outcome.cited_at() == Some(0))),
            invented: Rate::of(absent.map(Outcome::is_invented)),
            refused: Rate::of(facts().map(|outcome| !outcome.found)),
            wrong: Rate::of(facts().map(|outcome| outcome.found && !outcome.says_right())),
        }
    }

    /// The summary as a table: one row a figure, with counts and 95% interval.
    #[must_use]
    pub fn table(&self) -> Table {
        let mut table = Table::new(&["figure", "rate", "95% interval", "count"]);
        let rows = [
            ("accuracy", self.accuracy),
            ("line among citations", self.cited),
            ("line in first citation", self.cited_first),
            ("wrongly refused", self.refused),
            ("wrong value", self.wrong),
            ("invented", self.invented),
        ];
        for (name, rate) in rows {
            table.rate_row(name, rate);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(expected: Option<(&str, u64)>, answer: &str, found: bool, lines: &[u64]) -> Outcome {
        let expected = expected.map(|(answer, line)| Expected { answer: answer.to_owned(), line });
        let cite = |line: &u64| LineRange { line_start: *line, line_end: *line + 2 };
        let citations = lines.iter().map(cite).collect();
        Outcome { expected, answer: answer.to_owned(), found, confidence: 0.5, citations }
    }

    #[test]
    fn a_summary_counts_each_question_where_it_belongs() {
        let outcomes = [
            outcome(Some(("10.1.2.3", 7)), "It is 10.1.2.3.", true, &[5, 90]),
            outcome(Some(("10.1.2.4", 8)), "It is 10.1.2.3.", true, &[90, 8]),
            outcome(Some(("10.1.2.5", 9)), "It is 10.1.2.5.", false, &[90]),
            outcome(None, "4711", true, &[1]),
            outcome(None, "", false, &[1]),
        ];
        let summary = Summary::of(&outcomes);
        assert_eq!(summary.accuracy, Rate { hits: 1, n: 3 });
        assert_eq!(summary.cited, Rate { hits: 2, n: 3 });
        assert_eq!(summary.cited_first, Rate { hits: 1, n: 3 });
        assert_eq!(summary.invented, Rate { hits: 1, n: 2 });
        assert_eq!(summary.refused, Rate { hits: 1, n: 3 });
        assert_eq!(summary.wrong, Rate { hits: 1, n: 3 });
        assert!(summary.table().to_string().contains("line in first citation"));
    }

    #[test]
    fn a_range_of_lines_includes_both_ends() {
        let range = LineRange { line_start: 3, line_end: 5 };
        assert_eq!([2, 3, 5, 6].map(|line| range.holds(line)), [false, true, true, false]);
    }
}
