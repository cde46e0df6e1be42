//! Keys and values as bytes: `f16`, 8 bits, 4 bits.
//!
//! Un-rotated keys have a few channels with large offsets, so keys are quantised *per channel*
//! over the tokens of the block; values have none, so they are quantised *per token*. Both follow
//! KIVI (Liu et al. 2024, arXiv 2402.02750): asymmetric, `x = low + step * q`.
//!
//! # Layout of a payload
//! All numbers little-endian. `T` tokens, `D` = head_dim, heads in order `[layers, kv_heads]`.
//!
//! | kind | bytes, for K of every head and then for V of every head |
//! |---|---|
//! | `F16` | `T * D` f16, row-major `[T, D]` |
//! | `Int8` K | `D` x (low f16, step f16), then `T * D` u8 `[T, D]` |
//! | `Int8` V | `T` x (low f16, step f16), then `T * D` u8 `[T, D]` |
//! | `Int4` | as `Int8`, two codes in a byte: even channel in the low half |
//!
//! The largest error of a value is half its step plus the rounding of `low` to f16; the tests
//! state it.

use half::f16;
use lcedge_memory::{Geometry, KvBuf, KvDtype, KvView};

/// Why a payload could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum QuantError {
    /// The payload has another length than its kind, shape and token count say.
    #[error(
        "{dtype:?} payload of {tokens} tokens has {found} bytes, its shape needs {expected}: \
         the block is damaged or of another model"
    )]
    Length {
        /// How it was said to be stored.
        dtype: KvDtype,
        /// Tokens of the block.
        tokens: usize,
        /// Bytes given.
        found: usize,
        /// Bytes that the shape needs.
        expected: usize,
    },
    /// More tokens than the buffer holds.
    #[error("a block of {tokens} tokens does not fit a buffer for {capacity}")]
    Capacity {
        /// Tokens of the block.
        tokens: usize,
        /// Tokens that fit.
        capacity: usize,
    },
    /// 4-bit codes come in pairs along the head.
    #[error("head width {head_dim} is odd: 4-bit keys and values need an even one")]
    OddHead {
        /// Width of one head.
        head_dim: usize,
    },
}

/// Most tokens of a block, and widest head, that are quantised.
pub const PAIRS_MAX: usize = 512;

/// Bytes of the payload of `tokens` tokens.
#[must_use]
pub fn payload_bytes(dtype: KvDtype, geometry: Geometry, tokens: usize) -> usize {
    let heads = geometry.layers as usize * geometry.kv_heads as usize;
    let d = geometry.head_dim as usize;
    match dtype {
        KvDtype::F16 => heads * tokens * d * 4,
        KvDtype::Int8 => heads * ((d + tokens) * 4 + 2 * tokens * d),
        KvDtype::Int4 => heads * ((d + tokens) * 4 + tokens * d),
    }
}

/// Appends the payload of `kv` to `out`.
///
/// # Errors
/// [`QuantError::OddHead`] for 4 bits and an odd head width.
///
/// # Panics
/// When a block has more than [`PAIRS_MAX`] tokens or a head is wider: the plan refuses both.
pub fn encode(dtype: KvDtype, kv: KvView<'_>, out: &mut Vec<u8>) -> Result<(), QuantError> {
    let g = kv.geometry();
    let d = g.head_dim as usize;
    if dtype == KvDtype::Int4 && d % 2 == 1 {
        return Err(QuantError::OddHead { head_dim: d });
    }
    out.reserve(payload_bytes(dtype, g, kv.tokens()));
    let heads =
        || (0..g.layers as usize).flat_map(move |l| (0..g.kv_heads as usize).map(move |h| (l, h)));
    for (l, h) in heads() {
        encode_head(dtype, Axis::Channel, kv.k_head(l, h), d, out);
    }
    for (l, h) in heads() {
        encode_head(dtype, Axis::Token, kv.v_head(l, h), d, out);
    }
    Ok(())
}

/// Reads the payload of `tokens` tokens into `out`.
///
/// # Errors
/// [`QuantError`] when the length does not fit the shape or the buffer is too small.
pub fn decode(
    dtype: KvDtype,
    payload: &[u8],
    tokens: usize,
    out: &mut KvBuf,
) -> Result<(), QuantError> {
    let g = out.geometry();
    let expected = payload_bytes(dtype, g, tokens);
    if payload.len() != expected {
        return Err(QuantError::Length { dtype, tokens, found: payload.len(), expected });
    }
    if tokens > out.capacity() {
        return Err(QuantError::Capacity { tokens, capacity: out.capacity() });
    }
    if tokens == 0 {
        out.fill(0);
        return Ok(());
    }
    let d = g.head_dim as usize;
    let heads = g.layers as usize * g.kv_heads as usize;
    let k_bytes = head_bytes(dtype, Axis::Channel, tokens, d);
    let (k_part, v_part) = payload.split_at(heads * k_bytes);
    let v_bytes = head_bytes(dtype, Axis::Token, tokens, d);
    let (k, v) = out.fill(tokens);
    let n = tokens * d;
    for (bytes, values) in k_part.chunks_exact(k_bytes).zip(k.chunks_exact_mut(n)) {
        decode_head(dtype, Axis::Channel, bytes, d, values);
    }
    for (bytes, values) in v_part.chunks_exact(v_bytes).zip(v.chunks_exact_mut(n)) {
        decode_head(dtype, Axis::Token, bytes, d, values);
    }
    Ok(())
}

/// Along which axis a head's values share one `low` and `step`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Axis {
    /// One pair a channel, over the block's tokens (keys).
    Channel,
    /// One pair a token, over the head's channels (values).
    Token,
}

