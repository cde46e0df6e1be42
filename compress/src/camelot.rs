//! Consolidates similar tokens (CAMELoT, He et al. 2024, arXiv 2402.13449): every layer and kv head
//! has a bounded set of slots, each the running mean of the keys and values of the tokens that it
//! stands for, with their count and its age. A token whose un-rotated key is similar enough to a
//! slot's mean key goes into that slot's means; any other takes a slot of its own: a free one, else
//! the stalest, among the equally stale the least used.
//!
//! Averaging destroys exact recall: this is the coarsest tier, good for what repeats itself.
//!
//! Where this differs from the paper: slots are kept for each kv head, not for each layer; all of
//! them stay in attention instead of the nearest few (the graph has one list of keys for all
//! queries); age counts blocks, so that among slots last used in the same block the count decides.
//! The graph takes as many keys for every head, so a head with fewer slots in use than another
//! shows its most used ones several times, which also gives them more of the attention's mass.

use lcedge_memory::{Geometry, KvView, geometry::head_range};
use ndarray::{ArrayView1, ArrayView2};

use crate::condense::{Condense, CondenseError, Condensed, scored};

/// Similarity (cosine) above which a token joins a slot, unless told otherwise.
pub const THRESHOLD: f32 = 0.9;

/// Consolidated state: running means of similar tokens.
#[derive(Clone, Debug)]
pub struct Camelot {
    threshold: f32,
    heads: Vec<Slots>,
    /// Blocks taken since the state was empty.
    blocks: u64,
    /// Tokens in them.
    tokens: u64,
    /// Rows of one head's output: slot and tokens of each, oldest first.
    rows: Vec<(usize, u64)>,
    copies: Vec<u64>,
    covers: Vec<u64>,
}

/// The slots of one layer and kv head; those in use come first.
#[derive(Clone, Debug, Default)]
struct Slots {
    /// Mean keys `[capacity, head_dim]`.
    k: Vec<f32>,
    /// Mean values `[capacity, head_dim]`.
    v: Vec<f32>,
    used: Vec<Slot>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Tokens in the means.
    count: u64,
    /// Block in which it was last used.
    block: u64,
    /// Token, of all taken, that used it last.
    token: u64,
    /// Length of the mean key.
    norm: f32,
}

impl Camelot {
    /// A token joins a slot when the cosine of their keys is above `threshold`.
    #[must_use]
    pub const fn new(threshold: f32) -> Self {
        Self {
            threshold,
            heads: Vec::new(),
            blocks: 0,
            tokens: 0,
            rows: Vec::new(),
            copies: Vec::new(),
            covers: Vec::new(),
        }
    }

    fn start(&mut self, geometry: Geometry, capacity: usize) {
        let heads = usize::from(geometry.layers) * usize::from(geometry.kv_heads);
        (self.blocks, self.tokens) = (0, 0);
        self.heads.resize_with(heads, Slots::default);
        for slots in &mut self.heads {
            slots.k.resize(capacity * usize::from(geometry.head_dim), 0.0);
            slots.v.resize(capacity * usize::from(geometry.head_dim), 0.0);
            slots.used.clear();
            slots.used.reserve_exact(capacity);
        }
        self.rows.reserve(capacity);
        self.copies.reserve(capacity);
        self.covers.reserve(capacity);
    }

    /// Writes every head's slots into `state`, oldest first.
    fn show(&mut self, state: &mut Condensed) {
        let geometry = state.kv.geometry();
        let d = usize::from(geometry.head_dim);
        let n = self.heads.iter().map(|h| h.used.len()).max().unwrap_or(0);
        self.covers.clear();
        self.covers.resize(n, 0);
        let (k, v) = state.kv.fill(n);
        let per_layer = usize::from(geometry.kv_heads);
        for (i, slots) in self.heads.iter().enumerate() {
            slots.rows(n, &mut self.copies, &mut self.rows);
            let range = head_range(geometry, n, i / per_layer, i % per_layer);
            let k = k[range.clone()].chunks_exact_mut(d);
            let v = v[range].chunks_exact_mut(d);
            for (((k, v), &(slot, tokens)), covers) in
                k.zip(v).zip(&self.rows).zip(&mut self.covers)
            {
                k.copy_from_slice(&slots.k[slot * d..][..d]);
                v.copy_from_slice(&slots.v[slot * d..][..d]);
                *covers += tokens;
            }
        }
        let heads = self.heads.len().max(1) as u64;
        state.weight.clear();
        state.weight.extend(self.covers.iter().map(|&c| c as f32 / heads as f32));
        state.covers.clear();
        // The mean over heads, rounded so that the sum is right.
        let (mut sum, mut given) = (0, 0);
        state.covers.extend(self.covers.iter().map(|&c| {
            sum += c;
            let covers = sum / heads - given;
            given += covers;
            u32::try_from(covers).unwrap_or(u32::MAX)
        }));
    }
}

