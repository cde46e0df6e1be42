//! A store of every version of the format that was ever written, kept as files, is still read.
//!
//! To keep one of a new version: `LCEDGE_WRITE_GOLDEN=1 cargo test -p lcedge-memory golden`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::helpers::{Sample, append, options, progress};
use lcedge_memory::{FORMAT_VERSION, Filter, Reader, Store, rebuild, verify};

/// Blocks of the store that a version kept. Those of version 2 have beacons, and some nothing but.
fn blocks(version: u32) -> u64 {
    if version == 1 { 4 } else { 8 }
}

fn kept(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/v{version}"))
}

/// Segments and identity of a small store; the catalogue is derived and not kept.
fn write(to: &Path) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), &options()).unwrap();
    let source = store.begin_source("golden.log").unwrap().id;
    let blocks = blocks(FORMAT_VERSION);
    append(&mut store, source, 0..blocks - 1);
    store.seal().unwrap();
    append(&mut store, source, blocks - 1..blocks);
    store.set_progress(source, progress(blocks)).unwrap();
    store.commit().unwrap();
    drop(store);
    fs::create_dir_all(to.join("segments")).unwrap();
    for name in ["store.json", "segments/00000001.seg", "segments/00000002.seg"] {
        fs::copy(dir.path().join(name), to.join(name)).unwrap();
    }
}

#[test]
fn golden_stores_of_all_versions_are_read() {
    if std::env::var_os("LCEDGE_WRITE_GOLDEN").is_some() && !kept(FORMAT_VERSION).exists() {
        write(&kept(FORMAT_VERSION));
    }
    for version in 1..=FORMAT_VERSION {
        let dir = tempfile::tempdir().unwrap();
        let blocks = blocks(version);
        fs::create_dir(dir.path().join("segments")).unwrap();
        fs::copy(kept(version).join("store.json"), dir.path().join("store.json")).unwrap();
        for entry in fs::read_dir(kept(version).join("segments")).unwrap() {
            let path = entry.unwrap().path();
            let to = dir.path().join("segments").join(path.file_name().unwrap());
            fs::copy(&path, to).unwrap();
        }
        let report = rebuild(dir.path()).unwrap();
        assert_eq!((report.blocks, report.problems.len()), (blocks, 0), "{report:?}");
        assert!(verify(dir.path(), true).unwrap().ok());
        assert!(!dir.path().join("segments/00000001.addr").exists(), "of version 1 only");
        let reader = Reader::open(dir.path(), &options()).unwrap();
        let source = &reader.sources()[0];
        assert_eq!((source.name.as_str(), source.version), ("golden.log", 1));
        assert_eq!(source.progress, progress(blocks));
        for (n, id) in reader.blocks_of(source.id).iter().enumerate() {
            Sample::new(n as u64).assert_is(&reader, *id);
        }
        assert_eq!(reader.blocks_of(source.id).len() as u64, blocks);
        assert_eq!(reader.search_text("line", 9, &Filter::default()).unwrap().len() as u64, blocks);
    }
}
