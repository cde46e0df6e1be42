//! `doctor`: what works on this machine, what does not, and what to do.

use std::fs;
use std::path::Path;

use lcedge::memory::{self, OpenError, VerifyError};
use lcedge::models::{ModelSource, zoo};
use lcedge::setup::{self, SetupError};
use lcedge::targets::ort::Runtime;
use lcedge::targets::probe::Machine;
use serde_json::json;

use super::memory::{cost_text, costs};
use super::model::prepared;
use crate::context::{Context, variable};
use crate::failure::Failure;
use crate::{process, size};

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ok,
    /// Works, with something to know or to be done by itself later.
    Note,
    Failed,
}

struct Check {
    name: &'static str,
    state: State,
    what: String,
    todo: Option<String>,
}

impl Check {
    fn ok(name: &'static str, what: impl Into<String>) -> Self {
        Self { name, state: State::Ok, what: what.into(), todo: None }
    }

    fn note(name: &'static str, what: impl Into<String>, todo: &str) -> Self {
        Self { name, state: State::Note, what: what.into(), todo: Some(todo.to_owned()) }
    }

    fn failed(name: &'static str, failure: &Failure) -> Self {
        let what = failure.message.clone();
        Self { name, state: State::Failed, what, todo: failure.hint.clone() }
    }
}

/// Disk space below which a run is likely to fail.
const FREE_BYTES_MIN: u64 = 1 << 30;

pub(crate) fn run(context: &mut Context) -> Result<u8, Failure> {
    let checks = [
        machine(),
        model(context),
        library(context),
        plan(context),
        store(context)?,
        cost(context)?,
        disk(context)?,
    ];
    let out = &context.out;
    let paint = out.paint;
    for c in &checks {
        let state = match c.state {
            State::Ok => "ok",
            State::Note => "note",
            State::Failed => "failed",
        };
        out.event(&json!({
            "event": "check", "check": c.name, "state": state, "message": c.what, "hint": c.todo,
        }))?;
        let mark = match c.state {
            State::Ok => paint.green("ok    "),
            State::Note => paint.yellow("note  "),
            State::Failed => paint.red("FAILED"),
        };
        out.line(format!("{mark} {:<8} {}", c.name, c.what.replace('\n', "\n                ")))?;
        if let Some(todo) = &c.todo {
            out.line(format!("                {}", paint.bold(&format!("-> {todo}"))))?;
        }
    }
    let failed = checks.iter().filter(|c| c.state == State::Failed).count();
    out.event(&json!({"event": "doctor", "failed": failed, "ok": failed == 0}))?;
    Ok(u8::from(failed > 0))
}

fn machine() -> Check {
    let m = Machine::read(Path::new("/"));
    let board = m.board.as_ref().map_or_else(String::new, |b| format!(", {}", b.model));
    let what = format!(
        "{} ({}), {} cores, {} of {} RAM free{board}",
        m.processor,
        m.architecture,
        m.cores,
        size::text(m.memory_bytes_available),
        size::text(m.memory_bytes_total),
    );
    Check::ok("machine", what)
}

fn model(context: &Context) -> Check {
    const NAME: &str = "model";
    let asked = &context.options.model;
    let found = ModelSource::resolve(asked).map_err(Failure::from);
    let here = found.and_then(|source| Ok((prepared(context)?, source)));
    let (prepared, source) = match here {
        Ok(both) => both,
        Err(failure) => return Check::failed(NAME, &failure),
    };
    if let Some(p) = prepared.iter().find(|p| p.card.name == source.name()) {
        return Check::ok(NAME, format!("{asked} is prepared in {}", p.dir.display()));
    }
    match zoo::find(asked).and_then(|m| m.wheel) {
        Some(wheel) if context.options.offline => Check::failed(
            NAME,
            &Failure::new("offline", format!("{asked} is not here and --offline was given")).hint(
                format!(
                    "run `lcedge model prepare {asked}` once with network ({})",
                    size::text(wheel.size_bytes)
                ),
            ),
        ),
        Some(wheel) => Check::note(
            NAME,
            format!(
                "{asked} is not here yet: {} are fetched at first use",
                size::text(wheel.size_bytes)
            ),
            &format!("lcedge model prepare {asked}"),
        ),
        None => Check::note(
            NAME,
            format!("{asked} is prepared at first use"),
            &format!("lcedge model prepare {asked}"),
        ),
    }
}

fn library(context: &Context) -> Check {
    const NAME: &str = "library";
    // Looking must not fetch.
    let look = setup::SetupOptions { offline: true, ..context.options.clone() };
    let found = match setup::library(&look, &mut |_| {}) {
        Ok(found) => found,
        Err(e)
            if context.options.offline || matches!(&e, SetupError::Library(l) if is_given(l)) =>
        {
            return Check::failed(NAME, &e.into());
        }
        Err(_) => {
            let what = "ONNX Runtime is not here yet: it is fetched at first use";
            return Check::note(
                NAME,
                what,
                "nothing to do, or install it: pip install onnxruntime",
            );
        }
    };
    let said =
        format!("ONNX Runtime {} ({}): {}", found.version, found.reason, found.path.display());
    match Runtime::load(&found) {
        Ok(_) => Check::ok(NAME, said),
        Err(e) => Check::failed(NAME, &Failure::from(SetupError::from(e))),
    }
}

