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
/// What names of folders with packed graphs begin with.
const PREFIX: &str = "packed-";
/// Where one is written before it is renamed, and what makes sure that one process does.
const STAGE: &str = ".stage-packed";
const REFUSED: &str = "refused.txt";
const LOCK: &str = ".packed.lock";

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
pub(super) fn packed_folder(
    runtime: &Runtime,
    cache: &Path,
    graph: &Path,
    fingerprint: &str,
) -> Option<PathBuf> {
    if runtime.version() < abilities::SAVES_PACKED.since {
        return None;
    }
    let mut hash = blake3::Hasher::new();
    let processor = probe::processor_text(Path::new("/"));
    // A graph that cannot be read gives an error of its own when it is opened.
    let graph = fs::read(graph).unwrap_or_default();
    let texts = [runtime.build_info(), processor.as_str(), fingerprint].map(str::as_bytes);
    for part in texts.into_iter().chain([graph.as_slice()]) {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let key = &hash.finalize().to_hex()[..16];
    Some(cache.join(format!("{PREFIX}{}-{key}", runtime.version())))
}

/// What a folder for a packed graph holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Packed {
    /// Nothing yet.
    Absent,
    /// A packed graph; it was renamed into place when complete.
    Whole,
    /// Why packing was tried and given up: it is not tried again.
    Refused(String),
}

pub(super) fn state(folder: &Path) -> Packed {
    if let Ok(why) = fs::read_to_string(folder.join(REFUSED)) {
        return Packed::Refused(why);
    }
    let whole = folder.join(GRAPH).is_file() && folder.join(DATA).is_file();
    if whole { Packed::Whole } else { Packed::Absent }
}

/// Makes `folder`, which appears whole or not at all, with `write`, and keeps what it wrote if
/// `verify` finds it right; otherwise the folder says why not. Processes that want the same wait
/// for each other. With `alone`, packed forms for other processors and libraries beside it are
/// removed: they belong to the same graph and cost its size each.
pub(super) fn pack(
    folder: &Path,
    alone: bool,
    write: &dyn Fn(&Path) -> Result<(), PackError>,
    verify: &dyn Fn(&Path) -> Result<(), String>,
) -> Result<(), PackError> {
    let parent = folder.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    // Given back when it is dropped, and by the system when the process dies.
    let lock = fs::File::create(parent.join(LOCK))?;
    lock.lock()?;
    if state(folder) != Packed::Absent {
        return Ok(());
    }
    let stage = parent.join(STAGE);
    // Of a process that died.
    remove_folder(&stage)?;
    let made = write(&stage).and_then(|()| {
        if let Err(why) = verify(&stage) {
            remove_folder(&stage)?;
            fs::create_dir(&stage)?;
            fs::write(stage.join(REFUSED), why)?;
        }
        Ok(fs::rename(&stage, folder)?)
    });
    if made.is_err() {
        // The first error is the one to tell.
        let _ = remove_folder(&stage);
        return made;
    }
    if alone {
        for entry in fs::read_dir(parent)?.flatten().filter(|e| e.path() != folder) {
            if entry.file_name().to_string_lossy().starts_with(PREFIX) {
                remove_folder(&entry.path())?;
            }
        }
    }
    Ok(())
}

/// Removes a folder that may not be there.
fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Writes the packed form of `graph` into the new folder `stage`.
pub(super) fn write_packed(
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
