//! Promises about beacons and the vectors of a trained address, for models that have them.

use lcedge_memory::KvBuf;

use super::{Factory, Tolerance, assert_close, largest_gap, part, read, tokens};
use crate::engine::{BeaconRow, Engine, StepError, StepInput, StepOutput};

/// Tokens in the window before a step with beacons.
const PAST: usize = 40;
/// Ordinary rows of a step with beacons.
const ROWS: usize = 48;

/// Every promise, for a model whose card has a trained memory; nothing for others.
///
/// # Panics
/// When a promise is broken.
pub fn memory(make: Factory<'_>, tolerance: Tolerance) {
    let card = make().card().clone();
    let Some(memory) = card.memory else { return };
    if memory.address.is_some() {
        gives_vectors_of_ordinary_rows(make, tolerance);
    }
    if !memory.beacons.is_empty() {
        beacons_change_no_ordinary_row(make, tolerance);
        beacons_see_what_they_should(make, tolerance);
        beacons_depend_on_distances_alone(make, tolerance);
        beacons_that_do_not_fit_are_refused(make);
    }
    if memory.gist.is_some() {
        super::gist_of_a_set(make, tolerance);
        super::gist_states_follow(make, tolerance);
        super::gist_folds_refused(make);
    }
}

/// What one step gave: logits and K,V of its rows, K,V of its beacons.
struct Seen {
    out: StepOutput,
    rows: KvBuf,
    beacons: KvBuf,
}

/// One step of `tokens` behind `past`, which is absorbed first, from position `first` on.
fn step(
    engine: &mut dyn Engine,
    past: &[u32],
    tokens: &[u32],
    first: i32,
    beacons: &[BeaconRow],
) -> Seen {
    engine.set_len(0).expect("an empty window");
    super::absorb(engine, past, first, past.len().max(1));
    let start = first + past.len() as i32;
    let positions: Vec<i32> = (start..start + tokens.len() as i32).collect();
    let rows: Vec<u32> = (0..tokens.len() as u32).collect();
    let input = StepInput {
        tokens,
        positions: &positions,
        logit_rows: &rows,
        queries: true,
        memory: true,
        beacons,
        ..StepInput::default()
    };
    let mut out = StepOutput::default();
    engine.step(&input, &mut out).expect("a step that fits");
    let end = past.len() + tokens.len();
    assert_eq!(engine.len(), end + beacons.len(), "beacons are appended behind the rows");
    let rows = read(engine, past.len(), tokens.len());
    Seen { out, rows, beacons: read(engine, end, beacons.len()) }
}

/// Beacons of the first ratio at these rows.
fn at(rows: &[u32]) -> Vec<BeaconRow> {
    rows.iter().map(|&last| BeaconRow { last, ratio: 0 }).collect()
}

/// Ordinary rows are those of a step without beacons: logits, queries, vectors, keys, values, and
/// what comes after the beacons were taken away.
///
/// # Panics
/// When they differ by more than the tolerance.
pub fn beacons_change_no_ordinary_row(make: Factory<'_>, tolerance: Tolerance) {
    let mut engine = make();
    let engine = engine.as_mut();
    let all = tokens(engine, PAST + ROWS + 1);
    let (past, rest) = all.split_at(PAST);
    let (rows, next) = rest.split_at(ROWS);
    let mut results = Vec::new();
    for beacons in [at(&[]), at(&[3, 7, 11, 30, 47])] {
        let seen = step(engine, past, rows, 0, &beacons);
        engine.set_len(PAST + ROWS).expect("slots of the window");
        let after = super::absorb(engine, next, (PAST + ROWS) as i32, 1);
        results.push((seen, after));
    }
    let [(plain, after_plain), (seen, after)] = &results[..] else { return };
    let close = |what: &str, a: &[f32], b: &[f32]| {
        assert_close(&format!("{what} beside beacons"), a, b, tolerance.chunks);
    };
    close("logits", &seen.out.logits, &plain.out.logits);
    close("queries", &seen.out.queries, &plain.out.queries);
    close("memory keys", &seen.out.memory_keys, &plain.out.memory_keys);
    close("memory queries", &seen.out.memory_queries, &plain.out.memory_queries);
    close("keys", seen.rows.view().k(), plain.rows.view().k());
    close("values", seen.rows.view().v(), plain.rows.view().v());
    close("logits after the step", &after.logits, &after_plain.logits);
}

