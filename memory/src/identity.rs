//! `store.json`: what a store is, and what it can only be opened as.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use crate::{
    AddressLayout, Geometry, OpenError,
    error::{geometry_text, layout_text},
    format::{FORMAT_VERSION, checksum, is_read, segment::Identity},
    storage::{Storage, read_all},
    text::{hex, unhex},
};

/// Name of the file.
pub(crate) const FILE: &str = "store.json";
const NEW: &str = "store.json.new";
const BYTES_MAX: u64 = 65_536;

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    format: u32,
    store: String,
    model: String,
    geometry: Geometry,
    address: AddressLayout,
    checksum: String,
}

impl Stored {
    fn of(id: &Identity) -> Self {
        let mut stored = Self {
            format: FORMAT_VERSION,
            store: hex(&id.store),
            model: hex(&id.model),
            geometry: id.geometry,
            address: id.address,
            checksum: String::new(),
        };
        stored.checksum = stored.sum();
        stored
    }

    /// Checksum of the canonical text of all other fields.
    fn sum(&self) -> String {
        let (g, a) = (self.geometry, self.address);
        let text = format!(
            "lcedge store {} {} {} {} {} {} {} {} {} {}",
            self.format,
            self.store,
            self.model,
            g.layers,
            g.kv_heads,
            g.head_dim,
            g.block_tokens,
            a.heads,
            a.vectors_max,
            a.dim
        );
        format!("{:016x}", checksum(text.as_bytes()))
    }
}

/// Sixteen bytes that no other store has: from the system's randomness, by way of the hasher's
/// keys.
pub(crate) fn random_store_id() -> [u8; 16] {
    let mut id = [0; 16];
    for (i, half) in id.chunks_exact_mut(8).enumerate() {
        let word = RandomState::new().hash_one((i, std::process::id()));
        half.copy_from_slice(&word.to_le_bytes());
    }
    id
}

pub(crate) fn io_error(storage: &dyn Storage, name: &str, source: io::Error) -> OpenError {
    OpenError::Io { path: storage.root().join(name), source }
}

/// Writes the identity of a new store, durably.
pub(crate) fn create(storage: &dyn Storage, id: &Identity) -> Result<(), OpenError> {
    let failed = |e| io_error(storage, FILE, e);
    let text = serde_json::to_string_pretty(&Stored::of(id)).map_err(|e| failed(e.into()))?;
    storage.remove(NEW).map_err(failed)?;
    let file = storage.create(NEW).map_err(failed)?;
    file.append(text.as_bytes(), 0).map_err(failed)?;
    file.sync(false).map_err(failed)?;
    storage.rename(NEW, FILE).map_err(failed)?;
    storage.sync_dir("").map_err(failed)
}

/// Writes the identity anew when it is of an older format.
pub(crate) fn upgrade(storage: &dyn Storage, id: &Identity) -> Result<(), OpenError> {
    let failed = |e| io_error(storage, FILE, e);
    let bytes = storage.open(FILE, false).and_then(|f| read_all(&*f, BYTES_MAX)).map_err(failed)?;
    let stored: Stored = serde_json::from_slice(&bytes).map_err(|e| failed(e.into()))?;
    if stored.format < FORMAT_VERSION { create(storage, id) } else { Ok(()) }
}

/// Reads the identity; `None` when there is no such file.
pub(crate) fn load(storage: &dyn Storage) -> Result<Option<Identity>, OpenError> {
    let bytes = match storage.open(FILE, false) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.and_then(|f| read_all(&*f, BYTES_MAX)),
    };
    let bytes = bytes.map_err(|e| io_error(storage, FILE, e))?;
    parse(&bytes, storage.root().join(FILE)).map(Some)
}

fn parse(bytes: &[u8], path: PathBuf) -> Result<Identity, OpenError> {
    let damaged = |what: String| OpenError::Damaged { path: path.clone(), what };
    let value: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|e| damaged(e.to_string()))?;
    if let Some(found) = value.get("format").and_then(serde_json::Value::as_u64)
        && !u32::try_from(found).is_ok_and(is_read)
    {
        return Err(OpenError::Version { path, found, known: u64::from(FORMAT_VERSION) });
    }
    let stored: Stored = serde_json::from_value(value).map_err(|e| damaged(e.to_string()))?;
    if stored.sum() != stored.checksum {
        return Err(damaged("its checksum does not match".to_owned()));
    }
    let hex_error = || damaged("an id is not hexadecimal".to_owned());
    Ok(Identity {
        store: unhex(&stored.store).ok_or_else(hex_error)?,
        model: unhex(&stored.model).ok_or_else(hex_error)?,
        geometry: stored.geometry,
        address: stored.address,
    })
}

/// Refuses a store of another model, geometry or address layout.
pub(crate) fn check(path: PathBuf, found: &Identity, wanted: &Identity) -> Result<(), OpenError> {
    let differs = [
        ("model", hex(&wanted.model), hex(&found.model)),
        ("geometry", geometry_text(wanted.geometry), geometry_text(found.geometry)),
        ("address layout", layout_text(wanted.address), layout_text(found.address)),
    ]
    .into_iter()
    .find(|(_, expected, found)| expected != found);
    match differs {
        Some((what, expected, found)) => Err(OpenError::Foreign { path, what, expected, found }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::RamStorage;

    fn identity() -> Identity {
        Identity {
            store: random_store_id(),
            model: [3; 32],
            geometry: Geometry { layers: 1, kv_heads: 1, head_dim: 2, block_tokens: 4 },
            address: AddressLayout { heads: 1, vectors_max: 4, dim: 2 },
        }
    }

    #[test]
    fn an_identity_is_read_back_and_every_changed_byte_refused() {
        let ram = RamStorage::new();
        let id = identity();
        assert!(load(&ram).unwrap().is_none());
        create(&ram, &id).unwrap();
        assert_eq!(load(&ram).unwrap(), Some(id));
        let bytes = ram.bytes(FILE).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            ram.set_bytes(FILE, changed);
            // White space between fields is the only thing that may change.
            match load(&ram) {
                Ok(found) => assert_eq!(found, Some(id), "byte {at}"),
                Err(e) => assert!(
                    matches!(e, OpenError::Damaged { .. } | OpenError::Version { .. }),
                    "{e}"
                ),
            }
        }
    }

    #[test]
    fn what_differs_is_named() {
        let id = identity();
        let other = Identity { model: [4; 32], ..id };
        let e = check("d".into(), &id, &other).unwrap_err();
        assert!(matches!(e, OpenError::Foreign { what: "model", .. }), "{e}");
    }
}
