//! Whether memory grows with the store: appends, commits and searches, and prints the anonymous
//! resident memory of the process at several sizes; then opens the store again and searches it.
//!
//!     cargo run --release -p lcedge-memory --example growth [BLOCKS] [trained|free] [DIR]
//!
//! `free`: addresses without training, 2 heads x 64 vectors x 64 values. `trained`: 4 vectors of
//! 128 values. Texts are lines of a log; keys and values are small, so that the disk is not
//! measured.

use std::{error::Error, path::PathBuf, time::Duration, time::Instant};

use lcedge_memory::{
    AddressLayout, AddressQuery, BlockAddress, BlockRecord, Filter, Geometry, HeadAddress,
    HeadQuery, KvDtype, Progress, Reader, Span, Store, StoreOptions,
};

const PAYLOAD: usize = 2048;
const COMMIT: u64 = 64;
const ROUNDS: usize = 400;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
    }
}

fn address(layout: AddressLayout, r: &mut Random) -> BlockAddress {
    let values = usize::from(layout.vectors_max) * usize::from(layout.dim);
    let head = |r: &mut Random| {
        let mut vectors = Vec::with_capacity(values + 8);
        while vectors.len() < values {
            vectors.extend(r.next().to_le_bytes().map(u8::cast_signed));
        }
        vectors.truncate(values);
        HeadAddress { vectors, scale: 0.01, mean: 0.0, spread: 1.0 }
    };
    BlockAddress { heads: (0..layout.heads).map(|_| head(r)).collect() }
}

fn query(layout: AddressLayout, r: &mut Random) -> AddressQuery {
    let n = if layout.heads == 1 { 1 } else { 36 } * usize::from(layout.dim);
    let head =
        |r: &mut Random| HeadQuery { weight: 1.0, vectors: (0..n).map(|_| r.unit()).collect() };
    AddressQuery { heads: (0..layout.heads).map(|_| head(r)).collect() }
}

fn line(n: u64, r: &mut Random) -> String {
    let services = ["sshd", "cron", "nginx", "kernel", "postgres", "systemd"];
    let verbs = ["accepted", "refused", "started", "failed", "closed", "renewed"];
    let (a, b, c) = (r.next(), r.next(), r.next());
    format!(
        "Nov {:02} {:02}:{:02}:{:02} host{} {}[{}]: {} request {} of user{} \
             from 10.{}.{}.{} port {}\n",
        n / 5000 % 28 + 1,
        a % 24,
        b % 60,
        c % 60,
        a % 40,
        services[(b % 6) as usize],
        c % 30_000,
        verbs[(a >> 8) as usize % 6],
        n,
        (b >> 8) % 2000,
        (c >> 8) % 8,
        (c >> 16) % 250,
        (c >> 24) % 250,
        (a >> 16) % 60_000
    )
}

/// `RssAnon` and `RssFile`, MB.
fn resident() -> (f64, f64) {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |name: &str| {
        let line = text.lines().find(|l| l.starts_with(name)).unwrap_or_default();
        let kb: f64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0.0);
        kb / 1024.0
    };
    (of("RssAnon:"), of("RssFile:"))
}

fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |p: usize| times[(times.len() * p / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
    format!(
        "n {} min {:.2} p50 {:.2} p99 {:.2} max {:.2} ms",
        times.len(),
        at(0),
        at(50),
        at(99),
        at(100)
    )
}

fn searches(reader: &Reader, layout: AddressLayout, r: &mut Random) -> Result<(), Box<dyn Error>> {
    let (mut address, mut text, mut both) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..ROUNDS {
        let vectors = query(layout, r);
        let begun = Instant::now();
        reader.search_address(&vectors, 32, &Filter::default())?;
        address.push(begun.elapsed());
        let q = format!("Which address did user{} use on port {}?", n * 37 % 2000, n * 91 % 60_000);
        let begun = Instant::now();
        reader.search_text(&q, 32, &Filter::default())?;
        text.push(begun.elapsed());
        let begun = Instant::now();
        reader.search_both(&vectors, &q, 32, &Filter::default())?;
        both.push(begun.elapsed());
    }
    println!("search by address: {}", spread(address));
    println!("search by text:    {}", spread(text));
    println!("both at once:      {}", spread(both));
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let blocks: u64 = args.next().map(|a| a.parse()).transpose()?.unwrap_or(4000);
    let trained = args.next().is_none_or(|a| a == "trained");
    let kept = args.next().map(PathBuf::from);
    let layout = if trained {
        AddressLayout { heads: 1, vectors_max: 4, dim: 128 }
    } else {
        AddressLayout { heads: 2, vectors_max: 64, dim: 64 }
    };
    let temporary = std::env::temp_dir().join(format!("lcedge-growth-{}", std::process::id()));
    let dir = kept.clone().unwrap_or_else(|| temporary.clone());
    let geometry = Geometry { layers: 30, kv_heads: 3, head_dim: 64, block_tokens: 64 };
    let mut options = StoreOptions::new([0; 32], geometry, layout);
    options.segment_bytes_max = 64 << 20;
    let mut r = Random(88_172_645_463_325_252);
    let made = dir.join("store.json").exists();
    if !made {
        append(&dir, &options, blocks, &mut r)?;
    }
    let mut times = Vec::new();
    for _ in 0..10 {
        let begun = Instant::now();
        let store = Store::open(&dir, &options)?;
        times.push(begun.elapsed());
        drop(store);
    }
    println!("open to write: {}", spread(times));
    let before = resident();
    let reader = Reader::open(&dir, &options)?;
    let opened = resident();
    println!(
        "opened to read: anon {:+.2} file {:+.2} MB",
        opened.0 - before.0,
        opened.1 - before.1
    );
    searches(&reader, layout, &mut r)?;
    let searched = resident();
    println!("after searches: anon {:.2} file {:.2} MB", searched.0, searched.1);
    drop(reader);
    if kept.is_none() {
        std::fs::remove_dir_all(&temporary)?;
    }
    Ok(())
}

fn append(
    dir: &std::path::Path,
    options: &StoreOptions,
    blocks: u64,
    r: &mut Random,
) -> Result<(), Box<dyn Error>> {
    let mut store = Store::open(dir, options)?;
    let reader = store.reader();
    let source = store.begin_source("growth.log")?.id;
    let payload = vec![7; PAYLOAD];
    let (mut first, begun) = (0.0, Instant::now());
    for n in 0..blocks {
        let text = line(2 * n, r) + &line(2 * n + 1, r);
        let at = n * 200;
        store.append(&BlockRecord {
            source,
            span: Span {
                byte_start: at,
                byte_end: at + 200,
                line_start: 2 * n + 1,
                line_end: 2 * n + 2,
            },
            time_unix_ms: n.cast_signed(),
            tokens: &[3; 64],
            text: text.as_bytes(),
            surprise_nats: 0.0,
            starts_mid_line: false,
            ends_mid_line: false,
            dtype: KvDtype::Int8,
            payload: &payload,
            beacons: None,
            address: &address(options.address, r),
        })?;
        if (n + 1) % COMMIT == 0 {
            let progress = Progress { absorbed_bytes: at + 200, ..Progress::default() };
            store.set_progress(source, progress)?;
            store.commit()?;
            let q = query(options.address, r);
            reader.search_address(&q, 32, &Filter::default())?;
            reader.search_text("failed request of user77", 32, &Filter::default())?;
        }
        let tenth = (blocks / 10).max(1);
        if n + 1 == 300 || (n + 1) % tenth == 0 {
            let (anon, file) = resident();
            if n + 1 == 300 {
                first = anon;
            }
            println!(
                "{:>7} blocks: anon {anon:.2} MB (x{:.3} of 300 blocks) file {file:.2} MB",
                n + 1,
                anon / first
            );
        }
    }
    store.commit()?;
    println!("appended in {:.1?}", begun.elapsed());
    Ok(())
}
