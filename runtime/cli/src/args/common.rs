//! Flags that every command takes.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, ValueEnum};
use lcedge::config::{Condenser, MemoryMode, RecallMode};
use lcedge::memory::{KvDtype, SyncPolicy};
use lcedge::models::WeightKind;

use crate::size::WriteRate;

/// When output is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// How weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Weights {
    /// f32 where RAM allows, else int4
    Auto,
    /// 32-bit floats
    F32,
    /// 16-bit floats on disk
    F16,
    /// 8 bits
    Int8,
    /// 4 bits
    Int4,
}

impl Weights {
    pub(crate) const fn kind(self) -> Option<WeightKind> {
        match self {
            Self::Auto => None,
            Self::F32 => Some(WeightKind::F32),
            Self::F16 => Some(WeightKind::F16),
            Self::Int8 => Some(WeightKind::Int8),
            Self::Int4 => Some(WeightKind::Int4),
        }
    }
}

/// What a commit to the memory waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sync {
    /// Nothing: survives a kill, not a power cut
    None,
    /// The bytes (fdatasync): what is acknowledged may lack its last catalogue rows after a power
    /// cut, which are made again from the segments
    Data,
    /// Everything (fsync): what is acknowledged survives a power cut
    Full,
}

impl Sync {
    pub(crate) const fn policy(self) -> SyncPolicy {
        match self {
            Self::None => SyncPolicy::None,
            Self::Data => SyncPolicy::Data,
            Self::Full => SyncPolicy::Full,
        }
    }
}

/// How keys and values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kv {
    /// 16-bit floats
    F16,
    /// 8 bits
    Int8,
    /// 4 bits
    Int4,
}

