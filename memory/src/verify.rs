//! Whether a store is what it should be.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::{
    BlockId, MapChoice, OpenError, SourceId, StoreOptions, VerifyError,
    catalogue::{BlockRow, Catalogue, Contents, SegmentRow},
    identity, pages,
    segment::{
        PieceError, Segment, file_name,
        scan::{Depth, Scan, scan},
    },
    shared::Shared,
    storage::{CataloguePlace, FileStorage, Storage},
    store::{load, recover},
};

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// Blocks of the catalogue that are as they should be.
    pub blocks: u64,
    /// Places on disk that are not what was written.
    pub corrupt: u64,
    /// Blocks that an earlier reading found damaged; they are not served.
    pub quarantined: u64,
    /// Blocks of the catalogue whose bytes are gone.
    pub missing: u64,
    /// Blocks on disk that no commit covers: of a writer at work, or of one that was killed. Not
    /// damage.
    pub unacknowledged: u64,
    /// All that is wrong, for people.
    pub problems: Vec<String>,
}

impl VerifyReport {
    /// Nothing is wrong.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.corrupt == 0 && self.quarantined == 0 && self.missing == 0 && self.problems.is_empty()
    }
}

/// Checks a store without changing it, beside a writer if need be: every record's header, text and
/// address against their checksums and the catalogue against the records; when `deep`, keys and
/// values, the index's vectors and SQLite's own structures as well.
///
/// # Errors
/// [`VerifyError`] when it cannot be checked at all.
pub fn verify(dir: &Path, deep: bool) -> Result<VerifyReport, VerifyError> {
    let storage: Arc<dyn Storage> = Arc::new(FileStorage::new(dir));
    load::require_folder(&*storage)?;
    let identity = match identity::load(&*storage)? {
        Some(found) => found,
        None if load::has_segments(&*storage)? => Err(load::identity_lost(&*storage))?,
        None => return Err(OpenError::Absent { path: dir.to_owned() }.into()),
    };
    let CataloguePlace::Folder(folder) = storage.catalogue() else {
        return Err(OpenError::Absent { path: dir.to_owned() }.into());
    };
    let catalogue = Catalogue::open_reader(&folder, identity.store)?;
    let (contents, blocks) = catalogue
        .view(|view| Ok::<_, VerifyError>((view.contents()?, view.blocks(0..=u64::MAX)?)))?;
    let options = StoreOptions {
        map: MapChoice::never(),
        ..StoreOptions::new(identity.model, identity.geometry, identity.address)
    };
    let shared = Shared::new(storage, identity, &options);
    let mut work = Work {
        shared: &shared,
        deep,
        blocks: blocks.iter().map(|b| (b.info.id, b)).collect(),
        quarantined: contents.quarantined.iter().map(|q| q.id).collect(),
        report: VerifyReport::default(),
    };
    work.report.quarantined = contents.quarantined.len() as u64;
    for q in &contents.quarantined {
        work.report.problems.push(format!("block {} is quarantined: {}", q.id.0, q.reason));
    }
    work.segments(&contents)?;
    work.pages(&contents, &blocks);
    work.spans(&contents, &blocks);
    work.report.problems.extend(catalogue.check(deep)?);
    Ok(work.report)
}

struct Work<'a> {
    shared: &'a Shared,
    deep: bool,
    /// Blocks of the catalogue that were not met yet.
    blocks: BTreeMap<BlockId, &'a BlockRow>,
    quarantined: BTreeSet<BlockId>,
    report: VerifyReport,
}

