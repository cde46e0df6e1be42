//! Opening: what is published first, from the catalogue and the segments it names.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
};

use super::{Active, Bytes, LockGuardBox, Store, recover};
use crate::{
    BlockAddress, BlockId, OpenError, Reader, SourceId, StoreOptions,
    catalogue::{self, BlockRow, Catalogue, Contents, Quarantined, SegmentRow},
    format::segment::Identity,
    identity::{self, io_error},
    index::tile::AddressTiles,
    reader::{catalogue_error, check_identity},
    segment::{self, BlockAt, PieceError, Segment, file_name, split_body},
    shared::{Shared, SourceEntry},
    sidecar,
    snapshot::Entry,
    storage::{CataloguePlace, LockGuard, LockRefused, Storage},
};

/// Names that a store's folder may have before it has an identity.
const OURS: [&str; 4] = ["lock", "store.json", "segments", catalogue::FILE];

pub(crate) fn open_writer(
    storage: Arc<dyn Storage>,
    options: &StoreOptions,
) -> Result<Store, OpenError> {
    let lock = take_lock(&*storage)?;
    let identity = match identity::load(&*storage)? {
        Some(found) => found,
        None if has_segments(&*storage)? => return Err(identity_lost(&*storage)),
        None => {
            let made = options.identity(identity::random_store_id());
            identity::create(&*storage, &made)?;
            made
        }
    };
    open_locked(storage, lock, identity, options)
}

/// Makes the folder if need be and takes its lock.
pub(crate) fn take_lock(storage: &dyn Storage) -> Result<LockGuard, OpenError> {
    let root = storage.root();
    storage.create_dir("").map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            OpenError::NotADirectory { path: root.clone() }
        }
        _ => io_error(storage, "", e),
    })?;
    check_folder(storage)?;
    storage.lock().map_err(|refused| match refused {
        LockRefused::Held { pid } => OpenError::Locked { path: root, pid },
        LockRefused::Io(e) => io_error(storage, "lock", e),
    })
}

/// Opens a store whose lock is held and whose identity is known.
pub(crate) fn open_locked(
    storage: Arc<dyn Storage>,
    lock: LockGuard,
    identity: Identity,
    options: &StoreOptions,
) -> Result<Store, OpenError> {
    check_identity(&*storage, &identity, options)?;
    storage.create_dir(segment::DIR).map_err(|e| io_error(&*storage, segment::DIR, e))?;
    let failed = |e| catalogue_error(&*storage, e);
    let place = storage.catalogue();
    let catalogue = Catalogue::open(&place, identity.store, options.sync).map_err(failed)?;
    let shared = Arc::new(Shared::new(Arc::clone(&storage), identity, options.map));
    let mut contents = catalogue.contents(0).map_err(failed)?;
    let mut problems = Vec::new();
    if let Some(recovered) = recover::recover(&shared, &contents)? {
        catalogue.apply(&recovered.batch()).map_err(failed)?;
        recover::cut(&*storage, &recovered)?;
        problems.extend(recovered.problems);
        contents = catalogue.contents(0).map_err(failed)?;
    }
    problems.extend(take_in(&shared, &contents, true)?);
    let reading = catalogue.reader(identity.store).map_err(failed)?;
    let closing = unsealed(&shared, &contents)?;
    let numbers = recover::numbers(&*storage)?;
    Ok(Store {
        bytes: Bytes {
            files: files_bytes(&*storage)?,
            catalogue: catalogue.bytes(),
            ..Bytes::default()
        },
        catalogue,
        reading,
        options: options.clone(),
        active: None,
        closing,
        pending: Vec::new(),
        changed: BTreeSet::new(),
        restated: BTreeSet::new(),
        newest: newest(&contents),
        next_id: contents.next_id,
        next_source: contents.sources.iter().map(|s| s.id.0 + 1).max().unwrap_or(1),
        next_segment: numbers.last().map_or(1, |n| n + 1),
        created: true,
        buffer: Vec::new(),
        latched: None,
        problems,
        _lock: LockGuardBox(lock),
        shared,
    })
}

pub(crate) fn open_reader(
    storage: Arc<dyn Storage>,
    options: &StoreOptions,
) -> Result<Reader, OpenError> {
    let root = storage.root();
    let identity = match identity::load(&*storage) {
        Ok(Some(found)) => found,
        Ok(None) if has_segments(&*storage)? => return Err(identity_lost(&*storage)),
        Ok(None) => return Err(OpenError::Absent { path: root }),
        Err(OpenError::Io { source, .. }) if source.kind() == io::ErrorKind::NotADirectory => {
            return Err(OpenError::NotADirectory { path: root });
        }
        Err(e) => return Err(e),
    };
    check_identity(&*storage, &identity, options)?;
    let CataloguePlace::Folder(folder) = storage.catalogue() else {
        // Nobody but its own process reads a store in RAM.
        return Err(OpenError::Absent { path: root });
    };
    let catalogue = Catalogue::open_reader(&folder, identity.store)
        .map_err(|e| catalogue_error(&*storage, e))?;
    let shared = Arc::new(Shared::new(storage, identity, options.map));
    refresh(&shared, &catalogue)?;
    Ok(Reader::new(shared, catalogue))
}

