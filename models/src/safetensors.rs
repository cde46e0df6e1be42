//! safetensors: the container of Hugging Face models, one file or several with an index.
//!
//! ```text
//! header length u64, header JSON {name: {dtype, shape, data_offsets: [begin, end]}}, data
//! ```
//!
//! Only headers are read here; tensors are read by range.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::encoding::Encoding;
use crate::ranges::RangeFile;

/// Longest header that is read, in bytes (the format's own limit).
const HEADER_BYTES_MAX: u64 = 100_000_000;

/// Why a safetensors file could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SafetensorsError {
    /// A file could not be opened or read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A header or the index is not the JSON that it should be.
    #[error("{path}: {source}")]
    Json {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// A header states what cannot be.
    #[error("{path}: {found}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its value.
        found: String,
    },
    /// The folder has neither `model.safetensors` nor an index.
    #[error("{0} has neither model.safetensors nor model.safetensors.index.json")]
    NoWeights(PathBuf),
}

/// Where one tensor lies and how it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SafeTensor {
    /// Dimensions, slowest first.
    pub shape: Vec<usize>,
    /// How its values are stored; the dtype's name where it is not read here.
    pub encoding: Result<Encoding, String>,
    /// Which file of the folder.
    pub file: usize,
    /// Offset in that file, in bytes.
    pub offset: u64,
}

/// All tensors of a file or folder.
#[derive(Debug)]
pub struct Safetensors {
    pub(crate) files: Vec<RangeFile>,
    pub(crate) tensors: BTreeMap<String, SafeTensor>,
    metadata: BTreeMap<String, String>,
}

/// What the header of one file holds.
struct Header {
    tensors: Vec<(String, SafeTensor)>,
    metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The weight files of a folder, in a fixed order.
///
/// # Errors
/// [`SafetensorsError`] when there are none, or the index cannot be read.
pub fn weight_files(dir: &Path) -> Result<Vec<PathBuf>, SafetensorsError> {
    let single = dir.join("model.safetensors");
    if single.is_file() {
        return Ok(vec![single]);
    }
    let path = dir.join("model.safetensors.index.json");
    if !path.is_file() {
        return Err(SafetensorsError::NoWeights(dir.to_path_buf()));
    }
    let text = std::fs::read(&path)
        .map_err(|source| SafetensorsError::Io { path: path.clone(), source })?;
    let index: Index = serde_json::from_slice(&text)
        .map_err(|source| SafetensorsError::Json { path: path.clone(), source })?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    let plain = |name: &String| Path::new(name).file_name().is_some_and(|n| n == name.as_str());
    if let Some(name) = names.iter().find(|n| !plain(n)) {
        let found = format!("{name:?} is not a file of the same folder");
        return Err(SafetensorsError::Malformed { path, found });
    }
    Ok(names.into_iter().map(|name| dir.join(name)).collect())
}

impl Safetensors {
    /// Reads the headers of the folder `dir`.
    ///
    /// # Errors
    /// [`SafetensorsError`] when a file is missing, cannot be read or is not well formed.
    pub fn open(dir: &Path) -> Result<Self, SafetensorsError> {
        Self::of_files(weight_files(dir)?)
    }

    /// Reads the header of the file `path`.
    ///
    /// # Errors
    /// [`SafetensorsError`] when it cannot be read or is not well formed.
    pub fn open_file(path: &Path) -> Result<Self, SafetensorsError> {
        Self::of_files(vec![path.to_path_buf()])
    }

    fn of_files(paths: Vec<PathBuf>) -> Result<Self, SafetensorsError> {
        let open = |path: PathBuf| {
            RangeFile::open(&path).map_err(|source| SafetensorsError::Io { path, source })
        };
        Self::of_ranges(paths.into_iter().map(open).collect::<Result<_, _>>()?)
    }

    /// Reads the headers of open files.
    pub(crate) fn of_ranges(files: Vec<RangeFile>) -> Result<Self, SafetensorsError> {
        let mut all =
            Self { files: Vec::new(), tensors: BTreeMap::new(), metadata: BTreeMap::new() };
        for file in files {
            let path = file.path().to_path_buf();
            let header = header(&file, all.files.len())?;
            for (name, tensor) in header.tensors {
                if all.tensors.insert(name.clone(), tensor).is_some() {
                    let found = format!("tensor {name:?} is in two files");
                    return Err(SafetensorsError::Malformed { path, found });
                }
            }
            all.metadata.extend(header.metadata);
            all.files.push(file);
        }
        Ok(all)
    }

