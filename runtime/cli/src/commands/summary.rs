//! The last object of `stream`, and the last lines that people see.

use std::path::Path;
use std::time::Instant;

use lcedge::fates::Fates;
use lcedge::session::{Counters, Session};
use lcedge::setup::Report;
use serde::Serialize;

use super::answers::shown_name;
use super::reading::{Reading, per_second, round};
use super::workspace::Workspace;
use crate::context::weights_name;
use crate::failure::Failure;
use crate::output::Out;
use crate::{process, size};

/// RAM by purpose, bytes: what the engine holds and what the plan gives the rest.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Ram {
    weights: u64,
    window: u64,
    engine: u64,
    index: u64,
    queue: u64,
    map: u64,
}

/// Figures that only an open session tells.
pub(crate) struct Summary {
    source: String,
    fates: Fates,
    counters: Counters,
    open_lines: u64,
    seconds: f64,
    rate: f64,
    spill_wait_ms: u128,
    ram: Ram,
    ram_planned: u64,
    store_blocks: usize,
}

/// The `summary` object of the contract.
#[derive(Serialize)]
pub(crate) struct SummaryEvent<'a> {
    event: &'static str,
    source: String,
    bytes: u64,
    lines: u64,
    tokens: u64,
    tokens_read_by_model: u64,
    tokens_per_second: f64,
    ms: u64,
    total_ms: u64,
    fates: Fates,
    recalled_blocks: u64,
    blocks: u64,
    store_blocks: usize,
    store_bytes: u64,
    written_bytes: u64,
    ram_peak_bytes: u64,
    ram_anon_bytes: u64,
    ram_planned_bytes: u64,
    ram: Ram,
    model: &'a str,
    weights: String,
    device: &'a str,
    device_reason: &'a str,
    restored_tokens: u64,
    prefilled_tokens: u64,
    dropped_bytes: u64,
    invalid_utf8: u64,
    damaged_blocks: u64,
    spill_wait_ms: u64,
}

impl Summary {
    /// What the session tells before it is closed.
    pub(crate) fn take(session: &mut Session, reading: &Reading, input: &Path) -> Self {
        let fates = session.fates();
        let engine = session.window().engine().usage();
        let plan = session.plan();
        let index =
            session.reader().and_then(|r| r.stats().ok()).map_or(0, |s| s.index_resident_bytes);
        let name =
            input.file_name().map_or_else(|| input.to_string_lossy(), |n| n.to_string_lossy());
        Self {
            source: if input == Path::new("-") { "stdin".to_owned() } else { name.into_owned() },
            fates,
            counters: session.counters(),
            open_lines: reading.open_lines,
            seconds: reading.time.as_secs_f64(),
            rate: per_second(fates.total(), reading.time),
            spill_wait_ms: session.spill_wait().as_millis(),
            ram: Ram {
                weights: engine.weights_bytes,
                window: engine.window_bytes,
                engine: engine.scratch_bytes,
                index,
                queue: plan.ram.queue,
                map: plan.ram.map,
            },
            ram_planned: plan.ram.total(),
            store_blocks: session.reader().map_or(0, lcedge::memory::Reader::blocks),
        }
    }

    /// The rest, after it is closed and everything is durable.
    pub(crate) fn finish<'a>(
        self,
        started: Instant,
        workspace: &Workspace,
        report: &'a Report,
    ) -> SummaryEvent<'a> {
        let small = |ms: u128| u64::try_from(ms).unwrap_or(u64::MAX);
        let (memory, c) = (process::memory(), self.counters);
        let store_bytes = process::folder_bytes(workspace.path());
        SummaryEvent {
            event: "summary",
            source: self.source,
            bytes: c.bytes,
            lines: c.lines + self.open_lines,
            tokens: self.fates.total(),
            tokens_read_by_model: c.tokens_read_by_model,
            tokens_per_second: round(self.rate),
            ms: (self.seconds * 1000.0) as u64,
            total_ms: small(started.elapsed().as_millis()),
            fates: self.fates,
            recalled_blocks: c.recalled_blocks,
            blocks: c.blocks,
            store_blocks: self.store_blocks,
            store_bytes,
            written_bytes: process::written_bytes().unwrap_or(store_bytes),
            ram_peak_bytes: memory.peak,
            ram_anon_bytes: memory.anonymous,
            ram_planned_bytes: self.ram_planned,
            ram: self.ram,
            model: &report.model,
            weights: weights_name(report.weights),
            device: &report.device,
            device_reason: &report.device_reason,
            restored_tokens: c.restored_tokens,
            prefilled_tokens: c.prefilled_tokens,
            dropped_bytes: c.dropped_bytes,
            invalid_utf8: c.invalid_utf8,
            damaged_blocks: c.damaged_blocks,
            spill_wait_ms: small(self.spill_wait_ms),
        }
    }
}

impl SummaryEvent<'_> {
    /// Prints it.
    pub(crate) fn print(
        &self,
        out: &Out,
        report: &Report,
        workspace: &Workspace,
    ) -> Result<(), Failure> {
        out.event(self)?;
        if out.json || out.quiet {
            return Ok(());
        }
        let count = size::count;
        out.line("")?;
        if self.tokens == 0 {
            out.line(format!("Nothing new was read from {}.", shown_name(&self.source)))?;
        } else {
            out.line(format!(
                "Read {} tokens ({} lines, {}) of {} in {}: {:.0} tokens/s.",
                count(self.tokens),
                count(self.lines),
                size::text(self.bytes),
                shown_name(&self.source),
                size::seconds(self.ms as f64 / 1000.0),
                self.tokens_per_second,
            ))?;
            out.line(self.where_tokens_are())?;
        }
        out.line(format!(
            "RAM {} at most, memory on disk {} ({} blocks), model {} on {}.",
            size::text(self.ram_peak_bytes),
            size::text(self.store_bytes),
            count(self.store_blocks as u64),
            report.model,
            report.device,
        ))?;
        for (n, what) in [
            (self.dropped_bytes, "bytes that the model has no token for were left out"),
            (self.invalid_utf8, "places that are not UTF-8 were read as U+FFFD"),
            (self.damaged_blocks, "damaged blocks were left out of recall"),
        ] {
            if n > 0 {
                out.warn(format!("{} {what}", count(n)));
            }
        }
        if !workspace.is_temporary() {
            let dir = workspace.path().display();
            out.note(out.paint_err.dim(&format!("ask more: lcedge ask \"...\" --store {dir}")));
        }
        Ok(())
    }

    fn where_tokens_are(&self) -> String {
        let f = self.fates;
        let parts: Vec<String> = [
            (f.resident, "in RAM"),
            (f.spilled, "exact on disk"),
            (f.condensed, "condensed"),
            (f.text, "as text"),
        ]
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, what)| format!("{} {what}", size::count(*n)))
        .collect();
        let lost = match f.dropped {
            0 => "none lost".to_owned(),
            n => format!("{} LOST", size::count(n)),
        };
        format!("Of these {}; {lost}.", parts.join(", "))
    }
}
