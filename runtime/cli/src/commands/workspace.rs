//! The folder of a run's memory: the one that was named, or a temporary one.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::failure::Failure;
use crate::stop::Stop;

/// A folder for a memory. A temporary one is removed when this is dropped, and also when the
/// program is ended at once.
pub(crate) struct Workspace {
    path: PathBuf,
    temporary: Option<(TempDir, Stop)>,
}

impl Workspace {
    /// The folder of this path, which stays.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path, temporary: None }
    }

    /// A new temporary folder.
    ///
    /// # Errors
    /// When the system has no place for it.
    pub(crate) fn temporary(stop: &Stop) -> Result<Self, Failure> {
        let made = tempfile::Builder::new().prefix("lcedge-").tempdir();
        let dir = made.map_err(|e| {
            Failure::new("no_space", format!("no temporary folder could be made: {e}"))
                .hint("name a folder with --store DIR".to_owned())
        })?;
        stop.temporary(Some(dir.path().to_owned()));
        Ok(Self { path: dir.path().join("store"), temporary: Some((dir, stop.clone())) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if let Some((dir, stop)) = self.temporary.take() {
            // What cannot be removed is left to the system's own cleaning of temporary folders.
            let _ = dir.close();
            stop.temporary(None);
        }
    }
}
