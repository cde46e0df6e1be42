//! Where a memory's files lie, and what `memory.json` says of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Memory, MemoryError, check, check_address, gist};
use crate::card::{GistShape, TrainedAddress, TrainedMemory};
use crate::decoder::Decoder;
use crate::fetch::{sha256_bytes, sha256_file};
use crate::ranges::RangeFile;
use crate::safetensors::Safetensors;
use crate::zoo;

const CARD_FILE: &str = "memory.json";
const LOW_RANK_FILE: &str = "memory.safetensors";
const BEACON_FILE: &str = "beacons.safetensors";
const GIST_FILE: &str = "gist.safetensors";

/// The part of `memory.json` that says how the memory applies.
#[derive(Debug, Deserialize)]
pub(super) struct Description {
    base: Base,
    pub(super) files: BTreeMap<String, Stated>,
    lora: Option<Lora>,
    address: Option<Address>,
    prompt: Prompt,
}

#[derive(Debug, Deserialize)]
struct Base {
    /// Of the weights; without it only shapes are checked.
    sha256: Option<String>,
    /// The file with this hash, where the model is a folder.
    file: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Stated {
    pub(super) sha256: String,
}

#[derive(Debug, Deserialize)]
struct Lora {
    scale: f32,
}

#[derive(Debug, Deserialize)]
struct Address {
    layer: usize,
    dim: usize,
    keys_per_block: usize,
    block: usize,
}

#[derive(Debug, Deserialize)]
struct Prompt {
    system: String,
    absent: String,
}

/// A memory whose `memory.json` was read; its tensors were not.
#[derive(Debug)]
pub struct MemorySource {
    name: String,
    /// The folder, or the zoo's name for files that are part of the program.
    place: PathBuf,
    bundled: Option<&'static [zoo::BundledFile]>,
    pub(super) description: Description,
    identity: blake3::Hash,
    text: blake3::Hash,
}

impl MemorySource {
    /// The memory in the folder `dir`.
    ///
    /// # Errors
    /// [`MemoryError`] when `memory.json` cannot be read.
    pub fn folder(dir: &Path) -> Result<Self, MemoryError> {
        let path = dir.join(CARD_FILE);
        let text = std::fs::read(&path)
            .map_err(|source| MemoryError::Io { path: path.clone(), source })?;
        let whole = dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
        let name = whole.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self::read(name, dir.to_path_buf(), None, &text)
    }

    /// The memory that is part of the program for the zoo's model `name`.
    ///
    /// # Errors
    /// Never for the files that the program holds: a test reads them.
    pub fn zoo(name: &str) -> Option<Result<Self, MemoryError>> {
        let files = zoo::bundled_memory(name)?;
        let text = files.iter().find(|(n, _)| *n == CARD_FILE).map_or(&[][..], |(_, bytes)| bytes);
        Some(Self::read(name.to_owned(), name.into(), Some(files), text))
    }

    fn read(
        name: String,
        place: PathBuf,
        bundled: Option<&'static [zoo::BundledFile]>,
        text: &[u8],
    ) -> Result<Self, MemoryError> {
        let path = place.join(CARD_FILE);
        let description: Description =
            serde_json::from_slice(text).map_err(|source| MemoryError::Json { path, source })?;
        if let Some(other) = description.files.keys().find(|n| !KNOWN_FILES.contains(&n.as_str())) {
            let expected = KNOWN_FILES.join(", ");
            return Err(MemoryError::Value { what: "a file", found: other.clone(), expected });
        }
        let identity = description.identity();
        let text = blake3::hash(text);
        Ok(Self { name, place, bundled, description, identity, text })
    }

    /// Identity of what it computes: hashes of its tensors, and how they apply.
    #[must_use]
    pub const fn identity(&self) -> blake3::Hash {
        self.identity
    }

    /// Identity of `memory.json`: its texts are part of a prepared model's card.
    pub(crate) const fn text(&self) -> blake3::Hash {
        self.text
    }

    /// Refuses weights that the memory was not trained over: `model` is a GGUF file or a folder,
    /// `sha256` the hash of its weights where it is known already.
    ///
    /// # Errors
    /// [`MemoryError::Base`], or when the weights cannot be read.
    pub fn check_base(&self, model: &Path, sha256: Option<&str>) -> Result<(), MemoryError> {
        let base = &self.description.base;
        let Some(expected) = &base.sha256 else { return Ok(()) };
        let found = match (sha256, &base.file) {
            (Some(found), _) => found.to_owned(),
            (None, Some(file)) if model.is_dir() => hash_of(&model.join(plain(file)?))?,
            (None, _) => hash_of(model)?,
        };
        if found.eq_ignore_ascii_case(expected) {
            return Ok(());
        }
        Err(MemoryError::Base { name: self.name.clone(), found, expected: expected.clone() })
    }

