//! Weights of the fake engine, dense `f32`.

use lcedge_models::{
    Card, LayerPart, Memory, Part, RetrievalHead, TrainedMemory, WeightKind, Weights,
    memory::GistWeights,
};

use super::{FakeError, gist};

/// The size of a random model.
#[derive(Clone, Debug)]
pub struct FakeConfig {
    /// Decoder layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width of the gated feed-forward layer.
    pub ffn: usize,
    /// Query heads; a multiple of `kv_heads`.
    pub heads: usize,
    /// Key/value heads.
    pub kv_heads: usize,
    /// Width of one head; even.
    pub head_dim: usize,
    /// Tokens known.
    pub vocab: usize,
    /// Positions the model counts as trained on.
    pub context: usize,
    /// Positions in the table of cosines.
    pub positions: usize,
    /// RoPE base.
    pub rope_theta: f32,
    /// Layers whose queries are given, ascending.
    pub query_layers: Vec<usize>,
    /// A trained memory, whose weights are random as well.
    pub memory: Option<TrainedMemory>,
}

impl Default for FakeConfig {
    /// Two layers, four query heads over two key/value heads of 16, 300 tokens: enough for the 256
    /// bytes and some special tokens, small enough for thousands of steps a second.
    fn default() -> Self {
        Self {
            layers: 2,
            hidden: 64,
            ffn: 128,
            heads: 4,
            kv_heads: 2,
            head_dim: 16,
            vocab: 300,
            context: 2048,
            positions: 8192,
            rope_theta: 10_000.0,
            query_layers: vec![0, 1],
            memory: None,
        }
    }
}

impl FakeConfig {
    /// The card of a random model of this size and `seed`; one retrieval head a query layer.
    #[must_use]
    pub fn card(&self, seed: u64) -> Card {
        let head = |&layer: &usize| RetrievalHead {
            layer: u16::try_from(layer).unwrap_or(u16::MAX),
            kv_head: 0,
        };
        Card {
            name: format!("random-{seed}"),
            architecture: "llama".to_owned(),
            layers: self.layers,
            hidden: self.hidden,
            ffn: self.ffn,
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            vocab: self.vocab,
            context: self.context,
            positions: self.positions,
            rope_theta: self.rope_theta,
            rms_eps: 1e-5,
            tied_head: true,
            bos: Some(1),
            eos: vec![2],
            weights: WeightKind::F32,
            fingerprint: format!("{seed:064x}"),
            licence: None,
            query_layers: self.query_layers.clone(),
            retrieval_heads: self.query_layers.iter().map(head).collect(),
            notes: Vec::new(),
            memory: self.memory.clone(),
        }
    }
}

/// Weights of a decoder layer; matrices are `[outs, ins]`, row-major.
#[derive(Clone, Debug)]
pub struct FakeLayer {
    /// `[hidden]`.
    pub attention_norm: Vec<f32>,
    /// `[heads * head_dim, hidden]`, half-rotation order.
    pub query: Vec<f32>,
    /// `[kv_heads * head_dim, hidden]`, half-rotation order.
    pub key: Vec<f32>,
    /// `[kv_heads * head_dim, hidden]`.
    pub value: Vec<f32>,
    /// `[hidden, heads * head_dim]`.
    pub output: Vec<f32>,
    /// `[hidden]`.
    pub ffn_norm: Vec<f32>,
    /// `[ffn, hidden]`.
    pub gate: Vec<f32>,
    /// `[ffn, hidden]`.
    pub up: Vec<f32>,
    /// `[hidden, ffn]`.
    pub down: Vec<f32>,
}

/// Weights of a decoder, in Hugging Face's order.
#[derive(Clone, Debug)]
pub struct FakeWeights {
    /// `[vocab, hidden]`.
    pub embedding: Vec<f32>,
    /// Layers, first to last.
    pub layers: Vec<FakeLayer>,
    /// `[hidden]`.
    pub norm: Vec<f32>,
    /// `[vocab, hidden]`; `None` when the head is the embedding.
    pub head: Option<Vec<f32>>,
    /// Of the trained address, where the card has one.
    pub address: Option<FakeAddress>,
    /// Of the beacons, where the card has ratios.
    pub beacons: Option<FakeBeacons>,
    /// Of the gist, where the card has one.
    pub gist: Option<GistWeights>,
}

/// Weights of beacons.
#[derive(Clone, Debug)]
pub struct FakeBeacons {
    /// `[ratios, hidden]`.
    pub embedding: Vec<f32>,
    /// `[(heads + 2 kv_heads) * head_dim, hidden]` of each layer: queries, keys, values.
    pub layers: Vec<Vec<f32>>,
}

/// Weights of a trained address, `[dim + 1, hidden]` each; the gate is the last row.
#[derive(Clone, Debug)]
pub struct FakeAddress {
    /// Of the vectors of blocks.
    pub key: Vec<f32>,
    /// Of the vectors of questions.
    pub query: Vec<f32>,
}

