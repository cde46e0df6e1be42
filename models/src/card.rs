//! The card: what is known of a model.

use lcedge_memory::Geometry;
use serde::{Deserialize, Serialize};

use crate::decoder::{CONTEXT_MAX, DIMENSION_MAX, FFN_MAX, VOCAB_MAX};

/// How the weights of the big matrices are stored in the graph's external data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightKind {
    /// 32-bit floats.
    F32,
    /// 16-bit floats, widened when the graph is loaded.
    F16,
    /// 8-bit blocks of 32 (`MatMulNBits`).
    Int8,
    /// 4-bit blocks of 32 (`MatMulNBits`), exact for GGUF Q4_0 and Q4_1.
    Int4,
}

/// One attention head whose un-rotated keys find passages again (a *retrieval head*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RetrievalHead {
    /// Decoder layer, from 0.
    pub layer: u16,
    /// Key/value head of that layer, from 0.
    pub kv_head: u16,
}

/// Shape of a trained address: outputs `memory_key` and `memory_query`, `[1, S, dim + 1]` each, a
/// token's projection and, in the last column, the logit of its gate. How they are pooled is
/// `lcedge-compress`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TrainedAddress {
    /// Layer at whose input the residual stream is read, from 0.
    pub layer: usize,
    /// Width of a vector.
    pub dim: usize,
    /// Most vectors of a block.
    pub keys: usize,
    /// Tokens of a block that one vector stands for.
    pub segment_tokens: usize,
}

/// Shape of a trained gist: a state of fixed size that older beacons fold into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GistShape {
    /// Keys and values of each layer: slots of the window.
    pub slots: usize,
    /// Width in which slots look for beacons.
    pub width: usize,
}

/// A trained memory that is woven into the decoder (`models/forge` makes them).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainedMemory {
    /// Where it comes from: the name of the zoo's model, or a folder's name.
    pub name: String,
    /// BLAKE3 of what it computes, hex; part of the model's fingerprint.
    pub hash: String,
    /// The system message that marks a question to memory.
    pub system: String,
    /// What the model says when memory does not hold the answer.
    pub absent: String,
    /// The trained address, where there is one.
    pub address: Option<TrainedAddress>,
    /// Ratios of the beacons, ascending; empty without beacons.
    pub beacons: Vec<u16>,
    /// The gist, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gist: Option<GistShape>,
}

/// What is known of a prepared model. Stored as `card.json` beside the graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// The name it is asked for by, e.g. `smollm2-135m`.
    pub name: String,
    /// Architecture as its files call it (`llama`).
    pub architecture: String,
    /// Decoder layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width of the gated feed-forward layer.
    pub ffn: usize,
    /// Query heads.
    pub heads: usize,
    /// Key/value heads.
    pub kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Rows of the embedding.
    pub vocab: usize,
    /// Positions the model was trained on: distances in attention stay below this.
    pub context: usize,
    /// Rows of the graph's table of cosines: positions stay below this.
    pub positions: usize,
    /// RoPE base.
    pub rope_theta: f32,
    /// Epsilon of the RMS norms.
    pub rms_eps: f32,
    /// Whether the head is the embedding, transposed.
    pub tied_head: bool,
    /// First token of a session, where the model has one.
    pub bos: Option<u32>,
    /// Tokens that end an answer.
    pub eos: Vec<u32>,
    /// How the weights are stored.
    pub weights: WeightKind,
    /// BLAKE3 of the weights as they were read, the tokenizer and the template, hex. With the
    /// geometry this is the identity of stored K,V; how the weights are stored is part of it.
    pub fingerprint: String,
    /// Licence of the weights as the source states it.
    pub licence: Option<String>,
    /// Layers whose un-rotated queries the graph gives, ascending (output `query.{layer}`).
    pub query_layers: Vec<usize>,
    /// Heads for the training-free address, best first; empty when none were calibrated.
    pub retrieval_heads: Vec<RetrievalHead>,
    /// What a user should know of how the weights were stored, e.g. a lossy re-quantisation.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The trained memory woven in.
    #[serde(default)]
    pub memory: Option<TrainedMemory>,
}

impl Card {
    /// A card with these shapes and plain values elsewhere, for tests of code that takes cards.
    #[must_use]
    pub fn for_test(
        layers: usize,
        hidden: usize,
        ffn: usize,
        heads: usize,
        kv_heads: usize,
        head_dim: usize,
        vocab: usize,
    ) -> Self {
        Self {
            name: "test".into(),
            architecture: "llama".into(),
            layers,
            hidden,
            ffn,
            heads,
            kv_heads,
            head_dim,
            vocab,
            context: 512,
            positions: 4096,
            rope_theta: 10_000.0,
            rms_eps: 1e-5,
            tied_head: true,
            bos: Some(1),
            eos: vec![2],
            weights: WeightKind::F32,
            fingerprint: String::new(),
            licence: None,
            query_layers: Vec::new(),
            retrieval_heads: Vec::new(),
            notes: Vec::new(),
            memory: None,
        }
    }

    /// A size that no model which is read here has, by name.
    pub(crate) fn impossible(&self) -> Option<(&'static str, usize)> {
        let sizes = [
            ("layers", self.layers, DIMENSION_MAX),
            ("hidden", self.hidden, DIMENSION_MAX),
            ("ffn", self.ffn, FFN_MAX),
            ("heads", self.heads, DIMENSION_MAX),
            ("kv_heads", self.kv_heads, DIMENSION_MAX),
            ("head_dim", self.head_dim, DIMENSION_MAX),
            ("vocab", self.vocab, VOCAB_MAX),
            ("context", self.context, CONTEXT_MAX),
            ("positions", self.positions, 2 * CONTEXT_MAX),
        ];
        let wrong = sizes.into_iter().find(|&(_, n, max)| n == 0 || n > max);
        let wrong = wrong.map(|(what, n, _)| (what, n));
        wrong.or_else(|| {
            let whole = self.heads.is_multiple_of(self.kv_heads);
            (!whole).then_some(("kv_heads", self.kv_heads))
        })
    }

    /// The shape of this model's K,V, with blocks of `block_tokens` tokens.
    ///
    /// # Panics
    /// When a size exceeds 65,535, which no reader lets through.
    #[must_use]
    pub fn geometry(&self, block_tokens: usize) -> Geometry {
        let u = |n: usize| u16::try_from(n).expect("checked when the model was read");
        Geometry {
            layers: u(self.layers),
            kv_heads: u(self.kv_heads),
            head_dim: u(self.head_dim),
            block_tokens: u(block_tokens),
        }
    }
}
