//! Where a model comes from, and which files it is.

use std::path::{Path, PathBuf};

use crate::ranges::blake3_file;
use crate::safetensors::{SafetensorsError, weight_files};
use crate::zoo::{self, ZooModel};

/// A model that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// One that is known by name.
    Zoo(Box<ZooModel>),
    /// A Hugging Face folder: `config.json`, safetensors, `tokenizer.json`.
    Folder(PathBuf),
    /// A GGUF file.
    Gguf(PathBuf),
}

/// Why a model was not found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// It is neither a known name nor a path that exists.
    #[error(
        "no model is named {asked:?} and no such file or folder exists; known by name: {known}"
    )]
    Unknown {
        /// What was asked for.
        asked: String,
        /// The names that are known.
        known: String,
    },
    /// The folder holds no model.
    #[error("{path} holds neither config.json nor exactly one .gguf file")]
    NoModel {
        /// The folder.
        path: PathBuf,
    },
    /// The file is not a model that is read here.
    #[error("{path} is not a .gguf file")]
    NotGguf {
        /// The file.
        path: PathBuf,
    },
    /// A folder could not be read.
    #[error("{path}: {source}")]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl ModelSource {
    /// What `asked` means: a known name, else a folder, else a `.gguf` file.
    ///
    /// # Errors
    /// [`ResolveError`] when it is none of them.
    pub fn resolve(asked: &str) -> Result<Self, ResolveError> {
        if let Some(model) = zoo::find(asked) {
            return Ok(Self::Zoo(Box::new(model)));
        }
        let path = PathBuf::from(asked);
        if path.is_dir() {
            return Self::of_folder(path);
        }
        if path.is_file() {
            return Self::of_file(path);
        }
        let known: Vec<String> = zoo::models().into_iter().map(|m| m.name).collect();
        Err(ResolveError::Unknown { asked: asked.into(), known: known.join(", ") })
    }

    fn of_folder(path: PathBuf) -> Result<Self, ResolveError> {
        if path.join("config.json").is_file() {
            return Ok(Self::Folder(path));
        }
        let entries = std::fs::read_dir(&path)
            .map_err(|source| ResolveError::Io { path: path.clone(), source })?;
        let mut files = entries.flatten().map(|e| e.path()).filter(|p| is_gguf(p));
        match (files.next(), files.next()) {
            (Some(file), None) => Ok(Self::Gguf(file)),
            _ => Err(ResolveError::NoModel { path }),
        }
    }

    fn of_file(path: PathBuf) -> Result<Self, ResolveError> {
        if is_gguf(&path) { Ok(Self::Gguf(path)) } else { Err(ResolveError::NotGguf { path }) }
    }

    /// The name for a person: the known one, else that of the folder or file.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Zoo(model) => model.name.clone(),
            Self::Folder(path) => file_name(path),
            Self::Gguf(path) => file_name(&path.with_extension("")),
        }
    }
}

fn is_gguf(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gguf"))
}

/// The last part of a path, of letters that are plain in file names everywhere.
fn file_name(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let name = whole.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = name.chars().map(plain).collect();
    let name = name.trim_start_matches('.');
    if name.is_empty() { "model".into() } else { name.chars().take(64).collect() }
}

/// Identity of a model's content: BLAKE3 over the names and hashes of its files.
pub(crate) fn identity<'a>(
    files: impl IntoIterator<Item = (&'a str, blake3::Hash)>,
) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"lcedge model 1\n");
    for (name, hash) in files {
        hasher.update(name.as_bytes());
        hasher.update(b"\n");
        hasher.update(hash.as_bytes());
    }
    hasher.finalize()
}

/// The name under which a GGUF file enters its identity, whatever it is called on disk.
pub(crate) const GGUF_NAME: &str = "model.gguf";

/// Files of a folder that decide what the model computes and reads, beside the weights.
const FOLDER_FILES: [&str; 5] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
];

/// The identity of the folder or file at `path`.
pub(crate) fn identity_of(path: &Path) -> Result<blake3::Hash, SafetensorsError> {
    let io = |path: &Path, source| SafetensorsError::Io { path: path.to_path_buf(), source };
    if !path.is_dir() {
        let hash = blake3_file(path).map_err(|e| io(path, e))?;
        return Ok(identity([(GGUF_NAME, hash)]));
    }
    let named = FOLDER_FILES.iter().map(|name| path.join(name)).filter(|p| p.is_file());
    let mut hashes = Vec::new();
    for file in named.chain(weight_files(path)?) {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        hashes.push((name, blake3_file(&file).map_err(|e| io(&file, e))?));
    }
    Ok(identity(hashes.iter().map(|(name, hash)| (name.as_str(), *hash))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_folders_and_files_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        assert!(matches!(ModelSource::resolve("stories260k"), Ok(ModelSource::Zoo(_))));
        let unknown = ModelSource::resolve("nope").unwrap_err().to_string();
        assert!(unknown.contains("nope") && unknown.contains("smollm2-135m"), "{unknown}");
        let empty = ModelSource::resolve(&text(dir.path()));
        assert!(matches!(empty, Err(ResolveError::NoModel { .. })));
        std::fs::write(at("My Model.GGUF"), "").unwrap();
        let found = ModelSource::resolve(&text(dir.path())).unwrap();
        assert_eq!(found.name(), "my-model");
        std::fs::write(at("config.json"), "").unwrap();
        assert!(matches!(ModelSource::resolve(&text(dir.path())), Ok(ModelSource::Folder(_))));
        let not = ModelSource::resolve(&text(&at("config.json")));
        assert!(matches!(not, Err(ResolveError::NotGguf { .. })));
    }

    #[test]
    fn the_identity_follows_content_not_place() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a.gguf"), dir.path().join("b.gguf"));
        std::fs::write(&a, "x").unwrap();
        std::fs::write(&b, "x").unwrap();
        assert_eq!(identity_of(&a).unwrap(), identity_of(&b).unwrap());
        std::fs::write(&b, "y").unwrap();
        assert_ne!(identity_of(&a).unwrap(), identity_of(&b).unwrap());
    }
}
