//! `memory`: what is remembered, without running a model.

use lcedge::conversation::is_one as is_conversation;
use lcedge::cost::{self, Measured};
use lcedge::memory::{self, BlockId, BlockInfo, Filter, Reader, SourceId};
use lcedge::setup;
use serde_json::{Value, json};

use super::answers::{TEXT_CHARS_MAX, clip, shown_name};
use super::ask::sources_named;
use crate::args::MemoryCommand;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Out;
use crate::{process, size};

pub(crate) fn run(context: &mut Context, command: &MemoryCommand) -> Result<u8, Failure> {
    match command {
        MemoryCommand::List => list(context),
        MemoryCommand::Stats => stats(context),
        MemoryCommand::Show { id } => show(context, *id),
        MemoryCommand::Search { query, top, source } => {
            search(context, &query.join(" "), *top, source.as_deref())
        }
        MemoryCommand::Forget(args) => super::forget::run(context, args),
        MemoryCommand::Pin { ids } => super::forget::pin(context, ids, true),
        MemoryCommand::Unpin { ids } => super::forget::pin(context, ids, false),
        MemoryCommand::Verify { deep } => verify(context, *deep),
        MemoryCommand::Rebuild => rebuild(context),
        MemoryCommand::Export(args) => super::carry::export(context, args),
        MemoryCommand::Import { file, prefix } => super::carry::import(context, file, prefix),
        MemoryCommand::Compact => super::carry::compact(context),
    }
}

pub(super) fn reader(context: &mut Context) -> Result<Reader, Failure> {
    context.setting_up(setup::open_reader)
}

fn list(context: &mut Context) -> Result<u8, Failure> {
    let reader = reader(context)?;
    let out = &context.out;
    let sources = reader.sources();
    if sources.is_empty() {
        out.line("The memory is empty.")?;
    }
    for s in sources {
        let p = s.progress;
        out.event(&json!({
            "event": "source", "source": s.name, "version": s.version, "superseded": s.superseded,
            "bytes": p.absorbed_bytes, "lines": p.absorbed_lines, "blocks": s.blocks,
            "complete": p.complete,
        }))?;
        let version =
            if s.version > 1 { format!(", version {}", s.version) } else { String::new() };
        let state = match (s.superseded, p.complete) {
            (true, _) => ", replaced by a newer version",
            (false, false) if !is_conversation(&s.name) => ", not read to its end",
            (false, false) => "",
            (false, true) => "",
        };
        out.line(format!(
            "{}  {} lines, {}, {} blocks{version}{state}",
            out.paint.bold(&shown_name(&s.name)),
            size::count(p.absorbed_lines),
            size::text(p.absorbed_bytes),
            size::count(u64::from(s.blocks)),
        ))?;
    }
    Ok(0)
}

fn stats(context: &mut Context) -> Result<u8, Failure> {
    let reader = reader(context)?;
    let dir = context.store_dir()?;
    let stats = reader.stats()?;
    let store_bytes = process::folder_bytes(&dir);
    let mut event = serde_json::to_value(stats).unwrap_or_else(|_| json!({}));
    if let Value::Object(fields) = &mut event {
        fields.insert("event".to_owned(), json!("stats"));
        fields.insert("store".to_owned(), json!(dir));
        fields.insert("store_bytes".to_owned(), json!(store_bytes));
        fields.insert("costs".to_owned(), json!(costs(&reader)));
    }
    let out = &context.out;
    out.event(&event)?;
    let rows = [
        ("folder", dir.display().to_string()),
        ("sources", size::count(stats.sources)),
        (
            "blocks",
            format!(
                "{} ({} with keys and values)",
                size::count(stats.blocks),
                size::count(stats.kv_blocks)
            ),
        ),
        ("tokens", size::count(stats.tokens)),
        ("on disk", size::text(store_bytes)),
        ("  keys and values", size::text(stats.kv_bytes)),
        ("  catalogue", size::text(stats.catalogue_bytes)),
        ("segments", format!("{} ({} mapped)", stats.segments, stats.mapped_segments)),
        ("index, mapped", size::text(stats.index_bytes)),
        ("written today", size::text(stats.written_today_bytes)),
        ("damaged blocks", size::count(stats.quarantined)),
    ];
    for (name, value) in rows {
        out.line(format!("{name:<18} {value}"))?;
    }
    for cost in costs(&reader) {
        out.line(format!("{:<18} {}", "a block's token", cost_text(&cost)))?;
    }
    Ok(0)
}

/// What reading and computing blocks was measured to cost, for each model and device.
pub(super) fn costs(reader: &Reader) -> Vec<Measured> {
    let notes = reader.notes(cost::NOTE).unwrap_or_default();
    notes.iter().filter_map(|(_, bytes)| serde_json::from_slice(bytes).ok()).collect()
}

/// The same as a line.
pub(super) fn cost_text(cost: &Measured) -> String {
    let us = |ns: Option<u64>| match ns {
        Some(ns) => format!("{:.1} us", ns as f64 / 1000.0),
        None => "not measured".to_owned(),
    };
    let what = if cost.reads() { "read" } else { "computed again" };
    format!(
        "to read {}, to compute {} ({}, {}): blocks are {what}",
        us(cost.read_ns),
        us(cost.compute_ns),
        cost.model,
        cost.on
    )
}

