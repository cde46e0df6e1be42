//! A query, prepared once for all blocks.

use super::{
    kernel::Kernel,
    tile::{AddressTiles, GROUP, Lane, OFFSET, STEP, lanes_per_group},
};
use crate::AddressQuery;

/// Steps that a component of a query vector is rounded to, each way. At 63 the sum of two products
/// with an unsigned byte fits 16 bits (255 * 63 * 2 = 32,130), which the AVX2 kernel needs.
pub(crate) const LEVELS: f32 = 63.0;

/// A sample has at least so many vectors of each head.
const SAMPLE_MIN: usize = 8;

/// The `i`-th of `taken` places out of `n`: evenly spread, and shifted within its stretch, so that
/// no period of the query (heads within tokens, or tokens within heads) is met in step.
fn spread(i: usize, taken: usize, n: usize) -> usize {
    let (from, to) = (i * n / taken, (i + 1) * n / taken);
    from + i * 5 % (to - from).max(1)
}

/// One head: its vectors as integers.
#[derive(Debug)]
struct PreparedHead {
    weight: f32,
    /// `[n, lanes]`: four values a word, the first in the lowest byte.
    words: Vec<i32>,
    /// What one step of each vector is worth.
    steps: Vec<f32>,
    /// What the offset of the block's values adds to each vector's dot product.
    offsets: Vec<i32>,
}

/// A query as the first pass uses it.
#[derive(Debug)]
pub(crate) struct PreparedQuery {
    heads: Vec<PreparedHead>,
    lanes: usize,
    vectors_max: usize,
}

impl PreparedQuery {
    /// Prepares one of `one_of` vectors of each head, at least [`SAMPLE_MIN`], spread over all.
    pub(crate) fn new(query: &AddressQuery, dim: usize, one_of: usize) -> Self {
        let lanes = lanes_per_group(dim);
        let heads: Vec<PreparedHead> = query
            .heads
            .iter()
            .map(|h| {
                let n = h.vectors.len().checked_div(dim).unwrap_or(0);
                let taken = n.div_ceil(one_of.max(1)).max(SAMPLE_MIN).min(n);
                let mut head = PreparedHead {
                    weight: h.weight,
                    words: Vec::with_capacity(taken * lanes),
                    steps: Vec::with_capacity(taken),
                    offsets: Vec::with_capacity(taken),
                };
                for i in 0..taken {
                    let at = spread(i, taken, n) * dim;
                    head.push(&h.vectors[at..at + dim]);
                }
                head
            })
            .collect();
        let vectors_max = heads.iter().map(|h| h.steps.len()).max().unwrap_or(0);
        Self { heads, lanes, vectors_max }
    }

    /// Whether no block can score on it.
    pub(crate) fn is_empty(&self) -> bool {
        self.vectors_max == 0
    }

    /// Room for the dot products of one head.
    pub(crate) fn scratch(&self) -> Vec<i32> {
        vec![0; self.vectors_max]
    }

    /// The score of the first passes. `next` is the block that will be scored after this one: its
    /// lanes are asked for meanwhile.
    pub(crate) fn score(
        &self,
        block: &AddressTiles,
        next: Option<&AddressTiles>,
        kernel: Kernel,
        scratch: &mut [i32],
    ) -> f32 {
        let mut score = 0.0;
        for (h, (head, tiles)) in self.heads.iter().zip(&block.heads).enumerate() {
            let n = head.steps.len();
            if n == 0 || tiles.vectors == 0 {
                continue;
            }
            let lanes = tiles.lanes(self.lanes * STEP);
            let Some(lanes) = block.lanes.get(tiles.first..tiles.first + lanes) else { continue };
            let dots = &mut scratch[..n];
            let ahead = next.and_then(|b| Some(b.head(b.heads.get(h)?, self.lanes * STEP)));
            kernel.max_dots(lanes, ahead.unwrap_or(&[]), self.lanes, &head.words, dots);
            let sum: f32 = dots
                .iter()
                .zip(&head.offsets)
                .zip(&head.steps)
                .map(|((dot, offset), step)| (dot - offset) as f32 * step)
                .sum();
            let raw = sum / n as f32 * tiles.scale;
            score += head.weight * (raw - tiles.mean) / tiles.spread;
        }
        score
    }
}

impl PreparedHead {
    fn push(&mut self, row: &[f32]) {
        let largest = row.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
        let step = largest / LEVELS;
        let inverse = if step > 0.0 { 1.0 / step } else { 0.0 };
        let mut sum = 0;
        for values in row.chunks(STEP) {
            let mut bytes = [0_u8; STEP];
            for (to, x) in bytes.iter_mut().zip(values) {
                let level = (x * inverse).round().clamp(-LEVELS, LEVELS) as i8;
                sum += i32::from(level);
                *to = level.cast_unsigned();
            }
            self.words.push(i32::from_le_bytes(bytes));
        }
        self.steps.push(step);
        self.offsets.push(sum * i32::from(OFFSET));
    }
}

/// The score by its definition, in `f32`.
pub(crate) fn exact_score(query: &AddressQuery, block: &AddressTiles, dim: usize) -> f32 {
    let mut score = 0.0;
    let mut keys: Vec<[f32; GROUP]> = Vec::with_capacity(dim + STEP);
    let mut best: Vec<f32> = Vec::new();
    for (head, tiles) in query.heads.iter().zip(&block.heads) {
        let n = head.vectors.len().checked_div(dim).unwrap_or(0);
        if n == 0 || tiles.vectors == 0 {
            continue;
        }
        best.clear();
        best.resize(n, f32::NEG_INFINITY);
        for group in block.head(tiles, dim).chunks_exact(lanes_per_group(dim)) {
            keys.clear();
            keys.extend(group.iter().flat_map(values));
            for (q, best) in head.vectors.chunks_exact(dim).zip(&mut best) {
                *best = best.max(largest_dot(q, &keys));
            }
        }
        let raw = best.iter().sum::<f32>() / n as f32 * tiles.scale;
        score += head.weight * (raw - tiles.mean) / tiles.spread;
    }
    score
}

/// The four values of all vectors of a lane, value by value.
fn values(lane: &Lane) -> [[f32; GROUP]; STEP] {
    std::array::from_fn(|d| {
        std::array::from_fn(|v| f32::from(lane.0[v * STEP + d]) - f32::from(OFFSET))
    })
}

/// The largest dot product with the vectors of a group, all at once.
fn largest_dot(q: &[f32], keys: &[[f32; GROUP]]) -> f32 {
    let mut sums = [0.0_f32; GROUP];
    for (x, key) in q.iter().zip(keys) {
        for (sum, k) in sums.iter_mut().zip(key) {
            *sum += x * k;
        }
    }
    sums.into_iter().fold(f32::NEG_INFINITY, f32::max)
}
