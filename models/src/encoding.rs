//! How values are stored in model files, and their exact decoding.
//!
//! Block encodings are those of GGUF, 32 values a block along a row:
//!
//! | encoding | bytes | layout | value |
//! |---|---|---|---|
//! | Q8_0 | 34 | f16 `d`, 32 x i8 `q` | `d q` |
//! | Q4_0 | 18 | f16 `d`, 16 bytes: byte j = value j (low), value j + 16 (high) | `d (q - 8)` |
//! | Q4_1 | 20 | f16 `d`, f16 `m`, 16 bytes as Q4_0 | `d q + m` |

use half::{bf16, f16};

/// Values of one block of a block encoding.
pub const BLOCK: usize = 32;

/// How the values of a tensor are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// 32-bit float, little-endian.
    F32,
    /// 16-bit float, little-endian.
    F16,
    /// 16-bit brain float, little-endian.
    Bf16,
    /// Blocks of 32: scale, signed bytes.
    Q8_0,
    /// Blocks of 32: scale, nibbles around 8.
    Q4_0,
    /// Blocks of 32: scale, minimum, nibbles.
    Q4_1,
}

impl Encoding {
    /// Values that are stored together: 1 or 32.
    #[must_use]
    pub const fn block_values(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Q8_0 | Self::Q4_0 | Self::Q4_1 => BLOCK,
        }
    }

    /// Bytes of one block.
    #[must_use]
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Q8_0 => 34,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
        }
    }

    /// Bytes of a row of `cols` values; `None` when the row is not whole blocks or too long.
    #[must_use]
    pub const fn row_bytes(self, cols: usize) -> Option<usize> {
        if !cols.is_multiple_of(self.block_values()) {
            return None;
        }
        (cols / self.block_values()).checked_mul(self.block_bytes())
    }

    /// The name used by model files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Q8_0 => "Q8_0",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
        }
    }

    /// Decodes whole blocks of `bytes` and appends the values to `out`.
    ///
    /// # Panics
    /// When `bytes` is not a whole number of blocks: the caller computed the length wrongly.
    pub fn decode(self, bytes: &[u8], out: &mut Vec<f32>) {
        assert_eq!(bytes.len() % self.block_bytes(), 0, "whole blocks of {}", self.name());
        out.reserve(bytes.len() / self.block_bytes() * self.block_values());
        match self {
            Self::F32 => {
                out.extend(bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)))
            }
            Self::F16 => out.extend(bytes.as_chunks::<2>().0.iter().map(|b| half_at(b))),
            Self::Bf16 => out
                .extend(bytes.as_chunks::<2>().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32())),
            Self::Q8_0 => {
                for b in bytes.as_chunks::<34>().0 {
                    let d = half_at(&b[..2]);
                    out.extend(b[2..].iter().map(|q| d * f32::from(q.cast_signed())));
                }
            }
            Self::Q4_0 => {
                for b in bytes.as_chunks::<18>().0 {
                    let d = half_at(&b[..2]);
                    out.extend(nibbles(&b[2..]).map(|q| d * (f32::from(q) - 8.0)));
                }
            }
            Self::Q4_1 => {
                for b in bytes.as_chunks::<20>().0 {
                    let (d, m) = (half_at(&b[..2]), half_at(&b[2..4]));
                    out.extend(nibbles(&b[4..]).map(|q| d * f32::from(q) + m));
                }
            }
        }
    }
}

/// The 16-bit float at the head of `bytes`.
pub(crate) fn half_at(bytes: &[u8]) -> f32 {
    f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

/// The 32 nibbles of 16 bytes, in the order of the values: all low ones, then all high ones.
pub(crate) fn nibbles(bytes: &[u8]) -> impl Iterator<Item = u8> + '_ {
    bytes.iter().map(|b| b & 15).chain(bytes.iter().map(|b| b >> 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(encoding: Encoding, bytes: &[u8]) -> Vec<f32> {
        let mut out = Vec::new();
        encoding.decode(bytes, &mut out);
        out
    }

    #[test]
    fn blocks_decode_by_their_formulas() {
        let d = f16::from_f32(0.5).to_le_bytes();
        let m = f16::from_f32(-3.0).to_le_bytes();
        let mut q8 = d.to_vec();
        q8.extend((0..32).map(|i| (i as i8 - 16).cast_unsigned()));
        assert_eq!(decoded(Encoding::Q8_0, &q8)[..3], [-8.0, -7.5, -7.0]);
        let nib: Vec<u8> = (0..16).map(|i| i | ((15 - i) << 4)).collect();
        let q40 = [&d[..], &nib].concat();
        let v = decoded(Encoding::Q4_0, &q40);
        assert_eq!((v[0], v[15], v[16], v[31]), (-4.0, 3.5, 3.5, -4.0));
        let q41 = [&d[..], &m, &nib].concat();
        let v = decoded(Encoding::Q4_1, &q41);
        assert_eq!((v[0], v[15], v[16], v[31]), (-3.0, 4.5, 4.5, -3.0));
        assert_eq!(decoded(Encoding::Bf16, &[0x80, 0x3f]), [1.0]);
    }

    #[test]
    fn rows_are_whole_blocks() {
        assert_eq!(Encoding::Q4_1.row_bytes(576), Some(360));
        assert_eq!(Encoding::Q4_1.row_bytes(577), None);
        assert_eq!(Encoding::F16.row_bytes(usize::MAX), None);
    }
}
