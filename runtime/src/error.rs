//! What can go wrong with a session, an enum per operation.

use lcedge_memory::Geometry;
use lcedge_targets::{FoldError, SlotError, StepError};

use crate::spill::SpillError;
use crate::text::CodecError;

/// Why a session could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The tier asked for needs a model with a trained gist.
    #[error(
        "--memory {tier} needs a model whose trained memory has a {tier}, {model} has none: use \
         full, window, condensed or recall"
    )]
    Tier {
        /// The tier.
        tier: &'static str,
        /// The model.
        model: String,
    },
    /// The store was opened for another shape.
    #[error("the store holds blocks of {found:?}, the model makes {expected:?}")]
    Geometry {
        /// The store's shape.
        found: Geometry,
        /// The model's shape.
        expected: Geometry,
    },
    /// The writer could not be started.
    #[error(transparent)]
    Spill(#[from] SpillError),
    /// The first step failed.
    #[error(transparent)]
    Step(#[from] StepError),
}

/// Why text could not be absorbed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AbsorbError {
    /// No source is open.
    #[error("no source is open: begin one before text is fed")]
    NoSource,
    /// The session was opened to ask only.
    #[error("this session only asks: open the store as its writer to absorb")]
    ReadOnly,
    /// An earlier failure left the session's window in doubt.
    #[error("the session failed before ({0}); open it anew")]
    Failed(String),
    /// The tokenizer failed.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The decoder failed.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The window refused.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// The engine could not fold condensed states.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// The store's writer failed.
    #[error(transparent)]
    Spill(#[from] SpillError),
    /// The store could not be read.
    #[error("the store: {0}")]
    Read(String),
}

/// Why a question could not be answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The question is empty.
    #[error("the question is empty")]
    Empty,
    /// The question is too long.
    #[error("the question has {tokens} tokens with its chat turn, at most {max} fit")]
    Long {
        /// Tokens of the question's turn.
        tokens: usize,
        /// Most that fit.
        max: usize,
    },
    /// Whatever absorbing can meet.
    #[error(transparent)]
    Absorb(#[from] AbsorbError),
}

impl From<StepError> for AskError {
    fn from(e: StepError) -> Self {
        Self::Absorb(e.into())
    }
}

impl From<SlotError> for AskError {
    fn from(e: SlotError) -> Self {
        Self::Absorb(e.into())
    }
}

impl From<SpillError> for AskError {
    fn from(e: SpillError) -> Self {
        Self::Absorb(e.into())
    }
}

impl From<CodecError> for AskError {
    fn from(e: CodecError) -> Self {
        Self::Absorb(e.into())
    }
}
