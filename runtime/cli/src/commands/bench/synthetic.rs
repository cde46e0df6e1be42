//! A store of made-up blocks: real log lines as text, random keys, values and addresses of the
//! model's shapes. The same seed makes the same store.

use std::path::Path;
use std::time::{Duration, Instant};

use lcedge::compress::quant;
use lcedge::memory::{
    AddressLayout, BlockAddress, BlockRecord, Geometry, HeadAddress, KvBuf, KvDtype, Progress,
    Span, Store, StoreOptions,
};
use lcedge_eval::log::{LogKind, LogOptions, generate};
use lcedge_eval::rng::Rng;

use crate::failure::Failure;
use crate::{process, size};

/// The source of all that is made up.
pub(crate) const SOURCE: &str = "synthetic.log";

/// Encoded blocks that are made; the store repeats them.
const DISTINCT: usize = 16;
/// Lines of one block.
const LINES: usize = 2;
/// Blocks of one commit, as the session makes them.
const COMMIT_BLOCKS: usize = 64;

/// What filling a store took; nothing when it was there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Filled {
    pub(crate) time: Duration,
    /// Part of it: making what was appended durable.
    pub(crate) commits: Duration,
    /// Time of encoding one block, mean.
    pub(crate) encode: Duration,
    /// Bytes of keys and values of one block.
    pub(crate) payload_bytes: usize,
}

/// Fills a new store in `dir` with `blocks` blocks.
///
/// # Errors
/// [`Failure`] when the disk has no room, or the store refuses.
pub(crate) fn fill(
    dir: &Path,
    options: &StoreOptions,
    dtype: KvDtype,
    blocks: usize,
) -> Result<Filled, Failure> {
    let geometry = options.geometry;
    let tokens = usize::from(geometry.block_tokens);
    let payload_bytes = quant::payload_bytes(dtype, geometry, tokens);
    check_room(dir, options.address, payload_bytes, blocks)?;
    let mut rng = Rng::new(1);
    let (payloads, encode) = payloads(geometry, dtype, &mut rng)?;
    let log = generate(&LogOptions::new(LogKind::Mixed, blocks * LINES * 130, 1));
    let mut lines = log.lines();
    let ids: Vec<u32> = (0..u32::from(geometry.block_tokens)).collect();
    let failed = |e: &dyn std::fmt::Display| Failure::new("store_io", e);
    let start = Instant::now();
    let mut store = Store::open(dir, options).map_err(lcedge::setup::SetupError::from)?;
    let source = store.begin_source(SOURCE).map_err(|e| failed(&e))?.id;
    let (mut byte, mut line) = (0, 1);
    let mut commits = Duration::ZERO;
    for i in 0..blocks {
        let text: String = lines.by_ref().take(LINES).flat_map(|l| [l, "\n"]).collect();
        let span = Span {
            byte_start: byte,
            byte_end: byte + text.len() as u64,
            line_start: line,
            line_end: line + LINES as u64 - 1,
        };
        (byte, line) = (span.byte_end, span.line_end + 1);
        let record = BlockRecord {
            source,
            span,
            time_unix_ms: i as i64,
            tokens: &ids,
            text: text.as_bytes(),
            surprise_nats: 0.0,
            starts_mid_line: false,
            ends_mid_line: false,
            dtype,
            payload: &payloads[i % DISTINCT],
            beacons: None,
            address: &address(options.address, &mut rng),
        };
        store.append(&record).map_err(|e| failed(&e))?;
        if (i + 1) % COMMIT_BLOCKS == 0 {
            let commit = Instant::now();
            store.commit().map_err(|e| failed(&e))?;
            commits += commit.elapsed();
        }
    }
    let progress =
        Progress { absorbed_bytes: byte, absorbed_lines: line - 1, ..Progress::default() };
    store.set_progress(source, progress).map_err(|e| failed(&e))?;
    store.commit().map_err(|e| failed(&e))?;
    store.seal().map_err(|e| failed(&e))?;
    Ok(Filled { time: start.elapsed(), commits, encode, payload_bytes })
}

fn check_room(
    dir: &Path,
    layout: AddressLayout,
    payload_bytes: usize,
    blocks: usize,
) -> Result<(), Failure> {
    let block = payload_bytes + 2 * layout.encoded_bytes_max() + 2048;
    let need = (block * blocks) as u64;
    match process::free_bytes(dir) {
        Some(free) if free < need => Err(Failure::new(
            "no_space",
            format!("{blocks} blocks need {}, {} are free", size::text(need), size::text(free)),
        )
        .hint("use fewer --blocks, --kv int4, or another disk (TMPDIR)".to_owned())),
        _ => Ok(()),
    }
}

/// Encoded keys and values, and the mean time of encoding.
fn payloads(
    geometry: Geometry,
    dtype: KvDtype,
    rng: &mut Rng,
) -> Result<(Vec<Vec<u8>>, Duration), Failure> {
    let tokens = usize::from(geometry.block_tokens);
    let mut kv = KvBuf::with_capacity(geometry, tokens);
    let mut time = Duration::ZERO;
    let mut all = Vec::new();
    for _ in 0..DISTINCT {
        let (k, v) = kv.fill(tokens);
        k.iter_mut().chain(v).for_each(|x| *x = small(rng));
        let mut payload = Vec::new();
        let start = Instant::now();
        quant::encode(dtype, kv.view(), &mut payload)
            .map_err(|e| Failure::bad_argument(format!("--kv: {e}")))?;
        time += start.elapsed();
        all.push(payload);
    }
    Ok((all, time / DISTINCT as u32))
}

/// A number from -1 to 1.
pub(super) fn small(rng: &mut Rng) -> f32 {
    (rng.next_u64() >> 40) as f32 / (1u32 << 23) as f32 - 1.0
}

fn address(layout: AddressLayout, rng: &mut Rng) -> BlockAddress {
    let values = usize::from(layout.vectors_max) * usize::from(layout.dim);
    let head = |rng: &mut Rng| {
        let mut vectors = Vec::with_capacity(values + 8);
        while vectors.len() < values {
            let eight = rng.next_u64();
            vectors.extend((0..8).map(|i| (eight >> (8 * i)) as u8 as i8));
        }
        vectors.truncate(values);
        HeadAddress { vectors, scale: 0.01, mean: 0.0, spread: 1.0 }
    };
    BlockAddress { heads: (0..layout.heads).map(|_| head(rng)).collect() }
}
