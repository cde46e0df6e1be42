//! What a block is found by, and what a question looks with.
//!
//! Training-free address: *all* un-rotated keys of the block in one or two *retrieval heads*, and
//! the un-rotated queries of a question's tokens in the query heads that read them. The score is
//! late interaction (mean over queries of the largest dot product with any key), less the block's
//! own *background*: the mean and spread of the same score under a fixed set of probe questions.
//! Means and a few representatives over all layers (InfLLM) do not find anything on small models;
//! all keys of the right head do (`ARCHITECTURE.md` has the figures).

use std::ops::Range;

use lcedge_memory::address::HeadAddress;
use lcedge_memory::{AddressLayout, AddressQuery, BlockAddress, HeadQuery, KvView};
use ndarray::{ArrayView2, Axis};
use serde::{Deserialize, Serialize};

/// Why addresses could not be made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressError {
    /// A head lies outside the model or its layer gives no queries.
    #[error("retrieval head (layer {layer}, kv head {kv_head}): {why}")]
    Head {
        /// Layer asked for.
        layer: usize,
        /// Key/value head asked for.
        kv_head: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Probe vectors do not fit the heads.
    #[error("probe questions hold {found} values for head {head}, not a multiple of {dim}")]
    Probes {
        /// Index of the head.
        head: usize,
        /// Values given.
        found: usize,
        /// Width of one vector.
        dim: usize,
    },
}

/// One head whose keys address blocks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AddressHead {
    /// Decoder layer, from 0.
    pub layer: usize,
    /// Key/value head of that layer.
    pub kv_head: usize,
    /// Share of this head in the sum of scores.
    pub weight: f32,
}

/// Query vectors of fixed probe questions: `probes[i][head]` is `[n, dim]`, row-major.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Background {
    /// One entry a probe question.
    pub probes: Vec<Vec<Vec<f32>>>,
}

/// Makes the addresses of blocks and of questions for one model.
#[derive(Clone, Debug)]
pub struct Addresser {
    heads: Vec<AddressHead>,
    /// Where each head's layer stands among the layers that give queries.
    tap: Vec<usize>,
    query_heads: usize,
    group: usize,
    dim: usize,
    block_tokens: usize,
    /// Per head: probe vectors `[sum n, dim]`, and how many each probe has.
    probes: Vec<(Vec<f32>, Vec<usize>)>,
}

impl Addresser {
    /// For a model with `query_heads` query heads over `geometry`'s key/value heads, whose graph
    /// gives the queries of `query_layers` (ascending).
    ///
    /// # Errors
    /// [`AddressError::Head`] when a head is not there, [`AddressError::Probes`] when probe
    /// vectors have another width.
    pub fn new(
        geometry: lcedge_memory::Geometry,
        query_heads: usize,
        query_layers: &[usize],
        heads: &[AddressHead],
        background: &Background,
    ) -> Result<Self, AddressError> {
        let dim = geometry.head_dim as usize;
        let mut tap = Vec::with_capacity(heads.len());
        for h in heads {
            let err = |why| AddressError::Head { layer: h.layer, kv_head: h.kv_head, why };
            if h.layer >= geometry.layers as usize || h.kv_head >= geometry.kv_heads as usize {
                return Err(err("the model has no such head"));
            }
            let at = query_layers.iter().position(|&l| l == h.layer);
            tap.push(at.ok_or_else(|| err("its layer is not among those that give queries"))?);
        }
        let mut probes = vec![(Vec::new(), Vec::new()); heads.len()];
        for probe in &background.probes {
            for (head, vectors) in probe.iter().enumerate().take(heads.len()) {
                if vectors.len() % dim != 0 {
                    return Err(AddressError::Probes { head, found: vectors.len(), dim });
                }
                probes[head].0.extend_from_slice(vectors);
                probes[head].1.push(vectors.len() / dim);
            }
        }
        Ok(Self {
            heads: heads.to_vec(),
            tap,
            query_heads,
            group: query_heads / geometry.kv_heads as usize,
            dim,
            block_tokens: geometry.block_tokens as usize,
            probes,
        })
    }

    /// How addresses lie in the store.
    #[must_use]
    pub fn layout(&self) -> AddressLayout {
        let small = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        AddressLayout {
            heads: u8::try_from(self.heads.len()).unwrap_or(u8::MAX),
            vectors_max: small(self.block_tokens),
            dim: small(self.dim),
        }
    }

    /// The heads.
    #[must_use]
    pub fn heads(&self) -> &[AddressHead] {
        &self.heads
    }

