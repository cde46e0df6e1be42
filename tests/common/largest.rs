//! The largest piece of memory that a thread asks for: a length field that is believed shows here.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

struct Watching;

fn note(bytes: usize) {
    let _ = LARGEST.try_with(|l| l.set(l.get().max(bytes)));
}

#[expect(unsafe_code, reason = "a global allocator is an unsafe trait; this one only looks")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller keeps `alloc`'s contract, which is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller keeps `alloc_zeroed`'s contract, which is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `dealloc`'s contract, which is passed on.
        unsafe { System.dealloc(p, layout) }
    }

    unsafe fn realloc(&self, p: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        // SAFETY: the caller keeps `realloc`'s contract, which is passed on.
        unsafe { System.realloc(p, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

/// Runs `work` and refuses when it asks for a piece far beyond what `input` bytes can need.
pub(crate) fn bounded<T>(input: usize, work: impl FnOnce() -> T) -> T {
    LARGEST.with(|l| l.set(0));
    let done = work();
    let largest = LARGEST.with(Cell::get);
    let most = (4 << 20) + 64 * input;
    assert!(largest <= most, "{largest} bytes asked for at once, for an input of {input}");
    done
}
