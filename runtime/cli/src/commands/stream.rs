//! `stream`: read, show what was surprising, answer, sum up.

use std::fs;
use std::path::Path;
use std::time::Instant;

use lcedge::input::{self, Listing, Place, ReadOptions, Source};
use lcedge::session::Session;
use lcedge::setup::Ready;
use serde::Serialize;

use super::answers::{Asker, TEXT_CHARS_MAX, clip, shown_name};
use super::reading::Reading;
use super::summary::Summary;
use super::workspace::Workspace;
use crate::args::{Format, StreamArgs};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Out;

/// The `surprise` object of the contract.
#[derive(Serialize)]
struct SurpriseEvent<'a> {
    event: &'static str,
    source: &'a str,
    line: u64,
    nats: f32,
    nats_per_token: f32,
    /// Nats beyond the average of so many tokens: the rank.
    excess_nats: f32,
    text: &'a str,
}

pub(crate) fn run(context: &mut Context, args: &StreamArgs) -> Result<u8, Failure> {
    let asker = Asker::new(&args.answer)?;
    let questions = questions(args)?;
    let listing = listing(context, args)?;
    let workspace = match &context.options.store {
        Some(dir) => Workspace::at(dir.clone()),
        None => Workspace::temporary(&context.stop)?,
    };
    context.options.store = Some(workspace.path().to_owned());
    let started = Instant::now();
    let Ready { session, report, .. } = context.open()?;
    say_store(&context.out, &workspace);
    context.stop.looks(true);
    let mut run = Run {
        args,
        asker,
        questions,
        session,
        reading: Reading::new(),
        failed: None,
        told_surprises: false,
    };
    let ended = run.all(context, listing);
    let summary = Summary::take(&mut run.session, &run.reading, args.input.as_path());
    let closed = run.session.close().map_err(Failure::from);
    if ended.as_ref().is_err_and(Failure::is_broken_pipe) {
        return ended.map(|()| 0);
    }
    // What was absorbed is summed up also when something failed.
    summary.finish(started, &workspace, &report).print(&context.out, &report, &workspace)?;
    ended.and(closed)?;
    if let Some(code) = context.stop.exit_code() {
        return Ok(code);
    }
    match run.failed {
        Some(failure) => Ok(failure.code),
        None => Ok(0),
    }
}

/// The sources, with everything about them that can be found wrong before a model is loaded.
fn listing(context: &Context, args: &StreamArgs) -> Result<Listing, Failure> {
    let mut listing = input::list(&args.input, context.options.store.as_deref())?;
    if let Some(name) = &args.source {
        match listing.sources.as_mut_slice() {
            [source] => source.name.clone_from(name),
            _ => {
                return Err(Failure::bad_argument(
                    "--source names one source, this folder has several",
                ));
            }
        }
    }
    if args.follow && args.input.is_dir() {
        return Err(Failure::bad_argument("--follow takes one file or -, not a folder"));
    }
    for source in &listing.sources {
        input::probe(source, args.format != Format::Auto)?;
    }
    if !listing.skipped.is_empty() {
        let names: Vec<String> =
            listing.skipped.iter().map(|s| format!("{} ({})", s.path.display(), s.why)).collect();
        let shown = names.len().min(SKIPPED_SHOWN);
        let more = names.len() - shown;
        let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
        context.out.note(format!("skipped: {}{rest}", names[..shown].join(", ")));
    }
    Ok(listing)
}

/// Most skipped files that are named.
const SKIPPED_SHOWN: usize = 20;

/// The questions of the flags, then those of the file.
fn questions(args: &StreamArgs) -> Result<Vec<String>, Failure> {
    let mut all = args.ask.clone();
    if let Some(file) = &args.questions {
        let bytes = fs::read(file).map_err(|e| Failure::file(file, &e))?;
        let text = String::from_utf8_lossy(&bytes);
        all.extend(text.lines().map(str::trim).filter(|q| !q.is_empty()).map(str::to_owned));
    }
    if all.iter().any(|q| q.trim().is_empty()) {
        return Err(Failure::bad_argument("--ask: the question is empty"));
    }
    Ok(all)
}

