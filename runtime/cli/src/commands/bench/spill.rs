//! `bench spill`: how fast blocks are encoded, written and made durable.

use lcedge::limits::BLOCK_TOKENS;
use lcedge::memory::SyncPolicy;
use serde_json::{Value, json};

use super::recall::filled;
use crate::args::BlocksArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::{process, size};

pub(crate) fn run(context: &mut Context, args: &BlocksArgs) -> Result<u8, Failure> {
    let blocks = if args.smoke { 64 } else { args.blocks.max(1) };
    // Each part fills a store of its own.
    context.options.store = None;
    let (workspace, filled) = filled(context, blocks, None)?;
    let bytes = process::folder_bytes(workspace.path());
    let seconds = filled.time.as_secs_f64().max(1e-9);
    let (per_second, rate) = (blocks as f64 / seconds, bytes as f64 / seconds);
    let tokens = (blocks * BLOCK_TOKENS) as f64;
    let encode_ms = filled.encode.as_secs_f64() * 1000.0;
    let out = &context.out;
    out.line(format!(
        "{} blocks in {:.2} s: {per_second:.0} blocks/s, {}/s; {} a block, {} of it keys and \
         values; encoding one takes {encode_ms:.2} ms",
        size::count(blocks as u64),
        seconds,
        size::text(rate as u64),
        size::text(bytes / blocks as u64),
        size::text(filled.payload_bytes as u64),
    ))?;
    let durable = durability(context, blocks, tokens)?;
    let out = &context.out;
    for (name, micros, append) in &durable {
        out.line(format!(
            "sync {name}: {micros:.1} microseconds a token for commits (one each 64 blocks), \
             {append:.1} for appending"
        ))?;
    }
    let sync: serde_json::Map<String, Value> =
        durable.iter().map(|(name, micros, _)| ((*name).to_owned(), json!(micros))).collect();
    out.event(&json!({
        "event": "bench", "name": "spill", "commit_us_per_token": sync, "blocks": blocks,
        "n": blocks,
        "blocks_per_second": per_second.round(), "bytes_per_second": rate.round(),
        "store_bytes": bytes, "payload_bytes": filled.payload_bytes, "encode_ms": encode_ms,
        "model": context.options.model,
    }))?;
    Ok(0)
}

/// Microseconds a token that committing and appending take, for each policy.
fn durability(
    context: &mut Context,
    blocks: usize,
    tokens: f64,
) -> Result<Vec<(&'static str, f64, f64)>, Failure> {
    let mut rows = Vec::new();
    let before = context.options.sync;
    let all = [("none", SyncPolicy::None), ("data", SyncPolicy::Data), ("full", SyncPolicy::Full)];
    for (name, sync) in all {
        context.options.sync = sync;
        let (_workspace, filled) = filled(context, blocks, None)?;
        let micros = |t: std::time::Duration| t.as_secs_f64() * 1e6 / tokens;
        rows.push((name, micros(filled.commits), micros(filled.time - filled.commits)));
    }
    context.options.sync = before;
    Ok(rows)
}
