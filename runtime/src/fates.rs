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

/// What is left of the tokens that a session stored and that left its window, once a disk budget
/// made the store give up some.
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
    /// The fates when of what is stored only `left` is left.
    fn given_up(mut self, left: Left) -> Self {
        let mut stored = self.spilled + self.condensed + self.text;
        let mut take = |n: u64| {
            let n = n.min(stored);
            stored -= n;
            n
        };
        (self.spilled, self.condensed, self.text) =
            (take(left.exact), take(left.beacons), take(left.text));
        self.dropped += stored;
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
    /// Beacons, text and token ids are in the store, K,V are not.
    BeaconsOnly,
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

    /// Stored tokens that are still in the window: the newest that are stored.
    #[must_use]
    pub fn stored_in_window(&self) -> u64 {
        let mut at = self.front;
        let mut stored = 0;
        for run in &self.runs {
            let away = self.window_start.saturating_sub(at).min(run.tokens);
            if !matches!(run.outcome, Outcome::Pending | Outcome::Lost) {
                stored += run.tokens - away;
            }
            at += run.tokens;
        }
        stored
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
        self.fates_of(recalled, condensed, None)
    }

    /// The same, where a disk budget left only so much of what is stored and not in the window.
    #[must_use]
    pub fn fates_of(&self, recalled: u64, condensed: u64, left: Option<Left>) -> Fates {
        let mut fates = self.base;
        let (mut at, mut resident) = (self.front, 0);
        for run in &self.runs {
            let away = self.window_start.saturating_sub(at).min(run.tokens);
            add(&mut fates, run.outcome, away);
            resident += run.tokens - away;
            at += run.tokens;
        }
        if let Some(left) = left {
            fates = fates.given_up(left);
        }
        fates.resident += resident + self.absorbed - at;
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
        Outcome::BeaconsOnly => fates.condensed += tokens,
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
        let mut l = Ledger::default();
        l.absorb(100);
        l.block(60, Outcome::Stored);
        l.block(30, Outcome::TextOnly);
        l.block(10, Outcome::Stored);
        l.evict(80);
        assert_eq!(l.stored_in_window(), 20);
        assert_eq!(
            l.fates(0, 0),
            Fates { resident: 20, spilled: 60, text: 20, ..Fates::default() }
        );
        let left = Left { exact: 40, beacons: 15, text: 15 };
        let after = l.fates_of(5, 4, Some(left));
        assert_eq!((after.resident, after.spilled, after.condensed), (25, 35, 19));
        assert_eq!((after.text, after.dropped, after.total()), (15, 6, 100));
        // Whatever is said to be left, they add up.
        let more = Left { exact: 70, beacons: 70, text: 70 };
        assert_eq!(l.fates_of(0, 0, Some(more)).total(), 100);
    }

    #[test]
    fn a_block_without_keys_and_values_is_resident_while_it_is_in_the_window() {
        let mut l = Ledger::default();
        l.absorb(96);
        for outcome in [Outcome::Stored, Outcome::BeaconsOnly, Outcome::TextOnly] {
            l.block(32, Outcome::Pending);
            l.settle(outcome);
        }
        assert_eq!(l.fates(0, 0), Fates { resident: 96, ..Fates::default() });
        l.evict(64);
        let want = Fates { resident: 32, spilled: 32, condensed: 32, ..Fates::default() };
        assert_eq!(l.fates(0, 0), want);
        l.evict(32);
        assert_eq!(l.fates(0, 0).text, 32);
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

    const OUTCOMES: [Outcome; 4] =
        [Outcome::Stored, Outcome::Lost, Outcome::TextOnly, Outcome::BeaconsOnly];

    proptest! {
        #[test]
        fn fates_add_up_whatever_happens(ops in prop::collection::vec((0u8..5, 1u64..90), 0..200)) {
            let mut l = Ledger::default();
            let (mut unblocked, mut window) = (0u64, 0u64);
            for (op, n) in ops {
                match op {
                    0 | 1 => { l.absorb(n); unblocked += n; window += n; }
                    2 => { let n = n.min(unblocked); l.block(n, Outcome::Pending); unblocked -= n; }
                    3 => l.settle(OUTCOMES[n as usize % 4]),
                    _ => { let n = n.min(window - unblocked.min(window)); l.evict(n); window -= n; }
                }
                let f = l.fates(n, n / 2);
                prop_assert_eq!(f.total(), l.absorbed());
                let left = Left { exact: n, beacons: n / 2, text: n / 3 };
                prop_assert_eq!(l.fates_of(n, n / 2, Some(left)).total(), l.absorbed());
            }
        }
    }
}
