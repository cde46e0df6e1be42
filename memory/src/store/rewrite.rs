//! Segments written anew with less in them: the one way in which anything leaves the store.
//!
//! A sealed segment is never changed. Another one is written that says which one it stands in place
//! of, and is sealed and synced; then the catalogue is changed in one transaction; then the old one
//! is unlinked. Wherever this is interrupted, the next opening goes on: a replacement that is not
//! sealed is removed, one that is sealed makes the old segment void, also for a rebuild.

use std::{collections::BTreeMap, io, path::PathBuf, sync::Arc};

use super::{
    Store,
    active::{Active, WriteError},
};
use crate::{
    BlockId, BlockInfo, CatalogueError, RewriteError, SourceId, SyncPolicy,
    catalogue::{Batch, BlockRow, NewBlock, PageRow, SegmentRow, SessionRow},
    clock::now_ms,
    format::record::{BlockHeader, Record, Replaces},
    index::page::Page,
    pages,
    segment::{DIR, PieceError, Segment, file_name, scan::commits, split_body},
    snapshot::{Entry, Snapshot, TailEntry},
};

/// What becomes of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    /// It goes.
    Drop,
    /// Its tokens, text and address stay.
    Text,
    /// These and its beacons stay.
    Beacons,
    /// It stays as it is.
    Keep,
}

/// What becomes of segments: of each, of the blocks that do not stay as they are.
pub(super) type Plan = BTreeMap<u32, BTreeMap<BlockId, Fate>>;

/// Segments that are written anew in one transaction.
const SEGMENTS_AT_ONCE: usize = 16;

/// What a rewriting did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rewritten {
    pub(super) segments: u64,
    /// Blocks that could not be read and are gone for good.
    pub(super) damaged: u64,
}

/// A segment that stands in place of another one, sealed.
struct Replacement {
    old: u32,
    active: Active,
    /// None when nothing is left: the segment only says that the other one is void.
    row: Option<SegmentRow>,
    blocks: Vec<NewBlock>,
    bytes: u64,
    damaged: u64,
}

/// Records of a segment that go on.
struct Source<'a> {
    segment: &'a Segment,
    rows: &'a [BlockRow],
    fates: &'a BTreeMap<BlockId, Fate>,
}

impl Store {
    /// Carries out a plan. All that was appended must be committed and sealed.
    pub(super) fn rewrite(
        &mut self,
        plan: &Plan,
        sources_gone: &[SourceId],
        sessions: &[(String, Option<SessionRow>)],
    ) -> Result<Rewritten, RewriteError> {
        let mut done = Rewritten::default();
        let segments: Vec<_> = plan.iter().collect();
        let mut groups = segments.chunks(SEGMENTS_AT_ONCE).peekable();
        if groups.peek().is_none() {
            self.replace(Vec::new(), sources_gone, sessions)?;
        }
        while let Some(group) = groups.next() {
            let replacements = self.write_all(group, sources_gone)?;
            done.segments += replacements.len() as u64;
            done.damaged += replacements.iter().map(|r| r.damaged).sum::<u64>();
            // Sources and sessions go with the last of their blocks.
            let last = groups.peek().is_none();
            let sources = if last { sources_gone } else { &[] };
            self.replace(replacements, sources, sessions)?;
        }
        Ok(done)
    }

    /// Writes the replacements of some segments; when one fails, none stays.
    fn write_all(
        &mut self,
        group: &[(&u32, &BTreeMap<BlockId, Fate>)],
        sources_gone: &[SourceId],
    ) -> Result<Vec<Replacement>, RewriteError> {
        let mut out: Vec<Replacement> = Vec::with_capacity(group.len());
        for (number, fates) in group {
            match self.write_replacement(**number, fates, sources_gone) {
                Ok(made) => out.push(made),
                Err(e) => {
                    for made in out {
                        self.remove_file(&file_name(made.active.number()))?;
                    }
                    return Err(e);
                }
            }
        }
        if self.options.sync != SyncPolicy::None {
            self.shared.storage.sync_dir(DIR).map_err(|e| self.io_failed(DIR, e))?;
        }
        Ok(out)
    }

