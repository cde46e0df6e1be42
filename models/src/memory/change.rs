//! The low-rank change of one matrix.

use std::ops::Range;

/// `B A`: what is added to a matrix `[out, in]`.
#[derive(Clone, Debug, PartialEq)]
pub struct LowRank {
    rank: usize,
    a: Vec<f32>,
    b: Vec<f32>,
}

impl LowRank {
    /// Of `a` `[rank, in]` and `b` `[out, rank]`, with `scale` taken into `b`.
    pub(super) fn new(rank: usize, a: Vec<f32>, mut b: Vec<f32>, scale: f32) -> Self {
        b.iter_mut().for_each(|x| *x *= scale);
        Self { rank, a, b }
    }

    /// Rows of A, columns of B.
    #[must_use]
    pub const fn rank(&self) -> usize {
        self.rank
    }

    /// `[rank, in]`.
    #[must_use]
    pub fn a(&self) -> &[f32] {
        &self.a
    }

    /// `[out, rank]`, the memory's scale included.
    #[must_use]
    pub fn b(&self) -> &[f32] {
        &self.b
    }

    /// Adds rows `rows` of the change to `out`, `[rows, in]`.
    ///
    /// # Panics
    /// When there are no such rows, or `out` has another length.
    pub fn add_to(&self, rows: Range<usize>, out: &mut [f32]) {
        let cols = self.a.len() / self.rank;
        assert_eq!(out.len(), rows.len() * cols, "rows of {cols} values");
        let mut sum = vec![0.0_f32; cols];
        for (row, out) in rows.zip(out.chunks_exact_mut(cols)) {
            sum.fill(0.0);
            let weights = &self.b[row * self.rank..(row + 1) * self.rank];
            for (weight, line) in weights.iter().zip(self.a.chunks_exact(cols)) {
                for (sum, x) in sum.iter_mut().zip(line) {
                    *sum += weight * x;
                }
            }
            for (out, sum) in out.iter_mut().zip(&sum) {
                *out += sum;
            }
        }
    }
}
