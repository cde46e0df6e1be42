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

mod decode;
mod encode;
mod kernel;

use lcedge_memory::{Geometry, KvBuf, KvDtype, KvView};

use kernel::Kernel;

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
    let tokens = kv.tokens();
    assert!(d <= PAIRS_MAX && tokens <= PAIRS_MAX, "{tokens} tokens of {d}: {PAIRS_MAX} at most");
    let from = out.len();
    out.resize(from + payload_bytes(dtype, g, tokens), 0);
    if tokens == 0 || d == 0 {
        return Ok(());
    }
    let kernel = Kernel::detect();
    let mut rest = &mut out[from..];
    for (axis, values) in [(Axis::Channel, kv.k()), (Axis::Token, kv.v())] {
        let bytes = head_bytes(dtype, axis, tokens, d);
        for head in values.chunks_exact(tokens * d) {
            let (part, after) = rest.split_at_mut(bytes);
            kernel.encode(dtype, axis, head, d, part);
            rest = after;
        }
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
    let encoded = Encoded::new(dtype, g, tokens, payload)?;
    if tokens > out.capacity() {
        return Err(QuantError::Capacity { tokens, capacity: out.capacity() });
    }
    let (k, v) = out.fill(tokens);
    let n = (tokens * g.head_dim as usize).max(1);
    let heads = g.kv_heads as usize;
    for (i, (k, v)) in k.chunks_exact_mut(n).zip(v.chunks_exact_mut(n)).enumerate() {
        encoded.k_head(i / heads, i % heads, k);
        encoded.v_head(i / heads, i % heads, v);
    }
    Ok(())
}

/// A payload whose length was checked, to be decoded head by head straight to where it is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Encoded<'a> {
    dtype: KvDtype,
    geometry: Geometry,
    tokens: usize,
    k: &'a [u8],
    v: &'a [u8],
    kernel: Kernel,
}

impl<'a> Encoded<'a> {
    /// The payload of `tokens` tokens.
    ///
    /// # Errors
    /// [`QuantError::Length`] when it has another length than its shape needs.
    pub fn new(
        dtype: KvDtype,
        geometry: Geometry,
        tokens: usize,
        payload: &'a [u8],
    ) -> Result<Self, QuantError> {
        let expected = payload_bytes(dtype, geometry, tokens);
        if payload.len() != expected {
            return Err(QuantError::Length { dtype, tokens, found: payload.len(), expected });
        }
        let heads = geometry.layers as usize * geometry.kv_heads as usize;
        let k_bytes = head_bytes(dtype, Axis::Channel, tokens, geometry.head_dim as usize);
        let (k, v) = payload.split_at(heads * k_bytes);
        Ok(Self { dtype, geometry, tokens, k, v, kernel: Kernel::detect() })
    }

    /// Tokens held.
    #[must_use]
    pub const fn tokens(&self) -> usize {
        self.tokens
    }

    /// Puts the un-rotated keys of one head into `out`, `[tokens, head_dim]`.
    ///
    /// # Panics
    /// When there is no such head or `out` has another length.
    pub fn k_head(&self, layer: usize, head: usize, out: &mut [f32]) {
        self.head(Axis::Channel, layer, head, out);
    }

    /// Puts the values of one head into `out`, `[tokens, head_dim]`.
    ///
    /// # Panics
    /// When there is no such head or `out` has another length.
    pub fn v_head(&self, layer: usize, head: usize, out: &mut [f32]) {
        self.head(Axis::Token, layer, head, out);
    }

    fn head(&self, axis: Axis, layer: usize, head: usize, out: &mut [f32]) {
        let (g, d) = (self.geometry, self.geometry.head_dim as usize);
        assert!(layer < g.layers as usize && head < g.kv_heads as usize, "{layer}, {head}: {g:?}");
        assert_eq!(out.len(), self.tokens * d, "[tokens, head_dim] values");
        let bytes = head_bytes(self.dtype, axis, self.tokens, d);
        let at = (layer * g.kv_heads as usize + head) * bytes;
        let part = if axis == Axis::Channel { self.k } else { self.v };
        self.kernel.decode(self.dtype, axis, &part[at..at + bytes], d, out);
    }
}

/// Along which axis a head's values share one `low` and `step`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

#[cfg(test)]
mod tests;
