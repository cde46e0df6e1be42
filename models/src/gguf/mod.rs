//! GGUF: the container of llama.cpp's models (versions 2 and 3, little-endian).
//!
//! ```text
//! magic "GGUF"  version u32  tensors u64  entries u64
//! entries:  key string, type u32, value        (string = length u64, bytes)
//! tensors:  name string, dimensions u32, dimension u64 x n (fastest first), type u32, offset u64
//! padding to general.alignment (32), then the data; offsets count from here
//! ```
//!
//! Only the head of the file is read here; tensors are read by range. Every length is checked
//! against what is left of the file before anything is allocated.

mod read;
mod value;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use value::Value;

use crate::encoding::Encoding;
use crate::ranges::RangeFile;

/// Why a GGUF file could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GgufError {
    /// The file could not be opened or read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file does not begin as a GGUF file of a version that is read here.
    #[error("not a GGUF file of version 2 or 3 (magic {magic:02x?}, version {version})")]
    NotGguf {
        /// Its first four bytes.
        magic: [u8; 4],
        /// The version it states.
        version: u32,
    },
    /// A length points behind the end of the file.
    #[error("{what} needs {needed} bytes at {at}, the file ends at {end}")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Bytes it needs at least.
        needed: u64,
        /// Where.
        at: u64,
        /// Length of the file.
        end: u64,
    },
    /// A value is not what the format allows.
    #[error("{what} at byte {at}: {found}")]
    Malformed {
        /// What was being read.
        what: &'static str,
        /// Where.
        at: u64,
        /// What is there.
        found: String,
    },
    /// A metadata key is missing or of another type.
    #[error("metadata key {key:?} is {found}, {expected} is needed")]
    Metadata {
        /// The key.
        key: String,
        /// What is there.
        found: String,
        /// What should be there.
        expected: &'static str,
    },
}

/// Where one tensor lies and how it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GgufTensor {
    /// Its dimensions, slowest first (the reverse of the file's order): `[rows, columns]`.
    pub shape: Vec<usize>,
    /// How its values are stored; the name of GGUF's type where it is not read here.
    pub encoding: Result<Encoding, String>,
    /// Offset in the file, in bytes.
    pub offset: u64,
}

/// The head of a GGUF file: metadata and where the tensors lie.
#[derive(Debug)]
pub struct Gguf {
    metadata: BTreeMap<String, Value>,
    tensors: BTreeMap<String, GgufTensor>,
    file: RangeFile,
}

impl Gguf {
    /// Reads the head of the file at `path`.
    ///
    /// # Errors
    /// [`GgufError`] when the file cannot be read or is not well formed.
    pub fn open(path: &Path) -> Result<Self, GgufError> {
        let io = |source| GgufError::Io { path: path.to_path_buf(), source };
        let file = RangeFile::open(path).map_err(io)?;
        let (metadata, tensors) = read::head(&file)?;
        Ok(Self { metadata, tensors, file })
    }

    /// All metadata, by key.
    #[must_use]
    pub const fn metadata(&self) -> &BTreeMap<String, Value> {
        &self.metadata
    }

    /// All tensors, by name.
    #[must_use]
    pub const fn tensors(&self) -> &BTreeMap<String, GgufTensor> {
        &self.tensors
    }

    /// The value of `key`, if any.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }

    /// The integer under `key`, if the key exists.
    ///
    /// # Errors
    /// [`GgufError::Metadata`] when the value is not an integer in range.
    pub fn integer(&self, key: &str) -> Result<Option<usize>, GgufError> {
        self.typed(key, "a non-negative integer", |v| v.integer().and_then(|n| n.try_into().ok()))
    }

    /// The number under `key`, if the key exists.
    ///
    /// # Errors
    /// [`GgufError::Metadata`] when the value is not a number.
    pub fn float(&self, key: &str) -> Result<Option<f64>, GgufError> {
        self.typed(key, "a number", Value::float)
    }

    /// The text under `key`, if the key exists.
    ///
    /// # Errors
    /// [`GgufError::Metadata`] when the value is not text.
    pub fn text(&self, key: &str) -> Result<Option<&str>, GgufError> {
        self.typed(key, "text", Value::text)
    }

    /// The truth value under `key`, if the key exists.
    ///
    /// # Errors
    /// [`GgufError::Metadata`] when the value is not a truth value.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, GgufError> {
        self.typed(key, "true or false", Value::flag)
    }

    /// What a key that must exist says when it does not.
    #[must_use]
    pub fn missing(key: &str, expected: &'static str) -> GgufError {
        GgufError::Metadata { key: key.into(), found: "missing".into(), expected }
    }

    pub(crate) fn into_file(self) -> RangeFile {
        self.file
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        get: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, GgufError> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(value) => get(value).map(Some).ok_or_else(|| GgufError::Metadata {
                key: key.into(),
                found: value.kind().into(),
                expected,
            }),
        }
    }
}

#[cfg(test)]
mod tests;
