//! One loaded model, and sessions over it one after the other, each with a memory of its own.

use std::time::{Duration, Instant};

use lcedge::models::{Card, Prepared};
use lcedge::session::{Parts, Session};
use lcedge::setup::{self, Report, SetupOptions};
use lcedge_eval::sets::Sample;

use super::{absorb, check_stop};
use crate::commands::workspace::Workspace;
use crate::context::Context;
use crate::failure::Failure;

/// A loaded model.
pub(crate) struct Rig {
    parts: Option<Parts>,
    pub(crate) prepared: Prepared,
    pub(crate) report: Report,
    /// Tokens of the window that was asked for.
    pub(crate) window: usize,
}

/// What reading took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Read {
    pub(crate) tokens: u64,
    pub(crate) time: Duration,
}

impl Read {
    pub(crate) fn add(&mut self, other: Self) {
        self.tokens += other.tokens;
        self.time += other.time;
    }
}

/// The model's card, before anything is loaded.
pub(crate) fn card(context: &mut Context) -> Result<Card, Failure> {
    Ok(context.setting_up(setup::plan)?.1.card)
}

/// Slots that the largest of `arms` needs.
pub(crate) fn slots(card: &Card, arms: &[SetupOptions]) -> Result<usize, Failure> {
    let machine = lcedge::targets::probe::Machine::read(std::path::Path::new("/"));
    let mut most = 0;
    for arm in arms {
        most = most.max(setup::plan_for(arm, card, &machine)?.capacity_tokens);
    }
    Ok(most)
}

impl Rig {
    /// Loads the model, with at least so many slots.
    pub(crate) fn open(context: &mut Context, slots: Option<usize>) -> Result<Self, Failure> {
        let workspace = Workspace::temporary(&context.stop)?;
        context.options.store = Some(workspace.path().to_owned());
        context.options.capacity_tokens = slots;
        let ready = context.open()?;
        let window = ready.session.plan().window_tokens;
        let parts = Some(ready.session.into_parts()?);
        Ok(Self { parts, prepared: ready.prepared, report: ready.report, window })
    }

    /// Opens a session with an empty memory, works with it and removes the memory.
    pub(crate) fn with<T>(
        &mut self,
        context: &Context,
        options: &SetupOptions,
        work: impl FnOnce(&mut Session) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let workspace = Workspace::temporary(&context.stop)?;
        let options = SetupOptions { store: Some(workspace.path().to_owned()), ..options.clone() };
        let gone = || Failure::new("session", "the model was lost with an earlier failure");
        let mut session = setup::reopen(self.parts.take().ok_or_else(gone)?, &options)?;
        let done = work(&mut session)?;
        if let Some(warning) = session.take_warning() {
            context.out.warn(warning);
        }
        self.parts = Some(session.into_parts()?);
        Ok(done)
    }
}

/// Reads a sample's text: a conversation turn by turn, each in blocks of its own.
pub(crate) fn read_sample(
    context: &Context,
    session: &mut Session,
    name: &str,
    sample: &Sample,
) -> Result<Read, Failure> {
    let start = Instant::now();
    let before = session.fates().total();
    if sample.turns.is_empty() {
        absorb(context, session, name, sample.text.as_bytes())?;
    } else {
        session.begin_source(name)?;
        for turn in &sample.turns {
            session.feed(sample.text[turn.clone()].as_bytes())?;
            session.drain(false)?;
            check_stop(context)?;
        }
        session.finish_source()?;
        session.flush()?;
    }
    Ok(Read { tokens: session.fates().total() - before, time: start.elapsed() })
}
