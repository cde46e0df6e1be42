//! The engine: runs the decoder and owns the window's memory.
//!
//! The window is `capacity` *slots*, the same in every layer, of which the first `len` are valid
//! and attended to as a set: the order of slots means nothing, only the position that each key is
//! rotated to does. Each slot keeps the canonical un-rotated key beside the rotated one, so keys
//! are always rotated from the canonical copy and never twice.

use std::ops::Range;

use lcedge_memory::{KvBuf, KvView};
use lcedge_models::Card;

use crate::gist::{Fold, FoldError, GistState};

/// A beacon: a trained condensing token that stands for the ordinary tokens before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BeaconRow {
    /// The row of `tokens` that it covers last; the beacon takes that row's position.
    pub last: u32,
    /// Index into the ratios of the card's trained memory.
    pub ratio: u8,
}

/// What one decoder call takes. All positions must lie in `0..card.positions`.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepInput<'a> {
    /// Token ids, `[S]`, S >= 1. They are appended to slots `len..len + S`.
    pub tokens: &'a [u32],
    /// RoPE positions, `[S]`.
    pub positions: &'a [i32],
    /// Rows (0..S) whose logits are wanted; may be empty.
    pub logit_rows: &'a [u32],
    /// Rows (0..S) at which the log-probability of a next token is wanted; may be empty.
    pub score_rows: &'a [u32],
    /// The next token of each row of `score_rows`.
    pub score_targets: &'a [u32],
    /// Whether the un-rotated queries of the card's `query_layers` are wanted.
    pub queries: bool,
    /// Whether `memory_key` and `memory_query` are wanted; a model without a trained address gives
    /// none.
    pub memory: bool,
    /// Beacons `[B]`, ascending by the row they cover last. They are appended behind the tokens, to
    /// slots `len + S..len + S + B`. A beacon sees the past window, the rows up to the one it
    /// covers last and the beacons before it; ordinary rows see no beacon of their own step.
    pub beacons: &'a [BeaconRow],
}

/// What one decoder call gives. Buffers are reused from call to call.
#[derive(Clone, Debug, Default)]
pub struct StepOutput {
    /// `[logit_rows, vocab]`.
    pub logits: Vec<f32>,
    /// Natural log-probability of each `score_targets`, `[score_rows]`.
    pub logprobs: Vec<f32>,
    /// Un-rotated queries `[query_layers, S, heads * head_dim]`; empty when not asked for.
    pub queries: Vec<f32>,
    /// `memory_key` of a trained address, `[S, dim + 1]`; empty when not asked for.
    pub memory_keys: Vec<f32>,
    /// `memory_query` of a trained address, `[S, dim + 1]`; empty when not asked for.
    pub memory_queries: Vec<f32>,
}

/// Why a step was refused or failed. The window is as it was before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// The new tokens and beacons do not fit behind the valid slots.
    #[error("{tokens} tokens after {len} valid slots exceed the window of {capacity} slots")]
    WindowFull {
        /// Tokens and beacons asked for.
        tokens: usize,
        /// Valid slots.
        len: usize,
        /// Slots in all.
        capacity: usize,
    },
    /// Lengths of the input's arrays disagree.
    #[error("{what}: {found} given, {expected} expected")]
    Shape {
        /// Which array.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length that fits.
        expected: usize,
    },
    /// A token id, row or position is out of range.
    #[error("{what} {value} is out of range 0..{limit}")]
    Range {
        /// What kind of number.
        what: &'static str,
        /// Its value.
        value: i64,
        /// The first value that is too large.
        limit: usize,
    },
    /// Beacons are not in the order of the rows that they cover last.
    #[error("a beacon of row {after} follows one of row {before}")]
    BeaconOrder {
        /// The row of the earlier beacon.
        before: u32,
        /// The row of the later one.
        after: u32,
    },
    /// The library under the engine failed.
    #[error("the runtime library failed: {0}")]
    Backend(String),
}

