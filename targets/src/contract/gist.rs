//! Promises about the gist, for models that have one.

use lcedge_memory::{Geometry, KvBuf};

use super::{Factory, Tolerance, absorb, assert_close, largest_gap, part, tokens};
use crate::engine::Engine;
use crate::gist::{Fold, FoldError, GistState};

/// Keys and values of `n` tokens, for beacons, and an empty state.
fn begin(engine: &mut dyn Engine, n: usize) -> (KvBuf, GistState) {
    let all = tokens(engine, n);
    engine.set_len(0).expect("an empty window");
    absorb(engine, &all, 0, n);
    let kv = super::read(engine, 0, n);
    let slots = engine.card().memory.as_ref().and_then(|m| m.gist).map_or(0, |g| g.slots);
    (kv, GistState::new(engine.card().geometry(64), slots))
}

/// A unit vector as long as the address.
fn question(engine: &dyn Engine) -> Vec<f32> {
    let dim = engine.card().memory.as_ref().and_then(|m| m.address).map_or(0, |a| a.dim);
    (0..dim).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 } / (dim as f32).sqrt()).collect()
}

fn fold(engine: &mut dyn Engine, state: &mut GistState, kv: &KvBuf, question: Option<&[f32]>) {
    engine.fold(&Fold { beacons: kv.view(), question }, state).expect("a fold that fits");
}

/// Rows of `kv` from the last to the first.
fn turned(kv: &KvBuf) -> KvBuf {
    let (n, d) = (kv.tokens(), usize::from(kv.geometry().head_dim));
    let mut out = KvBuf::with_capacity(kv.geometry(), n);
    let (k, v) = out.fill(n);
    for (to, from) in [(k, kv.view().k()), (v, kv.view().v())] {
        for (to, from) in to.chunks_exact_mut(n * d).zip(from.chunks_exact(n * d)) {
            for (to, from) in to.chunks_exact_mut(d).zip(from.chunks_exact(d).rev()) {
                to.copy_from_slice(from);
            }
        }
    }
    out
}

fn same(what: &str, a: &GistState, b: &GistState, tolerance: f32) {
    assert_close(&format!("keys, {what}"), a.kv().k(), b.kv().k(), tolerance);
    assert_close(&format!("values, {what}"), a.kv().v(), b.kv().v(), tolerance);
}

/// Beacons are a set; a first fold does not look at the state; nothing folded changes nothing; the
/// window is not touched.
///
/// # Panics
/// When one of these does not hold.
pub fn gist_of_a_set(make: Factory<'_>, tolerance: Tolerance) {
    let mut engine = make();
    let engine = engine.as_mut();
    let (kv, empty) = begin(engine, 40);
    let len = engine.len();
    let mut state = empty.clone();
    fold(engine, &mut state, &part(kv.view(), 0, 0), None);
    assert!(state.is_fresh(), "nothing was folded");
    fold(engine, &mut state, &kv, None);
    assert_eq!((state.folds(), engine.len()), (1, len));
    assert!(state.kv().k().iter().chain(state.kv().v()).all(|x| x.is_finite()));
    let first = state.clone();
    // What the state held before means nothing to a first fold.
    state.clear();
    fold(engine, &mut state, &kv, None);
    same("a state made fresh", &state, &first, tolerance.chunks);
    let mut other = empty.clone();
    fold(engine, &mut other, &turned(&kv), None);
    same("another order", &other, &first, tolerance.chunks);
    let mut asked = empty.clone();
    let vector = question(engine);
    fold(engine, &mut asked, &kv, Some(&vector));
    let gap = largest_gap(asked.kv().v(), first.kv().v());
    assert!(gap > 10.0 * tolerance.chunks, "a question changed a state by only {gap:e}");
    let mut zeros = empty;
    fold(engine, &mut zeros, &kv, Some(&vec![0.0; vector.len()]));
    same("a question of zeros", &zeros, &first, tolerance.chunks);
}

/// Folds follow each other: the second sees the first's state, also one that was stored between.
///
/// # Panics
/// When it does not.
pub fn gist_states_follow(make: Factory<'_>, tolerance: Tolerance) {
    let mut engine = make();
    let engine = engine.as_mut();
    let (kv, empty) = begin(engine, 300);
    let [first, second] = [part(kv.view(), 0, 299), part(kv.view(), 299, 1)];
    let (mut both, mut alone) = (empty.clone(), empty);
    fold(engine, &mut both, &first, None);
    let bytes = both.to_bytes();
    fold(engine, &mut both, &second, None);
    fold(engine, &mut alone, &second, None);
    let gap = largest_gap(both.kv().v(), alone.kv().v());
    assert!(gap > 10.0 * tolerance.chunks, "a former fold changed a state by only {gap:e}");
    let geometry = engine.card().geometry(64);
    let mut stored = GistState::from_bytes(geometry, both.slots(), &bytes).expect("its own bytes");
    fold(engine, &mut stored, &second, None);
    assert_eq!(stored.folds(), 2);
    same("stored in 16 bits", &stored, &both, tolerance.chunks + 2e-3);
}

/// What does not fit is refused and the state stays.
///
/// # Panics
/// When something is taken that should not be.
pub fn gist_folds_refused(make: Factory<'_>) {
    let mut engine = make();
    let engine = engine.as_mut();
    let (kv, mut state) = begin(engine, 8);
    fold(engine, &mut state, &kv, None);
    let before = state.clone();
    let mut refuse = |kv: &KvBuf, question: Option<&[f32]>, slots: Option<usize>| {
        let mut other = slots.map(|slots| GistState::new(kv.geometry(), slots));
        let fold = Fold { beacons: kv.view(), question };
        let error = engine.fold(&fold, other.as_mut().unwrap_or(&mut state));
        assert_eq!(state.folds(), 1, "a refused fold changed a state");
        error.expect_err("a fold that does not fit")
    };
    let g = kv.geometry();
    let other = KvBuf::with_capacity(Geometry { layers: g.layers + 1, ..g }, 1);
    let error = refuse(&other, None, None);
    assert!(matches!(error, FoldError::Geometry { what: "beacons", .. }), "{error}");
    let error = refuse(&kv, None, Some(before.slots() + 1));
    assert!(matches!(error, FoldError::Geometry { .. }), "{error}");
    let error = refuse(&kv, Some(&[1.0]), None);
    assert!(matches!(error, FoldError::Question { found: 1, .. }), "{error}");
    assert_eq!(state.kv().k(), before.kv().k());
}