fn place(reader: &Reader, info: &BlockInfo) -> String {
    let name = reader.source(info.source).map(|s| shown_name(&s.name)).unwrap_or_default();
    if info.span.line_start == info.span.line_end {
        format!("{name}:{}", info.span.line_start)
    } else {
        format!("{name}:{}-{}", info.span.line_start, info.span.line_end)
    }
}

fn show(context: &mut Context, id: u64) -> Result<u8, Failure> {
    let reader = reader(context)?;
    let id = BlockId(id);
    let info = reader.block(id)?;
    let bytes = reader.text(id)?;
    let text = String::from_utf8_lossy(&bytes);
    let source = reader.source(info.source)?;
    let out = &context.out;
    out.event(&json!({
        "event": "block", "block": id.0, "source": source.name, "version": source.version,
        "ordinal": info.ordinal, "line_start": info.span.line_start,
        "line_end": info.span.line_end, "byte_start": info.span.byte_start,
        "byte_end": info.span.byte_end, "time_unix_ms": info.time_unix_ms, "tokens": info.tokens,
        "surprise_nats": info.surprise_nats, "kv": info.kv, "kv_bytes": info.kv_bytes,
        "starts_mid_line": info.starts_mid_line, "ends_mid_line": info.ends_mid_line,
        "text": text,
    }))?;
    let kv = info.kv.map_or("text only".to_owned(), |kv| {
        format!("{kv:?} keys and values, {}", size::text(u64::from(info.kv_bytes))).to_lowercase()
    });
    out.line(format!(
        "block {} of {}: {} tokens, {:.1} nats of surprise, {kv}",
        id.0,
        out.paint.cyan(&place(&reader, &info)),
        info.tokens,
        info.surprise_nats
    ))?;
    for line in text.lines() {
        out.line(format!("  {}", clip(line, 10 * TEXT_CHARS_MAX)))?;
    }
    Ok(0)
}

fn search(
    context: &mut Context,
    query: &str,
    top: usize,
    source: Option<&str>,
) -> Result<u8, Failure> {
    let reader = reader(context)?;
    let sources: Option<Vec<SourceId>> = match source {
        Some(name) => Some(sources_named(&reader, name)?),
        None => None,
    };
    let filter = Filter { sources: sources.as_deref(), ..Filter::default() };
    let hits = reader.search_text(query, top, &filter)?;
    let out = &context.out;
    if hits.is_empty() {
        out.line("Nothing in the memory has these words.")?;
    }
    for hit in hits {
        let info = reader.block(hit.id)?;
        let bytes = reader.text(hit.id)?;
        print_hit(out, &reader, &info, hit.score, &String::from_utf8_lossy(&bytes))?;
    }
    Ok(0)
}

fn print_hit(
    out: &Out,
    reader: &Reader,
    info: &BlockInfo,
    score: f32,
    text: &str,
) -> Result<(), Failure> {
    let name = reader.source(info.source).map(|s| shown_name(&s.name)).unwrap_or_default();
    out.event(&json!({
        "event": "hit", "block": info.id.0, "source": name, "line_start": info.span.line_start,
        "line_end": info.span.line_end, "byte_start": info.span.byte_start,
        "byte_end": info.span.byte_end, "score": score, "found_by": ["lexical"], "text": text,
    }))?;
    let score = out.paint.dim(&format!("(block {}, score {score:.1})", info.id.0));
    out.line(format!("{} {score}", out.paint.cyan(&place(reader, info))))?;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        out.line(format!("  {}", clip(line, TEXT_CHARS_MAX)))?;
    }
    Ok(())
}

fn verify(context: &Context, deep: bool) -> Result<u8, Failure> {
    let dir = context.store_dir()?;
    let report = memory::verify(&dir, deep)?;
    let out = &context.out;
    out.event(&json!({
        "event": "verify", "blocks": report.blocks, "corrupt": report.corrupt,
        "quarantined": report.quarantined, "missing": report.missing,
        "unacknowledged": report.unacknowledged, "problems": report.problems, "ok": report.ok(),
    }))?;
    let blocks = size::count(report.blocks);
    if report.ok() {
        let how = if deep {
            "checked to the last byte"
        } else {
            "checked (--deep checks keys and values too)"
        };
        out.line(format!("{} {blocks} blocks {how}.", out.paint.green("All is well:")))?;
        return Ok(0);
    }
    out.line(format!(
        "{} {blocks} blocks are well; {} places are damaged, {} blocks quarantined, {} missing.",
        out.paint.red("Damage was found:"),
        report.corrupt,
        report.quarantined,
        report.missing
    ))?;
    for problem in &report.problems {
        out.line(format!("  {problem}"))?;
    }
    out.note("`lcedge memory rebuild` makes the catalogue anew from what is whole");
    Ok(1)
}

fn rebuild(context: &Context) -> Result<u8, Failure> {
    let dir = context.store_dir()?;
    let report = memory::rebuild(&dir)?;
    let out = &context.out;
    let mut event = serde_json::to_value(&report).unwrap_or_else(|_| json!({}));
    if let Value::Object(fields) = &mut event {
        fields.insert("event".to_owned(), json!("rebuild"));
    }
    out.event(&event)?;
    out.line(format!(
        "Rebuilt the catalogue: {} blocks of {} sources in {} segments, {} damaged blocks.",
        size::count(report.blocks),
        size::count(report.sources),
        report.segments,
        report.quarantined
    ))?;
    for problem in &report.problems {
        out.line(format!("  {problem}"))?;
    }
    Ok(0)
}
