//! Whether a stored block is read or computed again: whichever is quicker on this machine.
//!
//! Both are measured as they happen, a token at a time: reading, decoding and placing keys and
//! values on one side, a step of the decoder on the other. The middle of the latest few
//! measurements counts, so that one slow read does not decide. What was measured is kept in the
//! store, for each model, its weights and device.

use std::time::Duration;

use lcedge_models::Card;
use serde::{Deserialize, Serialize};

/// Measurements that are kept of each.
const KEPT: usize = 8;
/// Measurements of each that are needed before reading can lose.
const NEEDED: usize = 4;
/// Where reading loses, one block in so many is read all the same, to see whether it still does.
const TRIED: u32 = 16;
/// A step of fewer tokens says little of what a token costs.
const STEP_TOKENS_MIN: usize = 16;

/// The latest measurements, nanoseconds a token.
#[derive(Clone, Copy, Debug, Default)]
struct Latest {
    values: [u64; KEPT],
    count: usize,
}

impl Latest {
    fn add(&mut self, value: u64) {
        self.values[self.count % KEPT] = value;
        // Counted on in a circle, so that the oldest is replaced.
        self.count = if self.count + 1 == 2 * KEPT { KEPT } else { self.count + 1 };
    }

    fn middle(&self) -> Option<u64> {
        let n = self.count.min(KEPT);
        if n < NEEDED {
            return None;
        }
        let mut sorted = self.values;
        let sorted = &mut sorted[..n];
        sorted.sort_unstable();
        Some(sorted[n / 2])
    }
}

/// What was measured, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// The model.
    pub model: String,
    /// How its weights are stored, and the device.
    pub on: String,
    /// Nanoseconds to read, decode and place a token's keys and values.
    pub read_ns: Option<u64>,
    /// Nanoseconds to compute them.
    pub compute_ns: Option<u64>,
}

impl Measured {
    /// Whether blocks are read.
    #[must_use]
    pub fn reads(&self) -> bool {
        self.read_ns.zip(self.compute_ns).is_none_or(|(read, compute)| read <= compute)
    }
}

/// Names of notes of a store that hold a [`Measured`] as JSON begin so.
pub const NOTE: &str = "cost/";

/// What reading and computing cost, and which of them is done.
#[derive(Clone, Debug)]
pub struct Cost {
    name: String,
    model: String,
    on: String,
    read: Latest,
    compute: Latest,
    asked: u32,
    kept: Option<(Option<u64>, Option<u64>)>,
}

impl Cost {
    /// Nothing measured yet, for a model on a device.
    #[must_use]
    pub fn new(card: &Card, device: &str) -> Self {
        let on = format!("{:?} on {device}", card.weights).to_lowercase();
        Self {
            name: format!("{NOTE}{}/{on}", card.fingerprint),
            model: card.name.clone(),
            on,
            read: Latest::default(),
            compute: Latest::default(),
            asked: 0,
            kept: None,
        }
    }

    /// The name of the note that keeps it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Goes on from what an earlier run kept; bytes that are none are passed over.
    pub fn take_over(&mut self, note: &[u8]) {
        let Ok(before) = serde_json::from_slice::<Measured>(note) else { return };
        let known = |value: Option<u64>| {
            let mut latest = Latest::default();
            (0..NEEDED).for_each(|_| value.into_iter().for_each(|v| latest.add(v)));
            latest
        };
        (self.read, self.compute) = (known(before.read_ns), known(before.compute_ns));
        self.kept = Some((before.read_ns, before.compute_ns));
    }

    /// What was measured so far.
    #[must_use]
    pub fn measured(&self) -> Measured {
        Measured {
            model: self.model.clone(),
            on: self.on.clone(),
            read_ns: self.read.middle(),
            compute_ns: self.compute.middle(),
        }
    }

