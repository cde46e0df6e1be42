//! The gist's fold in plain Rust, as its formula is written.

use lcedge_models::memory::GistWeights;
use lcedge_models::{Card, Memory};

use super::weights::SplitMix;
use super::{FakeEngine, FakeError};
use crate::gist::{Fold, FoldError, GistState, shape_of};

/// Sizes of a gist, and of its tensors in one head.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    heads: usize,
    d: usize,
    e: usize,
    g: usize,
    p: usize,
    a: usize,
}

impl Sizes {
    fn of(card: &Card) -> Option<Self> {
        let gist = shape_of(card)?;
        let a = card.memory.as_ref().and_then(|m| m.address).map_or(0, |a| a.dim);
        let heads = card.layers * card.kv_heads;
        let (d, e) = (card.head_dim, 2 * card.head_dim);
        Some(Self { heads, d, e, g: gist.slots, p: gist.width, a })
    }

    /// Name and length of each tensor in one head.
    const fn tensors(&self) -> [(&'static str, usize); 9] {
        let Self { e, g, p, a, .. } = *self;
        [
            ("init", g * e),
            ("scale", e),
            ("query", e * p),
            ("slot", g * p),
            ("key", e * p),
            ("value", e * e),
            ("gate", 2 * e),
            ("gate_bias", 1),
            ("question", a * p),
        ]
    }
}

const fn tensors(w: &GistWeights) -> [&Vec<f32>; 9] {
    [&w.init, &w.scale, &w.query, &w.slot, &w.key, &w.value, &w.gate, &w.gate_bias, &w.question]
}

/// Random weights for a card with a gist: slots look in different places, and what is new differs
/// from the mean of what is folded.
pub(super) fn random(card: &Card, rng: &mut SplitMix) -> Option<GistWeights> {
    let sizes = Sizes::of(card)?;
    let mut draw = |name: &str| {
        let (_, n) = sizes.tensors().into_iter().find(|t| t.0 == name).unwrap_or(("", 0));
        let n = sizes.heads * n;
        match name {
            "scale" => rng.near_one(n),
            "slot" => rng.matrix(n, 1, 2.0),
            "init" | "question" => rng.matrix(n, 1, 1.0),
            _ => rng.matrix(n, 1, 1.0 / (sizes.e as f32).sqrt()),
        }
    };
    Some(GistWeights {
        init: draw("init"),
        scale: draw("scale"),
        query: draw("query"),
        slot: draw("slot"),
        key: draw("key"),
        value: draw("value"),
        gate: draw("gate"),
        gate_bias: draw("gate_bias"),
        question: draw("question"),
    })
}

/// The gist's tensors of a memory.
pub(super) fn read(memory: Option<&Memory>) -> Result<Option<GistWeights>, FakeError> {
    Ok(memory.map_or(Ok(None), Memory::gist)?)
}

/// Values held.
pub(super) fn values(w: &GistWeights) -> usize {
    tensors(w).iter().map(|t| t.len()).sum()
}

/// Name, length and wanted length of each tensor.
pub(super) fn lengths(w: Option<&GistWeights>, card: &Card) -> Vec<(String, usize, usize)> {
    let (sizes, names) = match (Sizes::of(card), w) {
        (Some(sizes), _) => (sizes.heads, sizes.tensors()),
        (None, None) => return Vec::new(),
        (None, Some(w)) => return vec![("gist".to_owned(), values(w), 0)],
    };
    let found = |i: usize| w.map_or(0, |w| tensors(w)[i].len());
    let all = names.into_iter().enumerate();
    all.map(|(i, (name, n))| (format!("gist: {name}"), found(i), sizes * n)).collect()
}

/// Buffers of one head's fold.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Beacons in the look-up, `[B, P]`.
    keys: Vec<f32>,
    /// What is taken of each, `[B, E]`.
    taken: Vec<f32>,
    /// One beacon or one slot, scaled, `[E]`.
    scaled: Vec<f32>,
    /// One slot's look-up, `[P]`, its weights, `[B]`, and what it finds, `[E]`.
    look: Vec<f32>,
    weights: Vec<f32>,
    new: Vec<f32>,
    sums: Vec<f64>,
}

/// `out += x m`, with `m` `[x, out]`; sums in `f64`.
fn add_product(x: &[f32], m: &[f32], sums: &mut Vec<f64>, out: &mut [f32]) {
    sums.clear();
    sums.extend(out.iter().map(|&x| f64::from(x)));
    for (x, row) in x.iter().zip(m.chunks_exact(out.len())) {
        for (sum, m) in sums.iter_mut().zip(row) {
            *sum += f64::from(*x) * f64::from(*m);
        }
    }
    for (out, sum) in out.iter_mut().zip(sums) {
        *out = *sum as f32;
    }
}

/// Tensor `values` of one head.
fn of(values: &[f32], heads: usize, head: usize) -> &[f32] {
    let n = values.len() / heads;
    &values[head * n..(head + 1) * n]
}