    fn write_replacement(
        &mut self,
        old: u32,
        fates: &BTreeMap<BlockId, Fate>,
        sources_gone: &[SourceId],
    ) -> Result<Replacement, RewriteError> {
        let name = file_name(old);
        let segment = match self.shared.segment(old) {
            Ok(segment) => segment,
            Err(PieceError::Io(e)) => return Err(self.io_failed(&name, e)),
            Err(PieceError::Corrupt(what)) => {
                return Err(self.io_failed(&name, io::Error::other(what)));
            }
        };
        let rows = self.catalogue.view(|view| view.blocks_of_segment(old))?;
        let number = self.next_segment;
        self.next_segment += 1;
        let forgotten = sources_gone.contains(&segment.head.header.source)
            || self.is_needless(&segment, fates, rows.len());
        let mut header = segment.head.header.clone();
        if forgotten {
            header.name.clear();
        }
        let replaces = Replaces { segment: old, key: segment.head.key };
        let written = Active::create_from(&self.shared, number, header, now_ms())
            .and_then(|active| {
                fill(
                    active,
                    replaces,
                    &Source { segment: &segment, rows: &rows, fates },
                    !forgotten,
                )
            })
            .and_then(|(mut active, blocks, damaged)| {
                active.seal(now_ms(), self.options.sync)?;
                Ok((active, blocks, damaged))
            });
        match written {
            Ok((active, blocks, damaged)) => {
                let row = SegmentRow { sealed: true, ..active.row() };
                let bytes = active.bytes();
                let row = (!forgotten || !blocks.is_empty()).then_some(row);
                Ok(Replacement { old, active, row, blocks, bytes, damaged })
            }
            Err(e) => {
                self.remove_file(&file_name(number))?;
                Err(match e {
                    WriteError::Full { path, .. } => RewriteError::DiskFull { path },
                    WriteError::Io { path, source } => RewriteError::Io { path, source },
                })
            }
        }
    }

    /// Puts replacements in place: catalogue, readers, and then the files.
    fn replace(
        &mut self,
        replacements: Vec<Replacement>,
        sources_gone: &[SourceId],
        sessions: &[(String, Option<SessionRow>)],
    ) -> Result<(), RewriteError> {
        let snapshot = self.shared.snapshot();
        let changed = changes(&snapshot, &replacements);
        let pages = self.pages_without(&snapshot, &changed);
        let gone: Vec<u32> = replacements.iter().map(|r| r.old).collect();
        let rows: Vec<SegmentRow> = replacements.iter().filter_map(|r| r.row).collect();
        let mut blocks = Vec::new();
        let mut files = Vec::new();
        for r in replacements {
            blocks.extend(r.blocks);
            self.count(r.bytes);
            if r.row.is_none() {
                // It is written, and does not stay.
                self.bytes.files = self.bytes.files.saturating_sub(r.bytes);
            }
            files.push((r.old, r.active, r.row.is_some()));
        }
        let wear = self.wear();
        let batch = Batch {
            segments: &rows,
            blocks: &blocks,
            segments_gone: &gone,
            sources_gone,
            sessions,
            pages: &pages.rows,
            pages_gone: &pages.gone,
            wear: Some(wear),
            ..Batch::default()
        };
        if let Err(e) = self.catalogue.apply(&batch) {
            // Which of the two counts is for the next opening to say.
            self.latched = Some(format!("catalogue: {e}"));
            return Err(e.into());
        }
        self.bytes.wear_saved = self.bytes.wear;
        let pages_gone = self.publish_changes(&changed, pages, sources_gone);
        if let Err(e) = self.sync_catalogue() {
            self.latched = Some(format!("catalogue: {e}"));
            return Err(e.into());
        }
        self.remove_pages(&pages_gone);
        self.swap_files(files)
    }

    /// Makes it certain, as far as the sync policy asks for that, that nothing points to files
    /// which are about to go.
    pub(super) fn sync_catalogue(&self) -> Result<(), CatalogueError> {
        if self.options.sync == SyncPolicy::None { Ok(()) } else { self.catalogue.sync() }
    }

