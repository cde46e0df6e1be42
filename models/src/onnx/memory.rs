//! The address of a trained memory: outputs `memory_key` and `memory_query`.

use super::graph::{Attr, Dim, Type};
use super::linear::Writer;
use super::llama::BuildError;

impl Writer<'_> {
    /// Where the memory has an address at the input of this layer: the outputs `memory_key` and
    /// `memory_query`, `[1, S, dim + 1]`, of the residual stream `x` over its root mean square.
    pub(super) fn address(&mut self, layer: usize, x: &str) -> Result<(), BuildError> {
        let Some(memory) = self.memory else { return Ok(()) };
        let Some(shape) = memory.card().address.filter(|a| a.layer == layer) else { return Ok(()) };
        let Some(address) = memory.address()? else { return Ok(()) };
        let x = &self.ordinary_rows(x);
        let (hidden, width) = (self.weights.decoder().hidden, shape.dim + 1);
        let gain = self.floats("address.gain", &vec![1.0; hidden], &[hidden])?;
        let epsilon = self.weights.decoder().rms_eps;
        let eps = [("epsilon", Attr::Float(epsilon)), ("axis", Attr::Int(-1))];
        let normed = self.graph.op("SimplifiedLayerNormalization", &[x, &gain], "address.in", &eps);
        for (name, matrix) in [("memory_key", &address.key), ("memory_query", &address.query)] {
            let matrix = self.floats(&format!("{name}.weight"), matrix, &[hidden, width])?;
            self.graph.op("MatMul", &[&normed, &matrix], name, &[]);
            let dims = [Dim::Fixed(1), Dim::Named("sequence"), Dim::Fixed(width)];
            self.graph.output(name, Type::F32, &dims);
        }
        Ok(())
    }
}
