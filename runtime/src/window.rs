//! The window: which slots hold what, and at which positions.
//!
//! ```text
//! [ sinks | gist | condensed | recalled blocks ] [ recent tokens ]
//!   memory region, 0..memory                     memory..len
//! ```
//!
//! Slots and positions run together: slot `i` has position `base + i`, so the memory region ends
//! just before the oldest recent token and distances among recent tokens are true. Evicting and
//! laying move the recent region as plain memory and only rotate the memory region anew, from
//! canonical keys. When positions near the end of the table of cosines, all slots are rotated
//! anew from the lowest base.

use std::ops::Range;

use lcedge_memory::{KvBuf, KvView};
use lcedge_targets::{
    BeaconRow, Engine, Fold, FoldError, GistState, SlotError, StepError, StepInput, StepOutput,
};

/// Sizes of a window, from the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSizes {
    /// Slots of memory and recent region together when a chunk starts.
    pub window_tokens: usize,
    /// Most tokens of one step while absorbing.
    pub chunk_tokens: usize,
    /// Most slots of the memory region, at any time.
    pub memory_tokens_max: usize,
}

/// The live keys and values. All changes go through here, so the invariant of the module's text
/// holds after every call.
pub struct Window {
    engine: Box<dyn Engine>,
    sizes: WindowSizes,
    sinks: usize,
    memory: usize,
    /// Position of slot 0.
    base: i32,
    positions: Vec<i32>,
}

/// What one step wants back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// Rows whose logits are wanted.
    pub logit_rows: &'a [u32],
    /// Rows whose next token's log-probability is wanted.
    pub score_rows: &'a [u32],
    /// Those next tokens.
    pub score_targets: &'a [u32],
    /// Whether queries are wanted.
    pub queries: bool,
    /// Whether the outputs of a trained address are wanted.
    pub memory: bool,
    /// Beacons to make: they are the newest slots afterwards, to be read and popped.
    pub beacons: &'a [BeaconRow],
}