    /// Removes pages that nothing points to any more.
    pub(super) fn remove_pages(&self, numbers: &[u32]) {
        for number in numbers {
            // Those who hold it open keep it; an orphan is removed at the next opening.
            let _ = self.shared.storage.remove(&pages::file_name(*number));
        }
    }

    fn publish_changes(
        &self,
        changed: &BTreeMap<BlockId, Option<Entry>>,
        pages: NewPages,
        sources_gone: &[SourceId],
    ) -> Vec<u32> {
        let gone = pages.gone;
        self.shared.publish(|s| {
            s.change(changed, pages.all);
            let mut sources = s.sources().as_ref().clone();
            sources.retain(|id, _| !sources_gone.contains(id));
            s.set_sources(Arc::new(sources));
        });
        gone
    }

    /// Unlinks what was replaced, and then what only said so.
    fn swap_files(&mut self, files: Vec<(u32, Active, bool)>) -> Result<(), RewriteError> {
        for (old, active, stays) in &files {
            let size = self.shared.storage.size(&file_name(*old)).unwrap_or(0);
            self.remove_file(&file_name(*old))?;
            self.shared.forget_segment(*old);
            self.bytes.files = self.bytes.files.saturating_sub(size);
            if *stays {
                self.shared.add_segment(Arc::clone(&active.segment), true);
            }
        }
        if self.options.sync != SyncPolicy::None {
            self.shared.storage.sync_dir(DIR).map_err(|e| self.io_failed(DIR, e))?;
        }
        for (_, active, ..) in files.iter().filter(|f| !f.2) {
            self.remove_file(&file_name(active.number()))?;
        }
        self.bytes.catalogue = self.catalogue.bytes();
        Ok(())
    }

    fn remove_file(&mut self, name: &str) -> Result<(), RewriteError> {
        self.shared.storage.remove(name).map_err(|e| self.io_failed(name, e))
    }

    fn io_failed(&mut self, name: &str, source: io::Error) -> RewriteError {
        let path: PathBuf = self.shared.storage.root().join(name);
        self.latched = Some(format!("{}: {source}", path.display()));
        RewriteError::Io { path, source }
    }

    /// All pages, those with changed blocks made anew.
    fn pages_without(
        &mut self,
        snapshot: &Snapshot,
        changed: &BTreeMap<BlockId, Option<Entry>>,
    ) -> NewPages {
        let mut out = NewPages::default();
        for page in snapshot.pages() {
            let ids = page.id_first()..=page.id_last();
            if changed.range(ids).next().is_none() {
                out.all.push(Arc::clone(page));
                continue;
            }
            out.gone.push(page.number());
            self.bytes.files = self.bytes.files.saturating_sub(page.bytes());
            let blocks = page_blocks(snapshot, page, changed);
            if blocks.is_empty() {
                continue;
            }
            let blocks: Vec<&TailEntry> = blocks.iter().collect();
            match pages::write(&self.shared, &blocks) {
                Ok(page) => {
                    out.rows.push(pages::row(&page));
                    self.count(page.bytes());
                    out.all.push(page);
                }
                // The next opening makes it; until then it is in RAM.
                Err(_) => {
                    if let Some(page) = pages::in_ram(&self.shared, &blocks) {
                        out.rows.push(PageRow {
                            key: 0,
                            number: self.spare_page(),
                            ..pages::row(&page)
                        });
                        out.all.push(page);
                    }
                }
            }
        }
        out
    }

    /// A number for a page that has no file.
    fn spare_page(&self) -> u32 {
        self.shared.next_page.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    }
}

#[derive(Default)]
struct NewPages {
    all: Vec<Arc<Page>>,
    rows: Vec<PageRow>,
    gone: Vec<u32>,
}

/// Blocks of a page after the change.
fn page_blocks(
    snapshot: &Snapshot,
    page: &Page,
    changed: &BTreeMap<BlockId, Option<Entry>>,
) -> Vec<TailEntry> {
    let mut out = Vec::with_capacity(page.len());
    for at in 0..page.len() {
        let before = page.entry(at);
        let entry = match changed.get(&before.info.id) {
            Some(None) => continue,
            Some(Some(entry)) => *entry,
            None if snapshot.is_removed(before.info.id) => continue,
            None => before,
        };
        out.push(TailEntry { entry, address: page.address(at, snapshot.dim()) });
    }
    out
}

