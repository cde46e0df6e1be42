//! From what a person asks for to an open session: model, library, engine, store, addresses.

use std::path::PathBuf;

use lcedge_memory::KvDtype;
use lcedge_models::WeightKind;

use crate::config::{MemoryMode, RecallMode};

/// What a session is opened with. Sizes are tokens unless the name says otherwise.
#[derive(Clone, Debug)]
pub struct SetupOptions {
    /// Name, folder or file of the model.
    pub model: String,
    /// Folder of the store; `None` keeps nothing on disk.
    pub store: Option<PathBuf>,
    /// `auto`, `cpu`, `cuda` or `tensorrt`.
    pub device: String,
    /// How weights are stored; `None` chooses by RAM.
    pub weights: Option<WeightKind>,
    /// Threads of the engine; `None` takes the machine's cores.
    pub threads: Option<usize>,
    /// Exact tokens in attention when a chunk starts.
    pub window: usize,
    /// Tokens of one decoder call.
    pub chunk: usize,
    /// Hard limit of RAM, bytes.
    pub ram_bytes: Option<u64>,
    /// Hard limit of the store, bytes.
    pub disk_bytes: Option<u64>,
    /// Never use the network.
    pub offline: bool,
    /// Tiers.
    pub memory: MemoryMode,
    /// What questions recall.
    pub recall: RecallMode,
    /// Whether surprise is measured.
    pub surprise: bool,
    /// How keys and values are stored.
    pub kv: KvDtype,
    /// Blocks recalled while absorbing; 0 is off.
    pub stale_blocks: usize,
    /// Folder for prepared models and the library; `None` is the per-user one.
    pub cache: Option<PathBuf>,
    /// ONNX Runtime's library, where it was named (`--ort`, `LCEDGE_ORT`, `ORT_DYLIB_PATH`).
    pub ort: Option<PathBuf>,
    /// The host's Python, where it was named; `python3` otherwise.
    pub python: Option<PathBuf>,
}
