//! Beacons: condensing rows behind the ordinary ones, with an embedding and projections of q, k, v
//! of their own; everything else is shared.
//!
//! ```text
//! in   beacon_ratio i64 [1,B] (index into the ratios)   beacon_position_ids i64 [1,B]
//!      beacon_seqlens_k i32 [1] (= valid + S + B - 1)
//!      beacon_total_sequence_length i32 (= valid + S + B)
//!      beacon_attention_bias f32 [1, 1, B, valid + S + B], 0 or a large negative number
//! out  beacon_key.{l} f32 [1, B, Hkv D] un-rotated
//!      beacon_present.{l}.key, beacon_present.{l}.value: the memory of present.{l} once more
//! ```
//!
//! Ordinary rows see no beacon of their own step, so their attention is the stock one, without a
//! bias. The beacons' attention follows it over the same memory, in a branch that is taken only
//! where there are beacons: without them a step is the stock one.

use super::graph::{Attr, Dim, MICROSOFT, Type};
use super::linear::Writer;
use super::llama::{BuildError, attributes, rotate, window};
use crate::card::WeightKind;
use crate::decoder::Decoder;

/// Whether there are beacons, as a value of the graph.
const ANY: &str = "beacons.any";
/// The number of ordinary rows, `[1]`.
const ROWS: &str = "beacons.rows";

