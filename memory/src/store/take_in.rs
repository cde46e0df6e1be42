//! Publishing what the catalogue says, as far as segments and pages agree with it.
//!
//! Only sources, segments and pages are read at opening, and the blocks that no page holds: fewer
//! than a page when all is well, so that opening does not depend on how many blocks there are.

use std::{io, sync::Arc, sync::atomic::Ordering};

use super::load::Failed;
use crate::{
    BlockAddress, OpenError,
    catalogue::{Batch, BlockRow, Catalogue, Contents, PageRow, Quarantined, SegmentRow, View},
    identity::io_error,
    index::{page::Page, tile::AddressTiles},
    pages,
    segment::{BlockAt, PieceError, Segment, file_name, split_body},
    shared::{Shared, SourceEntry},
    snapshot::TailEntry,
};

/// What was taken in.
pub(super) struct Taken {
    pub(super) contents: Contents,
    /// What is wrong, for people.
    pub(super) problems: Vec<String>,
}

/// Blocks as the rows have them, and what of the index was found.
struct Found {
    contents: Contents,
    pages: Vec<Arc<Page>>,
    /// Rows of pages that are not as they should be, with the blocks that they should hold.
    lost: Vec<(PageRow, Vec<BlockRow>)>,
    /// Blocks beyond all pages, and beyond those that are published.
    newer: Vec<BlockRow>,
    /// Blocks whose segment is missing, too short or another's.
    bad: Vec<(BlockRow, &'static str)>,
    problems: Vec<String>,
    /// What was published in no page does not count any more.
    stale: bool,
}

/// Publishes what the catalogue has. When `write`, pages that are missing are made, and those that
/// nothing points to are removed.
pub(super) fn take_in(
    shared: &Shared,
    catalogue: &Catalogue,
    write: bool,
) -> Result<Taken, OpenError> {
    let found =
        catalogue.view(|view| find(shared, view)).map_err(|e: Failed| e.at(&*shared.storage))?;
    let Found { contents, mut pages, lost, newer, bad, mut problems, stale } = found;
    for bad in &contents.quarantined {
        shared.quarantine(bad.clone(), true);
    }
    for (row, what) in &bad {
        lose(shared, row, what, &mut problems);
    }
    if write {
        shared.next_page.store(next_page(shared, &contents)?, Ordering::Relaxed);
    }
    let mut work = Work { shared, write, rows: Vec::new(), gone: Vec::new() };
    for (row, blocks) in lost {
        let blocks = work.with_addresses(&blocks, &mut problems)?;
        pages.extend(work.pages_of(&blocks, 1));
        work.gone.push(row.number);
    }
    pages.sort_by_key(|p| p.id_first());
    let mut tail = work.with_addresses(&newer, &mut problems)?;
    if write {
        let made = work.pages_of(&tail, shared.page_blocks);
        let last = made.last().map(|p| p.id_last());
        tail.retain(|e| last.is_none_or(|l| e.entry.info.id > l));
        pages.extend(made);
        let batch = Batch { pages: &work.rows, pages_gone: &work.gone, ..Batch::default() };
        if !(work.rows.is_empty() && work.gone.is_empty()) {
            // Only made for speed: what the catalogue does not take is made again next time.
            let _ = catalogue.apply(&batch);
        }
        remove_orphans(shared, &pages)?;
    }
    let sources = contents.sources.iter().map(|s| (s.id, Arc::new(SourceEntry::new(s.clone()))));
    let sources = Arc::new(sources.collect());
    let removed = contents.quarantined.iter().map(|q| q.id).chain(bad.iter().map(|b| b.0.info.id));
    let removed: Vec<_> = removed.collect();
    shared.publish(|snapshot| {
        snapshot.set_sources(sources);
        if stale {
            snapshot.clear_tail();
        }
        snapshot.set_pages(pages);
        for entry in tail {
            snapshot.push(entry);
        }
        for id in removed {
            snapshot.remove(id);
        }
    });
    shared.revision.store(contents.revision, Ordering::Relaxed);
    let left: Vec<u32> = contents.segments.iter().map(|s| s.number).collect();
    shared.retain_segments(&left);
    Ok(Taken { contents, problems })
}

fn find(shared: &Shared, view: &View<'_>) -> Result<Found, Failed> {
    let contents = view.contents()?;
    let mut out = Found {
        pages: Vec::with_capacity(contents.pages.len()),
        lost: Vec::new(),
        newer: Vec::new(),
        bad: Vec::new(),
        problems: Vec::new(),
        stale: false,
        contents,
    };
    let before = shared.snapshot();
    for row in &out.contents.pages {
        let known = before.pages().iter().find(|p| pages::row(p) == *row).cloned();
        match known.or_else(|| pages::load(shared, row)) {
            Some(page) => out.pages.push(page),
            None => {
                let blocks = view.blocks(row.id_first.0..=row.id_last.0)?;
                out.lost.push((*row, blocks));
            }
        }
    }
    let paged = out.contents.pages.iter().map(|p| p.id_last.0 + 1).max().unwrap_or(0);
    // What was published in no page may have moved when anything but appending was done.
    out.stale = out.contents.revision != shared.revision.load(Ordering::Relaxed);
    let last = before.tail().next_back().filter(|_| !out.stale);
    let published = last.map_or(0, |e| e.entry.info.id.0 + 1);
    out.newer = view.blocks(paged.max(published)..=u64::MAX)?;
    let changed = |row: &&SegmentRow| !shared.knows_segment(row.number, row.sealed);
    let rows: Vec<SegmentRow> = out.contents.segments.iter().filter(changed).copied().collect();
    for row in rows {
        check_segment(shared, view, &row, &mut out)?;
    }
    let unknown = |b: &&BlockRow| !out.contents.segments.iter().any(|s| s.number == b.segment);
    let homeless: Vec<BlockRow> = out.newer.iter().filter(unknown).copied().collect();
    out.bad.extend(homeless.into_iter().map(|b| (b, "segment is not in the catalogue")));
    let bad: std::collections::BTreeSet<_> = out.bad.iter().map(|b| b.0.info.id).collect();
    let good = |b: &BlockRow| !bad.contains(&b.info.id);
    out.newer.retain(good);
    for (_, blocks) in &mut out.lost {
        blocks.retain(good);
    }
    Ok(out)
}

/// Checks a segment's header and length; its blocks are bad where it is not as it should be.
fn check_segment(
    shared: &Shared,
    view: &View<'_>,
    row: &SegmentRow,
    out: &mut Found,
) -> Result<(), Failed> {
    let name = file_name(row.number);
    let failed = |e| Failed::Open(io_error(&*shared.storage, &name, e));
    let wrong = match Segment::open(&*shared.storage, row.number, &shared.identity, false) {
        Ok(segment) => {
            shared.know_segment(row.number, row.sealed);
            let size = segment.file.size().map_err(failed)?;
            if size >= row.bytes {
                return Ok(());
            }
            for block in view.blocks_of_segment(row.number)? {
                if block.offset.checked_add(block.bytes).is_none_or(|end| end > size) {
                    out.bad.push((block, "segment ends too early"));
                }
            }
            return Ok(());
        }
        Err(PieceError::Io(e)) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
        Err(PieceError::Io(_)) => "segment is missing",
        Err(PieceError::Corrupt(what)) => what,
    };
    out.problems.push(format!("{name}: {wrong}"));
    out.bad.extend(view.blocks_of_segment(row.number)?.into_iter().map(|b| (b, wrong)));
    Ok(())
}

fn lose(shared: &Shared, block: &BlockRow, what: &str, problems: &mut Vec<String>) {
    let (id, segment, offset) = (block.info.id, block.segment, block.offset);
    problems.push(format!("block {}: {what}", id.0));
    shared.quarantine(Quarantined { id, segment, offset, reason: what.to_owned() }, false);
}

/// Makes pages.
struct Work<'a> {
    shared: &'a Shared,
    write: bool,
    rows: Vec<PageRow>,
    gone: Vec<u32>,
}

