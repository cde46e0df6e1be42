//! 256-bit registers (AVX2): a lane is two registers. Pairs of products are summed in 16 bits,
//! which cannot overflow because query values are within ±63 (255 * 63 * 2 = 32,130).
#![expect(unsafe_code, reason = "vector instructions; every block says why it holds")]

use std::arch::x86_64::{
    __m256i, _mm_cvtsi128_si32, _mm_max_epi32, _mm_shuffle_epi32, _mm256_add_epi32,
    _mm256_castsi256_si128, _mm256_extracti128_si256, _mm256_load_si256, _mm256_madd_epi16,
    _mm256_maddubs_epi16, _mm256_max_epi32, _mm256_set1_epi16, _mm256_set1_epi32,
    _mm256_setzero_si256, _mm256_storeu_si256,
};

use super::prefetch::prefetch;
use crate::index::tile::{GROUP, Lane};

/// Query vectors that are worked on together: 4 x 2 sums, 2 keys, ones and a word fit 16 registers.
const QUERIES: usize = 4;
/// Lanes of the next block that are asked for with each tile.
const AHEAD: usize = 4;

pub(super) fn max_dots(
    lanes: &[Lane],
    ahead: &[Lane],
    per_group: usize,
    words: &[i32],
    out: &mut [i32],
) {
    out.fill(i32::MIN);
    // SAFETY: this kernel is only chosen where the processor has AVX2 (`Kernel::all`).
    unsafe { all(lanes, ahead, per_group, words, out) }
}

#[target_feature(enable = "avx2")]
fn all(lanes: &[Lane], ahead: &[Lane], per_group: usize, words: &[i32], out: &mut [i32]) {
    let mut aheads = ahead.chunks(per_group);
    for group in lanes.chunks_exact(per_group) {
        // A few lanes of the next block with each tile of queries.
        let mut ahead = aheads.next().unwrap_or(&[]).chunks(AHEAD);
        let mut fours = words.chunks_exact(per_group * QUERIES);
        let mut outs = out.chunks_exact_mut(QUERIES);
        for (words, out) in fours.by_ref().zip(outs.by_ref()) {
            tile::<QUERIES>(group, ahead.next().unwrap_or(&[]), per_group, words, out);
        }
        let rest = outs.into_remainder().chunks_exact_mut(1);
        for (words, out) in fours.remainder().chunks_exact(per_group).zip(rest) {
            tile::<1>(group, ahead.next().unwrap_or(&[]), per_group, words, out);
        }
    }
}

/// One group against `Q` query vectors; raises `out` to what it finds.
#[target_feature(enable = "avx2")]
fn tile<const Q: usize>(
    group: &[Lane],
    ahead: &[Lane],
    per_group: usize,
    words: &[i32],
    out: &mut [i32],
) {
    assert_eq!(words.len(), Q * per_group, "whole query vectors");
    assert_eq!(group.len(), per_group, "one group");
    let ones = _mm256_set1_epi16(1);
    let mut sums = [[_mm256_setzero_si256(); 2]; Q];
    for (step, lane) in group.iter().enumerate() {
        prefetch(ahead, step);
        let keys = load(lane);
        for (q, row) in sums.iter_mut().enumerate() {
            // SAFETY: `q < Q` and `step < per_group`; the length was asserted.
            let word = unsafe { *words.get_unchecked(q * per_group + step) };
            let word = _mm256_set1_epi32(word);
            for (sum, key) in row.iter_mut().zip(keys) {
                let pairs = _mm256_maddubs_epi16(key, word);
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, ones));
            }
        }
    }
    for ([low, high], best) in sums.into_iter().zip(out) {
        *best = (*best).max(largest(_mm256_max_epi32(low, high)));
    }
}

#[target_feature(enable = "avx2")]
fn load(lane: &Lane) -> [__m256i; 2] {
    let at = std::ptr::from_ref(lane).cast::<__m256i>();
    // SAFETY: a lane is 64 bytes at an address that is a multiple of 64: its first half.
    let low = unsafe { _mm256_load_si256(at) };
    // SAFETY: the second half of the same lane.
    let second = unsafe { at.add(1) };
    // SAFETY: as above.
    let high = unsafe { _mm256_load_si256(second) };
    [low, high]
}

#[target_feature(enable = "avx2")]
fn largest(x: __m256i) -> i32 {
    let half = _mm_max_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
    let quarter = _mm_max_epi32(half, _mm_shuffle_epi32::<0b01_00_11_10>(half));
    let one = _mm_max_epi32(quarter, _mm_shuffle_epi32::<0b10_11_00_01>(quarter));
    _mm_cvtsi128_si32(one)
}

pub(super) fn dots(lanes: &[Lane], per_group: usize, words: &[i32], out: &mut [i32]) {
    // SAFETY: this kernel is only chosen where the processor has AVX2 (`Kernel::all`).
    unsafe { all_dots(lanes, per_group, words, out) }
}

#[target_feature(enable = "avx2")]
fn all_dots(lanes: &[Lane], per_group: usize, words: &[i32], out: &mut [i32]) {
    let ones = _mm256_set1_epi16(1);
    let groups = lanes.chunks_exact(per_group);
    for (group, out) in groups.zip(out.as_chunks_mut::<GROUP>().0) {
        let mut sums = [_mm256_setzero_si256(); 2];
        for (lane, word) in group.iter().zip(words) {
            let word = _mm256_set1_epi32(*word);
            for (sum, key) in sums.iter_mut().zip(load(lane)) {
                let pairs = _mm256_maddubs_epi16(key, word);
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, ones));
            }
        }
        for (sum, half) in sums.into_iter().zip(out.as_chunks_mut::<8>().0) {
            // SAFETY: the chunk is eight words, which is one register; no alignment is asked for.
            unsafe { _mm256_storeu_si256(half.as_mut_ptr().cast(), sum) }
        }
    }
}
