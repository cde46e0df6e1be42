//! Steady-state absorbing allocates nothing in our code, from the step on.
//!
//! The counter counts this thread's allocations; the writer thread and SQLite are not part of the
//! promise, and neither is the tokenizer.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use crate::bytes::{World, log};

thread_local! {
    static COUNT: Cell<Option<usize>> = const { Cell::new(None) };
}

struct Counting;

#[expect(unsafe_code, reason = "a global allocator is an unsafe trait; this one only counts")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|c| c.set(c.get().map(|n| n + 1)));
        // SAFETY: the caller keeps `alloc`'s contract, which is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `dealloc`'s contract, which is passed on.
        unsafe { System.dealloc(p, layout) }
    }

    unsafe fn realloc(&self, p: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = COUNT.try_with(|c| c.set(c.get().map(|n| n + 1)));
        // SAFETY: the caller keeps `realloc`'s contract, which is passed on.
        unsafe { System.realloc(p, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn steady_absorbing_allocates_nothing_from_the_step_on() {
    allocates_nothing(World { stale: 0, ..World::default() });
}

#[test]
fn the_same_with_beacons_and_a_trained_address() {
    allocates_nothing(World { stale: 0, trained: true, ..World::default() });
}

#[test]
fn the_same_with_a_gist() {
    allocates_nothing(World { stale: 0, trained: true, gist: true, ..World::default() });
}

fn allocates_nothing(world: World) {
    let dir = tempfile::tempdir().unwrap();
    let mut s = world.open(dir.path());
    s.begin_source("a.log").unwrap();
    let text = log(1600);
    s.feed(&text.as_bytes()[..24_000]).unwrap();
    // All text of the rest is encoded first; the chunks then run from what waits.
    s.encode_ahead(&text.as_bytes()[24_000..]).unwrap();
    COUNT.with(|c| c.set(Some(0)));
    let chunks = s.absorb_ahead(20).unwrap();
    let n = COUNT.with(|c| c.take()).unwrap();
    assert_eq!(chunks, 20);
    assert_eq!(n, 0, "{n} allocations in {chunks} chunks");
}
