//! What a session is opened with.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use lcedge_memory::{KvDtype, SyncPolicy};
use lcedge_models::{Card, MemoryChoice, WeightKind};

use crate::beacons::Ratio;
use crate::config::{Condenser, Control, MemoryMode, RecallMode};
use crate::limits::{
    ANSWER_TOKENS_MAX, ASK_RECALL_TOKENS_DEFAULT, BEACON_TOKENS_DEFAULT, BLOCK_TOKENS,
    CHUNK_TOKENS_DEFAULT, CONDENSED_TOKENS_DEFAULT, INDEX_BYTES, INDEX_BYTES_MAX,
    QUESTION_TOKENS_MAX, STALE_BLOCKS_DEFAULT, WINDOW_TOKENS_DEFAULT,
};
use crate::plan::{Request, store_bytes_per_token};

/// What a session is opened with. Sizes are tokens unless the name says otherwise.
#[derive(Clone, Debug)]
pub struct SetupOptions {
    /// Name, folder or file of the model.
    pub model: String,
    /// Which trained memory is woven into the model.
    pub trained_memory: MemoryChoice,
    /// Folder of the store; `None` keeps nothing on disk.
    pub store: Option<PathBuf>,
    /// Slots that the engine has at least, for later sessions over it with a larger window.
    pub capacity_tokens: Option<usize>,
    /// Slots of the condensed tier; `None` takes the default.
    pub condensed_tokens: Option<usize>,
    /// What condenses where the model has no beacons.
    pub condense: Condenser,
    /// How finely beacons condense; `None` takes the default.
    pub ratio: Option<Ratio>,
    /// Breaks a tier on purpose, to show that it does something.
    #[doc(hidden)]
    pub control: Control,
    /// Only asks: opens the store as a reader, also while a writer is at work on it.
    pub read_only: bool,
    /// `auto`, `cpu`, `cuda` or `tensorrt`.
    pub device: String,
    /// How weights are stored; `None` chooses by RAM.
    pub weights: Option<WeightKind>,
    /// Threads of the engine; `None` takes the machine's cores.
    pub threads: Option<usize>,
    /// Exact tokens in attention when a chunk starts; `None` takes the default, or less for a
    /// model that was trained on less.
    pub window: Option<usize>,
    /// Tokens of one decoder call; `None` as for the window.
    pub chunk: Option<usize>,
    /// Hard limit of RAM, bytes.
    pub ram_bytes: Option<u64>,
    /// Hard limit of the store, bytes.
    pub disk_bytes: Option<u64>,
    /// What a commit waits for.
    pub sync: SyncPolicy,
    /// Bytes that a day may write to the store ([`SessionConfig::write_bytes_per_day`]).
    ///
    /// [`SessionConfig::write_bytes_per_day`]: crate::SessionConfig::write_bytes_per_day
    pub write_bytes_per_day: Option<u64>,
    /// Never use the network.
    pub offline: bool,
    /// Tiers.
    pub memory: MemoryMode,
    /// What questions recall.
    pub recall: RecallMode,
    /// Whether beacons that leave the condensed tier fold into the gist, with every tier on and
    /// a model that has one.
    pub gist: bool,
    /// Whether surprise is measured.
    pub surprise: bool,
    /// How keys and values are stored.
    pub kv: KvDtype,
    /// Blocks recalled while absorbing; 0 is off.
    pub stale_blocks: usize,
    /// Folder for prepared models and the library; `None` is the per-user one.
    pub cache: Option<PathBuf>,
    /// ONNX Runtime's library, where it was named.
    pub ort: Option<PathBuf>,
    /// Reads the environment: for per-user folders, pip, and the library's usual variables.
    pub variable: fn(&str) -> Option<OsString>,
    /// Ends a download when it becomes true.
    pub cancel: Option<Arc<AtomicBool>>,
    /// An answer below this confidence is "not found"; `None` takes the calibrated threshold.
    pub confidence_min: Option<f32>,
}

