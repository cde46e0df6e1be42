//! The way to disk: a bounded queue of finished blocks and one writer thread that owns the store.
//!
//! Blocks are written as soon as they are full (write-through), so eviction only frees RAM. The
//! buffers of blocks go round: a free list hands them out, the writer gives them back. A full
//! queue hands the block back, and the session then waits: nothing is dropped to go faster.

mod today;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded, unbounded};
use lcedge_compress::quant;
use lcedge_memory::{
    BeaconRecord, BlockAddress, BlockId, BlockRecord, BlockState, Geometry, GivenUp, KvBuf,
    KvDtype, Progress, SourceId, SourceState, Span, Store,
};

use crate::fates::Outcome;
use crate::finder::Finder;
use crate::limits::{BLOCK_TOKENS, COMMIT_BLOCKS_MAX, SPILL_QUEUE_BLOCKS};
use crate::session::Point;

use self::today::Today;

/// Longest time that written blocks wait for their commit.
const COMMIT_AFTER: Duration = Duration::from_secs(2);

/// A finished block on its way to the store.
#[derive(Debug)]
pub struct Block {
    /// The source it belongs to.
    pub source: SourceId,
    /// Where it lies there.
    pub span: Span,
    /// Milliseconds since 1970 UTC.
    pub time_unix_ms: i64,
    /// Token ids.
    pub tokens: Vec<u32>,
    /// Its text.
    pub text: Vec<u8>,
    /// Sum of the tokens' surprise, nats.
    pub surprise_nats: f32,
    /// The first byte is not the first of its line.
    pub starts_mid_line: bool,
    /// The last byte is not the last of its line.
    pub ends_mid_line: bool,
    /// Canonical keys and values.
    pub kv: KvBuf,
    /// Canonical keys and values of its beacons; none without a trained memory.
    pub beacons: KvBuf,
    /// Tokens that one beacon stands for.
    pub beacon_ratio: u16,
    /// What the decoder gave for a trained address, a row a token.
    pub memory_rows: Vec<f32>,
}

impl Block {
    fn empty(geometry: Geometry, extras: Extras) -> Self {
        Self {
            source: SourceId(0),
            span: Span::default(),
            time_unix_ms: 0,
            tokens: Vec::with_capacity(BLOCK_TOKENS),
            text: Vec::with_capacity(16 * BLOCK_TOKENS),
            surprise_nats: 0.0,
            starts_mid_line: false,
            ends_mid_line: false,
            kv: KvBuf::with_capacity(geometry, BLOCK_TOKENS),
            beacons: KvBuf::with_capacity(geometry, extras.beacons_max),
            beacon_ratio: 0,
            memory_rows: Vec::with_capacity(BLOCK_TOKENS * extras.memory_row),
        }
    }
}

/// What a trained memory adds to a block.
#[derive(Clone, Copy, Debug, Default)]
struct Extras {
    /// Values of a token for a trained address.
    memory_row: usize,
    /// Most beacons.
    beacons_max: usize,
}

/// The queue is full; here is the block back.
#[derive(Debug)]
pub struct Full(pub Box<Block>);

/// Why the writer could not do what it was asked.
#[derive(Debug, thiserror::Error, Clone)]
#[non_exhaustive]
pub enum SpillError {
    /// The store refused or failed; its own words.
    #[error("the store: {0}")]
    Store(String),
    /// The writer thread is gone (it ended after a failure it reported).
    #[error("the writer thread has ended; reopen the store")]
    Gone,
}

/// What the writer answers for each block, in order.
#[derive(Debug)]
pub struct Written {
    /// Tokens of the block.
    pub tokens: u32,
    /// Its id and what is stored of it, or what kept it from being stored.
    pub result: Result<(BlockId, BlockState), String>,
}

impl Written {
    /// What this means for the block's tokens.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        match self.result {
            Ok((_, BlockState::Exact)) => Outcome::Stored,
            Ok((_, BlockState::Beacons)) => Outcome::BeaconsOnly,
            Ok((_, BlockState::Text)) => Outcome::TextOnly,
            Err(_) => Outcome::Lost,
        }
    }
}

type Reply<T> = Sender<Result<T, SpillError>>;

