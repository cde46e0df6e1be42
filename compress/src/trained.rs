//! The trained address: a few unit vectors a block, one a question.
//!
//! The decoder gives, for every token, a projection and the logit of a gate (`memory_key` and
//! `memory_query`, from the residual stream of one middle layer). Vectors are pooled here, for the
//! block and for the question in one place:
//!
//! ```text
//! memory_key[s]  = unit(sum_i softmax_i(g_i) p_i)   over the tokens of segment s of the block
//! memory_query   = unit(sum_i softmax_i(g_i) p_i)   over the question's own tokens
//! score          = the largest dot product of the query with a block's vectors, -1 to 1
//! ```
//!
//! How it is trained is `models/forge` (`address.py`).

use std::ops::Range;

use lcedge_memory::address::HeadAddress;
use lcedge_memory::{AddressLayout, AddressQuery, BlockAddress, HeadQuery};

use crate::address::to_codes;

/// Shape of a trained address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrainedAddress {
    /// Width of a vector.
    pub dim: usize,
    /// Most vectors of a block.
    pub keys: usize,
    /// Tokens of a block that one vector stands for; the last segment may be shorter.
    pub segment_tokens: usize,
}

impl TrainedAddress {
    /// Values that the decoder gives for a token: the projection and the gate's logit.
    #[must_use]
    pub const fn row(&self) -> usize {
        self.dim + 1
    }

    /// How addresses lie in the store.
    #[must_use]
    pub fn layout(&self) -> AddressLayout {
        let small = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        AddressLayout { heads: 1, vectors_max: small(self.keys), dim: small(self.dim) }
    }

    /// The address of a block from its tokens' `memory_key` rows `[tokens, dim + 1]`. Tokens
    /// beyond `keys` segments join the last one.
    #[must_use]
    pub fn block(&self, rows: &[f32]) -> BlockAddress {
        let tokens = rows.len() / self.row();
        let mut vectors = Vec::with_capacity(self.keys * self.dim);
        for range in self.segments(tokens) {
            self.pool(&rows[range.start * self.row()..range.end * self.row()], &mut vectors);
        }
        let (vectors, scale) = to_codes(&vectors);
        BlockAddress { heads: vec![HeadAddress { vectors, scale, mean: 0.0, spread: 1.0 }] }
    }

    /// The segments of a block of `tokens` tokens.
    fn segments(&self, tokens: usize) -> impl Iterator<Item = Range<usize>> {
        let (size, keys) = (self.segment_tokens, self.keys);
        let count = tokens.div_ceil(size).min(keys);
        (0..count).map(move |i| {
            let end = if i + 1 == keys { tokens } else { ((i + 1) * size).min(tokens) };
            i * size..end
        })
    }

    /// The query of the tokens at `rows`, from a step's `memory_query` `[tokens, dim + 1]`.
    #[must_use]
    pub fn query(&self, step: &[f32], rows: &[usize]) -> AddressQuery {
        let width = self.row();
        let mut picked = Vec::with_capacity(rows.len() * width);
        for &r in rows.iter().filter(|&&r| (r + 1) * width <= step.len()) {
            picked.extend_from_slice(&step[r * width..(r + 1) * width]);
        }
        let mut vectors = Vec::with_capacity(self.dim);
        self.pool(&picked, &mut vectors);
        AddressQuery { heads: vec![HeadQuery { weight: 1.0, vectors }] }
    }

    /// Appends the pooled unit vector of `rows` `[n, dim + 1]`; zeros for none.
    fn pool(&self, rows: &[f32], out: &mut Vec<f32>) {
        let rows = rows.chunks_exact(self.row());
        let top = rows.clone().map(|r| r[self.dim]).fold(f32::MIN, f32::max);
        let at = out.len();
        out.resize(at + self.dim, 0.0);
        for row in rows {
            let w = (row[self.dim] - top).exp();
            for (o, x) in out[at..].iter_mut().zip(row) {
                *o += w * x;
            }
        }
        let norm = out[at..].iter().map(|x| x * x).sum::<f32>().sqrt();
        if norm > 0.0 {
            out[at..].iter_mut().for_each(|x| *x /= norm);
        }
    }

