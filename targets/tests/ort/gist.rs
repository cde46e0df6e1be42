//! The gist's fold: against a plain loop in 64 bits, against PyTorch's stored results.

use std::path::Path;

use lcedge_memory::{KvBuf, KvView};
use lcedge_models::memory::GistWeights;
use lcedge_models::{Memory, MemoryChoice, WeightKind};
use lcedge_targets::contract::{self, Tolerance, assert_close};
use lcedge_targets::ort::{LoadError, OrtEngine};
use lcedge_targets::{BeaconRow, Engine, Fold, GistState, StepInput, StepOutput};

use crate::common::{Golden, options, runtime};
use crate::memory::{Woven, repository};
use crate::smollm2;

const TOLERANCE: f32 = 1e-4;

/// Numbers that look random, of about the given size.
struct Draw(u64);

impl Draw {
    fn next(&mut self, size: f32) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        ((self.0 >> 40) as f32 / (1_u64 << 23) as f32 - 1.0) * 1.7 * size
    }

    fn fill(&mut self, values: &mut [f32], size: f32) {
        values.iter_mut().for_each(|x| *x = self.next(size));
    }
}

/// Writes the gist of `slots` slots and a look-up of `width` for a decoder of these sizes, with an
/// address of 128.
pub(crate) fn write_random(path: &Path, [layers, heads, d]: [usize; 3], slots: usize) {
    let (e, p) = (2 * d, 7);
    let mut draw = Draw(5);
    let mut header = serde_json::Map::new();
    header.insert(
        "__metadata__".into(),
        serde_json::json!({ "slots": slots.to_string(), "width": p.to_string() }),
    );
    let mut data: Vec<u8> = Vec::new();
    let root = 1.0 / (e as f32).sqrt();
    for (name, tail, size) in [
        ("init", vec![slots, e], 0.5),
        ("scale", vec![e], 1.0),
        ("query", vec![e, p], root),
        ("slot", vec![slots, p], 2.0),
        ("key", vec![e, p], 2.0 * root),
        ("value", vec![e, e], root),
        ("gate", vec![2 * e], root),
        ("gate_bias", vec![], 1.0),
        ("question", vec![128, p], 1.0),
    ] {
        let shape = [&[layers, heads], &tail[..]].concat();
        let begin = data.len();
        for _ in 0..shape.iter().product::<usize>() {
            data.extend(draw.next(size).to_le_bytes());
        }
        let entry = serde_json::json!(
            { "dtype": "F32", "shape": shape, "data_offsets": [begin, data.len()] });
        header.insert(format!("gist.{name}"), entry);
    }
    let header = serde_json::to_vec(&header).unwrap();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend(data);
    std::fs::write(path, bytes).unwrap();
}

