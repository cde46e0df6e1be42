//! Reading: blocks by id, by address and by text, on a snapshot that no writer disturbs.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use serde::{Deserialize, Serialize};

use crate::{
    AddressLayout, AddressQuery, BeaconInfo, BlockAddress, BlockId, BlockInfo, Filter, KvDtype,
    OpenError, ReadError, SessionPoint, SourceId, SourceInfo, StoreOptions,
    catalogue::{
        Catalogue, Quarantined,
        query::{self, Ranking},
    },
    clock::today,
    error::CatalogueError,
    format::record::BlockHeader,
    identity,
    index::{self, Pass, kernel::Kernel},
    options::Sieve,
    segment::{BlockAt, PieceError, Segment, file_name, split_body},
    shared::Shared,
    snapshot::{Entry, Snapshot},
    storage::FileStorage,
    store::load,
};

/// A block found by its address.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AddressHit {
    /// The block.
    pub id: BlockId,
    /// Its score, by the definition in [`crate::address`]; larger is better.
    pub score: f32,
}

/// A block found by its text.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextHit {
    /// The block.
    pub id: BlockId,
    /// BM25 as SQLite's FTS5 computes it, sign turned: larger is better.
    pub score: f32,
}

/// Sizes and counts of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStats {
    /// Blocks published.
    pub blocks: u64,
    /// Of these, blocks with keys and values.
    pub kv_blocks: u64,
    /// Of these, blocks with beacons.
    pub beacon_blocks: u64,
    /// Tokens of the published blocks.
    pub tokens: u64,
    /// Source versions.
    pub sources: u64,
    /// Segment files.
    pub segments: u64,
    /// Segment files that are mapped now.
    pub mapped_segments: u64,
    /// Bytes of the segment files.
    pub segment_bytes: u64,
    /// Bytes of the catalogue with its log.
    pub catalogue_bytes: u64,
    /// Bytes of keys and values of the published blocks.
    pub kv_bytes: u64,
    /// Bytes of keys and values of their beacons.
    pub beacon_bytes: u64,
    /// Bytes of the address index: its pages, which are mapped, and blocks that are in none yet.
    pub index_bytes: u64,
    /// Of these, bytes of mapped pages that count as resident in this process now.
    pub index_resident_bytes: u64,
    /// Blocks that are damaged and not served.
    pub quarantined: u64,
    /// Bytes written to segments, pages of the index and the catalogue today (UTC), as far as
    /// committed.
    pub written_today_bytes: u64,
}

