//! 128-bit registers (NEON): a lane is four registers. Without the offset a value is within ±128,
//! so a product with a query value within ±63 fits 16 bits (128 * 63 = 8,064).
#![expect(unsafe_code, reason = "vector instructions; every block says why it holds")]

use std::arch::aarch64::{
    int8x16_t, int32x4_t, vaddq_s32, vdupq_n_s32, vdupq_n_u8, veorq_u8, vget_high_s8, vget_low_s8,
    vld1q_u8, vmaxq_s32, vmaxvq_s32, vmull_s8, vpaddlq_s16, vpaddq_s32, vreinterpretq_s8_s32,
    vreinterpretq_s8_u8, vst1q_s32,
};

use crate::index::tile::{GROUP, LANE, Lane, OFFSET};

/// Registers of a lane.
const PARTS: usize = 4;

pub(super) fn max_dots(lanes: &[Lane], per_group: usize, words: &[i32], out: &mut [i32]) {
    // SAFETY: this kernel is only chosen where the processor has NEON (`Kernel::all`).
    unsafe { all(lanes, per_group, words, out) }
}

#[target_feature(enable = "neon")]
fn all(lanes: &[Lane], per_group: usize, words: &[i32], out: &mut [i32]) {
    for (query, best) in words.chunks_exact(per_group).zip(out) {
        let mut largest = vdupq_n_s32(i32::MIN);
        for group in lanes.chunks_exact(per_group) {
            let mut sums = [vdupq_n_s32(0); PARTS];
            for (lane, word) in group.iter().zip(query) {
                let word = vreinterpretq_s8_s32(vdupq_n_s32(*word));
                for (sum, keys) in sums.iter_mut().zip(load(lane)) {
                    *sum = vaddq_s32(*sum, dot(keys, word));
                }
            }
            largest = sums.into_iter().fold(largest, |m, s| vmaxq_s32(m, s));
        }
        *best = vmaxvq_s32(largest) + offset(query);
    }
}

/// The keys are used without their offset: what puts it back, as the other kernels have it.
fn offset(query: &[i32]) -> i32 {
    let bytes = query.iter().flat_map(|w| w.to_le_bytes());
    bytes.map(|b| i32::from(b.cast_signed()) * i32::from(OFFSET)).sum()
}

pub(super) fn dots(lanes: &[Lane], per_group: usize, words: &[i32], out: &mut [i32]) {
    // SAFETY: this kernel is only chosen where the processor has NEON (`Kernel::all`).
    unsafe { all_dots(lanes, per_group, words, out) }
}

#[target_feature(enable = "neon")]
fn all_dots(lanes: &[Lane], per_group: usize, words: &[i32], out: &mut [i32]) {
    let offset = offset(words);
    let groups = lanes.chunks_exact(per_group);
    for (group, out) in groups.zip(out.as_chunks_mut::<GROUP>().0) {
        let mut sums = [vdupq_n_s32(offset); PARTS];
        for (lane, word) in group.iter().zip(words) {
            let word = vreinterpretq_s8_s32(vdupq_n_s32(*word));
            for (sum, keys) in sums.iter_mut().zip(load(lane)) {
                *sum = vaddq_s32(*sum, dot(keys, word));
            }
        }
        for (sum, part) in sums.into_iter().zip(out.as_chunks_mut::<4>().0) {
            // SAFETY: the chunk is four words, which is one register.
            unsafe { vst1q_s32(part.as_mut_ptr(), sum) }
        }
    }
}

/// Four sums of four products.
#[target_feature(enable = "neon")]
fn dot(keys: int8x16_t, word: int8x16_t) -> int32x4_t {
    let low = vpaddlq_s16(vmull_s8(vget_low_s8(keys), vget_low_s8(word)));
    let high = vpaddlq_s16(vmull_s8(vget_high_s8(keys), vget_high_s8(word)));
    vpaddq_s32(low, high)
}

#[target_feature(enable = "neon")]
fn load(lane: &Lane) -> [int8x16_t; PARTS] {
    let bytes: &[u8; LANE] = &lane.0;
    let offset = vdupq_n_u8(OFFSET);
    std::array::from_fn(|i| {
        let part = &bytes[i * 16..i * 16 + 16];
        // SAFETY: the slice has 16 bytes.
        let part = unsafe { vld1q_u8(part.as_ptr()) };
        vreinterpretq_s8_u8(veorq_u8(part, offset))
    })
}