    /// Scores groups of a block's tokens (the lines in it) by the vectors whose segments they
    /// touch; an empty group scores `f32::MIN`.
    #[must_use]
    pub fn score_groups(
        &self,
        address: &BlockAddress,
        query: &AddressQuery,
        groups: &[Range<usize>],
    ) -> Vec<f32> {
        let (Some(head), Some(query)) = (address.heads.first(), query.heads.first()) else {
            return vec![f32::MIN; groups.len()];
        };
        let dot = |k: &[i8]| {
            query.vectors.iter().zip(k).map(|(a, &b)| a * f32::from(b)).sum::<f32>() * head.scale
        };
        let scores: Vec<f32> = head.vectors.chunks_exact(self.dim).map(dot).collect();
        let last = scores.len().saturating_sub(1);
        let segment = |token: usize| (token / self.segment_tokens).min(last);
        let score = |g: &Range<usize>| {
            if g.is_empty() || scores.is_empty() {
                return f32::MIN;
            }
            let of = &scores[segment(g.start)..=segment(g.end - 1)];
            of.iter().copied().fold(f32::MIN, f32::max)
        };
        groups.iter().map(score).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: TrainedAddress = TrainedAddress { dim: 2, keys: 2, segment_tokens: 3 };

    fn rows(all: &[[f32; 3]]) -> Vec<f32> {
        all.concat()
    }

    fn close(a: &[f32], b: &[f32]) {
        assert_eq!(a.len(), b.len());
        assert!(a.iter().zip(b).all(|(x, y)| (x - y).abs() < 1e-5), "{a:?} {b:?}");
    }

    #[test]
    fn pooling_is_a_softmax_mean_of_unit_length() {
        // Gates 0 and ln 3: weights 1 and 3, so (1 + 0, 0 + 3) / sqrt(10).
        let q = A.query(&rows(&[[1.0, 0.0, 0.0], [0.0, 1.0, 3f32.ln()], [9.0, 9.0, 9.0]]), &[0, 1]);
        close(&q.heads[0].vectors, &[1.0 / 10f32.sqrt(), 3.0 / 10f32.sqrt()]);
        close(&A.query(&[], &[0]).heads[0].vectors, &[0.0, 0.0]);
    }

    #[test]
    fn a_block_has_a_vector_a_segment_and_the_rest_joins_the_last() {
        let x = [1.0, 0.0, 0.0];
        let y = [0.0, 2.0, 0.0];
        for (tokens, vectors) in [(1, 1), (3, 1), (4, 2), (6, 2), (9, 2)] {
            let all: Vec<[f32; 3]> = (0..tokens).map(|i| if i < 3 { x } else { y }).collect();
            let b = A.block(&rows(&all));
            assert_eq!(b.heads[0].vectors.len(), vectors * 2, "{tokens} tokens");
            assert_eq!(&b.heads[0].vectors[..2], [127, 0]);
            if vectors == 2 {
                assert_eq!(&b.heads[0].vectors[2..], [0, 127]);
            }
        }
    }

    #[test]
    fn lines_score_by_the_segments_they_touch() {
        let x = [1.0, 0.0, 0.0];
        let y = [0.0, 2.0, 0.0];
        let b = A.block(&rows(&[x, x, x, y, y]));
        let q = A.query(&rows(&[[0.6, 0.8, 0.0]]), &[0]);
        close(&A.score_groups(&b, &q, &[0..2, 2..4, 4..5]), &[0.6, 0.8, 0.8]);
        assert_eq!(A.score_groups(&b, &q, &[3..3, 0..1])[0], f32::MIN);
    }
}
