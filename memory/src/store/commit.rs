//! Making what was appended durable: commit records, sync, catalogue, and then sealing what is
//! full.

use std::sync::Arc;

use super::{
    Store,
    active::{Active, WriteError},
};
use crate::{
    CommitError, SourceId, SyncPolicy,
    catalogue::{self, Batch, SegmentRow, SourceRow},
    clock::now_ms,
    error::CatalogueError,
    format::record::Commit,
    options::WhenFull,
    pages,
    segment::{DIR, file_name},
    snapshot::TailEntry,
};

impl Store {
    /// Makes all that was appended durable, as the sync policy says, and acknowledges it: after
    /// this it survives. One sync and one catalogue transaction, however many blocks.
    ///
    /// # Errors
    /// [`CommitError`]. After `DiskFull` it can be tried again; after any other the store is to be
    /// opened again, and
    /// finds either all of this commit or the state of the one before.
    pub fn commit(&mut self) -> Result<(), CommitError> {
        if let Some(after) = &self.latched {
            return Err(CommitError::Latched { after: after.clone() });
        }
        let changed: Vec<SourceId> = self.changed.iter().copied().collect();
        let mut rows = self.commit_records(&changed)?;
        rows.extend(self.restated_rows());
        self.sync_segments()?;
        let segments: Vec<SegmentRow> =
            self.closing.iter().chain(&self.active).map(Active::row).collect();
        let bad = self.shared.quarantined_unsaved();
        let wear = self.wear();
        let batch = Batch {
            sources: &rows,
            segments: &segments,
            blocks: &self.pending,
            quarantined: &bad,
            sessions: &self.sessions,
            notes: &self.notes,
            next_id: Some(self.next_id),
            wear: Some(wear),
            ..Batch::default()
        };
        let any = !(rows.is_empty()
            && self.pending.is_empty()
            && bad.is_empty()
            && self.sessions.is_empty()
            && self.notes.is_empty());
        if any && let Err(e) = self.catalogue.apply(&batch) {
            return Err(self.catalogue_failed(e));
        }
        if any {
            self.bytes.wear_saved = self.bytes.wear;
        }
        self.shared.quarantined_saved(&bad);
        self.pending.clear();
        self.changed.clear();
        self.restated.clear();
        self.sessions.clear();
        self.notes.clear();
        self.bytes.pending = 0;
        self.bytes.catalogue = self.catalogue.bytes();
        self.fold();
        self.seal_closing()?;
        self.keep_within();
        Ok(())
    }

    /// Rows can take more than was guessed when their blocks were appended. When room cannot be
    /// made now, the next append asks again, and says why it cannot.
    fn keep_within(&mut self) {
        let over = |s: &Self| s.options.disk_bytes_max.is_some_and(|max| s.disk_bytes() > max);
        if over(self) {
            let _ = self.catalogue.shrink();
            self.bytes.catalogue = self.catalogue.bytes();
        }
        if over(self) && self.options.when_full == WhenFull::GiveUp && !self.spares {
            let _ = self.make_room(0);
        }
    }

    /// Puts the oldest blocks that are held one by one into pages of the index, as long as there
    /// are enough for a whole one. All of them are committed. What fails is tried again after the
    /// next commit: until then they are held in RAM.
    fn fold(&mut self) {
        loop {
            let snapshot = self.shared.snapshot();
            let blocks: Vec<&TailEntry> =
                snapshot.tail().take(self.shared.page_blocks).map(|e| &**e).collect();
            if blocks.len() < self.shared.page_blocks {
                return;
            }
            let Ok(page) = pages::write(&self.shared, &blocks) else { return };
            self.count(page.bytes());
            let rows = [pages::row(&page)];
            let wear = Some(self.wear());
            let batch = Batch { pages: &rows, wear, ..Batch::default() };
            if self.catalogue.apply(&batch).is_err() {
                let _ = self.shared.storage.remove(&pages::file_name(page.number()));
                self.bytes.files = self.bytes.files.saturating_sub(page.bytes());
                return;
            }
            self.bytes.wear_saved = self.bytes.wear;
            self.shared.publish(|s| s.fold(page));
        }
    }

    fn restated_rows(&self) -> Vec<SourceRow> {
        let snapshot = self.shared.snapshot();
        let only = self.restated.difference(&self.changed);
        let rows = only.filter_map(|id| {
            let entry = snapshot.sources().get(id)?;
            Some(SourceRow { ordinal_end: entry.ordinal_end(), ..entry.row().clone() })
        });
        rows.collect()
    }

