//! Opening a graph, and keeping its weights packed on disk.
//!
//! The CPU provider repacks every big matrix when a session opens: seconds, and all of it in
//! anonymous memory. The library can save a graph with its packed matrices; opening that maps them.
//! Packed matrices depend on the processor and the library, so both are part of the folder's name.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use super::abilities;
use super::provider::Provider;
use super::runtime::Runtime;
use crate::probe;

const GRAPH: &str = "model.onnx";
const DATA: &str = "weights.bin";

/// How a session is set up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    /// Threads of one operator.
    pub(super) threads: usize,
    /// Whether idle threads spin for a while before they sleep.
    pub(super) spin: bool,
}

/// Opens `graph` as it is.
pub(super) fn open(
    runtime: &Runtime,
    graph: &Path,
    provider: &dyn Provider,
    setup: Setup,
) -> Result<Session, ort::Error> {
    builder(runtime, provider, setup)?.commit_from_file(graph)
}

/// Opens a graph that [`pack`] saved.
pub(super) fn open_packed(
    runtime: &Runtime,
    folder: &Path,
    provider: &dyn Provider,
    setup: Setup,
) -> Result<Session, ort::Error> {
    // It was optimised before it was saved; doing that again could undo the match of its matrices.
    let builder = builder(runtime, provider, setup)?;
    builder
        .with_optimization_level(GraphOptimizationLevel::Disable)?
        .commit_from_file(folder.join(GRAPH))
}

fn builder(
    runtime: &Runtime,
    provider: &dyn Provider,
    setup: Setup,
) -> Result<SessionBuilder, ort::Error> {
    let builder = Session::builder(runtime.environment())?
        .with_intra_threads(setup.threads)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(setup.spin)?
        // Plans memory for one shape; shapes of chunks vary, and each would keep its own plan.
        .with_memory_pattern(false)?
        .with_log_level(ort::logging::LogLevel::Fatal)?
        .with_execution_providers(provider.register())?;
    Ok(builder)
}

/// Where the packed form of a graph lies under `cache`: named after the library, the processor and
/// the model. `None` where the library cannot save it.
pub(super) fn packed_folder(runtime: &Runtime, cache: &Path, fingerprint: &str) -> Option<PathBuf> {
    if runtime.version() < abilities::SAVES_PACKED.since {
        return None;
    }
    let mut hash = blake3::Hasher::new();
    let processor = probe::processor_text(Path::new("/"));
    for part in [runtime.build_info(), processor.as_str(), fingerprint] {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    let key = &hash.finalize().to_hex()[..16];
    Some(cache.join(format!("packed-{}-{key}", runtime.version())))
}

/// Whether a folder holds a packed graph. It is renamed into place when complete.
pub(super) fn is_packed(folder: &Path) -> bool {
    folder.join(GRAPH).is_file() && folder.join(DATA).is_file()
}

/// Saves the packed form of `graph` as `folder`, which is not there before or after a failure.
pub(super) fn pack(
    runtime: &Runtime,
    graph: &Path,
    folder: &Path,
    provider: &dyn Provider,
    setup: Setup,
) -> Result<(), PackError> {
    let parent = folder.parent().unwrap_or(Path::new("."));
    let stage = parent.join(format!(".stage-packed-{}", std::process::id()));
    let result = write_packed(runtime, graph, &stage, provider, setup).and_then(|()| {
        // Another process may have been faster: then its folder is as good.
        fs::rename(&stage, folder)
            .or_else(|e| if is_packed(folder) { Ok(()) } else { Err(e.into()) })
    });
    // What is left of the stage folder is of no use to anyone; a failure here changes nothing.
    let _ = fs::remove_dir_all(&stage);
    result
}

fn write_packed(
    runtime: &Runtime,
    graph: &Path,
    stage: &Path,
    provider: &dyn Provider,
    setup: Setup,
) -> Result<(), PackError> {
    fs::create_dir_all(stage)?;
    let session = builder(runtime, provider, setup)?
        .with_optimized_model_path(stage.join(GRAPH))
        .map_err(ort::Error::from)?
        .with_config_entry("session.optimized_model_external_initializers_file_name", DATA)
        .map_err(ort::Error::from)?
        .with_config_entry(
            "session.optimized_model_external_initializers_min_size_in_bytes",
            "1024",
        )
        .map_err(ort::Error::from)?
        .with_config_entry("session.save_external_prepacked_constant_initializers", "1")
        .map_err(ort::Error::from)?
        .commit_from_file(graph)?;
    drop(session);
    for name in [GRAPH, DATA] {
        fs::File::open(stage.join(name))?.sync_all()?;
    }
    Ok(())
}

/// Why the packed form could not be saved. The graph itself can still be run.
#[derive(Debug, thiserror::Error)]
pub(super) enum PackError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Backend(#[from] ort::Error),
}
