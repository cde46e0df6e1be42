//! The condensed tier of a model with a trained memory: beacons (Activation Beacon, Zhang et al.
//! 2024, arXiv 2401.03462).
//!
//! A beacon stands for the `ratio` tokens before it; groups of tokens never cross a block, and the
//! last group of a block may be shorter. Beacons are made in the step that reads their tokens and
//! wait here, block by block, until their block leaves the recent region. Then they enter
//! attention; when the tier is full its oldest blocks leave it: to be folded into the gist, where
//! the model has one.

use std::collections::VecDeque;

use lcedge_memory::{Geometry, KvBuf, KvView};
use lcedge_targets::BeaconRow;

use crate::gist::{fitting, gather};
use crate::limits::BLOCK_TOKENS;

/// How finely text is condensed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ratio {
    /// Always this index of the model's ratios.
    Fixed(u8),
    /// This index, one finer where text surprises more than usual, one coarser where less.
    Adaptive(u8),
}

/// Beacons of one block.
#[derive(Clone, Debug)]
pub struct BlockBeacons {
    /// Index of their ratio.
    pub ratio: u8,
    /// Tokens of the block that they stand for.
    pub covers: usize,
    /// Canonical keys and values, oldest first.
    pub kv: KvBuf,
}

/// Beacons of the recent blocks and of those that left.
#[derive(Debug)]
pub struct Beacons {
    ratios: Vec<u16>,
    policy: Ratio,
    capacity: usize,
    /// Blocks of the recent region, oldest first; the last may be unfinished.
    fresh: VecDeque<BlockBeacons>,
    /// Whether the last of `fresh` waits for more of its block.
    open: bool,
    /// Blocks that left, oldest first.
    tier: VecDeque<BlockBeacons>,
    held: usize,
    /// Whether blocks that leave the tier are kept for a fold.
    folds: bool,
    /// Those, oldest first.
    left: VecDeque<BlockBeacons>,
    pool: Vec<BlockBeacons>,
    part: KvBuf,
    rows: Vec<BeaconRow>,
    /// Beacons and tokens of each block of the planned step, and whether it ends in it.
    parts: Vec<Part>,
    /// Running mean of surprise, nats a token.
    usual: f32,
    latest: f32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    ratio: u8,
    tokens: usize,
    beacons: usize,
    begins: bool,
    ends: bool,
}

impl Beacons {
    /// For a model with these `ratios` (ascending) and a tier of `capacity` beacons.
    #[must_use]
    pub fn new(geometry: Geometry, ratios: &[u16], policy: Ratio, capacity: usize) -> Self {
        Self {
            ratios: ratios.to_vec(),
            policy,
            capacity,
            fresh: VecDeque::new(),
            open: false,
            tier: VecDeque::new(),
            held: 0,
            folds: false,
            left: VecDeque::new(),
            pool: Vec::new(),
            part: KvBuf::with_capacity(geometry, most_a_block(ratios)),
            rows: Vec::new(),
            parts: Vec::new(),
            usual: f32::NAN,
            latest: f32::NAN,
        }
    }

    /// Keeps blocks that leave the tier until [`Beacons::take_left`] takes them.
    #[must_use]
    pub const fn folding(mut self) -> Self {
        self.folds = true;
        self
    }

    /// Takes what left the tier, oldest first, as many blocks as fit into `out`; gives how many
    /// they are and the tokens that they stand for, `None` when there are no more.
    pub fn take_left(&mut self, out: &mut KvBuf) -> Option<(u32, u64)> {
        let views = self.left.iter().map(|b| b.kv.view());
        let n = fitting(views.clone(), out.capacity());
        gather(views.take(n), out);
        let covers = self.left.iter().take(n).map(|b| b.covers as u64).sum();
        self.pool.extend(self.left.drain(..n));
        (n > 0).then_some((u32::try_from(n).unwrap_or(u32::MAX), covers))
    }

