//! Files in the memory of this process, for tests and for stores that need not last.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{CataloguePlace, LockGuard, LockRefused, Storage, StorageFile};
use crate::sync::{held, read, write};

/// A folder in RAM. Clones share the files. The catalogue lives in RAM too, or in a folder given
/// with [`RamStorage::with_catalogue`].
#[derive(Clone, Debug, Default)]
pub struct RamStorage {
    files: Arc<Mutex<BTreeMap<String, Arc<RamFile>>>>,
    lock_held: Arc<AtomicBool>,
    catalogue: Option<PathBuf>,
}

#[derive(Debug, Default)]
struct RamFile(RwLock<Vec<u8>>);

struct RamLock(Arc<AtomicBool>);

impl Drop for RamLock {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl RamStorage {
    /// An empty folder; the catalogue in RAM, gone with the store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty folder whose catalogue is kept in a real one, so that the store can be opened
    /// again.
    #[must_use]
    pub fn with_catalogue(folder: PathBuf) -> Self {
        Self { catalogue: Some(folder), ..Self::default() }
    }

    /// The bytes of a file, to look at.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let file = held(&self.files).get(name).cloned()?;
        let bytes = read(&file.0).clone();
        Some(bytes)
    }

    /// Puts bytes in place of a file.
    pub fn set_bytes(&self, name: &str, bytes: Vec<u8>) {
        held(&self.files).insert(name.to_owned(), Arc::new(RamFile(RwLock::new(bytes))));
    }
}

fn absent(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, name.to_owned())
}

impl Storage for RamStorage {
    fn root(&self) -> PathBuf {
        PathBuf::from("ram")
    }

    fn catalogue(&self) -> CataloguePlace {
        self.catalogue.clone().map_or(CataloguePlace::Memory, CataloguePlace::Folder)
    }

    fn create_dir(&self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let mut files = held(&self.files);
        if files.contains_key(name) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, name.to_owned()));
        }
        let file = Arc::new(RamFile::default());
        files.insert(name.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    fn open(&self, name: &str, _write: bool) -> io::Result<Arc<dyn StorageFile>> {
        let file = held(&self.files).get(name).cloned();
        Ok(file.ok_or_else(|| absent(name))?)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = held(&self.files);
        let file = files.remove(from).ok_or_else(|| absent(from))?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        held(&self.files).remove(name);
        Ok(())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        let files = held(&self.files);
        let within = files.keys().filter_map(|k| k.strip_prefix(&prefix));
        Ok(within.filter(|k| !k.contains('/')).map(str::to_owned).collect())
    }

    fn sync_dir(&self, _dir: &str) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self) -> Result<LockGuard, LockRefused> {
        if self.lock_held.swap(true, Ordering::SeqCst) {
            return Err(LockRefused::Held { pid: Some(std::process::id()) });
        }
        Ok(Box::new(RamLock(Arc::clone(&self.lock_held))))
    }
}

impl StorageFile for RamFile {
    fn size(&self) -> io::Result<u64> {
        Ok(read(&self.0).len() as u64)
    }

    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        let bytes = read(&self.0);
        let from = usize::try_from(offset).ok();
        let part = from.and_then(|at| bytes.get(at..)?.get(..out.len()));
        out.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn append(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut file = write(&self.0);
        if file.len() as u64 != at {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not at the end"));
        }
        file.extend_from_slice(bytes);
        Ok(())
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
        write(&self.0).truncate(bytes);
        Ok(())
    }

    fn sync(&self, _data_only: bool) -> io::Result<()> {
        Ok(())
    }

    fn as_file(&self) -> Option<&File> {
        None
    }
}
