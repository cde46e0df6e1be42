//! Condensers: what of a block stays in attention after the block has left the window.

use lcedge_memory::{KvBuf, KvView};

/// Why a block could not be condensed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CondenseError {
    /// The scores are not one a token.
    #[error("{scores} scores for a block of {tokens} tokens")]
    Scores {
        /// Scores given.
        scores: usize,
        /// Tokens of the block.
        tokens: usize,
    },
}

/// The tokens of a block that has one score for each.
pub(crate) fn scored(block: KvView<'_>, scores: &[f32]) -> Result<usize, CondenseError> {
    let (scores, tokens) = (scores.len(), block.tokens());
    if scores == tokens { Ok(tokens) } else { Err(CondenseError::Scores { scores, tokens }) }
}

/// What a condenser kept: K,V in canonical form (keys un-rotated), oldest first, and for each
/// kept state how much it matters.
#[derive(Clone, Debug)]
pub struct Condensed {
    /// The kept states.
    pub kv: KvBuf,
    /// How much each matters; the least is the first to go.
    pub weight: Vec<f32>,
    /// How many tokens each stands for.
    pub covers: Vec<u32>,
}

impl Condensed {
    /// Holds nothing yet, and at most `capacity` states.
    #[must_use]
    pub fn with_capacity(geometry: lcedge_memory::Geometry, capacity: usize) -> Self {
        Self {
            kv: KvBuf::with_capacity(geometry, capacity),
            weight: Vec::with_capacity(capacity),
            covers: Vec::with_capacity(capacity),
        }
    }

    /// Forgets every state.
    pub fn clear(&mut self) {
        self.kv.fill(0);
        self.weight.clear();
        self.covers.clear();
    }

    /// States held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.weight.len()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.weight.is_empty()
    }
}

/// Turns blocks that leave the window into a bounded number of states that stay in it.
pub trait Condense: Send {
    /// Its name, as `--condense` takes it and the report gives it.
    fn name(&self) -> &'static str;

    /// Takes a block that has left the window and its tokens' surprise (nats, `[tokens]`) into
    /// `state`, which never grows beyond its capacity. An empty `state` begins anew: what a
    /// condenser keeps beside it is forgotten.
    ///
    /// # Errors
    /// [`CondenseError`] with the lengths; the state is as it was.
    fn absorb(
        &mut self,
        block: KvView<'_>,
        surprise: &[f32],
        state: &mut Condensed,
    ) -> Result<(), CondenseError>;
}
