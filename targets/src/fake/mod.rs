//! The fake engine: a whole Llama decoder in plain Rust over small dense weights.
//!
//! It exists so that the loop can be tested without a native library, and as an independent
//! reference for the engine that uses one. After the first step of the largest chunk, steps
//! allocate nothing. The same input gives the same bits whatever chunks it comes in, because every
//! row is computed alone and keys are visited in slot order.

mod gist;
mod math;
mod weights;

use std::ops::Range;

use lcedge_memory::{KvBuf, KvView};
use lcedge_models::{Card, Memory, Weights};

use crate::engine::{Engine, EngineMemory, SlotError, StepError, StepInput, StepOutput};
use crate::gist::{Fold, FoldError, GistState};
use crate::rope::Rope;
use crate::window::{Plane, Window};

pub use weights::{FakeAddress, FakeBeacons, FakeConfig, FakeLayer, FakeWeights};

/// Why a fake engine could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FakeError {
    /// An array of the weights has another length than the card says.
    #[error("{name} has {found} values where the card of {model} says {expected}")]
    Weights {
        /// The model.
        model: String,
        /// Which array.
        name: String,
        /// Its length.
        found: usize,
        /// The length that fits.
        expected: usize,
    },
    /// A tensor of the model's file could not be read.
    #[error(transparent)]
    Read(#[from] lcedge_models::weights::WeightsError),
    /// A tensor of the model's trained memory could not be read.
    #[error(transparent)]
    Memory(#[from] lcedge_models::MemoryError),
    /// The card describes no decoder that can run.
    #[error("the card of {model}: {what}")]
    Card {
        /// The model.
        model: String,
        /// What is wrong, with the values.
        what: String,
    },
}

/// A decoder in plain Rust. See the module's text.
#[derive(Debug)]
pub struct FakeEngine {
    card: Card,
    weights: FakeWeights,
    window: Window,
    scratch: Scratch,
    folding: gist::Scratch,
    /// One slot of a state being folded, `[2 head_dim]`.
    slot: Vec<f32>,
    reason: &'static str,
}

impl FakeEngine {
    /// A model with random weights: no file is needed. Equal arguments give equal engines.
    ///
    /// # Panics
    /// When the configuration is not that of a decoder (odd `head_dim`, `heads` not a multiple of
    /// `kv_heads`, a size of zero, a query layer that is not there).
    #[must_use]
    pub fn random(config: &FakeConfig, seed: u64, capacity: usize) -> Self {
        let card = config.card(seed);
        let weights = FakeWeights::random(&card, seed);
        match Self::new(card, weights, capacity) {
            Ok(engine) => engine,
            Err(error) => panic!("{error}"),
        }
    }

    /// A model with the given weights and a window of `capacity` slots.
    ///
    /// # Errors
    /// [`FakeError`] when the card is not that of a decoder or the weights do not fit it.
    pub fn new(card: Card, weights: FakeWeights, capacity: usize) -> Result<Self, FakeError> {
        let model = card.name.clone();
        if let Some(what) = unfit(&card) {
            return Err(FakeError::Card { model, what });
        }
        if let Some((name, found, expected)) = weights.misfit(&card) {
            return Err(FakeError::Weights { model, name, found, expected });
        }
        let rope = Rope::new(card.head_dim, card.rope_theta, card.positions);
        let window = Window::new(card.geometry(64), capacity, rope);
        Ok(Self {
            card,
            weights,
            window,
            scratch: Scratch::default(),
            folding: gist::Scratch::default(),
            slot: Vec::new(),
            reason: "asked for",
        })
    }

    /// The model of `card` with the weights of its own file: an independent reference for the
    /// engine that runs its graph. Everything is held as dense `f32`.
    ///
    /// # Errors
    /// [`FakeError`] as [`FakeEngine::new`], and when the file cannot be read.
    pub fn from_weights(card: Card, weights: &Weights, capacity: usize) -> Result<Self, FakeError> {
        Self::with_memory(card, weights, None, capacity)
    }

    /// The same with a trained memory over the weights.
    ///
    /// # Errors
    /// As [`FakeEngine::from_weights`].
    pub fn with_memory(
        card: Card,
        weights: &Weights,
        memory: Option<&Memory>,
        capacity: usize,
    ) -> Result<Self, FakeError> {
        let dense = FakeWeights::read(weights, memory, &card)?;
        Self::new(card, dense, capacity)
    }

    /// The vectors of a trained address, from the residual stream at the input of its layer.
    fn address(&mut self, layer: usize, out: &mut StepOutput) {
        let address = self.card.memory.as_ref().and_then(|m| m.address);
        let Some(weights) = self.weights.address.as_ref() else { return };
        if address.is_none_or(|a| a.layer != layer) {
            return;
        }
        let (s, card) = (&mut self.scratch, &self.card);
        math::rms_norm(&s.x, &s.ones, card.rms_eps, &mut s.normed);
        // Beacons behind the ordinary rows have no place in the outputs.
        math::linear(&s.normed, card.hidden, &weights.key, &mut out.memory_keys);
        math::linear(&s.normed, card.hidden, &weights.query, &mut out.memory_queries);
    }

    /// One decoder layer over the rows in `scratch.x`; K,V go to slots `len..`.
    fn layer(&mut self, layer: usize, input: &StepInput<'_>, queries: Option<&mut [f32]>) {
        let (w, s, card) = (&self.weights.layers[layer], &mut self.scratch, &self.card);
        let len = self.window.len();
        math::rms_norm(&s.x, &w.attention_norm, card.rms_eps, &mut s.normed);
        let (q_width, kv_width) = (card.heads * card.head_dim, card.kv_heads * card.head_dim);
        // Beacons are the last rows and have projections of their own.
        let rows = input.tokens.len();
        let own = self.weights.beacons.as_ref().map_or(&[][..], |b| &b.layers[layer]);
        let (own_query, own) = own.split_at(own.len().min(q_width * card.hidden));
        let (own_key, own_value) = own.split_at(own.len() / 2);
        let project = |weight: &[f32], own: &[f32], width: usize, out: &mut [f32]| {
            let (x, beacons) = s.normed.split_at(rows * card.hidden);
            let (out, beacons_out) = out.split_at_mut(rows * width);
            math::linear(x, card.hidden, weight, out);
            if !beacons.is_empty() {
                math::linear(beacons, card.hidden, own, beacons_out);
            }
        };
        project(&w.query, own_query, q_width, &mut s.query);
        project(&w.key, own_key, kv_width, &mut s.kv);
        self.window.write_rows(Plane::Canonical, layer, len, &s.kv);
        self.window.rotate_layer(layer, len, positions(input));
        project(&w.value, own_value, kv_width, &mut s.kv);
        self.window.write_rows(Plane::Values, layer, len, &s.kv);
        if let Some(queries) = queries {
            queries.copy_from_slice(&s.query[..rows * q_width]);
        }
        self.attention(layer, input);

        let (w, s, card) = (&self.weights.layers[layer], &mut self.scratch, &self.card);
        math::linear(&s.attended, card.heads * card.head_dim, &w.output, &mut s.normed);
        math::add(&mut s.x, &s.normed);
        math::rms_norm(&s.x, &w.ffn_norm, card.rms_eps, &mut s.normed);
        math::linear(&s.normed, card.hidden, &w.gate, &mut s.gate);
        math::linear(&s.normed, card.hidden, &w.up, &mut s.up);
        math::swiglu(&mut s.gate, &s.up);
        math::linear(&s.gate, card.ffn, &w.down, &mut s.normed);
        math::add(&mut s.x, &s.normed);
    }

    /// Attention of `scratch.query` over the window, to `scratch.attended`.
    fn attention(&mut self, layer: usize, input: &StepInput<'_>) {
        let (s, card, window) = (&mut self.scratch, &self.card, &self.window);
        let (d, group) = (card.head_dim, card.heads / card.kv_heads);
        let (len, rows) = (window.len(), input.tokens.len());
        let width = card.heads * d;
        let queries = s.query.chunks_exact(width).zip(s.attended.chunks_exact_mut(width));
        for (row, ((queries, outs), position)) in queries.zip(positions(input)).enumerate() {
            // A beacon sees the rows up to the one it covers last, then beacons up to itself.
            let beacon = row.checked_sub(rows).map(|b| (input.beacons[b].last as usize, b));
            let (seen, beacons) = beacon.map_or((row + 1, 0), |(last, b)| (last + 1, b + 1));
            let (seen, first) = (len + seen, len + rows);
            for (head, (query, out)) in
                queries.chunks_exact(d).zip(outs.chunks_exact_mut(d)).enumerate()
            {
                window.rope().rotate(query, position, &mut s.rotated);
                let plane = |plane| {
                    let all = window.head(plane, layer, head / group, first + beacons);
                    [&all[..seen * d], &all[first * d..]]
                };
                let (keys, values) = (plane(Plane::Rotated), plane(Plane::Values));
                let scores = &mut s.scores[..seen + beacons];
                math::attend(&s.rotated, keys, values, scores, &mut s.sums, out);
            }
        }
    }

    /// Logits of `rows` and log-probabilities, from the residual stream in `scratch.x`.
    fn head(&mut self, input: &StepInput<'_>, out: &mut StepOutput) {
        let (s, card) = (&mut self.scratch, &self.card);
        let head = self.weights.head.as_ref().unwrap_or(&self.weights.embedding);
        math::rms_norm(&s.x, &self.weights.norm, card.rms_eps, &mut s.normed);
        let row = |row: u32| row as usize * card.hidden..(row as usize + 1) * card.hidden;
        for (&r, logits) in input.logit_rows.iter().zip(out.logits.chunks_exact_mut(card.vocab)) {
            math::linear(&s.normed[row(r)], card.hidden, head, logits);
        }
        for (i, (&r, &target)) in input.score_rows.iter().zip(input.score_targets).enumerate() {
            math::linear(&s.normed[row(r)], card.hidden, head, &mut s.logits);
            out.logprobs[i] = math::log_softmax_at(&s.logits, target as usize);
        }
    }
}

impl Engine for FakeEngine {
    fn card(&self) -> &Card {
        &self.card
    }

    fn capacity(&self) -> usize {
        self.window.capacity()
    }

    fn len(&self) -> usize {
        self.window.len()
    }

    fn step(&mut self, input: &StepInput<'_>, out: &mut StepOutput) -> Result<(), StepError> {
        let (len, rows) = (self.window.len(), input.tokens.len());
        input.check(&self.card, len, self.window.capacity())?;
        let slots = rows + input.beacons.len();
        self.scratch.fit(&self.card, slots, self.window.capacity());
        let width = self.card.heads * self.card.head_dim;
        let asked = if input.queries { self.card.query_layers.len() } else { 0 };
        out.logits.resize(input.logit_rows.len() * self.card.vocab, 0.0);
        out.logprobs.resize(input.score_rows.len(), 0.0);
        out.queries.resize(asked * rows * width, 0.0);
        let address = self.card.memory.as_ref().and_then(|m| m.address).filter(|_| input.memory);
        let vectors = address.map_or(0, |a| rows * (a.dim + 1));
        out.memory_keys.resize(vectors, 0.0);
        out.memory_queries.resize(vectors, 0.0);

        let hidden = self.card.hidden;
        for (x, &token) in self.scratch.x.chunks_exact_mut(hidden).zip(input.tokens) {
            let at = token as usize * hidden;
            x.copy_from_slice(&self.weights.embedding[at..at + hidden]);
        }
        let (_, beacons) = self.scratch.x.split_at_mut(rows * hidden);
        let own = self.weights.beacons.as_ref().map_or(&[][..], |b| &b.embedding);
        for (x, beacon) in beacons.chunks_exact_mut(hidden).zip(input.beacons) {
            let at = usize::from(beacon.ratio) * hidden;
            x.copy_from_slice(&own[at..at + hidden]);
        }
        let mut taken_queries = std::mem::take(&mut out.queries);
        let mut queries = taken_queries.chunks_exact_mut(rows * width);
        for layer in 0..self.card.layers {
            let wanted = input.queries && self.card.query_layers.contains(&layer);
            let taken = if wanted { queries.next() } else { None };
            if vectors > 0 {
                self.address(layer, out);
            }
            self.layer(layer, input, taken);
        }
        out.queries = taken_queries;
        self.head(input, out);
        self.window.set_len(len + slots).map_err(|e| StepError::Backend(e.to_string()))
    }

    fn place(&mut self, slot: usize, positions: &[i32], kv: KvView<'_>) -> Result<(), SlotError> {
        self.window.place(slot, positions, kv)
    }

    fn read(&mut self, slots: Range<usize>, out: &mut KvBuf) -> Result<(), SlotError> {
        self.window.read(slots, out)
    }

    fn rotate(&mut self, slots: Range<usize>, first_position: i32) -> Result<(), SlotError> {
        self.window.rotate(slots, first_position)
    }

    fn move_slots(&mut self, from: Range<usize>, to: usize) -> Result<(), SlotError> {
        self.window.move_slots(from, to)
    }

    fn set_len(&mut self, len: usize) -> Result<(), SlotError> {
        self.window.set_len(len)
    }

    fn fold(&mut self, fold: &Fold<'_>, state: &mut GistState) -> Result<(), FoldError> {
        self.fold_state(fold, state)
    }

    fn usage(&self) -> EngineMemory {
        let scratch = self.scratch.bytes() + self.folding.bytes();
        EngineMemory {
            weights_bytes: self.weights.bytes() as u64,
            window_bytes: self.window.bytes() as u64,
            scratch_bytes: (scratch + self.window.rope().bytes()) as u64,
        }
    }

    fn device(&self) -> (&str, &str) {
        ("fake", self.reason)
    }
}

/// Positions of a step's rows, then of its beacons.
fn positions(input: &StepInput<'_>) -> impl Iterator<Item = usize> + Clone {
    let beacons = input.beacons.iter().map(|b| &input.positions[b.last as usize]);
    input.positions.iter().chain(beacons).map(|&p| p as usize)
}

/// What is wrong with a card, for a decoder.
fn unfit(card: &Card) -> Option<String> {
    let sizes = [
        ("layers", card.layers),
        ("hidden", card.hidden),
        ("ffn", card.ffn),
        ("heads", card.heads),
        ("kv_heads", card.kv_heads),
        ("head_dim", card.head_dim),
        ("vocab", card.vocab),
        ("positions", card.positions),
    ];
    if let Some((name, _)) = sizes.iter().find(|(_, n)| *n == 0) {
        return Some(format!("{name} is 0"));
    }
    if let Some((name, n)) = sizes[..1].iter().chain(&sizes[4..6]).find(|(_, n)| *n > 65_535) {
        return Some(format!("{name} is {n}, more than 65535"));
    }
    if !card.head_dim.is_multiple_of(2) {
        return Some(format!("head_dim is {}, an odd number", card.head_dim));
    }
    if !card.heads.is_multiple_of(card.kv_heads) {
        let (heads, kv_heads) = (card.heads, card.kv_heads);
        return Some(format!("heads is {heads}, not a multiple of kv_heads, {kv_heads}"));
    }
    if let Some(address) = card.memory.as_ref().and_then(|m| m.address)
        && (address.layer >= card.layers || address.dim == 0)
    {
        return Some(format!("{address:?} does not fit {} layers", card.layers));
    }
    let ascending = card.query_layers.is_sorted_by(|a, b| a < b);
    if !ascending || card.query_layers.last().is_some_and(|&l| l >= card.layers) {
        let (asked, layers) = (&card.query_layers, card.layers);
        return Some(format!("query_layers is {asked:?}, not ascending below {layers}"));
    }
    None
}

/// Buffers of one step, kept from step to step.
#[derive(Debug, Default)]
struct Scratch {
    /// Residual stream, `[S, hidden]`.
    x: Vec<f32>,
    /// `[S, hidden]`.
    normed: Vec<f32>,
    /// Un-rotated queries, `[S, heads * head_dim]`.
    query: Vec<f32>,
    /// Keys, then values, `[S, kv_heads * head_dim]`.
    kv: Vec<f32>,
    /// `[S, heads * head_dim]`.
    attended: Vec<f32>,
    /// `[S, ffn]` each.
    gate: Vec<f32>,
    up: Vec<f32>,
    /// One query, rotated.
    rotated: Vec<f32>,
    /// One query's scores, `[capacity]`.
    scores: Vec<f32>,
    sums: Vec<f64>,
    /// `[hidden]`, a norm without gain.
    ones: Vec<f32>,
    /// One row's logits, `[vocab]`.
    logits: Vec<f32>,
}

impl Scratch {
    /// Sets all lengths for a chunk of `rows`. Memory is taken only where a chunk is larger than
    /// all before it, and never given back.
    fn fit(&mut self, card: &Card, rows: usize, capacity: usize) {
        let heads = card.heads * card.head_dim;
        for (buffer, width) in [
            (&mut self.x, card.hidden),
            (&mut self.normed, card.hidden),
            (&mut self.query, heads),
            (&mut self.kv, card.kv_heads * card.head_dim),
            (&mut self.attended, heads),
            (&mut self.gate, card.ffn),
            (&mut self.up, card.ffn),
        ] {
            buffer.resize(rows * width, 0.0);
        }
        self.rotated.resize(card.head_dim, 0.0);
        self.sums.resize(card.head_dim, 0.0);
        self.ones.resize(card.hidden, 1.0);
        self.scores.resize(capacity, 0.0);
        self.logits.resize(card.vocab, 0.0);
    }

    fn bytes(&self) -> usize {
        let f32s = [
            &self.x,
            &self.normed,
            &self.query,
            &self.kv,
            &self.attended,
            &self.gate,
            &self.up,
            &self.rotated,
            &self.scores,
            &self.ones,
            &self.logits,
        ];
        f32s.iter().map(|b| b.capacity() * size_of::<f32>()).sum::<usize>()
            + self.sums.capacity() * size_of::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{self, Tolerance};

    fn make() -> Box<dyn Engine> {
        let config = FakeConfig { positions: 2048, ..FakeConfig::default() };
        Box::new(FakeEngine::random(&config, 3, 640))
    }

    #[test]
    fn passes_the_contract() {
        contract::all(&make, Tolerance { chunks: 1e-6, moved: 1e-5 });
    }

    #[test]
    fn passes_the_contract_with_other_shapes() {
        let config = FakeConfig {
            layers: 3,
            hidden: 48,
            ffn: 40,
            heads: 3,
            kv_heads: 1,
            head_dim: 10,
            vocab: 97,
            positions: 1500,
            rope_theta: 100_000.0,
            query_layers: vec![1],
            ..FakeConfig::default()
        };
        let make = || -> Box<dyn Engine> { Box::new(FakeEngine::random(&config, 11, 600)) };
        contract::all(&make, Tolerance { chunks: 1e-6, moved: 1e-5 });
    }

    #[test]
    fn passes_the_contract_with_a_trained_memory() {
        let memory = lcedge_models::TrainedMemory {
            name: "random".into(),
            hash: String::new(),
            system: "Answer from memory.".into(),
            absent: "Not in memory.".into(),
            address: Some(lcedge_models::TrainedAddress {
                layer: 1,
                dim: 24,
                keys: 4,
                segment_tokens: 16,
            }),
            beacons: vec![4, 8, 16, 32],
            gist: Some(lcedge_models::GistShape { slots: 6, width: 5 }),
        };
        let config = FakeConfig { positions: 2048, memory: Some(memory), ..FakeConfig::default() };
        let make = || -> Box<dyn Engine> { Box::new(FakeEngine::random(&config, 3, 640)) };
        contract::all(&make, Tolerance { chunks: 1e-6, moved: 1e-5 });
    }

    #[test]
    fn a_wrong_card_is_named() {
        let mut card = FakeConfig::default().card(1);
        let weights = FakeWeights::random(&card, 1);
        card.kv_heads = 3;
        let error = FakeEngine::new(card, weights, 8).unwrap_err().to_string();
        assert_eq!(error, "the card of random-1: heads is 4, not a multiple of kv_heads, 3");
    }
}
