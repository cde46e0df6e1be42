//! The gist's fold as a graph of its own, `recurrent.onnx`: older beacons go into a state of fixed
//! size. Formula and names of the weights: [`crate::memory::GistWeights`].
//!
//! ```text
//! in   state_key, state_value f32 [L, H, G, D]     beacon_key, beacon_value f32 [L, H, B, D]
//!      fresh f32 [1] (1: the first fold; the state is then not looked at)
//!      question f32 [A] (a unit vector, or zeros)
//! out  next_key, next_value f32 [L, H, G, D]
//! ```
//!
//! Keys are un-rotated. All layers and heads are one batch. Scalings are taken into the matrices
//! that follow them, and what is linear in the beacons is done behind the softmax, where there are
//! `G` rows instead of `B`. Weights are 32-bit floats whatever the decoder's are.

use std::path::{Path, PathBuf};

use super::data::DataFile;
use super::graph::{Attr, Dim, Graph, Type};
use super::llama::{BuildError, write_model};
use crate::decoder::Decoder;
use crate::memory::{GistWeights, Memory};

/// Name of the graph's file.
pub const RECURRENT_FILE: &str = "recurrent.onnx";
/// Name of its external file of weights, beside it.
pub const RECURRENT_DATA_FILE: &str = "recurrent.bin";

/// Writes the fold of a memory's gist into `dir`; gives its files, none without a gist.
pub(super) fn write(
    memory: &Memory,
    decoder: &Decoder,
    dir: &Path,
) -> Result<Vec<PathBuf>, BuildError> {
    let (Some(shape), Some(weights)) = (memory.card().gist, memory.gist()?) else {
        return Ok(Vec::new());
    };
    let dim = memory.card().address.map_or(0, |a| a.dim);
    let sizes = Sizes {
        layers: decoder.layers,
        heads: decoder.kv_heads,
        d: decoder.head_dim,
        e: 2 * decoder.head_dim,
        g: shape.slots,
        p: shape.width,
        a: dim,
    };
    let (graph, data) = (dir.join(RECURRENT_FILE), dir.join(RECURRENT_DATA_FILE));
    let mut fold = Fold {
        graph: Graph::new("recurrent", RECURRENT_DATA_FILE),
        data: DataFile::create(&data)?,
        sizes,
    };
    fold.constants(weights)?;
    fold.nodes();
    fold.data.finish()?;
    write_model(&fold.graph.finish(&[("lcedge.graph", "recurrent-1".into())]), &graph)?;
    Ok(vec![graph, data])
}

/// Layers, key/value heads, width of a head, of a state, slots, widths of look-up and address.
#[derive(Clone, Copy)]
struct Sizes {
    layers: usize,
    heads: usize,
    d: usize,
    e: usize,
    g: usize,
    p: usize,
    a: usize,
}

struct Fold {
    graph: Graph,
    data: DataFile,
    sizes: Sizes,
}

impl Fold {
    fn constants(&mut self, w: GistWeights) -> Result<(), BuildError> {
        let Sizes { e, g, p, a, .. } = self.sizes;
        let GistWeights { init, scale, mut query, slot, mut key, mut value, .. } = w;
        // Each row of these matrices reads one value of a state.
        scale_rows(&mut query, &scale, p);
        scale_rows(&mut value, &scale, e);
        scale_rows(&mut key, &scale, p);
        let root = 1.0 / (p as f32).sqrt();
        key.iter_mut().for_each(|x| *x *= root);
        let gates = w.gate.chunks_exact(2 * e).zip(scale.chunks_exact(e));
        let side = |first: usize| {
            let of_head = |(gate, scale): (&[f32], &[f32])| -> Vec<f32> {
                gate[first..first + e].iter().zip(scale).map(|(g, s)| g * s).collect()
            };
            gates.clone().flat_map(of_head).collect::<Vec<f32>>()
        };
        self.floats("init", &init, [g, e])?;
        self.floats("query", &query, [e, p])?;
        self.floats("slot", &slot, [g, p])?;
        self.floats("key", &key, [e, p])?;
        self.floats("value", &value, [e, e])?;
        self.floats("gate.state", &side(0), [e, 1])?;
        self.floats("gate.new", &side(e), [e, 1])?;
        self.floats("gate.bias", &w.gate_bias, [1, 1])?;
        self.floats("question.look", &w.question, [a, p])
    }

