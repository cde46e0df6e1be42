//! `bench loop`: the full streaming loop against the engine alone, in turns within one run.

use std::fs;
use std::time::{Duration, Instant};

use lcedge::limits::PIECE_BYTES;
use lcedge::session::Session;
use lcedge_eval::log::{LogKind, LogOptions, generate};
use serde_json::json;

use super::bare::Bare;
use crate::args::LoopArgs;
use crate::commands::reading::{per_second, round};
use crate::commands::workspace::Workspace;
use crate::context::Context;
use crate::failure::Failure;

/// Text that never ends: the input again and again.
pub(super) struct Text {
    bytes: Vec<u8>,
    at: usize,
}

impl Text {
    pub(super) const fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, at: 0 }
    }

    /// What is given, else a log made up.
    pub(super) fn of(args: &LoopArgs) -> Result<Self, Failure> {
        let bytes = match &args.input {
            Some(path) => fs::read(path).map_err(|e| Failure::file(path, &e))?,
            None => generate(&LogOptions::new(LogKind::Mixed, 1 << 20, 1)).into_bytes(),
        };
        if bytes.is_empty() {
            return Err(Failure::bad_argument("--input: the file is empty"));
        }
        Ok(Self::new(bytes))
    }

    pub(super) fn next(&mut self) -> &[u8] {
        if self.at >= self.bytes.len() {
            self.at = 0;
        }
        let from = self.at;
        self.at = (from + PIECE_BYTES).min(self.bytes.len());
        &self.bytes[from..self.at]
    }
}

/// Rounds, and chunks of each.
pub(super) fn sizes(args: &LoopArgs) -> (usize, usize) {
    if args.smoke { (2, 1) } else { (args.rounds.max(1), args.chunks.max(1)) }
}

pub(crate) fn run(context: &mut Context, args: &LoopArgs) -> Result<u8, Failure> {
    let (rounds, chunks) = sizes(args);
    let mut text = Text::of(args)?;
    let workspace = Workspace::temporary(&context.stop)?;
    context.options.store = Some(workspace.path().to_owned());
    let ready = context.open()?;
    let mut bare = Bare::open(&context.options, &ready)?;
    let mut session = ready.session;
    session.begin_source("bench").map_err(Failure::from)?;
    // Both are measured with a full window, after a first round each.
    let plan = *session.plan();
    absorb(&mut session, &mut text, plan.window_tokens / plan.chunk_tokens + 2)?;
    bare.round(1)?;
    let tokens = (bare.chunk_tokens() * chunks) as u64;
    let (mut full, mut alone) = (Vec::new(), Vec::new());
    for i in 0..rounds {
        if context.stop.requested() {
            return Err(crate::context::stopped(context.stop.exit_code().unwrap_or(130)));
        }
        let (f, b) = pair(i, || absorb(&mut session, &mut text, chunks), || bare.round(chunks))?;
        let (fast, plain) = (f, per_second(tokens, b));
        let out = &context.out;
        out.event(&json!({
            "event": "row", "round": i, "tokens_per_second": round(fast),
            "bare_tokens_per_second": round(plain), "loop_ratio": fast / plain,
        }))?;
        out.line(format!(
            "round {i}: full {fast:.1} tokens/s, engine alone {plain:.1}, ratio {:.3}",
            fast / plain
        ))?;
        full.push(fast);
        alone.push(plain);
    }
    session.finish_source().map_err(Failure::from)?;
    let spill_wait_ms = session.spill_wait().as_millis() as u64;
    session.close().map_err(Failure::from)?;
    let ratios: Vec<f64> = full.iter().zip(&alone).map(|(f, b)| f / b).collect();
    let spread = |pick: fn(f64, f64) -> f64| ratios.iter().copied().reduce(pick).unwrap_or(0.0);
    let (fast, plain) = (median(full), median(alone));
    let thousandth = |x: f64| (x * 1000.0).round() / 1000.0;
    context.out.line(format!(
        "full streaming loop {fast:.1} tokens/s, engine alone {plain:.1} (medians of {rounds} \
         rounds of {tokens} tokens): ratio {:.3}",
        fast / plain
    ))?;
    context.out.event(&json!({
        "event": "bench", "name": "loop", "loop_ratio": thousandth(fast / plain),
        "loop_ratio_min": thousandth(spread(f64::min)),
        "loop_ratio_max": thousandth(spread(f64::max)),
        "tokens_per_second": round(fast), "bare_tokens_per_second": round(plain),
        "rounds": rounds, "tokens_per_round": tokens, "window": plan.window_tokens,
        "chunk": plan.chunk_tokens, "threads": plan.threads, "weights": plan.weights,
        "model": ready.report.model, "device": ready.report.device,
        "ort_version": ready.report.ort_version, "spill_wait_ms": spill_wait_ms,
        "bare": "engine step alone: same graph, outputs, window and chunk",
    }))?;
    Ok(0)
}

/// The middle one of some rates.
pub(super) fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}

/// Both, the one that goes first changing from round to round.
fn pair(
    i: usize,
    mut full: impl FnMut() -> Result<f64, Failure>,
    mut bare: impl FnMut() -> Result<Duration, Failure>,
) -> Result<(f64, Duration), Failure> {
    if i.is_multiple_of(2) {
        let f = full()?;
        return Ok((f, bare()?));
    }
    let b = bare()?;
    Ok((full()?, b))
}

/// Tokens a second of `chunks` chunks (whole blocks, so not all equally long) through everything:
/// tokenizer, model, store, recall. What is handed
/// to the writer is waited for, so that none of its work falls into the other loop's time.
pub(super) fn absorb(
    session: &mut Session,
    text: &mut Text,
    chunks: usize,
) -> Result<f64, Failure> {
    let before = session.counters().tokens_read_by_model;
    let start = Instant::now();
    let mut done = 0;
    while done < chunks {
        let n = session.absorb_ahead(1)?;
        if n == 0 {
            session.encode_ahead(text.next())?;
        }
        done += n;
    }
    session.flush()?;
    let time = start.elapsed();
    Ok(per_second(session.counters().tokens_read_by_model - before, time))
}
