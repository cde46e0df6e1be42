//! The contract that every engine passes, as functions that a test calls with its own engine.
//!
//! Each function asserts one promise of [`Engine`]'s text. Engines come from a factory and must
//! have a window of at least [`CAPACITY_MIN`] slots, a table of at least [`POSITIONS_MIN`]
//! positions and at least [`VOCAB_MIN`] tokens.

mod beacons;
mod gist;

use lcedge_memory::{KvBuf, KvView};

pub use beacons::{
    beacons_change_no_ordinary_row, beacons_depend_on_distances_alone,
    beacons_see_what_they_should, beacons_that_do_not_fit_are_refused,
    gives_vectors_of_ordinary_rows, memory,
};

pub use gist::{gist_folds_refused, gist_of_a_set, gist_states_follow};

use crate::engine::{Engine, SlotError, StepError, StepInput, StepOutput};

/// Slots that the contract needs.
pub const CAPACITY_MIN: usize = 400;
/// Positions that the contract needs.
pub const POSITIONS_MIN: usize = 512;
/// Tokens that the contract needs.
pub const VOCAB_MIN: usize = 32;

/// Makes one engine with an empty window.
pub type Factory<'a> = &'a dyn Fn() -> Box<dyn Engine>;

/// Largest difference allowed, relative to one plus the largest value compared.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// Between chunks of different sizes.
    pub chunks: f32,
    /// Between keys computed at a position and keys rotated there.
    pub moved: f32,
}

const TOKENS: usize = 300;
const TAIL: usize = 24;
const SHIFT: i32 = 131;

/// Every promise in turn.
///
/// # Panics
/// When a promise is broken; the message says which and by how much.
pub fn all(make: Factory<'_>, tolerance: Tolerance) {
    refuses_and_stays_as_it_was(make);
    reads_what_was_placed(make);
    moves_slots_that_overlap(make, tolerance);
    chunks_equal_one_pass(make, tolerance);
    placed_and_rotated_equal_computed(make, tolerance);
    slot_order_means_nothing(make, tolerance);
    forgets_what_lies_behind_len(make, tolerance);
    gives_the_rows_asked_for(make, tolerance);
    queries_and_keys_are_unrotated(make, tolerance);
    says_what_it_holds(make);
    memory(make, tolerance);
}

/// Absorbing in chunks of 1, 7, 64 and 256 tokens equals one pass: logits, K, V and queries.
///
/// # Panics
/// When they differ by more than the tolerance.
pub fn chunks_equal_one_pass(make: Factory<'_>, tolerance: Tolerance) {
    let mut engine = make();
    let tokens = tokens(engine.as_ref(), TOKENS);
    let whole = absorb(engine.as_mut(), &tokens, 0, TOKENS);
    let whole_kv = read(engine.as_mut(), 0, TOKENS);
    for chunk in [1, 7, 64, 256] {
        engine.set_len(0).expect("an empty window");
        let parts = absorb(engine.as_mut(), &tokens, 0, chunk);
        let what = format!("chunks of {chunk} and one pass");
        assert_close(&format!("logits, {what}"), &parts.logits, &whole.logits, tolerance.chunks);
        let same = (&parts.logprobs, &whole.logprobs);
        assert_close(&format!("log-probabilities, {what}"), same.0, same.1, tolerance.chunks);
        let kv = read(engine.as_mut(), 0, TOKENS);
        assert_close(
            &format!("keys, {what}"),
            kv.view().k(),
            whole_kv.view().k(),
            tolerance.chunks,
        );
        assert_close(
            &format!("values, {what}"),
            kv.view().v(),
            whole_kv.view().v(),
            tolerance.chunks,
        );
    }
}

