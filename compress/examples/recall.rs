//! How long it takes to read, check, decode and lay blocks of a SmolLM2-sized model. Laying is
//! three copies, as an engine makes them; it is most of the time. (Reading ahead on a second thread
//! was tried and is slower: the floats then go from one core's cache to the other's.)
//!
//!     cargo run --release -p lcedge-compress --example recall [BLOCKS] [PER_QUESTION] [ROUNDS]

use std::{error::Error, time::Duration, time::Instant};

use lcedge_compress::quant;
use lcedge_memory::{
    AddressLayout, BlockAddress, BlockId, BlockRecord, Geometry, KvBuf, KvDtype, KvView, Span,
    Store, StoreOptions,
};

const GEOMETRY: Geometry = Geometry { layers: 30, kv_heads: 3, head_dim: 64, block_tokens: 64 };

fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |p: usize| times[(times.len() * p / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
    format!("n {} min {:.2} p50 {:.2} p99 {:.2} ms", times.len(), at(0), at(50), at(99))
}

fn fill(store: &mut Store, blocks: usize) -> Result<Vec<BlockId>, Box<dyn Error>> {
    let source = store.begin_source("synthetic.log")?.id;
    let mut kv = KvBuf::with_capacity(GEOMETRY, 64);
    let (k, v) = kv.fill(64);
    let mut state = 1_u32;
    for x in k.iter_mut().chain(v) {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *x = (state >> 8) as f32 / (1_u32 << 23) as f32 - 1.0;
    }
    let mut payload = Vec::new();
    quant::encode(KvDtype::Int8, kv.view(), &mut payload)?;
    let mut ids = Vec::new();
    for n in 0..blocks as u64 {
        ids.push(store.append(&BlockRecord {
            source,
            span: Span { byte_start: n, byte_end: n + 1, line_start: n + 1, line_end: n + 1 },
            time_unix_ms: 0,
            tokens: &[7; 64],
            text: b"a line\n",
            surprise_nats: 0.0,
            starts_mid_line: false,
            ends_mid_line: false,
            dtype: KvDtype::Int8,
            payload: &payload,
            beacons: None,
            address: &BlockAddress::default(),
        })?);
    }
    store.seal()?;
    Ok(ids)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args().skip(1).map(|a| a.parse::<usize>());
    let blocks = numbers.next().transpose()?.unwrap_or(600);
    let each = numbers.next().transpose()?.unwrap_or(8);
    let rounds = numbers.next().transpose()?.unwrap_or(200);
    let dir = std::env::temp_dir().join(format!("lcedge-recall-{}", std::process::id()));
    let layout = AddressLayout { heads: 1, vectors_max: 4, dim: 128 };
    let mut store = Store::open(&dir, &StoreOptions::new([0; 32], GEOMETRY, layout))?;
    let ids = fill(&mut store, blocks)?;
    let reader = store.reader();
    let mut planes = vec![0.0_f32; GEOMETRY.values(64 * each) * 3];
    let mut lay = |n: usize, kv: KvView<'_>| {
        let size = GEOMETRY.values(64);
        for (plane, part) in [kv.k(), kv.k(), kv.v()].into_iter().enumerate() {
            planes[(plane * each + n) * size..][..size].copy_from_slice(part);
        }
    };
    let mut chosen = vec![BlockId(0); each];
    let mut state = 7_usize;
    let (mut one, mut read) = (Vec::new(), Vec::new());
    let (mut payload, mut kv) = (Vec::new(), KvBuf::with_capacity(GEOMETRY, 64));
    for _ in 0..rounds {
        for id in &mut chosen {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *id = ids[(state >> 33) % ids.len()];
        }
        let begun = Instant::now();
        for id in &chosen {
            reader.payload(*id, &mut payload)?;
        }
        read.push(begun.elapsed());
        let begun = Instant::now();
        for (n, id) in chosen.iter().enumerate() {
            let dtype = reader.payload(*id, &mut payload)?;
            quant::decode(dtype, &payload, 64, &mut kv)?;
            lay(n, kv.view());
        }
        one.push(begun.elapsed());
    }
    println!("{each} blocks, read only:         {}", spread(read));
    println!("{each} blocks, read, decode, lay: {}", spread(one));
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}