enum Job {
    Block(Box<Block>),
    Begin { name: String, new_version: bool, reply: Reply<SourceState> },
    Progress { source: SourceId, progress: Progress },
    Point { source: SourceId, point: Point },
    Flush { seal: bool, reply: Reply<()> },
}

/// The session's end of the queue.
pub struct Spill {
    /// `None` once the queue is closed.
    jobs: Option<Sender<Job>>,
    free: Receiver<Box<Block>>,
    written: Receiver<Written>,
    thread: Option<JoinHandle<()>>,
    waited: Duration,
    gave_up: Arc<AtomicBool>,
    sparing: Arc<AtomicBool>,
    gist: Arc<Mutex<KeptGist>>,
    note: Arc<Mutex<Option<Note>>>,
}

/// The name and the bytes of a note on its way to the store.
type Note = (String, Vec<u8>);

/// A gist on its way to the store; only the latest counts.
#[derive(Debug, Default)]
struct KeptGist {
    /// Whose it is, until the writer has taken it.
    source: Option<SourceId>,
    bytes: Vec<u8>,
}

/// The name under which the gist of a source is kept beside its resume point.
#[must_use]
pub fn gist_name(source: &str) -> String {
    format!("{source}\u{1f}gist")
}

impl Spill {
    /// Starts the writer thread over `store`; it encodes keys and values as `dtype` and makes the
    /// addresses. A block has at most `beacons_max` beacons. Once `write_bytes_per_day` are used
    /// up, blocks go without keys and values; beyond half more without beacons too, and no room is
    /// made for a disk budget by writing anew. Text and address are always stored.
    ///
    /// # Errors
    /// [`SpillError::Store`] when the system gives no thread.
    pub fn start(
        store: Store,
        geometry: Geometry,
        dtype: KvDtype,
        finder: Option<Arc<Finder>>,
        beacons_max: usize,
        write_bytes_per_day: Option<u64>,
    ) -> Result<Self, SpillError> {
        let memory_row = finder.as_ref().map_or(0, |f| f.memory_row());
        let extras = Extras { memory_row, beacons_max };
        let (jobs, job_queue) = bounded(SPILL_QUEUE_BLOCKS);
        let (give, free) = bounded(SPILL_QUEUE_BLOCKS + 2);
        let (answer, written) = unbounded::<Written>();
        for _ in 0..SPILL_QUEUE_BLOCKS + 2 {
            // The channel holds exactly these buffers.
            let _ = give.try_send(Box::new(Block::empty(geometry, extras)));
        }
        let gave_up = Arc::new(AtomicBool::new(false));
        let sparing = Arc::new(AtomicBool::new(false));
        let gist = Arc::new(Mutex::new(KeptGist::default()));
        let note = Arc::new(Mutex::new(None));
        let mut writer = Writer {
            note: Arc::clone(&note),
            gist: Arc::clone(&gist),
            gave_up: Arc::clone(&gave_up),
            sparing: Arc::clone(&sparing),
            write_bytes_per_day,
            store,
            dtype,
            finder,
            condensed: Vec::new(),
            payload: Vec::with_capacity(quant::payload_bytes(dtype, geometry, BLOCK_TOKENS)),
            uncommitted: 0,
            since: Instant::now(),
            mid_chunk: false,
            held_progress: Vec::new(),
            held_points: Vec::new(),
            names: Vec::new(),
            hole: Vec::new(),
            give,
            answer,
        };
        let thread = std::thread::Builder::new()
            .name("lcedge-spill".to_owned())
            .spawn(move || writer.run(&job_queue))
            .map_err(|e| SpillError::Store(format!("no writer thread: {e}")))?;
        // Waiting on a channel allocates once a thread: here, and not in the middle of a stream.
        let _ = written.recv_timeout(Duration::from_micros(1));
        let (jobs, thread, waited) = (Some(jobs), Some(thread), Duration::ZERO);
        Ok(Self { jobs, free, written, thread, waited, gave_up, sparing, gist, note })
    }

    /// An empty block to fill; waits for one when all are under way.
    ///
    /// # Errors
    /// [`SpillError::Gone`] when the writer has ended.
    pub fn block(&mut self) -> Result<Box<Block>, SpillError> {
        let start = Instant::now();
        let block = self.free.recv().map_err(|_| SpillError::Gone)?;
        self.waited += start.elapsed();
        Ok(block)
    }

