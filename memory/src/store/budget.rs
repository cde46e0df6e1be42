//! Keeping the disk budget: what is least useful gives up keys and values, then beacons, then goes.
//!
//! Only sealed segments are touched. What is chosen is decided by [`choose`], which sees a list of
//! blocks and nothing else.

use serde::{Deserialize, Serialize};

use super::{
    Store,
    rewrite::{Fate, Plan},
};
use crate::{BlockId, BlockState, RewriteError, format::aligned, snapshot::Entry};

/// What blocks gave up so that others had room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUp {
    /// Blocks that are left with beacons and text.
    pub to_beacons: Count,
    /// Blocks that are left as text.
    pub to_text: Count,
    /// Blocks that are gone.
    pub dropped: Count,
}

/// Blocks and their tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Blocks.
    pub blocks: u64,
    /// Their tokens.
    pub tokens: u64,
}

impl Count {
    fn add(&mut self, tokens: u16) {
        self.blocks += 1;
        self.tokens += u64::from(tokens);
    }
}

/// When room is made, so much of the budget is freed at once beyond what is needed: segments are
/// written anew, which is not worth it for one block.
const FREED_SHARE: u64 = 16;
/// The newest blocks, up to this share of the budget, are the last to give anything up.
const NEWEST_SHARE: u64 = 2;
/// What a block costs in catalogue and index, at a guess, beside what its record takes.
const ROW_BYTES: u64 = 700;

/// A block that may give something up.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Candidate {
    entry: Entry,
    /// How often it was recalled.
    hits: u32,
}

/// How useful a block is, beside its age: a block that was recalled often, or that surprised,
/// counts as if it were newer, by up to a quarter of all blocks.
fn usefulness(at: usize, of: usize, candidate: &Candidate) -> f32 {
    let age = at as f32 / of.max(1) as f32;
    let hits = candidate.hits.min(8) as f32 / 8.0;
    let info = &candidate.entry.info;
    let surprise = info.surprise_nats / f32::from(info.tokens.max(1));
    age + 0.2 * hits + 0.05 * (surprise / 8.0).clamp(0.0, 1.0)
}

/// Bytes that a block gives back when it is left with less.
fn freed(e: &Entry, to: Fate) -> u64 {
    let kv = aligned(e.info.kv_bytes as usize) as u64;
    let beacons = aligned(e.info.beacons.map_or(0, |b| b.bytes as usize)) as u64;
    match to {
        Fate::Keep => 0,
        Fate::Beacons => kv,
        Fate::Text => kv + beacons,
        Fate::Drop => e.bytes + ROW_BYTES,
    }
}

/// What a block is left with next.
fn next(state: BlockState, has_beacons: bool) -> Fate {
    match state {
        BlockState::Exact if has_beacons => Fate::Beacons,
        BlockState::Exact | BlockState::Beacons => Fate::Text,
        BlockState::Text => Fate::Drop,
    }
}

/// Chooses what blocks (by id) are left with, so that `wanted` bytes are freed: first the older
/// ones give up keys and values, then beacons, then they go; the newest (`protected` bytes of them)
/// only when that is not enough.
fn choose(blocks: &[Candidate], wanted: u64, protected: u64) -> Vec<(Entry, Fate)> {
    let mut room = protected;
    let mut first_new = blocks.len();
    for (at, b) in blocks.iter().enumerate().rev() {
        let Some(rest) = room.checked_sub(b.entry.bytes) else { break };
        (room, first_new) = (rest, at);
    }
    let mut order: Vec<usize> = (0..blocks.len()).collect();
    let scores: Vec<f32> =
        blocks.iter().enumerate().map(|(at, b)| usefulness(at, blocks.len(), b)).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]).then(a.cmp(b)));
    let mut fates = vec![Fate::Keep; blocks.len()];
    let mut total = 0;
    for newest_too in [false, true] {
        for step in [BlockState::Exact, BlockState::Beacons, BlockState::Text] {
            for &at in order.iter().filter(|at| newest_too || **at < first_new) {
                if total >= wanted {
                    break;
                }
                let entry = &blocks[at].entry;
                let state = match fates[at] {
                    Fate::Keep => entry.info.state(),
                    Fate::Beacons => BlockState::Beacons,
                    Fate::Text => BlockState::Text,
                    Fate::Drop => continue,
                };
                if state == step {
                    let to = next(state, entry.info.beacons.is_some());
                    total += freed(entry, to) - freed(entry, fates[at]);
                    fates[at] = to;
                }
            }
        }
    }
    let chosen = blocks.iter().zip(fates).filter(|(_, fate)| *fate != Fate::Keep);
    chosen.map(|(b, fate)| (b.entry, fate)).collect()
}

impl Store {
    /// What blocks gave up to keep the disk budget since this was last asked.
    pub fn take_given_up(&mut self) -> GivenUp {
        std::mem::take(&mut self.given_up)
    }

