//! The associative index: every block's address vectors, in pages that are mapped.
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

pub(crate) mod gauge;
pub(crate) mod kernel;
pub(crate) mod page;
pub(crate) mod query;
mod scan;
pub(crate) mod tile;
pub(crate) mod top;

use std::{
    num::NonZero,
    sync::atomic::{AtomicUsize, Ordering},
};

use self::{kernel::Kernel, query::PreparedQuery, scan::Scan, tile::GROUP, top::Top};
use crate::{
    AddressHit, AddressQuery, BlockId,
    snapshot::{Entry, Snapshot},
};

/// Vectors that one thread scores before a second one pays for its start.
const VECTORS_PER_THREAD_MIN: usize = 32_768;
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

/// Which blocks a search may give: all of them, or those that pass.
pub(crate) type Keep<'a> = Option<&'a (dyn Fn(&Entry) -> bool + Sync)>;

/// The `k` best blocks that `keep` lets through, best first, ties by id. The query was checked
/// against the layout.
pub(crate) fn search(
    snapshot: &Snapshot,
    query: &AddressQuery,
    k: usize,
    (kernel, pass): (Kernel, Pass),
    keep: Keep<'_>,
) -> Vec<AddressHit> {
    let dim = snapshot.dim();
    let prepared = PreparedQuery::new(query, dim, 1);
    if k == 0 || prepared.is_empty() {
        return Vec::new();
    }
    let wanted = candidates(k).min(snapshot.len());
    let all = |prepared: &PreparedQuery, wanted: usize| {
        let parts = snapshot.parts();
        parallel(&parts, 1, threads_for(snapshot), wanted, |parts, top| {
            let mut scan = Scan::new(snapshot, prepared, kernel, keep);
            for part in parts {
                scan.part(part, top);
            }
        })
    };
    let sample = snapshot.len().div_ceil(SAMPLE_KEEPS).max(wanted.saturating_mul(4));
    let top = if pass == Pass::Full
        || snapshot.unit() < GROUP
        || sample >= snapshot.len()
        || snapshot.len() < kernel.sample_from()
    {
        all(&prepared, wanted)
    } else {
        let few = PreparedQuery::new(query, dim, SAMPLE_VECTORS);
        let mut ids: Vec<BlockId> = all(&few, sample).into_ids();
        // Page by page.
        ids.sort_unstable();
        parallel(&ids, 64, threads_for(snapshot), wanted, |ids, top| {
            let mut scan = Scan::new(snapshot, &prepared, kernel, None);
            scan.blocks(ids, top);
        })
    };
    let mut best = Top::new(k);
    for (_, id) in top.into_sorted() {
        let score = snapshot.with_address(id, |a| query::exact_score(query, a, dim));
        if let Some(score) = score {
            best.offer(score, id);
        }
    }
    best.into_sorted().into_iter().map(|(score, id)| AddressHit { id, score }).collect()
}

/// Runs `scan` over runs of `items`, on this thread and as many others as pay, and merges what they
/// found. Each thread takes the next run when it is done with one, so that one that is held up
/// does not hold up all.
fn parallel<T: Sync>(
    items: &[T],
    run: usize,
    threads: usize,
    wanted: usize,
    scan: impl Fn(&mut dyn Iterator<Item = &T>, &mut Top) + Sync,
) -> Top {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut top = Top::new(wanted);
        let runs = std::iter::from_fn(|| {
            let from = next.fetch_add(run, Ordering::Relaxed);
            items.get(from..).filter(|rest| !rest.is_empty())
        });
        scan(&mut runs.flat_map(|rest| rest.iter().take(run)), &mut top);
        top
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut top = work();
        for other in others {
            match other.join() {
                Ok(part) => top.merge(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        top
    })
}

/// Most threads that one search of this machine takes: each looks at one page of the index at a
/// time.
#[must_use]
pub fn search_threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX)
}

fn threads_for(snapshot: &Snapshot) -> usize {
    let vectors = snapshot.len() * snapshot.vectors_max();
    (vectors / VECTORS_PER_THREAD_MIN).clamp(1, search_threads())
}

#[cfg(test)]
mod tests;