    /// The address of a block: its keys in every head, in 8 bits, and their background.
    #[must_use]
    pub fn block(&self, kv: KvView<'_>) -> BlockAddress {
        let heads = self.heads.iter().enumerate().map(|(i, head)| {
            let keys = kv.k_head(head.layer, head.kv_head);
            let (mean, spread) = self.background(i, keys);
            let (vectors, scale) = to_codes(keys);
            HeadAddress { vectors, scale, mean, spread }
        });
        BlockAddress { heads: heads.collect() }
    }

    /// Mean and spread over the probe questions of the score that `keys` `[n, dim]` get.
    fn background(&self, head: usize, keys: &[f32]) -> (f32, f32) {
        let (vectors, counts) = &self.probes[head];
        let n = keys.len() / self.dim;
        if counts.len() < 2 || n == 0 {
            return (0.0, 1.0);
        }
        let (Ok(q), Ok(k)) = (
            ArrayView2::from_shape((vectors.len() / self.dim, self.dim), vectors),
            ArrayView2::from_shape((n, self.dim), keys),
        ) else {
            return (0.0, 1.0);
        };
        let scores = q.dot(&k.t());
        let best = scores.map_axis(Axis(1), |row| row.iter().copied().fold(f32::MIN, f32::max));
        let mut at = 0;
        let (mut sum, mut squares) = (0.0f64, 0.0f64);
        for &c in counts {
            let s = best.iter().skip(at).take(c).sum::<f32>() / c.max(1) as f32;
            sum += f64::from(s);
            squares += f64::from(s) * f64::from(s);
            at += c;
        }
        let p = counts.len() as f64;
        let mean = sum / p;
        let spread = (squares / p - mean * mean).max(0.0).sqrt();
        (mean as f32, (spread as f32).max(1e-3))
    }

    /// The query of the tokens at `rows`, from a step's un-rotated queries
    /// `[query_layers, tokens, query_heads * dim]`.
    #[must_use]
    pub fn query(&self, queries: &[f32], tokens: usize, rows: &[usize]) -> AddressQuery {
        let width = self.query_heads * self.dim;
        let heads = self.heads.iter().zip(&self.tap).map(|(head, &tap)| {
            let first = head.kv_head * self.group * self.dim;
            let mut vectors = Vec::with_capacity(rows.len() * self.group * self.dim);
            for &r in rows.iter().filter(|&&r| r < tokens) {
                let at = (tap * tokens + r) * width + first;
                vectors.extend_from_slice(&queries[at..at + self.group * self.dim]);
            }
            HeadQuery { weight: head.weight, vectors }
        });
        AddressQuery { heads: heads.collect() }
    }
}

/// Floats as 8-bit codes and what one code is worth: the largest error of a value is half of
/// max|value| / 127. Values that are not finite become 0.
pub(crate) fn to_codes(values: &[f32]) -> (Vec<i8>, f32) {
    let largest = values.iter().filter(|x| x.is_finite()).fold(0.0f32, |m, x| m.max(x.abs()));
    let scale = largest / 127.0;
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    let code = |x: &f32| (x * inverse).round().clamp(-127.0, 127.0) as i8;
    (values.iter().map(code).collect(), scale)
}

/// Scores groups of a block's tokens (the lines in it): for every group, the sum over heads of
/// `weight * mean over queries of the largest dot product with a key of the group`. Groups
/// are ranges of the block's tokens; an empty one scores `f32::MIN`.
#[must_use]
pub fn score_groups(
    address: &BlockAddress,
    query: &AddressQuery,
    dim: usize,
    groups: &[Range<usize>],
) -> Vec<f32> {
    let score = |g: &Range<usize>| {
        let heads = address.heads.iter().zip(&query.heads);
        let fits = |h: &HeadAddress| !g.is_empty() && g.end * dim <= h.vectors.len();
        if !address.heads.iter().all(fits) {
            return f32::MIN;
        }
        heads.map(|(h, q)| q.weight * head_score(h, q, dim, g.clone())).sum()
    };
    groups.iter().map(score).collect()
}

fn head_score(head: &HeadAddress, query: &HeadQuery, dim: usize, group: Range<usize>) -> f32 {
    let keys = &head.vectors[group.start * dim..group.end * dim];
    let n = query.vectors.len() / dim;
    if n == 0 {
        return 0.0;
    }
    let best = query.vectors.chunks_exact(dim).map(|q| {
        keys.chunks_exact(dim)
            .map(|k| q.iter().zip(k).map(|(a, &b)| a * f32::from(b)).sum::<f32>())
            .fold(f32::MIN, f32::max)
    });
    best.sum::<f32>() * head.scale / n as f32
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
