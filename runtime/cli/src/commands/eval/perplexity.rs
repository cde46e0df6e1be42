//! `eval perplexity`: how well the model predicts a text, read as a stream.

use std::path::Path;
use std::time::Instant;

use serde_json::json;

use super::{absorb, fresh, name_of, read};
use crate::commands::reading::{per_second, round};
use crate::context::Context;
use crate::failure::Failure;
use crate::size;

pub(crate) fn run(context: &mut Context, input: &Path) -> Result<u8, Failure> {
    let text = read(input)?;
    if text.is_empty() {
        return Err(Failure::bad_argument(format!("{}: the file is empty", input.display())));
    }
    context.options.surprise = true;
    let (_workspace, ready) = fresh(context)?;
    let mut session = ready.session;
    context.stop.looks(true);
    let start = Instant::now();
    absorb(context, &mut session, &name_of(input), &text)?;
    let time = start.elapsed();
    // The first token of a text has no prediction.
    let (scored, nats) = session.lines().measured();
    let tokens = session.fates().total();
    session.close().map_err(Failure::from)?;
    let per_token = nats / scored.max(1) as f64;
    let per_byte = nats / text.len() as f64;
    let out = &context.out;
    out.line(format!(
        "{per_token:.4} nats a token (perplexity {:.2}), {per_byte:.4} nats a byte, over {} tokens \
         ({}) at {:.0} tokens/s",
        per_token.exp(),
        size::count(scored),
        size::text(text.len() as u64),
        per_second(tokens, time),
    ))?;
    out.event(&json!({
        "event": "eval", "name": "perplexity", "n": scored, "nats_per_token": per_token,
        "nats_per_byte": per_byte, "perplexity": per_token.exp(), "tokens": tokens,
        "bytes": text.len(), "tokens_per_second": round(per_second(tokens, time)),
        "model": ready.report.model, "weights": ready.report.weights,
        "memory": context.options.memory.name(),
    }))?;
    Ok(0)
}
