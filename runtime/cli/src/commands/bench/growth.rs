//! `bench growth`: whether resident memory and speed stay flat while a store grows.

use std::time::Instant;

use lcedge::models::WeightKind;
use lcedge_eval::log::{LogKind, LogOptions, generate};
use serde_json::json;

use super::looping::Text;
use crate::args::GrowthArgs;
use crate::commands::reading::{per_second, round};
use crate::commands::workspace::Workspace;
use crate::context::Context;
use crate::failure::Failure;
use crate::{process, size};

/// What the process looks like after so many tokens.
struct Sample {
    tokens: u64,
    memory: process::Memory,
    tokens_per_second: f64,
    /// Tokens a second of processor time, which other processes slow down less.
    tokens_per_cpu_second: f64,
    open_files: usize,
}

pub(crate) fn run(context: &mut Context, args: &GrowthArgs) -> Result<u8, Failure> {
    let (total, first) = if args.smoke { (3_000, 1_000) } else { (args.tokens, args.first) };
    if first == 0 || total <= first {
        return Err(Failure::bad_argument(format!(
            "--first {first}: at least 1, and less than --tokens {total}"
        )));
    }
    let workspace = Workspace::temporary(&context.stop)?;
    context.options.store = Some(workspace.path().to_owned());
    let ready = context.open()?;
    let mut session = ready.session;
    session.begin_source("growth").map_err(Failure::from)?;
    let mut text =
        Text::new(generate(&LogOptions::new(LogKind::Mixed, 4 << 20, args.seed)).into_bytes());
    let mut samples: Vec<Sample> = Vec::new();
    let every = ((total - first) / 10).max(1);
    let (mut next, mut start, mut before) = (first, Instant::now(), 0);
    let mut cpu = process::cpu_time().unwrap_or_default();
    loop {
        if context.stop.requested() {
            return Err(crate::context::stopped(context.stop.exit_code().unwrap_or(130)));
        }
        session.feed(text.next()).map_err(Failure::from)?;
        let tokens = session.counters().tokens_read_by_model;
        if tokens < next {
            continue;
        }
        session.flush().map_err(Failure::from)?;
        let tokens_per_second = per_second(tokens - before, start.elapsed());
        let used = process::cpu_time().unwrap_or_default();
        let sample = Sample {
            tokens,
            memory: process::memory(),
            tokens_per_second,
            tokens_per_cpu_second: per_second(tokens - before, used - cpu),
            open_files: process::open_files(),
        };
        cpu = used;
        report(context, &sample)?;
        samples.push(sample);
        if tokens >= total {
            break;
        }
        (next, before, start) = ((tokens + every).min(total), tokens, Instant::now());
    }
    let planned = session.plan().ram.total();
    let blocks = session.counters().blocks;
    session.close().map_err(Failure::from)?;
    let run = Run { samples, planned, blocks, model: ready.report.model };
    conclude(context, &run, ready.report.weights)
}

/// What was seen.
struct Run {
    samples: Vec<Sample>,
    planned: u64,
    blocks: u64,
    model: String,
}

fn conclude(context: &Context, run: &Run, weights: WeightKind) -> Result<u8, Failure> {
    let (Some(first), Some(last)) = (run.samples.first(), run.samples.last()) else { return Ok(0) };
    let planned = run.planned;
    let ratio = last.memory.anonymous as f64 / first.memory.anonymous.max(1) as f64;
    context.out.line(format!(
        "anonymous memory after {} tokens is {ratio:.3} of that after {}; peak {} of {} planned",
        size::count(last.tokens),
        size::count(first.tokens),
        size::text(last.memory.peak),
        size::text(planned),
    ))?;
    let speed = run.samples.get(1).map_or(f64::NAN, |warm| {
        last.tokens_per_cpu_second / warm.tokens_per_cpu_second.max(f64::MIN_POSITIVE)
    });
    context.out.line(format!(
        "speed in processor time of the last part is {speed:.3} of that of the first after the \
         warm-up; files open: {} then, {} now",
        first.open_files, last.open_files
    ))?;
    context.out.event(&json!({
        "event": "bench", "name": "growth", "speed_ratio": (speed * 1e4).round() / 1e4,
        "open_files_first": first.open_files, "open_files": last.open_files,
        "anon_ratio": (ratio * 1e4).round() / 1e4,
        "ram_anon_bytes": last.memory.anonymous, "ram_anon_first_bytes": first.memory.anonymous,
        "ram_peak_bytes": last.memory.peak, "ram_planned_bytes": planned,
        "tokens": last.tokens, "first_tokens": first.tokens, "blocks": run.blocks,
        "tokens_per_second": round(last.tokens_per_second), "model": run.model,
        "weights": weights,
    }))?;
    Ok(0)
}

fn report(context: &Context, s: &Sample) -> Result<(), Failure> {
    context.out.event(&json!({
        "event": "row", "tokens": s.tokens, "ram_anon_bytes": s.memory.anonymous,
        "ram_bytes": s.memory.resident, "tokens_per_second": round(s.tokens_per_second),
        "tokens_per_cpu_second": round(s.tokens_per_cpu_second), "open_files": s.open_files,
    }))?;
    context.out.line(format!(
        "{:>9} tokens: anonymous {:>9}, resident {:>9}, {:.0} tokens/s, {:.0} a processor second, \
         {} files",
        size::count(s.tokens),
        size::text(s.memory.anonymous),
        size::text(s.memory.resident),
        s.tokens_per_second,
        s.tokens_per_cpu_second,
        s.open_files,
    ))
}
