//! What finds blocks again: the heads of an untrained model, or a trained address.

use std::ops::Range;

use lcedge_compress::address::score_groups;
use lcedge_compress::{Addresser, TrainedAddress};
use lcedge_memory::{AddressLayout, AddressQuery, BlockAddress, KvView};
use lcedge_targets::StepOutput;

/// Makes the addresses of blocks and of questions.
#[derive(Clone, Debug)]
pub enum Finder {
    /// All keys of the retrieval heads (training-free).
    Heads(Addresser),
    /// Vectors that the decoder's own trained outputs give.
    Trained(TrainedAddress),
}

impl Finder {
    /// How addresses lie in the store.
    #[must_use]
    pub fn layout(&self) -> AddressLayout {
        match self {
            Self::Heads(a) => a.layout(),
            Self::Trained(t) => t.layout(),
        }
    }

    /// Whether it needs the decoder's `memory_key` of every absorbed token, and how many values
    /// each has.
    #[must_use]
    pub const fn memory_row(&self) -> usize {
        match self {
            Self::Heads(_) => 0,
            Self::Trained(t) => t.row(),
        }
    }

    /// The address of a block from its keys and its tokens' `memory_key` rows.
    #[must_use]
    pub fn block(&self, kv: KvView<'_>, memory_rows: &[f32]) -> BlockAddress {
        match self {
            Self::Heads(a) => a.block(kv),
            Self::Trained(t) => t.block(memory_rows),
        }
    }

    /// The query of the tokens at `rows` of a step of `tokens` tokens; `None` when the step did
    /// not give what it needs.
    #[must_use]
    pub fn query(&self, out: &StepOutput, tokens: usize, rows: &[usize]) -> Option<AddressQuery> {
        match self {
            Self::Heads(a) if !out.queries.is_empty() => Some(a.query(&out.queries, tokens, rows)),
            Self::Trained(t) if !out.memory_queries.is_empty() => {
                Some(t.query(&out.memory_queries, rows))
            }
            _ => None,
        }
    }

    /// Scores groups of a block's tokens (the lines in it); an empty group scores `f32::MIN`.
    #[must_use]
    pub fn score_groups(
        &self,
        address: &BlockAddress,
        query: &AddressQuery,
        groups: &[Range<usize>],
    ) -> Vec<f32> {
        match self {
            Self::Heads(a) => score_groups(address, query, usize::from(a.layout().dim), groups),
            Self::Trained(t) => t.score_groups(address, query, groups),
        }
    }
}
