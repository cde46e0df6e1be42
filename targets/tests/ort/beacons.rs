//! Beacons in the graph: against PyTorch over a whole loop, and against the graph without them.

use lcedge_memory::KvBuf;
use lcedge_models::{MemoryChoice, WeightKind};
use lcedge_targets::contract::{self, Tolerance, absorb, assert_close, largest_gap, read};
use lcedge_targets::ort::Packing;
use lcedge_targets::{BeaconRow, Engine, StepInput, StepOutput};

use crate::common::{Golden, open, options};
use crate::memory::{Woven, repository};
use crate::smollm2;

const TOLERANCE: f32 = 1e-4;

/// Canonical keys and values of every row and beacon so far, `[layers, heads, rows, d]` each.
struct Store {
    rows: usize,
    d: usize,
    heads: usize,
    kv: KvBuf,
    k: Vec<f32>,
    v: Vec<f32>,
}

impl Store {
    fn new(engine: &dyn Engine, rows: usize) -> Self {
        let card = engine.card();
        let heads = card.layers * card.kv_heads;
        let values = vec![f32::NAN; heads * rows * card.head_dim];
        let kv = KvBuf::with_capacity(card.geometry(64), rows);
        Self { rows, d: card.head_dim, heads, kv, k: values.clone(), v: values }
    }

    fn row(&self, head: usize, row: usize) -> std::ops::Range<usize> {
        (head * self.rows + row) * self.d..(head * self.rows + row + 1) * self.d
    }

    /// Places rows at slots from `slot`.
    fn place(&mut self, engine: &mut dyn Engine, slot: usize, rows: &[usize], positions: &[i32]) {
        let (n, d) = (rows.len(), self.d);
        let mut block = KvBuf::with_capacity(engine.card().geometry(64), n);
        let (k, v) = block.fill(n);
        for (head, (i, &row)) in
            (0..self.heads).flat_map(|h| rows.iter().enumerate().map(move |r| (h, r)))
        {
            let to = (head * n + i) * d..(head * n + i + 1) * d;
            k[to.clone()].copy_from_slice(&self.k[self.row(head, row)]);
            v[to].copy_from_slice(&self.v[self.row(head, row)]);
        }
        engine.place(slot, positions, block.view()).unwrap();
    }

    /// Takes slots from `slot` as these rows.
    fn take(&mut self, engine: &mut dyn Engine, slot: usize, rows: &[usize]) {
        engine.read(slot..slot + rows.len(), &mut self.kv).unwrap();
        let n = rows.len() * self.d;
        for head in 0..self.heads {
            for (i, &row) in rows.iter().enumerate() {
                let (to, from) = (self.row(head, row), head * n + i * self.d);
                self.k[to.clone()].copy_from_slice(&self.kv.view().k()[from..from + self.d]);
                self.v[to].copy_from_slice(&self.kv.view().v()[from..from + self.d]);
            }
        }
    }
}

