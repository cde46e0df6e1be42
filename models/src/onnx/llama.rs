//! The fused decoder: ONNX Runtime's `GroupQueryAttention` over one shared buffer of keys and
//! values, rotation before it (`RotaryEmbedding`), RMS norms fused with the residual sum.
//!
//! ```text
//! in   input_ids i64 [1,S]   position_ids i64 [1,S]
//!      rows i64 [R]   score_rows i64 [Q]   targets i64 [Q]
//!      seqlens_k i32 [1] (= valid + S - 1)   total_sequence_length i32 (= valid + S)
//!      past.{l}.key, past.{l}.value f32 [1, Hkv, C, D], C = capacity, shared with present
//! out  present.{l}.key, present.{l}.value (keys rotated)
//!      key.{l} f32 [1, S, Hkv D] un-rotated
//!      query.{l} f32 [1, S, H D] un-rotated, of the layers asked for
//!      logits f32 [R, V]      token_logprob f32 [Q], natural logarithm
//! ```
//!
//! With a trained memory that has an address also, of the residual stream at one layer's input:
//!
//! ```text
//! out  memory_key, memory_query f32 [1, S, dim + 1]: projections, and a gate's logit at the end
//! ```

use std::io;
use std::path::{Path, PathBuf};

use prost::Message;

use super::beacons;
use super::data::DataFile;
use super::graph::{Attr, Dim, Graph, MICROSOFT, Type};
use super::head::{self, Table};
use super::linear::Writer;
use super::proto::ModelProto;
use super::recurrent;
use crate::card::WeightKind;
use crate::decoder::Decoder;
use crate::memory::{Memory, MemoryError};
use crate::rope;
use crate::weights::{LayerPart, Part, Weights, WeightsError};

/// Name of the graph's file.
pub const GRAPH_FILE: &str = "model.onnx";
/// Name of the external file of weights, beside the graph.
pub const DATA_FILE: &str = "weights.bin";

/// How the graph is built.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    /// How the big matrices are stored.
    pub weights: WeightKind,
    /// Rows of the table of cosines: positions stay below this.
    pub positions: usize,
    /// Layers whose un-rotated queries are outputs, ascending.
    pub query_layers: Vec<usize>,
    /// Rows of one tile of the vocabulary in the head.
    pub head_tile_rows: usize,
    /// One product for Q, K and V, and one for gate and up, split afterwards.
    pub packed: bool,
    /// `accuracy_level` of the layers' `MatMulNBits`: 4 quantises activations to 8 bits, none
    /// multiplies in floats.
    pub accuracy_level: Option<i64>,
    /// The same for the head, which has 8 bits in both integer kinds.
    pub head_accuracy_level: Option<i64>,
}

impl BuildOptions {
    /// What suits a weight kind. 8-bit matrices are slow in floats (5 against 56 tokens a second
    /// of CPU time in decode) and lose 0.006 nats a token at level 4; 4-bit ones stay exact without
    /// a level, their head loses nothing that can be measured at level 4.
    #[must_use]
    pub fn of(weights: WeightKind) -> Self {
        let (accuracy_level, head_accuracy_level) = match weights {
            WeightKind::F32 | WeightKind::F16 => (None, None),
            WeightKind::Int8 => (Some(4), Some(4)),
            WeightKind::Int4 => (None, Some(4)),
        };
        Self {
            weights,
            positions: 32_768,
            query_layers: Vec::new(),
            head_tile_rows: 4096,
            packed: false,
            accuracy_level,
            head_accuracy_level,
        }
    }
}

/// Why a graph could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The weights could not be read.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The trained memory could not be read.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The graph or its weights could not be written.
    #[error("the graph could not be written: {0}")]
    Io(#[from] io::Error),
    /// A layer was asked for that the decoder does not have.
    #[error("queries of layer {layer} were asked for, the decoder has {layers} layers")]
    QueryLayer {
        /// The layer asked for.
        layer: usize,
        /// Layers there are.
        layers: usize,
    },
    /// Projections that are built as one product are stored in different ways.
    #[error("the matrices of {name} are stored in different ways and cannot be packed together")]
    Mixed {
        /// The product.
        name: String,
    },
}

