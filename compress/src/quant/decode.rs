//! From bytes to floats, in loops that the compiler turns into vector instructions. Every function
//! is inlined into each kernel ([`super::kernel`]), which says which instructions there are; all
//! kernels give the same bits, because no sum is fused or reordered.

use lcedge_memory::KvDtype;

use super::Axis;

/// Channels that are worked on together.
const WIDE: usize = 64;
/// Values of one register, at most.
const REGISTER: usize = 16;

/// The values of one head, `[tokens, d]`, from its bytes, whose length fits.
#[inline(always)]
pub(super) fn head(dtype: KvDtype, axis: Axis, bytes: &[u8], d: usize, out: &mut [f32]) {
    match (dtype, axis) {
        (KvDtype::F16, _) => halves(bytes, out),
        (KvDtype::Int8, Axis::Channel) => channels::<1>(bytes, d, out),
        (KvDtype::Int8, Axis::Token) => tokens::<1>(bytes, d, out),
        (KvDtype::Int4, Axis::Channel) => channels::<2>(bytes, d, out),
        (KvDtype::Int4, Axis::Token) => tokens::<2>(bytes, d, out),
    }
}

/// IEEE half precision to single, without a branch. A half's exponent and fraction, moved to where
/// a single has them, are off by a constant factor; infinities and NaN keep all exponent bits set.
#[inline(always)]
fn single(half: u16) -> f32 {
    const FACTOR: f32 = f32::from_bits((127 + 127 - 15) << 23); // 2^112
    let rest = u32::from(half & 0x7FFF);
    let finite = f32::from_bits(rest << 13) * FACTOR;
    let special = if rest >= 0x7C00 { 0x7F80_0000 } else { 0 };
    let sign = u32::from(half & 0x8000) << 16;
    f32::from_bits(finite.to_bits() | special | sign)
}

#[inline(always)]
fn halves(bytes: &[u8], out: &mut [f32]) {
    let pairs = bytes.as_chunks::<2>().0;
    let (blocks, rest) = pairs.as_chunks::<REGISTER>();
    let (outs, out_rest) = out.as_chunks_mut::<REGISTER>();
    for (from, to) in blocks.iter().zip(outs) {
        for (x, b) in to.iter_mut().zip(from) {
            *x = single(u16::from_le_bytes(*b));
        }
    }
    for (x, b) in out_rest.iter_mut().zip(rest) {
        *x = single(u16::from_le_bytes(*b));
    }
}

/// `low` and `step` of a pair.
#[inline(always)]
fn range(pair: &[u8; 4]) -> (f32, f32) {
    let [a, b, c, d] = *pair;
    (single(u16::from_le_bytes([a, b])), single(u16::from_le_bytes([c, d])))
}

/// Codes of up to [`WIDE`] channels, from `PER_BYTE` codes a byte.
#[inline(always)]
fn codes<const PER_BYTE: usize>(bytes: &[u8], out: &mut [u8; WIDE]) {
    if PER_BYTE == 1 {
        out[..bytes.len()].copy_from_slice(bytes);
        return;
    }
    for (pair, b) in out.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        *pair = [b & 15, b >> 4];
    }
}

/// One `low` and `step` a channel (keys).
#[inline(always)]
fn channels<const PER_BYTE: usize>(bytes: &[u8], d: usize, out: &mut [f32]) {
    let (ranges, bytes) = bytes.split_at(d * 4);
    let ranges = ranges.as_chunks::<4>().0;
    let (mut low, mut step) = ([0.0; WIDE], [0.0; WIDE]);
    for from in (0..d).step_by(WIDE) {
        let n = (d - from).min(WIDE);
        for (i, pair) in ranges[from..from + n].iter().enumerate() {
            (low[i], step[i]) = range(pair);
        }
        let rows = bytes.chunks_exact(d / PER_BYTE).zip(out.chunks_exact_mut(d));
        for (row, out) in rows {
            let row = &row[from / PER_BYTE..(from + n) / PER_BYTE];
            let out = &mut out[from..from + n];
            let mut code = [0; WIDE];
            codes::<PER_BYTE>(row, &mut code);
            if let Ok(out) = <&mut [f32; WIDE]>::try_from(&mut *out) {
                for i in 0..WIDE {
                    out[i] = low[i] + step[i] * f32::from(code[i]);
                }
            } else {
                for (i, x) in out.iter_mut().enumerate() {
                    *x = low[i] + step[i] * f32::from(code[i]);
                }
            }
        }
    }
}

/// One `low` and `step` a token (values).
#[inline(always)]
fn tokens<const PER_BYTE: usize>(bytes: &[u8], d: usize, out: &mut [f32]) {
    let tokens = out.len() / d.max(1);
    let (ranges, bytes) = bytes.split_at(tokens * 4);
    let ranges = ranges.as_chunks::<4>().0;
    let rows = bytes.chunks_exact((d / PER_BYTE).max(1)).zip(out.chunks_exact_mut(d.max(1)));
    for (pair, (row, out)) in ranges.iter().zip(rows) {
        let (low, step) = range(pair);
        for (row, out) in row.chunks(WIDE / PER_BYTE).zip(out.chunks_mut(WIDE)) {
            let mut code = [0; WIDE];
            codes::<PER_BYTE>(row, &mut code);
            if let Ok(out) = <&mut [f32; WIDE]>::try_from(&mut *out) {
                for i in 0..WIDE {
                    out[i] = low + step * f32::from(code[i]);
                }
            } else {
                for (x, c) in out.iter_mut().zip(code) {
                    *x = low + step * f32::from(c);
                }
            }
        }
    }
}