/// Runs the steps of a golden file as the runtime does: sinks, beacons and recalled blocks placed
/// before the recent tokens, the step's own beacons behind its rows. Gives logits and all that is
/// kept.
fn run(engine: &mut dyn Engine, golden: &Golden) -> (Vec<f32>, Store) {
    let n = golden.ids.len();
    let [positions, lo, hi] = ["pos", "lo", "hi"].map(|name| golden.ints(name));
    let [source, slot_pos, ratio] = ["source", "slot_pos", "beacon"].map(|n| golden.ints(n));
    let total = positions.len();
    let steps: Vec<[i32; 4]> = golden.ints("steps").as_chunks::<4>().0.to_vec();
    let context_end = steps.iter().filter(|s| s[3] == 0).map(|s| s[1]).max().unwrap();
    let (mut store, mut logits) = (Store::new(engine, total), Vec::new());
    for [start, end, first, branch] in steps {
        let seen = |key: usize| lo[total + key] == 2 * start && hi[total + key] == 2 * end;
        let slots: Vec<usize> = (0..source.len()).filter(|&i| seen(i)).collect();
        let rows: Vec<usize> = slots.iter().map(|&i| source[i] as usize).collect();
        let at: Vec<i32> = slots.iter().map(|&i| slot_pos[i]).collect();
        store.place(engine, 0, &rows, &at);
        let recent: Vec<usize> =
            (first as usize..if branch == 1 { context_end } else { start } as usize).collect();
        let at: Vec<i32> = recent.iter().map(|&row| positions[row]).collect();
        store.place(engine, rows.len(), &recent, &at);
        let len = rows.len() + recent.len();
        engine.set_len(len).unwrap();

        let rows: Vec<usize> = (start as usize..end as usize).collect();
        let of_step = |b: &usize| lo[n + b] % 2 == 1 && (2 * start..2 * end).contains(&lo[n + b]);
        let beacons: Vec<usize> = (0..total - n).filter(of_step).collect();
        let mut out = StepOutput::default();
        let input = StepInput {
            tokens: &golden.ids[rows[0]..][..rows.len()],
            positions: &positions[rows[0]..][..rows.len()],
            logit_rows: &(0..rows.len() as u32).collect::<Vec<_>>(),
            beacons: &beacons
                .iter()
                .map(|b| BeaconRow {
                    last: ((lo[n + b] / 2) - start) as u32,
                    ratio: ratio[*b] as u8,
                })
                .collect::<Vec<_>>(),
            ..StepInput::default()
        };
        engine.step(&input, &mut out).unwrap();
        assert_eq!(engine.len(), len + rows.len() + beacons.len());
        logits.extend_from_slice(&out.logits);
        let kept: Vec<usize> = rows.into_iter().chain(beacons.iter().map(|b| n + b)).collect();
        store.take(engine, len, &kept);
    }
    (logits, store)
}

fn equals_golden(engine: &mut dyn Engine, golden: &Golden, name: &str, tolerance: f32) {
    let (logits, store) = run(engine, golden);
    let n = logits.len();
    assert_close(&format!("{name}: logits"), &logits, &golden.get("logits")[..n], tolerance);
    let card = engine.card().clone();
    let mut compared = 0;
    for head in 0..card.layers * card.kv_heads {
        let (layer, within) = (head / card.kv_heads, head % card.kv_heads);
        for row in 0..store.rows {
            let (at, d) = (store.row(head, row), store.d);
            if store.k[at.start].is_nan() {
                continue;
            }
            compared += 1;
            let want = |what: &str| {
                &golden.get(&format!("{what}.{layer}"))[(within * store.rows + row) * d..][..d]
            };
            let what = format!("{name}: layer {layer}, head {within}, row {row}");
            assert_close(&format!("{what}: key"), &store.k[at.clone()], want("key"), tolerance);
            assert_close(&format!("{what}: value"), &store.v[at], want("value"), tolerance);
        }
    }
    let beacons = golden.ints("lo")[golden.ids.len()..golden.get("pos").len()].to_vec();
    let beacons = beacons.iter().filter(|lo| *lo % 2 == 1).count();
    assert!(beacons >= 30, "{beacons} beacons");
    let rows = logits.len() / card.vocab + beacons;
    assert_eq!(compared, rows * card.layers * card.kv_heads, "{name}: rows compared");
}

#[test]
fn a_loop_with_beacons_equals_pytorch() {
    let woven = Woven::new();
    for name in ["loop", "mixed"] {
        let golden = Woven::golden(name);
        equals_golden(&mut woven.fake(800), &golden, name, TOLERANCE);
        equals_golden(&mut woven.engine(WeightKind::F32, 800), &golden, name, TOLERANCE);
    }
}

/// The trainer's own golden files: the loop, and two steps with groups that end at block edges.
#[test]
fn the_trainers_files_are_met() {
    let (woven, from) = Woven::of_trainer();
    let [golden, short] =
        ["golden", "short"].map(|n| Golden::open(&from.join(format!("{n}.safetensors"))));
    for engine in [&mut woven.fake(800) as &mut dyn Engine, &mut woven.engine(WeightKind::F32, 800)]
    {
        equals_golden(engine, &golden, "trainer", TOLERANCE);
        let gap = two_steps(engine, &short);
        assert!(gap < TOLERANCE, "{gap}");
    }
}

