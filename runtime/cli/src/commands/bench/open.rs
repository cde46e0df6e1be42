//! `bench open`: from nothing to ready, with the model prepared and a store of many blocks.

use std::time::Instant;

use lcedge::memory::Reader;
use lcedge::setup;
use serde_json::json;

use super::recall::filled;
use super::times::Times;
use crate::args::BlocksArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::process;

/// Most openings of the model: each takes seconds.
const MODEL_ROUNDS_MAX: usize = 5;

pub(crate) fn run(context: &mut Context, args: &BlocksArgs) -> Result<u8, Failure> {
    let (blocks, rounds) =
        if args.smoke { (64, 2) } else { (args.blocks.max(1), args.rounds.max(1)) };
    let workspace = filled(context, blocks)?.0;
    context.options.store = Some(workspace.path().to_owned());
    let (dir, options) = context.setting_up(setup::store_for_reading)?;
    let mut store = Vec::new();
    for _ in 0..rounds {
        let start = Instant::now();
        Reader::open(&dir, &options).map_err(setup::SetupError::from)?;
        store.push(start.elapsed());
    }
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
    let (store, session) = (Times::new(store), Times::new(session));
    let out = &context.out;
    out.line(format!("store of {blocks} blocks: {}", store.text()))?;
    out.line(format!("model, library and store: {}", session.text()))?;
    out.event(&json!({
        "event": "bench", "name": "open", "blocks": blocks, "n": rounds,
        "session_p50_ms": session.percentile(50), "session_max_ms": session.percentile(100),
        "store_p50_ms": store.percentile(50), "store_p99_ms": store.percentile(99),
        "ram_anon_bytes": process::memory().anonymous, "model": context.options.model,
    }))?;
    Ok(0)
}
