//! Bringing the catalogue up to the segments: taking in what was acknowledged, cutting off what was
//! not.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
};

use crate::{
    BlockId, OpenError, SourceId,
    catalogue::{Batch, BlockRow, Contents, NewBlock, Quarantined, SegmentRow, SourceRow, View},
    error::CatalogueError,
    format::{record::Commit, segment::HEADER_PREFIX, segment::SegmentHeader},
    identity::io_error,
    reader::catalogue_error,
    segment::{
        DIR, PieceError, Segment, file_name, number_of,
        scan::{Depth, Found, Scan, scan},
        split_body,
    },
    shared::Shared,
    storage::Storage,
};

/// What the catalogue lacked.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    sources: Vec<SourceRow>,
    segments: Vec<SegmentRow>,
    blocks: Vec<NewBlock>,
    quarantined: Vec<Quarantined>,
    /// Segments that others stand in place of.
    gone: Vec<u32>,
    next_id: u64,
    cuts: Vec<Cut>,
    pub(super) problems: Vec<String>,
}

/// What is to be taken off once the catalogue is written.
#[derive(Debug)]
enum Cut {
    To { number: u32, segment: Arc<Segment>, bytes: u64 },
    Remove { number: u32 },
}

impl Recovered {
    pub(super) fn batch(&self) -> Batch<'_> {
        Batch {
            sources: &self.sources,
            segments: &self.segments,
            blocks: &self.blocks,
            quarantined: &self.quarantined,
            segments_gone: &self.gone,
            next_id: Some(self.next_id),
            ..Batch::default()
        }
    }
}