/// A beacon sees the window, the step's rows up to the one it covers last, and the beacons before
/// it: what comes later changes nothing, each of these does.
///
/// # Panics
/// When a later row or beacon has an effect, or an earlier one has none.
pub fn beacons_see_what_they_should(make: Factory<'_>, tolerance: Tolerance) {
    let mut engine = make();
    let engine = engine.as_mut();
    let other_ratio = u8::from(engine.card().memory.as_ref().is_some_and(|m| m.beacons.len() > 1));
    let vocab = engine.card().vocab as u32;
    let all = tokens(engine, PAST + ROWS);
    let (past, rows) = all.split_at(PAST);
    let lasts = [9, 20, 33];
    let whole = step(engine, past, rows, 0, &at(&lasts));
    let same = |what: &str, got: &KvBuf, beacons: usize| {
        let (a, b) = (part(got.view(), 0, beacons), part(whole.beacons.view(), 0, beacons));
        assert_close(
            &format!("keys of beacons, {what}"),
            a.view().k(),
            b.view().k(),
            tolerance.chunks,
        );
        assert_close(
            &format!("values of beacons, {what}"),
            a.view().v(),
            b.view().v(),
            tolerance.chunks,
        );
    };
    // The step cut off behind a beacon's last row, and later beacons left out.
    for (beacons, last) in lasts.iter().enumerate().map(|(i, last)| (i + 1, *last as usize)) {
        let cut = step(engine, past, &rows[..=last], 0, &at(&lasts[..beacons]));
        same("the step cut off behind them", &cut.beacons, beacons);
    }
    let mut changed = rows.to_vec();
    changed[34..].iter_mut().for_each(|t| *t = (*t + 1) % vocab);
    same("other rows behind them", &step(engine, past, &changed, 0, &at(&lasts)).beacons, 3);
    let mut later = at(&lasts);
    later[2].ratio = other_ratio;
    same("another later beacon", &step(engine, past, rows, 0, &later).beacons, 2);

    let differs = |what: &str, got: &KvBuf, beacon: usize| {
        let (a, b) = (part(got.view(), beacon, 1), part(whole.beacons.view(), beacon, 1));
        let gap = largest_gap(a.view().v(), b.view().v());
        assert!(gap > 10.0 * tolerance.chunks, "{what} changed a beacon by only {gap:e}");
    };
    let edited = |at: usize| {
        let mut all = all.clone();
        all[at] = (all[at] + 1) % vocab;
        all
    };
    let other = edited(PAST + 33);
    differs("its last row", &step(engine, past, &other[PAST..], 0, &at(&lasts)).beacons, 2);
    let other = edited(PAST + 8);
    differs("an earlier row", &step(engine, past, &other[PAST..], 0, &at(&lasts)).beacons, 0);
    let other = edited(PAST - 1);
    differs("the window", &step(engine, &other[..PAST], rows, 0, &at(&lasts)).beacons, 0);
    let none_before = step(engine, past, rows, 0, &at(&lasts[2..])).beacons;
    let (a, b) = (none_before.view(), part(whole.beacons.view(), 2, 1));
    let gap = largest_gap(a.v(), b.view().v());
    assert!(gap > 10.0 * tolerance.chunks, "beacons before it changed a beacon by only {gap:e}");
}

/// The K,V of beacons do not depend on where the step stands.
///
/// # Panics
/// When they differ by more than the tolerance.
pub fn beacons_depend_on_distances_alone(make: Factory<'_>, tolerance: Tolerance) {
    let mut engine = make();
    let engine = engine.as_mut();
    let all = tokens(engine, PAST + ROWS);
    let (past, rows) = all.split_at(PAST);
    let beacons = at(&[0, 15, 15, 46]);
    let near = step(engine, past, rows, 0, &beacons);
    let far = step(engine, past, rows, super::SHIFT, &beacons);
    let (a, b, tol) = (far.beacons.view(), near.beacons.view(), tolerance.moved);
    assert_close("keys of beacons here and further on", a.k(), b.k(), tol);
    assert_close("values of beacons here and further on", a.v(), b.v(), tol);
    // Into an empty window.
    let alone = step(engine, &[], rows, 0, &beacons);
    assert_eq!(alone.beacons.tokens(), 4);
}

/// Beacons that do not fit are refused, and the window is as it was.
///
/// # Panics
/// When something is taken that should not be.
pub fn beacons_that_do_not_fit_are_refused(make: Factory<'_>) {
    let mut engine = make();
    let ratios = engine.card().memory.as_ref().map_or(0, |m| m.beacons.len());
    let (capacity, mut out) = (engine.capacity(), StepOutput::default());
    let mut refuse = |tokens: &[u32], beacons: &[BeaconRow]| {
        let positions = vec![3; tokens.len()];
        let input = StepInput { tokens, positions: &positions, beacons, ..StepInput::default() };
        let error = engine.step(&input, &mut out).expect_err("beacons that do not fit");
        assert_eq!(engine.len(), 0, "a refused step changed len");
        error
    };
    let error = refuse(&[1, 2], &at(&[2]));
    assert!(matches!(error, StepError::Range { value: 2, limit: 2, .. }), "{error}");
    let unknown = [BeaconRow { last: 0, ratio: ratios as u8 }];
    let error = refuse(&[1, 2], &unknown);
    assert!(matches!(error, StepError::Range { limit, .. } if limit == ratios), "{error}");
    let error = refuse(&[1, 2], &at(&[1, 0]));
    assert!(matches!(error, StepError::BeaconOrder { before: 1, after: 0 }), "{error}");
    let error = refuse(&vec![1; capacity], &at(&[0]));
    assert!(matches!(error, StepError::WindowFull { tokens, .. } if tokens > capacity), "{error}");
}

/// Vectors of a trained address, one a row, are the same in chunks and in one pass.
///
/// # Panics
/// When they differ by more than the tolerance.
pub fn gives_vectors_of_ordinary_rows(make: Factory<'_>, tolerance: Tolerance) {
    let mut engine = make();
    let engine = engine.as_mut();
    let all = tokens(engine, PAST + ROWS);
    let dim = engine.card().memory.as_ref().and_then(|m| m.address).map_or(0, |a| a.dim);
    let whole = step(engine, &[], &all, 0, &[]);
    let parts = step(engine, &all[..PAST], &all[PAST..], 0, &[]);
    for (what, whole, parts) in [
        ("memory keys", &whole.out.memory_keys, &parts.out.memory_keys),
        ("memory queries", &whole.out.memory_queries, &parts.out.memory_queries),
    ] {
        assert_eq!(whole.len(), all.len() * (dim + 1), "{what}: [S, dim + 1]");
        assert_close(what, parts, &whole[PAST * (dim + 1)..], tolerance.chunks);
    }
}