/// The formula, word for word, in 64 bits: states and beacons are `[heads of all layers][rows][E]`.
fn by_hand(
    w: &GistWeights,
    heads: usize,
    state: Option<&[Vec<Vec<f64>>]>,
    beacons: &[Vec<Vec<f64>>],
    question: Option<&[f32]>,
) -> Vec<Vec<Vec<f64>>> {
    let e = w.scale.len() / heads;
    let (g, p) = (w.init.len() / heads / e, w.key.len() / heads / e);
    let at = |tensor: &[f32], head: usize, i: usize| -> f64 {
        f64::from(tensor[head * (tensor.len() / heads) + i])
    };
    let mut next = vec![vec![vec![0.0; e]; g]; heads];
    for head in 0..heads {
        let scaled = |x: &[f64]| -> Vec<f64> {
            x.iter().enumerate().map(|(i, x)| x * at(&w.scale, head, i)).collect()
        };
        for slot in 0..g {
            let init: Vec<f64> = (0..e).map(|i| at(&w.init, head, slot * e + i)).collect();
            let x = state.map_or(init, |s| s[head][slot].clone());
            let mut look = vec![0.0; p];
            for (j, look) in look.iter_mut().enumerate() {
                *look = at(&w.slot, head, slot * p + j);
                for (i, x) in scaled(&x).iter().enumerate() {
                    *look += x * at(&w.query, head, i * p + j);
                }
                for (i, m) in question.unwrap_or(&[]).iter().enumerate() {
                    *look += f64::from(*m) * at(&w.question, head, i * p + j);
                }
            }
            let (mut total, mut new) = (0.0, vec![0.0; e]);
            for b in &beacons[head] {
                let tilde = scaled(b);
                let mut score = 0.0;
                for (j, look) in look.iter().enumerate() {
                    let key: f64 = tilde
                        .iter()
                        .enumerate()
                        .map(|(i, b)| b * at(&w.key, head, i * p + j))
                        .sum();
                    score += look * key;
                }
                let weight = (score / (p as f64).sqrt()).exp();
                total += weight;
                for (o, new) in new.iter_mut().enumerate() {
                    let change: f64 = tilde
                        .iter()
                        .enumerate()
                        .map(|(i, b)| b * at(&w.value, head, i * e + o))
                        .sum();
                    *new += weight * (b[o] + change);
                }
            }
            new.iter_mut().for_each(|x| *x /= total);
            let both = [scaled(&x), scaled(&new)].concat();
            let gate: f64 = both.iter().enumerate().map(|(i, x)| x * at(&w.gate, head, i)).sum();
            let z = 1.0 / (1.0 + (-gate - at(&w.gate_bias, head, 0)).exp());
            let z = if state.is_none() { 1.0 } else { z };
            for (o, next) in next[head][slot].iter_mut().enumerate() {
                *next = (1.0 - z) * x[o] + z * new[o];
            }
        }
    }
    next
}

/// `[heads of all layers][rows][E]`.
fn rows_of(kv: KvView<'_>) -> Vec<Vec<Vec<f64>>> {
    let (n, g) = (kv.tokens(), kv.geometry());
    let d = usize::from(g.head_dim);
    let heads = usize::from(g.layers) * usize::from(g.kv_heads);
    let row = |head: usize, i: usize| {
        let at = (head * n + i) * d..(head * n + i + 1) * d;
        kv.k()[at.clone()].iter().chain(&kv.v()[at]).map(|&x| f64::from(x)).collect()
    };
    (0..heads).map(|head| (0..n).map(|i| row(head, i)).collect()).collect()
}

fn equals_by_hand(what: &str, state: &GistState, want: &[Vec<Vec<f64>>]) {
    let got: Vec<f32> = rows_of(state.kv()).concat().concat().iter().map(|&x| x as f32).collect();
    let want: Vec<f32> = want.concat().concat().iter().map(|&x| x as f32).collect();
    assert_close(what, &got, &want, TOLERANCE);
}

fn weights(memory: &Memory) -> GistWeights {
    memory.gist().unwrap().unwrap()
}

#[test]
fn folds_equal_a_plain_loop() {
    let woven = Woven::with_gist();
    let w = weights(&woven.memory);
    let mut engines: [Box<dyn Engine>; 2] =
        [Box::new(woven.engine(WeightKind::F32, 8)), Box::new(woven.fake(8))];
    for engine in &mut engines {
        let card = engine.card().clone();
        let (name, geometry) = (engine.device().0.to_owned(), card.geometry(64));
        let mut draw = Draw(9);
        let mut question = vec![0.0; 128];
        draw.fill(&mut question, 0.1);
        let mut state = GistState::new(geometry, 9);
        let mut want: Option<Vec<Vec<Vec<f64>>>> = None;
        for (i, n) in [1_usize, 2, 7, 64, 333, 1, 16, 100].into_iter().enumerate() {
            let mut kv = KvBuf::with_capacity(geometry, n);
            let (k, v) = kv.fill(n);
            draw.fill(k, 2.0);
            draw.fill(v, 0.5);
            let asked = (i % 3 == 1).then_some(&question[..]);
            if i == 6 {
                state.clear();
                want = None;
            }
            let beacons = rows_of(kv.view());
            let next = by_hand(&w, beacons.len(), want.as_deref(), &beacons, asked);
            engine.fold(&Fold { beacons: kv.view(), question: asked }, &mut state).unwrap();
            equals_by_hand(&format!("{name}, fold {i} of {n} beacons"), &state, &next);
            want = Some(next);
        }
        // A wrong state or a forgotten question must be noticed, or this means nothing.
        let (a, b) = (want.unwrap(), rows_of(state.kv()));
        let other = by_hand(&w, a.len(), None, &b, None);
        let flat = |x: &[Vec<Vec<f64>>]| {
            x.concat().concat().iter().map(|&x| x as f32).collect::<Vec<f32>>()
        };
        assert!(contract::largest_gap(&flat(&other), &flat(&a)) > 0.05);
    }
}