/// Numbers of the segment files, rising.
pub(crate) fn numbers(storage: &dyn Storage) -> Result<Vec<u32>, OpenError> {
    let names = storage.list(DIR).map_err(|e| io_error(storage, DIR, e))?;
    let mut numbers: Vec<u32> = names.iter().filter_map(|n| number_of(n)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// A segment with bytes that the catalogue does not account for.
struct News {
    segment: Arc<Segment>,
    row: Option<SegmentRow>,
    known: u64,
    scan: Scan,
}

/// Reads all that the catalogue does not account for. `None` when there is no such thing.
pub(super) fn recover(
    shared: &Shared,
    view: &View<'_>,
    contents: &Contents,
) -> Result<Option<Recovered>, OpenError> {
    let storage = &*shared.storage;
    let rows: BTreeMap<u32, SegmentRow> =
        contents.segments.iter().map(|s| (s.number, *s)).collect();
    let mut out = Recovered { next_id: contents.next_id, ..Recovered::default() };
    let mut news = Vec::new();
    let numbers = numbers(storage)?;
    let void = void(shared, &rows, &numbers, &mut out);
    for number in numbers.into_iter().filter(|n| !void.contains(n)) {
        let failed = |e| io_error(storage, &file_name(number), e);
        let row = rows.get(&number).copied();
        let bytes = storage.size(&file_name(number)).map_err(failed)?;
        if row.is_some_and(|r| r.bytes == bytes) {
            continue; // its header is checked when it is taken in
        }
        let segment = match Segment::open(storage, number, &shared.identity, true) {
            Ok(segment) => Arc::new(segment),
            Err(PieceError::Io(e)) => return Err(failed(e)),
            Err(PieceError::Corrupt(_)) if row.is_some() => continue, // told when it is taken in
            Err(PieceError::Corrupt(what)) => {
                if is_unfinished(storage, number).map_err(failed)? {
                    out.cuts.push(Cut::Remove { number });
                } else {
                    out.problems.push(format!("{}: {what}", file_name(number)));
                }
                continue;
            }
        };
        let known = row.map_or(segment.head.bytes, |r| r.bytes);
        let size = segment.file.size().map_err(failed)?;
        if size > known && row.is_some_and(|r| r.sealed) {
            out.problems.push(format!("{}: bytes after its end", file_name(number)));
        } else if size > known || row.is_none() {
            let scan = scan(&segment, known, Depth::Deep).map_err(failed)?;
            news.push(News { segment, row, known, scan });
        }
    }
    if news.is_empty() && out.cuts.is_empty() && out.gone.is_empty() && out.problems.is_empty() {
        return Ok(None);
    }
    take(view, contents, &news, &mut out).map_err(|e| match e {
        TakeError::Io(e) => io_error(storage, DIR, e),
        TakeError::Catalogue(e) => catalogue_error(storage, e),
    })?;
    Ok(Some(out))
}

/// Segments that sealed ones stand in place of, and replacements that were not finished: none of
/// them is looked at, all of them are removed. There are some only where a rewriting was
/// interrupted: then there is a file that the catalogue has no row of, or a row without a file.
fn void(
    shared: &Shared,
    rows: &BTreeMap<u32, SegmentRow>,
    numbers: &[u32],
    out: &mut Recovered,
) -> BTreeSet<u32> {
    let mut void = BTreeSet::new();
    if numbers.iter().all(|n| rows.contains_key(n)) {
        return void;
    }
    let open = |n: u32| Segment::open(&*shared.storage, n, &shared.identity, false).ok();
    for &number in numbers {
        let Some(segment) = open(number) else { continue };
        let Some(replaces) = segment.replaces() else { continue };
        let Ok(Some(table)) = segment.footer() else {
            out.cuts.push(Cut::Remove { number });
            void.insert(number);
            continue;
        };
        let old = replaces.segment;
        let there = numbers.contains(&old) && open(old).is_none_or(|s| s.head.key == replaces.key);
        if there {
            out.cuts.push(Cut::Remove { number: old });
            void.insert(old);
        }
        if rows.contains_key(&old) && (there || !numbers.contains(&old)) {
            out.gone.push(old);
        }
        if table.is_empty() && segment.head.header.name.is_empty() {
            // It only says that the other one is void; that is removed first.
            out.cuts.push(Cut::Remove { number });
            void.insert(number);
        }
    }
    void
}

/// Whether a file was begun and its header never finished: nothing follows it, or it is all zeros.
fn is_unfinished(storage: &dyn Storage, number: u32) -> Result<bool, io::Error> {
    let file = storage.open(&file_name(number), false)?;
    let size = file.size()?;
    let mut prefix = [0; HEADER_PREFIX];
    if size < HEADER_PREFIX as u64 {
        return Ok(true);
    }
    file.read_at(&mut prefix, 0)?;
    let unfinished = match SegmentHeader::bytes_of(&prefix) {
        // A header is synced before anything follows it.
        Ok(bytes) => size <= bytes as u64,
        Err(_) => prefix == [0; HEADER_PREFIX],
    };
    Ok(unfinished)
}

/// Why what was found could not be taken.
enum TakeError {
    Io(io::Error),
    Catalogue(CatalogueError),
}

impl From<io::Error> for TakeError {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

impl From<CatalogueError> for TakeError {
    fn from(e: CatalogueError) -> Self {
        Self::Catalogue(e)
    }
}

fn take(
    view: &View<'_>,
    contents: &Contents,
    news: &[News],
    out: &mut Recovered,
) -> Result<(), TakeError> {
    let mut horizon: BTreeMap<SourceId, Commit> = BTreeMap::new();
    // A segment that stands in place of an old one repeats an old commit: of a source that the
    // catalogue knows, it says nothing new.
    let known = |n: &&News| {
        let source = n.segment.head.header.source;
        n.segment.replaces().is_some() && contents.sources.iter().any(|s| s.id == source)
    };
    for found in news.iter().filter(|n| !known(n)).flat_map(|n| &n.scan.commits) {
        out.next_id = out.next_id.max(found.commit.id_end);
        let newest = horizon.entry(found.commit.source).or_insert(found.commit);
        let age = |c: &Commit| {
            let p = c.progress;
            (c.id_end, c.ordinal_end, p.absorbed_bytes, p.absorbed_lines, c.time_ms)
        };
        if age(&found.commit) >= age(newest) {
            *newest = found.commit;
        }
    }
    let gone = out.gone.clone();
    let mut seen = Seen { view, gone, ids: BTreeSet::new(), ordinals: BTreeSet::new() };
    for new in news {
        let commit = horizon.get(&new.segment.head.header.source);
        take_segment(new, commit, &mut seen, out)?;
    }
    for block in &out.blocks {
        out.next_id = out.next_id.max(block.row.info.id.0 + 1);
    }
    out.sources = source_rows(contents, news, &horizon);
    Ok(())
}

/// Ids and places within sources that are taken: by the catalogue, or just now.
struct Seen<'a> {
    view: &'a View<'a>,
    /// Segments whose blocks do not count.
    gone: Vec<u32>,
    ids: BTreeSet<BlockId>,
    ordinals: BTreeSet<(SourceId, u32)>,
}

impl Seen<'_> {
    fn is_new(&mut self, found: &Found) -> Result<bool, CatalogueError> {
        let i = &found.block.info;
        Ok(self.ids.insert(i.id)
            && self.ordinals.insert((i.source, i.ordinal))
            && self.view.segment_of(i.id)?.is_none_or(|s| self.gone.contains(&s))
            && self
                .view
                .segment_of_ordinal(i.source, i.ordinal)?
                .is_none_or(|s| self.gone.contains(&s)))
    }
}

fn take_segment(
    new: &News,
    commit: Option<&Commit>,
    seen: &mut Seen<'_>,
    out: &mut Recovered,
) -> Result<(), TakeError> {
    let number = new.segment.number();
    let source = new.segment.head.header.source;
    let mut end = new.known;
    for found in &new.scan.blocks {
        let info = &found.block.info;
        // All blocks of a sealed segment were acknowledged before it was sealed.
        let acknowledged = new.scan.sealed || commit.is_some_and(|c| info.id.0 < c.id_end);
        if info.source != source || !acknowledged {
            continue;
        }
        end = end.max(found.end());
        if !seen.is_new(found)? {
            let name = file_name(number);
            out.problems.push(format!("block {} is there twice, once in {name}", info.id.0));
        } else if let Some(what) = found.wrong {
            out.problems.push(format!("block {}: {what}", info.id.0));
            let (id, offset, reason) = (info.id, found.offset, what.to_owned());
            out.quarantined.push(Quarantined { id, segment: number, offset, reason });
        } else {
            out.blocks.push(new_block(&new.segment, found)?);
        }
    }
    end = new.scan.commits.iter().map(|c| c.end).fold(end, u64::max);
    let sealed = new.scan.sealed;
    if sealed {
        end = new.scan.file_bytes;
    }
    for (from, to, what) in new.scan.holes.iter().filter(|h| h.0 < end) {
        out.problems.push(format!("{}: {what} at {from} to {to}", file_name(number)));
    }
    if end == new.segment.head.bytes && new.row.is_none() {
        out.cuts.push(Cut::Remove { number });
        return Ok(());
    }
    if end < new.scan.file_bytes {
        let segment = Arc::clone(&new.segment);
        out.cuts.push(Cut::To { number, segment, bytes: end });
    }
    out.segments.push(SegmentRow { number, source, sealed, bytes: end });
    Ok(())
}

fn new_block(segment: &Segment, found: &Found) -> Result<NewBlock, io::Error> {
    let mut body = Vec::new();
    let text = match segment.body(found.offset, &found.block, &mut body) {
        Ok(()) => split_body(&found.block, &body).map(|b| b.text).unwrap_or_default(),
        // It was read and checked a moment ago.
        Err(PieceError::Corrupt(what)) => return Err(io::Error::other(what)),
        Err(PieceError::Io(e)) => return Err(e),
    };
    let row = BlockRow {
        info: found.block.info,
        segment: segment.number(),
        offset: found.offset,
        bytes: found.block.record_bytes(),
    };
    Ok(NewBlock { row, text: String::from_utf8_lossy(text).into_owned() })
}

/// Rows of all sources that changed, with `superseded` as the versions say.
fn source_rows(
    contents: &Contents,
    news: &[News],
    horizon: &BTreeMap<SourceId, Commit>,
) -> Vec<SourceRow> {
    let mut rows: BTreeMap<SourceId, SourceRow> =
        contents.sources.iter().map(|s| (s.id, s.clone())).collect();
    for new in news {
        let header = &new.segment.head.header;
        let Some(commit) = horizon.get(&header.source) else { continue };
        let row = rows.entry(header.source).or_insert_with(|| SourceRow {
            id: header.source,
            name: header.name.clone(),
            version: header.source_version,
            superseded: false,
            progress: commit.progress,
            ordinal_end: 0,
        });
        row.progress = commit.progress;
        row.ordinal_end = commit.ordinal_end;
    }
    let mut newest: BTreeMap<String, u32> = BTreeMap::new();
    for row in rows.values() {
        let version = newest.entry(row.name.clone()).or_default();
        *version = row.version.max(*version);
    }
    for row in rows.values_mut() {
        // An imported version can be superseded with no newer one here.
        row.superseded |= newest.get(&row.name).is_some_and(|v| *v > row.version);
    }
    let before: BTreeMap<SourceId, &SourceRow> =
        contents.sources.iter().map(|s| (s.id, s)).collect();
    rows.into_values().filter(|r| before.get(&r.id).is_none_or(|b| *b != r)).collect()
}

/// Takes off what was not acknowledged. Nobody maps an unsealed segment.
pub(super) fn cut(storage: &dyn Storage, recovered: &Recovered) -> Result<(), OpenError> {
    for cut in &recovered.cuts {
        match cut {
            Cut::To { number, segment, bytes } => {
                let file = &segment.file;
                let done = file.truncate(*bytes).and_then(|()| file.sync(false));
                done.map_err(|e| io_error(storage, &file_name(*number), e))?;
            }
            Cut::Remove { number } => {
                let name = file_name(*number);
                storage.remove(&name).map_err(|e| io_error(storage, &name, e))?;
            }
        }
    }
    Ok(())
}
