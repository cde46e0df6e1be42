//! The session: absorb and ask.
//!
//! ```text
//! tokens -> chunk -> step -> spill -> evict -> fold              (absorb.rs)
//! question -> probe -> recall -> place -> step -> sample -> answer   (ask.rs)
//! ```

mod absorb;
mod ask;
mod chat;
mod gist;
mod lines;
mod pause;
mod point;
mod recall;
mod restore;
mod say;
mod tally;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lcedge_compress::{Condense, Condensed};
use lcedge_memory::{BlockId, BlockState, Geometry, KvBuf, Reader, SourceId, Store};
use lcedge_models::Card;
use lcedge_targets::{Engine, StepOutput};

use crate::beacons::Beacons;
use crate::config::{MemoryMode, SessionConfig};
use crate::cost::Cost;
use crate::error::{AbsorbError, OpenError};
use crate::fates::{Fates, Ledger, Left};
use crate::finder::Finder;
use crate::gist::Gist;
use crate::limits::{BLOCK_TOKENS, BLOCK_TOKENS_MIN};
use crate::plan::Plan;
use crate::source::Pieces;
use crate::spill::{Spill, SpillError};
use crate::surprise::Lines;
use crate::tail::Tail;
use crate::text::Codec;
use crate::when::LineTimes;
use crate::window::{Wanted, Window};

pub use absorb::SourceStart;
pub use ask::{Answer, Question};
pub use chat::{Reply, Turn};
pub use point::Point;
pub use recall::{Passages, RecallTimes};
pub use tally::Counted;

/// Said once when a disk budget is reached.
const GIVEN_UP: &str = "the disk budget is reached: the oldest blocks give up their keys and \
    values, then go (the fates say how many); pin what must stay";

/// Said once when a day's write budget is used up.
const SPARING: &str = "today's write budget is used up: what is read from now on is stored as \
    text, address and beacons, without keys and values, and, when much more is read, as text and \
    address alone, until tomorrow (UTC); --write-rate changes it";

/// How a session holds its store.
pub enum Access {
    /// As the one writer: it absorbs and it asks.
    Write(Box<Store>),
    /// As one of any number of readers, also while a writer is at work: it only asks.
    Read(Reader),
}

impl Access {
    /// The store's reader.
    #[must_use]
    pub fn reader(&self) -> Reader {
        match self {
            Self::Write(store) => store.reader(),
            Self::Read(reader) => reader.clone(),
        }
    }
}

/// What a session is made of.
pub struct Parts {
    /// The decoder, with the plan's capacity.
    pub engine: Box<dyn Engine>,
    /// Text into tokens and back.
    pub codec: Arc<dyn Codec>,
    /// Where blocks go; `None` keeps nothing beyond the window.
    pub store: Option<Access>,
    /// Makes addresses; `None` for models without any.
    pub finder: Option<Arc<Finder>>,
}

/// Figures of a session so far. Counts are tokens unless the name says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Source bytes absorbed.
    pub bytes: u64,
    /// Lines absorbed.
    pub lines: u64,
    /// Tokens that the decoder computed, questions and answers included.
    pub tokens_read_by_model: u64,
    /// Blocks made.
    pub blocks: u64,
    /// Blocks laid into attention, while absorbing and for questions.
    pub recalled_blocks: u64,
    /// Tokens placed again from the store instead of being read again.
    pub restored_tokens: u64,
    /// Tokens of text that had been read before and were computed again (recall as text).
    pub prefilled_tokens: u64,
    /// Bytes that the vocabulary cannot express.
    pub dropped_bytes: u64,
    /// Sequences that were not UTF-8.
    pub invalid_utf8: u64,
    /// Blocks that could not be recalled because their bytes are damaged.
    pub damaged_blocks: u64,
}

/// A source being absorbed.
#[derive(Debug)]
struct OpenSource {
    id: Option<SourceId>,
    /// Bytes fed so far, earlier runs included.
    byte: u64,
    hasher: blake3::Hasher,
    /// Bytes hashed into `hasher`: those of finished blocks.
    hashed: u64,
}

/// A token that waits for its chunk.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    id: u32,
    byte_end: u64,
}

