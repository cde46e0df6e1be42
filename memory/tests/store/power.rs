//! A power cut: of what was written since the last sync, any part may have reached the disk, in any
//! order, also partly; files may be there or not, renamed or not, unlinked or not. The catalogue is
//! set back to any moment since it was last synced, as SQLite's log allows.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use crate::helpers::{Sample, crash_rounds, mix, options, progress};
use lcedge_memory::{
    BlockId, Forget, ReadError, SourceId, Store, StoreOptions, Strictness, SyncPolicy,
    storage::{CataloguePlace, LockGuard, LockRefused, Storage, StorageFile},
    verify,
};

/// A file: what is on disk for certain, and what was written since.
#[derive(Debug, Default)]
struct Content {
    durable: Vec<u8>,
    now: Vec<u8>,
    /// Writes since the last sync: where, and how long the file was cut to before.
    writes: Vec<(usize, Vec<u8>)>,
}

type Shared<T> = Arc<Mutex<T>>;

#[derive(Debug, Default)]
struct Disk {
    /// Names now.
    now: BTreeMap<String, Shared<Content>>,
    /// Names at the last sync of their folder.
    durable: BTreeMap<String, Shared<Content>>,
}

#[derive(Clone, Debug)]
struct LossyStorage {
    disk: Shared<Disk>,
    catalogue: PathBuf,
}

#[derive(Debug)]
struct LossyFile(Shared<Content>);

fn folder(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn absent(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, name.to_owned())
}

impl Storage for LossyStorage {
    fn root(&self) -> PathBuf {
        self.catalogue.clone()
    }

    fn catalogue(&self) -> CataloguePlace {
        CataloguePlace::Folder(self.catalogue.clone())
    }

    fn create_dir(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let content = Shared::<Content>::default();
        self.disk.lock().unwrap().now.insert(name.to_owned(), Arc::clone(&content));
        Ok(Arc::new(LossyFile(content)))
    }

    fn open(&self, name: &str, _: bool) -> io::Result<Arc<dyn StorageFile>> {
        let disk = self.disk.lock().unwrap();
        let content = disk.now.get(name).ok_or_else(|| absent(name))?;
        Ok(Arc::new(LossyFile(Arc::clone(content))))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = self.disk.lock().unwrap();
        let content = disk.now.remove(from).ok_or_else(|| absent(from))?;
        disk.now.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.lock().unwrap().now.remove(name);
        Ok(())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let disk = self.disk.lock().unwrap();
        let within = disk.now.keys().filter(|n| folder(n) == dir);
        Ok(within.map(|n| n.rsplit('/').next().unwrap_or(n).to_owned()).collect())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let mut disk = self.disk.lock().unwrap();
        let disk = &mut *disk;
        disk.durable.retain(|n, _| folder(n) != dir);
        let now = disk.now.iter().filter(|(n, _)| folder(n) == dir);
        disk.durable.extend(now.map(|(n, c)| (n.clone(), Arc::clone(c))));
        Ok(())
    }

    fn lock(&self) -> Result<LockGuard, LockRefused> {
        Ok(Box::new(()))
    }
}

impl StorageFile for LossyFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().now.len() as u64)
    }

    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        let content = self.0.lock().unwrap();
        let part = content.now.get(offset as usize..).and_then(|b| b.get(..out.len()));
        out.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn append(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut content = self.0.lock().unwrap();
        assert_eq!(content.now.len() as u64, at);
        content.now.extend_from_slice(bytes);
        content.writes.push((at as usize, bytes.to_vec()));
        Ok(())
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        let mut content = self.0.lock().unwrap();
        content.now.truncate(bytes as usize);
        content.writes.push((bytes as usize, Vec::new()));
        Ok(())
    }

    fn sync(&self, _: bool) -> io::Result<()> {
        let mut content = self.0.lock().unwrap();
        content.durable = content.now.clone();
        content.writes.clear();
        Ok(())
    }

    fn as_file(&self) -> Option<&File> {
        None
    }
}

/// Random numbers of one seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = mix(self.0);
        self.0 % n
    }
}

/// What a file has after the cut.
fn survived(content: &Content, chance: &mut Chance) -> Vec<u8> {
    let mut out = content.durable.clone();
    for (at, bytes) in &content.writes {
        let kept = match chance.below(3) {
            0 => continue,
            1 => bytes.len(),
            _ => chance.below(bytes.len() as u64 + 1) as usize,
        };
        if bytes.is_empty() {
            out.truncate(*at);
            continue;
        }
        if out.len() < at + kept {
            // A hole reads as zeros.
            out.resize(at + kept, 0);
        }
        out[*at..at + kept].copy_from_slice(&bytes[..kept]);
    }
    out
}

