//! Opening: what is published first, from the catalogue and the segments it names.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
};

use super::{Active, Bytes, LockGuardBox, Store, budget::GivenUp, recover, take_in};
use crate::{
    BlockId, OpenError, Reader, SourceId, StoreOptions,
    catalogue::{self, Catalogue, Contents},
    error::CatalogueError,
    format::segment::Identity,
    identity::{self, io_error},
    options::WhenFull,
    pages, pins,
    reader::{catalogue_error, check_identity},
    segment::{self, Segment, file_name},
    shared::Shared,
    storage::{CataloguePlace, LockGuard, LockRefused, Storage},
};

/// A budget has room for at least so many full segments.
const SEGMENTS_OF_BUDGET: u64 = 16;

/// Names that a store's folder may have before it has an identity.
const OURS: [&str; 6] =
    ["lock", "store.json", segment::DIR, pages::DIR, catalogue::FILE, pins::FILE];

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
    // Older programs refuse it from now on, rather than misread what is written.
    identity::upgrade(&*storage, &identity)?;
    for dir in [segment::DIR, pages::DIR] {
        storage.create_dir(dir).map_err(|e| io_error(&*storage, dir, e))?;
    }
    let failed = |e| catalogue_error(&*storage, e);
    let catalogue =
        Catalogue::open(&storage.catalogue(), identity.store, options).map_err(failed)?;
    let shared = Arc::new(Shared::new(Arc::clone(&storage), identity, options));
    shared.is_writers.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut problems = Vec::new();
    let recovered = catalogue.view(|view| {
        let contents = view.contents().map_err(Failed::Catalogue)?;
        Ok(recover::recover(&shared, view, &contents)?)
    });
    if let Some(recovered) = recovered.map_err(|e: Failed| e.at(&*storage))? {
        catalogue.apply(&recovered.batch()).map_err(failed)?;
        recover::cut(&*storage, &recovered)?;
        problems.extend(recovered.problems);
    }
    let taken = take_in::take_in(&shared, &catalogue, true)?;
    problems.extend(taken.problems);
    let contents = taken.contents;
    let reading = catalogue.reader(identity.store).map_err(failed)?;
    let pins =
        pins::load(&*storage, identity.store).map_err(|e| io_error(&*storage, pins::FILE, e))?;
    let pins = pins.unwrap_or_else(|what| {
        problems.push(format!("{}: {what}", pins::FILE));
        BTreeSet::new()
    });
    let closing = unsealed(&shared, &catalogue, &contents)?;
    let wear = catalogue.view(|view| view.wear()).map_err(failed)?;
    let mut store = Store {
        bytes: Bytes {
            files: files_bytes(&*storage)?,
            catalogue: catalogue.bytes(),
            wear,
            wear_saved: wear,
            ..Bytes::default()
        },
        catalogue,
        reading,
        options: within_budget(options),
        pins,
        hits: BTreeMap::new(),
        given_up: GivenUp::default(),
        active: None,
        closing,
        pending: Vec::new(),
        changed: BTreeSet::new(),
        restated: BTreeSet::new(),
        notes: Vec::new(),
        spares: false,
        sessions: Vec::new(),
        newest: newest(&contents),
        begun: BTreeSet::new(),
        earlier: BlockId(contents.next_id),
        next_id: contents.next_id,
        next_source: contents.sources.iter().map(|s| s.id.0 + 1).max().unwrap_or(1),
        next_segment: recover::numbers(&*storage)?.last().map_or(1, |n| n + 1),
        created: true,
        buffer: Vec::new(),
        latched: None,
        problems,
        _lock: LockGuardBox(lock),
        shared,
    };
    store.finish_import()?;
    keep_budget(&mut store);
    Ok(store)
}

/// The options of a store with a budget: room is made by writing whole segments anew, so that there
/// must be several of them.
fn within_budget(options: &StoreOptions) -> StoreOptions {
    let mut options = options.clone();
    if let Some(max) = options.disk_bytes_max {
        options.segment_bytes_max = options.segment_bytes_max.min(max / SEGMENTS_OF_BUDGET);
    }
    options
}

/// A store that is larger than its budget, because the budget is new or the last run was
/// interrupted, gives up what is too much. When it cannot, that is a problem, and no reason not to
/// open it.
fn keep_budget(store: &mut Store) {
    let over = store.options.disk_bytes_max.is_some_and(|max| store.disk_bytes() > max);
    if !over || store.options.when_full != WhenFull::GiveUp {
        return;
    }
    let done = store.seal_all().and_then(|()| store.make_room(0));
    if let Err(e) = done {
        store.problems.push(format!("the disk budget: {e}"));
    }
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
    let shared = Arc::new(Shared::new(storage, identity, options));
    refresh(&shared, &catalogue)?;
    Ok(Reader::new(shared, catalogue))
}

/// Takes in what the catalogue has beyond what is published.
pub(crate) fn refresh(shared: &Shared, catalogue: &Catalogue) -> Result<(), OpenError> {
    take_in::take_in(shared, catalogue, false).map(drop)
}

/// An error of a read of the catalogue's rows, or of what they point to.
#[derive(Debug)]
pub(super) enum Failed {
    Catalogue(CatalogueError),
    Open(OpenError),
}

impl From<CatalogueError> for Failed {
    fn from(e: CatalogueError) -> Self {
        Self::Catalogue(e)
    }
}

impl From<OpenError> for Failed {
    fn from(e: OpenError) -> Self {
        Self::Open(e)
    }
}

impl Failed {
    pub(super) fn at(self, storage: &dyn Storage) -> OpenError {
        match self {
            Self::Catalogue(e) => catalogue_error(storage, e),
            Self::Open(e) => e,
        }
    }
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
    let mut bytes = 0;
    for dir in [segment::DIR, pages::DIR] {
        let failed = |e| io_error(storage, dir, e);
        for name in storage.list(dir).map_err(failed)? {
            bytes += storage.size(&format!("{dir}/{name}")).map_err(failed)?;
        }
    }
    Ok(bytes)
}

/// Segments of earlier runs that may go on: unsealed, and exactly as long as the catalogue says.
fn unsealed(
    shared: &Shared,
    catalogue: &Catalogue,
    contents: &Contents,
) -> Result<Vec<Active>, OpenError> {
    let mut out = Vec::new();
    for row in contents.segments.iter().filter(|r| !r.sealed) {
        let name = file_name(row.number);
        let Ok(segment) = Segment::open(&*shared.storage, row.number, &shared.identity, true)
        else {
            continue; // reported when it was taken in
        };
        let size = segment.file.size().map_err(|e| io_error(&*shared.storage, &name, e))?;
        if size == row.bytes {
            let blocks = catalogue
                .view(|view| view.blocks_of_segment(row.number))
                .map_err(|e| catalogue_error(&*shared.storage, e))?;
            let blocks = blocks.iter().map(|b| (b.info.id, b.offset)).collect();
            let segment = Arc::new(segment);
            shared.add_segment(Arc::clone(&segment), false);
            let path = shared.storage.root().join(name);
            out.push(Active::resume(segment, path, row.bytes, blocks, true));
        }
    }
    Ok(out)
}