    /// Hands a block to the writer without waiting.
    ///
    /// # Errors
    /// [`Full`] with the block when the queue is full or the writer has ended.
    pub fn offer(&mut self, block: Box<Block>) -> Result<(), Full> {
        let Some(jobs) = &self.jobs else { return Err(Full(block)) };
        match jobs.try_send(Job::Block(block)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(Job::Block(b)) | TrySendError::Disconnected(Job::Block(b))) => {
                Err(Full(b))
            }
            Err(_) => unreachable!("the job that comes back is the one that was sent"),
        }
    }

    /// Hands a block to the writer, waiting while the queue is full.
    ///
    /// # Errors
    /// [`SpillError::Gone`] when the writer has ended.
    pub fn push(&mut self, block: Box<Block>) -> Result<(), SpillError> {
        let Err(Full(block)) = self.offer(block) else { return Ok(()) };
        let start = Instant::now();
        let sent = self.send(Job::Block(block));
        self.waited += start.elapsed();
        sent
    }

    /// Begins or continues a source, or begins a new version of it.
    ///
    /// # Errors
    /// [`SpillError`] with the store's own words.
    pub fn begin(&mut self, name: &str, new_version: bool) -> Result<SourceState, SpillError> {
        self.ask(|reply| Job::Begin { name: name.to_owned(), new_version, reply })
    }

    /// Notes how far the source is absorbed; stored with the blocks handed over before.
    ///
    /// # Errors
    /// [`SpillError::Gone`] when the writer has ended.
    pub fn progress(&mut self, source: SourceId, progress: Progress) -> Result<(), SpillError> {
        self.send(Job::Progress { source, progress })
    }

    /// Notes where the session stands; stored with the blocks handed over before.
    ///
    /// # Errors
    /// [`SpillError::Gone`] when the writer has ended.
    pub fn point(&mut self, source: SourceId, point: Point) -> Result<(), SpillError> {
        self.send(Job::Point { source, point })
    }

    /// Keeps what `write` appends to a buffer as the gist of a source: stored with the blocks
    /// handed over before, at the latest with the next commit. The buffer is used again.
    pub fn keep_gist(&mut self, source: SourceId, write: impl FnOnce(&mut Vec<u8>)) {
        let mut kept = self.gist.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes.clear();
        write(&mut kept.bytes);
        kept.source = Some(source);
    }

    /// Keeps a note in the store ([`Store::set_note`]) with the next commit; only the latest
    /// counts.
    pub fn keep_note(&self, name: &str, bytes: Vec<u8>) {
        let mut note = self.note.lock().unwrap_or_else(PoisonError::into_inner);
        *note = Some((name.to_owned(), bytes));
    }

    /// Waits until everything handed over is durable and searchable; with `seal` the segment is
    /// ended as well.
    ///
    /// # Errors
    /// [`SpillError`] with the store's own words.
    pub fn flush(&mut self, seal: bool) -> Result<(), SpillError> {
        self.ask(|reply| Job::Flush { seal, reply })
    }

    fn send(&self, job: Job) -> Result<(), SpillError> {
        let jobs = self.jobs.as_ref().ok_or(SpillError::Gone)?;
        jobs.send(job).map_err(|_| SpillError::Gone)
    }

    fn ask<T>(&mut self, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, SpillError> {
        let (reply, answer) = bounded(1);
        self.send(job(reply))?;
        answer.recv().map_err(|_| SpillError::Gone)?
    }

    /// The next answer of the writer, if one has come.
    pub fn written(&mut self) -> Option<Written> {
        self.written.try_recv().ok()
    }

    /// Whether a disk budget made the store give something up.
    #[must_use]
    pub fn gave_up(&self) -> bool {
        self.gave_up.load(Ordering::Acquire)
    }

    /// Whether blocks go without keys and values because a day's write budget is used up, or went
    /// so since the start.
    #[must_use]
    pub fn sparing(&self) -> bool {
        self.sparing.load(Ordering::Acquire)
    }

    /// How long the session has waited for the writer.
    #[must_use]
    pub const fn waited(&self) -> Duration {
        self.waited
    }

    /// Makes everything durable, ends the thread and closes the store.
    ///
    /// # Errors
    /// [`SpillError`] with the store's own words; the thread ends all the same.
    pub fn close(mut self) -> Result<(), SpillError> {
        let flushed = self.flush(true);
        self.end();
        flushed
    }

    /// Closes the queue and waits for the thread, which commits what it has.
    fn end(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        self.end();
    }
}

