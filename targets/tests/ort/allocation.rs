//! In the steady state a step allocates nothing in our code.
#![expect(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use lcedge_models::WeightKind;
use lcedge_targets::{
    BeaconRow, Engine, FakeConfig, FakeEngine, Fold, GistState, StepInput, StepOutput,
};

use crate::common::{Small, engine};
use crate::memory::Woven;

thread_local! {
    /// Allocations of this thread.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is passed on to the system's allocator; counting touches a plain cell only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Chunks of several sizes with everything asked for, evictions, placing and decoding.
fn rounds(engine: &mut dyn Engine, out: &mut StepOutput, kv: &mut lcedge_memory::KvBuf) {
    let beacons = [7, 15, 23, 39].map(|last| BeaconRow { last, ratio: 1 });
    let known = engine.card().memory.as_ref().map_or(0, |m| m.beacons.len());
    let beacons = if known > 1 { &beacons[..] } else { &[] };
    let tokens: [u32; 96] = std::array::from_fn(|i| i as u32);
    let positions: [i32; 96] = std::array::from_fn(|i| i as i32 + 50);
    let rows: [u32; 96] = std::array::from_fn(|i| i as u32);
    for chunk in [96, 40, 1, 96, 7, 1, 1] {
        let input = StepInput {
            tokens: &tokens[..chunk],
            positions: &positions[..chunk],
            logit_rows: &rows[..1],
            score_rows: &rows[..chunk],
            score_targets: &tokens[..chunk],
            queries: chunk > 1,
            memory: chunk > 7,
            beacons: if chunk > 7 { beacons } else { &[] },
        };
        engine.set_len(64).unwrap();
        engine.step(&input, out).unwrap();
        engine.read(0..64, kv).unwrap();
        engine.place(10, &positions[..64], kv.view()).unwrap();
        engine.move_slots(20..80, 5).unwrap();
        engine.rotate(0..64, 9).unwrap();
    }
}

/// Folds of several sizes.
fn folds(engine: &mut dyn Engine, kv: &[lcedge_memory::KvBuf], state: &mut GistState) {
    for kv in kv {
        engine.fold(&Fold { beacons: kv.view(), question: None }, state).unwrap();
    }
    state.clear();
}

/// Allocations of folds after the first of each size.
fn fold_allocations(engine: &mut dyn Engine) -> u64 {
    let geometry = engine.card().geometry(64);
    let kv = [40, 3, 17].map(|n| {
        let mut kv = lcedge_memory::KvBuf::with_capacity(geometry, n);
        kv.fill(n);
        kv
    });
    let mut state = GistState::new(geometry, 9);
    folds(engine, &kv, &mut state);
    let before = COUNT.get();
    folds(engine, &kv, &mut state);
    folds(engine, &kv, &mut state);
    COUNT.get() - before
}

#[test]
fn folds_allocate_nothing_in_our_code() {
    let woven = Woven::with_gist();
    assert_eq!(fold_allocations(&mut woven.fake(8)), 0);
    assert_eq!(fold_allocations(&mut woven.engine(WeightKind::F32, 8)), 0);
}

fn allocations(engine: &mut dyn Engine) -> u64 {
    let mut out = StepOutput::default();
    let mut kv = lcedge_memory::KvBuf::with_capacity(engine.card().geometry(64), 64);
    rounds(engine, &mut out, &mut kv);
    let before = COUNT.get();
    rounds(engine, &mut out, &mut kv);
    rounds(engine, &mut out, &mut kv);
    COUNT.get() - before
}

#[test]
fn steps_of_the_plain_engine_allocate_nothing() {
    let mut fake = FakeEngine::random(&FakeConfig::default(), 5, 200);
    assert_eq!(allocations(&mut fake), 0);
    assert_eq!(allocations(&mut Woven::new().fake(200)), 0);
}

#[test]
fn steps_over_onnx_runtime_allocate_nothing_in_our_code() {
    let mut engine = engine(Small::Stories, WeightKind::F32, 200);
    assert_eq!(allocations(&mut engine), 0);
    let mut engine = Woven::new().engine(WeightKind::F32, 200);
    assert_eq!(allocations(&mut engine), 0);
}