    /// Plans the beacons of a step of `tokens` tokens that follow `held` unblocked ones; `cuts`
    /// are the ends of the blocks, in tokens from the first unblocked one.
    pub fn plan(&mut self, cuts: &[usize], held: usize, tokens: usize) -> &[BeaconRow] {
        self.rows.clear();
        self.parts.clear();
        let new = self.choose();
        let step = held..held + tokens;
        let mut start = 0;
        for &end in cuts {
            if start >= step.end {
                break;
            }
            if end > step.start {
                let begins = start >= step.start;
                let ratio = match self.fresh.back() {
                    Some(b) if !begins => b.ratio,
                    _ => new,
                };
                let first = self.rows.len();
                let stride = usize::from(self.ratios[usize::from(ratio)]);
                let lasts = (start..end).step_by(stride).map(|s| (s + stride).min(end) - 1);
                let inside = lasts.filter(|l| step.contains(l)).map(|l| l - held);
                let row = |l| BeaconRow { last: u32::try_from(l).unwrap_or(u32::MAX), ratio };
                self.rows.extend(inside.map(row));
                self.parts.push(Part {
                    ratio,
                    tokens: end.min(step.end) - start.max(step.start),
                    beacons: self.rows.len() - first,
                    begins,
                    ends: end <= step.end,
                });
            }
            start = end;
        }
        &self.rows
    }

    /// Beacons of the planned step.
    #[must_use]
    pub fn planned(&self) -> &[BeaconRow] {
        &self.rows
    }

    /// Takes the planned step's beacons, block by block: `read` fills a buffer with so many of
    /// them, in order.
    ///
    /// # Errors
    /// Whatever `read` gives; what was taken before stays.
    pub fn take<E>(
        &mut self,
        mut read: impl FnMut(std::ops::Range<usize>, &mut KvBuf) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut at = 0;
        for i in 0..self.parts.len() {
            let part = self.parts[i];
            let range = at..at + part.beacons;
            at = range.end;
            if part.begins || self.fresh.is_empty() {
                let mut block = self.buffer();
                (block.ratio, block.covers) = (part.ratio, part.tokens);
                block.kv.fill(0);
                if !range.is_empty() {
                    read(range, &mut block.kv)?;
                }
                self.fresh.push_back(block);
            } else if let Some(block) = self.fresh.back_mut() {
                block.covers += part.tokens;
                if !range.is_empty() {
                    read(range, &mut self.part)?;
                    append(&mut block.kv, self.part.view());
                }
            }
            self.open = !part.ends;
        }
        self.parts.clear();
        self.rows.clear();
        Ok(())
    }

    fn buffer(&mut self) -> BlockBeacons {
        let (geometry, capacity) = (self.part.geometry(), self.part.capacity());
        let new =
            || BlockBeacons { ratio: 0, covers: 0, kv: KvBuf::with_capacity(geometry, capacity) };
        self.pool.pop().unwrap_or_else(new)
    }

    /// Tokens that one beacon of this index stands for.
    #[must_use]
    pub fn ratio(&self, index: u8) -> u16 {
        self.ratios.get(usize::from(index)).copied().unwrap_or(0)
    }

    /// Beacons of recent block `i`, counted from the oldest.
    #[must_use]
    pub fn fresh(&self, i: usize) -> Option<&BlockBeacons> {
        self.fresh.get(i)
    }

    /// Recent blocks with beacons, an unfinished one included.
    #[must_use]
    pub fn fresh_blocks(&self) -> usize {
        self.fresh.len()
    }

    /// The oldest recent block has left the recent region: its beacons enter attention. The tier's
    /// oldest blocks leave it when there is no room.
    pub fn leave(&mut self) {
        let Some(block) = self.fresh.pop_front() else { return };
        let n = block.kv.tokens();
        while self.held + n > self.capacity && !self.tier.is_empty() {
            self.forget_oldest();
        }
        if n > self.capacity {
            self.put_away(block);
            return;
        }
        self.held += n;
        self.tier.push_back(block);
    }

    fn forget_oldest(&mut self) {
        if let Some(old) = self.tier.pop_front() {
            self.held -= old.kv.tokens();
            self.put_away(old);
        }
    }

    /// A block is out of the tier for good.
    fn put_away(&mut self, block: BlockBeacons) {
        match self.folds {
            true => self.left.push_back(block),
            false => self.pool.push(block),
        }
    }

