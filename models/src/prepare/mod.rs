//! From a model that was asked for to a prepared folder: graph, weights, tokenizer, template, card.
//!
//! ```text
//! CACHE/files/<sha256>/model.gguf         what was fetched, checked
//! CACHE/files/<name>-<identity>/          models that are part of the program, written out
//! CACHE/models/<name>-<kind>-<key>/       what was prepared
//! ```
//!
//! The key is a hash of the content, of how the weights are stored and of the graph's options, so
//! the same model is never prepared twice, and a folder is never wrong for its name.

mod files;
mod prepared;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

pub(crate) use files::fetched_path;
pub use prepared::{OpenPreparedError, Prepared};

use crate::card::{Card, RetrievalHead, WeightKind};
use crate::decoder::{Decoder, DecoderError};
use crate::encoding::Encoding;
use crate::fetch::{FetchError, FetchOptions};
use crate::gguf::GgufError;
use crate::memory::{Memory, MemoryChoice, MemoryError, MemorySource};
use crate::onnx::{BuildError, BuildOptions, Built, build};
use crate::safetensors::SafetensorsError;
use crate::source::ModelSource;
use crate::stage::Stage;
use crate::template::TemplateError;
use crate::tokenizer::{TokenizerError, TokenizerGgufError};
use crate::weights::{LayerPart, Part, Weights, WeightsError};
use files::{Material, Text};

/// Version of the K,V that are made: part of the fingerprint, so that stored ones of another
/// version are told apart.
const BUILDER: &str = "fused-2";
/// Version of the graph around the same K,V: part of the folder's name, not of the fingerprint.
const GRAPH: &str = "chained head";
/// Fewest rows of the table of cosines: positions of a stream rise long before they are laid anew.
const POSITIONS_MIN: usize = 32_768;
/// Most rows, and so the longest context that is used, whatever a model says of itself: 64 MiB of
/// cosines and sines for heads of 128 values.
const POSITIONS_MAX: usize = 131_072;

/// How a model is prepared.
#[derive(Clone, Debug)]
pub struct PrepareOptions {
    /// How the big matrices are stored.
    pub weights: WeightKind,
    /// Layers whose un-rotated queries the graph gives; `None` for those of its description.
    pub query_layers: Option<Vec<usize>>,
    /// Heads for the training-free address; `None` for those of the model's description.
    pub retrieval_heads: Option<Vec<RetrievalHead>>,
    /// Which trained memory is woven in.
    pub memory: MemoryChoice,
    /// Where fetched files and prepared models are kept.
    pub cache_dir: PathBuf,
    /// How files are fetched, if at all.
    pub fetch: FetchOptions,
}

impl PrepareOptions {
    /// Weights of `weights` kind in `cache_dir`, with the zoo's memory; nothing is fetched.
    #[must_use]
    pub fn offline(weights: WeightKind, cache_dir: &Path) -> Self {
        Self {
            weights,
            query_layers: None,
            retrieval_heads: None,
            memory: MemoryChoice::Zoo,
            cache_dir: cache_dir.to_path_buf(),
            fetch: FetchOptions { offline: true, ..FetchOptions::default() },
        }
    }
}

/// What is being done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// Another process prepares a model in the same cache.
    Waiting,
    /// A file is fetched.
    Fetching {
        /// What is fetched, for a person.
        what: String,
        /// Bytes so far.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// The model's files are read to know their identity.
    Hashing,
    /// Graph and weights are written.
    Building {
        /// Bytes so far.
        done: u64,
        /// Bytes in all, about.
        total: u64,
    },
}

/// Why a model could not be prepared. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// A file could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The GGUF file is not well formed.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// The safetensors folder is not well formed.
    #[error(transparent)]
    Safetensors(#[from] SafetensorsError),
    /// The decoder's shape could not be read.
    #[error(transparent)]
    Decoder(#[from] DecoderError),
    /// Weights are missing or do not fit.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The trained memory does not fit the model, or cannot be read.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The tokenizer could not be read.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The GGUF file's tokenizer is of a kind that is not built here.
    #[error(transparent)]
    TokenizerGguf(#[from] TokenizerGgufError),
    /// The chat template is not well formed.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The graph could not be built.
    #[error(transparent)]
    Build(BuildError),
    /// The vocabulary and the embedding have different sizes.
    #[error("the tokenizer has {tokens} tokens, the embedding {rows} rows")]
    Vocabulary {
        /// Tokens.
        tokens: usize,
        /// Rows.
        rows: usize,
    },
    /// A retrieval head does not exist, or its layer's queries are not an output.
    #[error(
        "retrieval head (layer {layer}, key/value head {kv_head}) is not of this model, or its \
         layer is not among the query layers {query_layers:?}"
    )]
    RetrievalHead {
        /// Its layer.
        layer: u16,
        /// Its key/value head.
        kv_head: u16,
        /// Layers whose queries are outputs.
        query_layers: Vec<usize>,
    },
    /// The disk is full.
    #[error("no space left for {path}")]
    NoSpace {
        /// What was written.
        path: PathBuf,
    },
    /// A file or folder could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What was just prepared cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenPreparedError),
}

