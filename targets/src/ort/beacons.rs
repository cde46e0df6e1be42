//! What a step with beacons takes beside an ordinary one, and their keys.

use lcedge_models::Card;

use super::tensor::{HostMemory, Lent, Tensor};
use crate::engine::StepInput;

/// Added to a score that must not be seen: its weight is then exactly zero.
const UNSEEN: f32 = -1e30;

/// Inputs of the beacons of one step, and their un-rotated keys. Empty where a step has none.
#[derive(Debug)]
pub(super) struct Beacons {
    /// `[1, B]` each.
    ratios: Lent<i64>,
    positions: Lent<i64>,
    /// `[1]`, valid slots after the step less one.
    seqlens: Lent<i32>,
    /// A scalar, valid slots after the step.
    total: Lent<i32>,
    /// `[1, 1, B, valid slots after the step]`, added to scores.
    bias: Lent<f32>,
    /// `beacon_key.{l}` of each layer, `[1, B, kv_heads * head_dim]`.
    pub(super) keys: Vec<Lent<f32>>,
}

impl Beacons {
    pub(super) fn new(layers: usize) -> Self {
        Self {
            ratios: Lent::new(),
            positions: Lent::new(),
            seqlens: Lent::new(),
            total: Lent::new(),
            bias: Lent::new(),
            keys: (0..layers).map(|_| Lent::new()).collect(),
        }
    }

    /// Takes one step's beacons, which were checked, behind `len` valid slots and the step's rows.
    pub(super) fn fill(
        &mut self,
        host: &HostMemory,
        input: &StepInput<'_>,
        len: usize,
        card: &Card,
    ) -> Result<(), ort::Error> {
        let (rows, beacons) = (input.tokens.len(), input.beacons.len());
        let total = len + rows + beacons;
        self.ratios.reshape(host, &[1, beacons as i64])?;
        self.positions.reshape(host, &[1, beacons as i64])?;
        self.seqlens.reshape(host, &[1])?;
        self.total.reshape(host, &[])?;
        self.bias.reshape(host, &[1, 1, beacons as i64, total as i64])?;
        for key in &mut self.keys {
            key.reshape(host, &[1, beacons as i64, (card.kv_heads * card.head_dim) as i64])?;
        }
        let places = self.ratios.values_mut().iter_mut().zip(self.positions.values_mut());
        for ((ratio, position), beacon) in places.zip(input.beacons) {
            *ratio = i64::from(beacon.ratio);
            *position = i64::from(input.positions[beacon.last as usize]);
        }
        // Attention itself hides later beacons, as it does for ordinary rows.
        let lines = self.bias.values_mut().chunks_exact_mut(total);
        for (line, beacon) in lines.zip(input.beacons) {
            line.fill(0.0);
            line[len + beacon.last as usize + 1..len + rows].fill(UNSEEN);
        }
        // Slots of a window are far below 2^31.
        self.seqlens.values_mut()[0] = total as i32 - 1;
        self.total.values_mut()[0] = total as i32;
        Ok(())
    }

    /// The inputs in the order of the graph's names, and the keys.
    pub(super) fn lend(&mut self) -> ([Option<&Tensor<'_>>; 5], &mut [Lent<f32>]) {
        let inputs = [
            self.ratios.lend(),
            self.positions.lend(),
            self.seqlens.lend(),
            self.total.lend(),
            self.bias.lend(),
        ];
        (inputs, &mut self.keys)
    }

    pub(super) fn bytes(&self) -> usize {
        self.ratios.bytes()
            + self.positions.bytes()
            + self.bias.bytes()
            + self.keys.iter().map(Lent::bytes).sum::<usize>()
    }
}
