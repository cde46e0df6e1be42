//! The index against brute force over addresses as they were given.

use std::sync::Arc;

use proptest::prelude::*;

use super::{
    Pass,
    gauge::Gauge,
    kernel::Kernel,
    page::{self, Page},
    search,
};
use crate::{
    AddressLayout, AddressQuery, BlockAddress, BlockId, BlockInfo, HeadAddress, HeadQuery,
    SourceId, Span,
    index::tile::AddressTiles,
    snapshot::{Entry, Snapshot, TailEntry},
};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) as u32
    }

    fn float(&mut self) -> f32 {
        self.next() as f32 / 2_f32.powi(31) * 2.0 - 1.0
    }
}

fn address(r: &mut Random, dim: usize, vectors_max: u16) -> BlockAddress {
    let heads = (0..2)
        .map(|_| {
            let n = r.next() as usize % (usize::from(vectors_max) + 1);
            HeadAddress {
                vectors: (0..n * dim).map(|_| r.next() as i8).collect(),
                scale: 0.01 + r.float().abs(),
                mean: r.float(),
                spread: 0.1 + r.float().abs(),
            }
        })
        .collect();
    BlockAddress { heads }
}

fn query(r: &mut Random, dim: usize) -> AddressQuery {
    let heads = (0..2)
        .map(|_| HeadQuery {
            weight: r.float(),
            vectors: (0..(r.next() as usize % 20) * dim).map(|_| r.float() * 3.0).collect(),
        })
        .collect();
    AddressQuery { heads }
}

/// The definition, word for word.
fn brute(q: &AddressQuery, a: &BlockAddress, dim: usize) -> f64 {
    let mut score = 0.0;
    for (q, a) in q.heads.iter().zip(&a.heads) {
        if q.vectors.is_empty() || a.vectors.is_empty() {
            continue;
        }
        let dot = |x: &[f32], k: &[i8]| -> f64 {
            x.iter().zip(k).map(|(x, k)| f64::from(*x) * f64::from(*k)).sum()
        };
        let rows = q.vectors.chunks_exact(dim);
        let n = rows.len() as f64;
        let raw: f64 = rows
            .map(|x| a.vectors.chunks_exact(dim).map(|k| dot(x, k)).fold(f64::MIN, f64::max))
            .sum::<f64>()
            / n
            * f64::from(a.scale);
        score += f64::from(q.weight) * (raw - f64::from(a.mean)) / f64::from(a.spread);
    }
    score
}

/// All blocks in pages of `page` blocks, but for what is left over.
fn snapshot(addresses: &[BlockAddress], dim: usize, vectors_max: u16, page: usize) -> Snapshot {
    let layout = AddressLayout { heads: 2, vectors_max, dim: dim as u16 };
    let gauge = Arc::new(Gauge::new(None));
    let mut snapshot = Snapshot::new(layout, Arc::clone(&gauge));
    for (n, a) in addresses.iter().enumerate() {
        let info = BlockInfo {
            id: BlockId(n as u64 + 1),
            source: SourceId(1),
            ordinal: n as u32,
            span: Span::default(),
            time_unix_ms: 0,
            tokens: 0,
            surprise_nats: 0.0,
            starts_mid_line: false,
            ends_mid_line: false,
            kv: None,
            kv_bytes: 0,
            beacons: None,
        };
        let address = AddressTiles::new(a, dim);
        let entry = Entry { info, segment: 1, offset: 0, bytes: 0 };
        snapshot.push(TailEntry { entry, address });
        if snapshot.tail().count() == page {
            let folded = {
                let tail: Vec<&TailEntry> = snapshot.tail().map(|e| &**e).collect();
                let lanes = page::encode(1, [5; 16], layout, &tail);
                let lanes = page::Lanes::Ram(lanes.into());
                Page::new(lanes, [5; 16], layout, &gauge).unwrap()
            };
            assert!(folded.vectors_right());
            snapshot.fold(folded.into());
        }
    }
    assert_eq!(snapshot.len(), addresses.len());
    snapshot
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_index_finds_what_brute_force_finds(
        seed: u64, blocks in 1_usize..300, dim in 1_usize..70, k in 1_usize..12,
        vectors_max in prop::sample::select(vec![1_u16, 2, 3, 4, 8, 9, 16, 39]),
        page in 1_usize..90,
    ) {
        let mut r = Random(seed);
        let addresses: Vec<BlockAddress> =
            (0..blocks).map(|_| address(&mut r, dim, vectors_max)).collect();
        let q = query(&mut r, dim);
        let snapshot = snapshot(&addresses, dim, vectors_max, page);
        let mut expected: Vec<(f64, u64)> = addresses
            .iter()
            .enumerate()
            .filter(|(n, a)| !a.is_empty() && n % 3 != 2)
            .map(|(n, a)| (brute(&q, a, dim), n as u64 + 1))
            .collect();
        expected.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        expected.truncate(k);
        if q.heads.iter().all(|h| h.vectors.is_empty()) {
            expected.clear();
        }
        let scale = 1e-4 * expected.iter().map(|e| e.0.abs()).fold(1.0, f64::max);
        for kernel in Kernel::all() {
            let keep = |e: &Entry| e.info.ordinal % 3 != 2;
            let hits = search(&snapshot, &q, k, (kernel, Pass::Full), Some(&keep));
            prop_assert_eq!(hits.len(), expected.len());
            for (hit, (score, id)) in hits.iter().zip(&expected) {
                // Scores are those of the definition; among near-equals f32 may order otherwise.
                prop_assert!((f64::from(hit.score) - score).abs() < scale, "{hit:?} {score} {id}");
                let own = brute(&q, &addresses[hit.id.0 as usize - 1], dim);
                prop_assert!((f64::from(hit.score) - own).abs() < scale);
            }
        }
    }
}