impl Work<'_> {
    /// Blocks with their addresses, read from their records. Damaged ones are quarantined.
    fn with_addresses(
        &self,
        blocks: &[BlockRow],
        problems: &mut Vec<String>,
    ) -> Result<Vec<TailEntry>, OpenError> {
        let mut out = Vec::with_capacity(blocks.len());
        for block in blocks {
            let read = read_address(self.shared, block);
            match read.map_err(|e| io_error(&*self.shared.storage, &file_name(block.segment), e))? {
                Ok(address) => out.push(TailEntry { entry: *block, address }),
                Err(what) => lose(self.shared, block, what, problems),
            }
        }
        Ok(out)
    }

    /// Pages of all these blocks, in as many files as need be, each of at least `least`.
    fn pages_of(&mut self, blocks: &[TailEntry], least: usize) -> Vec<Arc<Page>> {
        let mut out = Vec::new();
        for part in blocks.chunks(self.shared.page_blocks).filter(|p| p.len() >= least) {
            let part: Vec<&TailEntry> = part.iter().collect();
            let written = self.write.then(|| pages::write(self.shared, &part)).and_then(Result::ok);
            if let Some(page) = &written {
                self.rows.push(pages::row(page));
            }
            // A disk that takes no page must not keep blocks from being found.
            out.extend(written.or_else(|| pages::in_ram(self.shared, &part)));
        }
        out
    }
}

