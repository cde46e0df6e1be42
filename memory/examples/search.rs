//! How long a search takes, and what it finds compared with brute force.
//!
//!     cargo run --release -p lcedge-memory --features testing --example search [BLOCKS] [QUERIES]
//!     [STRENGTH]
//!
//! Blocks of random vectors, 2 heads x 64 vectors x 64 values; queries of 36 vectors a head (12
//! tokens x 3 query heads), near the vectors of one block, so that there is something to find.

use std::{error::Error, sync::Arc, time::Instant};

use lcedge_memory::{
    AddressHit, AddressLayout, AddressQuery, BlockAddress, BlockId, BlockRecord, Filter, Geometry,
    HeadAddress, HeadQuery, KvDtype, ReadError, Reader, Span, Store, StoreOptions, SyncPolicy,
    storage::RamStorage,
};

const LAYOUT: AddressLayout = AddressLayout { heads: 2, vectors_max: 64, dim: 64 };
const QUERY_VECTORS: usize = 36;
const K: usize = 8;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Roughly normal, deviation 1.
    fn normal(&mut self) -> f32 {
        let sum: u32 = (0..4).map(|_| (self.next() >> 40) as u32 & 0xFFFF).sum();
        (sum as f32 / 65_536.0 - 2.0) * 1.73
    }
}

fn address(r: &mut Random) -> BlockAddress {
    let values = usize::from(LAYOUT.vectors_max) * usize::from(LAYOUT.dim);
    let head = |r: &mut Random| HeadAddress {
        vectors: (0..values).map(|_| (r.normal() * 40.0).clamp(-127.0, 127.0) as i8).collect(),
        scale: 1.0 / 40.0,
        mean: 20.0 + r.normal(),
        spread: 2.0 + r.normal().abs(),
    };
    BlockAddress { heads: (0..LAYOUT.heads).map(|_| head(r)).collect() }
}

/// A query whose vectors lean towards those of one block.
fn query(r: &mut Random, near: &BlockAddress, strength: f32) -> AddressQuery {
    let dim = usize::from(LAYOUT.dim);
    let heads = near.heads.iter().map(|h| {
        let vectors = (0..QUERY_VECTORS).flat_map(|i| {
            let at = (i * 7 % usize::from(LAYOUT.vectors_max)) * dim;
            let row = &h.vectors[at..at + dim];
            row.iter().map(|k| f32::from(*k) / 40.0 * strength + r.normal()).collect::<Vec<_>>()
        });
        HeadQuery { weight: 1.0, vectors: vectors.collect() }
    });
    AddressQuery { heads: heads.collect() }
}

fn brute(q: &AddressQuery, a: &BlockAddress) -> f32 {
    let dim = usize::from(LAYOUT.dim);
    let mut score = 0.0;
    for (q, a) in q.heads.iter().zip(&a.heads) {
        let keys: Vec<f32> = a.vectors.iter().map(|k| f32::from(*k)).collect();
        let best = |x: &[f32]| {
            let dot = |k: &[f32]| x.iter().zip(k).map(|(x, k)| x * k).sum::<f32>();
            keys.chunks_exact(dim).map(dot).fold(f32::MIN, f32::max)
        };
        let sum: f32 = q.vectors.chunks_exact(dim).map(best).sum();
        score += q.weight * (sum / QUERY_VECTORS as f32 * a.scale - a.mean) / a.spread;
    }
    score
}

fn search(reader: &Reader, q: &AddressQuery, full: bool) -> Result<Vec<AddressHit>, ReadError> {
    let filter = Filter::default();
    if full {
        reader.search_address_full(q, K, &filter)
    } else {
        reader.search_address(q, K, &filter)
    }
}

