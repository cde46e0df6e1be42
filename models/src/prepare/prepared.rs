//! A prepared folder.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::files::Text;
use crate::card::{Card, RetrievalHead};
use crate::onnx::Built;
use crate::onnx::llama::{DATA_FILE, GRAPH_FILE};
use crate::stage::write_new;
use crate::template::{ChatTemplate, TemplateError};
use crate::tokenizer::{Tokenizer, TokenizerError};

const CARD_FILE: &str = "card.json";
const MANIFEST_FILE: &str = "prepared.json";
const TOKENIZER_FILE: &str = "tokenizer.json";
const TEMPLATE_FILE: &str = "chat_template.jinja";

/// Why a prepared folder could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenPreparedError {
    /// A file could not be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not the JSON that it should be.
    #[error("{path}: {source}")]
    Json {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// The card states a size that no model has.
    #[error("{path}: {what} is {found}: prepare the model again")]
    Card {
        /// The file.
        path: PathBuf,
        /// Which size.
        what: &'static str,
        /// Its value.
        found: usize,
    },
    /// A file has another size than when it was written.
    #[error("{path} has {found:?} bytes, {expected} were written: prepare the model again")]
    Size {
        /// The file.
        path: PathBuf,
        /// Its size; `None` when it is missing.
        found: Option<u64>,
        /// The size it had.
        expected: u64,
    },
}

/// A model that is ready to be loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// The folder.
    pub dir: PathBuf,
    /// The ONNX graph.
    pub graph: PathBuf,
    /// Its external weights, in the same folder.
    pub data: PathBuf,
    /// `tokenizer.json`.
    pub tokenizer: PathBuf,
    /// The chat template, where the model has one.
    pub template: Option<PathBuf>,
    /// What is known of the model.
    pub card: Card,
}

/// Sizes of the files that make the folder whole.
#[derive(Serialize, Deserialize)]
struct Manifest {
    files: BTreeMap<String, u64>,
}

impl Prepared {
    /// Opens a prepared folder and checks that its files have the sizes they were written with.
    ///
    /// # Errors
    /// [`OpenPreparedError`] when a file is missing, cannot be read or has another size, or the card
    /// is of no model.
    pub fn open(dir: &Path) -> Result<Self, OpenPreparedError> {
        let manifest: Manifest = read_json(&dir.join(MANIFEST_FILE))?;
        for (name, expected) in &manifest.files {
            let path = dir.join(name);
            let found = path.metadata().ok().map(|m| m.len());
            if found != Some(*expected) {
                return Err(OpenPreparedError::Size { path, found, expected: *expected });
            }
        }
        let template = dir.join(TEMPLATE_FILE);
        let path = dir.join(CARD_FILE);
        let card: Card = read_json(&path)?;
        if let Some((what, found)) = card.impossible() {
            return Err(OpenPreparedError::Card { path, what, found });
        }
        Ok(Self {
            dir: dir.to_path_buf(),
            graph: dir.join(GRAPH_FILE),
            data: dir.join(DATA_FILE),
            tokenizer: dir.join(TOKENIZER_FILE),
            template: manifest.files.contains_key(TEMPLATE_FILE).then_some(template),
            card,
        })
    }

    /// Reads the tokenizer.
    ///
    /// # Errors
    /// [`TokenizerError`] when it cannot be read.
    pub fn load_tokenizer(&self) -> Result<Tokenizer, TokenizerError> {
        Tokenizer::open(&self.tokenizer)
    }

    /// Reads the chat template, where the model has one.
    ///
    /// # Errors
    /// [`TemplateError`] when it cannot be read.
    pub fn load_template(
        &self,
        tokenizer: &Tokenizer,
    ) -> Result<Option<ChatTemplate>, TemplateError> {
        let Some(path) = &self.template else { return Ok(None) };
        let source = std::fs::read_to_string(path)
            .map_err(|e| TemplateError::Malformed(format!("{}: {e}", path.display())))?;
        let text = |id: Option<u32>| {
            id.map(|id| String::from_utf8_lossy(tokenizer.token_bytes(id)).into_owned())
                .unwrap_or_default()
        };
        let (bos, eos) = (text(self.card.bos), text(self.card.eos.first().copied()));
        ChatTemplate::new(&source, &bos, &eos).map(Some)
    }

    /// Stores the heads that a calibration found in the card.
    ///
    /// # Errors
    /// When the card cannot be written; it is then as it was.
    pub fn set_retrieval_heads(&mut self, heads: &[RetrievalHead]) -> io::Result<()> {
        let mut card = self.card.clone();
        card.retrieval_heads = heads.to_vec();
        let file = tempfile::NamedTempFile::new_in(&self.dir)?;
        serde_json::to_writer_pretty(&file, &card)?;
        file.as_file().sync_all()?;
        file.persist(self.dir.join(CARD_FILE)).map_err(|e| e.error)?;
        self.card = card;
        Ok(())
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let files = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        files.filter_map(|e| e.metadata().ok()).map(|m| m.len()).sum()
    }
}

/// Writes what a prepared folder holds beside graph and weights; the manifest last.
pub(super) fn write(dir: &Path, card: &Card, text: &Text, built: &Built) -> io::Result<()> {
    write_new(&dir.join(TOKENIZER_FILE), &text.tokenizer_json)?;
    if let Some(template) = &text.template {
        write_new(&dir.join(TEMPLATE_FILE), template.as_bytes())?;
    }
    write_new(&dir.join(CARD_FILE), &serde_json::to_vec_pretty(card)?)?;
    let mut files = BTreeMap::from([
        (GRAPH_FILE.to_owned(), built.graph.metadata()?.len()),
        (DATA_FILE.to_owned(), built.data_bytes),
        (TOKENIZER_FILE.to_owned(), text.tokenizer_json.len() as u64),
    ]);
    if let Some(template) = &text.template {
        files.insert(TEMPLATE_FILE.to_owned(), template.len() as u64);
    }
    for path in &built.recurrent {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files.insert(name, path.metadata()?.len());
    }
    write_new(&dir.join(MANIFEST_FILE), &serde_json::to_vec_pretty(&Manifest { files })?)
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, OpenPreparedError> {
    let text = std::fs::read(path)
        .map_err(|source| OpenPreparedError::Io { path: path.to_path_buf(), source })?;
    serde_json::from_slice(&text)
        .map_err(|source| OpenPreparedError::Json { path: path.to_path_buf(), source })
}