/// One stream of text and questions over one window and one store.
pub struct Session {
    window: Window,
    codec: Arc<dyn Codec>,
    plan: Plan,
    config: SessionConfig,
    spill: Option<Spill>,
    reader: Option<Reader>,
    read_only: bool,
    finder: Option<Arc<Finder>>,
    condenser: Option<Box<dyn Condense>>,
    condensed: Condensed,
    beacons: Option<Beacons>,
    gist: Option<Gist>,
    /// Time that folds took.
    fold_time: Duration,
    source: Option<OpenSource>,
    pieces: Pieces,
    piece: Vec<u8>,
    waiting: VecDeque<Waiting>,
    tail: Tail,
    lines: Lines,
    /// When the lines of the open source were written.
    line_times: LineTimes,
    ledger: Ledger,
    /// The warning about what a disk budget gave up was given.
    told_given_up: bool,
    /// The same about a write budget.
    told_sparing: bool,
    /// The first block that this session stored.
    first_own: Option<BlockId>,
    /// Recent tokens at the front of the recent region that this run did not absorb.
    foreign_recent: usize,
    /// Where each recent token ends in the current source, oldest first.
    recent_ends: VecDeque<u64>,
    /// Tokens of each block of the recent region, oldest first; the tail's come behind them.
    recent_blocks: VecDeque<usize>,
    /// Surprise of the recent tokens, oldest first, where a condenser needs it.
    recent_nats: VecDeque<f32>,
    /// Surprise of the next chunk's first token, from the last row of the chunk before.
    carry_nats: f32,
    /// Blocks that a question sees as beacons, in order of time, and their beacons.
    coarse: Vec<(BlockId, usize)>,
    /// Blocks in the memory region and their tokens.
    recalled: Vec<(BlockId, usize)>,
    /// A question is being answered from exact passages alone.
    recalls_exactly: bool,
    /// The recent region was given up for a question and is restored before more is absorbed.
    recent_lost: bool,
    /// What the regions are restored to then; the newest blocks where nothing is known.
    resume: Option<point::Resume>,
    counters: Counters,
    times: RecallTimes,
    /// What reading and computing blocks costs here.
    cost: Cost,
    warning: Option<String>,
    failed: Option<String>,
    out: StepOutput,
    scratch: Scratch,
}

/// Buffers that are filled again and again.
struct Scratch {
    ids: Vec<u32>,
    rows: Vec<u32>,
    targets: Vec<u32>,
    payload: Vec<u8>,
    kv: KvBuf,
    nats: Vec<f32>,
    /// Where the blocks of the tail and the next chunk end, in tokens from the tail's start.
    cuts: Vec<usize>,
}

impl Scratch {
    fn new(geometry: Geometry, chunk_tokens: usize) -> Self {
        Self {
            ids: Vec::with_capacity(chunk_tokens),
            rows: Vec::with_capacity(chunk_tokens),
            targets: Vec::with_capacity(chunk_tokens),
            payload: Vec::new(),
            kv: KvBuf::with_capacity(geometry, BLOCK_TOKENS),
            nats: Vec::with_capacity(BLOCK_TOKENS),
            cuts: Vec::with_capacity(chunk_tokens / BLOCK_TOKENS_MIN + 4),
        }
    }
}

impl Session {
    /// Opens a session: runs the sinks and starts the writer.
    ///
    /// # Errors
    /// [`OpenError`] when a part does not fit another or the decoder refuses the sinks.
    pub fn open(parts: Parts, plan: Plan, config: SessionConfig) -> Result<Self, OpenError> {
        let Parts { engine, codec, store, finder } = parts;
        if config.memory == MemoryMode::Gist && plan.gist_tokens == 0 {
            let model = engine.card().name.clone();
            return Err(OpenError::Tier { tier: config.memory.name(), model });
        }
        let geometry = engine.card().geometry(BLOCK_TOKENS);
        let store = store.filter(|_| config.memory.recalls());
        let reader = store.as_ref().map(Access::reader);
        let read_only = matches!(store, Some(Access::Read(_)));
        let (beacons, condenser) = condensing(engine.card(), &plan, &config);
        let gist = beacons.as_ref().and_then(|_| gist::of(geometry, &plan, &config));
        let beacons_max = beacons.as_ref().map_or(0, Beacons::most_a_block);
        let spill = match store {
            Some(Access::Write(s)) => {
                let per_day = config.write_bytes_per_day;
                Some(Spill::start(*s, geometry, plan.kv, finder.clone(), beacons_max, per_day)?)
            }
            _ => None,
        };
        let condensed_max = if condenser.is_some() { plan.condensed_tokens } else { 0 };
        let row = finder.as_ref().map_or(0, |f| f.memory_row());
        let cost = cost_of(engine.as_ref(), reader.as_ref());
        let mut session = Self {
            window: Window::new(engine, plan.window_sizes()),
            codec,
            plan,
            config,
            spill,
            reader,
            read_only,
            finder,
            condenser,
            condensed: Condensed::with_capacity(geometry, condensed_max),
            beacons,
            gist,
            fold_time: Duration::ZERO,
            source: None,
            pieces: Pieces::default(),
            piece: Vec::new(),
            waiting: VecDeque::new(),
            tail: Tail::with_capacity(plan.chunk_tokens + 2 * BLOCK_TOKENS, row),
            lines: Lines::default(),
            line_times: LineTimes::live(),
            ledger: Ledger::default(),
            told_given_up: false,
            told_sparing: false,
            first_own: None,
            foreign_recent: 0,
            recent_ends: VecDeque::with_capacity(plan.capacity_tokens),
            recent_blocks: VecDeque::with_capacity(plan.capacity_tokens / BLOCK_TOKENS_MIN + 2),
            recent_nats: VecDeque::new(),
            carry_nats: f32::NAN,
            coarse: Vec::new(),
            recalled: Vec::new(),
            recalls_exactly: false,
            recent_lost: false,
            resume: None,
            counters: Counters::default(),
            times: RecallTimes::default(),
            cost,
            warning: None,
            failed: None,
            out: StepOutput::default(),
            scratch: Scratch::new(geometry, plan.chunk_tokens),
        };
        session.run_sinks()?;
        Ok(session)
    }

