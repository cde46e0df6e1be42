//! `bench open`: from nothing to ready, with the model prepared and a store of many blocks.

use std::path::Path;
use std::time::Instant;

use lcedge::memory::{Reader, Store, StoreOptions};
use lcedge::setup::{self, SetupError};
use serde_json::json;

use super::recall::filled;
use super::times::Times;
use crate::args::BlocksArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::process;

/// Most openings of the model: each takes seconds.
const MODEL_ROUNDS_MAX: usize = 5;

/// Most openings from a cold page cache.
const COLD_MAX: usize = 10;

pub(crate) fn run(context: &mut Context, args: &BlocksArgs) -> Result<u8, Failure> {
    let (blocks, rounds) =
        if args.smoke { (64, 2) } else { (args.blocks.max(1), args.rounds.max(1)) };
    let workspace = filled(context, blocks, None)?.0;
    context.options.store = Some(workspace.path().to_owned());
    let (dir, options) = context.setting_up(setup::store_for_reading)?;
    let read = times(rounds, None, || Reader::open(&dir, &options).map(drop).map_err(opened))?;
    let write = times(rounds, None, || reopen(&dir, &options))?;
    let cold = times(rounds.min(COLD_MAX), Some(&dir), || reopen(&dir, &options))?;
    let mut session = Vec::new();
    for i in 0..rounds.min(MODEL_ROUNDS_MAX) {
        let start = Instant::now();
        let ready = context.setting_up(setup::open)?;
        let took = start.elapsed();
        ready.session.close().map_err(Failure::from)?;
        let (out, ms) = (&context.out, took.as_secs_f64() * 1000.0);
        out.event(&json!({"event": "row", "round": i, "session_ms": ms.round()}))?;
        out.line(format!("round {i}: ready after {ms:.0} ms"))?;
        session.push(took);
    }
    let session = Times::new(session);
    let out = &context.out;
    out.line(format!("store of {blocks} blocks, to read:  {}", read.text()))?;
    out.line(format!("store of {blocks} blocks, to write: {}", write.text()))?;
    out.line(format!("the same from a cold page cache: {}", cold.text()))?;
    out.line(format!("model, library and store: {}", session.text()))?;
    out.event(&json!({
        "event": "bench", "name": "open", "blocks": blocks, "n": rounds,
        "session_p50_ms": session.percentile(50), "session_max_ms": session.percentile(100),
        "store_p50_ms": read.percentile(50), "store_p99_ms": read.percentile(99),
        "write_p50_ms": write.percentile(50), "write_p99_ms": write.percentile(99),
        "cold_p50_ms": cold.percentile(50), "cold_max_ms": cold.percentile(100),
        "ram_anon_bytes": process::memory().anonymous, "model": context.options.model,
    }))?;
    Ok(0)
}

/// Times of opening; with a folder, each after its files left the page cache.
fn times(
    rounds: usize,
    evict: Option<&Path>,
    open: impl Fn() -> Result<(), Failure>,
) -> Result<Times, Failure> {
    let mut all = Vec::new();
    for _ in 0..rounds {
        if let Some(dir) = evict {
            process::evict(dir).map_err(|e| Failure::file(dir, &e))?;
        }
        let start = Instant::now();
        open()?;
        all.push(start.elapsed());
    }
    Ok(Times::new(all))
}

/// Opens as the one writer; what was open is closed within the time.
fn reopen(dir: &Path, options: &StoreOptions) -> Result<(), Failure> {
    Store::open(dir, options).map(drop).map_err(opened)
}

fn opened(e: lcedge::memory::OpenError) -> Failure {
    SetupError::from(e).into()
}