#[test]
fn engines_with_a_gist_pass_the_contract() {
    let woven = Woven::with_gist();
    let close = Tolerance { chunks: 1e-4, moved: 1e-3 };
    contract::all(&|| Box::new(woven.engine(WeightKind::F32, 400)), close);
    contract::all(&|| Box::new(woven.fake(400)), close);
}

/// The fold is the same whatever the decoder's weights are stored as.
#[test]
fn every_kind_of_weights_has_the_fold() {
    let woven = Woven::with_gist();
    let mut states = Vec::new();
    for kind in [WeightKind::F32, WeightKind::F16, WeightKind::Int8, WeightKind::Int4] {
        let mut engine = woven.engine(kind, 8);
        let geometry = engine.card().geometry(64);
        let mut kv = KvBuf::with_capacity(geometry, 20);
        let (k, v) = kv.fill(20);
        let mut draw = Draw(3);
        draw.fill(k, 1.0);
        draw.fill(v, 1.0);
        let mut state = GistState::new(geometry, 9);
        engine.fold(&Fold { beacons: kv.view(), question: None }, &mut state).unwrap();
        states.push(state.to_bytes());
        assert!(engine.usage().weights_bytes > 0);
    }
    assert!(states.windows(2).all(|w| w[0] == w[1]));
}

#[test]
fn a_model_whose_fold_is_gone_is_refused_by_name() {
    let woven = Woven::with_gist();
    let model = woven.graph(WeightKind::F32);
    std::fs::remove_file(model.graph.with_file_name("recurrent.onnx")).unwrap();
    let error = OrtEngine::open(runtime(), &model.graph, model.card, &options(8)).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, LoadError::Graph { .. }) && text.contains("recurrent.onnx"), "{text}");
    let stock = Woven::new().graph(WeightKind::F32);
    assert!(!stock.graph.with_file_name("recurrent.onnx").exists());
}

/// Keys and values of some layers in a golden file, as those of all: the others are zeros.
fn of_layers(engine: &dyn Engine, golden: &Golden, name: &str) -> KvBuf {
    let card = engine.card();
    let layers = golden.ints("gist.layers");
    let (k, v) = (golden.get(&format!("{name}_key")), golden.get(&format!("{name}_value")));
    let n = k.len() / layers.len();
    let rows = n / card.kv_heads / card.head_dim;
    let mut kv = KvBuf::with_capacity(card.geometry(64), rows);
    let (all_k, all_v) = kv.fill(rows);
    for (i, layer) in layers.iter().map(|&l| l as usize).enumerate() {
        all_k[layer * n..(layer + 1) * n].copy_from_slice(&k[i * n..(i + 1) * n]);
        all_v[layer * n..(layer + 1) * n].copy_from_slice(&v[i * n..(i + 1) * n]);
    }
    kv
}

