//! What earlier runs left half done: imports, and blocks that no progress covers.

use std::{collections::BTreeSet, io, path::PathBuf};

use super::{Store, forget::Strictness};
use crate::{
    BlockId, OpenError, RewriteError, SourceId,
    format::segment::Identity,
    identity::io_error,
    import::mark::{self, Mark},
};

impl Store {
    pub(crate) fn identity(&self) -> Identity {
        self.shared.identity
    }

    /// The id that the next source version gets.
    pub(crate) const fn next_source(&self) -> u32 {
        self.next_source
    }

    /// Says which sources an import brings in, or that it is done.
    pub(crate) fn set_mark(&self, mark: Option<&Mark>) -> Result<(), (PathBuf, io::Error)> {
        let storage = &*self.shared.storage;
        mark::save(storage, self.shared.identity.store, mark)
            .map_err(|e| (storage.root().join(mark::FILE), e))
    }

    /// Takes out what an import brought. When that fails the mark stays, and no other source gets
    /// an id of the import.
    pub(crate) fn undo_import(&mut self, mark: &Mark) -> Result<(), RewriteError> {
        let undone = self.drop_sources(mark).and_then(|gone| {
            self.set_mark(None).map_err(|(path, source)| RewriteError::Io { path, source })?;
            Ok(gone)
        });
        if undone.is_err() {
            self.next_source = self.next_source.max(mark.end());
        }
        undone.map(drop)
    }

    /// Removes the sources of an import with all their blocks; gives how many there were.
    fn drop_sources(&mut self, mark: &Mark) -> Result<usize, RewriteError> {
        let ids: Vec<SourceId> = {
            let snapshot = self.shared.snapshot();
            snapshot.sources().range(mark.ids()).map(|(id, _)| *id).collect()
        };
        if ids.is_empty() {
            return Ok(0);
        }
        self.seal_all()?;
        let gone: BTreeSet<BlockId> = {
            let snapshot = self.shared.snapshot();
            snapshot.iter().filter(|e| ids.contains(&e.info.source)).map(|e| e.info.id).collect()
        };
        let plan = self.plan(&gone, Strictness::Passage, &ids, &mut super::Forgotten::default());
        self.rewrite(&plan, &ids, &[])?;
        self.restate_newest();
        self.catalogue.shrink()?;
        self.bytes.catalogue = self.catalogue.bytes();
        Ok(ids.len())
    }

    /// Removes what an interrupted import left, at opening.
    pub(super) fn finish_import(&mut self) -> Result<(), OpenError> {
        let storage = std::sync::Arc::clone(&self.shared.storage);
        let failed = |e| io_error(&*storage, mark::FILE, e);
        let mark = match mark::load(&*storage, self.shared.identity.store).map_err(failed)? {
            Ok(None) => return Ok(()),
            Ok(Some(mark)) => mark,
            Err(what) => {
                self.problems.push(format!("{}: {what}: removed", mark::FILE));
                return storage.remove(mark::FILE).map_err(failed);
            }
        };
        match self.drop_sources(&mark) {
            Ok(sources) => {
                if sources > 0 {
                    let what = "of an import that was interrupted were removed: import it again";
                    self.problems.push(format!("{sources} source versions {what}"));
                }
                self.set_mark(None).map_err(|(_, e)| failed(e))
            }
            Err(e) => {
                self.problems.push(format!("what an interrupted import left: {e}"));
                self.next_source = self.next_source.max(mark.end());
                Ok(())
            }
        }
    }

    /// Blocks of earlier runs that begin where the source was not absorbed to, or beyond: their
    /// text is going to be fed again.
    fn behind(&self, source: SourceId) -> BTreeSet<BlockId> {
        let snapshot = self.shared.snapshot();
        let Some(entry) = snapshot.sources().get(&source) else { return BTreeSet::new() };
        let absorbed = entry.row().progress.absorbed_bytes;
        let behind = snapshot.iter().filter(|e| {
            let span = e.info.span;
            let has_bytes = span.byte_end > span.byte_start;
            e.info.source == source
                && e.info.id < self.earlier
                && has_bytes
                && span.byte_start >= absorbed
        });
        behind.map(|e| e.info.id).collect()
    }

    /// Takes such blocks out, once in a run for each source: the first time that it is begun.
    pub(super) fn drop_behind(&mut self, source: SourceId) -> Result<(), RewriteError> {
        if self.begun.contains(&source) {
            return Ok(());
        }
        let gone = self.behind(source);
        if !gone.is_empty() {
            self.seal_all()?;
            let plan = self.plan(&gone, Strictness::Passage, &[], &mut super::Forgotten::default());
            self.rewrite(&plan, &[], &[])?;
        }
        self.begun.insert(source);
        Ok(())
    }
}
