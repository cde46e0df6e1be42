//! Reading sources into a session, with a live line and progress events.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lcedge::input::{Intake, ReadOptions, Source, Step};
use lcedge::session::Session;
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::Out;
use crate::{process, size};

/// How often a progress event is printed at most.
const EVERY: Duration = Duration::from_secs(1);
/// How often the live line changes.
const LIVE: Duration = Duration::from_millis(200);

/// Warnings that are printed while reading.
const WARNINGS_MAX: usize = 3;

/// The `progress` object of the contract.
#[derive(Serialize)]
struct ProgressEvent<'a> {
    event: &'static str,
    source: &'a str,
    tokens: u64,
    bytes: u64,
    bytes_total: Option<u64>,
    tokens_per_second: f64,
    blocks: u64,
    ram_bytes: u64,
}

/// Progress over all sources of a run.
pub(crate) struct Reading {
    /// Time spent reading, questions left out.
    pub(crate) time: Duration,
    /// Lines that were read without their end.
    pub(crate) open_lines: u64,
    warnings: usize,
    start: Instant,
    /// When a progress event was printed last.
    told: Instant,
    /// When the live line was changed last.
    drawn: Instant,
    /// Bytes of the source that is read, where that is known.
    bytes_total: Option<u64>,
    /// Bytes read before this source.
    bytes_before: u64,
}

impl Reading {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            time: Duration::ZERO,
            open_lines: 0,
            warnings: 0,
            start: now,
            told: now,
            drawn: now,
            bytes_total: None,
            bytes_before: 0,
        }
    }

    /// Reads one source to its end, or until the user stops; says whether it came to its end.
    /// `caught_up` is called once, when there is nothing more to read for now.
    ///
    /// # Errors
    /// [`Failure`]; what was absorbed before stays absorbed.
    pub(crate) fn read(
        &mut self,
        context: &mut Context,
        session: &mut Session,
        source: Source,
        options: &ReadOptions,
        caught_up: &mut dyn FnMut(&mut Context, &mut Session) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        let name = source.name.clone();
        self.start = Instant::now();
        self.bytes_before = session.counters().bytes;
        let mut intake = Intake::begin(session, source, options)?;
        self.bytes_total = intake.bytes_total().filter(|_| !options.follow);
        notices(&context.out, &mut intake);
        draw(&mut context.out, &name, self.bytes_total);
        let ended = self.steps(context, session, &mut intake, options.follow, caught_up);
        context.out.draw(None);
        self.time += self.start.elapsed();
        if ended.is_err() {
            // What was absorbed is made durable if it can be; the failure itself is told.
            let _ = intake.stop(session);
        }
        ended
    }

    fn steps(
        &mut self,
        context: &mut Context,
        session: &mut Session,
        intake: &mut Intake,
        follow: bool,
        caught_up: &mut dyn FnMut(&mut Context, &mut Session) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        let name = &intake.source().name.clone();
        let mut first_idle = follow;
        loop {
            if context.stop.requested() {
                intake.stop(session)?;
                return Ok(false);
            }
            let step = intake.step(session)?;
            notices(&context.out, intake);
            if let Some(warning) = session.take_warning() {
                self.warn(&context.out, &warning);
            }
            match step {
                Step::End => break,
                Step::Absorbed | Step::Read => self.tell(&context.out, session, name)?,
                Step::Idle => {
                    self.tell(&context.out, session, name)?;
                    let holds_text = session.reader().is_some_and(|r| r.blocks() > 0);
                    if first_idle && intake.is_settled() && holds_text {
                        first_idle = false;
                        self.pause(context, session, caught_up)?;
                        draw(&mut context.out, name, None);
                    }
                }
            }
        }
        intake.finish(session)?;
        self.open_lines += u64::from(intake.ends_mid_line());
        notices(&context.out, intake);
        self.tell(&context.out, session, name)?;
        Ok(true)
    }

    /// Does something else while a source is open; its time does not count as reading.
    fn pause(
        &mut self,
        context: &mut Context,
        session: &mut Session,
        then: &mut dyn FnMut(&mut Context, &mut Session) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        context.out.draw(None);
        self.time += self.start.elapsed();
        then(context, session)?;
        self.start = Instant::now();
        Ok(())
    }

    /// The same kind of trouble is told a few times and then no more.
    fn warn(&mut self, out: &Out, warning: &str) {
        self.warnings += 1;
        match self.warnings {
            1..=WARNINGS_MAX => out.warn(warning),
            n if n == WARNINGS_MAX + 1 => {
                out.warn("there are more warnings, left out from here on")
            }
            _ => {}
        }
    }

    fn tell(&mut self, out: &Out, session: &mut Session, name: &str) -> Result<(), Failure> {
        let now = Instant::now();
        if out.json && !out.quiet && now - self.told >= EVERY {
            self.told = now;
            let (tokens, rate) = self.rate(session);
            out.event(&ProgressEvent {
                event: "progress",
                source: name,
                tokens,
                bytes: session.counters().bytes,
                bytes_total: self.bytes_total,
                tokens_per_second: round(rate),
                blocks: session.counters().blocks,
                ram_bytes: process::memory().resident,
            })?;
        }
        if let Some(bar) = out.bar().filter(|_| now - self.drawn >= LIVE) {
            self.drawn = now;
            self.redraw(bar, session);
        }
        Ok(())
    }

    fn rate(&self, session: &mut Session) -> (u64, f64) {
        let tokens = session.fates().total();
        (tokens, per_second(tokens, self.time + self.start.elapsed()))
    }

    fn redraw(&self, bar: &ProgressBar, session: &mut Session) {
        let (_, rate) = self.rate(session);
        let counters = session.counters();
        let done = counters.bytes - self.bytes_before.min(counters.bytes);
        let left = self.bytes_total.filter(|_| done > 0).map(|total| {
            let per_byte = self.start.elapsed().as_secs_f64() / done as f64;
            format!(", {} left", size::seconds(per_byte * total.saturating_sub(done) as f64))
        });
        bar.set_position(done);
        bar.set_message(format!(
            "{rate:.0} tokens/s{}, {} blocks, RAM {}",
            left.unwrap_or_default(),
            size::count(counters.blocks),
            size::text(process::memory().resident)
        ));
    }
}

/// Tokens a second.
pub(crate) fn per_second(tokens: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { tokens as f64 / time.as_secs_f64() }
}

/// A figure with one digit behind the point.
pub(crate) fn round(x: f64) -> f64 {
    (x * 10.0).round() / 10.0
}

fn notices(out: &Out, intake: &mut Intake) {
    while let Some(notice) = intake.take_notice() {
        out.note(notice.to_string());
    }
}

fn draw(out: &mut Out, name: &str, total: Option<u64>) {
    if !out.live {
        return;
    }
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(10));
    let template = if total.is_some() {
        "  {prefix} {bar:10} {percent:>3}%  {wide_msg}"
    } else {
        "  {prefix} {spinner} {binary_bytes}  {wide_msg}"
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(super::answers::clip(name, 24));
    out.draw(Some(bar));
}