impl LossyStorage {
    /// Writes what the cut leaves to a real folder.
    fn cut(&self, to: &Path, chance: &mut Chance) {
        let disk = self.disk.lock().unwrap();
        let mut left = disk.durable.clone();
        // Each change of names since the last sync happened or did not.
        for (name, content) in &disk.now {
            if !disk.durable.contains_key(name) && chance.below(2) == 0 {
                left.insert(name.clone(), Arc::clone(content));
            }
        }
        for name in disk.durable.keys() {
            if !disk.now.contains_key(name) && chance.below(2) == 0 {
                left.remove(name);
            }
        }
        for (name, content) in left {
            let path = to.join(&name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, survived(&content.lock().unwrap(), chance)).unwrap();
        }
    }
}

/// Copies the catalogue as it is now.
fn keep(catalogue: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for suffix in ["", "-wal"] {
        let name = format!("catalogue.sqlite{suffix}");
        if catalogue.join(&name).exists() {
            fs::copy(catalogue.join(&name), to.join(&name)).unwrap();
        }
    }
}

#[derive(Debug, Default)]
struct Known {
    stored: BTreeMap<BlockId, (SourceId, u64)>,
    forgotten: Vec<BlockId>,
    perhaps: Vec<BlockId>,
}

/// Runs a session up to a random step, cuts the power, and looks at what is left.
fn one_cut(seed: u64, sync: SyncPolicy) {
    let mut chance = Chance(seed);
    let (live, copies, image) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let options = StoreOptions { segment_bytes_max: 3000, sync, ..options() };
    let storage = LossyStorage { disk: Shared::default(), catalogue: live.path().to_owned() };
    let mut store = Store::open_in(Arc::new(storage.clone()), &options).unwrap();
    let mut known = Known::default();
    // Copies of the catalogue since it was last synced.
    let mut kept = 0;
    let mut first = 0;
    let steps = 3 + chance.below(30);
    for _ in 0..steps {
        let name = ["a", "b"][chance.below(2) as usize];
        let state = store.begin_source(name).unwrap();
        let mut fresh = Vec::new();
        for n in u64::from(state.blocks)..u64::from(state.blocks) + chance.below(5) {
            let id = store.append(&Sample::new(n).record(state.id)).unwrap();
            fresh.push((id, (state.id, n)));
        }
        let end = u64::from(state.blocks) + fresh.len() as u64;
        match chance.below(9) {
            0 => break, // in the middle of things
            1 if !known.stored.is_empty() => {
                let at = chance.below(known.stored.len() as u64) as usize;
                let id = *known.stored.keys().nth(at).unwrap();
                known.perhaps.push(id);
                store.set_progress(state.id, progress(end)).unwrap();
                store.forget(&Forget::Blocks(&[id]), Strictness::Passage).unwrap();
                known.forgotten.push(id);
                first = kept;
            }
            _ => {
                store.set_progress(state.id, progress(end)).unwrap();
                store.commit().unwrap();
            }
        }
        known.stored.extend(fresh);
        keep(live.path(), &copies.path().join(kept.to_string()));
        kept += 1;
        if sync == SyncPolicy::Full {
            first = kept - 1;
        }
    }
    storage.cut(image.path(), &mut chance);
    if kept > 0 {
        let at = first + chance.below(kept - first);
        for entry in fs::read_dir(copies.path().join(at.to_string())).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, image.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    drop(store);
    check(image.path(), &options, &known, &format!("seed {seed}, {sync:?}"));
}

fn check(dir: &Path, options: &StoreOptions, known: &Known, what: &str) {
    let mut store = Store::open(dir, options).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert!(store.problems().is_empty(), "{what}: {:?}", store.problems());
    let reader = store.reader();
    for (id, (_, n)) in &known.stored {
        match reader.text(*id) {
            Ok(_) => {
                Sample::new(*n).assert_is(&reader, *id);
                assert!(!known.forgotten.contains(id), "{what}: block {} is back", id.0);
            }
            Err(ReadError::UnknownBlock { .. }) if known.perhaps.contains(id) => {}
            Err(e) => panic!("{what}: {e}"),
        }
    }
    for name in ["a", "b"] {
        let state = store.begin_source(name).unwrap();
        let ids = reader.blocks_of(state.id);
        assert!(ids.len() <= state.blocks as usize, "{what}");
        for id in ids {
            let n = u64::from(reader.block(id).unwrap().ordinal);
            Sample::new(n).assert_is(&reader, id);
        }
    }
    drop((store, reader));
    let report = verify(dir, true).unwrap();
    assert!(report.ok() && report.unacknowledged == 0, "{what}: {report:?}");
}

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    for seed in 0..25 * crash_rounds() {
        for sync in [SyncPolicy::Data, SyncPolicy::Full] {
            one_cut(seed, sync);
        }
    }
}
