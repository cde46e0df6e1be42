//! `bench spill`: how fast blocks are encoded, written and made durable.

use serde_json::json;

use super::recall::filled;
use crate::args::BlocksArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::{process, size};

pub(crate) fn run(context: &mut Context, args: &BlocksArgs) -> Result<u8, Failure> {
    let blocks = if args.smoke { 64 } else { args.blocks.max(1) };
    let (workspace, filled) = filled(context, blocks)?;
    let bytes = process::folder_bytes(workspace.path());
    let seconds = filled.time.as_secs_f64().max(1e-9);
    let (per_second, rate) = (blocks as f64 / seconds, bytes as f64 / seconds);
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
    out.event(&json!({
        "event": "bench", "name": "spill", "blocks": blocks, "n": blocks,
        "blocks_per_second": per_second.round(), "bytes_per_second": rate.round(),
        "store_bytes": bytes, "payload_bytes": filled.payload_bytes, "encode_ms": encode_ms,
        "model": context.options.model,
    }))?;
    Ok(0)
}