/// The layers of a golden file among all.
fn chosen(engine: &dyn Engine, golden: &Golden, values: &[f32]) -> Vec<f32> {
    let n = values.len() / engine.card().layers;
    let layers = golden.ints("gist.layers");
    layers.iter().flat_map(|&l| &values[l as usize * n..(l as usize + 1) * n]).copied().collect()
}

fn folds_equal_pytorch(engine: &mut dyn Engine, golden: &Golden) {
    let slots = engine.card().memory.as_ref().and_then(|m| m.gist).unwrap().slots;
    let mut state = GistState::new(engine.card().geometry(64), slots);
    for i in 0.. {
        let name = format!("gist.fold{i}");
        if !golden.has(&format!("{name}.fresh")) {
            assert!(i > 2, "folds in a row");
            break;
        }
        if golden.ints(&format!("{name}.fresh"))[0] == 1 {
            state.clear();
        }
        let beacons = of_layers(engine, golden, &format!("{name}.beacon"));
        let question = Some(golden.get(&format!("{name}.question")));
        engine.fold(&Fold { beacons: beacons.view(), question }, &mut state).unwrap();
        for (what, got) in [("key", state.kv().k()), ("value", state.kv().v())] {
            let got = chosen(engine, golden, got);
            let want = golden.get(&format!("{name}.next_{what}"));
            assert_close(&format!("{name}.next_{what}"), &got, want, TOLERANCE);
        }
    }
}

/// Rows of the golden pass: tokens, beacons, and slots of the gist after each fold.
struct Rows {
    tokens: KvBuf,
    beacons: KvBuf,
    states: Vec<GistState>,
}

impl Rows {
    /// Places row `row` at `slot`.
    fn place(&self, engine: &mut dyn Engine, slot: usize, row: usize, position: i32) {
        let (tokens, beacons) = (self.tokens.tokens(), self.beacons.tokens());
        let (kv, row) = match row.checked_sub(tokens).map(|r| (r, r.checked_sub(beacons))) {
            None => (self.tokens.view(), row),
            Some((beacon, None)) => (self.beacons.view(), beacon),
            Some((_, Some(r))) => {
                let slots = self.states[0].slots();
                (self.states[r / slots].kv(), r % slots)
            }
        };
        let one = contract::part(kv, row, 1);
        engine.place(slot, &[position], one.view()).unwrap();
    }
}

