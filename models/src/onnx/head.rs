//! The embedding, and the head on chosen rows with the vocabulary in tiles.
//!
//! Embedding and tied head are one tensor of the external file: the embedding is gathered from it,
//! and each tile of the head is another view of its bytes. A tile's logits live only until its
//! log-sum-exp is known, so that no `[S, vocab]` array is made: each tile waits for the one before
//! it, because the library would compute all of them first (100 MB for 512 rows of 49,152).

use super::data::Place;
use super::graph::{Attr, Dim, Type};
use super::linear::{Writer, pack};
use super::llama::BuildError;
use super::pack::Packed;
use crate::card::WeightKind;
use crate::encoding::BLOCK;
use crate::weights::Part;

/// Rows read and written at once.
const STRIP: usize = 1024;

/// A `[vocab, hidden]` tensor in the external file.
#[derive(Clone, Debug)]
pub(super) struct Table {
    name: String,
    rows: usize,
    cols: usize,
    store: Store,
}

#[derive(Clone, Copy, Debug)]
enum Store {
    /// `[rows, cols]` floats.
    Floats(Type, Place),
    /// `[rows, blocks, 32]` bytes around 128, and `[rows, blocks, 1]` scales.
    Blocks { q: Place, scales: Place },
}

impl Table {
    /// Writes `part`: floats as floats, both integer kinds in 8 bits (exact for Q8_0).
    pub(super) fn write(w: &mut Writer<'_>, part: Part, name: &str) -> Result<Self, BuildError> {
        let matrix = w.weights.matrix(part)?;
        let (rows, cols) = (matrix.rows, matrix.cols);
        let store = match w.kind {
            WeightKind::F32 => Self::write_floats(w, part, Type::F32)?,
            WeightKind::F16 => Self::write_floats(w, part, Type::F16)?,
            WeightKind::Int8 | WeightKind::Int4 => Self::write_blocks(w, part)?,
        };
        let table = Self { name: name.into(), rows, cols, store };
        table.declare(w);
        Ok(table)
    }

    fn write_floats(w: &mut Writer<'_>, part: Part, kind: Type) -> Result<Store, BuildError> {
        let rows = w.weights.matrix(part)?.rows;
        w.data.begin()?;
        let mut strip = Vec::new();
        for first in (0..rows).step_by(STRIP) {
            w.weights.read_dense(part, first..(first + STRIP).min(rows), &mut strip)?;
            w.write_floats(&strip, kind)?;
        }
        Ok(Store::Floats(kind, w.data.place()))
    }

    fn write_blocks(w: &mut Writer<'_>, part: Part) -> Result<Store, BuildError> {
        let matrix = w.weights.matrix(part)?;
        w.note_loss(matrix.encoding, 8);
        let mut scales = Vec::with_capacity(matrix.rows * matrix.cols.div_ceil(BLOCK));
        let mut packed = Packed::default();
        let mut stored = Vec::new();
        w.data.begin()?;
        for row in 0..matrix.rows {
            w.weights.read_stored(part, row..row + 1, &mut stored)?;
            packed.clear();
            pack(&mut packed, matrix.encoding, &stored, 8);
            w.data.write(&packed.q)?;
            scales.extend_from_slice(&packed.scales);
        }
        let q = w.data.place();
        w.data.begin()?;
        w.data.write_f32(&scales)?;
        Ok(Store::Blocks { q, scales: w.data.place() })
    }

    fn blocks(&self) -> usize {
        self.cols.div_ceil(BLOCK)
    }

    fn declare(&self, w: &mut Writer<'_>) {
        match self.store {
            Store::Floats(kind, place) => {
                w.graph.external(&self.name, kind, &[self.rows, self.cols], place);
            }
            Store::Blocks { q, scales } => {
                let blocks = self.blocks();
                w.graph.external(&self.name, Type::U8, &[self.rows, blocks, BLOCK], q);
                let name = format!("{}.scales", self.name);
                w.graph.external(&name, Type::F32, &[self.rows, blocks, 1], scales);
            }
        }
    }

