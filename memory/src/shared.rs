//! What the writer and its readers share.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, RwLock, atomic::AtomicU32, atomic::Ordering},
};

use crate::{
    BlockId, MapChoice, SourceInfo,
    catalogue::{Quarantined, SourceRow},
    format::segment::Identity,
    segment::Segment,
    snapshot::{Entry, Snapshot},
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
    pub(crate) identity: Identity,
    pub(crate) map: MapChoice,
    snapshot: RwLock<Arc<Snapshot>>,
    segments: RwLock<BTreeMap<u32, Arc<Segment>>>,
    quarantine: Mutex<Quarantine>,
}

impl Shared {
    pub(crate) fn new(storage: Arc<dyn Storage>, identity: Identity, map: MapChoice) -> Self {
        let snapshot = Snapshot::new(usize::from(identity.address.dim));
        Self {
            storage,
            identity,
            map,
            snapshot: RwLock::new(Arc::new(snapshot)),
            segments: RwLock::default(),
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

    pub(crate) fn segment(&self, number: u32) -> Option<Arc<Segment>> {
        read(&self.segments).get(&number).cloned()
    }

    pub(crate) fn segments(&self) -> Vec<Arc<Segment>> {
        read(&self.segments).values().cloned().collect()
    }

    pub(crate) fn add_segment(&self, segment: Arc<Segment>) {
        write(&self.segments).insert(segment.number(), segment);
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
    pub(crate) fn publish_block(&self, entry: Entry) {
        self.publish(|s| s.push(entry));
    }
}
