//! SmolLM2-135M-Instruct, where its file is in the cache; the CI fetches it before.

use std::collections::BTreeMap;

use lcedge_models::{
    MemoryChoice, ModelSource, PrepareError, PrepareOptions, Prepared, WeightKind,
    default_cache_dir, prepare,
};
use lcedge_targets::contract::{absorb, assert_close, read};
use lcedge_targets::ort::{OrtEngine, Packing};
use lcedge_targets::{Engine, StepInput, StepOutput};
use serde::Deserialize;

use crate::common::{data, options, runtime};

#[derive(Deserialize)]
struct Goldens {
    prompts: BTreeMap<String, Prompt>,
    page: Page,
}

#[derive(Deserialize)]
struct Prompt {
    ids: Vec<u32>,
    top_ids: Vec<u32>,
    top_logits: Vec<f32>,
    logprobs: Vec<f32>,
    key_17_last: Vec<f32>,
    value_29_last: Vec<f32>,
}

#[derive(Deserialize)]
struct Page {
    tokens: usize,
    nats_per_token: f64,
}

fn goldens() -> Goldens {
    serde_json::from_slice(&std::fs::read(data("smollm2.golden.json")).unwrap()).unwrap()
}

/// The model, or nothing where its file is not here. `LCEDGE_TEST_SMOLLM2=1` makes that a failure.
pub(crate) fn model(weights: WeightKind, memory: MemoryChoice) -> Option<Prepared> {
    let cache = default_cache_dir(|n| std::env::var_os(n))?;
    let source = ModelSource::resolve("smollm2-135m").unwrap();
    let mut options = PrepareOptions::offline(weights, &cache);
    options.memory = memory;
    match prepare(&source, &options, &mut |_| {}) {
        Ok(prepared) => Some(prepared),
        Err(PrepareError::Fetch(error)) => {
            assert!(std::env::var_os("LCEDGE_TEST_SMOLLM2").is_none(), "{error}");
            eprintln!("not tested here: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

pub(crate) fn load(prepared: &Prepared, capacity: usize) -> OrtEngine {
    let mut options = options(capacity);
    options.packing = Packing::BesideGraph;
    OrtEngine::load(runtime(), prepared, &options).unwrap()
}

#[test]
fn f32_equals_pytorch() {
    let Some(prepared) = model(WeightKind::F32, MemoryChoice::None) else { return };
    let mut engine = load(&prepared, 64);
    for (name, prompt) in &goldens().prompts {
        engine.set_len(0).unwrap();
        let out = absorb(&mut engine, &prompt.ids, 0, 64);
        let vocab = engine.card().vocab;
        let last = &out.logits[(prompt.ids.len() - 1) * vocab..];
        let top: Vec<f32> = prompt.top_ids.iter().map(|&id| last[id as usize]).collect();
        assert_close(&format!("{name}: top logits"), &top, &prompt.top_logits, 1e-4);
        let best = (0..vocab).max_by(|&a, &b| last[a].total_cmp(&last[b])).unwrap();
        assert_eq!(best as u32, prompt.top_ids[0], "{name}");

        let kv = read(&mut engine, prompt.ids.len() - 1, 1);
        let heads = |layer, values: bool| -> Vec<f32> {
            let kv = kv.view();
            let of = |h| if values { kv.v_head(layer, h) } else { kv.k_head(layer, h) };
            (0..3).flat_map(of).copied().collect()
        };
        let what = |part: &str| format!("{name}: {part} of the last token");
        assert_close(&what("keys of layer 17"), &heads(17, false), &prompt.key_17_last, 1e-4);
        assert_close(&what("values of layer 29"), &heads(29, true), &prompt.value_29_last, 1e-4);
        assert_close(
            &format!("{name}: log-probabilities"),
            &scored(&mut engine, &prompt.ids, 16).iter().map(|&x| x as f32).collect::<Vec<_>>(),
            &prompt.logprobs,
            1e-3,
        );
    }
}

/// Log-probability of each next token, absorbed in chunks.
fn scored(engine: &mut OrtEngine, ids: &[u32], chunk: usize) -> Vec<f64> {
    engine.set_len(0).unwrap();
    let (mut all, mut out) = (Vec::new(), StepOutput::default());
    for (i, part) in ids.chunks(chunk).enumerate() {
        let first = i * chunk;
        let next = &ids[first + 1..(first + part.len() + 1).min(ids.len())];
        let positions: Vec<i32> = (first as i32..(first + part.len()) as i32).collect();
        let rows: Vec<u32> = (0..next.len() as u32).collect();
        let input = StepInput {
            tokens: part,
            positions: &positions,
            logit_rows: &[],
            score_rows: &rows,
            score_targets: next,
            queries: false,
            ..StepInput::default()
        };
        engine.step(&input, &mut out).unwrap();
        all.extend(out.logprobs.iter().map(|&x| f64::from(x)));
    }
    all
}

/// Nats a token of a page of public-domain text: PyTorch's in f32, near it in the other kinds.
#[test]
fn a_page_costs_the_nats_that_pytorch_says() {
    let golden = goldens().page;
    let page = std::fs::read_to_string(data("page.txt")).unwrap();
    for (kind, tolerance) in
        [(WeightKind::F32, 1e-3), (WeightKind::Int8, 0.02), (WeightKind::Int4, 0.02)]
    {
        let Some(prepared) = model(kind, MemoryChoice::None) else { return };
        let ids = prepared.load_tokenizer().unwrap().encode(&page).unwrap();
        assert_eq!(ids.len(), golden.tokens);
        let mut engine = load(&prepared, golden.tokens);
        let scores = scored(&mut engine, &ids, 256);
        let nats = -scores.iter().sum::<f64>() / scores.len() as f64;
        println!("{kind:?}: {nats:.4} nats a token, PyTorch f32 {:.4}", golden.nats_per_token);
        assert!((nats - golden.nats_per_token).abs() < tolerance, "{kind:?}: {nats}");
    }
}
