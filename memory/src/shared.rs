//! What the writer and its readers share.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use crate::{
    BlockId, MapChoice, SourceInfo, StoreOptions, SyncPolicy,
    catalogue::{Quarantined, SourceRow},
    format::segment::Identity,
    index::gauge::Gauge,
    segment::{PieceError, Segment},
    snapshot::{Snapshot, TailEntry},
    storage::Storage,
    sync::{held, read, write},
};

/// A source version and how many blocks it has been given.
#[derive(Debug)]
pub(crate) struct SourceEntry {
    row: SourceRow,
    ordinal_end: AtomicU32,
}

impl SourceEntry {
    pub(crate) fn new(row: SourceRow) -> Self {
        let ordinal_end = AtomicU32::new(row.ordinal_end);
        Self { row, ordinal_end }
    }

    pub(crate) fn row(&self) -> &SourceRow {
        &self.row
    }

    /// Blocks appended so far.
    pub(crate) fn ordinal_end(&self) -> u32 {
        self.ordinal_end.load(Ordering::Acquire)
    }

    pub(crate) fn set_ordinal_end(&self, n: u32) {
        self.ordinal_end.store(n, Ordering::Release);
    }

    pub(crate) fn info(&self) -> SourceInfo {
        SourceInfo {
            id: self.row.id,
            name: self.row.name.clone(),
            version: self.row.version,
            superseded: self.row.superseded,
            progress: self.row.progress,
            blocks: self.ordinal_end(),
        }
    }
}

/// Blocks that are not served.
#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    pub(crate) all: BTreeMap<BlockId, Quarantined>,
    /// Those that the catalogue does not know of yet.
    pub(crate) unsaved: BTreeSet<BlockId>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) storage: Arc<dyn Storage>,
    /// How much of the index is resident.
    pub(crate) gauge: Arc<Gauge>,
    pub(crate) identity: Identity,
    pub(crate) map: MapChoice,
    /// Blocks of a page of the index.
    pub(crate) page_blocks: usize,
    /// What is waited for when a page is written.
    pub(crate) sync: SyncPolicy,
    /// Number of the next page of the index.
    pub(crate) next_page: AtomicU32,
    /// How often anything but appending had changed the catalogue when it was last taken in.
    pub(crate) revision: AtomicU64,
    /// The writer is in this process: what is published is always the newest.
    pub(crate) is_writers: AtomicBool,
    snapshot: RwLock<Arc<Snapshot>>,
    segments: Mutex<Segments>,
    quarantine: Mutex<Quarantine>,
}

/// Most segments that are held open: each costs a file and a mapping, and opening one again costs
/// some ten microseconds. So few that their number is the same in a small store and a large one.
const OPEN_MAX: usize = 4;

/// Segments that are known, and those that are open.
#[derive(Debug, Default)]
struct Segments {
    /// Whether each is sealed.
    known: BTreeMap<u32, bool>,
    /// The one used last is the last.
    open: Vec<Arc<Segment>>,
}

impl Segments {
    fn put(&mut self, segment: Arc<Segment>) {
        self.open.retain(|s| s.number() != segment.number());
        if self.open.len() >= OPEN_MAX {
            self.open.remove(0);
        }
        self.open.push(segment);
    }
}