/// A block placed at other positions, or rotated to them, gives what computing it there gives.
///
/// # Panics
/// When they differ by more than the tolerance.
pub fn placed_and_rotated_equal_computed(make: Factory<'_>, tolerance: Tolerance) {
    let mut engine = make();
    let tokens = tokens(engine.as_ref(), TOKENS + TAIL);
    let (head, tail) = tokens.split_at(TOKENS);
    let end = TOKENS as i32;

    // Computed at positions SHIFT.. from the beginning.
    absorb(engine.as_mut(), head, SHIFT, 64);
    let computed = absorb(engine.as_mut(), tail, end + SHIFT, TAIL);

    // Computed at positions 0.., then rotated in place.
    engine.set_len(0).expect("an empty window");
    absorb(engine.as_mut(), head, 0, 64);
    let kv = read(engine.as_mut(), 0, TOKENS);
    engine.rotate(0..TOKENS, SHIFT).expect("positions of the table");
    let rotated = absorb(engine.as_mut(), tail, end + SHIFT, TAIL);
    let tol = tolerance.moved;
    assert_close("logits, rotated and computed", &rotated.logits, &computed.logits, tol);

    // The same block placed in a fresh engine, in two parts, at other slots than it came from.
    let mut fresh = make();
    let first = part(kv.view(), 0, 100);
    let rest = part(kv.view(), 100, TOKENS - 100);
    let positions: Vec<i32> = (SHIFT..end + SHIFT).collect();
    fresh.place(0, &positions[100..], rest.view()).expect("slots of the window");
    fresh.place(TOKENS - 100, &positions[..100], first.view()).expect("slots of the window");
    fresh.set_len(TOKENS).expect("slots of the window");
    let placed = absorb(fresh.as_mut(), tail, end + SHIFT, TAIL);
    assert_close("logits, placed and computed", &placed.logits, &computed.logits, tol);

    // A wrong distance must be noticed, or the comparisons above mean nothing.
    fresh.set_len(TOKENS).expect("slots of the window");
    fresh.rotate(0..TOKENS, 0).expect("positions of the table");
    let wrong = absorb(fresh.as_mut(), tail, end + SHIFT, TAIL);
    let gap = largest_gap(&wrong.logits, &computed.logits);
    assert!(gap > 10.0 * tol, "keys at wrong positions changed the logits by only {gap}");
}

/// The order of slots means nothing: blocks placed in another order with the same positions.
///
/// # Panics
/// When logits differ by more than the tolerance.
pub fn slot_order_means_nothing(make: Factory<'_>, tolerance: Tolerance) {
    let mut engine = make();
    let tokens = tokens(engine.as_ref(), 96 + TAIL);
    let (head, tail) = tokens.split_at(96);
    absorb(engine.as_mut(), head, 0, 96);
    let kv = read(engine.as_mut(), 0, 96);
    let in_order = absorb(engine.as_mut(), tail, 96, TAIL);
    for order in [[2, 0, 1], [1, 2, 0], [2, 1, 0]] {
        for (at, block) in order.into_iter().enumerate() {
            let positions: Vec<i32> = (block * 32..block * 32 + 32).collect();
            let block = part(kv.view(), block as usize * 32, 32);
            engine.place(at * 32, &positions, block.view()).expect("slots of the window");
        }
        engine.set_len(96).expect("slots of the window");
        let out = absorb(engine.as_mut(), tail, 96, TAIL);
        let what = format!("logits with blocks in the order {order:?} and in order");
        assert_close(&what, &out.logits, &in_order.logits, tolerance.moved);
    }
}

/// Reading gives back exactly what placing wrote, and other slots keep what they had.
///
/// # Panics
/// When one value differs.
pub fn reads_what_was_placed(make: Factory<'_>) {
    let mut engine = make();
    let (a, b) = (block(engine.as_ref(), 40, 1), block(engine.as_ref(), 17, 2));
    engine.place(5, &(100..140).collect::<Vec<_>>(), a.view()).expect("slots of the window");
    engine.place(60, &[9; 17], b.view()).expect("slots of the window, one position for all");
    assert_eq!(engine.len(), 0, "placing does not make slots valid");
    assert_same(&read(engine.as_mut(), 5, 40), &a, "the first block");
    assert_same(&read(engine.as_mut(), 60, 17), &b, "the second block");
    assert_same(&read(engine.as_mut(), 12, 8), &part(a.view(), 7, 8), "the middle of the first");
    engine.place(10, &[0; 17], b.view()).expect("slots of the window");
    assert_same(&read(engine.as_mut(), 5, 5), &part(a.view(), 0, 5), "before the overwritten");
    assert_same(&read(engine.as_mut(), 27, 18), &part(a.view(), 22, 18), "behind the overwritten");
    engine.rotate(5..77, 300).expect("positions of the table");
    assert_same(&read(engine.as_mut(), 10, 17), &b, "canonical keys after rotating");
    assert_eq!(read(engine.as_mut(), 3, 0).tokens(), 0, "an empty range is read as nothing");
    engine.rotate(7..7, i32::MAX).expect("an empty range has no positions");
}