fn scale(x: &[f32], by: &[f32], out: &mut Vec<f32>) {
    out.clear();
    out.extend(x.iter().zip(by).map(|(x, s)| x * s));
}

impl Scratch {
    /// The beacons of one head: what they are found by and what is taken of them.
    fn read_beacons(&mut self, w: &GistWeights, s: Sizes, head: usize, fold: &Fold<'_>) {
        let n = fold.beacons.tokens();
        self.keys.clear();
        self.keys.resize(n * s.p, 0.0);
        self.taken.clear();
        let rows = |all| of(all, s.heads, head).chunks_exact(s.d);
        for (k, v) in rows(fold.beacons.k()).zip(rows(fold.beacons.v())) {
            self.taken.extend_from_slice(k);
            self.taken.extend_from_slice(v);
        }
        let each = self.keys.chunks_exact_mut(s.p).zip(self.taken.chunks_exact_mut(s.e));
        for (key, taken) in each {
            scale(taken, of(&w.scale, s.heads, head), &mut self.scaled);
            add_product(&self.scaled, of(&w.key, s.heads, head), &mut self.sums, key);
            add_product(&self.scaled, of(&w.value, s.heads, head), &mut self.sums, taken);
        }
    }

    /// The next value of the slot `x` `[E]`, in its place; `slot` is its own look-up.
    fn slot(
        &mut self,
        w: &GistWeights,
        s: Sizes,
        head: usize,
        (x, slot): (&mut [f32], &[f32]),
        (fresh, question): (bool, &[f32]),
    ) {
        let of = |values| of(values, s.heads, head);
        scale(x, of(&w.scale), &mut self.scaled);
        self.look.clear();
        self.look.extend_from_slice(slot);
        add_product(&self.scaled, of(&w.query), &mut self.sums, &mut self.look);
        add_product(question, of(&w.question), &mut self.sums, &mut self.look);
        let root = (s.p as f64).sqrt();
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        self.weights.clear();
        let keys = self.keys.chunks_exact(s.p);
        self.weights.extend(keys.map(|key| (dot(&self.look, key) / root) as f32));
        let top = self.weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        self.weights.iter_mut().for_each(|x| *x = (*x - top).exp());
        let total = self.weights.iter().map(|&x| f64::from(x)).sum::<f64>() as f32;
        self.weights.iter_mut().for_each(|x| *x /= total);
        self.new.clear();
        self.new.resize(s.e, 0.0);
        add_product(&self.weights, &self.taken, &mut self.sums, &mut self.new);
        let (of_state, of_new) = of(&w.gate).split_at(s.e);
        let mut sum = dot(&self.scaled, of_state) + f64::from(of(&w.gate_bias)[0]);
        scale(&self.new, of(&w.scale), &mut self.scaled);
        sum += dot(&self.scaled, of_new);
        let z = if fresh { 1.0 } else { (1.0 / (1.0 + (-sum).exp())) as f32 };
        for (x, new) in x.iter_mut().zip(&self.new) {
            *x = (1.0 - z) * *x + z * new;
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let all = [&self.keys, &self.taken, &self.scaled, &self.look, &self.weights, &self.new];
        all.iter().map(|b| b.capacity() * size_of::<f32>()).sum::<usize>()
            + self.sums.capacity() * size_of::<f64>()
    }
}

impl FakeEngine {
    pub(super) fn fold_state(
        &mut self,
        fold: &Fold<'_>,
        state: &mut GistState,
    ) -> Result<(), FoldError> {
        fold.check(&self.card, state)?;
        let (Some(s), Some(w)) = (Sizes::of(&self.card), &self.weights.gist) else {
            return Err(FoldError::NoGist { model: self.card.name.clone() });
        };
        if fold.beacons.tokens() == 0 {
            return Ok(());
        }
        let fresh = state.is_fresh();
        let (now, (next_k, next_v)) = state.planes();
        let mut x = std::mem::take(&mut self.slot);
        for head in 0..s.heads {
            self.folding.read_beacons(w, s, head, fold);
            let rows = head * s.g..(head + 1) * s.g;
            for (row, slot) in rows.zip(of(&w.slot, s.heads, head).chunks_exact(s.p)) {
                x.clear();
                let place = row * s.d..(row + 1) * s.d;
                if fresh {
                    x.extend_from_slice(&w.init[row * s.e..(row + 1) * s.e]);
                } else {
                    x.extend_from_slice(&now.k()[place.clone()]);
                    x.extend_from_slice(&now.v()[place.clone()]);
                }
                let how = (fresh, fold.question.unwrap_or(&[]));
                self.folding.slot(w, s, head, (&mut x, slot), how);
                next_k[place.clone()].copy_from_slice(&x[..s.d]);
                next_v[place].copy_from_slice(&x[s.d..]);
            }
        }
        self.slot = x;
        state.advance();
        Ok(())
    }
}
