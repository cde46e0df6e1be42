//! A trained memory woven into the graph, against PyTorch's stored results.

use std::path::{Path, PathBuf};

use lcedge_models::fetch::sha256_file;
use lcedge_models::onnx::{BuildOptions, build};
use lcedge_models::{
    Card, Memory, MemoryChoice, MemorySource, TrainedAddress, WeightKind, Weights,
};
use lcedge_targets::contract::{assert_close, read};
use lcedge_targets::ort::OrtEngine;
use lcedge_targets::{Engine, FakeEngine, StepInput, StepOutput};
use tempfile::TempDir;

use crate::common::{Golden, Model, data, open, options};
use crate::smollm2;

const TOLERANCE: f32 = 1e-4;

pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// A random model of two layers with a random memory: change, address, beacons.
pub(crate) struct Woven {
    folder: TempDir,
    weights: Weights,
    pub(crate) memory: Memory,
}

impl Woven {
    pub(crate) fn new() -> Self {
        let from = data("woven");
        let weights = Weights::open(&from).unwrap();
        let source = MemorySource::folder(&from).unwrap();
        source.check_base(&from, None).unwrap();
        let memory = source.open(weights.decoder()).unwrap();
        Self { folder: tempfile::tempdir().unwrap(), weights, memory }
    }

    /// The same without beacons.
    pub(crate) fn without_beacons() -> Self {
        let from = data("woven");
        let folder = tempfile::tempdir().unwrap();
        let text = std::fs::read_to_string(from.join("memory.json")).unwrap();
        let mut card: serde_json::Value = serde_json::from_str(&text).unwrap();
        card["files"].as_object_mut().unwrap().remove("beacons.safetensors").unwrap();
        std::fs::write(folder.path().join("memory.json"), card.to_string()).unwrap();
        let name = "memory.safetensors";
        std::fs::copy(from.join(name), folder.path().join(name)).unwrap();
        let weights = Weights::open(&from).unwrap();
        let memory = MemorySource::folder(folder.path()).unwrap().open(weights.decoder()).unwrap();
        Self { folder, weights, memory }
    }

    /// The same with a gist of 9 slots.
    pub(crate) fn with_gist() -> Self {
        let from = data("woven");
        let folder = tempfile::tempdir().unwrap();
        let text = std::fs::read_to_string(from.join("memory.json")).unwrap();
        let mut card: serde_json::Value = serde_json::from_str(&text).unwrap();
        for name in ["memory.safetensors", "beacons.safetensors"] {
            std::fs::copy(from.join(name), folder.path().join(name)).unwrap();
        }
        let weights = Weights::open(&from).unwrap();
        let d = weights.decoder();
        let gist = folder.path().join("gist.safetensors");
        crate::gist::write_random(&gist, [d.layers, d.kv_heads, d.head_dim], 9);
        let sha256 = sha256_file(&gist).unwrap();
        card["files"]["gist.safetensors"] = serde_json::json!({ "sha256": sha256 });
        std::fs::write(folder.path().join("memory.json"), card.to_string()).unwrap();
        let memory = MemorySource::folder(folder.path()).unwrap().open(d).unwrap();
        Self { folder, weights, memory }
    }

    /// The one that the trainer writes beside its own tests; its folder has no description.
    pub(crate) fn of_trainer() -> (Self, PathBuf) {
        let from = repository("models/forge/golden/tiny");
        let folder = tempfile::tempdir().unwrap();
        let mut files = serde_json::Map::new();
        for name in ["beacons.safetensors", "gist.safetensors", "memory.safetensors"] {
            std::fs::copy(from.join(name), folder.path().join(name)).unwrap();
            let sha256 = sha256_file(&from.join(name)).unwrap();
            files.insert(name.into(), serde_json::json!({ "sha256": sha256 }));
        }
        let text = std::fs::read_to_string(data("woven/memory.json")).unwrap();
        let mut card: serde_json::Value = serde_json::from_str(&text).unwrap();
        card["files"] = files.into();
        card["base"]["sha256"] = serde_json::Value::Null;
        std::fs::write(folder.path().join("memory.json"), card.to_string()).unwrap();
        let weights = Weights::open(&from).unwrap();
        let memory = MemorySource::folder(folder.path()).unwrap().open(weights.decoder()).unwrap();
        (Self { folder, weights, memory }, from)
    }

