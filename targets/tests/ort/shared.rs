//! Past and present are one memory: a step writes its own slots and nothing else.

use lcedge_memory::KvBuf;
use lcedge_models::WeightKind;
use lcedge_targets::Engine;
use lcedge_targets::contract::{absorb, assert_close, read};

use crate::common::{Small, engine};

/// A value for every place of a block, none of them alike.
fn filled(engine: &dyn Engine, tokens: usize) -> KvBuf {
    let mut kv = KvBuf::with_capacity(engine.card().geometry(64), tokens);
    let (k, v) = kv.fill(tokens);
    for (i, x) in k.iter_mut().chain(v).enumerate() {
        *x = i as f32 * 1e-6 - 0.05;
    }
    kv
}

#[test]
fn slots_outside_the_step_keep_every_bit() {
    let mut engine = engine(Small::Stories, WeightKind::F32, 500);
    let kv = filled(&engine, 500);
    engine.place(0, &(0..500).collect::<Vec<_>>(), kv.view()).unwrap();
    let rotated = |engine: &lcedge_targets::ort::OrtEngine| -> Vec<Vec<f32>> {
        (0..500).map(|slot| engine.rotated_key(3, 1, slot).to_vec()).collect()
    };
    let keys = rotated(&engine);
    engine.set_len(100).unwrap();
    absorb(&mut engine, &[7, 8, 9, 10, 11], 100, 5);

    let after = read(&mut engine, 0, 500);
    let (before, after) = (kv.view(), after.view());
    let d = engine.card().head_dim;
    for head in 0..engine.card().layers * engine.card().kv_heads {
        let (layer, head) = (head / engine.card().kv_heads, head % engine.card().kv_heads);
        for (new, old) in [
            (after.k_head(layer, head), before.k_head(layer, head)),
            (after.v_head(layer, head), before.v_head(layer, head)),
        ] {
            assert!(new[..100 * d] == old[..100 * d], "valid slots of {layer}.{head}");
            assert!(new[105 * d..] == old[105 * d..], "slots behind the step of {layer}.{head}");
            let fresh = new[100 * d..105 * d].chunks_exact(d);
            let stale = old[100 * d..105 * d].chunks_exact(d);
            assert!(fresh.zip(stale).all(|(a, b)| a != b), "the step's slots of {layer}.{head}");
        }
    }
    let keys_after = rotated(&engine);
    assert!(keys_after[..100] == keys[..100] && keys_after[105..] == keys[105..]);
    assert!(keys_after[100..105].iter().zip(&keys[100..105]).all(|(a, b)| a != b));
}

/// A window of another capacity is other memory with other strides: results must not notice.
#[test]
fn capacity_does_not_change_results() {
    let tokens: Vec<u32> = (0..90).map(|i| i * 37 % 500).collect();
    let mut small = engine(Small::Stories, WeightKind::F32, 90);
    let mut large = engine(Small::Stories, WeightKind::F32, 4096);
    let (a, b) = (absorb(&mut small, &tokens, 0, 30), absorb(&mut large, &tokens, 0, 30));
    assert_close("logits", &b.logits, &a.logits, 1e-6);
    assert_eq!(small.len(), small.capacity(), "a window may be filled to the last slot");
}

/// A copy of the cache in each step would make a step in a window of 200,000 slots (10 planes of
/// 26 MB) take at least 20 ms; without one it takes as long as in a small window.
#[test]
fn a_large_window_costs_nothing() {
    let fastest = |capacity: usize| {
        let mut engine = engine(Small::Stories, WeightKind::F32, capacity);
        let mut best = f64::INFINITY;
        for _ in 0..20 {
            engine.set_len(10).unwrap();
            let start = std::time::Instant::now();
            absorb(&mut engine, &[5], 10, 1);
            best = best.min(start.elapsed().as_secs_f64());
        }
        best
    };
    let (small, large) = (fastest(64), fastest(200_000));
    println!("one token: {:.3} ms in 64 slots, {:.3} ms in 200,000", small * 1e3, large * 1e3);
    assert!(large < 0.010, "{large} s a token: the window is copied");
}
