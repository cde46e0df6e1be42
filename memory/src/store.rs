//! The one writer of a store.

mod active;
pub(crate) mod budget;
pub(crate) mod check;
mod commit;
pub(crate) mod compact;
pub(crate) mod forget;
pub(crate) mod load;
mod notes;
pub(crate) mod recover;
mod rewrite;
mod take_in;
mod unfinished;
mod wear;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
    sync::Arc,
};

use self::{
    active::{Active, WriteError},
    budget::GivenUp,
    forget::Forgotten,
};
use crate::{
    AppendError, BeaconInfo, BlockId, BlockInfo, BlockRecord, OpenError, Progress, Reader,
    RewriteError, SessionPoint, SourceError, SourceId, SourceState, StoreOptions,
    catalogue::{Catalogue, NewBlock, SessionRow, SourceRow, Wear},
    clock::now_ms,
    format::{
        record::{HEADER, encode_block, record_bytes},
        segment::NAME_BYTES_MAX,
    },
    index::tile::AddressTiles,
    options::WhenFull,
    pins,
    reader::session_checksum,
    shared::{Shared, SourceEntry},
    snapshot::{Entry, TailEntry},
    storage::{FileStorage, LockGuard, Storage},
};

/// What a block costs beside its record, in the catalogue and the index, at a guess from
/// above.
const OVERHEAD_BYTES: u64 = 1024;
/// Blocks whose recalls are counted.
const HITS_MAX: usize = 65_536;

/// Writes a store, and is the only one who does while it lives. Dropping it without
/// [`commit`](Self::commit) leaves what was appended since the last one unacknowledged: the next
/// writer does not find it.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    catalogue: Catalogue,
    reading: Catalogue,
    options: StoreOptions,
    /// The segment that is appended to.
    active: Option<Active>,
    /// Full segments that are sealed once a commit covers their blocks, and segments of earlier
    /// runs.
    closing: Vec<Active>,
    /// Blocks that the catalogue does not have yet.
    pending: Vec<NewBlock>,
    /// Source versions with news since the last commit.
    changed: BTreeSet<SourceId>,
    /// Source versions whose row changed otherwise (superseded).
    restated: BTreeSet<SourceId>,
    /// What the caller keeps by name, as far as the catalogue does not have it yet.
    notes: Vec<(String, Vec<u8>)>,
    /// No room is made by writing segments anew.
    spares: bool,
    /// Points of sessions that the catalogue does not have yet.
    sessions: Vec<(String, Option<SessionRow>)>,
    /// Source versions that were begun since opening.
    begun: BTreeSet<SourceId>,
    /// Blocks before this one are of earlier runs.
    earlier: BlockId,
    /// Newest version of each name.
    newest: BTreeMap<String, SourceId>,
    pins: BTreeSet<BlockId>,
    /// How often blocks were recalled since opening.
    hits: BTreeMap<BlockId, u32>,
    /// What blocks gave up for room.
    given_up: GivenUp,
    next_id: u64,
    next_source: u32,
    next_segment: u32,
    /// A segment was created since the folder was synced.
    created: bool,
    bytes: Bytes,
    buffer: Vec<u8>,
    latched: Option<String>,
    problems: Vec<String>,
    _lock: LockGuardBox,
}

/// Where the bytes went.
#[derive(Debug, Default)]
struct Bytes {
    /// Of segments and pages of the index.
    files: u64,
    /// Of the catalogue, at the last commit.
    catalogue: u64,
    /// Of pending rows, at a guess.
    pending: u64,
    /// Written to segments and pages of the index since opening.
    written: u64,
    /// Of what the catalogue wrote, what is counted in `wear`.
    of_catalogue: u64,
    /// All of it on the latest day, earlier writers included.
    wear: Wear,
    /// As the catalogue has it.
    wear_saved: Wear,
}

struct LockGuardBox(#[expect(dead_code, reason = "held, not used")] LockGuard);

impl std::fmt::Debug for LockGuardBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lock")
    }
}

