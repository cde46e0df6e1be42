//! Adds up scores by row of the table.

use super::Label;
use crate::score::{Mean, Rate};

/// One question, scored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scored {
    /// Score of what the model said, 0 to 1; `None` when no program can tell, or nothing was said.
    pub said: Option<f64>,
    /// The same of what was given out: nothing, where it was "not found".
    pub given: Option<f64>,
    /// Whether an answer was given out; `None` when none was asked for.
    pub found: Option<bool>,
    /// Share of the evidence among the best passages: by address, by text, fused; `None` where
    /// the set does not tell, or there was nothing to search with.
    pub evidence: [Option<f64>; 3],
}

/// The figures of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// Questions.
    pub n: usize,
    /// Mean score of what the model said.
    pub said: Option<Mean>,
    /// Mean score of what was given out.
    pub given: Option<Mean>,
    /// Questions for which an answer was given out.
    pub found: Rate,
    /// Mean share of the evidence among the best passages: by address, by text, fused.
    pub evidence: [Option<Mean>; 3],
}

/// Scores by row, in the order in which rows came.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    rows: Vec<(Label, Vec<Scored>)>,
}

impl Tally {
    /// Adds a question to its row.
    pub fn add(&mut self, label: &Label, scored: Scored) {
        match self.rows.iter_mut().find(|row| row.0 == *label) {
            Some((_, list)) => list.push(scored),
            None => self.rows.push((label.clone(), vec![scored])),
        }
    }

    /// Every row with its figures.
    pub fn rows(&self) -> impl Iterator<Item = (&Label, Figures)> {
        self.rows.iter().map(|(label, list)| (label, figures(list.iter())))
    }

    /// The figures of one row; `None` where it has no question.
    #[must_use]
    pub fn row(&self, label: &Label) -> Option<Figures> {
        self.rows().find(|row| row.0 == label).map(|row| row.1)
    }

    /// All questions together, each with the same weight.
    #[must_use]
    pub fn total(&self) -> Figures {
        figures(self.rows.iter().flat_map(|row| &row.1))
    }
}

fn figures<'a>(all: impl Iterator<Item = &'a Scored> + Clone) -> Figures {
    let mean = |pick: &dyn Fn(&Scored) -> Option<f64>| {
        Mean::of(&all.clone().filter_map(pick).collect::<Vec<f64>>())
    };
    Figures {
        n: all.clone().count(),
        said: mean(&|s| s.said),
        given: mean(&|s| s.given),
        found: Rate::of(all.clone().filter_map(|s| s.found)),
        evidence: [0, 1, 2].map(|i| mean(&|s| s.evidence[i])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_order_and_the_total_weighs_questions() {
        let scored = |said: f64, found: bool, fused: Option<f64>| Scored {
            said: Some(said),
            given: found.then_some(said).or(Some(0.0)),
            found: Some(found),
            evidence: [None, fused, fused],
        };
        let mut tally = Tally::default();
        let (b, a) = (Label::of_task("b"), Label::of_task("a"));
        tally.add(&b, scored(1.0, true, Some(0.5)));
        tally.add(&a, scored(1.0, false, None));
        tally.add(&b, scored(0.0, true, Some(1.0)));
        let names: Vec<&str> = tally.rows().map(|row| row.0.task.as_str()).collect();
        assert_eq!(names, ["b", "a"]);
        let row = tally.row(&b).unwrap();
        assert_eq!((row.n, row.said.unwrap().value), (2, 0.5));
        assert_eq!(
            row.evidence.map(|m| m.map(|m| (m.value, m.n))),
            [None, Some((0.75, 2)), Some((0.75, 2))]
        );
        let total = tally.total();
        assert_eq!((total.n, total.found), (3, Rate { hits: 2, n: 3 }));
        assert_eq!(total.said.unwrap().value, 2.0 / 3.0);
        assert_eq!(total.given.unwrap().value, 1.0 / 3.0);
        assert_eq!(tally.row(&Label::of_task("c")), None);
    }
}