    /// Names of all tensors, ascending.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The text under `key` in the metadata of a header.
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// Shape and values of the tensor `name`, row-major.
    ///
    /// # Errors
    /// [`SafetensorsError`] when there is no such tensor, it is not of floats, or cannot be read.
    pub fn dense(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>), SafetensorsError> {
        let first = self.files.first().map(|f| f.path().to_path_buf()).unwrap_or_default();
        let refused = |found: String| SafetensorsError::Malformed { path: first.clone(), found };
        let tensor =
            self.tensors.get(name).ok_or_else(|| refused(format!("no tensor {name:?}")))?;
        let encoding = match &tensor.encoding {
            Ok(encoding) => *encoding,
            Err(kind) => return Err(refused(format!("tensor {name:?} is of {kind}"))),
        };
        let file = &self.files[tensor.file];
        let values: usize = tensor.shape.iter().product();
        let end = tensor.offset + (values * encoding.block_bytes()) as u64;
        let bytes = file
            .read_range(tensor.offset..end)
            .map_err(|source| SafetensorsError::Io { path: file.path().to_path_buf(), source })?;
        let mut out = Vec::new();
        encoding.decode(&bytes, &mut out);
        Ok((tensor.shape.clone(), out))
    }
}

fn header(file: &RangeFile, index: usize) -> Result<Header, SafetensorsError> {
    let path = || file.path().to_path_buf();
    let io = |source| SafetensorsError::Io { path: path(), source };
    let malformed = |found| SafetensorsError::Malformed { path: path(), found };
    let mut len = [0; 8];
    file.read_at(0, &mut len).map_err(io)?;
    let len = u64::from_le_bytes(len);
    let room = file.len().saturating_sub(8);
    if len > room.min(HEADER_BYTES_MAX) {
        return Err(malformed(format!("a header of {len} bytes in a file of {}", file.len())));
    }
    let text = file.read_range(8..8 + len).map_err(io)?;
    let entries: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&text)
        .map_err(|source| SafetensorsError::Json { path: path(), source })?;
    let data = 8 + len;
    let json = |source| SafetensorsError::Json { path: path(), source };
    let mut out = Header { tensors: Vec::new(), metadata: BTreeMap::new() };
    for (name, value) in entries {
        if name == "__metadata__" {
            out.metadata = serde_json::from_value(value).map_err(json)?;
            continue;
        }
        let entry: Entry = serde_json::from_value(value).map_err(json)?;
        let (begin, end) = entry.data_offsets;
        if begin > end || end > file.len() - data {
            return Err(malformed(format!("tensor {name:?} at {begin}..{end} of the data")));
        }
        let encoding = match entry.dtype.as_str() {
            "F32" => Ok(Encoding::F32),
            "F16" => Ok(Encoding::F16),
            "BF16" => Ok(Encoding::Bf16),
            other => Err(other.to_owned()),
        };
        if let Ok(encoding) = encoding {
            let values = entry.shape.iter().try_fold(1_usize, |n, d| n.checked_mul(*d));
            let bytes = values.and_then(|n| n.checked_mul(encoding.block_bytes()));
            if bytes.and_then(|n| u64::try_from(n).ok()) != Some(end - begin) {
                let (shape, dtype) = (&entry.shape, &entry.dtype);
                let found = format!("tensor {name:?}: {shape:?} of {dtype} at {begin}..{end}");
                return Err(malformed(found));
            }
        }
        let offset = data + begin;
        out.tensors.push((name, SafeTensor { shape: entry.shape, encoding, file: index, offset }));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(header: &str, data: usize) -> Result<Safetensors, SafetensorsError> {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        std::fs::write(dir.path().join("model.safetensors"), bytes).unwrap();
        Safetensors::open(dir.path())
    }

    #[test]
    fn shapes_and_places_are_checked() {
        let good = r#"{"a":{"dtype":"F16","shape":[2,3],"data_offsets":[0,12]}}"#;
        let t = opened(good, 12).unwrap();
        assert_eq!(t.tensors["a"].offset, 8 + good.len() as u64);
        assert!(opened(good, 11).is_err());
        for bad in ["[2,4]", "[18446744073709551615,3]"] {
            assert!(opened(&good.replace("[2,3]", bad), 12).is_err(), "{bad}");
        }
        assert!(opened(&good.replace("[0,12]", "[12,0]"), 12).is_err());
        assert!(opened("[]", 12).is_err());
    }

    #[test]
    fn shards_stay_in_their_folder() {
        let dir = tempfile::tempdir().unwrap();
        let index = r#"{"weight_map":{"a":"../secret.safetensors"}}"#;
        std::fs::write(dir.path().join("model.safetensors.index.json"), index).unwrap();
        let message = weight_files(dir.path()).unwrap_err().to_string();
        assert!(message.contains("secret"), "{message}");
    }
}
