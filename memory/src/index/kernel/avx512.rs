//! 512-bit registers with the dot-product instruction (AVX-512 VNNI): a lane is one register, and
//! one instruction does 64 products.
#![expect(unsafe_code, reason = "vector instructions; every block says why it holds")]

use std::arch::x86_64::{
    __m512i, _mm512_dpbusd_epi32, _mm512_load_si512, _mm512_max_epi32, _mm512_reduce_max_epi32,
    _mm512_set1_epi32, _mm512_setzero_si512, _mm512_storeu_si512,
};

use super::prefetch::prefetch;
use crate::index::tile::{GROUP, Lane};

/// Groups and query vectors that are worked on together: 4 x 6 sums and 4 lanes fit 32 registers.
const GROUPS: usize = 4;
const QUERIES: usize = 6;

pub(super) fn max_dots(
    lanes: &[Lane],
    ahead: &[Lane],
    per_group: usize,
    words: &[i32],
    out: &mut [i32],
) {
    out.fill(i32::MIN);
    // SAFETY: this kernel is only chosen where the processor has these instructions
    // (`Kernel::all`).
    unsafe { all(lanes, ahead, per_group, words, out) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn all(lanes: &[Lane], ahead: &[Lane], per_group: usize, words: &[i32], out: &mut [i32]) {
    let mut quads = lanes.chunks_exact(per_group * GROUPS);
    let mut aheads = ahead.chunks(per_group * GROUPS);
    for groups in quads.by_ref() {
        queries::<GROUPS>(groups, aheads.next().unwrap_or(&[]), per_group, words, out);
    }
    for group in quads.remainder().chunks_exact(per_group) {
        queries::<1>(group, aheads.next().unwrap_or(&[]), per_group, words, out);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn queries<const G: usize>(
    lanes: &[Lane],
    ahead: &[Lane],
    per_group: usize,
    words: &[i32],
    out: &mut [i32],
) {
    let mut aheads = ahead.chunks(per_group);
    let mut sixes = words.chunks_exact(per_group * QUERIES);
    let mut outs = out.chunks_exact_mut(QUERIES);
    for (words, out) in sixes.by_ref().zip(outs.by_ref()) {
        tile::<G, QUERIES>(lanes, aheads.next().unwrap_or(&[]), per_group, words, out);
    }
    let rest = outs.into_remainder().chunks_exact_mut(1);
    for (words, out) in sixes.remainder().chunks_exact(per_group).zip(rest) {
        tile::<G, 1>(lanes, aheads.next().unwrap_or(&[]), per_group, words, out);
    }
}

/// `G` groups against `Q` query vectors; raises `out` to what it finds.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn tile<const G: usize, const Q: usize>(
    lanes: &[Lane],
    ahead: &[Lane],
    per_group: usize,
    words: &[i32],
    out: &mut [i32],
) {
    assert_eq!(lanes.len(), G * per_group, "whole groups");
    assert_eq!(words.len(), Q * per_group, "whole query vectors");
    let mut sums = [[_mm512_setzero_si512(); G]; Q];
    for step in 0..per_group {
        prefetch(ahead, step);
        let mut keys = [_mm512_setzero_si512(); G];
        for (g, key) in keys.iter_mut().enumerate() {
            // SAFETY: `g < G` and `step < per_group`, so the index is below `G * per_group`,
            // which was asserted to be the length.
            let lane = unsafe { lanes.get_unchecked(g * per_group + step) };
            *key = load(lane);
        }
        for (q, row) in sums.iter_mut().enumerate() {
            // SAFETY: `q < Q` and `step < per_group`; the length was asserted.
            let word = unsafe { *words.get_unchecked(q * per_group + step) };
            let word = _mm512_set1_epi32(word);
            for (sum, key) in row.iter_mut().zip(keys) {
                *sum = _mm512_dpbusd_epi32(*sum, key, word);
            }
        }
    }
    for (row, best) in sums.into_iter().zip(out) {
        let [first, rest @ ..] = row.as_slice() else { return };
        let largest = rest.iter().fold(*first, |m, s| _mm512_max_epi32(m, *s));
        *best = (*best).max(_mm512_reduce_max_epi32(largest));
    }
}

#[target_feature(enable = "avx512f")]
fn load(lane: &Lane) -> __m512i {
    // SAFETY: a lane is 64 bytes at an address that is a multiple of 64.
    unsafe { _mm512_load_si512(std::ptr::from_ref(lane).cast()) }
}

pub(super) fn dots(lanes: &[Lane], per_group: usize, words: &[i32], out: &mut [i32]) {
    // SAFETY: this kernel is only chosen where the processor has these instructions
    // (`Kernel::all`).
    unsafe { all_dots(lanes, per_group, words, out) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn all_dots(lanes: &[Lane], per_group: usize, words: &[i32], out: &mut [i32]) {
    let mut quads = lanes.chunks_exact(per_group * GROUPS);
    let mut outs = out.chunks_exact_mut(GROUP * GROUPS);
    for (groups, out) in quads.by_ref().zip(outs.by_ref()) {
        groups_dots::<GROUPS>(groups, per_group, words, out);
    }
    let rest = outs.into_remainder().chunks_exact_mut(GROUP);
    for (group, out) in quads.remainder().chunks_exact(per_group).zip(rest) {
        groups_dots::<1>(group, per_group, words, out);
    }
}

/// The dot products of one query vector with all vectors of `G` groups.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn groups_dots<const G: usize>(lanes: &[Lane], per_group: usize, words: &[i32], out: &mut [i32]) {
    assert_eq!(lanes.len(), G * per_group, "whole groups");
    let mut sums = [_mm512_setzero_si512(); G];
    for (step, word) in words.iter().enumerate().take(per_group) {
        let word = _mm512_set1_epi32(*word);
        for (g, sum) in sums.iter_mut().enumerate() {
            // SAFETY: `g < G` and `step < per_group`, so the index is below `G * per_group`,
            // which was asserted to be the length.
            let lane = unsafe { lanes.get_unchecked(g * per_group + step) };
            *sum = _mm512_dpbusd_epi32(*sum, load(lane), word);
        }
    }
    for (sum, out) in sums.into_iter().zip(out.as_chunks_mut::<GROUP>().0) {
        // SAFETY: the chunk is sixteen words, which is one register; no alignment is asked for.
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), sum) }
    }
}