impl FakeWeights {
    /// Random weights of the sizes of `card`, the same for the same seed on every machine.
    ///
    /// Matrices have a spread that keeps activations near one; queries and keys are four times as
    /// large, so that attention prefers some keys to others.
    #[must_use]
    pub fn random(card: &Card, seed: u64) -> Self {
        let mut rng = SplitMix(seed);
        let (hidden, heads) = (card.hidden, card.heads * card.head_dim);
        let kv = card.kv_heads * card.head_dim;
        let embedding = rng.matrix(card.vocab, hidden, 1.0);
        let layers = (0..card.layers)
            .map(|_| FakeLayer {
                attention_norm: rng.near_one(hidden),
                query: rng.matrix(heads, hidden, 2.0 / (hidden as f32).sqrt()),
                key: rng.matrix(kv, hidden, 2.0 / (hidden as f32).sqrt()),
                value: rng.matrix(kv, hidden, 1.0 / (hidden as f32).sqrt()),
                output: rng.matrix(hidden, heads, 1.0 / (heads as f32).sqrt()),
                ffn_norm: rng.near_one(hidden),
                gate: rng.matrix(card.ffn, hidden, 1.0 / (hidden as f32).sqrt()),
                up: rng.matrix(card.ffn, hidden, 1.0 / (hidden as f32).sqrt()),
                down: rng.matrix(hidden, card.ffn, 1.0 / (card.ffn as f32).sqrt()),
            })
            .collect();
        let norm = rng.near_one(hidden);
        let head =
            (!card.tied_head).then(|| rng.matrix(card.vocab, hidden, 1.0 / (hidden as f32).sqrt()));
        let mut vectors = |dim: usize| rng.matrix(dim + 1, hidden, 1.0 / (hidden as f32).sqrt());
        let address = card.memory.as_ref().and_then(|m| m.address);
        let address = address.map(|a| FakeAddress { key: vectors(a.dim), query: vectors(a.dim) });
        let ratios = card.memory.as_ref().map_or(0, |m| m.beacons.len());
        let beacons = (ratios > 0).then(|| FakeBeacons {
            embedding: rng.matrix(ratios, hidden, 1.0),
            layers: (0..card.layers)
                .map(|_| rng.matrix(heads + 2 * kv, hidden, 1.5 / (hidden as f32).sqrt()))
                .collect(),
        });
        let gist = gist::random(card, &mut rng);
        Self { embedding, layers, norm, head, address, beacons, gist }
    }

    /// All tensors of a model's file, dense, with the change of a trained memory.
    ///
    /// # Errors
    /// [`FakeError`] when one cannot be read.
    pub fn read(
        weights: &Weights,
        memory: Option<&Memory>,
        card: &Card,
    ) -> Result<Self, FakeError> {
        let layer = |l: usize| -> Result<FakeLayer, FakeError> {
            let part = |part| -> Result<Vec<f32>, FakeError> {
                let part = Part::Layer(l, part);
                let mut dense = weights.dense(part)?;
                if let Some(change) = memory.map_or(Ok(None), |m| m.change(part))? {
                    change.add_to(0..weights.matrix(part)?.rows, &mut dense);
                }
                Ok(dense)
            };
            Ok(FakeLayer {
                attention_norm: part(LayerPart::AttentionNorm)?,
                query: part(LayerPart::Query)?,
                key: part(LayerPart::Key)?,
                value: part(LayerPart::Value)?,
                output: part(LayerPart::Output)?,
                ffn_norm: part(LayerPart::FfnNorm)?,
                gate: part(LayerPart::Gate)?,
                up: part(LayerPart::Up)?,
                down: part(LayerPart::Down)?,
            })
        };
        let head = if card.tied_head { None } else { Some(weights.dense(Part::Head)?) };
        Ok(Self {
            embedding: weights.dense(Part::Embedding)?,
            layers: (0..card.layers).map(layer).collect::<Result<_, _>>()?,
            norm: weights.dense(Part::FinalNorm)?,
            head,
            address: memory.map_or(Ok(None), Memory::address)?.map(|address| {
                let turn = |w: &[f32]| transposed(w, card.hidden);
                FakeAddress { key: turn(&address.key), query: turn(&address.query) }
            }),
            beacons: memory
                .filter(|m| !m.card().beacons.is_empty())
                .map(FakeBeacons::read(card.layers))
                .transpose()?,
            gist: gist::read(memory)?,
        })
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let layers = self.layers.iter().flat_map(|l| {
            [
                &l.attention_norm,
                &l.query,
                &l.key,
                &l.value,
                &l.output,
                &l.ffn_norm,
                &l.gate,
                &l.up,
                &l.down,
            ]
        });
        let address = self.address.iter().flat_map(|a| [&a.key, &a.query]);
        let beacons = self.beacons.iter().flat_map(|b| b.layers.iter().chain([&b.embedding]));
        let all = layers.chain([&self.embedding, &self.norm]).chain(&self.head);
        let all = all.chain(address).chain(beacons);
        let gist = self.gist.as_ref().map_or(0, gist::values) * size_of::<f32>();
        all.map(|w| size_of_val::<[f32]>(w)).sum::<usize>() + gist
    }