/// Moving slots moves canonical keys, rotated keys and values; ranges may overlap either way.
///
/// # Panics
/// When a value differs or `len` changes.
pub fn moves_slots_that_overlap(make: Factory<'_>, tolerance: Tolerance) {
    let mut engine = make();
    let tokens = tokens(engine.as_ref(), TAIL);
    let a = block(engine.as_ref(), 50, 3);
    let positions: Vec<i32> = (20..70).collect();
    engine.place(0, &positions, a.view()).expect("slots of the window");
    engine.set_len(50).expect("slots of the window");
    let before = absorb(engine.as_mut(), &tokens, 70, TAIL);
    engine.set_len(50).expect("slots of the window");

    engine.move_slots(0..50, 3).expect("slots of the window");
    assert_same(&read(engine.as_mut(), 3, 50), &a, "moved to higher slots");
    assert_same(&read(engine.as_mut(), 0, 3), &part(a.view(), 0, 3), "slots left behind");
    engine.move_slots(3..53, 1).expect("slots of the window");
    assert_same(&read(engine.as_mut(), 1, 50), &a, "moved to lower slots");
    engine.move_slots(1..51, 0).expect("slots of the window");
    engine.move_slots(9..9, 100).expect("an empty range");
    assert_eq!(engine.len(), 50, "moving does not change len");
    let after = absorb(engine.as_mut(), &tokens, 70, TAIL);
    assert_close(
        "logits after moving there and back",
        &after.logits,
        &before.logits,
        tolerance.chunks,
    );

    // Rotated keys move too: the first 20 slots moved behind the others give the same attention.
    engine.set_len(50).expect("slots of the window");
    engine.move_slots(0..50, 20).expect("slots of the window");
    engine.move_slots(50..70, 0).expect("slots of the window");
    engine.set_len(50).expect("slots of the window");
    let turned = absorb(engine.as_mut(), &tokens, 70, TAIL);
    assert_same(&read(engine.as_mut(), 0, 20), &part(a.view(), 30, 20), "turned around");
    assert_close("logits after turning slots", &turned.logits, &before.logits, tolerance.moved);
}

/// What lies at or behind `len` has no effect.
///
/// # Panics
/// When logits differ by more than the tolerance.
pub fn forgets_what_lies_behind_len(make: Factory<'_>, tolerance: Tolerance) {
    let mut engine = make();
    let tokens = tokens(engine.as_ref(), 80 + TAIL);
    let (head, tail) = tokens.split_at(80);
    absorb(engine.as_mut(), &head[..30], 0, 30);
    let fresh = absorb(engine.as_mut(), tail, 30, TAIL);

    engine.set_len(0).expect("an empty window");
    absorb(engine.as_mut(), head, 0, 80);
    let noise = block(engine.as_ref(), 64, 9);
    engine.place(100, &[40; 64], noise.view()).expect("slots of the window");
    engine.set_len(30).expect("slots of the window");
    assert_eq!(engine.len(), 30);
    let again = absorb(engine.as_mut(), tail, 30, TAIL);
    assert_eq!(engine.len(), 30 + TAIL);
    assert_close("logits after forgetting", &again.logits, &fresh.logits, tolerance.chunks);
}

/// Rows of logits and log-probabilities may be any, in any order, or none.
///
/// # Panics
/// When a row is another than that of a step that gives all.
pub fn gives_the_rows_asked_for(make: Factory<'_>, tolerance: Tolerance) {
    let mut engine = make();
    let tokens = tokens(engine.as_ref(), 20);
    let vocab = engine.card().vocab;
    let positions: Vec<i32> = (0..20).collect();
    let every = absorb(engine.as_mut(), &tokens, 0, 20);
    let kv = read(engine.as_mut(), 0, 20);
    let mut out = StepOutput::default();
    for (logit_rows, score_rows, targets) in [
        (&[19_u32][..], &[][..], &[][..]),
        (&[], &[3, 0, 19], &[5, 31, 0]),
        (&[7, 2, 7], &[2], &[9]),
        (&[], &[], &[]),
    ] {
        engine.set_len(0).expect("an empty window");
        let input = StepInput {
            tokens: &tokens,
            positions: &positions,
            logit_rows,
            score_rows,
            score_targets: targets,
            queries: false,
            ..StepInput::default()
        };
        engine.step(&input, &mut out).expect("a step that fits");
        assert_eq!(engine.len(), 20);
        assert_eq!(out.logits.len(), logit_rows.len() * vocab, "[logit_rows, vocab]");
        assert_eq!(out.logprobs.len(), score_rows.len(), "[score_rows]");
        assert!(out.queries.is_empty(), "queries were not asked for");
        let row = |r: u32| &every.logits[r as usize * vocab..(r as usize + 1) * vocab];
        for (&r, logits) in logit_rows.iter().zip(out.logits.chunks_exact(vocab)) {
            assert_close(&format!("logits of row {r}"), logits, row(r), tolerance.chunks);
        }
        for ((&r, &target), &got) in score_rows.iter().zip(targets).zip(&out.logprobs) {
            let want = log_softmax(row(r), target as usize);
            let what = format!("log-probability of {target} at row {r}");
            assert_close(&what, &[got], &[want], tolerance.chunks);
        }
        let again = read(engine.as_mut(), 0, 20);
        assert_close("keys", again.view().k(), kv.view().k(), tolerance.chunks);
    }
}