    fn run_sinks(&mut self) -> Result<(), OpenError> {
        let sinks = self.codec.sinks().to_vec();
        let n = sinks.len().min(self.plan.sink_tokens);
        if n > 0 {
            self.window.step(&sinks[..n], Wanted::default(), &mut self.out)?;
            self.counters.tokens_read_by_model += n as u64;
        }
        self.window.pin_sinks(n);
        Ok(())
    }

    /// The sizes.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The window, for its engine and its sizes.
    #[must_use]
    pub const fn window(&self) -> &Window {
        &self.window
    }

    /// Figures so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// The blocks that are recalled into attention, in order of time.
    #[must_use]
    pub fn recalled_now(&self) -> Vec<BlockId> {
        self.recalled.iter().map(|r| r.0).collect()
    }

    /// How long recall took.
    #[must_use]
    pub const fn recall_times(&self) -> &RecallTimes {
        &self.times
    }

    /// What reading and computing blocks costs on this machine, as far as it was measured.
    #[must_use]
    pub const fn cost(&self) -> &Cost {
        &self.cost
    }

    /// How long the session waited for the store's writer.
    #[must_use]
    pub fn spill_wait(&self) -> Duration {
        self.spill.as_ref().map_or(Duration::ZERO, Spill::waited)
    }

    /// The most surprising lines.
    #[must_use]
    pub const fn lines(&self) -> &Lines {
        &self.lines
    }

    /// The same, to be told to keep every line.
    pub const fn lines_mut(&mut self) -> &mut Lines {
        &mut self.lines
    }

    /// The store's reader, when the session has a store.
    #[must_use]
    pub const fn reader(&self) -> Option<&Reader> {
        self.reader.as_ref()
    }

    /// What went wrong without stopping anything, since the last call.
    pub fn take_warning(&mut self) -> Option<String> {
        self.warning.take()
    }

    fn warn(&mut self, message: String) {
        self.warning.get_or_insert(message);
    }

    /// The fate of every token absorbed.
    #[must_use]
    pub fn fates(&mut self) -> Fates {
        self.drain_written();
        let recalled: usize = self.recalled.iter().map(|r| r.1).sum();
        let beacons = self.beacons.as_ref().map_or(0, Beacons::covers);
        let folded = self.gist.as_ref().map_or(0, Gist::covers);
        let kept: u64 = self.condensed.covers.iter().copied().map(u64::from).sum();
        let gave_up = self.spill.as_ref().is_some_and(Spill::gave_up);
        let left = gave_up.then(|| self.left());
        self.ledger.fates_of(recalled as u64, kept + beacons as u64 + folded, left)
    }

    /// What is left of the tokens that this session stored and that are not in the window.
    fn left(&self) -> Left {
        let mut left = Left::default();
        let (Some(reader), Some(first)) = (&self.reader, self.first_own) else { return left };
        let all = reader.sources().into_iter().flat_map(|s| reader.blocks_of(s.id));
        let mut own: Vec<BlockId> = all.filter(|id| *id >= first).collect();
        own.sort_unstable();
        let mut in_window = self.ledger.stored_in_window();
        for info in own.into_iter().rev().filter_map(|id| reader.block(id).ok()) {
            let resident = in_window.min(u64::from(info.tokens));
            in_window -= resident;
            let tokens = u64::from(info.tokens) - resident;
            match info.state() {
                BlockState::Exact => left.exact += tokens,
                BlockState::Beacons => left.beacons += tokens,
                BlockState::Text => left.text += tokens,
            }
        }
        left
    }

