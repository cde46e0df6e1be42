//! Fetching the pinned library, where none is found and the network is allowed.
//!
//! It comes out of the project's own wheel on the Python package index, through the host's pip, and
//! is checked against the hash pinned here. The wheel's licence texts are kept beside the library.

use std::path::{Path, PathBuf};

use lcedge_models::fetch::{self, Fetch, FetchError, FetchOptions, Member};

use super::library::{LibraryError, OrtLibrary, Search};

/// The version that is fetched.
pub const VERSION: &str = "1.31.0";

/// A wheel of the pinned version.
struct Wheel {
    architecture: &'static str,
    platform: &'static str,
    sha256: &'static str,
    size_bytes: u64,
}

/// Wheels of CPython 3.12; only the shared library inside is used, which is the same in all.
const WHEELS: [Wheel; 2] = [
    Wheel {
        architecture: "x86_64",
        platform: "manylinux_2_28_x86_64",
        sha256: "5e129d6c56abd53e659cb70f00a108d6824086470ff99c2e47a82e5786563db3",
        size_bytes: 23_760_984,
    },
    Wheel {
        architecture: "aarch64",
        platform: "manylinux_2_28_aarch64",
        sha256: "35758d7606d578ec5b9d65f6e8a1f488013194c3f6097038a3223cb26d35ef9a",
        size_bytes: 21_420_804,
    },
];

/// Files of the wheel that are kept, and their names beside the library.
const MEMBERS: [(&str, &str); 4] = [
    ("onnxruntime/capi/libonnxruntime.so.1.31.0", "libonnxruntime.so.1.31.0"),
    ("onnxruntime/capi/libonnxruntime_providers_shared.so", "libonnxruntime_providers_shared.so"),
    ("onnxruntime/LICENSE", "LICENSE"),
    ("onnxruntime/ThirdPartyNotices.txt", "ThirdPartyNotices.txt"),
];

/// Why the library could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchLibraryError {
    /// There is no wheel for this machine.
    #[error(
        "ONNX Runtime {VERSION} is not fetched for {os} on {architecture}; install one and name it \
         with --ort or LCEDGE_ORT"
    )]
    NoWheel {
        /// The operating system.
        os: &'static str,
        /// The architecture.
        architecture: &'static str,
    },
    /// The wheel could not be fetched or unpacked.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// What was fetched does not load.
    #[error("fetched, but: {0}")]
    Library(#[from] LibraryError),
}

/// The folder under the per-user data folder that the library is unpacked into.
#[must_use]
pub fn folder(data: &Path) -> PathBuf {
    data.join("onnxruntime").join(format!("{VERSION}-{}", std::env::consts::ARCH))
}

/// Bytes that [`fetch_library`] downloads on this machine; `None` where it cannot.
#[must_use]
pub fn download_bytes() -> Option<u64> {
    wheel().map(|w| w.size_bytes)
}

/// Fetches the pinned library into [`folder`], which appears whole or not at all, and checks that
/// it loads. `progress` is told bytes so far and in all.
///
/// # Errors
/// [`FetchLibraryError`].
pub fn fetch_library(
    data: &Path,
    options: &FetchOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<OrtLibrary, FetchLibraryError> {
    let Some(wheel) = wheel() else {
        let (os, architecture) = (std::env::consts::OS, std::env::consts::ARCH);
        return Err(FetchLibraryError::NoWheel { os, architecture });
    };
    let folder = folder(data);
    let members = MEMBERS.map(|(name, target)| Member::named(name, target));
    fetch::fetch(&wanted(wheel), &members, &folder, options, progress)?;
    let search = Search {
        given: vec![(format!("fetched (onnxruntime {VERSION} from the package index)"), folder)],
        folders: Vec::new(),
    };
    Ok(search.find()?)
}

fn wanted(wheel: &Wheel) -> Fetch {
    Fetch {
        package: "onnxruntime".to_owned(),
        version: VERSION.to_owned(),
        sha256: wheel.sha256.to_owned(),
        size_bytes: wheel.size_bytes,
        // Named, because the host's Python may be one that the version has no wheel for.
        python_version: Some("3.12".to_owned()),
        platforms: vec![wheel.platform.to_owned()],
    }
}

fn wheel() -> Option<&'static Wheel> {
    let linux = cfg!(all(target_os = "linux", target_env = "gnu"));
    WHEELS.iter().find(|w| linux && w.architecture == std::env::consts::ARCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_whole() {
        for wheel in &WHEELS {
            assert!(
                wheel.sha256.len() == 64 && wheel.sha256.bytes().all(|b| b.is_ascii_hexdigit())
            );
            assert!(wheel.platform.ends_with(wheel.architecture));
        }
        assert!(MEMBERS[0].0.ends_with(VERSION) && MEMBERS[0].1.ends_with(VERSION));
    }

    #[test]
    fn offline_fetches_nothing_and_says_so() {
        let data = tempfile::tempdir().unwrap();
        let options = FetchOptions { offline: true, ..FetchOptions::default() };
        let error = fetch_library(data.path(), &options, &mut |_, _| {}).unwrap_err();
        assert!(error.to_string().contains("offline"), "{error}");
        assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0);
    }
}
