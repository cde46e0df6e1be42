//! How long it takes to forget a source of a million tokens among others.
//!
//!     cargo run --release -p lcedge-memory --example forget [BLOCKS_OF_IT] [OTHER_BLOCKS]

use std::{error::Error, time::Instant};

use lcedge_memory::{
    AddressLayout, BlockAddress, BlockRecord, Forget, Geometry, HeadAddress, KvDtype, Progress,
    SourceId, Span, Store, StoreOptions, Strictness,
};

fn fill(store: &mut Store, name: &str, blocks: u64) -> Result<SourceId, Box<dyn Error>> {
    let source = store.begin_source(name)?.id;
    let mut state = blocks;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state >> 33
    };
    for n in 0..blocks {
        let text = format!(
            "{name} {n} user{} did {} at host{} for {} ms\n",
            random() % 5000,
            random() % 100_000,
            random() % 300,
            random() % 9000
        );
        let vectors = (0..512).map(|_| random() as i8).collect();
        let head = HeadAddress { vectors, scale: 0.01, mean: 0.0, spread: 1.0 };
        let (lines, bytes) = (n + 1, n * 100);
        store.append(&BlockRecord {
            source,
            span: Span {
                byte_start: bytes,
                byte_end: bytes + 100,
                line_start: lines,
                line_end: lines,
            },
            time_unix_ms: n.cast_signed(),
            tokens: &[3; 50],
            text: text.as_bytes(),
            surprise_nats: 0.0,
            starts_mid_line: false,
            ends_mid_line: false,
            dtype: KvDtype::Int8,
            payload: &[7; 8192],
            beacons: None,
            address: &BlockAddress { heads: vec![head] },
        })?;
        if n % 64 == 63 {
            store
                .set_progress(source, Progress { absorbed_bytes: bytes, ..Progress::default() })?;
            store.commit()?;
        }
    }
    store.commit()?;
    Ok(source)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args().skip(1).map(|a| a.parse::<u64>());
    let blocks = numbers.next().transpose()?.unwrap_or(20_000);
    let others = numbers.next().transpose()?.unwrap_or(40_000);
    let dir = std::env::temp_dir().join(format!("lcedge-forget-{}", std::process::id()));
    let geometry = Geometry { layers: 30, kv_heads: 3, head_dim: 64, block_tokens: 64 };
    let layout = AddressLayout { heads: 1, vectors_max: 4, dim: 128 };
    let options = StoreOptions {
        segment_bytes_max: 64 << 20,
        ..StoreOptions::new([0; 32], geometry, layout)
    };
    let mut store = Store::open(&dir, &options)?;
    fill(&mut store, "before.log", others / 2)?;
    let source = fill(&mut store, "secret.log", blocks)?;
    fill(&mut store, "after.log", others / 2)?;
    let begun = Instant::now();
    let report = store.forget(&Forget::Sources(&[source]), Strictness::Passage)?;
    println!(
        "{} blocks, {} tokens of {} blocks: {:.2?}",
        report.blocks,
        report.tokens,
        blocks + others,
        begun.elapsed()
    );
    let begun = Instant::now();
    let report = store.forget(&Forget::Text("before.log 777 "), Strictness::Passage)?;
    println!("{} block by text: {:.2?}", report.blocks, begun.elapsed());
    drop(store);
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}