/// Takes in what the catalogue has beyond what is published.
pub(crate) fn refresh(shared: &Shared, catalogue: &Catalogue) -> Result<(), OpenError> {
    let last = shared.snapshot().iter().next_back().map_or(0, |e| e.info.id.0 + 1);
    let contents = catalogue.contents(last).map_err(|e| catalogue_error(&*shared.storage, e))?;
    take_in(shared, &contents, false).map(drop)
}

/// Refuses a path that is no folder, without making one.
pub(crate) fn require_folder(storage: &dyn Storage) -> Result<(), OpenError> {
    let path = storage.root();
    match storage.list("") {
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
            Err(OpenError::NotADirectory { path })
        }
        Err(e) => Err(io_error(storage, "", e)),
        Ok(names) if names.is_empty() => Err(OpenError::Absent { path }),
        Ok(_) => Ok(()),
    }
}

pub(crate) fn check_folder(storage: &dyn Storage) -> Result<(), OpenError> {
    let names = storage.list("").map_err(|e| io_error(storage, "", e))?;
    if names.iter().any(|n| n == identity::FILE) {
        return Ok(());
    }
    let ours = |n: &String| OURS.iter().any(|o| n.starts_with(o));
    match names.into_iter().find(|n| !ours(n)) {
        Some(found) => Err(OpenError::NotAStore { path: storage.root(), found }),
        None => Ok(()),
    }
}

pub(crate) fn has_segments(storage: &dyn Storage) -> Result<bool, OpenError> {
    Ok(!recover::numbers(storage)?.is_empty())
}

pub(crate) fn identity_lost(storage: &dyn Storage) -> OpenError {
    let what = "it is missing, but there are segments: rebuild makes it again".to_owned();
    OpenError::Damaged { path: storage.root().join(identity::FILE), what }
}

fn newest(contents: &Contents) -> BTreeMap<String, SourceId> {
    let mut newest: BTreeMap<String, (u32, SourceId)> = BTreeMap::new();
    for s in &contents.sources {
        let best = newest.entry(s.name.clone()).or_insert((s.version, s.id));
        *best = (*best).max((s.version, s.id));
    }
    newest.into_iter().map(|(name, (_, id))| (name, id)).collect()
}

fn files_bytes(storage: &dyn Storage) -> Result<u64, OpenError> {
    let failed = |e| io_error(storage, segment::DIR, e);
    let mut bytes = 0;
    for name in storage.list(segment::DIR).map_err(failed)? {
        let file = storage.open(&format!("{}/{name}", segment::DIR), false).map_err(failed)?;
        bytes += file.size().map_err(failed)?;
    }
    Ok(bytes)
}

/// Segments of earlier runs that may go on: unsealed, and exactly as long as the catalogue says.
fn unsealed(shared: &Shared, contents: &Contents) -> Result<Vec<Active>, OpenError> {
    let mut out = Vec::new();
    for row in contents.segments.iter().filter(|r| !r.sealed) {
        let name = file_name(row.number);
        let Ok(segment) = Segment::open(&*shared.storage, row.number, &shared.identity, true)
        else {
            continue; // reported when it was taken in
        };
        let size = segment.file.size().map_err(|e| io_error(&*shared.storage, &name, e))?;
        if size == row.bytes {
            let blocks = contents.blocks.iter().filter(|b| b.segment == row.number);
            let blocks = blocks.map(|b| (b.info.id, b.offset)).collect();
            let segment = Arc::new(segment);
            shared.add_segment(Arc::clone(&segment));
            let path = shared.storage.root().join(name);
            out.push(Active::resume(segment, path, row.bytes, blocks, true));
        }
    }
    Ok(out)
}

