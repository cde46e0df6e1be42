//! The fate of every token: the best copy of it that exists. Nothing is lost silently, so the
//! fates always add up to the tokens absorbed.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Tokens by fate, in order of precedence. A token counts once, for its best copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fates {
    /// Exact keys and values in RAM: in the window, or on their way to the store.
    pub resident: u64,
    /// Exact keys and values on disk.
    pub spilled: u64,
    /// A condensed state only: selected tokens, beacons in attention, or what is folded into the
    /// gist of the current source.
    pub condensed: u64,
    /// Text and token ids only.
    pub text: u64,
    /// Nothing is left.
    pub dropped: u64,
}

/// What is left of the tokens that a session stored, once a disk budget made the store give up
/// some.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Exact keys and values.
    pub exact: u64,
    /// Beacons and text.
    pub beacons: u64,
    /// Text.
    pub text: u64,
}

impl Fates {
    /// The fates when of `stored` tokens only `left` is left. What was given up is old, so none of
    /// it is resident.
    #[must_use]
    pub fn given_up(mut self, stored: u64, left: Left) -> Self {
        let gone = stored.saturating_sub(left.exact + left.beacons + left.text);
        let mut take = |n: u64| {
            let n = n.min(self.spilled);
            self.spilled -= n;
            n
        };
        let (beacons, text, gone) = (take(left.beacons), take(left.text), take(gone));
        self.condensed += beacons;
        self.text += text;
        self.dropped += gone;
        self
    }

    /// All tokens.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.resident + self.spilled + self.condensed + self.text + self.dropped
    }
}

/// What became of a block that was handed to the writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Still in the queue: its K,V are in RAM.
    Pending,
    /// Exact K,V are in the store.
    Stored,
    /// Text and token ids are in the store, K,V are not.
    TextOnly,
    /// Nothing stored it.
    Lost,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    tokens: u64,
    outcome: Outcome,
}

/// Follows every absorbed token from the window to where it ends.
///
/// Tokens are numbered from 0 in the order they were absorbed. Blocks cover them in order, the
/// writer answers in order, and the window holds the newest of them.
#[derive(Clone, Debug)]
pub struct Ledger {
    absorbed: u64,
    /// The first token that is still in the window.
    window_start: u64,
    /// The first token of `runs`.
    front: u64,
    runs: VecDeque<Run>,
    /// Tokens before `front`.
    base: Fates,
}

impl Default for Ledger {
    fn default() -> Self {
        let runs = VecDeque::with_capacity(RUNS);
        Self { absorbed: 0, window_start: 0, front: 0, runs, base: Fates::default() }
    }
}

/// Blocks that a window and the queue hold together, unless both are far larger than usual.
const RUNS: usize = 512;

impl Ledger {
    /// `n` tokens entered the window.
    pub fn absorb(&mut self, n: u64) {
        self.absorbed += n;
    }

    /// The oldest `n` tokens of the window left it.
    pub fn evict(&mut self, n: u64) {
        self.window_start = (self.window_start + n).min(self.absorbed);
        self.compact();
    }

    /// The next `tokens` tokens make a block.
    pub fn block(&mut self, tokens: u64, outcome: Outcome) {
        self.runs.push_back(Run { tokens, outcome });
        self.compact();
    }

    /// The writer answered for the oldest pending block.
    pub fn settle(&mut self, outcome: Outcome) {
        if let Some(run) = self.runs.iter_mut().find(|r| r.outcome == Outcome::Pending) {
            run.outcome = outcome;
        }
        self.compact();
    }

    /// Tokens absorbed.
    #[must_use]
    pub const fn absorbed(&self) -> u64 {
        self.absorbed
    }