    fn drain_written(&mut self) {
        let mut failure = None;
        if let Some(spill) = &mut self.spill {
            while let Some(w) = spill.written() {
                self.ledger.settle(w.outcome());
                match w.result {
                    Ok((id, _)) => {
                        self.first_own.get_or_insert(id);
                    }
                    Err(e) => {
                        failure.get_or_insert(e);
                    }
                }
            }
        }
        if let Some(e) = failure {
            self.warn(format!("a block could not be stored: {e}"));
        }
        let sparing = self.spill.as_ref().is_some_and(Spill::sparing);
        if sparing && !self.told_sparing {
            self.told_sparing = true;
            self.warn(SPARING.to_owned());
        }
        if !self.told_given_up && self.spill.as_ref().is_some_and(Spill::gave_up) {
            self.told_given_up = true;
            self.warn(GIVEN_UP.to_owned());
        }
    }

    /// Waits until everything absorbed in whole blocks is durable and searchable.
    ///
    /// # Errors
    /// [`AbsorbError::Spill`] with the store's own words.
    pub fn flush(&mut self) -> Result<(), AbsorbError> {
        self.keep_cost();
        if let Some(spill) = &mut self.spill {
            spill.flush(false)?;
        }
        self.drain_written();
        Ok(())
    }

    /// Makes everything durable and closes the store.
    ///
    /// # Errors
    /// [`SpillError`] with the store's own words.
    pub fn close(mut self) -> Result<(), SpillError> {
        self.keep_cost();
        self.spill.take().map_or(Ok(()), Spill::close)
    }

    /// Hands what was measured to the store, where it says something new.
    fn keep_cost(&mut self) {
        if let Some(spill) = &self.spill
            && let Some(note) = self.cost.note()
        {
            spill.keep_note(self.cost.name(), note);
        }
    }

    /// Closes the store as [`Session::close`] does and gives what the session was made of back,
    /// the window empty: for another session over the same engine.
    ///
    /// # Errors
    /// As [`Session::close`]; [`AbsorbError::Slot`] when the engine refuses.
    pub fn into_parts(mut self) -> Result<Parts, AbsorbError> {
        self.spill.take().map_or(Ok(()), Spill::close)?;
        let engine = self.window.into_engine()?;
        Ok(Parts { engine, codec: self.codec, store: None, finder: self.finder })
    }

    fn check(&self) -> Result<(), AbsorbError> {
        self.failed.as_ref().map_or(Ok(()), |e| Err(AbsorbError::Failed(e.clone())))
    }

    /// Latches a failure that leaves the window in doubt.
    fn latch<T>(&mut self, result: Result<T, AbsorbError>) -> Result<T, AbsorbError> {
        if let Err(e) = &result {
            self.latch_on(e);
        }
        result
    }

    fn latch_on(&mut self, error: &AbsorbError) {
        if matches!(error, AbsorbError::Step(_) | AbsorbError::Slot(_) | AbsorbError::Fold(_)) {
            self.failed = Some(error.to_string());
        }
    }
}

/// What was measured of this engine, as the store keeps it.
fn cost_of(engine: &dyn Engine, reader: Option<&Reader>) -> Cost {
    let mut cost = Cost::new(engine.card(), engine.device().0);
    // Only a measurement: what cannot be read is made again.
    let kept = reader.and_then(|r| r.note(cost.name()).ok().flatten());
    if let Some(note) = kept {
        cost.take_over(&note);
    }
    cost
}

/// The condensed tier: beacons where the model has them, else a condenser, or none.
fn condensing(
    card: &Card,
    plan: &Plan,
    config: &SessionConfig,
) -> (Option<Beacons>, Option<Box<dyn Condense>>) {
    let ratios = card.memory.as_ref().map_or(&[][..], |m| &m.beacons);
    let trained = !ratios.is_empty();
    let folds = trained && plan.gist_tokens > 0;
    if !folds && (plan.condensed_tokens == 0 || !config.memory.condenses(trained)) {
        return (None, None);
    }
    if trained {
        let geometry = card.geometry(BLOCK_TOKENS);
        let beacons = Beacons::new(geometry, ratios, config.ratio, plan.condensed_tokens);
        return (Some(if folds { beacons.folding() } else { beacons }), None);
    }
    (None, Some(config.condense.start()))
}

fn now_unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
