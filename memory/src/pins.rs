//! Blocks that a person wants kept: they give nothing up for room, and nothing else changes. A
//! small file of its own, so that a rebuild of the catalogue keeps them.

use std::{collections::BTreeSet, io};

use serde::{Deserialize, Serialize};

use crate::{
    BlockId,
    format::checksum,
    storage::{Storage, read_all},
    text::hex,
};

/// Name of the file.
pub(crate) const FILE: &str = "pins.json";
const NEW: &str = "pins.json.new";
const BYTES_MAX: u64 = 64 << 20;

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    store: String,
    pins: Vec<BlockId>,
    checksum: String,
}

impl Stored {
    fn sum(&self) -> String {
        let ids: Vec<String> = self.pins.iter().map(|p| p.0.to_string()).collect();
        let text = format!("lcedge pins {} {}", self.store, ids.join(" "));
        format!("{:016x}", checksum(text.as_bytes()))
    }
}

/// Reads the pins of a store; none when there is no file. The inner error is damage.
pub(crate) fn load(
    storage: &dyn Storage,
    store: [u8; 16],
) -> io::Result<Result<BTreeSet<BlockId>, &'static str>> {
    let bytes = match storage.open(FILE, false) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Ok(BTreeSet::new())),
        file => file.and_then(|f| read_all(&*f, BYTES_MAX))?,
    };
    let Ok(stored) = serde_json::from_slice::<Stored>(&bytes) else {
        return Ok(Err("it does not parse"));
    };
    if stored.store != hex(&store) || stored.checksum != stored.sum() {
        return Ok(Err("its checksum does not match, or it is another store's"));
    }
    Ok(Ok(stored.pins.into_iter().collect()))
}

/// Puts the pins of a store in place of those before, durably.
pub(crate) fn save(
    storage: &dyn Storage,
    store: [u8; 16],
    pins: &BTreeSet<BlockId>,
) -> io::Result<()> {
    let mut stored = Stored {
        store: hex(&store),
        pins: pins.iter().copied().collect(),
        checksum: String::new(),
    };
    stored.checksum = stored.sum();
    let text = serde_json::to_vec(&stored)?;
    storage.remove(NEW)?;
    let file = storage.create(NEW)?;
    file.append(&text, 0)?;
    file.sync(false)?;
    storage.rename(NEW, FILE)?;
    storage.sync_dir("")
}