impl Work<'_> {
    fn segments(&mut self, contents: &Contents) -> Result<(), VerifyError> {
        let storage = &*self.shared.storage;
        let mut rows: BTreeMap<u32, &SegmentRow> =
            contents.segments.iter().map(|s| (s.number, s)).collect();
        for number in recover::numbers(storage)? {
            let row = rows.remove(&number);
            match Segment::open(storage, number, &self.shared.identity, false) {
                Ok(segment) => self.segment(&segment, row)?,
                Err(PieceError::Io(source)) => return Err(self.failed(number, source)),
                // A writer may be making it right now.
                Err(PieceError::Corrupt(_)) if row.is_none() => {}
                Err(PieceError::Corrupt(what)) => {
                    self.problem(true, format!("{}: {what}", file_name(number)));
                }
            }
        }
        for number in rows.into_keys() {
            self.problem(false, format!("{} is missing", file_name(number)));
        }
        for (id, row) in std::mem::take(&mut self.blocks) {
            self.report.missing += 1;
            let name = file_name(row.segment);
            self.problem(false, format!("block {} is not in {name}", id.0));
        }
        Ok(())
    }

    fn failed(&self, number: u32, source: std::io::Error) -> VerifyError {
        let path = self.shared.storage.root().join(file_name(number));
        VerifyError::Io { path, source }
    }

    fn problem(&mut self, corrupt: bool, text: String) {
        self.report.corrupt += u64::from(corrupt);
        self.report.problems.push(text);
    }

    fn segment(&mut self, segment: &Segment, row: Option<&SegmentRow>) -> Result<(), VerifyError> {
        let depth = if self.deep { Depth::Deep } else { Depth::Shallow };
        let scan = scan(segment, segment.head.bytes, depth)
            .map_err(|e| self.failed(segment.number(), e))?;
        let accounted = row.map_or(0, |r| r.bytes);
        if scan.file_bytes < accounted {
            let name = file_name(segment.number());
            let text = format!("{name}: {} of {accounted} bytes are left", scan.file_bytes);
            self.problem(true, text);
        }
        for found in &scan.blocks {
            let id = found.block.info.id;
            match (self.blocks.remove(&id), found.wrong) {
                _ if self.quarantined.contains(&id) => {}
                (None, _) if found.offset >= accounted => self.report.unacknowledged += 1,
                (_, Some(what)) => self.problem(true, format!("block {}: {what}", id.0)),
                (None, None) => self.problem(false, format!("block {} is not catalogued", id.0)),
                (Some(row), None) => self.compare(row, found, segment.number()),
            }
        }
        for (from, to, what) in scan.holes.iter().filter(|h| h.0 < accounted) {
            let name = file_name(segment.number());
            self.problem(true, format!("{name}: {what} at {from} to {to}"));
            // These are damaged, not missing.
            self.blocks.retain(|_, b| {
                b.segment != segment.number() || b.offset < *from || b.offset >= *to
            });
        }
        if row.is_some_and(|r| r.sealed) {
            self.sealed(segment, &scan);
        }
        Ok(())
    }

    fn compare(&mut self, row: &BlockRow, found: &crate::segment::scan::Found, number: u32) {
        let place = (row.segment, row.offset, row.bytes);
        let here = (number, found.offset, found.block.record_bytes());
        if row.info == found.block.info && place == here {
            self.report.blocks += 1;
        } else {
            let id = row.info.id.0;
            self.problem(true, format!("block {id}: the catalogue differs from the record"));
        }
    }

    fn sealed(&mut self, segment: &Segment, scan: &Scan) {
        let name = file_name(segment.number());
        let found: Vec<(BlockId, u64)> =
            scan.blocks.iter().map(|b| (b.block.info.id, b.offset)).collect();
        match segment.footer() {
            Ok(Some(table)) if !scan.holes.is_empty() || table == found => {}
            Ok(Some(_)) => self.problem(true, format!("{name}: its footer names other blocks")),
            Ok(None) => self.problem(true, format!("{name}: its footer is gone")),
            Err(PieceError::Corrupt(what)) => self.problem(true, format!("{name}: {what}")),
            Err(PieceError::Io(e)) => self.problem(false, format!("{name}: {e}")),
        }
    }

    /// No two blocks of a source version may hold the same bytes of it.
    fn spans(&mut self, contents: &Contents, blocks: &[BlockRow]) {
        let mut spans: Vec<_> = blocks
            .iter()
            .filter(|b| b.info.span.byte_end > b.info.span.byte_start)
            .map(|b| (b.info.source, b.info.span.byte_start, b.info.span.byte_end, b.info.id))
            .collect();
        spans.sort_unstable();
        // Of the source, the block that reaches furthest, and where it ends.
        let mut reach: Option<(SourceId, u64, BlockId)> = None;
        for (source, start, end, id) in spans {
            let before = reach.filter(|(of, to, _)| *of == source && *to > start);
            if let Some((_, to, other)) = before {
                let row = contents.sources.iter().find(|s| s.id == source);
                let (name, version) = row.map_or(("", 0), |s| (s.name.as_str(), s.version));
                let BlockId(other) = other;
                let to = to.min(end);
                let what = format!(
                    "blocks {other} and {} both hold bytes {start} to {to} of {name:?}, version \
                     {version}: forget one of them",
                    id.0
                );
                self.problem(false, what);
            }
            if before.is_none_or(|(_, to, _)| to < end) {
                reach = Some((source, end, id));
            }
        }
    }

    /// Checks pages of the index against the rows of their blocks; when deep, their vectors too.
    fn pages(&mut self, contents: &Contents, blocks: &[BlockRow]) {
        for row in &contents.pages {
            let name = pages::file_name(row.number);
            let Some(page) = pages::load(self.shared, row) else {
                let what = "is missing or damaged (made again when a writer opens the store)";
                self.problem(false, format!("{name} {what}"));
                continue;
            };
            let within = |b: &&BlockRow| (row.id_first..=row.id_last).contains(&b.info.id);
            let rows = blocks.iter().filter(within);
            let entries = (0..page.len()).map(|at| page.entry(at));
            let held = entries.filter(|e| !self.quarantined.contains(&e.info.id));
            if !held.eq(rows.copied()) {
                self.problem(true, format!("{name}: the catalogue differs from it"));
            } else if self.deep && !page.vectors_right() {
                self.problem(true, format!("{name}: its vectors are damaged (use rebuild)"));
            }
        }
    }
}
