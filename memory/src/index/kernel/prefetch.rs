//! Asking for memory ahead. Blocks lie apart from each other, and processors do not look ahead
//! across pages on their own: the lanes of the next block are asked for, one at a time, while those
//! of this one are worked on.
#![expect(unsafe_code, reason = "a hint to the processor; the block says why it holds")]

use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

use crate::index::tile::Lane;

/// Asks for lane `at`, if there is one. Only a hint.
#[inline(always)]
pub(super) fn prefetch(lanes: &[Lane], at: usize) {
    if let Some(lane) = lanes.get(at) {
        // SAFETY: a prefetch of any address is allowed; this one is of a live lane.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(lane).cast()) }
    }
}