fn say_store(out: &Out, workspace: &Workspace) {
    let path = workspace.path().display();
    if workspace.is_temporary() {
        out.note("memory: temporary, removed at the end (--store DIR keeps it)");
    } else {
        out.note(format!("memory: {path}"));
    }
}

struct Run<'a> {
    args: &'a StreamArgs,
    asker: Asker,
    questions: Vec<String>,
    session: Session,
    reading: Reading,
    /// The first failure that did not end the run.
    failed: Option<Failure>,
    told_surprises: bool,
}

impl Run<'_> {
    fn all(&mut self, context: &mut Context, listing: Listing) -> Result<(), Failure> {
        let several = listing.sources.len() > 1;
        for source in listing.sources {
            match self.read(context, source, several) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(failure) => return Err(failure),
            }
        }
        self.tell(context)
    }

    fn read(
        &mut self,
        context: &mut Context,
        source: Source,
        several: bool,
    ) -> Result<bool, Failure> {
        let options = ReadOptions {
            follow: self.args.follow,
            any_bytes: self.args.format != Format::Auto,
            json_lines: self.args.format == Format::Jsonl,
        };
        let place = source.place.clone();
        let (asker, questions, top) = (&self.asker, &self.questions, self.args.top);
        let (failed, told) = (&mut self.failed, &mut self.told_surprises);
        let read = self.reading.read(context, &mut self.session, source, &options, &mut |c, s| {
            *told = true;
            tell(c, s, asker, questions, top, failed)
        });
        match read {
            // A file of a folder that has gone since it was listed does not end the run.
            Err(failure) if several && is_gone(&place) => {
                context.out.warn(format!("left out: {}", failure.message));
                Ok(true)
            }
            other => other,
        }
    }

    fn tell(&mut self, context: &mut Context) -> Result<(), Failure> {
        if self.told_surprises {
            return Ok(());
        }
        let (session, failed) = (&mut self.session, &mut self.failed);
        tell(context, session, &self.asker, &self.questions, self.args.top, failed)
    }
}

fn is_gone(place: &Place) -> bool {
    match place {
        Place::Stdin => false,
        Place::Path(path) => !Path::new(path).exists(),
    }
}

/// Surprising lines, then answers.
fn tell(
    context: &mut Context,
    session: &mut Session,
    asker: &Asker,
    questions: &[String],
    top: usize,
    failed: &mut Option<Failure>,
) -> Result<(), Failure> {
    surprises(&context.out, session, top)?;
    for question in questions {
        if context.stop.requested() {
            return Ok(());
        }
        match asker.ask(&context.out, session, question) {
            Ok(_) => {}
            // One question that cannot be asked leaves the others.
            Err(failure) if failure.kind == "bad_argument" => {
                context.out.failure(&failure);
                failed.get_or_insert(failure);
            }
            Err(failure) => return Err(failure),
        }
        if let Some(warning) = session.take_warning() {
            context.out.warn(warning);
        }
    }
    Ok(())
}

fn surprises(out: &Out, session: &Session, top: usize) -> Result<(), Failure> {
    let lines = session.lines().top();
    let lines = &lines[..top.min(lines.len())];
    for l in lines {
        out.event(&SurpriseEvent {
            event: "surprise",
            source: &l.source,
            line: l.line,
            nats: l.nats,
            nats_per_token: l.nats_per_token,
            excess_nats: l.excess,
            text: &l.text,
        })?;
    }
    if lines.is_empty() {
        return Ok(());
    }
    let paint = out.paint;
    out.line("")?;
    let what = paint.dim("(nats beyond the average of their length)");
    out.line(format!("{} {what}", paint.bold("Most surprising lines")))?;
    for l in lines {
        let place = format!("{}:{}:", shown_name(&l.source), l.line);
        let nats = paint.dim(&format!("{:>+7.1}", l.excess));
        out.line(format!("  {nats}  {} {}", paint.cyan(&place), clip(&l.text, TEXT_CHARS_MAX)))?;
    }
    Ok(())
}
