//! Against PyTorch's stored results, and against the plain Rust engine with the same weights.

use lcedge_models::WeightKind;
use lcedge_targets::contract::{absorb, assert_close, largest_gap, read};
use lcedge_targets::{Engine, FakeEngine, StepInput, StepOutput};

use crate::common::{Golden, Small, by_token, engine, model, weights};

const TOLERANCE: f32 = 1e-4;

/// Everything that the golden file has, from one engine.
fn equals_golden(engine: &mut dyn Engine, golden: &Golden, chunk: usize, tolerance: f32) {
    let (ids, card) = (&golden.ids, engine.card().clone());
    let (layers, heads, d) = (card.layers, card.kv_heads, card.head_dim);
    engine.set_len(0).unwrap();
    let out = absorb(engine, ids, 0, chunk);
    let what = |part: &str| format!("{part} of {} in chunks of {chunk}", card.name);
    assert_close(&what("logits"), &out.logits, golden.get("logits"), tolerance);
    let kv = read(engine, 0, ids.len());
    let keys = by_token(kv.view().k(), layers, heads, d);
    assert_close(&what("un-rotated keys"), &keys, golden.get("key"), tolerance);
    assert_close(&what("values"), kv.view().v(), golden.get("value"), tolerance);
    if chunk >= ids.len() {
        let width = card.heads * d * ids.len();
        let all = golden.get("query").chunks_exact(width);
        let asked = all.enumerate().filter(|(layer, _)| card.query_layers.contains(layer));
        let want: Vec<f32> = asked.flat_map(|(_, q)| q).copied().collect();
        assert_close(&what("un-rotated queries"), &out.queries, &want, tolerance);
    }
    let mut scores = StepOutput::default();
    engine.set_len(0).unwrap();
    let rows: Vec<u32> = (0..ids.len() as u32 - 1).collect();
    let positions: Vec<i32> = (0..ids.len() as i32).collect();
    let input = StepInput {
        tokens: ids,
        positions: &positions,
        logit_rows: &[],
        score_rows: &rows,
        score_targets: &ids[1..],
        queries: false,
        ..StepInput::default()
    };
    engine.step(&input, &mut scores).unwrap();
    assert_close(&what("log-probabilities"), &scores.logprobs, golden.get("logprob"), tolerance);
}

#[test]
fn graphs_equal_pytorch() {
    for small in [Small::Stories, Small::Random] {
        let golden = Golden::of(small);
        let mut engine = engine(small, WeightKind::F32, 64);
        equals_golden(&mut engine, &golden, 64, TOLERANCE);
        equals_golden(&mut engine, &golden, 7, TOLERANCE);
        equals_golden(&mut engine, &golden, 1, TOLERANCE);
    }
}

#[test]
fn rotated_keys_equal_pytorch() {
    for small in [Small::Stories, Small::Random] {
        let golden = Golden::of(small);
        let mut engine = engine(small, WeightKind::F32, 64);
        absorb(&mut engine, &golden.ids, 0, 7);
        let kv = read(&mut engine, 0, golden.ids.len());
        for placed in [false, true] {
            if placed {
                // Rotated here, from the canonical keys, instead of in the graph.
                engine.rotate(0..golden.ids.len(), 0).unwrap();
                let positions: Vec<i32> = (0..golden.ids.len() as i32).collect();
                engine.place(0, &positions, kv.view()).unwrap();
            }
            let card = engine.card();
            let mut keys = Vec::new();
            for head in 0..card.layers * card.kv_heads {
                for slot in 0..golden.ids.len() {
                    let (layer, head) = (head / card.kv_heads, head % card.kv_heads);
                    keys.extend_from_slice(engine.rotated_key(layer, head, slot));
                }
            }
            let what = format!("rotated keys of {}, placed: {placed}", small.name());
            assert_close(&what, &keys, golden.get("rotated_key"), TOLERANCE);
        }
    }
}

#[test]
fn the_plain_engine_equals_pytorch() {
    for small in [Small::Stories, Small::Random] {
        let card = model(small, WeightKind::F32).card;
        let mut fake = FakeEngine::from_weights(card, &weights(small), 64).unwrap();
        equals_golden(&mut fake, &Golden::of(small), 64, TOLERANCE);
        equals_golden(&mut fake, &Golden::of(small), 3, TOLERANCE);
    }
}

/// 300 tokens at positions far from zero, in chunks, then decoding behind a block that was moved:
/// longer than the golden files are.
#[test]
fn both_engines_agree_over_a_whole_window() {
    let card = model(Small::Stories, WeightKind::F32).card;
    let mut fake = FakeEngine::from_weights(card, &weights(Small::Stories), 400).unwrap();
    let mut ort = engine(Small::Stories, WeightKind::F32, 400);
    let ids: Vec<u32> = Golden::of(Small::Stories).ids.iter().copied().cycle().take(320).collect();
    let engines: [&mut dyn Engine; 2] = [&mut fake, &mut ort];
    let [a, b] = engines.map(|engine| {
        let first = absorb(engine, &ids[..300], 20_000, 64);
        engine.move_slots(40..300, 0).unwrap();
        engine.set_len(260).unwrap();
        engine.rotate(0..100, 19_900).unwrap();
        let second = absorb(engine, &ids[300..], 20_300, 1);
        (first, second, read(engine, 0, 280))
    });
    assert_close("logits", &b.0.logits, &a.0.logits, TOLERANCE);
    assert_close("log-probabilities", &b.0.logprobs, &a.0.logprobs, TOLERANCE);
    assert_close("queries", &b.0.queries, &a.0.queries, TOLERANCE);
    assert_close("logits behind moved slots", &b.1.logits, &a.1.logits, TOLERANCE);
    assert_close("keys", b.2.view().k(), a.2.view().k(), TOLERANCE);
    assert_close("values", b.2.view().v(), a.2.view().v(), TOLERANCE);
}

/// The two tables of cosines, the graph's and the one that placing uses, are the same.
#[test]
fn tables_of_cosines_agree() {
    for small in [Small::Stories, Small::Random] {
        let card = model(small, WeightKind::F32).card;
        let d = card.head_dim;
        let (cos, sin) = lcedge_models::rope::tables(card.positions, d, card.rope_theta);
        let rope = lcedge_targets::rope::Rope::new(d, card.rope_theta, card.positions);
        for position in [0, 1, 511, 4095, card.positions - 1] {
            // A head of ones in its first half is turned to cosines and sines.
            let mut head = vec![0.0; d];
            head[..d / 2].fill(1.0);
            let mut out = vec![0.0; d];
            rope.rotate(&head, position, &mut out);
            let row = position * (d / 2)..(position + 1) * (d / 2);
            assert!(largest_gap(&out[..d / 2], &cos[row.clone()]) < 1e-6, "at {position}");
            assert!(largest_gap(&out[d / 2..], &sin[row]) < 1e-6, "at {position}");
        }
    }
}