    /// The first array whose length does not fit `card`: its name, length and the length wanted.
    pub(super) fn misfit(&self, card: &Card) -> Option<(String, usize, usize)> {
        let (hidden, ffn, heads) = (card.hidden, card.ffn, card.heads * card.head_dim);
        let kv = card.kv_heads * card.head_dim;
        let mut all = vec![
            ("layers".to_owned(), self.layers.len(), card.layers),
            ("embedding".to_owned(), self.embedding.len(), card.vocab * hidden),
            ("norm".to_owned(), self.norm.len(), hidden),
        ];
        if let Some(head) = &self.head {
            all.push(("head".to_owned(), head.len(), card.vocab * hidden));
        }
        let vectors = card.memory.as_ref().and_then(|m| m.address);
        let wanted = vectors.map_or(0, |a| (a.dim + 1) * hidden);
        let [key, query] = self.address.as_ref().map_or([0; 2], |a| [a.key.len(), a.query.len()]);
        all.push(("address: key".to_owned(), key, wanted));
        all.push(("address: query".to_owned(), query, wanted));
        let ratios = card.memory.as_ref().map_or(0, |m| m.beacons.len());
        let embedding = self.beacons.as_ref().map_or(0, |b| b.embedding.len());
        all.push(("beacons: embedding".to_owned(), embedding, ratios * hidden));
        for (i, own) in self.beacons.iter().flat_map(|b| b.layers.iter().enumerate()) {
            let name = format!("layer {i}: beacons");
            all.push((name, own.len(), (heads + 2 * kv) * hidden));
        }
        if let Some(beacons) = &self.beacons {
            all.push(("layers of beacons".to_owned(), beacons.layers.len(), card.layers));
        }
        all.extend(gist::lengths(self.gist.as_ref(), card));
        for (i, l) in self.layers.iter().enumerate() {
            let arrays = [
                ("attention_norm", l.attention_norm.len(), hidden),
                ("query", l.query.len(), heads * hidden),
                ("key", l.key.len(), kv * hidden),
                ("value", l.value.len(), kv * hidden),
                ("output", l.output.len(), hidden * heads),
                ("ffn_norm", l.ffn_norm.len(), hidden),
                ("gate", l.gate.len(), ffn * hidden),
                ("up", l.up.len(), ffn * hidden),
                ("down", l.down.len(), hidden * ffn),
            ];
            all.extend(arrays.map(|(n, found, want)| (format!("layer {i}: {n}"), found, want)));
        }
        all.into_iter().find(|(_, found, want)| found != want)
    }
}

impl FakeBeacons {
    /// Reads them for a decoder of `layers` layers.
    fn read(layers: usize) -> impl Fn(&Memory) -> Result<Self, FakeError> {
        move |memory| {
            let all = (0..layers).map(|layer| memory.beacon_projection(layer));
            Ok(Self {
                embedding: memory.beacon_embedding()?,
                layers: all.collect::<Result<_, _>>()?,
            })
        }
    }
}

/// A matrix `[rows, cols]` as `[cols, rows]`.
fn transposed(matrix: &[f32], rows: usize) -> Vec<f32> {
    let cols = matrix.len() / rows;
    (0..cols).flat_map(|col| (0..rows).map(move |row| matrix[row * cols + col])).collect()
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, and the same everywhere.
pub(super) struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in -1..1.
    fn signed(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    }

    /// About normal (four uniform draws), with the given spread.
    fn normal(&mut self, spread: f32) -> f32 {
        let sum = self.signed() + self.signed() + self.signed() + self.signed();
        sum * (0.75_f32).sqrt() * spread
    }

    pub(super) fn matrix(&mut self, outs: usize, ins: usize, spread: f32) -> Vec<f32> {
        (0..outs * ins).map(|_| self.normal(spread)).collect()
    }

    pub(super) fn near_one(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| 1.0 + self.normal(0.1)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_weights_fit_their_card_and_repeat() {
        let mut card = FakeConfig::default().card(7);
        card.tied_head = false;
        let w = FakeWeights::random(&card, 7);
        assert_eq!(w.misfit(&card), None);
        assert_eq!(w.embedding, FakeWeights::random(&card, 7).embedding);
        assert_ne!(w.embedding, FakeWeights::random(&card, 8).embedding);
        let n = w.embedding.len() as f32;
        let spread = (w.embedding.iter().map(|x| x * x).sum::<f32>() / n).sqrt();
        assert!((spread - 1.0).abs() < 0.02, "{spread}");
    }

    #[test]
    fn a_misfit_is_named() {
        let card = FakeConfig::default().card(7);
        let mut w = FakeWeights::random(&card, 7);
        w.layers[1].up.pop();
        let (name, found, want) = w.misfit(&card).unwrap();
        assert_eq!((name.as_str(), found + 1), ("layer 1: up", want));
    }
}