impl PrepareError {
    fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        if source.kind() == io::ErrorKind::StorageFull {
            Self::NoSpace { path }
        } else {
            Self::Io { path, source }
        }
    }

    fn build(path: &Path, error: BuildError) -> Self {
        match error {
            BuildError::Io(source) => Self::io(path, source),
            other => Self::Build(other),
        }
    }
}

/// Prepares a model, or opens it where it is prepared already.
///
/// # Errors
/// [`PrepareError`]; nothing half-made is left behind.
pub fn prepare(
    source: &ModelSource,
    options: &PrepareOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Prepared, PrepareError> {
    let material = files::obtain(source, options, progress)?;
    let query_layers = match (&options.query_layers, source) {
        (Some(layers), _) => layers.clone(),
        (None, ModelSource::Zoo(model)) => model.query_layers.clone(),
        (None, _) => Vec::new(),
    };
    let build = BuildOptions { query_layers, ..BuildOptions::of(options.weights) };
    let memory = chosen_memory(source, &material, &options.memory)?;
    let fingerprint = fingerprint(&material, memory.as_ref(), &build);
    let name = folder_name(source, memory.as_ref(), &build, &fingerprint);
    let dir = models_dir(&options.cache_dir).join(name);
    if let Ok(prepared) = Prepared::open(&dir) {
        return Ok(prepared);
    }
    let job = Job { source, material: &material, memory: memory.as_ref(), options };
    job.write(build, &fingerprint, &dir, progress)
}

/// The memory that was chosen. The zoo's is that of the zoo's model, under whatever name it is
/// asked for.
fn chosen_memory(
    source: &ModelSource,
    material: &Material,
    choice: &MemoryChoice,
) -> Result<Option<MemorySource>, MemoryError> {
    match choice {
        MemoryChoice::None => Ok(None),
        MemoryChoice::Folder(dir) => MemorySource::folder(dir).map(Some),
        MemoryChoice::Zoo => {
            let model = match source {
                ModelSource::Zoo(model) => Some(model.name.clone()),
                ModelSource::Folder(_) | ModelSource::Gguf(_) => files::name_of(&material.identity),
            };
            model.and_then(|name| MemorySource::zoo(&name)).transpose()
        }
    }
}

/// The folder of prepared models in a cache.
pub(crate) fn models_dir(cache: &Path) -> PathBuf {
    cache.join("models")
}

/// Identity of the K,V that this graph makes: content, the memory's change of it, and how the
/// weights are stored.
fn fingerprint(
    material: &Material,
    memory: Option<&MemorySource>,
    build: &BuildOptions,
) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(BUILDER.as_bytes());
    hasher.update(material.identity.as_bytes());
    hasher.update(kind_name(build.weights).as_bytes());
    if let Some(memory) = memory {
        hasher.update(memory.identity().as_bytes());
    }
    hasher.finalize()
}

fn folder_name(
    source: &ModelSource,
    memory: Option<&MemorySource>,
    build: &BuildOptions,
    fingerprint: &blake3::Hash,
) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(fingerprint.as_bytes());
    hasher.update(GRAPH.as_bytes());
    hasher.update(format!("{:?}", build.query_layers).as_bytes());
    if let Some(memory) = memory {
        // Its texts are part of the card.
        hasher.update(memory.text().as_bytes());
    }
    let key = hasher.finalize().to_hex();
    format!("{}-{}-{}", source.name(), kind_name(build.weights), &key[..16])
}

/// The name of a weight kind in file names and on the command line.
pub(crate) const fn kind_name(kind: WeightKind) -> &'static str {
    match kind {
        WeightKind::F32 => "f32",
        WeightKind::F16 => "f16",
        WeightKind::Int8 => "int8",
        WeightKind::Int4 => "int4",
    }
}

/// What is prepared, and from what.
struct Job<'a> {
    source: &'a ModelSource,
    material: &'a Material,
    memory: Option<&'a MemorySource>,
    options: &'a PrepareOptions,
}

