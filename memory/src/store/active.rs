//! A segment that is being written.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    BlockId, SourceId, SyncPolicy,
    catalogue::{SegmentRow, SourceRow},
    format::{
        record::{Footer, Seat},
        segment::SegmentHeader,
    },
    segment::{Segment, file_name},
    shared::Shared,
    storage::{StorageFile, is_full},
};

/// Why a write failed.
#[derive(Debug)]
pub(super) enum WriteError {
    /// The disk is full, and what was written was taken back.
    Full { path: PathBuf, source: io::Error },
    /// Anything else: the state of the file is not known.
    Io { path: PathBuf, source: io::Error },
}

#[derive(Debug)]
pub(super) struct Active {
    pub(super) segment: Arc<Segment>,
    pub(super) blocks: Vec<(BlockId, u64)>,
    /// From an earlier run: it is only sealed when its source is left, and may go on.
    pub(super) resumable: bool,
    path: PathBuf,
    bytes: u64,
    dirty: bool,
}

impl Active {
    /// Creates the file with its header.
    pub(super) fn create(
        shared: &Shared,
        number: u32,
        source: &SourceRow,
        now_ms: i64,
    ) -> Result<Self, WriteError> {
        let header = SegmentHeader {
            identity: shared.identity,
            segment: number,
            source: source.id,
            source_version: source.version,
            name: source.name.clone(),
            created_ms: now_ms,
        };
        Self::create_from(shared, number, header, now_ms)
    }

    /// Creates the file with a header like another segment's.
    pub(super) fn create_from(
        shared: &Shared,
        number: u32,
        header: SegmentHeader,
        now_ms: i64,
    ) -> Result<Self, WriteError> {
        let name = file_name(number);
        let path = shared.storage.root().join(&name);
        let bytes = SegmentHeader { segment: number, created_ms: now_ms, ..header }.encode();
        let made = shared.storage.create(&name).and_then(|file| {
            file.append(&bytes, 0)?;
            // A header that is torn then has nothing behind it, and can be removed without a
            // thought.
            if shared.sync != SyncPolicy::None {
                file.sync(true)?;
            }
            Ok(file)
        });
        let file = match made {
            Ok(file) => file,
            Err(source) => {
                let removed = shared.storage.remove(&name);
                return Err(failure(path, source, removed));
            }
        };
        let head =
            SegmentHeader::decode(&bytes).expect("a header that was encoded just now is read back");
        let segment = Arc::new(Segment::new(file, head));
        Ok(Self::resume(segment, path, bytes.len() as u64, Vec::new(), false))
    }

    /// A segment of an earlier run, cut to `bytes`.
    pub(super) fn resume(
        segment: Arc<Segment>,
        path: PathBuf,
        bytes: u64,
        blocks: Vec<(BlockId, u64)>,
        resumable: bool,
    ) -> Self {
        Self { segment, blocks, resumable, path, bytes, dirty: true }
    }

    pub(super) fn number(&self) -> u32 {
        self.segment.number()
    }

    pub(super) fn source(&self) -> SourceId {
        self.segment.head.header.source
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where the next record goes.
    pub(super) fn seat(&self) -> Seat {
        Seat { offset: self.bytes, key: self.segment.head.key }
    }

    /// Whether a record of this many bytes would pass the limit. A segment without blocks takes
    /// any.
    pub(super) fn is_full(&self, record: u64, max: u64) -> bool {
        !self.blocks.is_empty() && self.bytes.saturating_add(record) > max
    }

    pub(super) fn row(&self) -> SegmentRow {
        let source = self.source();
        SegmentRow { number: self.number(), source, sealed: false, bytes: self.bytes }
    }

    /// Appends a record, wholly or not at all.
    pub(super) fn append(&mut self, record: &[u8]) -> Result<u64, WriteError> {
        let file: &dyn StorageFile = &*self.segment.file;
        if let Err(source) = file.append(record, self.bytes) {
            // Nobody maps an unsealed segment, and no reader knows of bytes past the last record.
            let cut = file.truncate(self.bytes);
            return Err(failure(self.path.clone(), source, cut));
        }
        self.bytes += record.len() as u64;
        self.dirty = true;
        Ok(record.len() as u64)
    }

    pub(super) fn sync(&mut self, policy: SyncPolicy) -> Result<(), WriteError> {
        if !self.dirty {
            return Ok(());
        }
        let synced = match policy {
            SyncPolicy::None => Ok(()),
            SyncPolicy::Data => self.segment.file.sync(true),
            SyncPolicy::Full => self.segment.file.sync(false),
        };
        // After a failed sync the system may have dropped the bytes: never to be tried again.
        synced.map_err(|source| WriteError::Io { path: self.path.clone(), source })?;
        self.dirty = false;
        Ok(())
    }

    /// Appends the footer.
    pub(super) fn seal(&mut self, now_ms: i64, policy: SyncPolicy) -> Result<u64, WriteError> {
        let footer = Footer::encode(self.seat(), self.source(), now_ms, &self.blocks);
        let bytes = self.append(&footer)?;
        self.sync(policy)?;
        Ok(bytes)
    }
}

/// A full disk is only that when what was written could be taken back.
fn failure(path: PathBuf, source: io::Error, undone: io::Result<()>) -> WriteError {
    match undone {
        Ok(()) if is_full(&source) => WriteError::Full { path, source },
        Ok(()) | Err(_) => WriteError::Io { path, source },
    }
}
