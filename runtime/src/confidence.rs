//! How sure an answer is, as one number that a threshold can cut.
//!
//! A logistic function of what separates right answers from invented ones: the probability of the
//! answer's telling tokens (digits, names), whether its words stand in the passage that supports
//! it, and how much of what was asked that passage holds. The weights were fitted on the
//! calibration family of `lcedge eval needles`; the curve that command prints shows what the
//! threshold costs.

use serde::Serialize;

/// Confidence below which memory is taken not to hold the answer.
pub const THRESHOLD: f32 = 0.5;

/// The same for a model with a trained memory. On the calibration family (120 facts, 120 absent
/// ones, fitted on them) 80% of the facts were answered rightly at this threshold, none wrongly,
/// and 1% of the absent ones got an invented answer, at 0.45 82, 1 and 2%; of 34 + 34 questions
/// about the example logs 71, 12 and 15%.
pub const THRESHOLD_TRAINED: f32 = 0.6;

/// What the confidence is computed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Signals {
    /// Mean log-probability of the answer's telling tokens (those with a digit or a capital, or
    /// all), nats.
    pub telling_logprob: f32,
    /// Share of the answer's words (by rarity) in the best line.
    pub answer_in_line: f32,
    /// Share of the question's words (by rarity) in the best line.
    pub question_in_line: f32,
    /// Share of the question's words (by rarity) anywhere in the recalled passages.
    pub question_in_passages: f32,
    /// Share of the question's names (identifiers, numbers, capitalised words) that stand whole in
    /// the best line; 1 for a question without any.
    pub names_in_line: f32,
    /// Share of the question's other words (what is asked of a name, by rarity) in the best line;
    /// 1 for a question of names alone.
    pub asked_in_line: f32,
    /// Probability that a trained memory gave, when it began to answer, to saying that it does not
    /// hold the answer; 0 for a stock model.
    pub absent: f32,
}

/// Weights of the logistic function, in the order of [`Signals`], and the constant.
pub type Weights = [f32; 8];

/// For a stock model.
pub const STOCK: Weights = [2.7, 2.6, 2.4, 1.1, 0.0, 0.0, 0.0, -2.6];

/// For a model with a trained memory.
pub const TRAINED: Weights = [4.9, 2.1, 0.6, 0.1, 2.7, 0.2, -3.1, -3.4];

/// The confidence, 0 to 1.
#[must_use]
pub fn confidence(s: &Signals, weights: &Weights) -> f32 {
    let x = [
        s.telling_logprob.clamp(-6.0, 0.0),
        s.answer_in_line,
        s.question_in_line,
        s.question_in_passages,
        s.names_in_line,
        s.asked_in_line,
        s.absent,
        1.0,
    ];
    let z: f32 = x.iter().zip(weights).map(|(x, w)| x * w).sum();
    1.0 / (1.0 + (-z).exp())
}

/// Whether a token's text tells something that could be made up: a digit or a capital letter.
#[must_use]
pub fn is_telling(text: &str) -> bool {
    text.chars().any(|c| c.is_numeric() || c.is_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_raises_it() {
        let low = Signals { telling_logprob: -2.0, ..Signals::default() };
        let base = confidence(&low, &STOCK);
        for s in [
            Signals { telling_logprob: -0.1, ..low },
            Signals { answer_in_line: 1.0, ..low },
            Signals { question_in_line: 1.0, ..low },
            Signals { question_in_passages: 1.0, ..low },
        ] {
            assert!(confidence(&s, &STOCK) > base, "{s:?}");
        }
        let absent = Signals { absent: 1.0, ..low };
        assert!(confidence(&absent, &TRAINED) < confidence(&low, &TRAINED));
    }
}