    fn floats(&mut self, name: &str, values: &[f32], tail: [usize; 2]) -> Result<(), BuildError> {
        let Sizes { layers, heads, .. } = self.sizes;
        self.data.begin()?;
        self.data.write_f32(values)?;
        let dims = [layers, heads, tail[0], tail[1]];
        self.graph.external(name, Type::F32, &dims, self.data.place());
        Ok(())
    }

    fn nodes(&mut self) {
        let Sizes { layers, heads, d, g, a, .. } = self.sizes;
        let graph = &mut self.graph;
        let rows = |n| [Dim::Fixed(layers), Dim::Fixed(heads), n, Dim::Fixed(d)];
        for (name, rows) in [
            ("state_key", rows(Dim::Fixed(g))),
            ("state_value", rows(Dim::Fixed(g))),
            ("beacon_key", rows(Dim::Named("beacons"))),
            ("beacon_value", rows(Dim::Named("beacons"))),
        ] {
            graph.input(name, Type::F32, &rows);
        }
        graph.input("fresh", Type::F32, &[Dim::Fixed(1)]);
        graph.input("question", Type::F32, &[Dim::Fixed(a)]);

        let last = [("axis", Attr::Int(-1))];
        let half = graph.floats("half", &[0.5], &[1]);
        graph.op("Greater", &["fresh", &half], "first", &[]);
        graph.op("Concat", &["state_key", "state_value"], "state.given", &last);
        graph.op("Where", &["first", "init", "state.given"], "state", &[]);
        graph.op("Concat", &["beacon_key", "beacon_value"], "beacons", &last);

        let zero = graph.ints("zero", &[0], &[1]);
        graph.op("Unsqueeze", &["question", &zero], "question.row", &[]);
        graph.op("MatMul", &["question.row", "question.look"], "asked", &[]);
        graph.op("Add", &["slot", "asked"], "slot.asked", &[]);
        graph.op("MatMul", &["state", "query"], "looked", &[]);
        graph.op("Add", &["looked", "slot.asked"], "look", &[]);
        graph.op("MatMul", &["beacons", "key"], "keys", &[]);
        let turn = [("perm", Attr::Ints(&[0, 1, 3, 2]))];
        graph.op("Transpose", &["keys"], "keys.turned", &turn);
        graph.op("MatMul", &["look", "keys.turned"], "scores", &[]);
        graph.op("Softmax", &["scores"], "weights", &last);

        graph.op("MatMul", &["weights", "beacons"], "mean", &[]);
        graph.op("MatMul", &["mean", "value"], "learned", &[]);
        graph.op("Add", &["mean", "learned"], "new", &[]);

        graph.op("MatMul", &["state", "gate.state"], "gate.of_state", &[]);
        graph.op("MatMul", &["new", "gate.new"], "gate.of_new", &[]);
        graph.op("Add", &["gate.of_state", "gate.of_new"], "gate.sum", &[]);
        graph.op("Add", &["gate.sum", "gate.bias"], "gate.all", &[]);
        graph.op("Sigmoid", &["gate.all"], "gate.open", &[]);
        graph.op("Max", &["gate.open", "fresh"], "take", &[]);
        let one = graph.floats("one", &[1.0], &[1]);
        graph.op("Sub", &[&one, "take"], "keep", &[]);
        graph.op("Mul", &["keep", "state"], "kept", &[]);
        graph.op("Mul", &["take", "new"], "taken", &[]);
        graph.op("Add", &["kept", "taken"], "next", &[]);
        let sizes = graph.ints("sizes", &[d as i64, d as i64], &[2]);
        graph.node("", "Split", &["next", &sizes], &["next_key", "next_value"], &last);
        for name in ["next_key", "next_value"] {
            graph.output(name, Type::F32, &rows(Dim::Fixed(g)));
        }
    }
}

/// Multiplies row `i` of matrices `[.., rows, cols]` with the `i`th of `scale`.
fn scale_rows(matrices: &mut [f32], scale: &[f32], cols: usize) {
    for (row, s) in matrices.chunks_exact_mut(cols).zip(scale) {
        row.iter_mut().for_each(|x| *x *= s);
    }
}