    /// Rows `ids` as floats: `[1, S, cols]` for `ids` `[1, S]`, `[Q, cols]` for `[Q]`.
    pub(super) fn gather(&self, w: &mut Writer<'_>, ids: &str, dims: usize, out: &str) {
        let g = &mut w.graph;
        match self.store {
            Store::Floats(Type::F32, _) => {
                g.op("Gather", &[&self.name, ids], out, &[]);
            }
            Store::Floats(..) => {
                let rows = g.op("Gather", &[&self.name, ids], &format!("{out}.narrow"), &[]);
                let to = Attr::Int(i64::from(Type::F32.number()));
                g.op("Cast", &[&rows], out, &[("to", to)]);
            }
            Store::Blocks { .. } => {
                let q = g.op("Gather", &[&self.name, ids], &format!("{out}.q"), &[]);
                let to = Attr::Int(i64::from(Type::F32.number()));
                let q = g.op("Cast", &[&q], &format!("{out}.wide"), &[("to", to)]);
                let middle = g.floats("middle.8", &[128.0], &[]);
                let q = g.op("Sub", &[&q, &middle], &format!("{out}.signed"), &[]);
                let scales = format!("{}.scales", self.name);
                let scale = g.op("Gather", &[&scales, ids], &format!("{out}.scale"), &[]);
                let values = g.op("Mul", &[&q, &scale], &format!("{out}.blocks"), &[]);
                let mut shape = vec![0; dims];
                shape.push((self.blocks() * BLOCK) as i64);
                let name = format!("shape.rows.{dims}");
                let shape = g.ints(&name, &shape, &[dims + 1]);
                let whole = self.blocks() * BLOCK == self.cols;
                let to = if whole { out.to_owned() } else { format!("{out}.padded") };
                let rows = g.op("Reshape", &[&values, &shape], &to, &[]);
                if !whole {
                    let from = g.ints("zero", &[0], &[1]);
                    let to = g.ints("hidden", &[self.cols as i64], &[1]);
                    let axis = g.ints("axis.last", &[-1], &[1]);
                    g.op("Slice", &[&rows, &from, &to, &axis], out, &[]);
                }
            }
        }
    }

    /// Logits of `x` `[N, hidden]` for rows `first..last` of the vocabulary.
    fn tile(&self, w: &mut Writer<'_>, x: &str, [first, last]: [usize; 2], out: &str) {
        let name = format!("{}.{first}", self.name);
        let rows = last - first;
        match self.store {
            Store::Floats(kind, place) => {
                let width = if kind == Type::F32 { 4 } else { 2 };
                let row = (self.cols * width) as u64;
                let place = place.part(first as u64 * row, rows as u64 * row);
                w.graph.external(&name, kind, &[rows, self.cols], place);
                let tile = w.widened(&name, kind);
                w.graph.op("Gemm", &[x, &tile], out, &[("transB", Attr::Int(1))]);
            }
            Store::Blocks { q, scales } => {
                let blocks = self.blocks();
                let row = (blocks * BLOCK) as u64;
                let q = q.part(first as u64 * row, rows as u64 * row);
                w.graph.external(&name, Type::U8, &[rows, blocks, BLOCK], q);
                let row = (blocks * 4) as u64;
                let scales = scales.part(first as u64 * row, rows as u64 * row);
                let scale = format!("{name}.scales");
                w.graph.external(&scale, Type::F32, &[rows * blocks], scales);
                let level = w.head_accuracy_level;
                w.matmul_nbits([x, &name, &scale], out, [rows, self.cols], 8, level);
            }
        }
    }
}