struct Writer {
    note: Arc<Mutex<Option<Note>>>,
    gist: Arc<Mutex<KeptGist>>,
    gave_up: Arc<AtomicBool>,
    sparing: Arc<AtomicBool>,
    write_bytes_per_day: Option<u64>,
    store: Store,
    dtype: KvDtype,
    finder: Option<Arc<Finder>>,
    payload: Vec<u8>,
    condensed: Vec<u8>,
    uncommitted: usize,
    since: Instant,
    /// Blocks of a chunk came whose progress and point are still to come: a commit now would keep
    /// blocks that a later run reads again.
    mid_chunk: bool,
    held_progress: Vec<(SourceId, Progress)>,
    held_points: Vec<(SourceId, Point)>,
    /// Names of the sources begun.
    names: Vec<(SourceId, String)>,
    /// Sources in which a block could not be stored: their progress stays before it, so that a
    /// later run reads that text again.
    hole: Vec<SourceId>,
    give: Sender<Box<Block>>,
    answer: Sender<Written>,
}

impl Writer {
    fn run(&mut self, jobs: &Receiver<Job>) {
        loop {
            match jobs.recv_timeout(COMMIT_AFTER) {
                Ok(Job::Block(block)) => self.write(block),
                Ok(Job::Begin { name, new_version, reply }) => {
                    let state = self.commit().and_then(|()| {
                        let begun = if new_version {
                            self.store.new_version(&name)
                        } else {
                            self.store.begin_source(&name)
                        };
                        begun.map_err(|e| SpillError::Store(e.to_string()))
                    });
                    if let Ok(state) = &state {
                        self.names.retain(|(id, _)| *id != state.id);
                        self.names.push((state.id, name));
                    }
                    let _ = reply.send(state);
                }
                Ok(Job::Progress { source, progress }) => self.progress(source, progress),
                Ok(Job::Point { source, point }) => self.point(source, point),
                Ok(Job::Flush { seal, reply }) => {
                    let _ = reply.send(self.flush(seal));
                }
                Err(RecvTimeoutError::Timeout) => self.commit_between_chunks(true),
                Err(RecvTimeoutError::Disconnected) => {
                    self.commit_between_chunks(true);
                    break;
                }
            }
            self.commit_between_chunks(false);
        }
    }

    fn write(&mut self, block: Box<Block>) {
        let tokens = u32::try_from(block.tokens.len()).unwrap_or(u32::MAX);
        let result = self.store_block(&block);
        if result.is_err() && !self.hole.contains(&block.source) {
            self.hole.push(block.source);
        }
        let _ = self.answer.send(Written { tokens, result });
        let _ = self.give.send(block);
        self.mid_chunk = true;
    }

    fn store_block(&mut self, block: &Block) -> Result<(BlockId, BlockState), String> {
        self.payload.clear();
        let kv = block.kv.view();
        let today = self.today();
        self.store.spare_rewrites(today >= Today::Text);
        match today {
            Today::All => {
                quant::encode(self.dtype, kv, &mut self.payload).map_err(|e| e.to_string())?;
            }
            Today::Beacons | Today::Text => self.sparing.store(true, Ordering::Release),
        }
        let finder = self.finder.as_ref();
        let address =
            finder.map_or_else(BlockAddress::default, |f| f.block(kv, &block.memory_rows));
        self.condensed.clear();
        let held = block.beacons.view();
        let holds = held.tokens() > 0 && today <= Today::Beacons;
        if holds {
            quant::encode(self.dtype, held, &mut self.condensed).map_err(|e| e.to_string())?;
        }
        let beacons = holds.then(|| BeaconRecord {
            ratio: block.beacon_ratio,
            count: u16::try_from(held.tokens()).unwrap_or(u16::MAX),
            dtype: self.dtype,
            payload: &self.condensed,
        });
        let record = BlockRecord {
            source: block.source,
            span: block.span,
            time_unix_ms: block.time_unix_ms,
            tokens: &block.tokens,
            text: &block.text,
            surprise_nats: block.surprise_nats,
            starts_mid_line: block.starts_mid_line,
            ends_mid_line: block.ends_mid_line,
            dtype: self.dtype,
            payload: &self.payload,
            beacons,
            address: &address,
        };
        let id = self.store.append(&record).map_err(|e| e.to_string())?;
        self.note_given_up();
        if self.uncommitted == 0 {
            self.since = Instant::now();
        }
        self.uncommitted += 1;
        let state = match (self.payload.is_empty(), holds) {
            (false, _) => BlockState::Exact,
            (true, true) => BlockState::Beacons,
            (true, false) => BlockState::Text,
        };
        Ok((id, state))
    }

