//! The associative index: every block's address vectors in RAM, searched flat.
//!
//! The search has two passes. The first scores all blocks with integers: the query's vectors are
//! rounded to [`query::LEVELS`] steps each way, the block's are i8 already, so a dot product is a sum of
//! small products that every kernel computes to the same bit. The second scores the best few again with
//! the query in `f32`, so that the scores given are those of the definition and the order among the best is right. A
//! component of a query vector is off by at most 1/126 of the vector's largest component in the first pass; what that
//! can cost is measured by `examples/search.rs` and bounded by how many candidates the second pass sees.

pub(crate) mod kernel;
pub(crate) mod query;
pub(crate) mod tile;
pub(crate) mod top;

use std::num::NonZero;

use self::{kernel::Kernel, query::PreparedQuery, top::Top};
use crate::{
    AddressHit, AddressQuery,
    snapshot::{Entry, Snapshot},
};

/// Blocks that one thread scores before a second one pays for its start.
const BLOCKS_PER_THREAD_MIN: usize = 512;
/// Most threads of one search.
const THREADS_MAX: usize = 8;

/// Candidates that the second pass scores for `k` hits.
pub(crate) const fn candidates(k: usize) -> usize {
    k.saturating_mul(2).saturating_add(16)
}

/// The `k` best blocks that `keep` lets through, best first, ties by id. The query was checked against the layout.
pub(crate) fn search(
    snapshot: &Snapshot,
    query: &AddressQuery,
    k: usize,
    kernel: Kernel,
    keep: &(impl Fn(&Entry) -> bool + Sync),
) -> Vec<AddressHit> {
    let prepared = PreparedQuery::new(query, snapshot.dim());
    if k == 0 || prepared.is_empty() {
        return Vec::new();
    }
    let chunks = snapshot.chunks();
    let threads = threads_for(snapshot.len()).min(chunks.len().max(1));
    let wanted = candidates(k).min(snapshot.len());
    let per_thread = chunks.len().div_ceil(threads).max(1);
    let scan = |part: &[std::sync::Arc<crate::snapshot::Chunk>]| {
        let mut top = Top::new(wanted);
        let mut scratch = prepared.scratch();
        for entry in part.iter().flat_map(|c| c.iter()) {
            if let Some(address) = &entry.address
                && keep(entry)
            {
                let score = prepared.score(address, kernel, &mut scratch);
                top.offer(score, entry.info.id);
            }
        }
        top
    };
    let top = std::thread::scope(|scope| {
        let mut parts = chunks.chunks(per_thread);
        let first = parts.next().unwrap_or(&[]);
        let others: Vec<_> = parts.map(|part| scope.spawn(move || scan(part))).collect();
        let mut top = scan(first);
        for other in others {
            match other.join() {
                Ok(part) => top.merge(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        top
    });
    let mut best = Top::new(k);
    for (_, id) in top.into_sorted() {
        if let Some(address) = snapshot.get(id).and_then(|e| e.address.as_ref()) {
            best.offer(query::exact_score(query, address, snapshot.dim()), id);
        }
    }
    best.into_sorted().into_iter().map(|(score, id)| AddressHit { id, score }).collect()
}

fn threads_for(blocks: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    (blocks / BLOCKS_PER_THREAD_MIN).clamp(1, cores.min(THREADS_MAX))
}

#[cfg(test)]
mod tests {}
