//! What is left of a product in 4 bits: the offsets of Q4_1 blocks, and a low-rank change that
//! 4 bits cannot hold.
//!
//! ```text
//! fine = [ sums of x over blocks | x A^T ] [ offsets | B ]^T
//! ```
//!
//! One product for both. `x A^T` is made once for all projections that read the same `x`.

use super::graph::{Attr, Type};
use super::linear::Writer;
use super::llama::BuildError;
use super::pack::Packed;
use crate::encoding::BLOCK;
use crate::memory::{LowRank, MemoryError};
use crate::weights::Part;

impl Writer<'_> {
    /// The low-rank change of a part, where the memory has one.
    pub(super) fn change(&self, part: Part) -> Result<Option<LowRank>, MemoryError> {
        self.memory.map_or(Ok(None), |memory| memory.change(part))
    }

    /// Makes `x A^T` of several projections of one `x`, in one product. Without a change or where
    /// changes are merged, makes nothing.
    pub(super) fn low_rank(&mut self, x: &str, parts: &[Part]) -> Result<(), BuildError> {
        if !self.side_branch() {
            return Ok(());
        }
        let mut rows = Vec::new();
        let (mut names, mut sizes) = (Vec::new(), Vec::new());
        for part in parts {
            let Some(change) = self.change(*part)? else { continue };
            rows.extend_from_slice(change.a());
            names.push(low_name(*part));
            sizes.push(change.rank());
        }
        let total: usize = sizes.iter().sum();
        if total == 0 {
            return Ok(());
        }
        let cols = rows.len() / total;
        let whole = if names.len() == 1 { names[0].clone() } else { format!("{x}.low") };
        self.matrix_8(x, &rows, &whole, [total, cols])?;
        if names.len() > 1 {
            let sizes: Vec<i64> = sizes.iter().map(|n| *n as i64).collect();
            let text: Vec<String> = sizes.iter().map(i64::to_string).collect();
            let name = format!("sizes.low.{}", text.join("."));
            let sizes = self.graph.ints(&name, &sizes, &[sizes.len()]);
            let outputs: Vec<&str> = names.iter().map(String::as_str).collect();
            let last = [("axis", Attr::Int(-1))];
            self.graph.node("", "Split", &[&whole, &sizes], &outputs, &last);
        }
        Ok(())
    }

    /// Whether changes are added beside the matrices instead of merged into them.
    fn side_branch(&self) -> bool {
        self.kind == crate::card::WeightKind::Int4 && self.memory.is_some()
    }

    /// `x W^T` with a matrix `[rows, cols]` in 8 bits, activations in 8 bits as in the head.
    pub(super) fn matrix_8(
        &mut self,
        x: &str,
        matrix: &[f32],
        name: &str,
        [rows, cols]: [usize; 2],
    ) -> Result<(), BuildError> {
        let mut packed = Packed::default();
        for row in matrix.chunks_exact(cols) {
            packed.dense_8(&mut row.to_vec());
        }
        let blocks = cols.div_ceil(BLOCK);
        self.data.begin()?;
        self.data.write(&packed.q)?;
        let shape = [rows, blocks, BLOCK];
        let weight = format!("{name}.weight");
        self.graph.external(&weight, Type::U8, &shape, self.data.place());
        let scale = format!("{name}.scales");
        self.floats(&scale, &packed.scales, &[rows * blocks])?;
        let level = self.head_accuracy_level;
        self.matmul_nbits([x, &weight, &scale], name, [rows, cols], 8, level);
        Ok(())
    }

    /// The part of a product that is added to the one in blocks; see the module's text.
    pub(super) fn fine(
        &mut self,
        x: &str,
        name: &str,
        [rows, per_row]: [usize; 2],
        offsets: &[f32],
        changes: &[(Part, LowRank)],
    ) -> Result<String, BuildError> {
        let mut inputs = Vec::new();
        let first = if offsets.is_empty() { 0 } else { per_row };
        if first > 0 {
            inputs.push(self.sums(x, per_row));
        }
        let width = first + changes.iter().map(|(_, c)| c.rank()).sum::<usize>();
        let mut matrix = vec![0.0; rows * width];
        for (line, offsets) in matrix.chunks_exact_mut(width).zip(offsets.chunks(per_row)) {
            line[..per_row].copy_from_slice(offsets);
        }
        // Projections side by side have their rows below each other, each with its own columns.
        let (mut row, mut col) = (0, first);
        for (part, change) in changes {
            for weights in change.b().chunks_exact(change.rank()) {
                matrix[row * width + col..][..change.rank()].copy_from_slice(weights);
                row += 1;
            }
            col += change.rank();
            let low = low_name(*part);
            if !self.graph.made(&low) {
                self.low_rank(x, &[*part])?;
            }
            inputs.push(low);
        }
        let whole = if let [one] = inputs.as_slice() {
            one.clone()
        } else {
            let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
            let last = [("axis", Attr::Int(-1))];
            self.graph.op("Concat", &inputs, &format!("{name}.fine.in"), &last)
        };
        let matrix = self.transposed(&format!("{name}.offsets"), &matrix, [rows, width])?;
        Ok(self.graph.op("MatMul", &[&whole, &matrix], &format!("{name}.offset"), &[]))
    }
}

/// The name of `x A^T` of a part.
fn low_name(part: Part) -> String {
    match part {
        Part::Layer(layer, part) => format!("layer.{layer}.{part:?}.low"),
        other => format!("{other:?}.low"),
    }
}
