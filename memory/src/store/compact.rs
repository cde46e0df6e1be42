//! Making files smaller without changing what is in the store.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{Store, rewrite::Fate};
use crate::{
    BlockId, RewriteError, SourceId,
    catalogue::Batch,
    index::page::Page,
    pages,
    segment::{Segment, scan},
    snapshot::TailEntry,
};

/// What compacting did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compacted {
    /// Bytes of the store before.
    pub bytes_before: u64,
    /// Bytes of the store after.
    pub bytes_after: u64,
    /// Pages of the index before.
    pub pages_before: u64,
    /// Pages of the index after.
    pub pages_after: u64,
}

impl Store {
    /// Commits and seals everything, puts thin pages of the index together, and writes the text
    /// index and the catalogue anew without what is free in them. Segments have nothing free:
    /// whatever leaves them makes them written anew at once.
    ///
    /// # Errors
    /// [`RewriteError`]; the store has what it had.
    pub fn compact(&mut self) -> Result<Compacted, RewriteError> {
        self.seal_all()?;
        let snapshot = self.shared.snapshot();
        let mut done = Compacted {
            bytes_before: self.disk_bytes(),
            pages_before: snapshot.pages().len() as u64,
            ..Compacted::default()
        };
        for run in thin_runs(snapshot.pages(), self.shared.page_blocks) {
            self.merge_pages(run)?;
        }
        self.catalogue.scrub()?;
        self.bytes.catalogue = self.catalogue.bytes();
        done.pages_after = self.shared.snapshot().pages().len() as u64;
        done.bytes_after = self.disk_bytes();
        Ok(done)
    }

    fn merge_pages(&mut self, run: &[Arc<Page>]) -> Result<(), RewriteError> {
        let snapshot = self.shared.snapshot();
        let mut blocks = Vec::new();
        for page in run {
            let served = (0..page.len()).filter(|at| !snapshot.is_removed(page.id(*at)));
            blocks.extend(served.map(|at| TailEntry {
                entry: page.entry(at),
                address: page.address(at, snapshot.dim()),
            }));
        }
        let blocks: Vec<&TailEntry> = blocks.iter().collect();
        let page = match pages::write(&self.shared, &blocks) {
            Ok(page) => page,
            // What there is goes on being used.
            Err(e) if crate::storage::is_full(&e) => {
                return Err(RewriteError::DiskFull {
                    path: self.shared.storage.root().join(pages::DIR),
                });
            }
            Err(source) => {
                return Err(RewriteError::Io {
                    path: self.shared.storage.root().join(pages::DIR),
                    source,
                });
            }
        };
        let gone: Vec<u32> = run.iter().map(|p| p.number()).collect();
        self.count(page.bytes());
        let rows = [pages::row(&page)];
        let wear = Some(self.wear());
        let batch = Batch { pages: &rows, pages_gone: &gone, wear, ..Batch::default() };
        self.catalogue.apply(&batch)?;
        self.bytes.wear_saved = self.bytes.wear;
        let mut all: Vec<Arc<Page>> = snapshot.pages().to_vec();
        all.retain(|p| !gone.contains(&p.number()));
        all.push(page);
        all.sort_by_key(|p| p.id_first());
        self.shared.publish(|s| s.set_pages(all));
        self.bytes.files -= run.iter().map(|p| p.bytes()).sum::<u64>().min(self.bytes.files);
        self.sync_catalogue()?;
        self.remove_pages(&gone);
        Ok(())
    }

    /// Whether nothing needs to be kept of a segment whose blocks all go: another segment of its
    /// source has a newer commit record.
    pub(super) fn is_needless(
        &self,
        old: &Segment,
        fates: &BTreeMap<BlockId, Fate>,
        rows: usize,
    ) -> bool {
        let dropped = fates.values().filter(|f| **f == Fate::Drop).count();
        let source = old.head.header.source;
        let age = |segment: &Segment| {
            let last = scan::commits(segment).ok().flatten();
            last.map(|c| (c.id_end, c.ordinal_end, c.progress.absorbed_bytes))
        };
        dropped == rows && self.newer_commit(old.number(), source, age(old), &age)
    }

    fn newer_commit<A: Ord>(
        &self,
        old: u32,
        source: SourceId,
        than: A,
        age: &impl Fn(&Segment) -> A,
    ) -> bool {
        let numbers = self.shared.segment_numbers().into_iter().rev().filter(|n| *n != old);
        let mut others = numbers.filter_map(|n| self.shared.segment(n).ok());
        others.any(|s| s.head.header.source == source && age(&s) > than)
    }
}

/// Runs of pages that fit one page together.
fn thin_runs(pages: &[Arc<Page>], page_blocks: usize) -> Vec<&[Arc<Page>]> {
    let mut out = Vec::new();
    let mut from = 0;
    while from < pages.len() {
        let mut to = from;
        let mut blocks = 0;
        while let Some(page) = pages.get(to).filter(|p| blocks + p.len() <= page_blocks) {
            blocks += page.len();
            to += 1;
        }
        if to > from + 1 {
            out.push(&pages[from..to]);
        }
        from = to.max(from + 1);
    }
    out
}