impl Store {
    /// Most bytes of a session's point.
    pub const SESSION_BYTES_MAX: usize = 1 << 20;

    /// Opens the store in a folder as its one writer, or makes it. What an earlier writer left
    /// unacknowledged is cut off; what it left half done is finished.
    ///
    /// # Errors
    /// [`OpenError`]; nothing is changed then.
    pub fn open(dir: &Path, options: &StoreOptions) -> Result<Self, OpenError> {
        Self::open_in(Arc::new(FileStorage::new(dir)), options)
    }

    /// As [`open`](Self::open), on any storage.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_in(storage: Arc<dyn Storage>, options: &StoreOptions) -> Result<Self, OpenError> {
        load::open_writer(storage, options)
    }

    /// A reader of what this store has, committed or not (text search: committed).
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared), self.reading.clone())
    }

    /// What was found wrong when the store was opened, for people.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Bytes that the store takes on disk now, as the budget counts them.
    #[must_use]
    pub const fn disk_bytes(&self) -> u64 {
        self.bytes.files + self.bytes.catalogue + self.bytes.pending
    }

    /// The newest version of a source, to be absorbed from where an earlier run stopped; a new one
    /// when the name is new. Open segments of other sources are sealed at the next commit.
    ///
    /// Blocks that an earlier run stored beyond the progress that it acknowledged are removed the
    /// first time (and what was appended before is committed then): their text is to be given
    /// again, and would be there twice.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn begin_source(&mut self, name: &str) -> Result<SourceState, SourceError> {
        self.check_name(name)?;
        let id = match self.newest.get(name) {
            Some(id) => *id,
            None => self.add_source(name, 1),
        };
        if self.entry(id)?.row().superseded {
            // It was imported so; now it goes on.
            self.update_source(id, |row| row.superseded = false);
            self.restated.insert(id);
        }
        self.drop_behind(id).map_err(|e| SourceError::Unfinished(Box::new(e)))?;
        self.close_others(id);
        self.source_state(id)
    }

    /// A new version of a source, from its beginning; the version before is kept as superseded. For
    /// a name that is new, its first version.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn new_version(&mut self, name: &str) -> Result<SourceState, SourceError> {
        self.check_name(name)?;
        let version = match self.newest.get(name) {
            Some(old) => self.entry(*old)?.row().version + 1,
            None => 1,
        };
        let id = self.put_version(name, version)?;
        self.source_state(id)
    }

    /// A version of a source that is newer than those there are.
    pub(crate) fn put_version(
        &mut self,
        name: &str,
        version: u32,
    ) -> Result<SourceId, SourceError> {
        self.check_name(name)?;
        if let Some(old) = self.newest.get(name).copied() {
            self.supersede(old);
        }
        let id = self.add_source(name, version);
        self.changed.insert(id);
        self.close_others(id);
        Ok(id)
    }

    /// A newer version stands in place of this one, here or where it came from.
    pub(crate) fn supersede(&mut self, id: SourceId) {
        self.update_source(id, |row| row.superseded = true);
        self.restated.insert(id);
    }

    fn check_name(&self, name: &str) -> Result<(), SourceError> {
        if let Some(after) = &self.latched {
            return Err(SourceError::Latched { after: after.clone() });
        }
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(SourceError::Name { bytes: name.len(), max: NAME_BYTES_MAX });
        }
        Ok(())
    }

    fn add_source(&mut self, name: &str, version: u32) -> SourceId {
        let id = SourceId(self.next_source);
        self.next_source += 1;
        self.newest.insert(name.to_owned(), id);
        let row = SourceRow {
            id,
            name: name.to_owned(),
            version,
            superseded: false,
            progress: Progress::default(),
            ordinal_end: 0,
        };
        self.put_source(row);
        id
    }

    fn put_source(&self, row: SourceRow) {
        self.shared.publish(|s| {
            let mut sources = s.sources().as_ref().clone();
            sources.insert(row.id, Arc::new(SourceEntry::new(row)));
            s.set_sources(Arc::new(sources));
        });
    }

    fn update_source(&self, id: SourceId, change: impl FnOnce(&mut SourceRow)) {
        let snapshot = self.shared.snapshot();
        if let Some(entry) = snapshot.sources().get(&id) {
            let mut row = entry.row().clone();
            row.ordinal_end = entry.ordinal_end();
            drop(snapshot);
            change(&mut row);
            self.put_source(row);
        }
    }

    fn entry(&self, id: SourceId) -> Result<Arc<SourceEntry>, SourceError> {
        let snapshot = self.shared.snapshot();
        snapshot.sources().get(&id).cloned().ok_or(SourceError::Unknown { id })
    }

    fn source_state(&self, id: SourceId) -> Result<SourceState, SourceError> {
        let entry = self.entry(id)?;
        let row = entry.row();
        Ok(SourceState {
            id,
            version: row.version,
            absorbed_bytes: row.progress.absorbed_bytes,
            absorbed_lines: row.progress.absorbed_lines,
            blocks: entry.ordinal_end(),
            prefix_hash: row.progress.prefix_hash,
            complete: row.progress.complete,
        })
    }

    /// The active segment of another source is to be sealed.
    fn close_others(&mut self, source: SourceId) {
        if let Some(active) = self.active.take_if(|a| a.source() != source) {
            self.closing.push(active);
        }
        for earlier in self.closing.iter_mut().filter(|a| a.source() != source) {
            earlier.resumable = false;
        }
    }

    /// Says how far a source was absorbed. It becomes durable, and visible, with the blocks that it
    /// covers, at the next [`commit`](Self::commit).
    ///
    /// # Errors
    /// [`SourceError::Unknown`], [`SourceError::Latched`], [`SourceError::Progress`].
    pub fn set_progress(
        &mut self,
        source: SourceId,
        progress: Progress,
    ) -> Result<(), SourceError> {
        if let Some(after) = &self.latched {
            return Err(SourceError::Latched { after: after.clone() });
        }
        check::progress(&progress)?;
        self.entry(source)?;
        self.update_source(source, |row| row.progress = progress);
        self.changed.insert(source);
        Ok(())
    }

    /// Says where a session is to go on after a restart: small, opaque bytes, which replace those
    /// of the same name. They become durable with the blocks that were appended before, at the next
    /// [`commit`](Self::commit), in the same transaction of the catalogue.
    ///
    /// # Errors
    /// [`SourceError`]: too many bytes, no such source, a name that is none, or the store stopped.
    pub fn set_session(
        &mut self,
        name: &str,
        source: SourceId,
        state: &[u8],
    ) -> Result<(), SourceError> {
        self.check_name(name)?;
        if state.len() > Self::SESSION_BYTES_MAX {
            let (bytes, max) = (state.len(), Self::SESSION_BYTES_MAX);
            return Err(SourceError::SessionBytes { bytes, max });
        }
        let point = SessionPoint {
            name: name.to_owned(),
            time_unix_ms: now_ms(),
            source,
            blocks: self.entry(source)?.ordinal_end(),
            state: state.to_vec(),
        };
        let checksum = session_checksum(&point);
        self.stage_session(name, Some(SessionRow { point, checksum }));
        Ok(())
    }

    /// Forgets where a session is to go on, at the next [`commit`](Self::commit).
    ///
    /// # Errors
    /// [`SourceError`]: a name that is none, or the store stopped.
    pub fn drop_session(&mut self, name: &str) -> Result<(), SourceError> {
        self.check_name(name)?;
        self.stage_session(name, None);
        Ok(())
    }

    fn stage_session(&mut self, name: &str, row: Option<SessionRow>) {
        self.sessions.retain(|(n, _)| n != name);
        self.sessions.push((name.to_owned(), row));
    }

    /// Appends a block. Readers of this process see it at once (its text: after the commit); it is
    /// durable after [`commit`](Self::commit).
    ///
    /// # Errors
    /// [`AppendError`]. Whatever the error, no part of the block stays.
    pub fn append(&mut self, record: &BlockRecord<'_>) -> Result<BlockId, AppendError> {
        if let Some(after) = &self.latched {
            return Err(AppendError::Latched { after: after.clone() });
        }
        let entry = self.check(record)?;
        let record_bytes = record_bytes(record);
        self.check_budget(record_bytes, record)?;
        let info = BlockInfo {
            id: BlockId(self.next_id),
            source: record.source,
            ordinal: entry.ordinal_end(),
            span: record.span,
            time_unix_ms: record.time_unix_ms,
            tokens: record.tokens.len() as u16,
            surprise_nats: record.surprise_nats,
            starts_mid_line: record.starts_mid_line,
            ends_mid_line: record.ends_mid_line,
            kv: (!record.payload.is_empty()).then_some(record.dtype),
            kv_bytes: record.payload.len() as u32,
            beacons: record.beacons.map(|b| BeaconInfo {
                ratio: b.ratio,
                count: b.count,
                dtype: b.dtype,
                bytes: b.payload.len() as u32,
            }),
        };
        let (segment, offset) = self.write_block(&entry, info, record, record_bytes)?;
        self.next_id += 1;
        entry.set_ordinal_end(info.ordinal + 1);
        self.changed.insert(record.source);
        let dim = usize::from(self.options.address.dim);
        let address = AddressTiles::new(record.address, dim);
        let row = Entry { info, segment, offset, bytes: record_bytes };
        self.shared.publish_block(TailEntry { entry: row, address });
        let text = String::from_utf8_lossy(record.text).into_owned();
        self.bytes.pending += OVERHEAD_BYTES + 2 * text.len() as u64;
        self.pending.push(NewBlock { row, text });
        Ok(info.id)
    }

    fn check(&self, r: &BlockRecord<'_>) -> Result<Arc<SourceEntry>, AppendError> {
        let unknown = |_| AppendError::UnknownSource { source_id: r.source };
        let entry = self.entry(r.source).map_err(unknown)?;
        check::record(r, self.options.geometry, self.options.address)?;
        Ok(entry)
    }

    fn check_budget(&mut self, record: u64, r: &BlockRecord<'_>) -> Result<(), AppendError> {
        let Some(max) = self.options.disk_bytes_max else { return Ok(()) };
        let used = self.disk_bytes();
        let address = r.address.encoded_bytes() as u64 * 2;
        let needed = record + address + OVERHEAD_BYTES + 2 * r.text.len() as u64;
        if used.saturating_add(needed) <= max {
            return Ok(());
        }
        if self.options.when_full == WhenFull::GiveUp && !self.spares {
            self.make_room(needed).map_err(|e| self.no_room(e))?;
        }
        let used = self.disk_bytes();
        if used.saturating_add(needed) > max {
            return Err(AppendError::BudgetFull { used, max, needed });
        }
        Ok(())
    }

    /// What an append says when room could not be made.
    fn no_room(&self, e: RewriteError) -> AppendError {
        let path = self.shared.storage.root();
        match e {
            RewriteError::Latched { after } => AppendError::Latched { after },
            RewriteError::DiskFull { path } => {
                AppendError::DiskFull { path, source: io::ErrorKind::StorageFull.into() }
            }
            RewriteError::Io { path, source } => AppendError::Io { path, source },
            RewriteError::Commit(_) | RewriteError::Read(_) | RewriteError::Catalogue(_) => {
                AppendError::Io { path, source: io::Error::other(e.to_string()) }
            }
        }
    }

    /// Pins blocks, or lets go of them: pinned blocks give nothing up for room. Durable at once.
    /// Ids of blocks that there are not are passed over.
    ///
    /// # Errors
    /// [`SourceError::Latched`], [`SourceError::Io`].
    pub fn pin(&mut self, ids: &[BlockId], pinned: bool) -> Result<(), SourceError> {
        if let Some(after) = &self.latched {
            return Err(SourceError::Latched { after: after.clone() });
        }
        let snapshot = self.shared.snapshot();
        let mut pins = self.pins.clone();
        for id in ids.iter().filter(|id| snapshot.get(**id).is_some()) {
            if pinned {
                pins.insert(*id)
            } else {
                pins.remove(id)
            };
        }
        self.save_pins(pins)
    }

    fn save_pins(&mut self, pins: BTreeSet<BlockId>) -> Result<(), SourceError> {
        if pins == self.pins {
            return Ok(());
        }
        let storage = &*self.shared.storage;
        pins::save(storage, self.shared.identity.store, &pins)
            .map_err(|source| SourceError::Io { path: storage.root().join(pins::FILE), source })?;
        self.pins = pins;
        Ok(())
    }

    /// Blocks that are pinned, by id.
    #[must_use]
    pub fn pins(&self) -> Vec<BlockId> {
        self.pins.iter().copied().collect()
    }

    fn is_pinned(&self, id: BlockId) -> bool {
        self.pins.contains(&id)
    }

    /// Says that blocks were recalled: the more often, the later they give anything up. Kept while
    /// the store is open.
    pub fn note_recalled(&mut self, ids: &[BlockId]) {
        for id in ids {
            if self.hits.len() < HITS_MAX || self.hits.contains_key(id) {
                let n = self.hits.entry(*id).or_default();
                *n = n.saturating_add(1);
            }
        }
    }

    /// Writes the record and says where it lies.
    fn write_block(
        &mut self,
        entry: &SourceEntry,
        info: BlockInfo,
        record: &BlockRecord<'_>,
        record_bytes: u64,
    ) -> Result<(u32, u64), AppendError> {
        self.close_others(record.source);
        let max = self.options.segment_bytes_max;
        if let Some(full) = self.active.take_if(|a| a.is_full(record_bytes, max)) {
            self.closing.push(full);
        }
        self.ensure_active(entry.row()).map_err(append_error)?;
        let Some(active) = &mut self.active else {
            unreachable!("a segment was opened just above")
        };
        let seat = active.seat();
        let mut buffer = std::mem::take(&mut self.buffer);
        encode_block(&mut buffer, seat, info, record, self.options.address.dim);
        debug_assert_eq!(buffer.len() as u64, record_bytes, "length computed beforehand");
        let written = active.append(&buffer);
        self.buffer = buffer;
        let number = active.number();
        match written {
            Ok(bytes) => {
                active.blocks.push((info.id, seat.offset));
                self.count(bytes);
                Ok((number, seat.offset))
            }
            Err(e) => Err(append_error(self.latch(e))),
        }
    }

    /// Opens or creates the segment that blocks of a source go to.
    fn ensure_active(&mut self, source: &SourceRow) -> Result<(), WriteError> {
        if self.active.is_some() {
            return Ok(());
        }
        let max = self.options.segment_bytes_max;
        let earlier = |a: &Active| a.source() == source.id && !a.is_full(HEADER as u64, max);
        // The last segment of an earlier run goes on; one that was closed in this run is full.
        if let Some(at) = self.closing.iter().position(|a| a.resumable && earlier(a)) {
            let mut active = self.closing.swap_remove(at);
            active.resumable = false;
            self.active = Some(active);
            return Ok(());
        }
        let number = self.next_segment;
        let made = Active::create(&self.shared, number, source, now_ms());
        match made {
            Ok(active) => {
                self.next_segment += 1;
                self.created = true;
                self.count(active.bytes());
                self.shared.add_segment(Arc::clone(&active.segment), false);
                self.active = Some(active);
                Ok(())
            }
            Err(e) => Err(self.latch(e)),
        }
    }

    /// Refuses all later writes, unless nothing is wrong but a full disk.
    fn latch(&mut self, e: WriteError) -> WriteError {
        if let WriteError::Io { path, source } = &e {
            self.latched = Some(format!("{}: {source}", path.display()));
        }
        e
    }
}

fn append_error(e: WriteError) -> AppendError {
    match e {
        WriteError::Full { path, source } => AppendError::DiskFull { path, source },
        WriteError::Io { path, source } => AppendError::Io { path, source },
    }
}