/// What was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The graph.
    pub graph: PathBuf,
    /// The external file of weights.
    pub data: PathBuf,
    /// Bytes of the external file.
    pub data_bytes: u64,
    /// Whether some matrix was re-quantised with loss.
    pub lossy: bool,
    /// The gist's own graph and its weights, where the memory has a gist.
    pub recurrent: Vec<PathBuf>,
}

/// Builds the decoder of `weights`, with `memory` woven in, into `dir`, which must hold neither
/// file yet. `progress` is told bytes written so far and an estimate of all.
///
/// # Errors
/// [`BuildError`] when weights cannot be read, files cannot be written, or an option does not fit.
pub fn build(
    weights: &Weights,
    memory: Option<&Memory>,
    options: &BuildOptions,
    dir: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Built, BuildError> {
    let decoder = weights.decoder();
    if let Some(layer) = options.query_layers.iter().find(|l| **l >= decoder.layers) {
        return Err(BuildError::QueryLayer { layer: *layer, layers: decoder.layers });
    }
    let (graph, data) = (dir.join(GRAPH_FILE), dir.join(DATA_FILE));
    let mut writer = Writer {
        weights,
        memory,
        graph: Graph::new("decoder", DATA_FILE),
        data: DataFile::create(&data)?,
        kind: options.weights,
        accuracy_level: options.accuracy_level,
        head_accuracy_level: options.head_accuracy_level,
        lossy: false,
    };
    decoder_graph(&mut writer, options, progress)?;
    let Writer { graph: built, data: file, lossy, .. } = writer;
    let data_bytes = file.finish()?;
    write_model(&built.finish(&[("lcedge.graph", "fused-1".into())]), &graph)?;
    let recurrent = memory.map_or(Ok(Vec::new()), |m| recurrent::write(m, decoder, dir))?;
    Ok(Built { graph, data, data_bytes, lossy, recurrent })
}

pub(super) fn write_model(model: &ModelProto, path: &Path) -> io::Result<()> {
    let mut file = std::fs::File::create_new(path)?;
    io::Write::write_all(&mut file, &model.encode_to_vec())?;
    file.sync_all()
}

fn decoder_graph(
    w: &mut Writer<'_>,
    options: &BuildOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), BuildError> {
    let decoder = w.weights.decoder();
    let total = estimate(decoder, w.memory, options.weights);
    declare_inputs(w, decoder);
    w.beacon_inputs();
    let (cos, sin) = rope::tables(options.positions, decoder.head_dim, decoder.rope_theta);
    let table = [options.positions, decoder.head_dim / 2];
    w.floats("rope.cos", &cos, &table)?;
    w.floats("rope.sin", &sin, &table)?;
    let embedding = Table::write(w, Part::Embedding, "embedding")?;
    embedding.gather(w, "input_ids", 2, "embedded");
    let embedded = w.beacon_embedding("embedded")?;
    progress(w.data.written(), total);
    let eps = [("epsilon", Attr::Float(decoder.rms_eps)), ("axis", Attr::Int(-1))];
    let norm = w.vector(Part::Layer(0, LayerPart::AttentionNorm), "layer.0.attention.norm")?;
    w.graph.op("SimplifiedLayerNormalization", &[&embedded, &norm], "layer.0.in", &eps);
    let mut residual = embedded;
    for layer in 0..decoder.layers {
        residual = decoder_layer(w, decoder, options, layer, &residual)?;
        progress(w.data.written(), total);
    }
    let head = if decoder.tied_head { embedding } else { Table::write(w, Part::Head, "head")? };
    let last = format!("layer.{}.in", decoder.layers);
    head::outputs(w, &head, &last, options.head_tile_rows);
    progress(total, total);
    Ok(())
}

fn declare_inputs(w: &mut Writer<'_>, d: &Decoder) {
    let g = &mut w.graph;
    let sequence = [Dim::Fixed(1), Dim::Named("sequence")];
    g.input("input_ids", Type::I64, &sequence);
    g.input("position_ids", Type::I64, &sequence);
    g.input("seqlens_k", Type::I32, &[Dim::Fixed(1)]);
    g.input("total_sequence_length", Type::I32, &[]);
    g.input("rows", Type::I64, &[Dim::Named("rows")]);
    g.input("score_rows", Type::I64, &[Dim::Named("score_rows")]);
    g.input("targets", Type::I64, &[Dim::Named("score_rows")]);
    for layer in 0..d.layers {
        for what in ["key", "value"] {
            g.input(&format!("past.{layer}.{what}"), Type::F32, &window(d));
        }
    }
}

/// Shape of one layer's keys or values in the window.
pub(super) fn window(d: &Decoder) -> [Dim<'static>; 4] {
    let (heads, width) = (Dim::Fixed(d.kv_heads), Dim::Fixed(d.head_dim));
    [Dim::Fixed(1), heads, Dim::Named("capacity"), width]
}

/// Appends one layer; its input is `layer.{l}.in` (normed) and `residual`. Gives the new residual.
fn decoder_layer(
    w: &mut Writer<'_>,
    d: &Decoder,
    options: &BuildOptions,
    layer: usize,
    residual: &str,
) -> Result<String, BuildError> {
    let at = |what: &str| format!("layer.{layer}.{what}");
    let part = |p: LayerPart| Part::Layer(layer, p);
    w.address(layer, residual)?;
    attention(w, d, options, layer)?;
    let attended = w.beacon_attention(layer, &at("in"), &at("attended"))?;
    w.linear(&attended, &[part(LayerPart::Output)], &at("attention.out"))?;
    let norm = w.vector(part(LayerPart::FfnNorm), &at("ffn.norm"))?;
    let middle = at("middle");
    skip_norm(w, d, [&at("attention.out"), residual, &norm], &at("ffn.in"), &middle);

    let (gate, up) = (at("gate"), at("up"));
    w.low_rank(&at("ffn.in"), &[part(LayerPart::Gate), part(LayerPart::Up)])?;
    if options.packed {
        let both = at("gate_up");
        w.linear(&at("ffn.in"), &[part(LayerPart::Gate), part(LayerPart::Up)], &both)?;
        let half = d.ffn as i64;
        let sizes = w.graph.ints("sizes.ffn", &[half, half], &[2]);
        w.graph.node("", "Split", &[&both, &sizes], &[&gate, &up], &[("axis", Attr::Int(-1))]);
    } else {
        w.linear(&at("ffn.in"), &[part(LayerPart::Gate)], &gate)?;
        w.linear(&at("ffn.in"), &[part(LayerPart::Up)], &up)?;
    }
    let sigmoid = w.graph.op("Sigmoid", &[&gate], &at("sigmoid"), &[]);
    let silu = w.graph.op("Mul", &[&gate, &sigmoid], &at("silu"), &[]);
    w.graph.op("Mul", &[&silu, &up], &at("gated"), &[]);
    w.linear(&at("gated"), &[part(LayerPart::Down)], &at("ffn.out"))?;

    let next = layer + 1;
    let (norm_part, norm_name) = if next < d.layers {
        (Part::Layer(next, LayerPart::AttentionNorm), format!("layer.{next}.attention.norm"))
    } else {
        (Part::FinalNorm, "final.norm".to_owned())
    };
    let norm = w.vector(norm_part, &norm_name)?;
    let (normed, sum) = (format!("layer.{next}.in"), format!("layer.{next}.residual"));
    let sum = if next < d.layers { sum } else { String::new() };
    skip_norm(w, d, [&at("ffn.out"), &middle, &norm], &normed, &sum);
    Ok(sum)
}

/// `normed = rms_norm(x + residual) norm`, and the sum itself unless its name is empty.
fn skip_norm(
    w: &mut Writer<'_>,
    d: &Decoder,
    [x, residual, norm]: [&str; 3],
    normed: &str,
    sum: &str,
) {
    let outputs = [normed, "", "", sum];
    let outputs = if sum.is_empty() { &outputs[..1] } else { &outputs[..] };
    let eps = [("epsilon", Attr::Float(d.rms_eps))];
    let inputs = [x, residual, norm];
    w.graph.node(MICROSOFT, "SkipSimplifiedLayerNormalization", &inputs, outputs, &eps);
}

fn attention(
    w: &mut Writer<'_>,
    d: &Decoder,
    options: &BuildOptions,
    layer: usize,
) -> Result<(), BuildError> {
    let at = |what: &str| format!("layer.{layer}.{what}");
    let part = |p: LayerPart| Part::Layer(layer, p);
    let (q, k, v) = (format!("query.{layer}"), format!("key.{layer}"), at("value"));
    let x = w.ordinary_rows(&at("in"));
    let (q_width, kv_width) = (d.heads * d.head_dim, d.kv_heads * d.head_dim);
    let all = [LayerPart::Query, LayerPart::Key, LayerPart::Value].map(part);
    w.low_rank(&x, &all)?;
    if options.packed {
        w.linear(&x, &all, &at("qkv"))?;
        let sizes = [q_width as i64, kv_width as i64, kv_width as i64];
        let sizes = w.graph.ints("sizes.qkv", &sizes, &[3]);
        let outputs = [q.as_str(), &k, &v];
        w.graph.node("", "Split", &[&at("qkv"), &sizes], &outputs, &[("axis", Attr::Int(-1))]);
    } else {
        w.linear(&x, &[part(LayerPart::Query)], &q)?;
        w.linear(&x, &[part(LayerPart::Key)], &k)?;
        w.linear(&x, &[part(LayerPart::Value)], &v)?;
    }
    let sequence = [Dim::Fixed(1), Dim::Named("sequence")];
    w.graph.output(&k, Type::F32, &[sequence[0], sequence[1], Dim::Fixed(kv_width)]);
    if options.query_layers.contains(&layer) {
        w.graph.output(&q, Type::F32, &[sequence[0], sequence[1], Dim::Fixed(q_width)]);
    }
    rotate(&mut w.graph, &q, "position_ids", &at("query.rotated"));
    rotate(&mut w.graph, &k, "position_ids", &at("key.rotated"));
    let (past_k, past_v) = (format!("past.{layer}.key"), format!("past.{layer}.value"));
    let (new_k, new_v) = (format!("present.{layer}.key"), format!("present.{layer}.value"));
    let (rq, rk) = (at("query.rotated"), at("key.rotated"));
    let lengths = ["seqlens_k", "total_sequence_length"];
    let inputs = [rq.as_str(), &rk, &v, &past_k, &past_v, lengths[0], lengths[1]];
    let attended = at("attended");
    let outputs = [attended.as_str(), &new_k, &new_v];
    w.graph.node(MICROSOFT, "GroupQueryAttention", &inputs, &outputs, &attributes(d));
    w.graph.output(&new_k, Type::F32, &window(d));
    w.graph.output(&new_v, Type::F32, &window(d));
    Ok(())
}

/// Rotates all heads of `x` to `positions`.
pub(super) fn rotate(g: &mut Graph, x: &str, positions: &str, out: &str) {
    let inputs = [x, positions, "rope.cos", "rope.sin"];
    g.node(MICROSOFT, "RotaryEmbedding", &inputs, &[out], &[]);
}

/// Attributes of `GroupQueryAttention`.
pub(super) fn attributes(d: &Decoder) -> [(&'static str, Attr<'static>); 4] {
    [
        ("num_heads", Attr::Int(d.heads as i64)),
        ("kv_num_heads", Attr::Int(d.kv_heads as i64)),
        ("scale", Attr::Float((1.0 / (d.head_dim as f64).sqrt()) as f32)),
        ("do_rotary", Attr::Int(0)),
    ]
}

/// About how many bytes the external file will have.
fn estimate(d: &Decoder, memory: Option<&Memory>, kind: WeightKind) -> u64 {
    let attention = 2 * d.hidden * d.head_dim * (d.heads + d.kv_heads);
    let layers = (d.layers * (attention + 3 * d.hidden * d.ffn)) as u64;
    let tables = (d.vocab * d.hidden * if d.tied_head { 1 } else { 2 }) as u64;
    let beside = match (memory, kind) {
        (Some(memory), WeightKind::Int4) => memory.change_values(d),
        _ => [0, 0],
    };
    let beacons = memory.is_some_and(|m| !m.card().beacons.is_empty());
    let beacons = if beacons { beacons::values(d) } else { 0 };
    match kind {
        WeightKind::F32 => 4 * (layers + tables + beacons),
        WeightKind::F16 => 2 * (layers + tables + beacons),
        WeightKind::Int8 => (layers + tables + beacons) * 9 / 8,
        WeightKind::Int4 => layers * 3 / 4 + (tables + beacons + beside[0]) * 9 / 8 + beside[1] * 4,
    }
}
