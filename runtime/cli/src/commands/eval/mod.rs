//! `eval`: rows as they come, then one object with the figures.

mod beam;
mod needles;
mod next;
mod perplexity;
mod report;
mod rig;
mod sets;
mod surprise;
mod tiers;

use std::path::Path;

use lcedge::session::Session;
use lcedge::setup::Ready;
use lcedge_eval::sets::Set;

use super::workspace::Workspace;
use crate::args::EvalCommand;
use crate::context::{Context, stopped};
use crate::failure::Failure;

pub(crate) fn run(context: &mut Context, command: &EvalCommand) -> Result<u8, Failure> {
    match command {
        EvalCommand::Needles(args) => needles::run(context, args),
        EvalCommand::Perplexity(args) => perplexity::run(context, args),
        EvalCommand::Tiers(args) => tiers::run(context, args),
        EvalCommand::Beam(args) => beam::run(context, args),
        EvalCommand::Ruler(args) => sets::run(context, Set::Ruler, args),
        EvalCommand::Babilong(args) => sets::run(context, Set::Babilong, args),
        EvalCommand::Passkey(args) => sets::run(context, Set::Passkey, args),
        EvalCommand::Longeval(args) => sets::run(context, Set::Longeval, args),
        EvalCommand::Kv(args) => sets::run(context, Set::Kv, args),
        EvalCommand::Locomo(args) => sets::run(context, Set::Locomo, args),
        EvalCommand::Surprise { input, labels } => surprise::run(context, input, labels),
    }
}

/// A session over a temporary store.
fn fresh(context: &mut Context) -> Result<(Workspace, Ready), Failure> {
    let workspace = Workspace::temporary(&context.stop)?;
    context.options.store = Some(workspace.path().to_owned());
    let ready = context.open()?;
    Ok((workspace, ready))
}

/// Reads all of `text` into the session as one source.
fn absorb(
    context: &Context,
    session: &mut Session,
    name: &str,
    text: &[u8],
) -> Result<(), Failure> {
    session.begin_source(name)?;
    for part in text.chunks(lcedge::limits::PIECE_BYTES) {
        session.encode_ahead(part)?;
        while session.absorb_ahead(1)? > 0 {
            check_stop(context)?;
        }
    }
    session.finish_source()?;
    Ok(session.flush()?)
}

/// An evaluation that is stopped has no figures.
fn check_stop(context: &Context) -> Result<(), Failure> {
    context.stop.exit_code().map_or(Ok(()), |code| Err(stopped(code)))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|e| Failure::file(path, &e))
}

/// The same of a text, which must not be empty.
fn read_text(path: &Path) -> Result<Vec<u8>, Failure> {
    let text = read(path)?;
    if text.is_empty() {
        return Err(Failure::bad_argument(format!("{}: the file is empty", path.display())));
    }
    Ok(text)
}

/// The last part of a path, as sources are named.
fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(|| "input".to_owned(), |n| n.to_string_lossy().into_owned())
}
