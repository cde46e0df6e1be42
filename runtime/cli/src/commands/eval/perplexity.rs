//! `eval perplexity`: how well the model predicts a text, read as a stream, or what follows a
//! history at several places.

use std::time::Instant;

use lcedge_eval::tiers::Arm;
use serde_json::json;

use super::next::{measure, places};
use super::rig::{Read, Rig};
use super::{absorb, fresh, name_of, read_text};
use crate::args::PerplexityArgs;
use crate::commands::reading::{per_second, round};
use crate::context::Context;
use crate::failure::Failure;
use crate::size;

pub(crate) fn run(context: &mut Context, args: &PerplexityArgs) -> Result<u8, Failure> {
    let text = read_text(&args.input)?;
    context.options.surprise = true;
    match args.history {
        Some(history) => at_places(context, args, &text, history),
        None => as_stream(context, args, &text),
    }
}

fn as_stream(context: &mut Context, args: &PerplexityArgs, text: &[u8]) -> Result<u8, Failure> {
    let (_workspace, ready) = fresh(context)?;
    let mut session = ready.session;
    context.stop.looks(true);
    let start = Instant::now();
    absorb(context, &mut session, &name_of(&args.input), text)?;
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

fn at_places(
    context: &mut Context,
    args: &PerplexityArgs,
    text: &[u8],
    history: usize,
) -> Result<u8, Failure> {
    let mut rig = Rig::open(context, None)?;
    let tokenizer = rig.prepared.load_tokenizer().map_err(|e| Failure::new("tokenizer", e))?;
    let places = places(context, &tokenizer, text, history, args.targets, args.windows)?;
    context.stop.looks(true);
    let options = context.options.clone();
    let mut arm = Arm::default();
    let mut read = Read::default();
    let mut bytes = 0;
    for (i, place) in places.iter().enumerate() {
        let loss = rig.with(context, &options, |s| measure(context, s, text, place))?;
        arm.push(loss.nats, loss.scored);
        read.add(Read { tokens: loss.history, time: loss.time });
        bytes += place.target.len();
        let per_token = loss.nats / loss.scored.max(1) as f64;
        context.out.event(&json!({
            "event": "row", "place": i, "byte": place.target.start, "n": loss.scored,
            "nats_per_token": per_token,
        }))?;
        let at = size::text(place.target.start as u64);
        context.out.line(format!("{per_token:.4} nats a token behind {at}"))?;
    }
    let (nats, scored) = (arm.nats.iter().sum::<f64>(), arm.tokens.iter().sum::<u64>());
    let per_token = arm.nats_per_token().unwrap_or_default();
    let per_byte = nats / bytes.max(1) as f64;
    let memory = options.memory.name();
    let out = &context.out;
    out.line(format!(
        "{per_token:.4} nats a token (perplexity {:.2}), {per_byte:.4} nats a byte: {} tokens at \
         {} places behind {} tokens of history, memory {memory}; read at {:.0} tokens/s",
        per_token.exp(),
        size::count(scored),
        places.len(),
        size::count(history as u64),
        per_second(read.tokens, read.time),
    ))?;
    out.event(&json!({
        "event": "eval", "name": "perplexity", "n": scored, "nats_per_token": per_token,
        "nats_per_byte": per_byte, "perplexity": per_token.exp(), "windows": places.len(),
        "history": history, "targets": args.targets, "tokens": read.tokens, "bytes": bytes,
        "tokens_per_second": round(per_second(read.tokens, read.time)),
        "model": rig.report.model, "weights": rig.report.weights, "memory": memory,
    }))?;
    Ok(0)
}