    /// Tokens in blocks that the writer has not answered for.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.runs.iter().filter(|r| r.outcome == Outcome::Pending).map(|r| r.tokens).sum()
    }

    /// Tokens that the writer stored exactly, whether they are in the window or not.
    #[must_use]
    pub fn stored(&self) -> u64 {
        let runs = self.runs.iter().filter(|r| r.outcome == Outcome::Stored);
        self.base.spilled + runs.map(|r| r.tokens).sum::<u64>()
    }

    fn compact(&mut self) {
        while let Some(run) = self.runs.front() {
            if run.outcome == Outcome::Pending || self.front + run.tokens > self.window_start {
                return;
            }
            self.front += run.tokens;
            add(&mut self.base, run.outcome, run.tokens);
            self.runs.pop_front();
        }
    }

    /// The fates now. `recalled` stored tokens that left the window lie in the memory region, and
    /// `condensed` tokens have a condensed state there, the gist included.
    #[must_use]
    pub fn fates(&self, recalled: u64, condensed: u64) -> Fates {
        let mut fates = self.base;
        let mut at = self.front;
        for run in &self.runs {
            let away = self.window_start.saturating_sub(at).min(run.tokens);
            add(&mut fates, run.outcome, away);
            fates.resident += run.tokens - away;
            at += run.tokens;
        }
        fates.resident += self.absorbed - at;
        let back = recalled.min(fates.spilled);
        fates.spilled -= back;
        fates.resident += back;
        let kept = condensed.min(fates.dropped);
        fates.dropped -= kept;
        fates.condensed += kept;
        fates
    }
}

fn add(fates: &mut Fates, outcome: Outcome, tokens: u64) {
    match outcome {
        Outcome::Pending => fates.resident += tokens,
        Outcome::Stored => fates.spilled += tokens,
        Outcome::TextOnly => fates.text += tokens,
        Outcome::Lost => fates.dropped += tokens,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_budget_gave_up_is_counted_once() {
        let before = Fates { resident: 10, spilled: 90, ..Fates::default() };
        let left = Left { exact: 50, beacons: 20, text: 15 };
        let after = before.given_up(100, left);
        assert_eq!((after.spilled, after.condensed), (40, 20));
        assert_eq!((after.text, after.dropped, after.total()), (15, 15, 100));
    }

    #[test]
    fn a_token_counts_for_its_best_copy() {
        let mut l = Ledger::default();
        l.absorb(100);
        l.block(64, Outcome::Pending);
        assert_eq!(l.fates(0, 0), Fates { resident: 100, ..Fates::default() });
        l.settle(Outcome::Stored);
        assert_eq!(l.fates(0, 0).resident, 100, "stored and still in the window");
        l.evict(30);
        assert_eq!(l.fates(0, 0), Fates { resident: 70, spilled: 30, ..Fates::default() });
        l.block(36, Outcome::Pending);
        l.evict(70);
        assert_eq!(l.fates(0, 0), Fates { resident: 36, spilled: 64, ..Fates::default() });
        l.settle(Outcome::Lost);
        assert_eq!(
            l.fates(10, 6),
            Fates { resident: 10, spilled: 54, condensed: 6, text: 0, dropped: 30 }
        );
    }

    const OUTCOMES: [Outcome; 3] = [Outcome::Stored, Outcome::Lost, Outcome::TextOnly];

    proptest! {
        #[test]
        fn fates_add_up_whatever_happens(ops in prop::collection::vec((0u8..5, 1u64..90), 0..200)) {
            let mut l = Ledger::default();
            let (mut unblocked, mut window) = (0u64, 0u64);
            for (op, n) in ops {
                match op {
                    0 | 1 => { l.absorb(n); unblocked += n; window += n; }
                    2 => { let n = n.min(unblocked); l.block(n, Outcome::Pending); unblocked -= n; }
                    3 => l.settle(OUTCOMES[n as usize % 3]),
                    _ => { let n = n.min(window - unblocked.min(window)); l.evict(n); window -= n; }
                }
                let f = l.fates(n, n / 2);
                prop_assert_eq!(f.total(), l.absorbed());
            }
        }
    }
}