    /// Puts stored beacons of a block behind those of the tier (a restored session) or, with
    /// `recent`, behind those of the recent blocks.
    pub fn restore(&mut self, ratio: u16, covers: usize, kv: KvView<'_>, recent: bool) {
        let index = self.ratios.iter().position(|&r| r == ratio).unwrap_or(0);
        let mut block = self.buffer();
        (block.ratio, block.covers) = (u8::try_from(index).unwrap_or(0), covers);
        block.kv.fill(0);
        append(&mut block.kv, kv);
        self.fresh.push_back(block);
        self.open = false;
        if !recent {
            self.leave();
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.pool.extend(self.fresh.drain(..));
        self.pool.extend(self.tier.drain(..));
        self.pool.extend(self.left.drain(..));
        (self.held, self.open) = (0, false);
        self.parts.clear();
        self.rows.clear();
    }

    /// What is in attention, oldest first: the tier and, where the recent region is given up, the
    /// recent blocks too; the newest that fit beside `taken` slots.
    pub fn shown(
        &self,
        recent_lost: bool,
        taken: usize,
    ) -> impl Iterator<Item = &BlockBeacons> + Clone {
        let recent = if recent_lost { self.fresh.len() - usize::from(self.open) } else { 0 };
        let all = self.tier.iter().chain(self.fresh.iter().take(recent));
        let (mut left, mut fit) = (self.capacity.saturating_sub(taken), 0);
        for block in self.fresh.iter().take(recent).rev().chain(self.tier.iter().rev()) {
            if block.kv.tokens() > left {
                break;
            }
            left -= block.kv.tokens();
            fit += 1;
        }
        all.skip(self.tier.len() + recent - fit)
    }

    /// The recent blocks' last one is cut where its text ends for now.
    pub fn close(&mut self) {
        self.open = false;
    }

    /// Most beacons of one block.
    #[must_use]
    pub const fn most_a_block(&self) -> usize {
        self.part.capacity()
    }

    /// The tier, oldest first.
    pub fn tier(&self) -> impl Iterator<Item = &BlockBeacons> {
        self.tier.iter()
    }

    /// The finished recent blocks, oldest first.
    pub fn recent(&self) -> impl Iterator<Item = &BlockBeacons> {
        self.fresh.iter().take(self.fresh.len() - usize::from(self.open))
    }

    /// Beacons in the tier.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.held
    }

    /// Most beacons of the tier.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Tokens that the tier stands for.
    #[must_use]
    pub fn covers(&self) -> usize {
        self.tier.iter().map(|b| b.covers).sum()
    }

    /// Notes the mean surprise of a step (nats a token), for the adaptive ratio.
    pub fn surprised(&mut self, nats: f32) {
        if !nats.is_finite() {
            return;
        }
        self.latest = nats;
        let usual = if self.usual.is_finite() { self.usual } else { nats };
        self.usual = usual + (nats - usual) / 16.0;
    }

    /// Running mean of surprise and the latest step's, NaN where nothing was noted.
    #[must_use]
    pub const fn surprise(&self) -> (f32, f32) {
        (self.usual, self.latest)
    }

    /// Goes on from an earlier session's [`Beacons::surprise`].
    pub const fn set_surprise(&mut self, usual: f32, latest: f32) {
        (self.usual, self.latest) = (usual, latest);
    }

    fn choose(&self) -> u8 {
        let last = u8::try_from(self.ratios.len().saturating_sub(1)).unwrap_or(u8::MAX);
        match self.policy {
            Ratio::Fixed(i) => i.min(last),
            Ratio::Adaptive(i) => {
                let i = i.min(last);
                if self.latest > 1.25 * self.usual {
                    i.saturating_sub(1)
                } else if self.latest < 0.8 * self.usual {
                    (i + 1).min(last)
                } else {
                    i
                }
            }
        }
    }
}

/// Most beacons of one block at these ratios.
fn most_a_block(ratios: &[u16]) -> usize {
    let finest = ratios.first().map_or(BLOCK_TOKENS, |&r| usize::from(r).max(1));
    BLOCK_TOKENS.div_ceil(finest)
}

