//! Which sources an import is bringing in: a small file while it works, so that the next opening
//! removes them when it was interrupted.

use std::{io, ops::Range};

use serde::{Deserialize, Serialize};

use crate::{
    SourceId,
    format::checksum,
    storage::{Storage, read_all},
    text::hex,
};

/// Name of the file.
pub(crate) const FILE: &str = "importing.json";
const NEW: &str = "importing.json.new";
const BYTES_MAX: u64 = 4096;

/// The source versions of an import: no others get these ids while the file is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) first_source: u32,
    pub(crate) sources: u32,
}

impl Mark {
    pub(crate) fn ids(&self) -> Range<SourceId> {
        SourceId(self.first_source)..SourceId(self.end())
    }

    /// The first id that is no longer the import's.
    pub(crate) const fn end(&self) -> u32 {
        self.first_source.saturating_add(self.sources)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    store: String,
    first_source: u32,
    sources: u32,
    checksum: String,
}

impl Stored {
    fn sum(&self) -> String {
        let text = format!("lcedge import {} {} {}", self.store, self.first_source, self.sources);
        format!("{:016x}", checksum(text.as_bytes()))
    }
}

/// Reads the mark; none when nothing was interrupted. The inner error is damage.
pub(crate) fn load(
    storage: &dyn Storage,
    store: [u8; 16],
) -> io::Result<Result<Option<Mark>, &'static str>> {
    let bytes = match storage.open(FILE, false) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Ok(None)),
        file => file.and_then(|f| read_all(&*f, BYTES_MAX))?,
    };
    let Ok(stored) = serde_json::from_slice::<Stored>(&bytes) else {
        return Ok(Err("it does not parse"));
    };
    if stored.store != hex(&store) || stored.checksum != stored.sum() {
        return Ok(Err("its checksum does not match, or it is another store's"));
    }
    let Stored { first_source, sources, .. } = stored;
    Ok(Ok(Some(Mark { first_source, sources })))
}

/// Writes the mark, or removes it, durably.
pub(crate) fn save(storage: &dyn Storage, store: [u8; 16], mark: Option<&Mark>) -> io::Result<()> {
    storage.remove(NEW)?;
    if let Some(&Mark { first_source, sources }) = mark {
        let store = hex(&store);
        let mut stored = Stored { store, first_source, sources, checksum: String::new() };
        stored.checksum = stored.sum();
        let file = storage.create(NEW)?;
        file.append(&serde_json::to_vec(&stored)?, 0)?;
        file.sync(false)?;
        storage.rename(NEW, FILE)?;
    } else {
        storage.remove(FILE)?;
    }
    storage.sync_dir("")
}
