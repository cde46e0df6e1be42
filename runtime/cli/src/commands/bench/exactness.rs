//! What a search of a large store finds of what there is: the index against all addresses one by
//! one, the text index against BM25 over every block.

use std::collections::BTreeSet;

use lcedge::memory::{AddressQuery, BlockAddress, BlockId, Filter, ReadError, Reader};

/// Hits that are compared.
const K: usize = 10;

/// What was found of the best ten, over all queries.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Share {
    found: usize,
    of: usize,
    firsts: usize,
    queries: usize,
    /// Sums of the full scores: of what was found, and of the best.
    score: f64,
    best: f64,
}

impl Share {
    pub(super) fn of_ten(self) -> f64 {
        self.found as f64 / self.of.max(1) as f64
    }

    pub(super) fn of_firsts(self) -> f64 {
        self.firsts as f64 / self.queries.max(1) as f64
    }

    /// The full score of what was found, of that of the best.
    pub(super) fn of_score(self) -> f64 {
        self.score / self.best.max(f64::MIN_POSITIVE)
    }

    /// `all`: every block's full score, best first.
    fn add(&mut self, all: &[(BlockId, f32)], found: &[BlockId]) {
        let right = &all[..all.len().min(K)];
        let there: BTreeSet<BlockId> = found.iter().copied().collect();
        self.found += right.iter().filter(|r| there.contains(&r.0)).count();
        self.of += right.len();
        self.firsts += usize::from(right.first().map(|r| r.0) == found.first().copied());
        self.queries += 1;
        self.best += right.iter().map(|r| f64::from(r.1)).sum::<f64>();
        let found = all.iter().filter(|r| there.contains(&r.0));
        self.score += found.map(|r| f64::from(r.1)).sum::<f64>();
    }
}

/// The index against the definition of a score, computed for every block.
pub(super) fn by_address(
    reader: &Reader,
    dim: usize,
    queries: &[AddressQuery],
) -> Result<Share, ReadError> {
    let blocks: Vec<(BlockId, BlockAddress)> = reader
        .sources()
        .into_iter()
        .flat_map(|s| reader.blocks_of(s.id))
        .map(|id| Ok((id, reader.address(id)?)))
        .collect::<Result<_, ReadError>>()?;
    let mut share = Share::default();
    for query in queries {
        let mut all: Vec<(BlockId, f32)> =
            blocks.iter().map(|(id, a)| (*id, score(query, a, dim))).collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let found = reader.search_address(query, K, &Filter::default())?;
        share.add(&all, &found.iter().map(|h| h.id).collect::<Vec<_>>());
    }
    Ok(share)
}

/// The definition, plainly.
fn score(query: &AddressQuery, address: &BlockAddress, dim: usize) -> f32 {
    let mut score = 0.0;
    for (q, a) in query.heads.iter().zip(&address.heads) {
        let n = q.vectors.len() / dim;
        if n == 0 || a.vectors.is_empty() {
            continue;
        }
        let best = |x: &[f32]| {
            let dot = |k: &[i8]| x.iter().zip(k).map(|(x, k)| x * f32::from(*k)).sum::<f32>();
            a.vectors.chunks_exact(dim).map(dot).fold(f32::MIN, f32::max)
        };
        let mean = q.vectors.chunks_exact(dim).map(best).sum::<f32>() / n as f32;
        score += q.weight * (mean * a.scale - a.mean) / a.spread;
    }
    score
}

/// Text search against BM25 over all blocks that have any of the words.
pub(super) fn by_text(reader: &Reader, questions: &[String]) -> Result<Share, ReadError> {
    let mut share = Share::default();
    for question in questions {
        let all = reader.search_text_full(question, reader.blocks(), &Filter::default())?;
        let all: Vec<(BlockId, f32)> = all.into_iter().map(|h| (h.id, h.score)).collect();
        let found = reader.search_text(question, K, &Filter::default())?;
        share.add(&all, &found.iter().map(|h| h.id).collect::<Vec<_>>());
    }
    Ok(share)
}
