//! What ends a command: what was wrong, what to do, and the exit code.

use std::io;

use lcedge::error::{AbsorbError, AskError, OpenError};
use lcedge::input::InputError;
use lcedge::memory::{ReadError, VerifyError};
use lcedge::models::{PrepareError, ResolveError};
use lcedge::plan::PlanError;
use lcedge::setup::SetupError;
use lcedge::spill::SpillError;
use serde::Serialize;

/// Exit code of what could not run.
pub(crate) const COULD_NOT_RUN: u8 = 2;

/// A failure as people and programs see it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Failure {
    event: &'static str,
    pub(crate) kind: String,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    #[serde(skip)]
    pub(crate) code: u8,
}

impl Failure {
    pub(crate) fn new(kind: &str, message: impl ToString) -> Self {
        Self {
            event: "error",
            kind: kind.to_owned(),
            message: message.to_string(),
            hint: None,
            code: COULD_NOT_RUN,
        }
    }

    /// Adds what to do.
    pub(crate) fn hint(mut self, hint: impl Into<Option<String>>) -> Self {
        self.hint = hint.into().or(self.hint);
        self
    }

    /// Ends the program with this code.
    pub(crate) fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }

    pub(crate) fn bad_argument(message: impl ToString) -> Self {
        Self::new("bad_argument", message)
    }

    /// The reader of our output has gone: a quiet end.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        self.kind == BROKEN_PIPE
    }

    /// A write to standard output failed.
    pub(crate) fn output(e: &io::Error) -> Self {
        if e.kind() == io::ErrorKind::BrokenPipe {
            return Self { code: 0, ..Self::new(BROKEN_PIPE, e) };
        }
        Self::new("output", format!("standard output: {e}"))
    }

    /// A file that was named could not be read or written.
    pub(crate) fn file(path: &std::path::Path, e: &io::Error) -> Self {
        Self::new("file", format!("{}: {e}", path.display()))
    }
}

const BROKEN_PIPE: &str = "broken_pipe";

/// What the store's own words say of why it stopped.
fn store_kind(words: &str) -> (&'static str, Option<&'static str>) {
    let low = words.to_lowercase();
    if low.contains("disk is full") || low.contains("no space") || low.contains("file too large") {
        ("no_space", Some("free some space, or use another --store folder; what is stored stays"))
    } else {
        ("store_io", Some("what is stored stays; `lcedge memory verify` checks it"))
    }
}

impl From<SetupError> for Failure {
    fn from(e: SetupError) -> Self {
        let hint = e.hint().map(str::to_owned);
        Self::new(e.kind(), e).hint(hint)
    }
}

impl From<InputError> for Failure {
    fn from(e: InputError) -> Self {
        match e {
            InputError::Absorb(e) => e.into(),
            e => {
                let hint = e.hint();
                Self::new(e.kind(), e).hint(hint)
            }
        }
    }
}

impl From<AbsorbError> for Failure {
    fn from(e: AbsorbError) -> Self {
        match e {
            AbsorbError::Spill(e) => e.into(),
            AbsorbError::Codec(_) => Self::new("tokenizer", e),
            AbsorbError::Step(_) | AbsorbError::Slot(_) | AbsorbError::Fold(_) => {
                Self::new("engine", e)
            }
            AbsorbError::Read(_) => Self::new("store_io", e),
            e => Self::new("session", e),
        }
    }
}

impl From<SpillError> for Failure {
    fn from(e: SpillError) -> Self {
        let (kind, hint) = store_kind(&e.to_string());
        Self::new(kind, e).hint(hint.map(str::to_owned))
    }
}

impl From<AskError> for Failure {
    fn from(e: AskError) -> Self {
        match e {
            AskError::Absorb(e) => e.into(),
            e => Self::bad_argument(e),
        }
    }
}

impl From<ReadError> for Failure {
    fn from(e: ReadError) -> Self {
        let hint = "`lcedge memory verify --deep` says what is damaged".to_owned();
        match e {
            ReadError::UnknownBlock { .. } => Self::new("block_unknown", e),
            e => Self::new("store_damaged", e).hint(hint),
        }
    }
}

impl From<VerifyError> for Failure {
    fn from(e: VerifyError) -> Self {
        match e {
            VerifyError::Open(e) => SetupError::Store(e).into(),
            e => Self::new("store_io", e),
        }
    }
}

impl From<ResolveError> for Failure {
    fn from(e: ResolveError) -> Self {
        SetupError::from(e).into()
    }
}

impl From<PrepareError> for Failure {
    fn from(e: PrepareError) -> Self {
        SetupError::from(e).into()
    }
}

impl From<PlanError> for Failure {
    fn from(e: PlanError) -> Self {
        SetupError::from(e).into()
    }
}

impl From<OpenError> for Failure {
    fn from(e: OpenError) -> Self {
        SetupError::from(e).into()
    }
}
