//! From floats to bytes, in loops that the compiler turns into vector instructions (as
//! [`super::decode`]).

use half::f16;
use lcedge_memory::KvDtype;

use super::{Axis, PAIRS_MAX};

/// Channels that are worked on together.
const WIDE: usize = 64;

/// The bytes of one head's values, `[tokens, d]`; `out` has exactly their length.
#[inline(always)]
pub(super) fn head(dtype: KvDtype, axis: Axis, values: &[f32], d: usize, out: &mut [u8]) {
    match (dtype, axis) {
        (KvDtype::F16, _) => {
            for (b, x) in out.as_chunks_mut::<2>().0.iter_mut().zip(values) {
                *b = f16::from_f32(*x).to_le_bytes();
            }
        }
        (KvDtype::Int8, Axis::Channel) => channels::<1>(values, d, out),
        (KvDtype::Int8, Axis::Token) => tokens::<1>(values, d, out),
        (KvDtype::Int4, Axis::Channel) => channels::<2>(values, d, out),
        (KvDtype::Int4, Axis::Token) => tokens::<2>(values, d, out),
    }
}

/// The largest code.
const fn levels(per_byte: usize) -> f32 {
    if per_byte == 1 { 255.0 } else { 15.0 }
}

/// `low` and `step` as they are stored, so that codes are made with what will be read back.
#[inline(always)]
fn range(low: f32, high: f32, levels: f32, out: &mut [u8; 4]) -> (f32, f32) {
    let (low, step) = if low.is_finite() && high.is_finite() {
        let max = f16::MAX.to_f32();
        let low = f16::from_f32(low.clamp(-max, max));
        (low, f16::from_f32(((high - low.to_f32()) / levels).clamp(0.0, max)))
    } else {
        (f16::ZERO, f16::ZERO)
    };
    let ([a, b], [c, d]) = (low.to_le_bytes(), step.to_le_bytes());
    *out = [a, b, c, d];
    let step = step.to_f32();
    // A step of nothing gives code 0 everywhere.
    (low.to_f32(), if step == 0.0 { f32::INFINITY } else { step })
}

/// The nearest code; that of NaN is 0.
#[inline(always)]
fn code(x: f32, low: f32, step: f32, levels: f32) -> u8 {
    let steps = ((x - low) / step).max(0.0).min(levels);
    (steps + 0.5) as i32 as u8
}

/// Packs codes of up to [`WIDE`] channels.
#[inline(always)]
fn put<const PER_BYTE: usize>(codes: &[u8], out: &mut [u8]) {
    if PER_BYTE == 1 {
        out.copy_from_slice(codes);
        return;
    }
    for (b, [low, high]) in out.iter_mut().zip(codes.as_chunks::<2>().0) {
        *b = low | (high << 4);
    }
}

#[inline(always)]
fn channels<const PER_BYTE: usize>(values: &[f32], d: usize, out: &mut [u8]) {
    let levels = levels(PER_BYTE);
    let (mut low, mut high) = ([f32::INFINITY; PAIRS_MAX], [f32::NEG_INFINITY; PAIRS_MAX]);
    for row in values.chunks_exact(d) {
        for ((low, high), x) in low.iter_mut().zip(&mut high).zip(row) {
            *low = low.min(*x);
            *high = high.max(*x);
        }
    }
    let (ranges, bytes) = out.split_at_mut(d * 4);
    let mut step = [0.0; PAIRS_MAX];
    for (c, pair) in ranges.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        (low[c], step[c]) = range(low[c], high[c], levels, pair);
    }
    for (row, out) in values.chunks_exact(d).zip(bytes.chunks_exact_mut(d / PER_BYTE)) {
        for from in (0..d).step_by(WIDE) {
            let n = (d - from).min(WIDE);
            let mut codes = [0; WIDE];
            let ranges = low[from..].iter().zip(&step[from..]);
            for ((to, x), (low, step)) in codes.iter_mut().zip(&row[from..from + n]).zip(ranges) {
                *to = code(*x, *low, *step, levels);
            }
            put::<PER_BYTE>(&codes[..n], &mut out[from / PER_BYTE..(from + n) / PER_BYTE]);
        }
    }
}

#[inline(always)]
fn tokens<const PER_BYTE: usize>(values: &[f32], d: usize, out: &mut [u8]) {
    let levels = levels(PER_BYTE);
    let rows = values.chunks_exact(d);
    let (ranges, bytes) = out.split_at_mut(rows.len() * 4);
    let outs = bytes.chunks_exact_mut(d / PER_BYTE);
    for ((row, pair), out) in rows.zip(ranges.as_chunks_mut::<4>().0).zip(outs) {
        let (mut lows, mut highs) = ([f32::INFINITY; 16], [f32::NEG_INFINITY; 16]);
        for part in row.chunks(16) {
            for ((low, high), x) in lows.iter_mut().zip(&mut highs).zip(part) {
                *low = low.min(*x);
                *high = high.max(*x);
            }
        }
        let low = lows.into_iter().fold(f32::INFINITY, f32::min);
        let high = highs.into_iter().fold(f32::NEG_INFINITY, f32::max);
        let (low, step) = range(low, high, levels, pair);
        for (part, out) in row.chunks(WIDE).zip(out.chunks_mut(WIDE / PER_BYTE)) {
            let mut codes = [0; WIDE];
            for (to, x) in codes.iter_mut().zip(part) {
                *to = code(*x, low, step, levels);
            }
            put::<PER_BYTE>(&codes[..part.len()], out);
        }
    }
}
