//! The library, small models prepared once, and golden files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use lcedge_models::{
    ModelSource, PrepareOptions, Prepared, WeightKind, Weights, default_cache_dir, prepare,
};
use lcedge_targets::ort::{EngineOptions, OrtEngine, Runtime, Search};
use tempfile::TempDir;

fn variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name)
}

/// The library that the program would use.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let data = default_cache_dir(variable);
        let search = Search::from_environment(None, data.as_deref(), &variable);
        let library = match search.find() {
            Ok(library) => library,
            Err(error) => panic!(
                "{error}\nThese tests need it: `cargo run -p lcedge-targets --example fetch_ort` \
                 fetches it, or `pip install onnxruntime==1.31.0`, or set LCEDGE_ORT."
            ),
        };
        Runtime::load(&library).unwrap()
    })
}

/// A small model: what it is asked for by, and the weights it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Small {
    /// 260K parameters, trained on stories; 5 layers, 8 heads over 4, 512 tokens.
    Stories,
    /// Random weights; 2 layers, 8 heads over 2, an untied head.
    Random,
}

impl Small {
    pub fn name(self) -> &'static str {
        match self {
            Self::Stories => "stories260k",
            Self::Random => "random-llama",
        }
    }

    fn source(self) -> ModelSource {
        match self {
            Self::Stories => ModelSource::resolve("stories260k").unwrap(),
            Self::Random => ModelSource::resolve(data("random-llama").to_str().unwrap()).unwrap(),
        }
    }
}

/// A file of the committed test data.
pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/data").join(name)
}

/// A small model with all its queries, prepared in a folder that lives as long as the tests run.
pub fn prepared(small: Small, weights: WeightKind) -> Prepared {
    static CACHE: OnceLock<TempDir> = OnceLock::new();
    let cache = CACHE.get_or_init(|| tempfile::tempdir().unwrap());
    let mut options = PrepareOptions::offline(weights, cache.path());
    options.query_layers = Some(if small == Small::Stories { vec![0, 2, 4] } else { vec![0, 1] });
    options.retrieval_heads = Some(Vec::new());
    prepare(&small.source(), &options, &mut |_| {}).unwrap()
}

/// The weights that a small model comes from.
pub fn weights(small: Small) -> Weights {
    match small.source() {
        ModelSource::Gguf(path) | ModelSource::Folder(path) => Weights::open(&path).unwrap(),
        // Prepared from files that are part of the program, which preparing writes out.
        ModelSource::Zoo(_) => {
            let dir = prepared(small, WeightKind::F32).dir;
            let files = dir.ancestors().nth(2).unwrap().join("files");
            let folder = std::fs::read_dir(files).unwrap().find_map(|entry| {
                let path = entry.unwrap().path();
                path.file_name()?.to_str()?.starts_with(small.name()).then_some(path)
            });
            Weights::open(&folder.unwrap()).unwrap()
        }
    }
}

pub fn options(capacity: usize) -> EngineOptions {
    EngineOptions::new(capacity, 2)
}

pub fn engine(small: Small, weights: WeightKind, capacity: usize) -> OrtEngine {
    OrtEngine::load(runtime(), &prepared(small, weights), &options(capacity)).unwrap()
}

/// Arrays of a golden file, and the ids it was made from.
pub struct Golden {
    pub ids: Vec<u32>,
    arrays: BTreeMap<String, Vec<f32>>,
}

impl Golden {
    pub fn of(small: Small) -> Self {
        let bytes = std::fs::read(data(&format!("{}.golden.safetensors", small.name()))).unwrap();
        let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
        let (header, values) = rest.split_at(u64::from_le_bytes(*length) as usize);
        let header: serde_json::Value = serde_json::from_slice(header).unwrap();
        let mut arrays = BTreeMap::new();
        for (name, tensor) in header.as_object().unwrap() {
            if name == "__metadata__" {
                continue;
            }
            let at = |i: usize| tensor["data_offsets"][i].as_u64().unwrap() as usize;
            let (values, _) = values[at(0)..at(1)].as_chunks::<4>();
            arrays.insert(name.clone(), values.iter().map(|b| f32::from_le_bytes(*b)).collect());
        }
        let ids = header["__metadata__"]["ids"].as_str().unwrap();
        Self { ids: serde_json::from_str(ids).unwrap(), arrays }
    }

    pub fn get(&self, name: &str) -> &[f32] {
        &self.arrays[name]
    }
}

/// Values `[layers, heads, tokens, d]` as the projections give them, `[layers, tokens, heads * d]`.
pub fn by_token(values: &[f32], layers: usize, heads: usize, d: usize) -> Vec<f32> {
    let tokens = values.len() / (layers * heads * d);
    let mut out = Vec::with_capacity(values.len());
    for layer in 0..layers {
        for token in 0..tokens {
            for head in 0..heads {
                let at = ((layer * heads + head) * tokens + token) * d;
                out.extend_from_slice(&values[at..at + d]);
            }
        }
    }
    out
}
