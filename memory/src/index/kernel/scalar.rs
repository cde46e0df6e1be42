//! The kernel that the others are checked against.

use crate::index::tile::{GROUP, Lane, STEP};

pub(super) fn max_dots(lanes: &[Lane], per_group: usize, words: &[i32], out: &mut [i32]) {
    for (query, best) in words.chunks_exact(per_group).zip(out) {
        *best = i32::MIN;
        for group in lanes.chunks_exact(per_group) {
            let mut sums = [0_i32; GROUP];
            for (lane, word) in group.iter().zip(query) {
                let q = word.to_le_bytes().map(|b| i32::from(b.cast_signed()));
                for (sum, keys) in sums.iter_mut().zip(lane.0.chunks_exact(STEP)) {
                    for (k, q) in keys.iter().zip(q) {
                        *sum += i32::from(*k) * q;
                    }
                }
            }
            *best = sums.into_iter().fold(*best, i32::max);
        }
    }
}

pub(super) fn dots(lanes: &[Lane], per_group: usize, words: &[i32], out: &mut [i32]) {
    for (group, out) in lanes.chunks_exact(per_group).zip(out.chunks_exact_mut(GROUP)) {
        out.fill(0);
        for (lane, word) in group.iter().zip(words) {
            let q = word.to_le_bytes().map(|b| i32::from(b.cast_signed()));
            for (sum, keys) in out.iter_mut().zip(lane.0.chunks_exact(STEP)) {
                for (k, q) in keys.iter().zip(q) {
                    *sum += i32::from(*k) * q;
                }
            }
        }
    }
}