impl Writer<'_> {
    /// Whether the memory has beacons.
    pub(super) fn has_beacons(&self) -> bool {
        self.memory.is_some_and(|m| !m.card().beacons.is_empty())
    }

    /// Declares the inputs.
    pub(super) fn beacon_inputs(&mut self) {
        if !self.has_beacons() {
            return;
        }
        let g = &mut self.graph;
        let (one, beacons) = (Dim::Fixed(1), Dim::Named("beacons"));
        g.input("beacon_ratio", Type::I64, &[one, beacons]);
        g.input("beacon_position_ids", Type::I64, &[one, beacons]);
        g.input("beacon_seqlens_k", Type::I32, &[one]);
        g.input("beacon_total_sequence_length", Type::I32, &[]);
        let seen = Dim::Named("seen_by_beacons");
        g.input("beacon_attention_bias", Type::F32, &[one, one, beacons, seen]);
    }

    /// Puts the beacons' embeddings behind those of the ordinary rows; gives the whole.
    pub(super) fn beacon_embedding(&mut self, embedded: &str) -> Result<String, BuildError> {
        let Some(memory) = self.memory.filter(|_| self.has_beacons()) else {
            return Ok(embedded.to_owned());
        };
        let values = memory.beacon_embedding()?;
        let shape = [memory.card().beacons.len(), self.weights.decoder().hidden];
        let table = self.floats("beacons.embedding", &values, &shape)?;
        let g = &mut self.graph;
        let beacons = g.op("Gather", &[&table, "beacon_ratio"], "beacons.embedded", &[]);
        let count = g.op("Size", &["beacon_ratio"], "beacons.count", &[]);
        let none = g.ints("none", &[0], &[]);
        g.op("Greater", &[&count, &none], ANY, &[]);
        let shape = g.op("Shape", &["input_ids"], "beacons.shape", &[]);
        let (one, two) = (g.ints("one", &[1], &[1]), g.ints("two", &[2], &[1]));
        g.op("Slice", &[&shape, &one, &two], ROWS, &[]);
        let axis_1 = [("axis", Attr::Int(1))];
        Ok(g.op("Concat", &[embedded, &beacons], "embedded.all", &axis_1))
    }

    /// The ordinary rows of `x` `[1, S + B, n]`; `x` itself where there can be no others.
    pub(super) fn ordinary_rows(&mut self, x: &str) -> String {
        if !self.has_beacons() {
            return x.to_owned();
        }
        let name = format!("{x}.ordinary");
        let (zero, one) = self.rows_and_axis();
        self.graph.op("Slice", &[x, &zero, ROWS, &one], &name, &[])
    }

    fn rows_and_axis(&mut self) -> (String, String) {
        (self.graph.ints("zero", &[0], &[1]), self.graph.ints("one", &[1], &[1]))
    }

    /// Attention of the beacons among `x` over `present.{layer}`, behind the ordinary rows'
    /// `attended`; gives the name of the whole, `[1, S + B, H D]`.
    pub(super) fn beacon_attention(
        &mut self,
        layer: usize,
        x: &str,
        attended: &str,
    ) -> Result<String, BuildError> {
        let Some(memory) = self.memory.filter(|_| self.has_beacons()) else {
            return Ok(attended.to_owned());
        };
        let at = |what: &str| format!("layer.{layer}.beacons.{what}");
        let d = self.weights.decoder();
        let matrix = memory.beacon_projection(layer)?;
        let (present_k, present_v) =
            (format!("present.{layer}.key"), format!("present.{layer}.value"));
        let kv_width = d.kv_heads * d.head_dim;
        let empty = self.graph.floats("beacons.no_key", &[], &[1, 0, kv_width]);

        let first = self.graph.nodes();
        let inside = ["attended", "key", "present.key", "present.value"].map(at);
        self.beacon_branch(layer, x, attended, &matrix, &inside)?;
        let then = self.graph.take_nodes(first);
        let outside = ["attended.none", "key.none", "present.key.none", "present.value.none"];
        let outside = outside.map(at);
        for (from, to) in [attended, &empty, &present_k, &present_v].into_iter().zip(&outside) {
            self.graph.op("Identity", &[from], to, &[]);
        }
        let otherwise = self.graph.take_nodes(first);

        let whole = format!("layer.{layer}.attended.all");
        let key = format!("beacon_key.{layer}");
        let (k, v) =
            (format!("beacon_present.{layer}.key"), format!("beacon_present.{layer}.value"));
        let names = |all: &[String; 4]| all.clone();
        let (inside, outside) = (names(&inside), names(&outside));
        let inside: Vec<&str> = inside.iter().map(String::as_str).collect();
        let outside: Vec<&str> = outside.iter().map(String::as_str).collect();
        let outputs = [whole.as_str(), &key, &k, &v];
        self.graph.choose(ANY, (then, &inside), (otherwise, &outside), &outputs);
        let beacons = [Dim::Fixed(1), Dim::Named("beacons"), Dim::Fixed(kv_width)];
        self.graph.output(&key, Type::F32, &beacons);
        self.graph.output(&k, Type::F32, &window(d));
        self.graph.output(&v, Type::F32, &window(d));
        Ok(whole)
    }

    /// Done where there are beacons: makes `[attended, key, present key, present value]`.
    fn beacon_branch(
        &mut self,
        layer: usize,
        x: &str,
        attended: &str,
        matrix: &[f32],
        [whole, key, new_k, new_v]: &[String; 4],
    ) -> Result<(), BuildError> {
        let at = |what: &str| format!("layer.{layer}.beacons.{what}");
        let d = self.weights.decoder().clone();
        let (q_width, kv_width) = (d.heads * d.head_dim, d.kv_heads * d.head_dim);
        let end = self.graph.ints("end", &[i64::MAX], &[1]);
        let (_, one) = self.rows_and_axis();
        let rows = self.graph.op("Slice", &[x, ROWS, &end, &one], &at("in"), &[]);
        self.beacon_projection(&rows, matrix, &at("qkv"), [q_width + 2 * kv_width, d.hidden])?;
        let sizes = [q_width as i64, kv_width as i64, kv_width as i64];
        let sizes = self.graph.ints("sizes.qkv", &sizes, &[3]);
        let (q, v) = (at("query"), at("value"));
        let last = [("axis", Attr::Int(-1))];
        let outputs = [q.as_str(), key, &v];
        self.graph.node("", "Split", &[&at("qkv"), &sizes], &outputs, &last);
        let (rq, rk) = (at("query.rotated"), at("key.rotated"));
        rotate(&mut self.graph, &q, "beacon_position_ids", &rq);
        rotate(&mut self.graph, key, "beacon_position_ids", &rk);
        let (past_k, past_v) = (format!("present.{layer}.key"), format!("present.{layer}.value"));
        let lengths = ["beacon_seqlens_k", "beacon_total_sequence_length"];
        let bias = "beacon_attention_bias";
        let inputs =
            [&rq, &rk, &v, past_k.as_str(), &past_v, lengths[0], lengths[1], "", "", "", bias];
        let seen = at("seen");
        let outputs = [seen.as_str(), new_k, new_v];
        self.graph.node(MICROSOFT, "GroupQueryAttention", &inputs, &outputs, &attributes(&d));
        self.graph.op("Concat", &[attended, &seen], whole, &[("axis", Attr::Int(1))]);
        Ok(())
    }

    fn beacon_projection(
        &mut self,
        x: &str,
        matrix: &[f32],
        name: &str,
        shape: [usize; 2],
    ) -> Result<(), BuildError> {
        match self.kind {
            WeightKind::F32 => self.dense_matrix(x, matrix, name, shape, Type::F32),
            WeightKind::F16 => self.dense_matrix(x, matrix, name, shape, Type::F16),
            WeightKind::Int8 | WeightKind::Int4 => self.matrix_8(x, matrix, name, shape),
        }
    }
}

/// Values of the beacons' own projections.
pub(super) fn values(d: &Decoder) -> u64 {
    (d.layers * (d.heads + 2 * d.kv_heads) * d.head_dim * d.hidden) as u64
}
