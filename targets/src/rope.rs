//! Rotary position embedding (RoPE, Su et al. 2021), half-rotation order as in Hugging Face's
//! Llama: value `i` of a head is paired with value `i + head_dim / 2`.

/// Cosines and sines of every position that may be used.
///
/// Angles are computed in `f64` and rounded once, as the graph's own table is.
#[derive(Clone, Debug)]
pub struct Rope {
    half: usize,
    positions: usize,
    /// `[positions, 2, head_dim / 2]`: cosines, then sines, of each position.
    table: Box<[f32]>,
}

impl Rope {
    /// The table for `positions` positions and heads of `head_dim` values; the angle of pair `i` at
    /// position `p` is `p * theta^(-2i / head_dim)`.
    #[must_use]
    pub fn new(head_dim: usize, theta: f32, positions: usize) -> Self {
        let half = head_dim / 2;
        let mut table = vec![0.0_f32; positions * 2 * half];
        let frequencies: Vec<f64> =
            (0..half).map(|i| f64::from(theta).powf(-2.0 * i as f64 / head_dim as f64)).collect();
        for (position, row) in table.chunks_exact_mut((2 * half).max(1)).enumerate() {
            let (cos, sin) = row.split_at_mut(half);
            for ((c, s), frequency) in cos.iter_mut().zip(sin).zip(&frequencies) {
                let (sine, cosine) = (position as f64 * frequency).sin_cos();
                *c = cosine as f32;
                *s = sine as f32;
            }
        }
        Self { half, positions, table: table.into_boxed_slice() }
    }

    /// Rows of the table: positions lie below this.
    #[must_use]
    pub const fn positions(&self) -> usize {
        self.positions
    }

    /// Bytes of the table.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        size_of_val::<[f32]>(&self.table)
    }

    /// Writes `head`, `[head_dim]`, rotated to `position`, to `out`.
    ///
    /// # Panics
    /// When the position is not below [`Rope::positions`], or a length is not `head_dim`.
    pub fn rotate(&self, head: &[f32], position: usize, out: &mut [f32]) {
        let half = self.half;
        let row = &self.table[position * 2 * half..(position + 1) * 2 * half];
        let (cos, sin) = row.split_at(half);
        let (a, b) = head.split_at(half);
        let (x, y) = out.split_at_mut(half);
        assert!(a.len() == b.len() && x.len() == y.len(), "heads of [head_dim] values");
        for i in 0..half {
            x[i] = a[i] * cos[i] - b[i] * sin[i];
            y[i] = b[i] * cos[i] + a[i] * sin[i];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_turn_by_their_own_angle() {
        let rope = Rope::new(4, 100.0, 8);
        let mut out = [0.0; 4];
        rope.rotate(&[1.0, 2.0, 3.0, 4.0], 5, &mut out);
        // By hand: pair (1, 3) turns by 5 rad, pair (2, 4) by 5 * 100^-0.5 = 0.5 rad.
        let want = [
            5f64.cos() - 3.0 * 5f64.sin(),
            2.0 * 0.5f64.cos() - 4.0 * 0.5f64.sin(),
            3.0 * 5f64.cos() + 5f64.sin(),
            4.0 * 0.5f64.cos() + 2.0 * 0.5f64.sin(),
        ];
        for (got, want) in out.iter().zip(want) {
            assert!((f64::from(*got) - want).abs() < 1e-6, "{got} {want}");
        }
    }

    #[test]
    fn position_zero_changes_nothing_and_products_see_distances_only() {
        let rope = Rope::new(8, 10_000.0, 600);
        let q = [0.3, -1.0, 0.5, 0.2, 0.9, -0.4, 0.1, 0.7];
        let k = [1.0, 0.2, -0.6, 0.8, -0.3, 0.5, 0.4, -0.9];
        let mut same = [0.0; 8];
        rope.rotate(&q, 0, &mut same);
        assert_eq!(same, q);
        let dot = |p: usize, r: usize| {
            let (mut a, mut b) = ([0.0; 8], [0.0; 8]);
            rope.rotate(&q, p, &mut a);
            rope.rotate(&k, r, &mut b);
            a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>()
        };
        assert!((dot(40, 3) - dot(537, 500)).abs() < 1e-4);
    }
}