/// SmolLM2's beacons, where its memory has them.
#[test]
fn trained_beacons_equal_pytorch() {
    let golden = Golden::open(&repository("models/zoo/smollm2-135m/golden.safetensors"));
    if !golden.has("beacons.tokens") {
        eprintln!("not tested: the trained memory has no beacons");
        return;
    }
    for (kind, most) in
        [(WeightKind::F32, TOLERANCE), (WeightKind::Int8, 0.2), (WeightKind::Int4, 0.2)]
    {
        let Some(prepared) = smollm2::model(kind, MemoryChoice::Zoo) else { return };
        let gap = two_steps(&mut smollm2::load(&prepared, 512), &golden);
        println!("{kind:?}: {gap:e}");
        assert!(gap < most, "{kind:?}: {gap}");
    }
}

/// Runs a golden file's two steps: rows with beacons from nothing, then rows behind sinks and those
/// beacons alone. Gives the largest gap of logits and of the beacons' keys and values.
fn two_steps(engine: &mut dyn Engine, golden: &Golden) -> f32 {
    let ints = |name: &str| golden.ints(&format!("beacons.{name}"));
    let tokens: Vec<u32> = ints("tokens").iter().map(|&t| t as u32).collect();
    let (n, positions) = (tokens.len(), ints("pos"));
    let first = ints("blocks").iter().sum::<i32>() as usize;
    let beacons: Vec<BeaconRow> = ints("last")
        .iter()
        .zip(ints("ratio"))
        .map(|(&last, ratio)| BeaconRow { last: last as u32, ratio: ratio as u8 })
        .collect();
    let mut store = Store::new(engine, n + beacons.len());
    let mut logits = Vec::new();
    let mut step = |engine: &mut dyn Engine, rows: std::ops::Range<usize>, of: &[u32], b: &[_]| {
        let mut out = StepOutput::default();
        let input = StepInput {
            tokens: &tokens[rows.clone()],
            positions: &positions[rows],
            logit_rows: of,
            beacons: b,
            ..StepInput::default()
        };
        engine.step(&input, &mut out).unwrap();
        logits.extend_from_slice(&out.logits);
    };
    engine.set_len(0).unwrap();
    step(engine, 0..first, &[first as u32 - 1], &beacons);
    let kept: Vec<usize> = (0..first).chain(n..n + beacons.len()).collect();
    store.take(engine, 0, &kept);
    let source: Vec<usize> = ints("window_source").iter().map(|&row| row as usize).collect();
    store.place(engine, 0, &source, &ints("window_pos"));
    engine.set_len(source.len()).unwrap();
    step(engine, first..n, &[0, (n - first) as u32 - 1], &[]);

    let mut gap = largest_gap(&logits, golden.get("beacons.logits"));
    let card = engine.card();
    for layer in (0..card.layers).filter(|l| golden.has(&format!("beacons.key.{l}"))) {
        for (what, all) in [("key", &store.k), ("value", &store.v)] {
            let heads = layer * card.kv_heads..(layer + 1) * card.kv_heads;
            let rows = heads.flat_map(|head| (n..n + beacons.len()).map(move |row| (head, row)));
            let got: Vec<f32> = rows.flat_map(|(h, r)| &all[store.row(h, r)]).copied().collect();
            let want = golden.get(&format!("beacons.{what}.{layer}"));
            gap = gap.max(largest_gap(&got, want));
        }
    }
    gap
}

/// Distance of a loop's logits from PyTorch's, against the distance that the beacons make.
#[test]
fn every_kind_has_beacons() {
    let woven = Woven::new();
    let golden = Woven::golden("mixed");
    let (fake, _) = run(&mut woven.fake(800), &golden);
    for (kind, most) in [(WeightKind::F16, 0.01), (WeightKind::Int8, 0.1), (WeightKind::Int4, 0.5)]
    {
        let (logits, _) = run(&mut woven.engine(kind, 800), &golden);
        let gap = largest_gap(&logits, &fake);
        println!("{kind:?}: {gap:.4}");
        assert!(gap <= most, "{kind:?}: {gap}");
    }
}