/// Reads a store. Clones are cheap and may be used on any thread; they share one connection for
/// text search.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(crate) shared: Arc<Shared>,
    pub(crate) catalogue: Catalogue,
    kernel: Kernel,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>, catalogue: Catalogue) -> Self {
        Self { shared, catalogue, kernel: Kernel::detect() }
    }

    /// Names of the search kernels that this processor has, slowest first. For measuring.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn kernels() -> Vec<&'static str> {
        Kernel::all().into_iter().map(Kernel::name).collect()
    }

    /// The same reader with a search kernel of [`kernels`](Self::kernels). For measuring.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn with_kernel(&self, name: &str) -> Option<Self> {
        let kernel = Kernel::all().into_iter().find(|k| k.name() == name)?;
        Some(Self { kernel, ..self.clone() })
    }

    /// Name of the search kernel in use, for reports.
    #[must_use]
    pub fn kernel(&self) -> &'static str {
        self.kernel.name()
    }

    /// Opens a store without the writer's lock: any number at once, also while a writer of
    /// another process appends. It sees what was committed; [`refresh`](Self::refresh) shows what
    /// was committed since.
    ///
    /// # Errors
    /// [`OpenError`]; a store that does not exist is not made.
    pub fn open(dir: &Path, options: &StoreOptions) -> Result<Self, OpenError> {
        load::open_reader(Arc::new(FileStorage::new(dir)), options)
    }

    /// Takes in what another process committed since. Needless for a reader that a
    /// [`Store`](crate::Store) of this process gave.
    ///
    /// # Errors
    /// [`OpenError`], when the catalogue or a new segment cannot be read.
    pub fn refresh(&self) -> Result<(), OpenError> {
        load::refresh(&self.shared, &self.catalogue)
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.snapshot()
    }

    fn entry(&self, id: BlockId) -> Result<Entry, ReadError> {
        if let Some(entry) = self.snapshot().get(id) {
            return Ok(entry);
        }
        match self.shared.quarantined(id) {
            Some(reason) => Err(ReadError::Quarantined { id, reason }),
            None => Err(ReadError::UnknownBlock { id }),
        }
    }

    /// The shape of the store's addresses.
    #[must_use]
    pub fn address_layout(&self) -> AddressLayout {
        self.shared.identity.address
    }

    /// Blocks published.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.snapshot().len()
    }

    /// What is known of a block.
    ///
    /// # Errors
    /// [`ReadError::UnknownBlock`], [`ReadError::Quarantined`].
    pub fn block(&self, id: BlockId) -> Result<BlockInfo, ReadError> {
        Ok(self.entry(id)?.info)
    }

    /// Puts the encoded keys and values of a block into `out` (replaced) and says how they are
    /// encoded. They are copied out of the map and checked; nothing is allocated when `out` has
    /// room for them and 64 bytes more.
    ///
    /// # Errors
    /// [`ReadError`]; a damaged block is quarantined and not given.
    pub fn payload(&self, id: BlockId, out: &mut Vec<u8>) -> Result<KvDtype, ReadError> {
        let dtype = self.read(id, |entry, segment, block| {
            if entry.info.kv.is_some() {
                segment.payload(entry.offset, block, out)?;
            }
            Ok(entry.info.kv)
        })?;
        dtype.ok_or(ReadError::NoKv { id })
    }

    /// Puts the encoded keys and values of a block's beacons into `out` (replaced) and says what
    /// they are.
    ///
    /// # Errors
    /// [`ReadError::NoBeacons`], and as of [`payload`](Self::payload).
    pub fn beacons(&self, id: BlockId, out: &mut Vec<u8>) -> Result<BeaconInfo, ReadError> {
        let beacons = self.read(id, |entry, segment, block| {
            if entry.info.beacons.is_some() {
                segment.beacons(entry.offset, block, out)?;
            }
            Ok(entry.info.beacons)
        })?;
        beacons.ok_or(ReadError::NoBeacons { id })
    }

    /// Where a session goes on, as it was last committed; `None` when it has no point.
    ///
    /// # Errors
    /// [`ReadError::SessionDamaged`] when its bytes are not what was written, and
    /// [`ReadError::Catalogue`].
    pub fn session(&self, name: &str) -> Result<Option<SessionPoint>, ReadError> {
        let row = self.catalogue.view(|view| view.session(name))?;
        match row {
            Some(row) if session_checksum(&row.point) != row.checksum => {
                Err(ReadError::SessionDamaged { name: name.to_owned() })
            }
            row => Ok(row.map(|r| r.point)),
        }
    }

    /// What [`Store::set_note`](crate::Store::set_note) keeps under a name, as far as committed.
    ///
    /// # Errors
    /// [`ReadError::Catalogue`].
    pub fn note(&self, name: &str) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.catalogue.view(|view| view.note(name))?)
    }

    /// All notes whose names begin so, by name, as far as committed.
    ///
    /// # Errors
    /// [`ReadError::Catalogue`].
    pub fn notes(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, ReadError> {
        Ok(self.catalogue.view(|view| view.notes(prefix))?)
    }

    /// Names of all sessions that have a point, sorted.
    ///
    /// # Errors
    /// [`ReadError::Catalogue`].
    pub fn sessions(&self) -> Result<Vec<String>, ReadError> {
        Ok(self.catalogue.view(|view| view.session_names())?)
    }

    /// The text of a block, as bytes.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn text(&self, id: BlockId) -> Result<Vec<u8>, ReadError> {
        self.read(id, |entry, segment, block| {
            let mut body = Vec::new();
            segment.body(entry.offset, block, &mut body)?;
            let parts = split_body(block, &body).ok_or(PieceError::Corrupt("body length"))?;
            Ok(parts.text.to_vec())
        })
    }

    /// Puts the token ids of a block into `out` (replaced).
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn tokens(&self, id: BlockId, out: &mut Vec<u32>) -> Result<(), ReadError> {
        self.read(id, |entry, segment, block| {
            let mut body = Vec::new();
            segment.body(entry.offset, block, &mut body)?;
            let parts = split_body(block, &body).ok_or(PieceError::Corrupt("body length"))?;
            out.clear();
            out.extend(parts.tokens.chunks_exact(4).map(|t| crate::format::u32_at(t, 0)));
            Ok(())
        })
    }

    /// The address of a block; empty when it has none.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn address(&self, id: BlockId) -> Result<BlockAddress, ReadError> {
        let dim = usize::from(self.shared.identity.address.dim);
        self.entry(id)?;
        let snapshot = self.snapshot();
        Ok(snapshot.with_address(id, |a| a.to_address(dim)).unwrap_or_default())
    }

    /// Reads a piece of a block after its header was checked against what is known of it. A block
    /// that was written elsewhere meanwhile (the store was made smaller) is read there.
    fn read<T>(
        &self,
        id: BlockId,
        mut piece: impl FnMut(&Entry, &Segment, &BlockHeader) -> Result<T, PieceError>,
    ) -> Result<T, ReadError> {
        let mut entry = self.entry(id)?;
        loop {
            let at = BlockAt { id, offset: entry.offset };
            let mut read = || {
                let segment = self.shared.segment(entry.segment)?;
                let block = segment.block(at)?;
                if block.info != entry.info {
                    return Err(PieceError::Corrupt("header differs from the catalogue"));
                }
                piece(&entry, &segment, &block)
            };
            let e = match read() {
                Ok(found) => return Ok(found),
                Err(e) => e,
            };
            entry = self.moved(&entry)?.ok_or_else(|| self.failed(&entry, e))?;
        }
    }

    /// Where a block is now, when that is elsewhere.
    fn moved(&self, entry: &Entry) -> Result<Option<Entry>, ReadError> {
        if !self.shared.is_writers.load(Ordering::Relaxed) {
            // When it cannot be refreshed, what was found wrong is the better message.
            let _ = self.refresh();
        }
        let now = self.entry(entry.info.id)?;
        Ok((now != *entry).then_some(now))
    }

    fn failed(&self, entry: &Entry, e: PieceError) -> ReadError {
        let (id, segment, offset) = (entry.info.id, entry.segment, entry.offset);
        match e {
            PieceError::Io(source) => {
                ReadError::Io { path: self.shared.storage.root().join(file_name(segment)), source }
            }
            PieceError::Corrupt(what) => {
                let reason = what.to_owned();
                self.shared.quarantine(Quarantined { id, segment, offset, reason }, false);
                ReadError::Corrupt { id, what, segment, offset }
            }
        }
    }

    /// All blocks of a source version, in the order of the source.
    #[must_use]
    pub fn blocks_of(&self, source: SourceId) -> Vec<BlockId> {
        let snapshot = self.snapshot();
        snapshot.iter().filter(|e| e.info.source == source).map(|e| e.info.id).collect()
    }

    /// The last block of a source version that is served.
    ///
    /// # Errors
    /// [`ReadError::Catalogue`] when SQLite fails.
    pub fn last_block(&self, source: SourceId) -> Result<Option<BlockId>, ReadError> {
        let snapshot = self.snapshot();
        let of_source = |e: &Entry| e.info.source == source;
        let newest = snapshot.tail().rev().map(|e| e.entry).find(of_source);
        if let Some(entry) = newest {
            return Ok(Some(entry.info.id));
        }
        let id = self.catalogue.view(|view| view.last_block(source))?;
        let Some(id) = id.filter(|id| snapshot.get(*id).is_none()) else { return Ok(id) };
        // The catalogue is ahead of what this reader has taken in, or behind it.
        let older = snapshot.before(id).find(of_source);
        Ok(older.map(|e| e.info.id))
    }

    /// The block before (`-1`) or after (`+1`) a block in its source, or further away; `None` where
    /// the source ends, or when that block is not served.
    #[must_use]
    pub fn neighbour(&self, id: BlockId, distance: i32) -> Option<BlockId> {
        let snapshot = self.snapshot();
        let here = snapshot.get(id)?.info;
        let ordinal = here.ordinal.checked_add_signed(distance)?;
        let same = |e: &Entry| e.info.source == here.source;
        // Ids rise with ordinals within a source.
        let found = if distance >= 0 {
            let mut later = snapshot.after(id).filter(same);
            if distance == 0 {
                return Some(id);
            }
            later.find(|e| e.info.ordinal >= ordinal)
        } else {
            snapshot.before(id).filter(same).find(|e| e.info.ordinal <= ordinal)
        };
        found.filter(|e| e.info.ordinal == ordinal).map(|e| e.info.id)
    }

    /// What is known of a source version.
    ///
    /// # Errors
    /// [`ReadError::UnknownSource`].
    pub fn source(&self, id: SourceId) -> Result<SourceInfo, ReadError> {
        let snapshot = self.snapshot();
        let entry = snapshot.sources().get(&id).ok_or(ReadError::UnknownSource { id })?;
        Ok(entry.info())
    }

    /// All source versions, by id.
    #[must_use]
    pub fn sources(&self) -> Vec<SourceInfo> {
        self.snapshot().sources().values().map(|s| s.info()).collect()
    }

    /// The `k` blocks that score best for a query (late interaction, [`crate::address`]), best
    /// first.
    ///
    /// # Errors
    /// [`ReadError::Query`] when the query does not fit the store's layout.
    pub fn search_address(
        &self,
        query: &AddressQuery,
        k: usize,
        filter: &Filter<'_>,
    ) -> Result<Vec<AddressHit>, ReadError> {
        self.search(query, k, filter, Pass::Sampled)
    }

    /// As [`search_address`](Self::search_address), without the sampling pass by which large stores
    /// are searched faster: every block is scored with the whole query. To measure with.
    ///
    /// # Errors
    /// [`ReadError::Query`].
    pub fn search_address_full(
        &self,
        query: &AddressQuery,
        k: usize,
        filter: &Filter<'_>,
    ) -> Result<Vec<AddressHit>, ReadError> {
        self.search(query, k, filter, Pass::Full)
    }

    fn search(
        &self,
        query: &AddressQuery,
        k: usize,
        filter: &Filter<'_>,
        pass: Pass,
    ) -> Result<Vec<AddressHit>, ReadError> {
        query.check(self.shared.identity.address)?;
        let snapshot = self.snapshot();
        let sieve = sieve(&snapshot, filter);
        let keep = |e: &Entry| sieve.keeps(&e.info);
        let keep: index::Keep<'_> = if sieve.keeps_all() { None } else { Some(&keep) };
        Ok(index::search(&snapshot, query, k, (self.kernel, pass), keep))
    }

    /// Lets go of what is only held to be quicker next time: mapped pages of the index, and pages
    /// of the catalogue. Nothing is lost by it but the time to map and read them again.
    ///
    /// # Errors
    /// [`ReadError::Catalogue`] when SQLite fails.
    pub fn let_go(&self) -> Result<(), ReadError> {
        self.snapshot().let_go();
        Ok(self.catalogue.let_go()?)
    }

    /// The `k` committed blocks whose text matches best (BM25), best first. `text` is what a person
    /// typed: its words are searched for, any of them, without the words of the question itself;
    /// punctuation within a word makes a phrase. No text is an error.
    ///
    /// A store of up to 2,048 blocks is ranked as a whole, exactly as SQLite does, and so is a
    /// larger one where the words together are in no more than 4,096 blocks. Where they are in
    /// more, the rarest words, as far as they are in no more, are ranked so, and every other one
    /// counts for a block that has it what BM25 gives for a word that stands once in a block of
    /// average length. Words of more than half of all blocks count nothing.
    ///
    /// # Errors
    /// [`ReadError::Catalogue`] when SQLite fails.
    pub fn search_text(
        &self,
        text: &str,
        k: usize,
        filter: &Filter<'_>,
    ) -> Result<Vec<TextHit>, ReadError> {
        self.text_ranked(text, k, filter, query::ranked_max)
    }

    /// As [`search_text`](Self::search_text), with every block ranked that has any word of the
    /// text, however large the store is. To measure with.
    ///
    /// # Errors
    /// [`ReadError::Catalogue`] when SQLite fails.
    pub fn search_text_full(
        &self,
        text: &str,
        k: usize,
        filter: &Filter<'_>,
    ) -> Result<Vec<TextHit>, ReadError> {
        self.text_ranked(text, k, filter, |_| usize::MAX)
    }

    /// `ranked_max`: blocks whose whole BM25 may be computed, of so many.
    fn text_ranked(
        &self,
        text: &str,
        k: usize,
        filter: &Filter<'_>,
        ranked_max: fn(usize) -> usize,
    ) -> Result<Vec<TextHit>, ReadError> {
        let snapshot = self.snapshot();
        let sieve = sieve(&snapshot, filter);
        let keep = |id| snapshot.get(id).is_some_and(|e| sieve.keeps(&e.info));
        let blocks = snapshot.len();
        let ranking = Ranking { blocks, ranked_max: ranked_max(blocks) };
        Ok(self.catalogue.with(|conn| query::search(conn, text, k, ranking, keep))?)
    }

    /// Both searches at once, each on its own thread.
    ///
    /// # Errors
    /// As of [`search_address`](Self::search_address) and [`search_text`](Self::search_text).
    pub fn search_both(
        &self,
        query: &AddressQuery,
        text: &str,
        k: usize,
        filter: &Filter<'_>,
    ) -> Result<(Vec<AddressHit>, Vec<TextHit>), ReadError> {
        std::thread::scope(|scope| {
            let by_text = scope.spawn(|| self.search_text(text, k, filter));
            let by_address = self.search_address(query, k, filter)?;
            match by_text.join() {
                Ok(by_text) => Ok((by_address, by_text?)),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Sizes and counts now.
    ///
    /// # Errors
    /// [`ReadError::Io`] when a segment's length cannot be read.
    pub fn stats(&self) -> Result<StoreStats, ReadError> {
        let snapshot = self.snapshot();
        let (segments, mapped) = self.shared.segment_counts();
        let mut stats = StoreStats {
            blocks: snapshot.len() as u64,
            sources: snapshot.sources().len() as u64,
            segments: segments as u64,
            mapped_segments: mapped as u64,
            catalogue_bytes: self.catalogue.bytes(),
            quarantined: self.shared.quarantined_blocks() as u64,
            written_today_bytes: self.catalogue.view(|view| view.wear())?.at(today()).bytes,
            index_bytes: snapshot.pages().iter().map(|p| p.bytes()).sum(),
            ..StoreStats::default()
        };
        for entry in snapshot.iter() {
            stats.kv_blocks += u64::from(entry.info.kv.is_some());
            stats.tokens += u64::from(entry.info.tokens);
            stats.kv_bytes += u64::from(entry.info.kv_bytes);
            stats.beacon_blocks += u64::from(entry.info.beacons.is_some());
            stats.beacon_bytes += entry.info.beacons.map_or(0, |b| u64::from(b.bytes));
        }
        stats.index_resident_bytes = self.shared.gauge.held();
        let tail = snapshot.tail().filter_map(|e| e.address.as_ref());
        stats.index_bytes += tail.map(|a| a.bytes() as u64).sum::<u64>();
        for number in self.shared.segment_numbers() {
            let name = file_name(number);
            let size = self.shared.storage.size(&name);
            stats.segment_bytes += size.map_err(|source| ReadError::Io {
                path: self.shared.storage.root().join(name),
                source,
            })?;
        }
        Ok(stats)
    }
}

/// Ties a session's bytes to all that its row says.
pub(crate) fn session_checksum(point: &SessionPoint) -> u64 {
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    hash.update(point.name.as_bytes());
    hash.update(&point.time_unix_ms.to_le_bytes());
    hash.update(&point.source.0.to_le_bytes());
    hash.update(&point.blocks.to_le_bytes());
    hash.update(&point.state);
    hash.digest()
}

fn sieve(snapshot: &Snapshot, filter: &Filter<'_>) -> Sieve {
    let old = snapshot.sources().values().filter(|s| s.row().superseded);
    Sieve::new(filter, old.map(|s| s.row().id), snapshot.iter().map(|e| e.info))
}

pub(crate) fn catalogue_error(
    storage: &dyn crate::storage::Storage,
    source: CatalogueError,
) -> OpenError {
    OpenError::Catalogue { path: storage.root(), source }
}

pub(crate) fn check_identity(
    storage: &dyn crate::storage::Storage,
    found: &crate::format::segment::Identity,
    options: &StoreOptions,
) -> Result<(), OpenError> {
    identity::check(storage.root(), found, &options.identity(found.store))
}