fn position(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

impl Window {
    /// An empty window over `engine`.
    ///
    /// # Panics
    /// When the engine has fewer slots than the sizes need: the plan computed them together.
    #[must_use]
    pub fn new(engine: Box<dyn Engine>, sizes: WindowSizes) -> Self {
        assert!(
            engine.capacity() >= sizes.window_tokens + sizes.chunk_tokens,
            "an engine of {} slots for {sizes:?}",
            engine.capacity()
        );
        let base = position(sizes.memory_tokens_max);
        let capacity = engine.capacity();
        let positions = Vec::with_capacity(capacity);
        Self { engine, sizes, sinks: 0, memory: 0, base, positions }
    }

    /// The engine, for its card, its memory and its device.
    #[must_use]
    pub fn engine(&self) -> &dyn Engine {
        self.engine.as_ref()
    }

    /// The engine back, its window emptied.
    ///
    /// # Errors
    /// Whatever the engine refuses.
    pub fn into_engine(mut self) -> Result<Box<dyn Engine>, SlotError> {
        self.engine.set_len(0)?;
        Ok(self.engine)
    }

    /// The sizes it was made with.
    #[must_use]
    pub const fn sizes(&self) -> WindowSizes {
        self.sizes
    }

    /// Valid slots.
    #[must_use]
    pub fn len(&self) -> usize {
        self.engine.len()
    }

    /// Whether nothing is in attention.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Slots of the memory region.
    #[must_use]
    pub const fn memory(&self) -> usize {
        self.memory
    }

    /// Sinks: the first slots of the memory region.
    #[must_use]
    pub const fn sinks(&self) -> usize {
        self.sinks
    }

    /// Recent tokens.
    #[must_use]
    pub fn recent(&self) -> usize {
        self.len() - self.memory
    }

    /// Tokens that can be appended before the buffer is full.
    #[must_use]
    pub fn room(&self) -> usize {
        self.engine.capacity() - self.len()
    }

    /// Forgets everything.
    ///
    /// # Errors
    /// Whatever the engine refuses.
    pub fn clear(&mut self) -> Result<(), SlotError> {
        self.engine.set_len(0)?;
        (self.sinks, self.memory) = (0, 0);
        self.base = position(self.sizes.memory_tokens_max);
        Ok(())
    }

    /// Runs `tokens` as the newest recent tokens.
    ///
    /// # Errors
    /// [`StepError`]; the window is as before.
    pub fn step(
        &mut self,
        tokens: &[u32],
        wanted: Wanted<'_>,
        out: &mut StepOutput,
    ) -> Result<(), StepError> {
        let len = self.len();
        let new = tokens.len() + wanted.beacons.len();
        if new > self.room() {
            let capacity = self.engine.capacity();
            return Err(StepError::WindowFull { tokens: new, len, capacity });
        }
        self.rebase_if_needed(tokens.len()).map_err(|e| StepError::Backend(e.to_string()))?;
        let first = self.base + position(len);
        self.positions.clear();
        self.positions.extend((0..position(tokens.len())).map(|i| first + i));
        self.engine.step(
            &StepInput {
                tokens,
                positions: &self.positions,
                logit_rows: wanted.logit_rows,
                score_rows: wanted.score_rows,
                score_targets: wanted.score_targets,
                queries: wanted.queries,
                memory: wanted.memory,
                beacons: wanted.beacons,
            },
            out,
        )
    }

    /// Folds beacons into a state; what is in attention stays as it is.
    ///
    /// # Errors
    /// [`FoldError`]; the state is as before.
    pub fn fold(&mut self, fold: &Fold<'_>, state: &mut GistState) -> Result<(), FoldError> {
        self.engine.fold(fold, state)
    }

    /// Rotates everything anew from the lowest base when `more` tokens would run off the table.
    fn rebase_if_needed(&mut self, more: usize) -> Result<(), SlotError> {
        let end = self.base as usize + self.len() + more;
        if end <= self.engine.card().positions {
            return Ok(());
        }
        let base = position(self.sizes.memory_tokens_max.saturating_sub(self.memory));
        self.engine.rotate(0..self.len(), base)?;
        self.base = base;
        Ok(())
    }

    /// Makes the first `n` recent tokens the sinks. Only while the memory region is empty.
    ///
    /// # Panics
    /// When there is a memory region already or fewer recent tokens.
    pub fn pin_sinks(&mut self, n: usize) {
        assert!(self.memory == 0 && n <= self.recent(), "sinks come first");
        (self.sinks, self.memory) = (n, n);
    }

    /// Takes the newest `n` recent tokens out (a probe, an answer).
    ///
    /// # Errors
    /// Whatever the engine refuses.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn pop(&mut self, n: usize) -> Result<(), SlotError> {
        assert!(n <= self.recent(), "{n} of {} recent tokens", self.recent());
        self.engine.set_len(self.len() - n)
    }

    /// Takes the oldest `n` recent tokens out; the memory region moves up to the next one.
    ///
    /// # Errors
    /// Whatever the engine refuses.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn evict(&mut self, n: usize) -> Result<(), SlotError> {
        assert!(n <= self.recent(), "{n} of {} recent tokens", self.recent());
        if n == 0 {
            return Ok(());
        }
        let len = self.len();
        self.engine.move_slots(self.memory + n..len, self.memory)?;
        self.engine.set_len(len - n)?;
        self.base += position(n);
        self.engine.rotate(0..self.memory, self.base)
    }

    /// Begins to lay the memory region anew behind the sinks, for at most `tokens_max` tokens.
    /// Recent tokens stay. The caller lays pieces and then calls [`Laying::finish`].
    ///
    /// # Errors
    /// Whatever the engine refuses.
    ///
    /// # Panics
    /// When the plan does not allow so many.
    pub fn lay(&mut self, tokens_max: usize) -> Result<Laying<'_>, SlotError> {
        let end = self.sinks + tokens_max;
        assert!(end <= self.sizes.memory_tokens_max, "{end} slots of memory");
        self.resize_memory(end)?;
        let at = self.sinks;
        Ok(Laying { window: self, at, end })
    }

    fn place(&mut self, slot: usize, kv: KvView<'_>) -> Result<(), SlotError> {
        self.positions.clear();
        let first = self.base + position(slot);
        self.positions.extend((0..position(kv.tokens())).map(|j| first + j));
        self.engine.place(slot, &self.positions, kv)
    }

    /// Moves the recent region so that the memory region has `to` slots. Keys of the memory region
    /// are not rotated here.
    fn resize_memory(&mut self, to: usize) -> Result<(), SlotError> {
        let (from, recent) = (self.memory, self.recent());
        if to == from {
            return Ok(());
        }
        let capacity = self.engine.capacity();
        if to + recent > capacity {
            return Err(SlotError::OutOfWindow { start: to, end: to + recent, capacity });
        }
        self.engine.move_slots(from..from + recent, to)?;
        self.engine.set_len(to + recent)?;
        self.base += position(from) - position(to);
        self.memory = to;
        Ok(())
    }

    /// Copies the canonical K,V of recent tokens (counted from the oldest) out.
    ///
    /// # Errors
    /// Whatever the engine refuses.
    pub fn read_recent(&mut self, tokens: Range<usize>, out: &mut KvBuf) -> Result<(), SlotError> {
        self.engine.read(self.memory + tokens.start..self.memory + tokens.end, out)
    }

    /// Appends K,V that were computed before as the newest recent tokens (a restored session).
    ///
    /// # Errors
    /// Whatever the engine refuses.
    pub fn append_placed(&mut self, kv: KvView<'_>) -> Result<(), SlotError> {
        let (len, capacity) = (self.len(), self.engine.capacity());
        if kv.tokens() > self.room() {
            let end = len + kv.tokens();
            return Err(SlotError::OutOfWindow { start: len, end, capacity });
        }
        self.rebase_if_needed(kv.tokens())?;
        self.place(len, kv)?;
        self.engine.set_len(len + kv.tokens())
    }
}

/// A memory region being laid.
pub struct Laying<'a> {
    window: &'a mut Window,
    at: usize,
    end: usize,
}

impl Laying<'_> {
    /// Slots that are still free.
    #[must_use]
    pub const fn room(&self) -> usize {
        self.end - self.at
    }

    /// Lays the next piece; `false` when it does not fit.
    ///
    /// # Errors
    /// Whatever the engine refuses.
    pub fn piece(&mut self, kv: KvView<'_>) -> Result<bool, SlotError> {
        if kv.tokens() > self.room() {
            return Ok(false);
        }
        self.window.place(self.at, kv)?;
        self.at += kv.tokens();
        Ok(true)
    }

    /// Ends the region behind the last piece: slots that were not used close up.
    ///
    /// # Errors
    /// Whatever the engine refuses.
    pub fn finish(self) -> Result<(), SlotError> {
        let Self { window, at, end } = self;
        if at == end {
            return window.engine.rotate(0..window.sinks, window.base);
        }
        window.resize_memory(at)?;
        window.engine.rotate(0..at, window.base)
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