    /// The note to keep, where it says another thing than what is kept: figures that are a quarter
    /// off.
    pub fn note(&mut self) -> Option<Vec<u8>> {
        let now = (self.read.middle(), self.compute.middle());
        let near = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (Some(a), Some(b)) => a.abs_diff(b) <= b / 4,
            (a, b) => a == b,
        };
        let kept = self.kept.is_some_and(|k| near(now.0, k.0) && near(now.1, k.1));
        if kept || now == (None, None) {
            return None;
        }
        self.kept = Some(now);
        serde_json::to_vec(&self.measured()).ok()
    }

    /// A block's keys and values were read and placed.
    pub fn note_read(&mut self, tokens: usize, took: Duration) {
        if tokens > 0 {
            self.read.add(a_token(tokens, took));
        }
    }

    /// The decoder computed so many tokens.
    pub fn note_computed(&mut self, tokens: usize, took: Duration) {
        if tokens >= STEP_TOKENS_MIN {
            self.compute.add(a_token(tokens, took));
        }
    }

    /// Whether the next block is read, rather than computed again.
    pub fn reads(&mut self) -> bool {
        !self.reading_loses() || {
            self.asked = (self.asked + 1) % TRIED;
            self.asked == 0
        }
    }

    /// Whether reading takes longer than computing, as far as both are known.
    #[must_use]
    pub fn reading_loses(&self) -> bool {
        self.read.middle().zip(self.compute.middle()).is_some_and(|(read, compute)| read > compute)
    }
}

fn a_token(tokens: usize, took: Duration) -> u64 {
    u64::try_from(took.as_nanos() / tokens as u128).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lcedge_targets::Engine;
    use lcedge_targets::fake::{FakeConfig, FakeEngine};

    fn cost() -> Cost {
        let engine = FakeEngine::random(&FakeConfig::default(), 1, 8);
        Cost::new(engine.card(), "fake")
    }

    fn reads(cost: &mut Cost, n: usize) -> usize {
        (0..n).filter(|_| cost.reads()).count()
    }

    #[test]
    fn it_flips_when_what_is_measured_does() {
        let mut cost = cost();
        let us = Duration::from_micros;
        assert_eq!(reads(&mut cost, 9), 9, "nothing is known: blocks are read");
        (0..4).for_each(|_| cost.note_computed(100, us(1000)));
        (0..3).for_each(|_| cost.note_read(64, us(6400)));
        assert_eq!(reads(&mut cost, 9), 9, "too little is known");
        cost.note_read(64, us(6400));
        // 100 us a token to read, 10 to compute.
        assert_eq!(reads(&mut cost, 32), 2, "now and then it is tried again");
        // The disk is quicker now, or what is read lies in the page cache.
        (0..5).for_each(|_| cost.note_read(64, us(64)));
        assert_eq!(reads(&mut cost, 32), 32);
        // One slow read, or a few, do not matter.
        (0..3).for_each(|_| cost.note_read(64, us(640_000)));
        assert_eq!(reads(&mut cost, 32), 32);
        (0..5).for_each(|_| cost.note_read(64, us(640_000)));
        assert_eq!(reads(&mut cost, 32), 2);
        (0..99).for_each(|_| cost.note_computed(100, us(10_000_000)));
        assert_eq!(reads(&mut cost, 32), 32);
        // A question of three tokens says nothing of computing.
        (0..99).for_each(|_| cost.note_computed(3, us(1)));
        assert_eq!(reads(&mut cost, 32), 32);
    }

    #[test]
    fn what_was_measured_is_kept_and_taken_over() {
        let mut cost = cost();
        assert_eq!(cost.note(), None);
        (0..4).for_each(|_| cost.note_computed(100, Duration::from_micros(1000)));
        let first = cost.note().unwrap();
        assert_eq!(cost.note(), None, "nothing new");
        (0..9).for_each(|_| cost.note_computed(100, Duration::from_micros(1100)));
        assert_eq!(cost.note(), None, "nearly the same");
        (0..9).for_each(|_| cost.note_read(10, Duration::from_micros(1000)));
        let second = cost.note().unwrap();
        let kept: Measured = serde_json::from_slice(&second).unwrap();
        assert_eq!((kept.read_ns, kept.compute_ns), (Some(100_000), Some(11_000)));
        assert!(!kept.reads() && serde_json::from_slice::<Measured>(&first).unwrap().reads());
        let mut later = super::tests::cost();
        later.take_over(b"nonsense");
        assert!(later.reads());
        later.take_over(&second);
        assert_eq!(later.measured(), kept);
        assert!(!later.reads());
        assert_eq!(later.note(), None);
    }
}