impl Shared {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        identity: Identity,
        options: &StoreOptions,
    ) -> Self {
        let gauge = Arc::new(Gauge::new(options.index_resident_max));
        let snapshot = Snapshot::new(identity.address, Arc::clone(&gauge));
        Self {
            storage,
            gauge,
            identity,
            map: options.map,
            sync: options.sync,
            page_blocks: options.page_blocks.clamp(1, StoreOptions::PAGE_BLOCKS_MAX),
            next_page: AtomicU32::new(1),
            revision: AtomicU64::new(0),
            is_writers: AtomicBool::new(false),
            snapshot: RwLock::new(Arc::new(snapshot)),
            segments: Mutex::default(),
            quarantine: Mutex::default(),
        }
    }

    /// What is published now. The lock is held for the copy of one pointer only.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&read(&self.snapshot))
    }

    /// Publishes a change. Those who hold the snapshot before keep it.
    pub(crate) fn publish(&self, change: impl FnOnce(&mut Snapshot)) {
        change(Arc::make_mut(&mut write(&self.snapshot)));
    }

    /// A segment, opened if need be and mapped when it is sealed.
    pub(crate) fn segment(&self, number: u32) -> Result<Arc<Segment>, PieceError> {
        let mut segments = held(&self.segments);
        let sealed = segments.known.get(&number).copied();
        let sealed = sealed.ok_or(PieceError::Corrupt("segment is missing"))?;
        let found = segments.open.iter().find(|s| s.number() == number).cloned();
        let segment = match found {
            Some(found) => found,
            None => match Segment::open(&*self.storage, number, &self.identity, false) {
                Err(PieceError::Io(e)) if e.kind() == std::io::ErrorKind::NotFound => {
                    return Err(PieceError::Corrupt("segment is missing"));
                }
                opened => Arc::new(opened?),
            },
        };
        if sealed {
            segment.map_sealed(self.map)?;
        }
        segments.put(Arc::clone(&segment));
        Ok(segment)
    }

    /// How many segments are known, and how many are mapped now.
    pub(crate) fn segment_counts(&self) -> (usize, usize) {
        let segments = held(&self.segments);
        (segments.known.len(), segments.open.iter().filter(|s| s.is_mapped()).count())
    }

    /// Numbers of the segments that are known.
    pub(crate) fn segment_numbers(&self) -> Vec<u32> {
        held(&self.segments).known.keys().copied().collect()
    }

    /// Whether a segment is known, and as sealed or not.
    pub(crate) fn knows_segment(&self, number: u32, sealed: bool) -> bool {
        held(&self.segments).known.get(&number) == Some(&sealed)
    }

    /// Makes a segment known.
    pub(crate) fn know_segment(&self, number: u32, sealed: bool) {
        held(&self.segments).known.insert(number, sealed);
    }

    /// Only these segments are left.
    pub(crate) fn retain_segments(&self, left: &[u32]) {
        let mut segments = held(&self.segments);
        segments.known.retain(|n, _| left.contains(n));
        segments.open.retain(|s| left.contains(&s.number()));
    }

    /// A segment is gone, and what was known of damage in it.
    pub(crate) fn forget_segment(&self, number: u32) {
        let mut quarantine = held(&self.quarantine);
        quarantine.all.retain(|_, q| q.segment != number);
        let Quarantine { all, unsaved } = &mut *quarantine;
        unsaved.retain(|id| all.contains_key(id));
        drop(quarantine);
        let mut segments = held(&self.segments);
        segments.known.remove(&number);
        segments.open.retain(|s| s.number() != number);
    }

    /// Makes an open segment known.
    pub(crate) fn add_segment(&self, segment: Arc<Segment>, sealed: bool) {
        let mut segments = held(&self.segments);
        segments.known.insert(segment.number(), sealed);
        segments.put(segment);
    }

    /// Stops serving a block. `saved`: the catalogue knows already.
    pub(crate) fn quarantine(&self, bad: Quarantined, saved: bool) {
        let id = bad.id;
        let mut quarantine = held(&self.quarantine);
        if quarantine.all.insert(id, bad).is_none() && !saved {
            quarantine.unsaved.insert(id);
        }
        drop(quarantine);
        self.publish(|s| s.remove(id));
    }

    /// Why a block is not served.
    pub(crate) fn quarantined(&self, id: BlockId) -> Option<String> {
        held(&self.quarantine).all.get(&id).map(|q| q.reason.clone())
    }

    /// All blocks that are not served.
    pub(crate) fn quarantined_all(&self) -> Vec<Quarantined> {
        held(&self.quarantine).all.values().cloned().collect()
    }

    /// How many blocks are not served.
    pub(crate) fn quarantined_blocks(&self) -> usize {
        held(&self.quarantine).all.len()
    }

    /// Those that the catalogue does not know of yet.
    pub(crate) fn quarantined_unsaved(&self) -> Vec<Quarantined> {
        let q = held(&self.quarantine);
        q.unsaved.iter().filter_map(|id| q.all.get(id).cloned()).collect()
    }

    /// The catalogue knows of these now.
    pub(crate) fn quarantined_saved(&self, saved: &[Quarantined]) {
        let mut q = held(&self.quarantine);
        for bad in saved {
            q.unsaved.remove(&bad.id);
        }
    }

    /// Adds a block to what is published.
    pub(crate) fn publish_block(&self, entry: TailEntry) {
        self.publish(|s| s.push(entry));
    }
}
