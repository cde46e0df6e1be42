//! A query, prepared once for all blocks.

use super::{
    kernel::Kernel,
    tile::{AddressTiles, OFFSET, STEP, lanes_per_group, value_of},
};
use crate::AddressQuery;

/// Steps that a component of a query vector is rounded to, each way. At 63 the sum of two products
/// with an unsigned byte fits 16 bits (255 * 63 * 2 = 32,130), which the AVX2 kernel needs.
pub(crate) const LEVELS: f32 = 63.0;

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
    pub(crate) fn new(query: &AddressQuery, dim: usize) -> Self {
        let lanes = lanes_per_group(dim);
        let heads: Vec<PreparedHead> = query
            .heads
            .iter()
            .map(|h| {
                let n = h.vectors.len().checked_div(dim).unwrap_or(0);
                let mut head = PreparedHead {
                    weight: h.weight,
                    words: Vec::with_capacity(n * lanes),
                    steps: Vec::with_capacity(n),
                    offsets: Vec::with_capacity(n),
                };
                for row in h.vectors.chunks_exact(dim.max(1)) {
                    head.push(row);
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

    /// The score of the first pass.
    pub(crate) fn score(&self, block: &AddressTiles, kernel: Kernel, scratch: &mut [i32]) -> f32 {
        let mut score = 0.0;
        for (head, tiles) in self.heads.iter().zip(&block.heads) {
            let n = head.steps.len();
            if n == 0 || tiles.vectors == 0 {
                continue;
            }
            let lanes = tiles.lanes(self.lanes * STEP);
            let Some(lanes) = block.lanes.get(tiles.first..tiles.first + lanes) else { continue };
            let dots = &mut scratch[..n];
            kernel.max_dots(lanes, self.lanes, &head.words, dots);
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
    let mut keys: Vec<f32> = Vec::new();
    for (head, tiles) in query.heads.iter().zip(&block.heads) {
        let n = head.vectors.len().checked_div(dim).unwrap_or(0);
        if n == 0 || tiles.vectors == 0 {
            continue;
        }
        let lanes = block.head(tiles, dim);
        let value = |i: usize| f32::from(value_of(lanes, dim, i / dim, i % dim));
        keys.clear();
        keys.extend((0..tiles.vectors * dim).map(value));
        let best = |q: &[f32]| {
            keys.chunks_exact(dim).map(|k| dot(q, k)).fold(f32::NEG_INFINITY, f32::max)
        };
        let sum: f32 = head.vectors.chunks_exact(dim).map(best).sum();
        score += head.weight * (sum / n as f32 * tiles.scale - tiles.mean) / tiles.spread;
    }
    score
}

/// Eight running sums, so that the compiler may use vector registers.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let (wide_a, wide_b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = wide_a.remainder().iter().zip(wide_b.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in wide_a.zip(wide_b) {
        for i in 0..8 {
            sums[i] += x[i] * y[i];
        }
    }
    rest + sums.iter().sum::<f32>()
}