/// Queries and canonical keys do not depend on where the tokens stand, only on their distances.
///
/// # Panics
/// When they differ by more than the tolerance, or a layer is missing.
pub fn queries_and_keys_are_unrotated(make: Factory<'_>, tolerance: Tolerance) {
    let mut engine = make();
    let tokens = tokens(engine.as_ref(), 60);
    let near = absorb(engine.as_mut(), &tokens, 0, 60);
    let near_kv = read(engine.as_mut(), 0, 60);
    engine.set_len(0).expect("an empty window");
    let far = absorb(engine.as_mut(), &tokens, SHIFT, 60);
    let far_kv = read(engine.as_mut(), 0, 60);
    let card = engine.card();
    let layers = card.query_layers.len();
    assert_eq!(near.queries.len(), layers * 60 * card.heads * card.head_dim, "[layers, S, H * D]");
    let tol = tolerance.moved;
    assert_close("queries here and further on", &far.queries, &near.queries, tol);
    assert_close("keys here and further on", far_kv.view().k(), near_kv.view().k(), tol);
    assert_close("values here and further on", far_kv.view().v(), near_kv.view().v(), tol);
    let mut rows = near.queries.chunks_exact((60 * card.heads * card.head_dim).max(1));
    assert!(rows.all(|q| q.iter().any(|&x| x != 0.0)), "queries of a layer are all zero");
}

/// What does not fit is refused with the right values, and the window is as it was.
///
/// # Panics
/// When something is taken that should not be, or changes anything.
pub fn refuses_and_stays_as_it_was(make: Factory<'_>) {
    let mut engine = make();
    let capacity = engine.capacity();
    assert!(capacity >= CAPACITY_MIN, "the contract needs {CAPACITY_MIN} slots");
    assert!(engine.card().positions >= POSITIONS_MIN, "it needs {POSITIONS_MIN} positions");
    assert!(engine.card().vocab >= VOCAB_MIN, "the contract needs {VOCAB_MIN} tokens");
    assert!(engine.is_empty());
    let tokens = tokens(engine.as_ref(), 30);
    absorb(engine.as_mut(), &tokens, 0, 30);
    let kv = read(engine.as_mut(), 0, 30);

    refuses_steps(engine.as_mut());
    refuses_slots(engine.as_mut());

    assert_eq!(engine.len(), 30, "a refusal changed the number of valid slots");
    assert_same(&read(engine.as_mut(), 0, 30), &kv, "slots after refusals");
    engine.set_len(capacity).expect("all slots may be valid");
    engine.set_len(0).expect("none as well");
}

