use super::*;
use lcedge_memory::{Geometry, KvBuf};

const G: Geometry = Geometry { layers: 3, kv_heads: 2, head_dim: 8, block_tokens: 16 };

fn noise(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u32 << 24) as f32 - 0.5
    }
}

fn block(tokens: usize, seed: u64) -> KvBuf {
    let mut b = KvBuf::with_capacity(G, 16);
    let mut next = noise(seed);
    let (k, v) = b.fill(tokens);
    k.iter_mut().for_each(|x| *x = next());
    v.iter_mut().for_each(|x| *x = next());
    b
}

fn addresser(background: &Background) -> Addresser {
    let heads = [
        AddressHead { layer: 1, kv_head: 1, weight: 1.0 },
        AddressHead { layer: 2, kv_head: 0, weight: 0.5 },
    ];
    Addresser::new(G, 4, &[1, 2], &heads, background).unwrap()
}

/// The score as the documentation states it, in f64, from the exact keys.
fn plain(keys: &[f32], query: &[f32]) -> f64 {
    let best = query.chunks_exact(8).map(|q| {
        keys.chunks_exact(8)
            .map(|k| q.iter().zip(k).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>())
            .fold(f64::MIN, f64::max)
    });
    best.sum::<f64>() / (query.len() / 8) as f64
}

#[test]
fn a_query_takes_the_query_heads_that_read_the_key_head() {
    let a = addresser(&Background::default());
    // queries[tap][token][head][dim] = tap * 1000 + token * 100 + head * 10
    let (tokens, width) = (3, 4 * 8);
    let queries: Vec<f32> = (0..2 * tokens * width)
        .map(|i| {
            (i / (tokens * width) * 1000 + i / width % tokens * 100 + i % width / 8 * 10) as f32
        })
        .collect();
    let q = a.query(&queries, tokens, &[0, 2]);
    let firsts = |h: usize| q.heads[h].vectors.iter().step_by(8).copied().collect::<Vec<_>>();
    assert_eq!(firsts(0), [20.0, 30.0, 220.0, 230.0], "layer 1, kv head 1: query heads 2 and 3");
    assert_eq!(firsts(1), [1000.0, 1010.0, 1200.0, 1210.0], "layer 2, kv head 0: heads 0 and 1");
}

#[test]
fn background_is_mean_and_spread_over_probes() {
    let mut next = noise(5);
    let mut vectors = |n: usize| (0..n * 8).map(|_| next()).collect::<Vec<f32>>();
    let probes: Vec<Vec<Vec<f32>>> =
        [3, 1, 4, 2].iter().map(|&n| vec![vectors(n), vectors(n + 1)]).collect();
    let b = block(11, 9);
    let address = addresser(&Background { probes: probes.clone() }).block(b.view());
    for (i, (layer, head)) in [(1, 1), (2, 0)].into_iter().enumerate() {
        let scores: Vec<f64> =
            probes.iter().map(|p| plain(b.view().k_head(layer, head), &p[i])).collect();
        let mean = scores.iter().sum::<f64>() / 4.0;
        let spread = (scores.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / 4.0).sqrt();
        let got = &address.heads[i];
        assert!((f64::from(got.mean) - mean).abs() < 1e-5, "{} {mean}", got.mean);
        assert!((f64::from(got.spread) - spread).abs() < 1e-5, "{} {spread}", got.spread);
    }
}

#[test]
fn groups_score_as_the_best_key_among_them() {
    let b = block(12, 3);
    let a = addresser(&Background::default());
    let address = a.block(b.view());
    let mut next = noise(77);
    let heads = [1.0f32, 0.5]
        .map(|weight| HeadQuery { weight, vectors: (0..5 * 8).map(|_| next()).collect() });
    let query = AddressQuery { heads: heads.to_vec() };
    let groups = [0..4, 4..12, 3..3, 0..12, 5..99];
    let got = score_groups(&address, &query, 8, &groups);
    for (g, s) in groups.iter().zip(&got) {
        if g.is_empty() || g.end > 12 {
            assert_eq!(*s, f32::MIN);
            continue;
        }
        let want = plain(&b.view().k_head(1, 1)[g.start * 8..g.end * 8], &heads[0].vectors)
            + 0.5 * plain(&b.view().k_head(2, 0)[g.start * 8..g.end * 8], &heads[1].vectors);
        assert!((f64::from(*s) - want).abs() < 0.02, "{s} {want}: 8-bit keys");
    }
}

#[test]
fn heads_that_are_not_there_are_refused() {
    let bad = |layer, kv_head, taps: &[usize]| {
        let heads = [AddressHead { layer, kv_head, weight: 1.0 }];
        Addresser::new(G, 4, taps, &heads, &Background::default()).map(|_| ())
    };
    assert!(matches!(bad(3, 0, &[3]), Err(AddressError::Head { layer: 3, .. })));
    assert!(matches!(bad(1, 2, &[1]), Err(AddressError::Head { kv_head: 2, .. })));
    assert!(matches!(bad(1, 1, &[2]), Err(AddressError::Head { .. })));
    assert!(bad(1, 1, &[0, 1]).is_ok());
}
