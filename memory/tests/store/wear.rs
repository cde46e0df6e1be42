//! All that is written in a day is counted, whatever is done and however the store is closed.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::helpers::{append, options, progress};
use lcedge_memory::{
    Forget, Store, StoreOptions, Strictness,
    storage::{CataloguePlace, FileStorage, LockGuard, LockRefused, Storage, StorageFile},
};

/// Counts bytes as they are written.
#[derive(Clone, Debug)]
struct Counting(Arc<FileStorage>, Arc<AtomicU64>);

#[derive(Debug)]
struct CountingFile(Arc<dyn StorageFile>, Arc<AtomicU64>);

impl Storage for Counting {
    fn root(&self) -> PathBuf {
        self.0.root()
    }

    fn catalogue(&self) -> CataloguePlace {
        self.0.catalogue()
    }

    fn create_dir(&self, name: &str) -> io::Result<()> {
        self.0.create_dir(name)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = self.0.create(name)?;
        // Only segments and pages are counted.
        Ok(if name.contains('/') { Arc::new(CountingFile(file, self.1.clone())) } else { file })
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn StorageFile>> {
        let file = self.0.open(name, write)?;
        Ok(if write { Arc::new(CountingFile(file, self.1.clone())) } else { file })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.0.list(dir)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.0.sync_dir(dir)
    }

    fn lock(&self) -> Result<LockGuard, LockRefused> {
        self.0.lock()
    }
}

impl StorageFile for CountingFile {
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }

    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_at(out, offset)
    }

    fn append(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.1.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.0.append(bytes, at)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.0.truncate(bytes)
    }

    fn sync(&self, data_only: bool) -> io::Result<()> {
        self.0.sync(data_only)
    }

    fn as_file(&self) -> Option<&std::fs::File> {
        self.0.as_file()
    }
}

/// Bytes that this thread wrote with system calls, as the system counts them.
fn thread_wrote() -> u64 {
    let io = std::fs::read_to_string("/proc/thread-self/io").unwrap();
    let line = io.lines().find_map(|l| l.strip_prefix("wchar:"));
    line.unwrap().trim().parse().unwrap()
}

#[test]
fn every_byte_is_counted_and_the_count_outlives_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let files = Arc::new(FileStorage::new(dir.path()));
    let storage = Counting(files, Arc::default());
    let options = StoreOptions { segment_bytes_max: 3000, ..options() };
    let (mut counted, before) = (0, thread_wrote());
    for step in 0..6 {
        let mut store = Store::open_in(Arc::new(storage.clone()), &options).unwrap();
        let today = store.written_today();
        // A test that runs over midnight sees a new day.
        assert!(today >= counted || today == 0, "step {step}: {today} after {counted}");
        let id = store.begin_source("a").unwrap().id;
        let blocks = append(&mut store, id, step * 10..step * 10 + 10);
        if step != 3 {
            store.set_progress(id, progress(step * 10 + 10)).unwrap();
            store.commit().unwrap();
        }
        match step {
            0 => store.seal().unwrap(),
            1 => drop(store.forget(&Forget::Blocks(&blocks[..4]), Strictness::Store).unwrap()),
            2 => drop(store.compact().unwrap()),
            4 => drop(store.forget(&Forget::Sources(&[id]), Strictness::Passage).unwrap()),
            _ => {}
        }
        let written = storage.1.load(Ordering::Relaxed);
        assert_eq!(store.written_today().max(today), store.written_today());
        // The catalogue is counted by its log, as if every page of it were copied into the file.
        let (all, system) = (store.written_today(), thread_wrote() - before);
        if today >= counted {
            assert!(all > written, "step {step}: {all}, {written} in segments and pages");
            assert!(all > system * 9 / 10, "step {step}: {all} of {system}");
            assert!(all < system * 2, "step {step}: {all} of {system}");
        }
        counted = all;
    }
    assert!(counted > 10_000);
}