/// Where every block of the segments that are replaced is now; `None` for those that are gone.
fn changes(snapshot: &Snapshot, replacements: &[Replacement]) -> BTreeMap<BlockId, Option<Entry>> {
    let old: Vec<u32> = replacements.iter().map(|r| r.old).collect();
    let mut changed: BTreeMap<BlockId, Option<Entry>> = BTreeMap::new();
    if !old.is_empty() {
        let held = snapshot.iter().filter(|e| old.contains(&e.segment));
        changed.extend(held.map(|e| (e.info.id, None)));
    }
    for block in replacements.iter().flat_map(|r| &r.blocks) {
        changed.insert(block.row.info.id, Some(block.row));
    }
    changed
}

type Filled = (Active, Vec<NewBlock>, u64);

/// Writes what a replacement holds: what it replaces, the blocks that stay, the last commit.
fn fill(
    mut active: Active,
    replaces: Replaces,
    from: &Source<'_>,
    commit: bool,
) -> Result<Filled, WriteError> {
    let first = replaces.encode(active.seat());
    active.append(&first)?;
    let (mut blocks, mut damaged) = (Vec::new(), 0);
    let mut record = Vec::new();
    for row in from.rows {
        let fate = from.fates.get(&row.info.id).copied().unwrap_or(Fate::Keep);
        if fate == Fate::Drop {
            continue;
        }
        let seat = active.seat();
        match copy(from.segment, row, fate, &mut record) {
            Ok((header, text)) => {
                record[..crate::format::record::HEADER].copy_from_slice(&header.encode(seat));
                active.append(&record)?;
                active.blocks.push((header.info.id, seat.offset));
                let row = Entry {
                    info: header.info,
                    segment: active.number(),
                    offset: seat.offset,
                    bytes: record.len() as u64,
                };
                blocks.push(NewBlock { row, text });
            }
            // What cannot be read cannot be carried over.
            Err(PieceError::Corrupt(_)) => damaged += 1,
            Err(PieceError::Io(source)) => {
                return Err(WriteError::Io { path: active.path().to_owned(), source });
            }
        }
    }
    if commit {
        let last = commits(from.segment)
            .map_err(|source| WriteError::Io { path: active.path().to_owned(), source })?;
        if let Some(last) = last {
            let record = last.encode(active.seat());
            active.append(&record)?;
        }
    }
    Ok((active, blocks, damaged))
}

/// Puts a block's record, as far as it stays, into `out`, with room for its header, which is given
/// with the text.
fn copy(
    segment: &Segment,
    row: &BlockRow,
    fate: Fate,
    out: &mut Vec<u8>,
) -> Result<(BlockHeader, String), PieceError> {
    let Record::Block(mut header) = segment.record(row.offset)? else {
        return Err(PieceError::Corrupt("another record"));
    };
    if header.info != row.info {
        return Err(PieceError::Corrupt("header differs from the catalogue"));
    }
    out.clear();
    out.resize(crate::format::record::HEADER, 0);
    let mut piece = Vec::new();
    segment.body(row.offset, &header, &mut piece)?;
    let body = split_body(&header, &piece).ok_or(PieceError::Corrupt("body length"))?;
    let text = String::from_utf8_lossy(body.text).into_owned();
    out.extend_from_slice(&piece);
    let mut info: BlockInfo = header.info;
    if info.kv.is_some() && fate == Fate::Keep {
        segment.payload(row.offset, &header, &mut piece)?;
        out.extend_from_slice(&piece);
        out.resize(crate::format::aligned(out.len()), 0);
    } else {
        (info.kv, info.kv_bytes) = (None, 0);
    }
    if info.beacons.is_some() && fate >= Fate::Beacons {
        segment.beacons(row.offset, &header, &mut piece)?;
        out.extend_from_slice(&piece);
        out.resize(crate::format::aligned(out.len()), 0);
    } else {
        (info.beacons, header.beacon_checksum) = (None, 0);
    }
    if info.kv.is_none() {
        header.payload_checksum = crate::format::checksum(&[]);
    }
    header.info = info;
    Ok((header, text))
}