#[test]
fn large_snapshots_are_searched_by_several_threads_alike() {
    let mut r = Random(5);
    let dim = 16;
    let addresses: Vec<BlockAddress> = (0..3000).map(|_| address(&mut r, dim, 39)).collect();
    let q = query(&mut r, dim);
    let snapshot = snapshot(&addresses, dim, 39, 256);
    let mut expected: Vec<(f64, u64)> = addresses
        .iter()
        .enumerate()
        .filter(|(_, a)| !a.is_empty())
        .map(|(n, a)| (brute(&q, a, dim), n as u64 + 1))
        .collect();
    expected.sort_by(|a, b| b.0.total_cmp(&a.0));
    let hits = search(&snapshot, &q, 10, (Kernel::detect(), Pass::Full), None);
    let found: Vec<u64> = hits.iter().map(|h| h.id.0).collect();
    let wanted: Vec<u64> = expected.iter().take(10).map(|e| e.1).collect();
    assert_eq!(found, wanted);
}

/// The sampling pass may lose blocks; this says how many, on blocks of noise (the hardest case),
/// and that a block which the query is about is not lost.
#[test]
fn sampling_keeps_what_the_query_is_about_and_most_of_the_rest() {
    let mut r = Random(11);
    let dim = 32;
    let addresses: Vec<BlockAddress> = (0..5000).map(|_| address(&mut r, dim, 39)).collect();
    let snapshot = snapshot(&addresses, dim, 39, 256);
    let (mut kept, mut all) = (0, 0);
    for n in (0..5000).step_by(250) {
        let near = &addresses[n];
        if near.heads.iter().any(|h| h.vectors.len() < 10 * dim) {
            continue;
        }
        let heads = near.heads.iter().map(|h| HeadQuery {
            weight: 1.0,
            vectors: (0..36 * dim)
                .map(|i| f32::from(h.vectors[i % h.vectors.len()]) / 64.0 + r.float())
                .collect(),
        });
        let q = AddressQuery { heads: heads.collect() };
        let full = search(&snapshot, &q, 8, (Kernel::detect(), Pass::Full), None);
        let kernel = Kernel::scalar();
        let sampled = search(&snapshot, &q, 8, (kernel, Pass::Sampled), None);
        assert_eq!(full[0], sampled[0]);
        kept += sampled.iter().filter(|s| full.contains(s)).count();
        all += full.len();
    }
    assert!(all >= 40 && kept * 10 >= all * 9, "{kept} of {all}");
}