    pub(crate) fn golden(name: &str) -> Golden {
        Golden::open(&data("woven").join(format!("{name}.golden.safetensors")))
    }

    pub(crate) fn fake(&self, capacity: usize) -> FakeEngine {
        let card = self.card(WeightKind::F32);
        FakeEngine::with_memory(card, &self.weights, Some(&self.memory), capacity).unwrap()
    }

    pub(crate) fn engine(&self, kind: WeightKind, capacity: usize) -> OrtEngine {
        open(&self.graph(kind), &options(capacity))
    }

    fn card(&self, kind: WeightKind) -> Card {
        let d = self.weights.decoder();
        Card {
            name: format!("woven-{kind:?}"),
            positions: 2048,
            rope_theta: d.rope_theta,
            rms_eps: d.rms_eps,
            weights: kind,
            query_layers: vec![0, 1],
            memory: Some(self.memory.card().clone()),
            ..Card::for_test(d.layers, d.hidden, d.ffn, d.heads, d.kv_heads, d.head_dim, d.vocab)
        }
    }

    pub(crate) fn graph(&self, kind: WeightKind) -> Model {
        let dir = self.folder.path().join(format!("{kind:?}"));
        if !dir.is_dir() {
            std::fs::create_dir(&dir).unwrap();
            let query_layers = vec![0, 1];
            let options = BuildOptions { positions: 2048, query_layers, ..BuildOptions::of(kind) };
            build(&self.weights, Some(&self.memory), &options, &dir, &mut |_, _| {}).unwrap();
        }
        Model { graph: dir.join("model.onnx"), card: self.card(kind) }
    }
}

/// `unit(sum_i softmax(g)_i p_i)` of rows `[n, dim + 1]`.
fn pooled(rows: &[f32], dim: usize) -> Vec<f32> {
    let rows: Vec<&[f32]> = rows.chunks_exact(dim + 1).collect();
    let top = rows.iter().map(|r| r[dim]).fold(f32::NEG_INFINITY, f32::max);
    let mut out = vec![0.0_f64; dim];
    for row in &rows {
        let weight = f64::from(row[dim] - top).exp();
        out.iter_mut().zip(*row).for_each(|(o, x)| *o += weight * f64::from(*x));
    }
    let norm = out.iter().map(|x| x * x).sum::<f64>().sqrt();
    out.iter().map(|x| (x / norm) as f32).collect()
}

/// The vectors of whole blocks, `[blocks, keys, dim]`.
fn block_keys(rows: &[f32], address: TrainedAddress) -> Vec<f32> {
    let segment = address.segment_tokens * (address.dim + 1);
    rows.chunks_exact(segment).flat_map(|rows| pooled(rows, address.dim)).collect()
}

/// One step over `tokens` from an empty window, with everything asked for.
fn whole(engine: &mut dyn Engine, tokens: &[u32]) -> StepOutput {
    let positions: Vec<i32> = (0..tokens.len() as i32).collect();
    let rows: Vec<u32> = (0..tokens.len() as u32).collect();
    let input = StepInput {
        tokens,
        positions: &positions,
        logit_rows: &rows,
        memory: true,
        ..StepInput::default()
    };
    let mut out = StepOutput::default();
    engine.set_len(0).unwrap();
    engine.step(&input, &mut out).unwrap();
    out
}

/// The first step of the golden file sees nothing but its own tokens.
fn equals_first_step(engine: &mut dyn Engine, golden: &Golden, tolerance: f32) {
    let (n, card) = (128, engine.card().clone());
    let address = card.memory.as_ref().unwrap().address.unwrap();
    let out = whole(engine, &golden.ids[..n]);
    assert_close("logits", &out.logits, &golden.get("logits")[..n * card.vocab], tolerance);
    let keys = block_keys(&out.memory_keys, address);
    assert_close("block keys", &keys, &golden.get("memory_key")[..keys.len()], tolerance);
    let kv = read(engine, 0, n);
    let (d, all) = (card.head_dim, golden.get("key.0").len() / card.kv_heads);
    for (layer, head) in (0..card.layers).flat_map(|l| (0..card.kv_heads).map(move |h| (l, h))) {
        for (name, got) in
            [("key", kv.view().k_head(layer, head)), ("value", kv.view().v_head(layer, head))]
        {
            let want = &golden.get(&format!("{name}.{layer}"))[head * all..][..n * d];
            assert_close(&format!("{name} {layer}.{head}"), got, want, tolerance);
        }
    }
}