/// A store in RAM of blocks with random addresses.
fn fill(blocks: usize, r: &mut Random) -> Result<(Store, Vec<BlockAddress>), Box<dyn Error>> {
    let geometry = Geometry { layers: 30, kv_heads: 3, head_dim: 64, block_tokens: 64 };
    let mut options = StoreOptions::new([0; 32], geometry, LAYOUT);
    options.sync = SyncPolicy::None;
    let mut store = Store::open_in(Arc::new(RamStorage::new()), &options)?;
    let source = store.begin_source("random")?.id;
    let mut addresses = Vec::with_capacity(blocks);
    for n in 0..blocks as u64 {
        let address = address(r);
        let text = format!("block {n} of words {}", r.next() % 1000);
        store.append(&BlockRecord {
            source,
            span: Span { byte_start: n, byte_end: n + 1, line_start: n + 1, line_end: n + 1 },
            time_unix_ms: 0,
            tokens: &[0; 64],
            text: text.as_bytes(),
            surprise_nats: 0.0,
            starts_mid_line: false,
            ends_mid_line: false,
            dtype: KvDtype::Int8,
            payload: &[],
            beacons: None,
            address: &address,
        })?;
        addresses.push(address);
    }
    store.commit()?;
    Ok((store, addresses))
}

fn time_kernels(reader: &Reader, asked: &[AddressQuery]) -> Result<(), ReadError> {
    for name in Reader::kernels() {
        let Some(reader) = reader.with_kernel(name) else { continue };
        let few = if name == "scalar" { 5 } else { asked.len() };
        for full in [true, false] {
            let mut times = Vec::new();
            for q in asked.iter().cycle().take(few + few / 10) {
                let begun = Instant::now();
                search(&reader, q, full)?;
                times.push(begun.elapsed());
            }
            let mut times = times.split_off(few / 10);
            times.sort_unstable();
            let at = |p: usize| times[(times.len() * p / 100).min(times.len() - 1)];
            let pass = if full { "full" } else { "sampled" };
            let n = times.len();
            println!("{name} {pass}: n {n} min {:?} p50 {:?} p99 {:?}", at(0), at(50), at(99));
        }
    }
    Ok(())
}

fn recall(
    reader: &Reader,
    asked: &[AddressQuery],
    addresses: &[BlockAddress],
) -> Result<(), ReadError> {
    let (mut found, mut sampled, mut first) = (0, 0, 0);
    let checked = asked.len().min(10);
    for q in &asked[..checked] {
        let mut all: Vec<(f32, BlockId)> =
            addresses.iter().zip(1..).map(|(a, n)| (brute(q, a), BlockId(n))).collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0));
        let hits = search(reader, q, true)?;
        found += hits.iter().filter(|h| all[..K].iter().any(|a| a.1 == h.id)).count();
    }
    for q in asked {
        let full = search(reader, q, true)?;
        let hits = search(reader, q, false)?;
        sampled += hits.iter().filter(|h| full.iter().any(|f| f.id == h.id)).count();
        first += usize::from(hits[0] == full[0]);
    }
    println!("full: recall@{K} against brute force {found} of {}", checked * K);
    let n = asked.len();
    println!("sampled: recall@{K} against full {sampled} of {}, the best {first} of {n}", n * K);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args().skip(1).take(2).map(|a| a.parse::<usize>());
    let blocks = numbers.next().transpose()?.unwrap_or(5000);
    let queries = numbers.next().transpose()?.unwrap_or(300);
    let strength = std::env::args().nth(3).map(|a| a.parse()).transpose()?.unwrap_or(0.1);
    let mut r = Random(88_172_645_463_325_252);
    let begun = Instant::now();
    let (store, addresses) = fill(blocks, &mut r)?;
    println!("{blocks} blocks made and committed in {:?}", begun.elapsed());
    let asked: Vec<AddressQuery> = (0..queries)
        .map(|_| {
            let near = r.next() as usize % blocks;
            query(&mut r, &addresses[near], strength)
        })
        .collect();
    let reader = store.reader();
    time_kernels(&reader, &asked)?;
    recall(&reader, &asked, &addresses)?;
    let begun = Instant::now();
    let hits = reader.search_text("which words have 77 in block 4821?", K, &Filter::default())?;
    println!("text search: {} hits in {:?}", hits.len(), begun.elapsed());
    Ok(())
}
