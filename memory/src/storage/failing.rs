//! A storage that fails on purpose, from the n-th operation on. For tests.

use std::{
    fs::File,
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{CataloguePlace, LockGuard, LockRefused, Storage, StorageFile};
use crate::sync::held;

/// How operations fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// All operations fail with an I/O error; nothing of a write arrives.
    Io,
    /// All operations fail with an I/O error; half of the first write arrives.
    Torn,
    /// Writes and creations fail for want of space, half of each write arrives; all else works.
    DiskFull,
    /// Syncs fail; all else works.
    Sync,
}

#[derive(Debug, Default)]
struct State {
    operations: AtomicU64,
    fault: Mutex<Option<(u64, Fault)>>,
}

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
    Sync,
    Other,
}

/// Passes everything on to another storage until it is told to fail. Clones share the plan.
#[derive(Clone, Debug)]
pub struct FailingStorage {
    inner: Arc<dyn Storage>,
    state: Arc<State>,
}

#[derive(Debug)]
struct FailingFile {
    inner: Arc<dyn StorageFile>,
    state: Arc<State>,
}

impl State {
    /// The fault that strikes this operation.
    fn next(&self, kind: Kind) -> Option<Fault> {
        let n = self.operations.fetch_add(1, Ordering::SeqCst);
        let (from, fault) = (*held(&self.fault))?;
        let strikes = match fault {
            Fault::Io | Fault::Torn => true,
            Fault::DiskFull => kind == Kind::Write,
            Fault::Sync => kind == Kind::Sync,
        };
        (n >= from && strikes).then_some(fault)
    }

    fn check(&self, kind: Kind) -> io::Result<()> {
        match self.next(kind) {
            Some(fault) => Err(error(fault)),
            None => Ok(()),
        }
    }
}

fn error(fault: Fault) -> io::Error {
    match fault {
        Fault::DiskFull => io::Error::new(io::ErrorKind::StorageFull, "no space, on purpose"),
        Fault::Io | Fault::Torn | Fault::Sync => io::Error::other("failed on purpose"),
    }
}

impl FailingStorage {
    /// Passes everything on.
    #[must_use]
    pub fn new(inner: Arc<dyn Storage>) -> Self {
        Self { inner, state: Arc::default() }
    }

    /// Fails from the `n`-th operation on, counted from the making of this storage.
    pub fn fail_from(&self, n: u64, fault: Fault) {
        *held(&self.state.fault) = Some((n, fault));
    }

    /// Fails no longer.
    pub fn heal(&self) {
        *held(&self.state.fault) = None;
    }

    /// Operations so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state.operations.load(Ordering::SeqCst)
    }

    fn file(&self, inner: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        Arc::new(FailingFile { inner, state: Arc::clone(&self.state) })
    }
}

impl Storage for FailingStorage {
    fn root(&self) -> PathBuf {
        self.inner.root()
    }

    fn catalogue(&self) -> CataloguePlace {
        self.inner.catalogue()
    }

    fn create_dir(&self, name: &str) -> io::Result<()> {
        self.state.check(Kind::Other)?;
        self.inner.create_dir(name)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.state.check(Kind::Write)?;
        Ok(self.file(self.inner.create(name)?))
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn StorageFile>> {
        self.state.check(Kind::Read)?;
        Ok(self.file(self.inner.open(name, write)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.state.check(Kind::Other)?;
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.state.check(Kind::Other)?;
        self.inner.remove(name)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.state.check(Kind::Read)?;
        self.inner.list(dir)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.state.check(Kind::Sync)?;
        self.inner.sync_dir(dir)
    }

    fn lock(&self) -> Result<LockGuard, LockRefused> {
        self.inner.lock()
    }
}

impl StorageFile for FailingFile {
    fn size(&self) -> io::Result<u64> {
        self.state.check(Kind::Read)?;
        self.inner.size()
    }

    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        self.state.check(Kind::Read)?;
        self.inner.read_at(out, offset)
    }

    fn append(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        match self.state.next(Kind::Write) {
            None => self.inner.append(bytes, at),
            Some(fault) => {
                if matches!(fault, Fault::Torn | Fault::DiskFull) && self.inner.size()? == at {
                    self.inner.append(&bytes[..bytes.len() / 2], at)?;
                }
                Err(error(fault))
            }
        }
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.state.check(Kind::Other)?;
        self.inner.truncate(bytes)
    }

    fn sync(&self, data_only: bool) -> io::Result<()> {
        self.state.check(Kind::Sync)?;
        self.inner.sync(data_only)
    }

    fn as_file(&self) -> Option<&File> {
        self.inner.as_file()
    }
}