    /// What today may still write.
    fn today(&self) -> Today {
        let Some(budget) = self.write_bytes_per_day else { return Today::All };
        Today::of(self.store.written_today(), budget)
    }

    /// Notes when a disk budget made the store give something up.
    fn note_given_up(&mut self) {
        if self.store.take_given_up() != GivenUp::default() {
            self.gave_up.store(true, Ordering::Release);
        }
    }

    fn progress(&mut self, source: SourceId, progress: Progress) {
        if self.hole.contains(&source) {
            return;
        }
        self.held_progress.retain(|(s, _)| *s != source);
        self.held_progress.push((source, progress));
    }

    fn point(&mut self, source: SourceId, point: Point) {
        self.mid_chunk = false;
        if self.hole.contains(&source) {
            return;
        }
        self.held_points.retain(|(s, _)| *s != source);
        self.held_points.push((source, point));
    }

    /// Commits between two chunks, when enough was written or long enough ago, or `now`.
    fn commit_between_chunks(&mut self, now: bool) {
        let due = self.uncommitted >= COMMIT_BLOCKS_MAX
            || self.uncommitted > 0 && self.since.elapsed() >= COMMIT_AFTER;
        if self.mid_chunk || !(now || due) {
            return;
        }
        // A failed commit is reported by the next flush, which tries again; blocks stay queued in
        // the store's own unsealed segment meanwhile.
        let _ = self.commit();
    }

    fn commit(&mut self) -> Result<(), SpillError> {
        if std::mem::take(&mut self.mid_chunk) {
            // The chunk never ended: its progress is known, its window is not.
            self.held_points.clear();
        }
        for (source, progress) in self.held_progress.drain(..) {
            self.store
                .set_progress(source, progress)
                .map_err(|e| SpillError::Store(e.to_string()))?;
        }
        for (source, point) in self.held_points.drain(..) {
            let Some((_, name)) = self.names.iter().find(|(id, _)| *id == source) else { continue };
            self.store
                .set_session(name, source, &point.to_bytes())
                .map_err(|e| SpillError::Store(e.to_string()))?;
        }
        self.store_gist()?;
        let note = self.note.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((name, bytes)) = note {
            // Only a measurement: what is not kept is measured again.
            let _ = self.store.set_note(&name, &bytes);
        }
        self.store.commit().map_err(|e| SpillError::Store(e.to_string()))?;
        self.note_given_up();
        self.uncommitted = 0;
        Ok(())
    }

    /// Stores the gist that was kept last. One that is larger than a point may be is left out, and
    /// so is one that the day's budget has no room for: a later run folds stored beacons instead.
    fn store_gist(&mut self) -> Result<(), SpillError> {
        let may = self.today() == Today::All;
        let mut kept = self.gist.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(source) = kept.source.take() else { return Ok(()) };
        let name = self.names.iter().find(|(id, _)| *id == source).map(|(_, name)| name);
        let small = kept.bytes.len() <= Store::SESSION_BYTES_MAX;
        let Some(name) = name.filter(|_| may && small && !self.hole.contains(&source)) else {
            return Ok(());
        };
        let set = self.store.set_session(&gist_name(name), source, &kept.bytes);
        set.map_err(|e| SpillError::Store(e.to_string()))
    }

    fn flush(&mut self, seal: bool) -> Result<(), SpillError> {
        self.commit()?;
        if seal {
            self.store.seal().map_err(|e| SpillError::Store(e.to_string()))?;
        }
        Ok(())
    }
}
