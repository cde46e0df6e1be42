//! Where a fetched library lies.

use std::path::{Path, PathBuf};

/// The version that is fetched.
pub(super) const VERSION: &str = "1.31.0";

/// The folder under the per-user data folder that the library is unpacked into.
#[must_use]
pub(super) fn folder(data: &Path) -> PathBuf {
    data.join("onnxruntime").join(format!("{VERSION}-{}", std::env::consts::ARCH))
}
