//! Which instructions are used: the loops of [`super::decode`] and [`super::encode`], compiled once
//! for every set of instructions that is worth it, and chosen when the program runs.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "calls of functions for instructions that were looked for first")
)]

use lcedge_memory::KvDtype;

use super::{Axis, decode, encode};

/// A set of instructions. A value other than `Plain` exists only where they are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kernel(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// What the program was compiled for: SSE2 on x86-64, NEON on aarch64.
    Plain,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Kernel {
    /// The fastest that this processor has.
    pub(super) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
            {
                return Self(Kind::Avx512);
            }
            if is_x86_feature_detected!("avx2") {
                return Self(Kind::Avx2);
            }
        }
        Self(Kind::Plain)
    }

    /// All that this processor has.
    #[cfg(test)]
    pub(super) fn all() -> Vec<Self> {
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut, reason = "there is one only"))]
        let mut all = vec![Self(Kind::Plain)];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") {
                all.push(Self(Kind::Avx2));
            }
            if Self::detect() == Self(Kind::Avx512) {
                all.push(Self(Kind::Avx512));
            }
        }
        all
    }

    /// The bytes of one head's values, `[tokens, d]`.
    pub(super) fn encode(
        self,
        dtype: KvDtype,
        axis: Axis,
        values: &[f32],
        d: usize,
        out: &mut [u8],
    ) {
        match self.0 {
            Kind::Plain => encode::head(dtype, axis, values, d, out),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this value exists only where the processor has AVX2 (`detect`).
            Kind::Avx2 => unsafe { encode_avx2(dtype, axis, values, d, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this value exists only where the processor has these (`detect`).
            Kind::Avx512 => unsafe { encode_avx512(dtype, axis, values, d, out) },
        }
    }

    /// The values of one head, `[tokens, d]`, from its bytes.
    pub(super) fn decode(
        self,
        dtype: KvDtype,
        axis: Axis,
        bytes: &[u8],
        d: usize,
        out: &mut [f32],
    ) {
        match self.0 {
            Kind::Plain => decode::head(dtype, axis, bytes, d, out),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this value exists only where the processor has AVX2 (`detect`).
            Kind::Avx2 => unsafe { decode_avx2(dtype, axis, bytes, d, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this value exists only where the processor has these (`detect`).
            Kind::Avx512 => unsafe { decode_avx512(dtype, axis, bytes, d, out) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn decode_avx2(dtype: KvDtype, axis: Axis, bytes: &[u8], d: usize, out: &mut [f32]) {
    decode::head(dtype, axis, bytes, d, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl")]
fn decode_avx512(dtype: KvDtype, axis: Axis, bytes: &[u8], d: usize, out: &mut [f32]) {
    decode::head(dtype, axis, bytes, d, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn encode_avx2(dtype: KvDtype, axis: Axis, values: &[f32], d: usize, out: &mut [u8]) {
    encode::head(dtype, axis, values, d, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl")]
fn encode_avx512(dtype: KvDtype, axis: Axis, values: &[f32], d: usize, out: &mut [u8]) {
    encode::head(dtype, axis, values, d, out);
}
