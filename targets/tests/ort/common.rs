//! The library, small models prepared once, and golden files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use lcedge_models::onnx::{BuildOptions, build};
use lcedge_models::{
    Card, ModelSource, PrepareOptions, Prepared, WeightKind, Weights, default_cache_dir, prepare,
};
use lcedge_targets::ort::{EngineOptions, OrtEngine, Runtime, Search};
use tempfile::TempDir;

fn variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name)
}

/// The library that the program would use.
pub(crate) fn runtime() -> &'static Runtime {
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
pub(crate) enum Small {
    /// 260K parameters, trained on stories; 5 layers, 8 heads over 4, 512 tokens.
    Stories,
    /// Random weights; 2 layers, 8 heads over 2, an untied head.
    Random,
}

impl Small {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stories => "stories260k",
            Self::Random => "random-llama",
        }
    }
}

/// A file of the committed test data.
pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/data").join(name)
}

/// A graph and its card.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) graph: PathBuf,
    pub(crate) card: Card,
}

/// A folder that lives as long as the tests run.
fn cache() -> &'static Path {
    static CACHE: OnceLock<TempDir> = OnceLock::new();
    CACHE.get_or_init(|| tempfile::tempdir().unwrap()).path()
}

/// The stories model, prepared as the program does, with the queries of three layers.
pub(crate) fn stories(weights: WeightKind) -> Prepared {
    let mut options = PrepareOptions::offline(weights, cache());
    options.query_layers = Some(vec![0, 2, 4]);
    options.retrieval_heads = Some(Vec::new());
    prepare(&ModelSource::resolve("stories260k").unwrap(), &options, &mut |_| {}).unwrap()
}

/// The random model, which has no tokenizer: only its graph is built, in tiles of 50 tokens.
fn random(kind: WeightKind) -> Model {
    static LOCK: Mutex<()> = Mutex::new(());
    let _one = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    let weights = weights(Small::Random);
    let (d, query_layers) = (weights.decoder(), vec![0, 1]);
    let card = Card {
        name: format!("random-{kind:?}"),
        positions: 4096,
        rope_theta: d.rope_theta,
        rms_eps: d.rms_eps,
        tied_head: d.tied_head,
        weights: kind,
        query_layers: query_layers.clone(),
        ..Card::for_test(d.layers, d.hidden, d.ffn, d.heads, d.kv_heads, d.head_dim, d.vocab)
    };
    let dir = cache().join(&card.name);
    if !dir.is_dir() {
        std::fs::create_dir_all(&dir).unwrap();
        let positions = card.positions;
        let options =
            BuildOptions { positions, query_layers, head_tile_rows: 50, ..BuildOptions::of(kind) };
        build(&weights, None, &options, &dir, &mut |_, _| {}).unwrap();
    }
    Model { graph: dir.join("model.onnx"), card }
}

pub(crate) fn model(small: Small, weights: WeightKind) -> Model {
    match small {
        Small::Stories => {
            let prepared = stories(weights);
            Model { graph: prepared.graph, card: prepared.card }
        }
        Small::Random => random(weights),
    }
}

/// The weights that a small model comes from.
pub(crate) fn weights(small: Small) -> Weights {
    match small {
        Small::Random => Weights::open(&data("random-llama")).unwrap(),
        // Part of the program; preparing writes them out.
        Small::Stories => {
            let dir = stories(WeightKind::F32).dir;
            let files = dir.ancestors().nth(2).unwrap().join("files");
            let folder = std::fs::read_dir(files).unwrap().find_map(|entry| {
                let path = entry.unwrap().path();
                path.file_name()?.to_str()?.starts_with(small.name()).then_some(path)
            });
            Weights::open(&folder.unwrap()).unwrap()
        }
    }
}

pub(crate) fn options(capacity: usize) -> EngineOptions {
    EngineOptions::new(capacity, 2)
}

pub(crate) fn open(model: &Model, options: &EngineOptions) -> OrtEngine {
    OrtEngine::open(runtime(), &model.graph, model.card.clone(), options).unwrap()
}

pub(crate) fn engine(small: Small, weights: WeightKind, capacity: usize) -> OrtEngine {
    open(&model(small, weights), &options(capacity))
}

/// Arrays of a golden file, and the ids it was made from.
pub(crate) struct Golden {
    pub(crate) ids: Vec<u32>,
    arrays: BTreeMap<String, Vec<f32>>,
}

impl Golden {
    pub(crate) fn of(small: Small) -> Self {
        Self::open(&data(&format!("{}.golden.safetensors", small.name())))
    }

    /// Ids are those of the metadata, or of the array `tokens` or `tok`.
    pub(crate) fn open(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
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
        let mut golden = Self { ids: Vec::new(), arrays };
        golden.ids = match header["__metadata__"]["ids"].as_str() {
            Some(ids) => serde_json::from_str(ids).unwrap(),
            None => {
                let names = ["tok", "tokens", "beacons.tokens", "gist.pass.tokens"];
                let name = names.iter().find(|n| golden.arrays.contains_key(**n)).unwrap();
                golden.ints(name).iter().map(|&id| id as u32).collect()
            }
        };
        golden
    }

    /// An array of 32-bit integers.
    pub(crate) fn ints(&self, name: &str) -> Vec<i32> {
        self.arrays[name].iter().map(|x| x.to_bits().cast_signed()).collect()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.arrays.contains_key(name)
    }

    pub(crate) fn get(&self, name: &str) -> &[f32] {
        &self.arrays[name]
    }
}

/// Values `[layers, heads, tokens, d]` as the projections give them, `[layers, tokens, heads * d]`.
pub(crate) fn by_token(values: &[f32], layers: usize, heads: usize, d: usize) -> Vec<f32> {
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