fn refuses_steps(engine: &mut dyn Engine) {
    let (vocab, limit) = (engine.card().vocab, engine.card().positions);
    let (len, capacity) = (engine.len(), engine.capacity());
    let base = StepInput {
        tokens: &[1, 2],
        positions: &[30, 31],
        logit_rows: &[],
        score_rows: &[],
        score_targets: &[],
        queries: false,
        ..StepInput::default()
    };
    let mut out = StepOutput::default();
    let mut refuse = |input: &StepInput<'_>| {
        let error = engine.step(input, &mut out).expect_err("a step that does not fit");
        assert_eq!(engine.len(), len, "a refused step changed len");
        error
    };
    let many = vec![1; capacity - len + 1];
    let places = vec![0; many.len()];
    let error = refuse(&StepInput { tokens: &many, positions: &places, ..base });
    assert!(
        matches!(error, StepError::WindowFull { tokens, len: l, capacity: c }
            if tokens == many.len() && l == len && c == capacity),
        "{error}"
    );
    for (input, named) in [
        (StepInput { tokens: &[], positions: &[], ..base }, "tokens"),
        (StepInput { positions: &[30], ..base }, "positions"),
        (StepInput { score_rows: &[0], ..base }, "score_targets"),
    ] {
        let error = refuse(&input);
        assert!(matches!(error, StepError::Shape { what, .. } if what == named), "{error}");
    }
    let past_vocab = [vocab as u32];
    let past_table = [30, limit as i32];
    for (input, bad, end) in [
        (StepInput { tokens: &[1, vocab as u32], ..base }, vocab as i64, vocab),
        (StepInput { positions: &past_table, ..base }, limit as i64, limit),
        (StepInput { positions: &[-1, 30], ..base }, -1, limit),
        (StepInput { logit_rows: &[2], ..base }, 2, 2),
        (StepInput { score_rows: &[2], score_targets: &[0], ..base }, 2, 2),
        (StepInput { score_rows: &[0], score_targets: &past_vocab, ..base }, vocab as i64, vocab),
    ] {
        let error = refuse(&input);
        assert!(
            matches!(error, StepError::Range { value, limit, .. } if value == bad && limit == end),
            "{error}"
        );
    }
}

fn refuses_slots(engine: &mut dyn Engine) {
    let (capacity, limit) = (engine.capacity(), engine.card().positions as i32);
    let good = block(engine, 10, 4);
    let outside = |r: Result<(), SlotError>| match r {
        Err(SlotError::OutOfWindow { .. }) => {}
        other => panic!("slots outside the window gave {other:?}"),
    };
    let ten: Vec<i32> = (0..10).collect();
    outside(engine.place(capacity - 9, &ten, good.view()));
    outside(engine.place(usize::MAX, &ten, good.view()));
    outside(engine.rotate(capacity - 1..capacity + 1, 0));
    outside(engine.move_slots(0..10, capacity - 9));
    outside(engine.move_slots(capacity - 5..capacity + 1, 0));
    outside(engine.move_slots(0..10, usize::MAX - 3));
    outside(engine.set_len(capacity + 1));
    let mut buf = KvBuf::with_capacity(good.geometry(), 4);
    outside(engine.read(capacity - 1..capacity + 1, &mut buf));

    let at_table_end = |r: Result<(), SlotError>| match r {
        Err(SlotError::Position { limit: l, .. }) => assert_eq!(l, limit as usize),
        other => panic!("a position outside the table gave {other:?}"),
    };
    let mut past = ten.clone();
    past[9] = limit;
    at_table_end(engine.place(0, &past, good.view()));
    past[9] = -1;
    at_table_end(engine.place(0, &past, good.view()));
    at_table_end(engine.rotate(0..10, limit - 9));
    at_table_end(engine.rotate(0..10, -1));
    at_table_end(engine.rotate(0..10, i32::MAX));

    let misfit = |r: Result<(), SlotError>| match r {
        Err(SlotError::Geometry { .. }) => {}
        other => panic!("a block of another shape gave {other:?}"),
    };
    misfit(engine.place(0, &ten[..9], good.view()));
    let mut other = good.geometry();
    other.layers += 1;
    let other = KvBuf::with_capacity(other, 0);
    misfit(engine.place(0, &[], other.view()));
}

/// The engine says what it holds and where it runs.
///
/// # Panics
/// When the window is said to be smaller than its keys and values, or a text is empty.
pub fn says_what_it_holds(make: Factory<'_>) {
    let engine = make();
    let window = engine.card().geometry(64).f32_bytes_per_token() * engine.capacity();
    let usage = engine.usage();
    assert!(usage.window_bytes >= window as u64, "{usage:?} for K and V of {window} bytes");
    assert!(usage.weights_bytes > 0, "{usage:?}");
    let (device, reason) = engine.device();
    assert!(!device.is_empty() && !reason.is_empty());
}

