//! Aligned memory that the window lends to the library under an engine.
//!
//! Everything unsafe about it is in this file. The library keeps raw pointers into the memory for
//! as long as the engine lives and writes through them only while a step runs; the engine gives out
//! slices only between steps. Both go back to the one pointer that [`AlignedBuf`] owns, so neither
//! outlives it and they are never in use at the same time.
#![expect(unsafe_code, reason = "memory shared with the library under an engine")]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

/// Bytes that the start is aligned to: a cache line, and the widest vector register.
pub(crate) const ALIGN_BYTES: usize = 64;

/// Plain numbers: every bit pattern, zero included, is a value.
pub(crate) trait Number: Copy + Send + Sync + 'static + private::Sealed {}

mod private {
    pub(crate) trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for i32 {}
    impl Sealed for i64 {}
}

impl Number for f32 {}
impl Number for i32 {}
impl Number for i64 {}

/// A fixed number of values, zeroed, aligned to [`ALIGN_BYTES`], never moved.
///
/// All pages are taken from the system at once: what was planned is there, or making it fails.
#[derive(Debug)]
pub(crate) struct AlignedBuf<T: Number = f32> {
    start: NonNull<T>,
    len: usize,
}

// SAFETY: the memory is owned by this value alone; numbers may be sent.
unsafe impl<T: Number> Send for AlignedBuf<T> {}
// SAFETY: shared access gives only `&[T]`.
unsafe impl<T: Number> Sync for AlignedBuf<T> {}

impl<T: Number> AlignedBuf<T> {
    /// `len` zeros.
    pub(crate) fn zeroed(len: usize) -> Self {
        let layout = Self::layout(len);
        // SAFETY: the layout has a size above zero (`layout` asks for at least one value).
        let raw = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(raw.cast::<T>()) else { handle_alloc_error(layout) };
        Self { start, len }
    }

    fn layout(len: usize) -> Layout {
        Layout::array::<T>(len.max(1))
            .and_then(|l| l.align_to(ALIGN_BYTES))
            .expect("a window's size in bytes fits the address space: the plan was checked")
    }

    /// Values held.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The first value, for a library that reads and writes it while a step runs.
    pub(crate) const fn as_ptr(&self) -> *mut T {
        self.start.as_ptr()
    }

    pub(crate) const fn as_slice(&self) -> &[T] {
        // SAFETY: `start` points at `len` initialised values that live as long as `self`, and the
        // library does not write while this borrow lives (see the head of this file).
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    pub(crate) const fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: as above, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T: Number> Drop for AlignedBuf<T> {
    fn drop(&mut self) {
        // SAFETY: `start` came from `alloc_zeroed` with the same layout.
        unsafe { dealloc(self.start.as_ptr().cast::<u8>(), Self::layout(self.len)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_zeroed_aligned_and_writable() {
        for len in [0, 1, 15, 4096] {
            let mut b = AlignedBuf::<f32>::zeroed(len);
            assert_eq!(b.as_ptr() as usize % ALIGN_BYTES, 0);
            assert!(b.as_slice().iter().all(|&x| x == 0.0));
            b.as_mut_slice().fill(2.0);
            assert_eq!(b.as_slice().len(), len);
            assert!(b.as_slice().iter().all(|&x| x == 2.0));
        }
    }
}