    fn catalogue_failed(&mut self, e: CatalogueError) -> CommitError {
        if e.is_full() {
            return CommitError::DiskFull {
                path: self.shared.storage.root().join(catalogue::FILE),
            };
        }
        self.latched = Some(format!("catalogue: {e}"));
        CommitError::Catalogue(e)
    }

    /// Appends a commit record for each source with news and gives the sources' rows.
    fn commit_records(&mut self, changed: &[SourceId]) -> Result<Vec<SourceRow>, CommitError> {
        let snapshot = self.shared.snapshot();
        let mut rows = Vec::with_capacity(changed.len());
        for entry in changed.iter().filter_map(|id| snapshot.sources().get(id)) {
            let mut row = entry.row().clone();
            row.ordinal_end = entry.ordinal_end();
            let commit = Commit {
                source: row.id,
                id_end: self.next_id,
                ordinal_end: row.ordinal_end,
                time_ms: now_ms(),
                progress: row.progress,
            };
            self.commit_record(&row, &commit).map_err(commit_error)?;
            rows.push(row);
        }
        Ok(rows)
    }

    /// Appends one commit record to the newest segment of its source.
    fn commit_record(&mut self, row: &SourceRow, commit: &Commit) -> Result<(), WriteError> {
        let open = self.closing.iter().chain(&self.active);
        let newest = open.filter(|a| a.source() == row.id).map(Active::number).max();
        if newest.is_none() {
            // Progress without a block: it needs a segment all the same.
            if let Some(other) = self.active.take() {
                self.closing.push(other);
            }
            self.ensure_active(row)?;
        }
        let number = newest.or_else(|| self.active.as_ref().map(Active::number));
        let mut open = self.closing.iter_mut().chain(&mut self.active);
        let Some(active) = open.find(|a| Some(a.number()) == number) else { return Ok(()) };
        let record = commit.encode(active.seat());
        match active.append(&record) {
            Ok(bytes) => {
                self.count(bytes);
                Ok(())
            }
            Err(e) => Err(self.latch(e)),
        }
    }

    fn sync_segments(&mut self) -> Result<(), CommitError> {
        let sync = self.options.sync;
        for active in self.closing.iter_mut().chain(&mut self.active) {
            if let Err(e) = active.sync(sync) {
                return Err(commit_error(self.latch(e)));
            }
        }
        if self.created
            && sync != SyncPolicy::None
            && let Err(source) = self.shared.storage.sync_dir(DIR)
        {
            let path = self.shared.storage.root().join(DIR);
            return Err(commit_error(self.latch(WriteError::Io { path, source })));
        }
        self.created = false;
        Ok(())
    }

    /// Commits, then seals the active segment: it is mapped from then on.
    ///
    /// # Errors
    /// [`CommitError`].
    pub fn seal(&mut self) -> Result<(), CommitError> {
        if let Some(active) = self.active.take() {
            self.closing.push(active);
        }
        self.commit()
    }

    /// Seals the full segments, all of whose blocks are committed.
    fn seal_closing(&mut self) -> Result<(), CommitError> {
        let resumable = |a: &Active| a.resumable;
        while let Some(at) = self.closing.iter().position(|a| !resumable(a)) {
            let sealed = self.closing[at].seal(now_ms(), self.options.sync);
            match sealed {
                Ok(bytes) => self.count(bytes),
                Err(e) => return Err(commit_error(self.latch(e))),
            }
            let active = self.closing.swap_remove(at);
            let rows = [SegmentRow { sealed: true, ..active.row() }];
            let wear = Some(self.wear());
            let batch = Batch { segments: &rows, wear, ..Batch::default() };
            if let Err(e) = self.catalogue.apply(&batch) {
                // The footer says the same: opening finds it.
                return Err(self.catalogue_failed(e));
            }
            self.bytes.wear_saved = self.bytes.wear;
            self.finish_sealed(&active)?;
        }
        Ok(())
    }

    /// Maps a sealed segment.
    fn finish_sealed(&mut self, active: &Active) -> Result<(), CommitError> {
        let segment = &active.segment;
        segment.map_sealed(self.shared.map).map_err(|source| CommitError::Io {
            path: self.shared.storage.root().join(file_name(segment.number())),
            source,
        })?;
        self.shared.add_segment(Arc::clone(segment), true);
        Ok(())
    }
}

fn commit_error(e: WriteError) -> CommitError {
    match e {
        WriteError::Full { path, .. } => CommitError::DiskFull { path },
        WriteError::Io { path, source } => CommitError::Io { path, source },
    }
}
