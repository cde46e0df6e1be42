//! The curve of a threshold on confidence: right answers lost against invented ones kept.

use super::{Outcome, Rate};

/// What a threshold does: an answer is given out when its confidence reaches it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    /// The threshold.
    pub threshold: f64,
    /// Answers with the right value that are held back, of all with the right value.
    pub right_lost: Rate,
    /// Answers to absent facts that are given out, of all absent facts.
    pub invented_kept: Rate,
    /// Answers with a wrong value that are given out, of all facts.
    pub wrong_kept: Rate,
}

/// One point for each confidence that occurs, from the lowest up, and one above them all.
///
/// [`Outcome::found`] is not looked at, so pass answers as they were before any threshold. An empty
/// answer is never given out.
#[must_use]
pub fn threshold_curve(outcomes: &[Outcome]) -> Vec<CurvePoint> {
    let mut thresholds: Vec<f64> = outcomes.iter().map(|outcome| outcome.confidence).collect();
    thresholds.push(f64::INFINITY);
    thresholds.retain(|threshold| !threshold.is_nan());
    thresholds.sort_by(f64::total_cmp);
    thresholds.dedup();
    thresholds.into_iter().map(|threshold| point(outcomes, threshold)).collect()
}

fn point(outcomes: &[Outcome], threshold: f64) -> CurvePoint {
    let kept = |o: &Outcome| o.confidence >= threshold && !o.answer.trim().is_empty();
    let right = outcomes.iter().filter(|outcome| outcome.says_right());
    let facts = outcomes.iter().filter(|outcome| outcome.expected.is_some());
    let absent = outcomes.iter().filter(|outcome| outcome.expected.is_none());
    CurvePoint {
        threshold,
        right_lost: Rate::of(right.map(|outcome| !kept(outcome))),
        invented_kept: Rate::of(absent.map(kept)),
        wrong_kept: Rate::of(facts.map(|outcome| kept(outcome) && !outcome.says_right())),
    }
}

/// The highest threshold that loses at most `right_lost_max` (0 to 1) of the right answers.
///
/// Choose it on the calibration family, report it on the evaluation family. `None` when no point
/// loses so little, which only a curve without points does.
#[must_use]
pub fn choose_threshold(curve: &[CurvePoint], right_lost_max: f64) -> Option<CurvePoint> {
    let within = |point: &&CurvePoint| {
        point.threshold.is_finite() && point.right_lost.value().unwrap_or(0.0) <= right_lost_max
    };
    curve.iter().filter(within).max_by(|a, b| a.threshold.total_cmp(&b.threshold)).copied()
}

#[cfg(test)]
mod tests {
    use super::super::Expected;
    use super::*;

    fn outcome(expected: Option<&str>, answer: &str, confidence: f64) -> Outcome {
        let expected = expected.map(|answer| Expected { answer: answer.to_owned(), line: 1 });
        Outcome { expected, answer: answer.to_owned(), found: true, confidence, citations: vec![] }
    }

    fn outcomes() -> Vec<Outcome> {
        vec![
            outcome(Some("a"), "a", 0.9),
            outcome(Some("b"), "b", 0.6),
            outcome(Some("c"), "x", 0.5),
            outcome(None, "y", 0.7),
            outcome(None, "z", 0.2),
            outcome(None, "", 0.99),
        ]
    }

    #[test]
    fn the_curve_trades_right_answers_for_invented_ones() {
        let curve = threshold_curve(&outcomes());
        assert_eq!(curve.len(), 7);
        assert_eq!(curve[0].right_lost, Rate { hits: 0, n: 2 });
        assert_eq!(curve[0].invented_kept, Rate { hits: 2, n: 3 });
        assert_eq!(curve[0].wrong_kept, Rate { hits: 1, n: 3 });
        let at = |threshold: f64| curve.iter().find(|point| point.threshold >= threshold).unwrap();
        assert_eq!(at(0.61).right_lost, Rate { hits: 1, n: 2 });
        assert_eq!(at(0.61).invented_kept, Rate { hits: 1, n: 3 });
        assert_eq!(curve[6].right_lost, Rate { hits: 2, n: 2 });
        assert_eq!(curve[6].invented_kept, Rate { hits: 0, n: 3 });
    }

    #[test]
    fn the_chosen_threshold_is_the_highest_that_is_allowed() {
        let curve = threshold_curve(&outcomes());
        assert_eq!(choose_threshold(&curve, 0.0).unwrap().threshold, 0.6);
        assert_eq!(choose_threshold(&curve, 0.5).unwrap().threshold, 0.9);
        assert_eq!(choose_threshold(&[], 0.5), None);
    }
}
