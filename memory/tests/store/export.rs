//! A store as one file: everything comes back, nothing damaged comes in.

use std::{fs, path::Path};

use crate::helpers::{Sample, append, options, progress};
use lcedge_memory::{
    AddressLayout, BlockState, ExportError, ExportOptions, Filter, ImportOptions, Reader, Store,
    StoreOptions, verify,
};

const ALL: ExportOptions<'_> = ExportOptions { keys_and_values: true, sources: None };

fn make(dir: &Path) -> Store {
    let mut store = Store::open(dir, &options()).unwrap();
    for (name, blocks) in [("one.log", 0..12), ("../../etc/passwd", 12..20)] {
        let id = store.begin_source(name).unwrap().id;
        append(&mut store, id, blocks);
        store.set_progress(id, progress(20)).unwrap();
    }
    let new = store.new_version("one.log").unwrap().id;
    append(&mut store, new, 20..25);
    store.set_progress(new, progress(5)).unwrap();
    store.commit().unwrap();
    store
}

fn look(reader: &Reader) {
    let sources = reader.sources();
    let told: Vec<_> = sources.iter().map(|s| (s.name.as_str(), s.version, s.superseded)).collect();
    let want = [("one.log", 1, true), ("../../etc/passwd", 1, false), ("one.log", 2, false)];
    assert_eq!(told, want);
    let numbers = [0..12, 12..20, 20..25];
    for ((source, numbers), n) in sources.iter().zip(numbers).zip([20, 20, 5]) {
        assert_eq!(source.progress, progress(n));
        for (id, n) in reader.blocks_of(source.id).into_iter().zip(numbers) {
            Sample::new(n).assert_is(reader, id);
        }
    }
    assert_eq!(reader.blocks(), 25);
}

#[test]
fn everything_comes_back() {
    let (dir, other, files) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = make(dir.path());
    let path = files.path().join("store.lcx");
    let done = store.reader().export(&path, &ALL).unwrap();
    assert_eq!((done.sources, done.blocks, done.damaged), (3, 25, 0));
    assert_eq!(fs::metadata(&path).unwrap().len(), done.bytes);
    assert!(matches!(store.reader().export(&path, &ALL), Err(ExportError::Exists { .. })));
    assert_eq!(fs::read_dir(files.path()).unwrap().count(), 1, "nothing half made is left");
    let mut store = Store::open(other.path(), &options()).unwrap();
    let read = store.import(&path, &ImportOptions::default()).unwrap();
    assert_eq!(read, done);
    look(&store.reader());
    let e = store.import(&path, &ImportOptions::default()).unwrap_err();
    assert!(matches!(e, ExportError::SourceExists { .. }), "{e}");
    let under = ImportOptions { prefix: "old/" };
    assert_eq!(store.import(&path, &under).unwrap().blocks, 25);
    drop(store);
    // Names are names, not paths.
    assert!(verify(other.path(), true).unwrap().ok());
}

#[test]
fn another_model_gets_the_text() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = make(dir.path());
    let path = dir.path().join("store.lcx");
    let whole = store.reader().export(&path, &ALL).unwrap();
    let foreign = [
        StoreOptions { model: [9; 32], ..options() },
        StoreOptions { address: AddressLayout { heads: 1, vectors_max: 4, dim: 8 }, ..options() },
    ];
    for (n, options) in foreign.iter().enumerate() {
        let mut store = Store::open(&other.path().join(n.to_string()), options).unwrap();
        let done = store.import(&path, &ImportOptions::default()).unwrap();
        assert_eq!((done.blocks, done.kv_blocks), (25, 0));
        let reader = store.reader();
        let hits = reader.search_text("line", 99, &Filter::default()).unwrap();
        assert_eq!(hits.len(), 13, "of sources that are not superseded");
        for hit in hits {
            assert_eq!(reader.block(hit.id).unwrap().state(), BlockState::Text);
        }
    }
    // Without keys and values it is small, and comes in as text here as well.
    let small = dir.path().join("small.lcx");
    let sources = [store.reader().sources()[1].id];
    let options_small = ExportOptions { sources: Some(&sources), ..ExportOptions::default() };
    let done = store.reader().export(&small, &options_small).unwrap();
    assert_eq!((done.sources, done.blocks, done.kv_blocks), (1, 8, 0));
    assert!(done.bytes < whole.bytes / 3);
    let mut store = Store::open(&other.path().join("same"), &options()).unwrap();
    store.import(&small, &ImportOptions::default()).unwrap();
    let reader = store.reader();
    for (id, n) in reader.blocks_of(reader.sources()[0].id).into_iter().zip(12..) {
        assert_eq!(reader.text(id).unwrap(), Sample::new(n).text);
        let mut tokens = Vec::new();
        reader.tokens(id, &mut tokens).unwrap();
        assert_eq!(tokens, Sample::new(n).tokens);
    }
}

#[test]
fn no_damaged_file_comes_in() {
    let dir = tempfile::tempdir().unwrap();
    let store = make(&dir.path().join("store"));
    let path = dir.path().join("store.lcx");
    store.reader().export(&path, &ALL).unwrap();
    let bytes = fs::read(&path).unwrap();
    let mut other = Store::open(&dir.path().join("other"), &options()).unwrap();
    let mut refused = |bytes: &[u8], what: &str| {
        fs::write(&path, bytes).unwrap();
        let e = other.import(&path, &ImportOptions::default()).unwrap_err();
        let named = matches!(e, ExportError::Damaged { .. } | ExportError::NotAnExport { .. });
        assert!(named, "{what}: {e}");
        assert_eq!(other.reader().blocks(), 0);
    };
    for at in (0..bytes.len()).step_by(7) {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        refused(&changed, &format!("byte {at}"));
        refused(&bytes[..at], &format!("cut at {at}"));
    }
    // A length that says more than there is takes no memory.
    let mut bomb = bytes.clone();
    bomb[8..16].copy_from_slice(&(2_u64 << 30).to_le_bytes());
    refused(&bomb, "length");
    let mut longer = bytes.clone();
    longer.extend_from_slice(&bytes);
    refused(&longer, "twice");
    refused(b"", "nothing");
    fs::write(&path, &bytes).unwrap();
    assert_eq!(other.import(&path, &ImportOptions::default()).unwrap().blocks, 25);
}
