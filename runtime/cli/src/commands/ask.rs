//! `ask`: questions to a memory that is there.

use lcedge::memory::{Reader, SourceId};
use lcedge::setup::{Ready, SetupError};

use super::answers::Asker;
use crate::args::AskArgs;
use crate::context::Context;
use crate::failure::Failure;

/// Exit code of an answer that is no.
const NO: u8 = 1;

pub(crate) fn run(context: &mut Context, args: &AskArgs) -> Result<u8, Failure> {
    let mut asker = Asker::new(&args.answer)?;
    if let Some(n) = args.top {
        asker.citations(n);
    }
    asker.time = super::answers::time(args.time.since.as_deref(), args.time.until.as_deref())?;
    if args.questions.iter().any(|q| q.trim().is_empty()) {
        return Err(Failure::bad_argument("the question is empty"));
    }
    let store = context.store_dir()?;
    if !store.exists() {
        return Err(SetupError::NoStore { path: store }.into());
    }
    let empty = || std::fs::read_dir(&store).is_ok_and(|mut dir| dir.next().is_none());
    if store.is_dir() && empty() {
        return Err(SetupError::NoStore { path: store }.into());
    }
    context.options.store = Some(store);
    // A writer may be at work on the memory meanwhile.
    context.options.read_only = true;
    let Ready { mut session, .. } = context.open()?;
    let conversation = args.session.as_deref().map(conversation).transpose()?;
    if let Some(name) = args.source.as_ref().or(conversation.as_ref()) {
        let Some(reader) = session.reader() else {
            return Err(Failure::bad_argument(
                "--source needs a memory that recalls (--memory full)",
            ));
        };
        asker.sources = Some(sources_named(reader, name)?);
    }
    context.stop.looks(true);
    let (mut absent, mut stopped) = (0, false);
    let mut ask_all = || -> Result<(), Failure> {
        for question in &args.questions {
            if context.stop.requested() {
                stopped = true;
                return Ok(());
            }
            let answer = asker.ask(&context.out, &mut session, question)?;
            absent += usize::from(!answer.found);
            if let Some(warning) = session.take_warning() {
                context.out.warn(warning);
            }
        }
        Ok(())
    };
    let asked = ask_all();
    let closed = session.close().map_err(Failure::from);
    asked?;
    closed?;
    match context.stop.exit_code() {
        Some(code) if stopped => Ok(code),
        _ => Ok(if args.fail_if_absent && absent > 0 { NO } else { 0 }),
    }
}

/// The source of a conversation.
///
/// # Errors
/// [`Failure`] of kind `bad_argument` for a name that none can have.
pub(crate) fn conversation(name: &str) -> Result<String, Failure> {
    lcedge::conversation::source(name).ok_or_else(|| {
        Failure::bad_argument(format!(
            "--session {name:?}: a name of 1 to {} bytes without control characters is taken",
            lcedge::conversation::NAME_BYTES_MAX
        ))
    })
}

/// The newest version of the source of this name.
///
/// # Errors
/// When there is none, with the names that there are.
pub(crate) fn sources_named(reader: &Reader, name: &str) -> Result<Vec<SourceId>, Failure> {
    let all = reader.sources();
    let newest = all.iter().filter(|s| !s.superseded);
    let found: Vec<SourceId> = newest.clone().filter(|s| s.name == name).map(|s| s.id).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let names: Vec<&str> = newest.map(|s| s.name.as_str()).take(20).collect();
    let known = if names.is_empty() { "it holds none".to_owned() } else { names.join(", ") };
    Err(Failure::new("source_unknown", format!("the memory has no source {name:?}"))
        .hint(format!("sources: {known}")))
}
