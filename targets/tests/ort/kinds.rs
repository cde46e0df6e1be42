//! Every way of storing weights runs, and is as near to `f32` as its bits allow.

use lcedge_models::WeightKind;
use lcedge_targets::contract::absorb;

use crate::common::{Golden, Small, engine};

/// Mean nats a token of the golden text, and the largest difference of one token's.
fn nats(kind: WeightKind) -> (f32, Vec<f32>) {
    let mut engine = engine(Small::Stories, kind, 64);
    let ids = Golden::of(Small::Stories).ids;
    let out = absorb(&mut engine, &ids, 0, 16);
    let vocab = out.logits.len() / ids.len();
    let of = |(row, next): (&[f32], &u32)| {
        let top = row.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
        let total: f32 = row.iter().map(|x| (x - top).exp()).sum();
        row[*next as usize] - top - total.ln()
    };
    let each: Vec<f32> = out.logits.chunks_exact(vocab).zip(&ids[1..]).map(of).collect();
    (-each.iter().sum::<f32>() / each.len() as f32, each)
}

/// The model has 64 columns a row, two blocks of 32: coarser than in a larger model.
#[test]
fn kinds_stay_near_f32() {
    let (mean, each) = nats(WeightKind::F32);
    for (kind, mean_max, each_max) in [
        (WeightKind::F16, 0.002, 0.02),
        (WeightKind::Int8, 0.05, 0.3),
        (WeightKind::Int4, 0.5, 3.0),
    ] {
        let (other, others) = nats(kind);
        let largest = each.iter().zip(&others).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!(
            "{kind:?}: {other:.4} nats a token, f32 {mean:.4}; one token at most {largest:.4}"
        );
        assert!((other - mean).abs() <= mean_max, "{kind:?}: {other} nats, f32 {mean}");
        assert!(largest <= each_max, "{kind:?}: one token differs by {largest} nats");
    }
}