/// Appends `more` to what `to` holds.
fn append(to: &mut KvBuf, more: KvView<'_>) {
    let (old, new) = (to.tokens(), more.tokens());
    let d = usize::from(to.geometry().head_dim);
    let (k, v) = (to.view().k().to_vec(), to.view().v().to_vec());
    let (to_k, to_v) = to.fill(old + new);
    for (out, held, more) in [(to_k, &k, more.k()), (to_v, &v, more.v())] {
        for (head, rows) in out.chunks_exact_mut(((old + new) * d).max(1)).enumerate() {
            rows[..old * d].copy_from_slice(&held[head * old * d..(head + 1) * old * d]);
            rows[old * d..].copy_from_slice(&more[head * new * d..(head + 1) * new * d]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    const G: Geometry = Geometry { layers: 2, kv_heads: 1, head_dim: 2, block_tokens: 64 };

    /// Each beacon's values are its place in the whole stream.
    fn run(
        b: &mut Beacons,
        cuts: &[usize],
        held: usize,
        tokens: usize,
        next: &mut f32,
    ) -> Vec<u32> {
        let lasts = b.plan(cuts, held, tokens).iter().map(|r| r.last).collect();
        let first = *next;
        b.take(|range, out| {
            let (start, n) = (range.start, range.len());
            let (k, v) = out.fill(n);
            for (i, x) in k.iter_mut().chain(v).enumerate() {
                *x = first + (start + i / 2 % n) as f32;
            }
            *next += n as f32;
            Ok::<(), Infallible>(())
        })
        .unwrap();
        lasts
    }

    #[test]
    fn groups_start_at_the_block_and_its_last_token_has_a_beacon() {
        let mut b = Beacons::new(G, &[4, 8], Ratio::Fixed(1), 16);
        let mut next = 0.0;
        // Blocks of 20 and 24 tokens, of which a step of 30 sees all of one and 10 of the other.
        assert_eq!(run(&mut b, &[20, 44], 0, 30, &mut next), [7, 15, 19, 27]);
        assert_eq!((b.fresh_blocks(), b.recent().count()), (2, 1));
        // 10 tokens of the block are held; the next step has its other 14 and a block of 5.
        assert_eq!(run(&mut b, &[24, 29], 10, 19, &mut next), [5, 13, 18]);
        let seen: Vec<Vec<f32>> = b
            .recent()
            .map(|x| x.kv.view().v_head(1, 0).chunks(2).map(|c| c[0]).collect())
            .collect();
        assert_eq!(seen, [vec![0.0, 1.0, 2.0], vec![3.0, 4.0, 5.0], vec![6.0]]);
        let covers: Vec<usize> = b.recent().map(|x| x.covers).collect();
        assert_eq!(covers, [20, 24, 5]);
    }

    #[test]
    fn the_tier_keeps_its_bound_and_forgets_the_oldest_block() {
        let mut b = Beacons::new(G, &[4, 8], Ratio::Fixed(0), 9);
        let mut next = 0.0;
        run(&mut b, &[16, 32, 48], 0, 48, &mut next);
        for held in [4, 8, 8] {
            b.leave();
            assert_eq!(b.held(), held);
        }
        let first: Vec<f32> = b.tier().map(|x| x.kv.view().k_head(0, 0)[0]).collect();
        assert_eq!((first, b.covers()), (vec![4.0, 8.0], 32));
        b.leave();
        assert_eq!(b.held(), 8, "nothing was recent any more");
    }

    #[test]
    fn surprising_text_is_condensed_less() {
        let mut b = Beacons::new(G, &[4, 8, 16], Ratio::Adaptive(1), 9);
        let ratio = |b: &mut Beacons| b.plan(&[24], 0, 24)[0].ratio;
        assert_eq!(ratio(&mut b), 1);
        b.surprised(2.0);
        assert_eq!(ratio(&mut b), 1);
        b.surprised(4.0);
        assert_eq!(ratio(&mut b), 0);
        b.surprised(0.5);
        assert_eq!(ratio(&mut b), 2);
    }
}