    /// Opens its files for `decoder`, after checking their hashes and every tensor's shape.
    ///
    /// # Errors
    /// [`MemoryError`] says what does not fit.
    pub fn open(&self, decoder: &Decoder) -> Result<Memory, MemoryError> {
        let mut files = Vec::new();
        for (name, stated) in &self.description.files {
            let (file, found) = self.file(name, true)?;
            if !found.eq_ignore_ascii_case(&stated.sha256) {
                let (path, expected) = (self.place.join(name), stated.sha256.clone());
                return Err(MemoryError::Hash { path, found, expected });
            }
            files.push(file);
        }
        let tensors = Safetensors::of_ranges(files)?;
        let card = self.card()?;
        if let Some(address) = &card.address {
            check_address(address, decoder)?;
        }
        let lora = self.description.lora.as_ref();
        let scale = lora.map_or(0.0, |l| l.scale);
        if !scale.is_finite() {
            let (what, expected) = ("the scale of the change", "a finite number".into());
            return Err(MemoryError::Value { what, found: scale.to_string(), expected });
        }
        gist::check_shape(&card)?;
        check(&tensors, &card, lora.is_some(), decoder)?;
        Ok(Memory { card, scale, changes: lora.is_some(), hidden: decoder.hidden, tensors })
    }

    /// What is said of it, before it is fitted to a decoder: nothing is checked.
    ///
    /// # Errors
    /// [`MemoryError`] when a file cannot be read.
    pub fn card(&self) -> Result<TrainedMemory, MemoryError> {
        let address = self.description.address.as_ref().map(|a| TrainedAddress {
            layer: a.layer,
            dim: a.dim,
            keys: a.keys_per_block,
            segment_tokens: a.block.checked_div(a.keys_per_block).unwrap_or(0),
        });
        let header = |name: &str| -> Result<Option<Safetensors>, MemoryError> {
            if !self.description.files.contains_key(name) {
                return Ok(None);
            }
            Ok(Some(Safetensors::of_ranges(vec![self.file(name, false)?.0])?))
        };
        let beacons = header(BEACON_FILE)?.as_ref().map_or(Ok(Vec::new()), ratios)?;
        let gist = header(GIST_FILE)?.as_ref().map(gist_shape).transpose()?;
        Ok(TrainedMemory {
            name: self.name.clone(),
            hash: self.identity.to_hex().to_string(),
            system: self.description.prompt.system.clone(),
            absent: self.description.prompt.absent.clone(),
            address,
            beacons,
            gist,
        })
    }

    /// A file, and its SHA-256 if that is wanted.
    pub(super) fn file(
        &self,
        name: &str,
        hashed: bool,
    ) -> Result<(RangeFile, String), MemoryError> {
        let path = self.place.join(name);
        let io = |source| MemoryError::Io { path: path.clone(), source };
        let Some(files) = self.bundled else {
            let file = RangeFile::open(&path).map_err(io)?;
            return Ok((file, if hashed { hash_of(&path)? } else { String::new() }));
        };
        let bytes = files.iter().find(|(n, _)| *n == name).map(|(_, bytes)| *bytes);
        let bytes = bytes.ok_or_else(|| io(std::io::ErrorKind::NotFound.into()))?;
        let hash = if hashed { sha256_bytes(bytes) } else { String::new() };
        Ok((RangeFile::bundled(&path.to_string_lossy(), bytes), hash))
    }
}

/// Files that a memory may have beside `memory.json`.
const KNOWN_FILES: [&str; 3] = [LOW_RANK_FILE, BEACON_FILE, GIST_FILE];

impl Description {
    /// Over what decides the results; figures and texts may change freely.
    fn identity(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"lcedge memory 1\n");
        for (name, stated) in &self.files {
            hasher.update(format!("{name} {}\n", stated.sha256.to_lowercase()).as_bytes());
        }
        hasher.update(format!("{:?} {:?}\n", self.lora, self.address).as_bytes());
        hasher.finalize()
    }
}

/// The beacons' ratios, ascending, as the file of beacons states them.
fn ratios(tensors: &Safetensors) -> Result<Vec<u16>, MemoryError> {
    let text = tensors.metadata("ratios").unwrap_or("nothing");
    let ratios: Vec<u16> = serde_json::from_str(text).unwrap_or_default();
    if ratios.is_empty() || ratios[0] == 0 || !ratios.is_sorted_by(|a, b| a < b) {
        let expected = "ascending numbers above 0".into();
        return Err(MemoryError::Value { what: "ratios", found: text.into(), expected });
    }
    Ok(ratios)
}

/// The gist's shape, as its file states it.
fn gist_shape(tensors: &Safetensors) -> Result<GistShape, MemoryError> {
    let number = |what: &'static str| {
        let text = tensors.metadata(what).unwrap_or("nothing");
        text.parse().map_err(|_| MemoryError::Value {
            what,
            found: text.into(),
            expected: "a number in the gist's metadata".into(),
        })
    };
    Ok(GistShape { slots: number("slots")?, width: number("width")? })
}

fn hash_of(path: &Path) -> Result<String, MemoryError> {
    sha256_file(path).map_err(|source| MemoryError::Io { path: path.to_path_buf(), source })
}

/// A file name that stays in its folder.
fn plain(name: &str) -> Result<&str, MemoryError> {
    if Path::new(name).file_name().is_some_and(|n| n == name) {
        return Ok(name);
    }
    let expected = "the name of a file of the model's folder".into();
    Err(MemoryError::Value { what: "the base's file", found: name.into(), expected })
}