/// Runs the pass: blocks and their beacons in one step, then steps behind sinks, gist and beacons.
fn pass_equals_pytorch(engine: &mut dyn Engine, golden: &Golden, tolerance: f32) {
    let get = |name: &str| golden.ints(&format!("gist.pass.{name}"));
    let tokens: Vec<u32> = get("tokens").iter().map(|&t| t as u32).collect();
    let (positions, ratios) = (get("pos"), get("ratios"));
    let card = engine.card().clone();
    let memory = card.memory.as_ref().unwrap();
    let mut made = Vec::new();
    for (block, ratio) in ratios.iter().map(|&r| r as usize).enumerate() {
        let index = memory.beacons.iter().position(|&r| usize::from(r) == ratio).unwrap() as u8;
        let lasts = (0..64).step_by(ratio).map(|i| block * 64 + i + ratio - 1);
        made.extend(lasts.map(|last| BeaconRow { last: last as u32, ratio: index }));
    }
    let geometry = card.geometry(64);
    let state = GistState::new(geometry, memory.gist.unwrap().slots);
    let mut rows = Rows {
        tokens: KvBuf::with_capacity(geometry, tokens.len()),
        beacons: KvBuf::with_capacity(geometry, made.len()),
        states: vec![state; 2],
    };
    rows.tokens.fill(tokens.len());
    let wanted = get("logit_rows");
    let mut logits = Vec::new();
    let mut folded = 0;
    for (i, step) in get("steps").chunks_exact(4).enumerate() {
        let [start, end, oldest, folds] = [0, 1, 2, 3].map(|j| step[j] as usize);
        while folded < folds {
            let first: usize = ratios[..folded].iter().map(|r| 64 / *r as usize).sum();
            let n = 64 / ratios[folded] as usize;
            let beacons = contract::part(rows.beacons.view(), first, n);
            if folded > 0 {
                rows.states[folded] = rows.states[folded - 1].clone();
            }
            let fold = Fold { beacons: beacons.view(), question: None };
            engine.fold(&fold, &mut rows.states[folded]).unwrap();
            folded += 1;
        }
        let mut len = 0;
        if i > 0 {
            let at = get(&format!("window_pos.{i}"));
            for (&row, position) in get(&format!("window_source.{i}")).iter().zip(at) {
                rows.place(engine, len, row as usize, position);
                len += 1;
            }
            for (row, &position) in (oldest..start).zip(&positions[oldest..]) {
                rows.place(engine, len, row, position);
                len += 1;
            }
        }
        engine.set_len(len).unwrap();
        let in_step = wanted.iter().map(|&r| r as usize).filter(|r| (start..end).contains(r));
        let in_step: Vec<u32> = in_step.map(|r| (r - start) as u32).collect();
        let mut out = StepOutput::default();
        let input = StepInput {
            tokens: &tokens[start..end],
            positions: &positions[start..end],
            logit_rows: &in_step,
            beacons: if i == 0 { &made } else { &[] },
            ..StepInput::default()
        };
        engine.step(&input, &mut out).unwrap();
        logits.extend_from_slice(&out.logits);
        if i == 0 {
            engine.read(end..end + made.len(), &mut rows.beacons).unwrap();
        }
        take(engine, len, start..end, &mut rows.tokens);
    }
    for (what, got) in [("key", rows.beacons.view().k()), ("value", rows.beacons.view().v())] {
        let got = chosen(engine, golden, got);
        assert_close(what, &got, golden.get(&format!("gist.pass.{what}")), tolerance);
    }
    assert_close("logits", &logits, golden.get("gist.pass.logits"), tolerance);
}

/// Reads slots from `slot` into rows `range` of `to`.
fn take(engine: &mut dyn Engine, slot: usize, range: std::ops::Range<usize>, to: &mut KvBuf) {
    let got = contract::read(engine, slot, range.len());
    let (n, all, d) = (range.len(), to.tokens(), usize::from(to.geometry().head_dim));
    let (k, v) = to.fill(all);
    for (to, from) in [(k, got.view().k()), (v, got.view().v())] {
        for (to, from) in to.chunks_exact_mut(all * d).zip(from.chunks_exact(n * d)) {
            to[range.start * d..range.end * d].copy_from_slice(from);
        }
    }
}

#[test]
fn the_trainers_folds_and_pass_equal_pytorch() {
    let (woven, from) = Woven::of_trainer();
    let golden = Golden::open(&from.join("gist_pass.safetensors"));
    let mut engines: [Box<dyn Engine>; 2] =
        [Box::new(woven.fake(400)), Box::new(woven.engine(WeightKind::F32, 400))];
    for engine in &mut engines {
        folds_equal_pytorch(engine.as_mut(), &golden);
        pass_equals_pytorch(engine.as_mut(), &golden, TOLERANCE);
    }
}

/// SmolLM2 with its trained memory, where it has a gist.
#[test]
fn the_trained_gist_equals_pytorch() {
    let golden = Golden::open(&repository("models/zoo/smollm2-135m/golden.safetensors"));
    let Some(prepared) = smollm2::model(WeightKind::F32, MemoryChoice::Zoo) else { return };
    let has_gist = prepared.card.memory.as_ref().is_some_and(|m| m.gist.is_some());
    if !has_gist || !golden.has("gist.layers") {
        println!("its memory has no gist");
        return;
    }
    let mut engine = smollm2::load(&prepared, 400);
    folds_equal_pytorch(&mut engine, &golden);
    pass_equals_pytorch(&mut engine, &golden, TOLERANCE);
}
