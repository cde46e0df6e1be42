//! A query, prepared once for all blocks.

use super::{
    kernel::Kernel,
    tile::{AddressRef, OFFSET, STEP, lanes_per_group, value_of},
};
use crate::{AddressQuery, format::page::HeadEntry};

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

    /// Heads, by number.
    pub(crate) fn indices(&self) -> std::ops::Range<usize> {
        0..self.heads.len()
    }

    /// How much head `h` counts.
    pub(crate) fn weight(&self, h: usize) -> f32 {
        self.heads[h].weight
    }

    /// The query vectors of head `h`.
    pub(crate) fn vectors(&self, h: usize) -> impl Iterator<Item = PreparedVector<'_>> {
        let head = &self.heads[h];
        let values = head.steps.iter().zip(&head.offsets);
        let words = head.words.chunks_exact(self.lanes.max(1));
        words.zip(values).map(|(words, (step, offset))| PreparedVector {
            words,
            step: *step,
            offset: *offset,
        })
    }

    /// The score of the first passes, of a block whose heads begin groups. `next` is the block
    /// that will be scored after this one: its lanes are asked for meanwhile.
    pub(crate) fn score(
        &self,
        block: AddressRef<'_>,
        next: Option<AddressRef<'_>>,
        kernel: Kernel,
        scratch: &mut [i32],
    ) -> f32 {
        let dim = self.lanes * STEP;
        let mut score = 0.0;
        for (h, (head, entry)) in self.heads.iter().zip(block.heads).enumerate() {
            let n = head.steps.len();
            let lanes = block.head(entry, dim);
            if n == 0 || lanes.is_empty() {
                continue;
            }
            let dots = &mut scratch[..n];
            let ahead = next.and_then(|b| Some(b.head(b.heads.get(h)?, dim)));
            kernel.max_dots(lanes, ahead.unwrap_or(&[]), self.lanes, &head.words, dots);
            let sum: f32 = dots
                .iter()
                .zip(&head.offsets)
                .zip(&head.steps)
                .map(|((dot, offset), step)| (dot - offset) as f32 * step)
                .sum();
            score += weighted(head.weight, sum / n as f32, entry);
        }
        score
    }
}

/// One query vector.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PreparedVector<'a> {
    pub(crate) words: &'a [i32],
    step: f32,
    offset: i32,
}

impl PreparedVector<'_> {
    /// What a dot product is worth, in units of the block's scale.
    pub(crate) fn value(&self, dot: i32) -> f32 {
        (dot - self.offset) as f32 * self.step
    }
}

/// A head's share of a score, from the mean over query vectors of the best dot product.
pub(crate) fn weighted(weight: f32, mean_best: f32, head: &HeadEntry) -> f32 {
    weight * (mean_best * head.scale - head.mean) / head.spread
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
pub(crate) fn exact_score(query: &AddressQuery, block: AddressRef<'_>, dim: usize) -> f32 {
    let mut score = 0.0;
    let mut keys: Vec<f32> = Vec::new();
    for (head, entry) in query.heads.iter().zip(block.heads) {
        let n = head.vectors.len().checked_div(dim).unwrap_or(0);
        if n == 0 || entry.vectors == 0 {
            continue;
        }
        keys.clear();
        for place in entry.first as usize..entry.first as usize + entry.vectors as usize {
            keys.extend((0..dim).map(|d| f32::from(value_of(block.lanes, dim, place, d))));
        }
        let best =
            |q: &[f32]| keys.chunks_exact(dim).map(|k| dot(q, k)).fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = head.vectors.chunks_exact(dim).map(best).sum();
        score += weighted(head.weight, sum / n as f32, entry);
    }
    score
}

/// Eight sums side by side, which the compiler puts into registers.
fn dot(q: &[f32], k: &[f32]) -> f32 {
    let (qs, q_rest) = q.as_chunks::<8>();
    let (ks, k_rest) = k.as_chunks::<8>();
    let mut sums = [0.0_f32; 8];
    for (q, k) in qs.iter().zip(ks) {
        for ((sum, q), k) in sums.iter_mut().zip(q).zip(k) {
            *sum += q * k;
        }
    }
    let rest: f32 = q_rest.iter().zip(k_rest).map(|(q, k)| q * k).sum();
    sums.into_iter().sum::<f32>() + rest
}