/// Why slots could not be placed, read, rotated or moved. The window is as it was before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SlotError {
    /// The slots lie outside the window.
    #[error("slots {start}..{end} lie outside the window of {capacity} slots")]
    OutOfWindow {
        /// First slot.
        start: usize,
        /// Behind the last slot.
        end: usize,
        /// Slots in all.
        capacity: usize,
    },
    /// The block has another shape than the model.
    #[error("block of shape {found} does not fit a window of shape {expected}")]
    Geometry {
        /// `[layers, kv_heads, head_dim]` of the block.
        found: String,
        /// The same of the window.
        expected: String,
    },
    /// A position has no row in the table of cosines.
    #[error("position {position} is outside the table of {limit} positions")]
    Position {
        /// The position asked for.
        position: i64,
        /// Rows in the table.
        limit: usize,
    },
    /// The library under the engine failed.
    #[error("the runtime library failed: {0}")]
    Backend(String),
}

/// Bytes an engine holds, by purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineMemory {
    /// Weights, as loaded (mapped or copied).
    pub weights_bytes: u64,
    /// The window: rotated keys, canonical keys, values.
    pub window_bytes: u64,
    /// Everything else the engine is known to hold (scratch of one step, arenas; an estimate
    /// where the library does not say).
    pub scratch_bytes: u64,
}

/// A decoder with its window. See the module's text for slots, positions and canonical keys.
pub trait Engine: Send {
    /// The model.
    fn card(&self) -> &Card;

    /// Slots in all.
    fn capacity(&self) -> usize;

    /// Valid slots: `0..len` are attended to by the next step.
    fn len(&self) -> usize;

    /// Whether no slot is valid.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Runs the decoder over `input.tokens`; each token sees all valid slots and the tokens before
    /// it. Appends their K,V at slots `len..len + S`, those of the `B` beacons behind them, and
    /// makes all of them valid. Whoever wants the beacons in another place reads them and sets the
    /// length back to `len + S`.
    ///
    /// # Errors
    /// [`StepError`]; the window keeps its former length.
    fn step(&mut self, input: &StepInput<'_>, out: &mut StepOutput) -> Result<(), StepError>;

    /// Writes a block's K,V into slots `slot..slot + positions.len()`, keys rotated to `positions`.
    /// Does not change `len`: slots at or behind it stay invalid until [`Engine::set_len`].
    ///
    /// # Errors
    /// [`SlotError`] when the slots, the shape or a position do not fit.
    fn place(&mut self, slot: usize, positions: &[i32], kv: KvView<'_>) -> Result<(), SlotError>;

    /// Copies the canonical K,V of `slots` into `out` (un-rotated keys).
    ///
    /// # Errors
    /// [`SlotError`] when the slots lie outside the window.
    ///
    /// # Panics
    /// When `out` is for another geometry or too small.
    fn read(&mut self, slots: Range<usize>, out: &mut KvBuf) -> Result<(), SlotError>;

    /// Rotates the keys of `slots` anew, from their canonical copies, to consecutive positions
    /// from `first_position`.
    ///
    /// # Errors
    /// [`SlotError`] when the slots or a position do not fit.
    fn rotate(&mut self, slots: Range<usize>, first_position: i32) -> Result<(), SlotError>;

    /// Moves slots as plain memory (ranges may overlap); nothing is rotated and `len` stays.
    ///
    /// # Errors
    /// [`SlotError`] when either range lies outside the window.
    fn move_slots(&mut self, from: Range<usize>, to: usize) -> Result<(), SlotError>;

    /// Sets the number of valid slots.
    ///
    /// # Errors
    /// [`SlotError::OutOfWindow`] when `len` exceeds the capacity.
    fn set_len(&mut self, len: usize) -> Result<(), SlotError>;

    /// Folds beacons into a state of a model with a trained gist. The window is not touched.
    ///
    /// # Errors
    /// [`FoldError`]; the state is as it was before.
    fn fold(&mut self, fold: &Fold<'_>, state: &mut GistState) -> Result<(), FoldError>;

    /// Bytes held, by purpose.
    fn usage(&self) -> EngineMemory;

    /// The provider in use and why, for the report: e.g. `("cpu", "asked for")`.
    fn device(&self) -> (&str, &str);
}