/// Absorbs `tokens` at consecutive positions from `first`, `chunk` at a time, asking for
/// everything; outputs are those of all rows.
///
/// # Panics
/// When the engine refuses.
pub fn absorb(engine: &mut dyn Engine, tokens: &[u32], first: i32, chunk: usize) -> StepOutput {
    let mut all = StepOutput::default();
    let mut out = StepOutput::default();
    let mut at = first;
    for part in tokens.chunks(chunk) {
        let positions: Vec<i32> = (at..at + part.len() as i32).collect();
        let rows: Vec<u32> = (0..part.len() as u32).collect();
        let input = StepInput {
            tokens: part,
            positions: &positions,
            logit_rows: &rows,
            score_rows: &rows,
            score_targets: part,
            queries: true,
            ..StepInput::default()
        };
        engine.step(&input, &mut out).expect("a step that fits");
        all.logits.extend_from_slice(&out.logits);
        all.logprobs.extend_from_slice(&out.logprobs);
        all.queries.extend_from_slice(&out.queries);
        at += part.len() as i32;
    }
    all
}

/// The canonical K,V of `count` slots from `slot`.
///
/// # Panics
/// When the engine refuses.
pub fn read(engine: &mut dyn Engine, slot: usize, count: usize) -> KvBuf {
    let mut buf = KvBuf::with_capacity(engine.card().geometry(64), count);
    engine.read(slot..slot + count, &mut buf).expect("slots of the window");
    buf
}

/// Tokens `from..from + count` of a view, as a block of its own.
///
/// # Panics
/// When the view holds fewer.
#[must_use]
pub fn part(kv: KvView<'_>, from: usize, count: usize) -> KvBuf {
    let geometry = kv.geometry();
    let mut buf = KvBuf::with_capacity(geometry, count);
    let (layers, heads) = (geometry.layers as usize, geometry.kv_heads as usize);
    let d = geometry.head_dim as usize;
    let (k, v) = buf.fill(count);
    for i in 0..layers * heads {
        let (layer, head) = (i / heads, i % heads);
        let (to, source) = (i * count * d..(i + 1) * count * d, from * d..(from + count) * d);
        k[to.clone()].copy_from_slice(&kv.k_head(layer, head)[source.clone()]);
        v[to].copy_from_slice(&kv.v_head(layer, head)[source]);
    }
    buf
}

/// Tokens below [`VOCAB_MIN`] or the whole vocabulary, in a fixed order without pattern.
fn tokens(engine: &dyn Engine, count: usize) -> Vec<u32> {
    let vocab = engine.card().vocab as u64;
    (0..count as u64).map(|i| (hash(i + 1) % vocab) as u32).collect()
}

/// A block of made-up keys and values between -1 and 1.
fn block(engine: &dyn Engine, tokens: usize, seed: u64) -> KvBuf {
    let mut buf = KvBuf::with_capacity(engine.card().geometry(64), tokens);
    let (k, v) = buf.fill(tokens);
    for (i, x) in k.iter_mut().chain(v).enumerate() {
        *x = (hash(i as u64 + (seed << 40)) >> 40) as f32 / (1_u64 << 23) as f32 - 1.0;
    }
    buf
}

fn hash(x: u64) -> u64 {
    let mut z = x.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn log_softmax(logits: &[f32], target: usize) -> f32 {
    let top = logits.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
    let total: f64 = logits.iter().map(|&x| f64::from(x - top).exp()).sum();
    (f64::from(logits[target] - top) - total.ln()) as f32
}

/// The largest difference, relative to one plus the largest value of `want`.
///
/// # Panics
/// When the lengths differ.
#[must_use]
pub fn largest_gap(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len(), "arrays of one length");
    let scale = 1.0 + want.iter().fold(0.0_f32, |a, x| a.max(x.abs()));
    // `max` would drop a NaN: count it as infinitely far.
    let gap = |(a, b): (&f32, &f32)| {
        let gap = (a - b).abs();
        if gap.is_nan() { f32::INFINITY } else { gap }
    };
    got.iter().zip(want).map(gap).fold(0.0_f32, f32::max) / scale
}

/// Asserts that [`largest_gap`] is at most `tolerance`.
///
/// # Panics
/// When it is larger.
pub fn assert_close(what: &str, got: &[f32], want: &[f32], tolerance: f32) {
    let gap = largest_gap(got, want);
    assert!(gap <= tolerance, "{what}: differ by {gap:e}, {tolerance:e} allowed");
}

fn assert_same(got: &KvBuf, want: &KvBuf, what: &str) {
    assert_eq!(got.tokens(), want.tokens(), "{what}: tokens");
    assert!(got.view().k() == want.view().k(), "{what}: keys differ");
    assert!(got.view().v() == want.view().v(), "{what}: values differ");
}