/// Publishes what the catalogue says, as far as the segments agree. Gives what is wrong, for
/// people.
fn take_in(shared: &Shared, contents: &Contents, write: bool) -> Result<Vec<String>, OpenError> {
    let mut problems = Vec::new();
    for bad in &contents.quarantined {
        shared.quarantine(bad.clone(), true);
    }
    let mut by_segment: BTreeMap<u32, Vec<&BlockRow>> = BTreeMap::new();
    for block in &contents.blocks {
        by_segment.entry(block.segment).or_default().push(block);
    }
    let mut entries = Vec::with_capacity(contents.blocks.len());
    for row in &contents.segments {
        let blocks = by_segment.remove(&row.number).unwrap_or_default();
        match open_segment(shared, row) {
            Ok(segment) => {
                let size = segment.file.size();
                if size.is_ok_and(|size| size < row.bytes) {
                    problems.push(format!("{}: it is cut short", file_name(row.number)));
                }
                let rows = take_segment(shared, &segment, row, &blocks, write)?;
                for (block, taken) in blocks.iter().zip(rows) {
                    match taken {
                        Ok(address) => entries.push(entry(block, address)),
                        Err(what) => lose(shared, block, what, &mut problems),
                    }
                }
            }
            Err(PieceError::Io(e)) if e.kind() != io::ErrorKind::NotFound => {
                return Err(io_error(&*shared.storage, &file_name(row.number), e));
            }
            Err(e) => {
                let what = match e {
                    PieceError::Corrupt(what) => what,
                    PieceError::Io(_) => "segment is missing",
                };
                problems.push(format!("{}: {what}", file_name(row.number)));
                for block in blocks {
                    lose(shared, block, what, &mut problems);
                }
            }
        }
    }
    for block in by_segment.into_values().flatten() {
        lose(shared, block, "segment is not in the catalogue", &mut problems);
    }
    entries.sort_by_key(|e: &Entry| e.info.id);
    let sources = contents.sources.iter().map(|s| (s.id, Arc::new(SourceEntry::new(s.clone()))));
    let sources = Arc::new(sources.collect());
    shared.publish(|snapshot| {
        snapshot.set_sources(sources);
        for entry in entries {
            snapshot.push(entry);
        }
    });
    Ok(problems)
}

fn entry(block: &BlockRow, address: Option<AddressTiles>) -> Entry {
    Entry { info: block.info, segment: block.segment, offset: block.offset, address }
}

fn lose(shared: &Shared, block: &BlockRow, what: &str, problems: &mut Vec<String>) {
    let (id, segment, offset) = (block.info.id, block.segment, block.offset);
    problems.push(format!("block {}: {what}", id.0));
    shared.quarantine(Quarantined { id, segment, offset, reason: what.to_owned() }, false);
}

fn open_segment(shared: &Shared, row: &SegmentRow) -> Result<Arc<Segment>, PieceError> {
    if let Some(known) = shared.segment(row.number) {
        if row.sealed {
            known.map_sealed(shared.map)?;
        }
        return Ok(known);
    }
    let segment = Segment::open(&*shared.storage, row.number, &shared.identity, false)?;
    if row.sealed {
        segment.map_sealed(shared.map)?;
    }
    let segment = Arc::new(segment);
    shared.add_segment(Arc::clone(&segment));
    Ok(segment)
}

type Taken = Result<Option<AddressTiles>, &'static str>;

/// The addresses of a segment's blocks: from its address file, or from the blocks.
fn take_segment(
    shared: &Shared,
    segment: &Segment,
    row: &SegmentRow,
    blocks: &[&BlockRow],
    write: bool,
) -> Result<Vec<Taken>, OpenError> {
    let failed = |e| io_error(&*shared.storage, &file_name(row.number), e);
    let size = segment.file.size().map_err(failed)?;
    let fits = |b: &BlockRow| b.offset.checked_add(b.bytes).is_some_and(|end| end <= size);
    if row.sealed
        && let Some(mut addresses) = sidecar::load(shared, segment)
    {
        let taken = blocks.iter().map(|b| match addresses.remove(&b.info.id) {
            Some(address) if fits(b) => Ok(address),
            Some(_) => Err("segment ends too early"),
            None => read_address(shared, segment, b).unwrap_or(Err("cannot be read")),
        });
        return Ok(taken.collect());
    }
    let mut taken = Vec::with_capacity(blocks.len());
    for block in blocks {
        taken.push(read_address(shared, segment, block).map_err(failed)?);
    }
    if write && row.sealed {
        let places: Vec<(BlockId, u64)> = blocks.iter().map(|b| (b.info.id, b.offset)).collect();
        // It is only made for speed: the next opening tries again.
        let _ = sidecar::write(shared, segment, &places);
    }
    Ok(taken)
}

/// The address of a block as its record has it; the inner error is damage.
pub(crate) fn read_address(
    shared: &Shared,
    segment: &Segment,
    row: &BlockRow,
) -> Result<Taken, io::Error> {
    let at = BlockAt { id: row.info.id, offset: row.offset };
    let layout = shared.identity.address;
    let read = || {
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
