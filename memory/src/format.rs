//! The bytes of a store: pure encoding and decoding, no I/O. `FORMAT.md` describes them.

pub(crate) mod export;
pub(crate) mod page;
pub(crate) mod record;
pub(crate) mod segment;

use xxhash_rust::xxh3::xxh3_64;

/// Version of the format that this code writes.
pub const FORMAT_VERSION: u32 = 2;
/// Oldest version that it reads.
pub(crate) const FORMAT_VERSION_MIN: u32 = 1;

/// Whether this code reads a version.
pub(crate) const fn is_read(version: u32) -> bool {
    version >= FORMAT_VERSION_MIN && version <= FORMAT_VERSION
}

/// All records begin at, and are as long as, a multiple of this. It is a cache line, and the
/// alignment that kernels want of a payload.
pub(crate) const ALIGN: usize = 64;

/// The one checksum of the format.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// `n` rounded up to [`ALIGN`].
pub(crate) const fn aligned(n: usize) -> usize {
    n.next_multiple_of(ALIGN)
}

/// Names the offset of each field from the width of the one before it.
macro_rules! layout {
    ($at:expr; $end:ident) => {
        pub(crate) const $end: usize = $at;
    };
    ($at:expr; $name:ident $bytes:expr, $($rest:tt)+) => {
        pub(crate) const $name: usize = $at;
        crate::format::layout!($at + $bytes; $($rest)+);
    };
}
pub(crate) use layout;

/// `N` bytes at `at`. The caller has checked the length.
pub(crate) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array_at(bytes, at))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

pub(crate) fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_le_bytes(array_at(bytes, at))
}

pub(crate) fn f32_at(bytes: &[u8], at: usize) -> f32 {
    f32::from_le_bytes(array_at(bytes, at))
}

/// Writes `value` at `at`. The caller has checked the length.
pub(crate) fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}
