//! The associative index: every block's address vectors in RAM.
//!
//! A search has up to three passes, each over fewer blocks than the one before:
//!
//! 1. *Sample* (only where the next pass over all blocks would take too long,
//!    [`Kernel::sample_from`]): all blocks are scored with a spread-out sixth of each head's query
//!    vectors. A block's score is a mean over query vectors, so this is an unbiased estimate of
//!    it. The best fifth goes on. This is the one pass that can lose a block; [`Pass::Full`]
//!    leaves it out, and `examples/search.rs` measures what it costs.
//! 2. *Integers*: query vectors rounded to 63 steps each way, block vectors as they are, so that
//!    dot products are exact sums that every kernel computes alike. A component is off by at most
//!    1/126 of its vector's largest.
//! 3. *Exact*: the best few again with the query in `f32`, so that the scores given are those of
//!    the definition and the order among the best is right.

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

/// The sampling pass uses one of so many query vectors (and at least eight).
pub(crate) const SAMPLE_VECTORS: usize = 6;
/// The sampling pass lets one of so many blocks through.
const SAMPLE_KEEPS: usize = 5;

/// Candidates that the last pass scores for `k` hits.
pub(crate) const fn candidates(k: usize) -> usize {
    k.saturating_add(8 + k / 2)
}

/// Whether the sampling pass may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Where it pays.
    Sampled,
    /// Never: all blocks are scored with all vectors.
    Full,
}

/// The `k` best blocks that `keep` lets through, best first, ties by id. The query was checked
/// against the layout.
pub(crate) fn search(
    snapshot: &Snapshot,
    query: &AddressQuery,
    k: usize,
    (kernel, pass): (Kernel, Pass),
    keep: &(impl Fn(&Entry) -> bool + Sync),
) -> Vec<AddressHit> {
    let dim = snapshot.dim();
    let prepared = PreparedQuery::new(query, dim, 1);
    if k == 0 || prepared.is_empty() {
        return Vec::new();
    }
    let all = snapshot.chunks();
    let wanted = candidates(k).min(snapshot.len());
    let chunks = |prepared: &PreparedQuery, wanted: usize| {
        parallel(all, snapshot.len(), wanted, |part, top| {
            let kept = part.iter().flat_map(|c| c.iter()).map(|e| &**e).filter(|e| keep(e));
            score_all(prepared, kernel, kept, top);
        })
    };
    let sample = snapshot.len().div_ceil(SAMPLE_KEEPS).max(wanted.saturating_mul(4));
    let top = if pass == Pass::Full
        || sample >= snapshot.len()
        || snapshot.len() < kernel.sample_from()
    {
        chunks(&prepared, wanted)
    } else {
        let few = PreparedQuery::new(query, dim, SAMPLE_VECTORS);
        let ids = chunks(&few, sample).into_sorted();
        parallel(&ids, ids.len(), wanted, |part, top| {
            let kept = part.iter().filter_map(|(_, id)| snapshot.get(*id)).map(|e| &**e);
            score_all(&prepared, kernel, kept, top);
        })
    };
    let mut best = Top::new(k);
    for (_, id) in top.into_sorted() {
        if let Some(address) = snapshot.get(id).and_then(|e| e.address.as_ref()) {
            best.offer(query::exact_score(query, address, dim), id);
        }
    }
    best.into_sorted().into_iter().map(|(score, id)| AddressHit { id, score }).collect()
}

/// Offers the scores of all blocks that have an address.
fn score_all<'a>(
    prepared: &PreparedQuery,
    kernel: Kernel,
    blocks: impl Iterator<Item = &'a Entry>,
    top: &mut Top,
) {
    let mut scratch = prepared.scratch();
    let mut blocks = blocks.filter_map(|e| Some((e.info.id, e.address.as_ref()?))).peekable();
    while let Some((id, address)) = blocks.next() {
        let next = blocks.peek().map(|(_, a)| *a);
        top.offer(prepared.score(address, next, kernel, &mut scratch), id);
    }
}

/// Runs `scan` over parts of `items` (`blocks` in all), on this thread and as many others as
/// pay, and merges what they found.
fn parallel<T: Sync>(
    items: &[T],
    blocks: usize,
    wanted: usize,
    scan: impl Fn(&[T], &mut Top) + Sync,
) -> Top {
    let per_thread = items.len().div_ceil(threads_for(blocks)).max(1);
    let scan = |part: &[T]| {
        let mut top = Top::new(wanted);
        scan(part, &mut top);
        top
    };
    let scan = &scan;
    std::thread::scope(|scope| {
        let mut parts = items.chunks(per_thread);
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
    })
}

fn threads_for(blocks: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    (blocks / BLOCKS_PER_THREAD_MIN).clamp(1, cores.min(THREADS_MAX))
}

#[cfg(test)]
mod tests;
