//! The catalogue made anew from the segments.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::{
    MapChoice, StoreOptions, SyncPolicy, VerifyError, catalogue,
    format::segment::Identity,
    identity, pages,
    segment::{PieceError, Segment, file_name},
    storage::{FileStorage, Storage},
    store::{load, recover},
};

/// What a rebuild found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebuildReport {
    /// Source versions.
    pub sources: u64,
    /// Segment files taken in.
    pub segments: u64,
    /// Blocks taken in.
    pub blocks: u64,
    /// Blocks that are damaged.
    pub quarantined: u64,
    /// `store.json` was lost or damaged and was made again.
    pub identity_made: bool,
    /// What is wrong, for people.
    pub problems: Vec<String>,
}

/// Throws the catalogue of a store away and makes it again from the segments; `store.json` too,
/// when it is lost or damaged. Every byte of every segment is read and checked. Needs the writer's
/// lock. Interrupted, it is done by the next opening.
///
/// # Errors
/// [`VerifyError`]: the store is in use, a file cannot be read, or there is neither an identity
/// nor a segment.
pub fn rebuild(dir: &Path) -> Result<RebuildReport, VerifyError> {
    let storage: Arc<dyn Storage> = Arc::new(FileStorage::new(dir));
    load::require_folder(&*storage)?;
    let lock = load::take_lock(&*storage)?;
    let (identity, identity_made) = match identity::load(&*storage) {
        Ok(Some(found)) => (found, false),
        Ok(None) | Err(crate::OpenError::Damaged { .. }) => {
            let found = identity_of_segments(&*storage)?;
            identity::create(&*storage, &found)?;
            (found, true)
        }
        Err(e) => return Err(e.into()),
    };
    for suffix in ["", "-wal", "-shm"] {
        let name = format!("{}{suffix}", catalogue::FILE);
        let removed = storage.remove(&name);
        removed.map_err(|source| VerifyError::Io { path: dir.join(name), source })?;
    }
    let failed = |path: PathBuf| move |source| VerifyError::Io { path, source };
    for name in storage.list(pages::DIR).map_err(failed(dir.join(pages::DIR)))? {
        let name = format!("{}/{name}", pages::DIR);
        storage.remove(&name).map_err(failed(dir.join(&name)))?;
    }
    let options = StoreOptions {
        map: MapChoice::never(),
        sync: SyncPolicy::Full,
        ..StoreOptions::new(identity.model, identity.geometry, identity.address)
    };
    let store = load::open_locked(storage, lock, identity, &options)?;
    let reader = store.reader();
    let mut problems = store.problems().to_vec();
    let stats = reader.stats().map_err(|e| problems.push(e.to_string())).unwrap_or_default();
    Ok(RebuildReport {
        sources: stats.sources,
        segments: stats.segments,
        blocks: stats.blocks,
        quarantined: stats.quarantined,
        identity_made,
        problems,
    })
}

/// The identity that the first intact segment header tells.
fn identity_of_segments(storage: &dyn Storage) -> Result<Identity, VerifyError> {
    for number in recover::numbers(storage)? {
        match Segment::open_any(storage, number, false) {
            Ok(segment) => return Ok(segment.head.header.identity),
            Err(PieceError::Corrupt(_)) => {}
            Err(PieceError::Io(e)) => {
                return Err(identity::io_error(storage, &file_name(number), e).into());
            }
        }
    }
    Err(crate::OpenError::Absent { path: storage.root() }.into())
}
