//! Files go only after what points to them: whatever a power cut leaves of the catalogue's log.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use crate::helpers::{append, options, progress};
use lcedge_memory::{
    Forget, Store, StoreOptions, Strictness, SyncPolicy,
    storage::{CataloguePlace, FileStorage, LockGuard, LockRefused, Storage, StorageFile},
};

/// Looks, whenever a file is removed, whether the catalogue without its log still points to it.
#[derive(Clone, Debug)]
struct Watching {
    files: Arc<FileStorage>,
    dir: PathBuf,
    removed: Arc<Mutex<Vec<String>>>,
    early: Arc<Mutex<Vec<String>>>,
}

/// Numbers of a table as a power cut leaves them when no byte of the log arrived.
fn numbers(dir: &Path, table: &str) -> Vec<u32> {
    let copy = tempfile::tempdir().unwrap();
    let path = copy.path().join("catalogue.sqlite");
    std::fs::copy(dir.join("catalogue.sqlite"), &path).unwrap();
    let conn = rusqlite::Connection::open(&path).unwrap();
    let Ok(mut rows) = conn.prepare(&format!("SELECT number FROM {table}")) else {
        return Vec::new();
    };
    rows.query_map([], |r| r.get(0)).unwrap().map(Result::unwrap).collect()
}

impl Storage for Watching {
    fn root(&self) -> PathBuf {
        self.files.root()
    }

    fn catalogue(&self) -> CataloguePlace {
        self.files.catalogue()
    }

    fn create_dir(&self, name: &str) -> io::Result<()> {
        self.files.create_dir(name)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.files.create(name)
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn StorageFile>> {
        self.files.open(name, write)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.files.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let table = if name.ends_with(".idx") { "page" } else { "segment" };
        let number = name.rsplit('/').next().and_then(|n| n.split('.').next()?.parse().ok());
        if let Some(number) = number {
            self.removed.lock().unwrap().push(name.to_owned());
            if numbers(&self.dir, table).contains(&number) {
                self.early.lock().unwrap().push(name.to_owned());
            }
        }
        self.files.remove(name)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.files.list(dir)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.files.sync_dir(dir)
    }

    fn lock(&self) -> Result<LockGuard, LockRefused> {
        self.files.lock()
    }
}

#[test]
fn files_go_after_what_points_to_them() {
    let dir = tempfile::tempdir().unwrap();
    let storage = Watching {
        files: Arc::new(FileStorage::new(dir.path())),
        dir: dir.path().to_owned(),
        removed: Arc::default(),
        early: Arc::default(),
    };
    let options = StoreOptions { sync: SyncPolicy::Data, segment_bytes_max: 3000, ..options() };
    let mut store = Store::open_in(Arc::new(storage.clone()), &options).unwrap();
    let id = store.begin_source("a").unwrap().id;
    let blocks = append(&mut store, id, 0..30);
    store.set_progress(id, progress(30)).unwrap();
    store.commit().unwrap();
    for gone in blocks.chunks(3) {
        store.forget(&Forget::Blocks(&gone[..2]), Strictness::Passage).unwrap();
    }
    // Pages of one block each are put together.
    assert!(store.compact().unwrap().pages_after < 10);
    let removed = storage.removed.lock().unwrap().clone();
    assert!(removed.iter().filter(|n| n.ends_with(".idx")).count() > 15, "{removed:?}");
    assert!(removed.iter().filter(|n| n.ends_with(".seg")).count() > 5, "{removed:?}");
    assert_eq!(*storage.early.lock().unwrap(), [""; 0]);
}
