//! Where files live: all that the store asks of a file system, in one small trait.
//!
//! Names are relative to the store's folder, with `/` between parts.

pub(crate) mod file;
mod ram;

#[cfg(any(test, feature = "testing"))]
pub mod failing;

pub use file::FileStorage;
pub use ram::RamStorage;

use std::{any::Any, fmt::Debug, fs::File, io, path::PathBuf, sync::Arc};

/// Where the SQLite catalogue lives. SQLite does its own I/O.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CataloguePlace {
    /// In this folder.
    Folder(PathBuf),
    /// In the memory of this process, through one shared connection.
    Memory,
}

/// Why the writer's lock could not be had.
#[derive(Debug)]
pub enum LockRefused {
    /// Another writer holds it; its process id, when it could be read.
    Held {
        /// The other's process id.
        pid: Option<u32>,
    },
    /// The lock file could not be made or read.
    Io(io::Error),
}

/// Held while a writer lives. Dropping it gives the lock back.
pub type LockGuard = Box<dyn Any + Send + Sync>;

/// A folder of files.
pub trait Storage: Debug + Send + Sync {
    /// The folder, for messages.
    fn root(&self) -> PathBuf;
    /// Where the catalogue goes.
    fn catalogue(&self) -> CataloguePlace;
    /// Makes a folder and those above it, private to the user. One that exists is no error.
    ///
    /// # Errors
    /// What the system says.
    fn create_dir(&self, name: &str) -> io::Result<()>;
    /// Makes an empty file, private to the user, to be read and appended.
    ///
    /// # Errors
    /// `AlreadyExists`, and what the system says.
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;
    /// Opens a file, to be appended too if `write`.
    ///
    /// # Errors
    /// `NotFound`, and what the system says.
    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn StorageFile>>;
    /// Bytes that a file has now.
    ///
    /// # Errors
    /// `NotFound`, and what the system says.
    fn size(&self, name: &str) -> io::Result<u64> {
        self.open(name, false)?.size()
    }
    /// Replaces `to` by `from`, atomically.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Unlinks a file. One that does not exist is no error.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Names within a folder, sorted; none when the folder does not exist.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;
    /// Makes creations and renames in a folder durable.
    ///
    /// # Errors
    /// What the system says.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;
    /// Takes the writer's lock, or says who holds it. A dead process holds nothing.
    ///
    /// # Errors
    /// [`LockRefused`].
    fn lock(&self) -> Result<LockGuard, LockRefused>;
}

/// An open file.
pub trait StorageFile: Debug + Send + Sync {
    /// Bytes it has now.
    ///
    /// # Errors
    /// What the system says.
    fn size(&self) -> io::Result<u64>;
    /// Fills `out` from `offset` on.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before, and what the system says.
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes at the end, which the caller knows to be `at`. After an error any part may be there.
    ///
    /// # Errors
    /// What the system says; `StorageFull` when there is no space.
    fn append(&self, bytes: &[u8], at: u64) -> io::Result<()>;
    /// Cuts it to `bytes`. Never on a sealed segment.
    ///
    /// # Errors
    /// What the system says.
    fn truncate(&self, bytes: u64) -> io::Result<()>;
    /// Makes its bytes durable (`data_only`: without times and the like).
    ///
    /// # Errors
    /// What the system says.
    fn sync(&self, data_only: bool) -> io::Result<()>;
    /// The file beneath, when there is one to be mapped.
    fn as_file(&self) -> Option<&File>;
}

/// Whether an error says that the disk, or the user's share of it, is full.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Reads a whole small file.
pub(crate) fn read_all(file: &dyn StorageFile, bytes_max: u64) -> io::Result<Vec<u8>> {
    let bytes = file.size()?;
    if bytes > bytes_max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("{bytes} bytes")));
    }
    let mut out = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
    file.read_at(&mut out, 0)?;
    Ok(out)
}
