//! The inner loop: for each vector of a query, the largest dot product with a block's vectors.
//!
//! All kernels give the same integers; [`scalar`] is the one to be believed.

mod scalar;

use super::tile::Lane;

/// Which instructions are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// Plain Rust.
    Scalar,
}

impl Kernel {
    /// The fastest that this processor has.
    pub(crate) fn detect() -> Self {
        Self::Scalar
    }

    /// `out[i]` becomes the largest, over all vectors in `lanes` (whole groups of `per_group` lanes), of
    /// the sum of unsigned bytes times the signed bytes of query vector `i` (`words[i]`, `per_group` of them).
    pub(crate) fn max_dots(self, lanes: &[Lane], per_group: usize, words: &[i32], out: &mut [i32]) {
        match self {
            Self::Scalar => scalar::max_dots(lanes, per_group, words, out),
        }
    }
}