impl Slots {
    /// Takes one token, the `token`-th of all, in the `block`-th block.
    fn take(&mut self, k: &[f32], v: &[f32], (block, token): (u64, u64), threshold: f32) {
        let d = k.len();
        let capacity = self.k.len() / d.max(1);
        if let Some(i) = self.nearest(k, threshold) {
            let slot = &mut self.used[i];
            slot.count += 1;
            (slot.block, slot.token) = (block, token);
            let share = 1.0 / slot.count as f32;
            let mean = &mut self.k[i * d..][..d];
            mean.iter_mut().zip(k).for_each(|(m, x)| *m += (x - *m) * share);
            slot.norm = norm(mean);
            let mean = &mut self.v[i * d..][..d];
            mean.iter_mut().zip(v).for_each(|(m, x)| *m += (x - *m) * share);
            return;
        }
        let slot = Slot { count: 1, block, token, norm: norm(k) };
        let i = if self.used.len() < capacity {
            self.used.push(slot);
            self.used.len() - 1
        } else {
            let stalest = self.used.iter().enumerate();
            let Some((i, _)) = stalest.min_by_key(|(_, s)| (s.block, s.count, s.token)) else {
                return;
            };
            self.used[i] = slot;
            i
        };
        self.k[i * d..][..d].copy_from_slice(k);
        self.v[i * d..][..d].copy_from_slice(v);
    }

    /// The slot whose mean key is most similar to `key`, when that is above `threshold`.
    fn nearest(&self, key: &[f32], threshold: f32) -> Option<usize> {
        let (n, d) = (self.used.len(), key.len());
        let means = ArrayView2::from_shape((n, d), &self.k[..n * d]).ok()?;
        let key = ArrayView1::from(key);
        let length = norm(key.as_slice()?);
        let mut best = None;
        for (i, (mean, slot)) in means.outer_iter().zip(&self.used).enumerate() {
            let cosine = mean.dot(&key) / (length * slot.norm).max(f32::MIN_POSITIVE);
            if cosine > best.map_or(threshold, |(_, c)| c) {
                best = Some((i, cosine));
            }
        }
        best.map(|b| b.0)
    }

    /// `n` rows, oldest first: each slot in use once, and where that is not enough, again those
    /// with the most tokens for each time that they are shown. A slot's tokens are shared out
    /// among its rows.
    fn rows(&self, n: usize, copies: &mut Vec<u64>, rows: &mut Vec<(usize, u64)>) {
        copies.clear();
        copies.resize(self.used.len(), 1);
        for _ in self.used.len()..n {
            let share = |i: usize| self.used[i].count as f64 / (copies[i] + 1) as f64;
            let most = (0..copies.len()).max_by(|&a, &b| share(a).total_cmp(&share(b)));
            if let Some(i) = most {
                copies[i] += 1;
            }
        }
        rows.clear();
        for (i, (slot, &c)) in self.used.iter().zip(&*copies).enumerate() {
            let tokens = |j| slot.count * (j + 1) / c - slot.count * j / c;
            rows.extend((0..c).map(|j| (i, tokens(j))));
        }
        rows.sort_by_key(|r| self.used[r.0].token);
    }
}

fn norm(x: &[f32]) -> f32 {
    let x = ArrayView1::from(x);
    x.dot(&x).sqrt()
}

impl Condense for Camelot {
    fn name(&self) -> &'static str {
        "camelot"
    }

    fn absorb(
        &mut self,
        block: KvView<'_>,
        surprise: &[f32],
        state: &mut Condensed,
    ) -> Result<(), CondenseError> {
        let tokens = scored(block, surprise)?;
        let geometry = state.kv.geometry();
        if state.is_empty() || self.heads.is_empty() {
            self.start(geometry, state.kv.capacity());
        }
        let d = usize::from(geometry.head_dim);
        let per_layer = usize::from(geometry.kv_heads);
        for (i, slots) in self.heads.iter_mut().enumerate() {
            let (layer, head) = (i / per_layer, i % per_layer);
            let k = block.k_head(layer, head).chunks_exact(d);
            let v = block.v_head(layer, head).chunks_exact(d);
            for ((k, v), token) in k.zip(v).zip(self.tokens..) {
                slots.take(k, v, (self.blocks, token), self.threshold);
            }
        }
        self.blocks += 1;
        self.tokens += tokens as u64;
        self.show(state);
        Ok(())
    }
}

#[cfg(test)]
#[path = "camelot_tests.rs"]
mod tests;