/// The outputs `logits` `[R, vocab]` and `token_logprob` `[Q]` from the final states
/// `[1, S, hidden]`. Both share one product with each tile: the rows asked for come first.
pub(super) fn outputs(w: &mut Writer<'_>, head: &Table, states: &str, tile_rows: usize) {
    let g = &mut w.graph;
    let first_axis = g.ints("zero", &[0], &[1]);
    let states = g.op("Squeeze", &[states, &first_axis], "head.states", &[]);
    let axis_0 = [("axis", Attr::Int(0))];
    let first_size = [("start", Attr::Int(0)), ("end", Attr::Int(1))];
    let chosen = g.op("Concat", &["rows", "score_rows"], "head.chosen", &axis_0);
    let mut x = g.op("Gather", &[&states, &chosen], "head.x", &[]);
    let rows = g.op("Shape", &["rows"], "head.rows", &[]);
    let mut logits = Vec::new();
    let mut sums = Vec::new();
    for (i, first) in (0..head.rows).step_by(tile_rows).enumerate() {
        let last = (first + tile_rows).min(head.rows);
        let tile = format!("head.tile.{i}");
        head.tile(w, &x, [first, last], &tile);
        let g = &mut w.graph;
        let zero = g.ints("zero", &[0], &[1]);
        let one = g.ints("one", &[1], &[1]);
        let wanted = format!("{tile}.logits");
        g.op("Slice", &[&tile, &zero, &rows, &zero], &wanted, &[]);
        // x - logsoftmax(x) is the log-sum-exp, in any column; this is the fastest way to it.
        let axis_1 = [("axis", Attr::Int(1))];
        let log = g.op("LogSoftmax", &[&tile], &format!("{tile}.log"), &axis_1);
        let x0 = g.op("Slice", &[&tile, &zero, &one, &one], &format!("{tile}.x0"), &[]);
        let l0 = g.op("Slice", &[&log, &zero, &one, &one], &format!("{tile}.l0"), &[]);
        let sum = g.op("Sub", &[&x0, &l0], &format!("{tile}.sum"), &[]);
        if last < head.rows {
            // All rows once more (sizes behind the end mean the end), but not before this tile's
            // results are there.
            let scored = g.op("Shape", &[&sum], &format!("{tile}.rows"), &first_size);
            let kept = g.op("Shape", &[&wanted], &format!("{tile}.kept"), &first_size);
            let end = g.op("Add", &[&scored, &kept], &format!("{tile}.end"), &[]);
            x = g.op("Slice", &[&x, &zero, &end, &zero], &format!("{tile}.next"), &[]);
        }
        sums.push(sum);
        logits.push(wanted);
    }
    let g = &mut w.graph;
    let axis_1 = [("axis", Attr::Int(1))];
    let names: Vec<&str> = logits.iter().map(String::as_str).collect();
    g.op("Concat", &names, "logits", &axis_1);
    g.output("logits", Type::F32, &[Dim::Named("rows"), Dim::Fixed(head.rows)]);
    let names: Vec<&str> = sums.iter().map(String::as_str).collect();
    let sums = g.op("Concat", &names, "head.sums", &axis_1);
    log_probability(w, head, &states, &sums, &rows);
}

/// `token_logprob`: the logit of each target less the log-sum-exp over the tiles.
fn log_probability(w: &mut Writer<'_>, head: &Table, states: &str, sums: &str, rows: &str) {
    head.gather(w, "targets", 1, "head.target");
    let g = &mut w.graph;
    let one = g.ints("one", &[1], &[1]);
    let zero = g.ints("zero", &[0], &[1]);
    let end = g.ints("end", &[i64::MAX], &[1]);
    let flat = [("keepdims", Attr::Int(0))];
    let scored = g.op("Slice", &[sums, rows, &end, &zero], "head.scored", &[]);
    let total = g.op("ReduceLogSumExp", &[&scored, &one], "head.total", &flat);
    let x = g.op("Gather", &[states, "score_rows"], "head.score", &[]);
    let product = g.op("Mul", &[&x, "head.target"], "head.product", &[]);
    let logit = g.op("ReduceSum", &[&product, &one], "head.logit", &flat);
    g.op("Sub", &[&logit, &total], "token_logprob", &[]);
    g.output("token_logprob", Type::F32, &[Dim::Named("score_rows")]);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use prost::Message;

    use super::super::proto::ModelProto;
    use super::super::{BuildOptions, build};
    use crate::card::WeightKind;
    use crate::weights::Weights;

    /// Whatever `value` is made of, directly or not, among the nodes of the graph.
    fn is_made_of(model: &ModelProto, value: &str, of: &str) -> bool {
        let nodes = model.graph.as_ref().map_or(&[][..], |g| &g.node);
        let Some(node) = nodes.iter().find(|n| n.output.iter().any(|o| o == value)) else {
            return false;
        };
        node.input.iter().any(|input| input == of || is_made_of(model, input, of))
    }

    #[test]
    fn a_tile_waits_for_the_one_before_it() {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny.gguf");
        let weights = Weights::open(&data).unwrap();
        let vocab = weights.decoder().vocab;
        let dir = tempfile::tempdir().unwrap();
        let head_tile_rows = vocab.div_ceil(3);
        let options = BuildOptions { head_tile_rows, ..BuildOptions::of(WeightKind::F32) };
        let built = build(&weights, None, &options, dir.path(), &mut |_, _| {}).unwrap();
        let model = ModelProto::decode(&*std::fs::read(built.graph).unwrap()).unwrap();
        for tile in [1, 2] {
            let (this, before) = (format!("head.tile.{tile}"), format!("head.tile.{}", tile - 1));
            for result in ["sum", "logits"] {
                assert!(is_made_of(&model, &this, &format!("{before}.{result}")), "{this}");
            }
        }
        assert!(!is_made_of(&model, "head.tile.0", "head.tile.1.sum"));
    }
}