type Read = Result<Option<AddressTiles>, &'static str>;

/// The address of a block as its record has it; the inner error is damage.
fn read_address(shared: &Shared, row: &BlockRow) -> Result<Read, io::Error> {
    let at = BlockAt { id: row.info.id, offset: row.offset };
    let layout = shared.identity.address;
    let read = || {
        let segment = shared.segment(row.segment)?;
        let block = segment.block(at)?;
        if block.info != row.info {
            return Err(PieceError::Corrupt("header differs from the catalogue"));
        }
        let mut body = Vec::new();
        segment.body(row.offset, &block, &mut body)?;
        let parts = split_body(&block, &body).ok_or(PieceError::Corrupt("body length"))?;
        let address = BlockAddress::decode(layout, parts.address);
        address.map_err(|_| PieceError::Corrupt("address"))
    };
    match read() {
        Ok(address) => Ok(Ok(AddressTiles::new(&address, usize::from(layout.dim)))),
        Err(PieceError::Corrupt(what)) => Ok(Err(what)),
        Err(PieceError::Io(e)) => Err(e),
    }
}

/// A number that no page has or had since the last opening.
fn next_page(shared: &Shared, contents: &Contents) -> Result<u32, OpenError> {
    let names = shared.storage.list(pages::DIR);
    let names = names.map_err(|e| io_error(&*shared.storage, pages::DIR, e))?;
    let files = names.iter().filter_map(|n| pages::number_of(n));
    let rows = contents.pages.iter().map(|p| p.number);
    Ok(files.chain(rows).max().map_or(1, |n| n + 1))
}

/// Removes files of pages that nothing points to, and those of earlier versions of the format.
fn remove_orphans(shared: &Shared, pages: &[Arc<Page>]) -> Result<(), OpenError> {
    let storage = &*shared.storage;
    let failed = |dir| move |e| io_error(storage, dir, e);
    for name in storage.list(pages::DIR).map_err(failed(pages::DIR))? {
        let number = pages::number_of(&name);
        if !number.is_some_and(|n| pages.iter().any(|p| p.number() == n)) {
            let path = format!("{}/{name}", pages::DIR);
            storage.remove(&path).map_err(failed(pages::DIR))?;
        }
    }
    for name in storage.list(crate::segment::DIR).map_err(failed(crate::segment::DIR))? {
        if name.ends_with(".addr") || name.ends_with(".addr.new") {
            let path = format!("{}/{name}", crate::segment::DIR);
            storage.remove(&path).map_err(failed(crate::segment::DIR))?;
        }
    }
    Ok(())
}
