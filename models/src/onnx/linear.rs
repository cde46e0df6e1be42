//! One projection `y = x W^T` in each weight kind.

use super::data::DataFile;
use super::graph::{Attr, Graph, MICROSOFT, Type};
use super::llama::BuildError;
use super::pack::Packed;
use crate::card::WeightKind;
use crate::encoding::{BLOCK, Encoding};
use crate::memory::Memory;
use crate::weights::{Part, Weights};

/// Rows or columns handled at once while a matrix is transposed.
const TILE: usize = 64;

/// Writes projections: their constants into the external file, their nodes into the graph.
pub(super) struct Writer<'a> {
    pub(super) weights: &'a Weights,
    pub(super) memory: Option<&'a Memory>,
    pub(super) graph: Graph,
    pub(super) data: DataFile,
    pub(super) kind: WeightKind,
    pub(super) accuracy_level: Option<i64>,
    pub(super) head_accuracy_level: Option<i64>,
    /// Whether some matrix was re-quantised with loss.
    pub(super) lossy: bool,
}

impl Writer<'_> {
    /// Several projections of `x` side by side, as one value `[1, S, sum of rows]` named `name`.
    pub(super) fn linear(&mut self, x: &str, parts: &[Part], name: &str) -> Result<(), BuildError> {
        let encoding = self.weights.matrix(parts[0])?.encoding;
        let cols = self.weights.matrix(parts[0])?.cols;
        let mut rows = 0;
        for part in parts {
            let matrix = self.weights.matrix(*part)?;
            assert_eq!(matrix.cols, cols, "projections side by side read the same values");
            rows += matrix.rows;
        }
        let mixed = {
            let mut all = parts.iter().map(|p| self.weights.matrix(*p).map(|m| m.encoding));
            !all.all(|e| e.is_ok_and(|e| e == encoding))
        };
        match self.kind {
            WeightKind::F32 => self.dense(x, parts, name, [rows, cols], Type::F32),
            WeightKind::F16 => self.dense(x, parts, name, [rows, cols], Type::F16),
            WeightKind::Int8 => self.blocks(x, parts, name, [rows, cols], 8),
            WeightKind::Int4 => {
                if mixed && encoding == Encoding::Q4_1 {
                    return Err(BuildError::Mixed { name: name.into() });
                }
                self.blocks(x, parts, name, [rows, cols], 4)
            }
        }
    }

    /// A float matrix `[cols, rows]`; 16-bit ones are widened once, when the graph is loaded.
    fn dense(
        &mut self,
        x: &str,
        parts: &[Part],
        name: &str,
        [rows, cols]: [usize; 2],
        kind: Type,
    ) -> Result<(), BuildError> {
        let mut matrix = Vec::with_capacity(rows * cols);
        let mut rows_of_part = Vec::new();
        for part in parts {
            let n = self.weights.matrix(*part)?.rows;
            self.weights.read_dense(*part, 0..n, &mut rows_of_part)?;
            if let Some(change) = self.change(*part)? {
                change.add_to(0..n, &mut rows_of_part);
            }
            matrix.extend_from_slice(&rows_of_part);
        }
        self.dense_matrix(x, &matrix, name, [rows, cols], kind)
    }

    /// `x W^T` with a float matrix `[rows, cols]`, stored as `[cols, rows]`.
    pub(super) fn dense_matrix(
        &mut self,
        x: &str,
        matrix: &[f32],
        name: &str,
        [rows, cols]: [usize; 2],
        kind: Type,
    ) -> Result<(), BuildError> {
        self.data.begin()?;
        let mut strip = Vec::new();
        for first in (0..cols).step_by(TILE) {
            let last = (first + TILE).min(cols);
            strip.clear();
            for col in first..last {
                strip.extend((0..rows).map(|row| matrix[row * cols + col]));
            }
            self.write_floats(&strip, kind)?;
        }
        let weight = format!("{name}.weight");
        self.graph.external(&weight, kind, &[cols, rows], self.data.place());
        let weight = self.widened(&weight, kind);
        self.graph.op("MatMul", &[x, &weight], name, &[]);
        Ok(())
    }

    /// `MatMulNBits`. In 8 bits a low-rank change is merged first. In 4 bits what is left of the
    /// exact product is added in floats: the offsets of Q4_1 times x's sums of blocks, and the
    /// change.
    fn blocks(
        &mut self,
        x: &str,
        parts: &[Part],
        name: &str,
        [rows, cols]: [usize; 2],
        bits: usize,
    ) -> Result<(), BuildError> {
        let per_row = cols.div_ceil(BLOCK);
        let mut scales = Vec::with_capacity(rows * per_row);
        let mut offsets = Vec::new();
        let mut changes = Vec::new();
        let mut packed = Packed::default();
        let (mut stored, mut dense) = (Vec::new(), Vec::new());
        self.data.begin()?;
        for part in parts {
            let matrix = self.weights.matrix(*part)?;
            let change = self.change(*part)?;
            let merged = change.as_ref().filter(|_| bits == 8);
            self.note_loss(if merged.is_some() { Encoding::F32 } else { matrix.encoding }, bits);
            for row in 0..matrix.rows {
                packed.clear();
                if let Some(change) = merged {
                    self.weights.read_dense(*part, row..row + 1, &mut dense)?;
                    change.add_to(row..row + 1, &mut dense);
                    packed.dense_8(&mut dense);
                } else {
                    self.weights.read_stored(*part, row..row + 1, &mut stored)?;
                    pack(&mut packed, matrix.encoding, &stored, bits);
                }
                self.data.write(&packed.q)?;
                scales.extend_from_slice(&packed.scales);
                offsets.extend_from_slice(&packed.offsets);
            }
            changes.extend(change.filter(|_| bits == 4).map(|c| (*part, c)));
        }
        let weight = format!("{name}.weight");
        let shape = [rows, per_row, BLOCK * bits / 8];
        self.graph.external(&weight, Type::U8, &shape, self.data.place());
        self.data.begin()?;
        self.data.write_f32(&scales)?;
        let scale = format!("{name}.scales");
        self.graph.external(&scale, Type::F32, &[rows * per_row], self.data.place());
        let level = self.accuracy_level;
        if offsets.is_empty() && changes.is_empty() {
            self.matmul_nbits([x, &weight, &scale], name, [rows, cols], bits, level);
            return Ok(());
        }
        let coarse = format!("{name}.blocks");
        self.matmul_nbits([x, &weight, &scale], &coarse, [rows, cols], bits, level);
        let fine = self.fine(x, name, [rows, per_row], &offsets, &changes)?;
        self.graph.op("Add", &[&coarse, &fine], name, &[]);
        Ok(())
    }

    pub(super) fn matmul_nbits(
        &mut self,
        [x, weight, scale]: [&str; 3],
        out: &str,
        [rows, cols]: [usize; 2],
        bits: usize,
        level: Option<i64>,
    ) {
        let mut attributes = vec![
            ("K", Attr::Int(cols as i64)),
            ("N", Attr::Int(rows as i64)),
            ("bits", Attr::Int(bits as i64)),
            ("block_size", Attr::Int(BLOCK as i64)),
        ];
        attributes.extend(level.map(|n| ("accuracy_level", Attr::Int(n))));
        self.graph.node(MICROSOFT, "MatMulNBits", &[x, weight, scale], &[out], &attributes);
    }

    /// The sums of `x` over each block of 32, `[1, S, blocks]`; made once for each `x`.
    pub(super) fn sums(&mut self, x: &str, blocks: usize) -> String {
        let name = format!("{x}.sums");
        if self.graph.made(&name) {
            return name;
        }
        let shape = [0, 0, blocks as i64, BLOCK as i64];
        let shape = self.graph.ints(&format!("shape.blocks.{blocks}"), &shape, &[4]);
        let split = self.graph.op("Reshape", &[x, &shape], &format!("{x}.split"), &[]);
        let last = self.graph.ints("axis.last", &[-1], &[1]);
        self.graph.op("ReduceSum", &[&split, &last], &name, &[("keepdims", Attr::Int(0))])
    }

    /// Writes `[rows, cols]` values as a constant `[cols, rows]`.
    pub(super) fn transposed(
        &mut self,
        name: &str,
        values: &[f32],
        [rows, cols]: [usize; 2],
    ) -> Result<String, BuildError> {
        self.data.begin()?;
        let mut line = Vec::with_capacity(rows);
        for col in 0..cols {
            line.clear();
            line.extend((0..rows).map(|row| values[row * cols + col]));
            self.data.write_f32(&line)?;
        }
        self.graph.external(name, Type::F32, &[cols, rows], self.data.place());
        Ok(name.to_owned())
    }

    /// A vector, `[n]`, always in 32 bits.
    pub(super) fn vector(&mut self, part: Part, name: &str) -> Result<String, BuildError> {
        let values = self.weights.dense(part)?;
        self.floats(name, &values, &[values.len()])
    }

    /// A constant of 32-bit floats in the external file.
    pub(super) fn floats(
        &mut self,
        name: &str,
        values: &[f32],
        dims: &[usize],
    ) -> Result<String, BuildError> {
        self.data.begin()?;
        self.data.write_f32(values)?;
        self.graph.external(name, Type::F32, dims, self.data.place());
        Ok(name.to_owned())
    }

    pub(super) fn write_floats(&mut self, values: &[f32], kind: Type) -> Result<(), BuildError> {
        if kind == Type::F32 {
            return Ok(self.data.write_f32(values)?);
        }
        let halves = values.iter().flat_map(|x| half::f16::from_f32(*x).to_le_bytes());
        Ok(self.data.write(&halves.collect::<Vec<u8>>())?)
    }

    /// A 16-bit constant widened to 32 bits; a 32-bit one as it is.
    pub(super) fn widened(&mut self, name: &str, kind: Type) -> String {
        if kind == Type::F32 {
            return name.to_owned();
        }
        let to = Attr::Int(i64::from(Type::F32.number()));
        self.graph.op("Cast", &[name], &format!("{name}.wide"), &[("to", to)])
    }

    pub(super) fn note_loss(&mut self, encoding: Encoding, bits: usize) {
        let exact = matches!(
            (encoding, bits),
            (Encoding::Q4_0, _) | (Encoding::Q4_1, 4) | (Encoding::Q8_0, 8)
        );
        self.lossy |= !exact;
    }
}

/// Appends one stored row in 4 or 8 bits.
pub(super) fn pack(packed: &mut Packed, encoding: Encoding, stored: &[u8], bits: usize) {
    if bits == 8 { packed.row_8(encoding, stored) } else { packed.row_4(encoding, stored) }
}