fn is_given(e: &lcedge::targets::ort::LibraryError) -> bool {
    matches!(e, lcedge::targets::ort::LibraryError::Given { .. })
}

/// The plan, when the model is prepared: nothing is fetched for it.
fn plan(context: &Context) -> Check {
    const NAME: &str = "plan";
    let look = setup::SetupOptions { offline: true, ..context.options.clone() };
    match setup::plan(&look, &mut |_| {}) {
        Ok((plan, _)) => {
            let total = plan.ram.total();
            let free = Machine::read(Path::new("/")).memory_bytes_available;
            let what = format!("{} of RAM (`lcedge plan` shows of what)", size::text(total));
            if free > 0 && total > free {
                let what = format!("{what}, {} are free", size::text(free));
                return Check::note(NAME, what, "try --weights int4 or a smaller --window");
            }
            Check::ok(NAME, what)
        }
        Err(e @ SetupError::Plan(_)) => Check::failed(NAME, &e.into()),
        Err(_) => Check::note(NAME, "known when the model is prepared", "lcedge plan"),
    }
}

fn store(context: &Context) -> Result<Check, Failure> {
    const NAME: &str = "memory";
    let dir = context.store_dir()?;
    if !dir.exists() {
        return Ok(match writable(&dir) {
            Ok(()) => Check::ok(NAME, format!("{} is made at first use", dir.display())),
            Err(failure) => Check::failed(NAME, &failure),
        });
    }
    Ok(match memory::verify(&dir, false) {
        Ok(report) if report.ok() => Check::ok(
            NAME,
            format!("{}: {} blocks, all well", dir.display(), size::count(report.blocks)),
        ),
        Ok(report) => {
            let what = format!("{}: {}", dir.display(), report.problems.join("; "));
            let hint = "lcedge memory verify, then lcedge memory rebuild".to_owned();
            Check::failed(NAME, &Failure::new("store_damaged", what).hint(hint))
        }
        Err(VerifyError::Open(OpenError::Absent { .. })) => match writable(&dir) {
            Ok(()) => Check::ok(NAME, format!("{} is empty", dir.display())),
            Err(failure) => Check::failed(NAME, &failure),
        },
        Err(e) => Check::failed(NAME, &e.into()),
    })
}

/// Whether stored blocks are read or computed again, as it was measured here.
fn cost(context: &mut Context) -> Result<Check, Failure> {
    const NAME: &str = "recall";
    let unknown = "measured when text is read and recalled: until then blocks are read";
    if !context.store_dir()?.exists() {
        return Ok(Check::ok(NAME, unknown));
    }
    let before = std::mem::replace(&mut context.options.offline, true);
    let reader = context.setting_up(setup::open_reader);
    context.options.offline = before;
    // What is wrong with model or store is said by their own checks.
    let costs = reader.map(|r| costs(&r)).unwrap_or_default();
    let lines: Vec<String> = costs.iter().map(cost_text).collect();
    if lines.is_empty() {
        return Ok(Check::ok(NAME, unknown));
    }
    Ok(Check::ok(NAME, format!("a token of a block: {}", lines.join("; "))))
}

/// Whether something can be written there, or where it would be made.
fn writable(dir: &Path) -> Result<(), Failure> {
    let absolute = std::path::absolute(dir).map_err(|e| Failure::file(dir, &e))?;
    let there = absolute.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"));
    let hint = || "name another folder with --store".to_owned();
    if !there.is_dir() {
        let what = format!("{} is not a folder", there.display());
        return Err(Failure::new("store_not_a_directory", what).hint(hint()));
    }
    let probe = there.join(format!(".lcedge-doctor-{}", std::process::id()));
    fs::write(&probe, b"x").map_err(|e| Failure::file(there, &e).hint(hint()))?;
    fs::remove_file(&probe).map_err(|e| Failure::file(&probe, &e))
}

fn disk(context: &Context) -> Result<Check, Failure> {
    const NAME: &str = "disk";
    let cache = setup::cache_dir(&context.options)?;
    let mut worst: Option<(u64, String)> = None;
    for dir in [context.store_dir()?, cache, std::env::temp_dir()] {
        let Some(free) = process::free_bytes(&dir) else { continue };
        if worst.as_ref().is_none_or(|w| free < w.0) {
            worst = Some((free, dir.display().to_string()));
        }
    }
    let Some((free, dir)) = worst else {
        return Ok(Check::ok(NAME, "free space is not known here"));
    };
    let what = format!("{} free for {dir}", size::text(free));
    if free < FREE_BYTES_MIN {
        let todo = "free some space, or choose folders with --store, --cache and TMPDIR";
        return Ok(Check::failed(NAME, &Failure::new("no_space", what).hint(todo.to_owned())));
    }
    // The environment decides where the per-user folders are.
    let home =
        variable("HOME").map_or_else(String::new, |h| format!(" (HOME {})", h.to_string_lossy()));
    Ok(Check::ok(NAME, format!("{what}{home}")))
}