impl Kv {
    pub(crate) const fn dtype(self) -> KvDtype {
        match self {
            Self::F16 => KvDtype::F16,
            Self::Int8 => KvDtype::Int8,
            Self::Int4 => KvDtype::Int4,
        }
    }
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnOff {
    /// Yes
    On,
    /// No
    Off,
}

const MODEL: &str = "Model";
const SIZES: &str = "Sizes";
const OUTPUT: &str = "Output";

/// Flags that every command takes.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// The model: a name, a folder or a .gguf file
    #[arg(long, global = true, env = "LCEDGE_MODEL", value_name = "NAME|DIR|FILE",
        default_value = lcedge::models::zoo::DEFAULT, help_heading = MODEL)]
    pub(crate) model: String,
    /// The trained memory that is woven into the model: auto (the one that comes with it), off (the
    /// stock model), or a folder
    #[arg(long, global = true, env = "LCEDGE_TRAINED_MEMORY", value_name = "auto|off|DIR",
        default_value = "auto", help_heading = MODEL)]
    pub(crate) trained_memory: String,
    /// Folder of the memory [default: per-user; for stream a temporary one]
    #[arg(long, global = true, env = "LCEDGE_STORE", value_name = "DIR", help_heading = MODEL)]
    pub(crate) store: Option<PathBuf>,
    /// Where the model runs: auto, cpu, cuda or tensorrt
    #[arg(long, global = true, env = "LCEDGE_DEVICE", value_name = "DEVICE",
        default_value = "auto", help_heading = MODEL)]
    pub(crate) device: String,
    /// How weights are stored
    #[arg(long, global = true, env = "LCEDGE_WEIGHTS", value_enum, value_name = "KIND",
        default_value_t = Weights::Auto, hide_possible_values = false, help_heading = MODEL)]
    pub(crate) weights: Weights,
    /// Never use the network
    #[arg(long, global = true, env = "LCEDGE_OFFLINE", num_args = 0..=1, require_equals = true,
        default_value = "false", default_missing_value = "true", value_name = "BOOL",
        value_parser = BoolishValueParser::new(), action = ArgAction::Set,
        hide_default_value = true, hide_possible_values = true, help_heading = MODEL)]
    pub(crate) offline: bool,
    /// Folder for prepared models and ONNX Runtime [default: per-user]
    #[arg(long, global = true, env = "LCEDGE_CACHE", value_name = "DIR", help_heading = MODEL)]
    pub(crate) cache: Option<PathBuf>,
    /// The ONNX Runtime library to use [default: searched for]
    #[arg(long, global = true, env = "LCEDGE_ORT", value_name = "FILE", help_heading = MODEL)]
    pub(crate) ort: Option<PathBuf>,

    /// Threads of the model [default: all cores]
    #[arg(long, global = true, env = "LCEDGE_THREADS", value_name = "N", help_heading = SIZES)]
    pub(crate) threads: Option<usize>,
    /// Exact tokens in attention [default: 1024, less for a smaller model]
    #[arg(long, global = true, env = "LCEDGE_WINDOW", value_name = "TOKENS", help_heading = SIZES)]
    pub(crate) window: Option<usize>,
    /// Tokens of one step of the model [default: 512, less for a smaller model]
    #[arg(long, global = true, env = "LCEDGE_CHUNK", value_name = "TOKENS", help_heading = SIZES)]
    pub(crate) chunk: Option<usize>,
    /// Hard limit of RAM, such as 2GiB
    #[arg(long, global = true, env = "LCEDGE_RAM", value_name = "SIZE", help_heading = SIZES,
        value_parser = crate::size::parse)]
    pub(crate) ram: Option<u64>,
    /// Hard limit of the memory on disk, such as 20GB
    #[arg(long, global = true, env = "LCEDGE_DISK", value_name = "SIZE", help_heading = SIZES,
        value_parser = crate::size::parse)]
    pub(crate) disk: Option<u64>,
    /// Bytes that a day may write to the memory; beyond them what is read is kept without its keys
    /// and values. "off" is no limit [default: 58GB, a 64 GB eMMC for three years]
    #[arg(long, global = true, env = "LCEDGE_WRITE_RATE", value_name = "SIZE", help_heading = SIZES,
        value_parser = crate::size::parse_or_off)]
    pub(crate) write_rate: Option<WriteRate>,
    /// What a commit to the memory waits for
    #[arg(long, global = true, env = "LCEDGE_SYNC", value_enum, default_value_t = Sync::Data,
        value_name = "WHAT", help_heading = SIZES)]
    pub(crate) sync: Sync,
    /// How keys and values are stored
    #[arg(long, global = true, env = "LCEDGE_KV", value_enum, default_value_t = Kv::Int8,
        value_name = "KIND", hide_possible_values = false, help_heading = SIZES)]
    pub(crate) kv: Kv,
    /// Tiers of memory beside the window: full, window, gist, condensed or recall
    #[arg(long, global = true, env = "LCEDGE_MEMORY", value_name = "TIERS",
        default_value = "full", help_heading = SIZES)]
    pub(crate) memory: MemoryMode,
    /// Tokens that one beacon stands for: 4, 8, 16, 32, or adaptive [default: 8]
    #[arg(long, global = true, env = "LCEDGE_RATIO", value_name = "N|adaptive",
        help_heading = SIZES)]
    pub(crate) ratio: Option<String>,
    /// Slots of the condensed tier [default: 128 with beacons]
    #[arg(long, global = true, env = "LCEDGE_CONDENSED", value_name = "TOKENS",
        help_heading = SIZES)]
    pub(crate) condensed: Option<usize>,
    /// What condenses for a model without a trained memory (with --memory condensed): surprisal,
    /// camelot or matching
    #[arg(long, global = true, env = "LCEDGE_CONDENSE", value_name = "HOW",
        default_value = "surprisal", help_heading = SIZES)]
    pub(crate) condense: Condenser,
    /// What questions recall: kv (stored keys and values) or text (read again)
    #[arg(long, global = true, env = "LCEDGE_RECALL", value_name = "WHAT", default_value = "kv",
        help_heading = SIZES)]
    pub(crate) recall: RecallMode,
    /// Blocks recalled while reading; 0 for none
    #[arg(long, global = true, env = "LCEDGE_STALE_BLOCKS", value_name = "N",
        default_value_t = lcedge::limits::STALE_BLOCKS_DEFAULT, help_heading = SIZES)]
    pub(crate) stale_blocks: usize,
    /// Whether what leaves the condensed tier folds into the gist, where the model has one and
    /// every tier is on; off saves its slots and RAM
    #[arg(long, global = true, env = "LCEDGE_GIST", value_enum, default_value_t = OnOff::On,
        value_name = "ON|OFF", hide_possible_values = true, help_heading = SIZES)]
    pub(crate) gist: OnOff,
    /// Measure the surprise of every token
    #[arg(long, global = true, env = "LCEDGE_SURPRISE", value_enum, default_value_t = OnOff::On,
        value_name = "ON|OFF", hide_possible_values = true, help_heading = SIZES)]
    pub(crate) surprise: OnOff,
    /// An answer less sure than this counts as not found (0 to 1) [default: calibrated]
    #[arg(long, global = true, env = "LCEDGE_CONFIDENCE_MIN", value_name = "P",
        help_heading = SIZES)]
    pub(crate) confidence_min: Option<f32>,

    /// Print JSON, one object a line
    #[arg(long, global = true, env = "LCEDGE_JSON", num_args = 0..=1, require_equals = true,
        default_value = "false", default_missing_value = "true", value_name = "BOOL",
        value_parser = BoolishValueParser::new(), action = ArgAction::Set,
        hide_default_value = true, hide_possible_values = true, help_heading = OUTPUT)]
    pub(crate) json: bool,
    /// Print results and errors alone
    #[arg(long, short, global = true, env = "LCEDGE_QUIET", num_args = 0..=1,
        require_equals = true, default_value = "false", default_missing_value = "true",
        value_name = "BOOL", value_parser = BoolishValueParser::new(), action = ArgAction::Set,
        hide_default_value = true, hide_possible_values = true, help_heading = OUTPUT)]
    pub(crate) quiet: bool,
    /// Say more
    #[arg(long, short, global = true, env = "LCEDGE_VERBOSE", num_args = 0..=1,
        require_equals = true, default_value = "false", default_missing_value = "true",
        value_name = "BOOL", value_parser = BoolishValueParser::new(), action = ArgAction::Set,
        hide_default_value = true, hide_possible_values = true, help_heading = OUTPUT)]
    pub(crate) verbose: bool,
    /// Colours: auto, always or never
    #[arg(long, global = true, env = "LCEDGE_COLOR", value_enum, default_value_t = Color::Auto,
        value_name = "WHEN", hide_possible_values = true, help_heading = OUTPUT)]
    pub(crate) color: Color,
}