#[test]
fn a_changed_decoder_and_its_address_equal_pytorch() {
    let woven = Woven::new();
    let golden = Woven::golden("loop");
    let mut fake = woven.fake(400);
    equals_first_step(&mut fake, &golden, TOLERANCE);
    let mut ort = woven.engine(WeightKind::F32, 400);
    equals_first_step(&mut ort, &golden, TOLERANCE);
}

/// The logits that the change makes, in every way of storing weights. The model has one or two
/// blocks of 32 a row: coarser than a larger one.
#[test]
fn every_kind_has_the_change() {
    let woven = Woven::new();
    let golden = Woven::golden("loop");
    let ids = &golden.ids[..128];
    let mut stock = FakeEngine::from_weights(
        Card { memory: None, ..woven.card(WeightKind::F32) },
        &woven.weights,
        400,
    )
    .unwrap();
    let stock = whole(&mut stock, ids);
    let want = &golden.get("logits")[..stock.logits.len()];
    let gap = |a: &[f32]| -> f32 {
        let n = a.len() as f32;
        (a.iter().zip(want).map(|(a, b)| (a - b).powi(2)).sum::<f32>() / n).sqrt()
    };
    let base = gap(&stock.logits);
    for (kind, most) in [(WeightKind::F16, 0.01), (WeightKind::Int8, 0.1), (WeightKind::Int4, 0.6)]
    {
        let mut engine = woven.engine(kind, 400);
        let out = whole(&mut engine, ids);
        let gap = gap(&out.logits) / base;
        println!("{kind:?}: {gap:.4} of the change is missing or wrong");
        assert!(gap <= most, "{kind:?}: {gap} of the change");
        assert_eq!(out.memory_keys.len(), 128 * 129);
    }
}

/// What was not asked for is not given, and a stock model gives none.
#[test]
fn vectors_come_when_they_are_asked_for() {
    let woven = Woven::new();
    let mut engine = woven.engine(WeightKind::F32, 400);
    let mut out = whole(&mut engine, &[1, 2, 3]);
    assert_eq!((out.memory_keys.len(), out.memory_queries.len()), (3 * 129, 3 * 129));
    let input = StepInput { tokens: &[4], positions: &[3], ..StepInput::default() };
    engine.step(&input, &mut out).unwrap();
    assert!(out.memory_keys.is_empty() && out.memory_queries.is_empty());
}

/// SmolLM2 with its trained memory: a plain pass, the vectors of blocks and of a question.
#[test]
fn the_trained_memory_equals_pytorch() {
    let golden = Golden::open(&repository("models/zoo/smollm2-135m/golden.safetensors"));
    let cases = [
        (WeightKind::F32, TOLERANCE, TOLERANCE),
        (WeightKind::Int8, 0.1, 0.1),
        (WeightKind::Int4, 0.1, 0.1),
    ];
    for (kind, logits, vectors) in cases {
        let Some(prepared) = smollm2::model(kind, MemoryChoice::Zoo) else { return };
        let mut engine = smollm2::load(&prepared, golden.ids.len());
        let card = engine.card().clone();
        let address = card.memory.as_ref().unwrap().address.unwrap();
        let out = whole(&mut engine, &golden.ids);
        let span = golden.ints("query_span").iter().map(|&n| n as usize).collect::<Vec<_>>();
        let context = golden.get("memory_key").len() / address.dim * address.segment_tokens;
        let rows = [context - 1, golden.ids.len() - 1];
        let got: Vec<f32> = rows
            .iter()
            .flat_map(|r| &out.logits[r * card.vocab..(r + 1) * card.vocab])
            .copied()
            .collect();
        let gap = |a: &[f32], b: &[f32]| lcedge_targets::contract::largest_gap(a, b);
        let width = address.dim + 1;
        let keys = block_keys(&out.memory_keys[..context * width], address);
        let query = pooled(&out.memory_queries[span[0] * width..span[1] * width], address.dim);
        println!(
            "{kind:?}: logits {:e}, keys {:e}, query {:e}",
            gap(&got, golden.get("logits")),
            gap(&keys, golden.get("memory_key")),
            gap(&query, golden.get("memory_query")),
        );
        assert_close("logits", &got, golden.get("logits"), logits);
        assert_close("block keys", &keys, golden.get("memory_key"), vectors);
        assert_close("question", &query, golden.get("memory_query"), vectors);
    }
}