impl Default for SetupOptions {
    fn default() -> Self {
        Self {
            model: lcedge_models::zoo::DEFAULT.to_owned(),
            trained_memory: MemoryChoice::Zoo,
            store: None,
            capacity_tokens: None,
            condensed_tokens: None,
            condense: Condenser::default(),
            ratio: None,
            control: Control::None,
            read_only: false,
            device: "auto".to_owned(),
            weights: None,
            threads: None,
            window: None,
            chunk: None,
            ram_bytes: None,
            disk_bytes: None,
            sync: SyncPolicy::default(),
            write_bytes_per_day: Some(crate::limits::WRITE_BYTES_PER_DAY_DEFAULT),
            offline: false,
            memory: MemoryMode::Full,
            recall: RecallMode::Kv,
            gist: true,
            surprise: true,
            kv: KvDtype::Int8,
            stale_blocks: STALE_BLOCKS_DEFAULT,
            cache: None,
            ort: None,
            variable: |_| None,
            cancel: None,
            confidence_min: None,
        }
    }
}

impl SetupOptions {
    /// The sizes asked for, or those that a model has by default.
    #[must_use]
    pub fn request(&self, card: &Card, sink_tokens: usize, threads: usize) -> Request {
        let context = card.context;
        let question = QUESTION_TOKENS_MAX.min(context / 8).max(1);
        let answer = ANSWER_TOKENS_MAX.min(context / 8).max(1);
        let rest = sink_tokens + BLOCK_TOKENS + question + answer;
        let window = self.window.unwrap_or(WINDOW_TOKENS_DEFAULT.min(context * 5 / 8));
        let stale = self.stale_blocks.min(window / (4 * BLOCK_TOKENS));
        let beacons = card.memory.as_ref().is_some_and(|m| !m.beacons.is_empty());
        let slots = if beacons { BEACON_TOKENS_DEFAULT } else { CONDENSED_TOKENS_DEFAULT };
        let condenses = self.memory.condenses(beacons);
        let slots = self.condensed_tokens.unwrap_or(slots.min(window / 8));
        let condensed = if condenses { slots } else { 0 };
        let gist = card.memory.as_ref().and_then(|m| m.gist).map_or(0, |g| g.slots);
        let folds = self.gist || self.memory == MemoryMode::Gist;
        let gist = if folds && self.memory.folds(gist > 0) { gist } else { 0 };
        Request {
            window_tokens: window,
            chunk_tokens: self.chunk.unwrap_or(CHUNK_TOKENS_DEFAULT.min(context / 4)).max(1),
            sink_tokens,
            condensed_tokens: condensed,
            gist_tokens: gist,
            stale_blocks: if self.memory.recalls() { stale } else { 0 },
            ask_recall_tokens: ASK_RECALL_TOKENS_DEFAULT
                .min(context.saturating_sub(rest + condensed + gist)),
            question_tokens_max: question,
            answer_tokens_max: answer,
            kv: self.kv,
            threads,
            ram_bytes_max: self.ram_bytes,
            index_bytes: self.index_bytes(card),
        }
    }

    /// Bytes of the index that are worth being resident: of all blocks that the store holds now and
    /// a quarter more, and of those that fit into a disk budget with their keys and values.
    fn index_bytes(&self, card: &Card) -> u64 {
        let layout = super::address_layout(card);
        let held = self.store.as_deref().map_or(0, lcedge_memory::index_bytes);
        let block = store_bytes_per_token(card, layout, self.kv) * BLOCK_TOKENS as u64;
        let blocks = self.disk_bytes.unwrap_or(0) / block.max(1);
        let of_disk = blocks.saturating_mul(layout.index_bytes() as u64);
        (held / 4 * 5).max(of_disk).clamp(INDEX_BYTES, INDEX_BYTES_MAX)
    }
}
