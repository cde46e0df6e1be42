//! Weights of one output row in the blocks of `MatMulNBits`: 32 values along K share a scale; a
//! value is `scale (q - 8)` in 4 bits (two a byte, low first) or `scale (q - 128)` in 8 bits.
//!
//! | source | 8 bits | 4 bits |
//! |---|---|---|
//! | Q8_0 | exact | lossy |
//! | Q4_0 | exact | exact |
//! | Q4_1 | lossy | exact with an offset `m + 8 d` a block, times the block's sum of x |
//! | floats | lossy | lossy |

use crate::encoding::{BLOCK, Encoding, half_at, nibbles};

/// Packed blocks of one or more rows.
#[derive(Debug, Default)]
pub(super) struct Packed {
    /// Quantised values, 16 or 32 bytes a block.
    pub(super) q: Vec<u8>,
    /// One a block.
    pub(super) scales: Vec<f32>,
    /// One a block, for exact Q4_1 only.
    pub(super) offsets: Vec<f32>,
}

impl Packed {
    pub(super) fn clear(&mut self) {
        self.q.clear();
        self.scales.clear();
        self.offsets.clear();
    }

    /// Appends a row in 8 bits.
    pub(super) fn row_8(&mut self, encoding: Encoding, stored: &[u8]) {
        match encoding {
            Encoding::Q8_0 => {
                for b in stored.as_chunks::<34>().0 {
                    self.scales.push(half_at(&b[..2]));
                    self.q.extend(b[2..].iter().map(|q| q ^ 0x80));
                }
            }
            Encoding::Q4_0 => {
                for b in stored.as_chunks::<18>().0 {
                    self.scales.push(half_at(&b[..2]));
                    self.q.extend(nibbles(&b[2..]).map(|q| q + 120));
                }
            }
            _ => self.lossy(encoding, stored, Self::block_8),
        }
    }

    /// Appends a row in 4 bits.
    pub(super) fn row_4(&mut self, encoding: Encoding, stored: &[u8]) {
        match encoding {
            Encoding::Q4_0 => {
                for b in stored.as_chunks::<18>().0 {
                    self.scales.push(half_at(&b[..2]));
                    self.nibbles(nibbles(&b[2..]));
                }
            }
            Encoding::Q4_1 => {
                for b in stored.as_chunks::<20>().0 {
                    let (d, m) = (half_at(&b[..2]), half_at(&b[2..4]));
                    self.scales.push(d);
                    self.offsets.push(m + 8.0 * d);
                    self.nibbles(nibbles(&b[4..]));
                }
            }
            _ => self.lossy(encoding, stored, Self::block_4),
        }
    }

    fn nibbles(&mut self, values: impl Iterator<Item = u8>) {
        let mut values = values;
        while let (Some(low), Some(high)) = (values.next(), values.next()) {
            self.q.push(low | (high << 4));
        }
    }

    /// Decodes the row, fills it up with zeros to whole blocks and quantises each block.
    fn lossy(&mut self, encoding: Encoding, stored: &[u8], block: fn(&mut Self, &[f32])) {
        let mut dense = Vec::new();
        encoding.decode(stored, &mut dense);
        self.quantise(&mut dense, block);
    }

    /// Appends a row of floats in 8 bits; the row is filled up with zeros.
    pub(super) fn dense_8(&mut self, row: &mut Vec<f32>) {
        self.quantise(row, Self::block_8);
    }

    fn quantise(&mut self, row: &mut Vec<f32>, block: fn(&mut Self, &[f32])) {
        row.resize(row.len().next_multiple_of(BLOCK), 0.0);
        for values in row.chunks_exact(BLOCK) {
            block(self, values);
        }
    }

    fn block_8(&mut self, values: &[f32]) {
        let largest = values.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
        let d = largest / 127.0;
        let inverse = if d > 0.0 { 1.0 / d } else { 0.0 };
        self.scales.push(d);
        self.q.extend(values.iter().map(|x| ((x * inverse).round() + 128.0) as u8));
    }

    /// The value of largest magnitude becomes -8, as in Q4_0: one more step on its side.
    fn block_4(&mut self, values: &[f32]) {
        let largest = values.iter().fold(0.0_f32, |m, x| if x.abs() > m.abs() { *x } else { m });
        let d = largest / -8.0;
        let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
        self.scales.push(d);
        self.nibbles(values.iter().map(|x| ((x * inverse).round() + 8.0).clamp(0.0, 15.0) as u8));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;

    fn dense(encoding: Encoding, stored: &[u8]) -> Vec<f32> {
        let mut out = Vec::new();
        encoding.decode(stored, &mut out);
        out
    }

    fn unpack_4(p: &Packed) -> Vec<f32> {
        let q = p.q.iter().flat_map(|b| [b & 15, b >> 4]);
        q.enumerate()
            .map(|(i, q)| {
                let offset = p.offsets.get(i / 32).copied().unwrap_or(0.0);
                p.scales[i / 32] * (f32::from(q) - 8.0) + offset
            })
            .collect()
    }

    fn unpack_8(p: &Packed) -> Vec<f32> {
        let value = |(i, q): (usize, &u8)| p.scales[i / 32] * (f32::from(*q) - 128.0);
        p.q.iter().enumerate().map(value).collect()
    }

    fn stored(encoding: Encoding) -> Vec<u8> {
        let mut seed = 7_u32;
        let mut byte = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        };
        let mut out = Vec::new();
        for block in 0..3_u8 {
            out.extend(f16::from_f32(0.125 + f32::from(block)).to_le_bytes());
            if encoding == Encoding::Q4_1 {
                out.extend(f16::from_f32(-1.5).to_le_bytes());
            }
            let rest = encoding.block_bytes() - if encoding == Encoding::Q4_1 { 4 } else { 2 };
            out.extend((0..rest).map(|_| byte()));
        }
        out
    }

    #[test]
    fn exact_sources_stay_exact() {
        for encoding in [Encoding::Q4_0, Encoding::Q4_1] {
            let bytes = stored(encoding);
            let mut p = Packed::default();
            p.row_4(encoding, &bytes);
            assert_eq!(unpack_4(&p), dense(encoding, &bytes));
        }
        for encoding in [Encoding::Q4_0, Encoding::Q8_0] {
            let bytes = stored(encoding);
            let mut p = Packed::default();
            p.row_8(encoding, &bytes);
            assert_eq!(unpack_8(&p), dense(encoding, &bytes));
        }
    }

    #[test]
    fn lossy_sources_stay_within_half_a_step_and_are_filled_up() {
        let values: Vec<f32> = (0..40).map(|i| ((i * 37) % 23) as f32 - 11.0).collect();
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let mut p = Packed::default();
        p.row_8(Encoding::F32, &bytes);
        assert_eq!(p.q.len(), 64);
        for (a, b) in values.iter().zip(unpack_8(&p)) {
            assert!((a - b).abs() <= 11.0 / 127.0 / 2.0 + 1e-6);
        }
        p.clear();
        p.row_4(Encoding::F32, &bytes);
        assert_eq!(p.q.len(), 32);
        for (a, b) in values.iter().zip(unpack_4(&p)) {
            // The side opposite to the largest value lacks a step: 7 instead of 8.
            assert!((a - b).abs() <= 11.0 / 8.0 + 1e-6);
        }
    }
}