const CLOSE: Tolerance = Tolerance { chunks: 1e-4, moved: 1e-3 };

#[test]
fn the_contract_with_beacons() {
    let woven = Woven::new();
    contract::all(&|| Box::new(woven.engine(WeightKind::F32, 400)), CLOSE);
    contract::all(&|| Box::new(woven.fake(400)), Tolerance { chunks: 1e-6, moved: 1e-5 });
    for kind in [WeightKind::Int8, WeightKind::Int4] {
        let loose = Tolerance { chunks: 3e-2, moved: 3e-2 };
        contract::beacons_change_no_ordinary_row(&|| Box::new(woven.engine(kind, 400)), loose);
    }
}

/// Without beacons in a step, a graph that could take some gives what one without them gives, to
/// the last bit.
#[test]
fn steps_without_beacons_are_the_same_to_the_bit() {
    let (with, without) = (Woven::new(), Woven::without_beacons());
    let ids = Woven::golden("loop").ids;
    for kind in [WeightKind::F32, WeightKind::F16, WeightKind::Int8, WeightKind::Int4] {
        let [a, b] = [&with, &without].map(|woven| {
            let mut engine = woven.engine(kind, 400);
            let first = absorb(&mut engine, &ids[..200], 0, 64);
            let second = absorb(&mut engine, &ids[200..220], 200, 1);
            (first, second, read(&mut engine, 0, 220))
        });
        for (x, y) in [(&a.0, &b.0), (&a.1, &b.1)] {
            assert!(x.logits == y.logits && x.logprobs == y.logprobs, "{kind:?}: logits");
            assert!(x.queries == y.queries, "{kind:?}: queries");
        }
        let same = a.2.view().k() == b.2.view().k() && a.2.view().v() == b.2.view().v();
        assert!(same, "{kind:?}: keys or values");
    }
}

/// As `shared::a_large_window_costs_nothing`, with a graph that can take beacons: 4 planes of 13 MB
/// copied would take several milliseconds.
#[test]
fn a_large_window_costs_nothing_with_and_without_beacons() {
    let woven = Woven::new();
    let fastest = |capacity: usize, beacons: &[BeaconRow]| {
        let mut engine = woven.engine(WeightKind::F32, capacity);
        let (mut best, mut out) = (f64::INFINITY, StepOutput::default());
        for _ in 0..30 {
            engine.set_len(10).unwrap();
            let input =
                StepInput { tokens: &[5], positions: &[10], beacons, ..StepInput::default() };
            let start = std::time::Instant::now();
            engine.step(&input, &mut out).unwrap();
            best = best.min(start.elapsed().as_secs_f64());
        }
        best
    };
    for beacons in [&[][..], &[BeaconRow { last: 0, ratio: 1 }]] {
        let (small, large) = (fastest(64, beacons), fastest(200_000, beacons));
        println!("{} beacons: {:.3} ms, {:.3} ms", beacons.len(), small * 1e3, large * 1e3);
        assert!(large < small + 0.002, "{large} s a step, {small} s in a small window");
    }
}

/// Packed matrices kept on disk give the same loop, beacons included.
#[test]
fn packed_graphs_have_the_same_beacons() {
    let woven = Woven::new();
    let golden = Woven::golden("mixed");
    for kind in [WeightKind::F32, WeightKind::F16] {
        let (want, _) = run(&mut woven.engine(kind, 800), &golden);
        let folder = tempfile::tempdir().unwrap();
        let mut options = options(800);
        options.packing = Packing::Under(folder.path().to_path_buf());
        for again in [false, true] {
            let mut engine = open(&woven.graph(kind), &options);
            assert!(engine.packed().unwrap().is_ok(), "{:?}", engine.packed());
            let (got, _) = run(&mut engine, &golden);
            assert_close(&format!("{kind:?}, again: {again}"), &got, &want, 1e-5);
        }
    }
}