    /// Makes room for `needed` more bytes within the budget, as far as sealed segments have any.
    pub(super) fn make_room(&mut self, needed: u64) -> Result<(), RewriteError> {
        let Some(max) = self.options.disk_bytes_max else { return Ok(()) };
        let over = self.disk_bytes().saturating_add(needed).saturating_sub(max);
        if over == 0 {
            return Ok(());
        }
        let candidates = self.candidates();
        let chosen = choose(&candidates, over + max / FREED_SHARE, max / NEWEST_SHARE);
        let mut plan = Plan::new();
        for (entry, fate) in &chosen {
            plan.entry(entry.segment).or_default().insert(entry.info.id, *fate);
        }
        if plan.is_empty() {
            return Ok(());
        }
        self.rewrite(&plan, &[], &[])?;
        for (entry, fate) in chosen {
            let count = match fate {
                Fate::Keep => continue,
                Fate::Beacons => &mut self.given_up.to_beacons,
                Fate::Text => &mut self.given_up.to_text,
                Fate::Drop => &mut self.given_up.dropped,
            };
            count.add(entry.info.tokens);
        }
        self.catalogue.shrink()?;
        self.bytes.catalogue = self.catalogue.bytes();
        Ok(())
    }

    /// Blocks of sealed segments that are not pinned, by id.
    fn candidates(&self) -> Vec<Candidate> {
        let open: Vec<u32> =
            self.closing.iter().chain(&self.active).map(super::Active::number).collect();
        let snapshot = self.shared.snapshot();
        let free = |e: &Entry| !open.contains(&e.segment) && !self.is_pinned(e.info.id);
        let candidate = |entry: Entry| Candidate { entry, hits: self.hits_of(entry.info.id) };
        snapshot.iter().filter(free).map(candidate).collect()
    }

    /// How often a block was recalled since the store was opened.
    fn hits_of(&self, id: BlockId) -> u32 {
        self.hits.get(&id).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BeaconInfo, BlockInfo, KvDtype, SourceId, Span};

    fn block(id: u64, kv: u32, beacons: u32, hits: u32) -> Candidate {
        let info = BlockInfo {
            id: BlockId(id),
            source: SourceId(1),
            ordinal: id as u32,
            span: Span::default(),
            time_unix_ms: 0,
            tokens: 10,
            surprise_nats: 0.0,
            starts_mid_line: false,
            ends_mid_line: false,
            kv: (kv > 0).then_some(KvDtype::Int8),
            kv_bytes: kv,
            beacons: (beacons > 0).then_some(BeaconInfo {
                ratio: 8,
                count: 1,
                dtype: KvDtype::Int8,
                bytes: beacons,
            }),
        };
        let bytes = u64::from(kv) + u64::from(beacons) + 640;
        Candidate { entry: Entry { info, segment: 1, offset: 0, bytes }, hits }
    }

    fn fates(blocks: &[Candidate], wanted: u64, protected: u64) -> Vec<(u64, Fate)> {
        let chosen = choose(blocks, wanted, protected);
        chosen.into_iter().map(|(e, f)| (e.info.id.0, f)).collect()
    }

    #[test]
    fn the_older_ones_give_up_first_and_no_more_than_is_needed() {
        let blocks: Vec<_> = (1..=10).map(|n| block(n, 6400, 640, 0)).collect();
        assert_eq!(fates(&blocks, 1, 0), [(1, Fate::Beacons)]);
        assert_eq!(fates(&blocks, 6401, 0), [(1, Fate::Beacons), (2, Fate::Beacons)]);
        let no_beacons = [block(1, 6400, 0, 0), block(2, 6400, 0, 0)];
        assert_eq!(fates(&no_beacons, 1, 0), [(1, Fate::Text)]);
        // All keys and values before any beacons.
        let most = fates(&blocks, 64_001, 0);
        assert_eq!(most.len(), 10);
        assert_eq!(most.iter().filter(|f| f.1 == Fate::Text).count(), 1);
        assert!(fates(&blocks, 0, 0).is_empty());
    }

    #[test]
    fn the_newest_keep_what_they_have_while_older_ones_can_go() {
        let blocks: Vec<_> = (1..=10).map(|n| block(n, 6400, 0, 0)).collect();
        // Five of them are protected; the others free 5 * 6400 as text and 5 * 1340 by going.
        let chosen = fates(&blocks, 33_000, 5 * 7040);
        assert!(chosen.iter().all(|(id, _)| *id <= 5), "{chosen:?}");
        assert!(chosen.contains(&(1, Fate::Drop)) && chosen.contains(&(5, Fate::Text)));
        let chosen = fates(&blocks, 5 * 7740 + 1, 5 * 7040);
        assert!(chosen.contains(&(6, Fate::Text)), "at last they give up too: {chosen:?}");
    }

    #[test]
    fn what_was_recalled_often_counts_as_newer() {
        let mut blocks: Vec<_> = (1..=10).map(|n| block(n, 6400, 0, 0)).collect();
        blocks[0].hits = 20;
        assert_eq!(fates(&blocks, 1, 0), [(2, Fate::Text)]);
        assert_eq!(
            fates(&blocks, 6400 * 3, 0),
            [(1, Fate::Text), (2, Fate::Text), (3, Fate::Text)]
        );
    }
}