impl Job<'_> {
    fn write(
        &self,
        mut build_options: BuildOptions,
        fingerprint: &blake3::Hash,
        dir: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Prepared, PrepareError> {
        let root = models_dir(&self.options.cache_dir);
        let stage = Stage::begin(&root, &mut || progress(Progress::Waiting))
            .map_err(|e| PrepareError::io(&root, e))?;
        // Another process may have been faster while this one waited.
        if let Ok(prepared) = Prepared::open(dir) {
            return Ok(prepared);
        }
        let text = Text::read(&self.material.path)?;
        let weights = Weights::open(&self.material.path)?;
        text.check(weights.decoder())?;
        let memory = self.memory(weights.decoder(), progress)?;
        let context = weights.decoder().context;
        build_options.positions = context.clamp(POSITIONS_MIN, POSITIONS_MAX);
        let out = stage.path().join("out");
        std::fs::create_dir(&out).map_err(|e| PrepareError::io(&out, e))?;
        let built = build(&weights, memory.as_ref(), &build_options, &out, &mut |done, total| {
            progress(Progress::Building { done, total });
        })
        .map_err(|e| PrepareError::build(&out, e))?;
        let mut card = card(self.source, &weights, &build_options, fingerprint);
        card.retrieval_heads = retrieval_heads(self.source, self.options, &card)?;
        card.eos = text.ends(&card.eos);
        card.notes = notes(&weights, memory.as_ref(), build_options.weights, &built)?;
        card.memory = memory.map(|m| m.card().clone());
        prepared::write(&out, &card, &text, &built).map_err(|e| PrepareError::io(&out, e))?;
        stage.publish("out", dir).map_err(|e| PrepareError::io(dir, e))?;
        Ok(Prepared::open(dir)?)
    }

    /// The memory's files, checked against the weights and the decoder.
    fn memory(
        &self,
        decoder: &Decoder,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Option<Memory>, PrepareError> {
        let Some(memory) = self.memory else { return Ok(None) };
        progress(Progress::Hashing);
        memory.check_base(&self.material.path, self.material.sha256.as_deref())?;
        Ok(Some(memory.open(decoder)?))
    }
}

fn card(
    source: &ModelSource,
    weights: &Weights,
    build: &BuildOptions,
    fingerprint: &blake3::Hash,
) -> Card {
    let d: &Decoder = weights.decoder();
    let licence = match source {
        ModelSource::Zoo(model) => Some(model.licence.clone()),
        ModelSource::Folder(_) | ModelSource::Gguf(_) => d.licence.clone(),
    };
    Card {
        name: source.name(),
        architecture: d.architecture.clone(),
        layers: d.layers,
        hidden: d.hidden,
        ffn: d.ffn,
        heads: d.heads,
        kv_heads: d.kv_heads,
        head_dim: d.head_dim,
        vocab: d.vocab,
        context: d.context.min(build.positions),
        positions: build.positions,
        rope_theta: d.rope_theta,
        rms_eps: d.rms_eps,
        tied_head: d.tied_head,
        bos: d.bos,
        eos: d.eos.clone(),
        weights: build.weights,
        fingerprint: fingerprint.to_hex().to_string(),
        licence,
        query_layers: build.query_layers.clone(),
        retrieval_heads: Vec::new(),
        notes: Vec::new(),
        memory: None,
    }
}

fn retrieval_heads(
    source: &ModelSource,
    options: &PrepareOptions,
    card: &Card,
) -> Result<Vec<RetrievalHead>, PrepareError> {
    let given = options.retrieval_heads.is_some();
    let mut heads = match (&options.retrieval_heads, source) {
        (Some(heads), _) => heads.clone(),
        (None, ModelSource::Zoo(model)) => model.retrieval_heads.clone(),
        (None, _) => Vec::new(),
    };
    let fits = |h: &RetrievalHead| {
        card.query_layers.contains(&usize::from(h.layer)) && usize::from(h.kv_head) < card.kv_heads
    };
    if !given {
        // Other query layers were asked for: the described heads of missing layers are of no use.
        heads.retain(fits);
    }
    match heads.iter().find(|h| !fits(h)) {
        None => Ok(heads),
        Some(h) => Err(PrepareError::RetrievalHead {
            layer: h.layer,
            kv_head: h.kv_head,
            query_layers: card.query_layers.clone(),
        }),
    }
}

/// What a user should know of how the weights were stored.
fn notes(
    weights: &Weights,
    memory: Option<&Memory>,
    kind: WeightKind,
    built: &Built,
) -> Result<Vec<String>, PrepareError> {
    let mut notes = Vec::new();
    let context = weights.decoder().context;
    if context > POSITIONS_MAX {
        notes.push(format!("of a context of {context} tokens, {POSITIONS_MAX} are used"));
    }
    if let Some(memory) = memory {
        let how = if kind == WeightKind::Int4 { "beside the matrices" } else { "merged" };
        notes.push(format!("the trained memory {:?} is woven in ({how})", memory.card().name));
    }
    if !built.lossy {
        return Ok(notes);
    }
    let from = weights.matrix(Part::Layer(0, LayerPart::Gate))?.encoding;
    let note = match (kind, from) {
        (WeightKind::Int4, Encoding::Q4_0 | Encoding::Q4_1) => {
            "the embedding is re-quantised to 8 bits".to_owned()
        }
        (WeightKind::Int4, _) => format!(
            "matrices are re-quantised from {} to symmetric 4 bits: answers get worse, \
             8 bits hardly lose",
            from.name()
        ),
        _ => format!("matrices are re-quantised from {} to 8 bits", from.name()),
    };
    notes.push(note);
    Ok(notes)
}
