//! A model that answers as if it had a trained memory: whatever it is asked for, its queries are
//! vectors that were made before. For measuring a store of many blocks with a model that is tiny.

use std::ops::Range;

use lcedge::compress::TrainedAddress;
use lcedge::memory::{KvBuf, KvView};
use lcedge::models::Card;
use lcedge::targets::{
    Engine, EngineMemory, Fold, FoldError, GistState, SlotError, StepError, StepInput, StepOutput,
};

/// The trained address of SmolLM2-135M-Instruct.
pub(super) const SMOLLM2: TrainedAddress = TrainedAddress { dim: 128, keys: 4, segment_tokens: 16 };

/// An engine whose queries are given, one after another.
pub(super) struct Pretending {
    pub(super) engine: Box<dyn Engine>,
    /// Of `SMOLLM2.dim` values each.
    pub(super) queries: Vec<Vec<f32>>,
    pub(super) next: usize,
}

impl Engine for Pretending {
    fn card(&self) -> &Card {
        self.engine.card()
    }

    fn capacity(&self) -> usize {
        self.engine.capacity()
    }

    fn len(&self) -> usize {
        self.engine.len()
    }

    fn step(&mut self, input: &StepInput<'_>, out: &mut StepOutput) -> Result<(), StepError> {
        let asked = input.memory;
        self.engine.step(&StepInput { memory: false, ..*input }, out)?;
        out.memory_queries.clear();
        if asked && !self.queries.is_empty() {
            let query = &self.queries[self.next % self.queries.len()];
            self.next += 1;
            for _ in input.tokens {
                out.memory_queries.extend_from_slice(query);
                // All tokens count alike.
                out.memory_queries.push(0.0);
            }
        }
        Ok(())
    }

    fn place(&mut self, slot: usize, positions: &[i32], kv: KvView<'_>) -> Result<(), SlotError> {
        self.engine.place(slot, positions, kv)
    }

    fn read(&mut self, slots: Range<usize>, out: &mut KvBuf) -> Result<(), SlotError> {
        self.engine.read(slots, out)
    }

    fn rotate(&mut self, slots: Range<usize>, first_position: i32) -> Result<(), SlotError> {
        self.engine.rotate(slots, first_position)
    }

    fn move_slots(&mut self, from: Range<usize>, to: usize) -> Result<(), SlotError> {
        self.engine.move_slots(from, to)
    }

    fn set_len(&mut self, len: usize) -> Result<(), SlotError> {
        self.engine.set_len(len)
    }

    fn fold(&mut self, fold: &Fold<'_>, state: &mut GistState) -> Result<(), FoldError> {
        self.engine.fold(fold, state)
    }

    fn usage(&self) -> EngineMemory {
        self.engine.usage()
    }

    fn device(&self) -> (&str, &str) {
        self.engine.device()
    }
}