const fn head_bytes(dtype: KvDtype, axis: Axis, tokens: usize, d: usize) -> usize {
    let pairs = match axis {
        Axis::Channel => d,
        Axis::Token => tokens,
    };
    match dtype {
        KvDtype::F16 => tokens * d * 2,
        KvDtype::Int8 => pairs * 4 + tokens * d,
        KvDtype::Int4 => pairs * 4 + tokens * d / 2,
    }
}

/// `low` and `step` as they are stored, so that codes are made with what will be read back.
#[derive(Clone, Copy)]
struct Range {
    low: f32,
    step: f32,
}

impl Range {
    fn of(values: impl Iterator<Item = f32>, levels: f32) -> Self {
        let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
        for x in values {
            low = low.min(x);
            high = high.max(x);
        }
        if !(low.is_finite() && high.is_finite()) {
            return Self { low: 0.0, step: 0.0 };
        }
        let max = f16::MAX.to_f32();
        let low = f16::from_f32(low.clamp(-max, max)).to_f32();
        let step = f16::from_f32(((high - low) / levels).clamp(0.0, max)).to_f32();
        Self { low, step }
    }

    fn code(self, x: f32, levels: f32) -> u8 {
        if self.step == 0.0 {
            return 0;
        }
        // A cast from float saturates; NaN becomes 0.
        ((x - self.low) / self.step).round().clamp(0.0, levels) as u8
    }

    fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&f16::from_f32(self.low).to_le_bytes());
        out.extend_from_slice(&f16::from_f32(self.step).to_le_bytes());
    }

    fn get(bytes: &[u8]) -> Self {
        let at = |i: usize| f16::from_le_bytes([bytes[i], bytes[i + 1]]).to_f32();
        Self { low: at(0), step: at(2) }
    }
}

fn encode_head(dtype: KvDtype, axis: Axis, values: &[f32], d: usize, out: &mut Vec<u8>) {
    let levels = match dtype {
        KvDtype::F16 => {
            out.extend(values.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()));
            return;
        }
        KvDtype::Int8 => 255.0,
        KvDtype::Int4 => 15.0,
    };
    let tokens = values.len() / d;
    let pairs = if axis == Axis::Channel { d } else { tokens };
    assert!(pairs <= PAIRS_MAX, "{pairs} tokens or channels: the plan allows {PAIRS_MAX}");
    let mut ranges = [Range { low: 0.0, step: 0.0 }; PAIRS_MAX];
    for (i, range) in ranges[..pairs].iter_mut().enumerate() {
        *range = match axis {
            Axis::Channel => Range::of(values.iter().skip(i).step_by(d).copied(), levels),
            Axis::Token => Range::of(values[i * d..(i + 1) * d].iter().copied(), levels),
        };
        range.put(out);
    }
    for (t, row) in values.chunks_exact(d).enumerate() {
        let range = |c: usize| if axis == Axis::Channel { ranges[c] } else { ranges[t] };
        let code = |c: usize| range(c).code(row[c], levels);
        match dtype {
            KvDtype::Int4 => {
                out.extend((0..d).step_by(2).map(|c| code(c) | (code(c + 1) << 4)));
            }
            KvDtype::Int8 | KvDtype::F16 => out.extend((0..d).map(code)),
        }
    }
}

fn decode_head(dtype: KvDtype, axis: Axis, bytes: &[u8], d: usize, values: &mut [f32]) {
    if dtype == KvDtype::F16 {
        for (x, b) in values.iter_mut().zip(bytes.chunks_exact(2)) {
            *x = f16::from_le_bytes([b[0], b[1]]).to_f32();
        }
        return;
    }
    let tokens = values.len() / d;
    let pairs = if axis == Axis::Channel { d } else { tokens };
    let (ranges, codes) = bytes.split_at(pairs * 4);
    let row_bytes = if dtype == KvDtype::Int4 { d / 2 } else { d };
    for (t, (row, codes)) in
        values.chunks_exact_mut(d).zip(codes.chunks_exact(row_bytes)).enumerate()
    {
        match dtype {
            KvDtype::Int4 => {
                for (pair, &b) in row.chunks_exact_mut(2).zip(codes) {
                    pair[0] = f32::from(b & 15);
                    pair[1] = f32::from(b >> 4);
                }
            }
            KvDtype::Int8 | KvDtype::F16 => {
                for (x, &b) in row.iter_mut().zip(codes) {
                    *x = f32::from(b);
                }
            }
        }
        if axis == Axis::Token {
            let r = Range::get(&ranges[t * 4..]);
            for x in row.iter_mut() {
                *x = r.low + r.step * *x;
            }
        }
    }
    if axis == Axis::Channel {
        scale_channels(ranges, d, values);
    }
}

/// Applies each channel's `low` and `step` to codes already widened to floats.
fn scale_channels(ranges: &[u8], d: usize, values: &mut [f32]) {
    const WIDE: usize = 128;
    let (mut low, mut step) = ([0.0f32; WIDE], [0.0f32; WIDE]);
    for from in (0..d).step_by(WIDE) {
        let n = (d - from).min(WIDE);
        for i in 0..n {
            let r = Range::get(&ranges[(from + i) * 4..]);
            (low[i], step[i]) = (r.low, r.step);
        }
        for row in values.chunks_exact_mut(d) {
            for ((x, l), s) in row[from..from + n].iter_mut().zip(&low).zip(&step) {
                *x = l + s * *x;
            }
        }
    }
}

#[cfg(test)]
#[path = "quant_tests.rs"]
mod tests;
