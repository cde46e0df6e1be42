//! Whatever is changed on disk is noticed, and what is not damaged is still served.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::helpers::{Sample, append, options, progress};
use lcedge_memory::{
    BlockId, MapChoice, ReadError, Reader, Store, StoreOptions, SyncPolicy, rebuild, verify,
};

const BLOCKS: u64 = 5;

/// A small store of one segment: committed, and sealed if so asked.
fn make(dir: &Path, sealed: bool) -> (PathBuf, Vec<BlockId>) {
    let mut store = Store::open(dir, &options()).unwrap();
    let source = store.begin_source("a.log").unwrap().id;
    let ids = append(&mut store, source, 0..BLOCKS);
    store.set_progress(source, progress(BLOCKS)).unwrap();
    store.commit().unwrap();
    if sealed {
        store.seal().unwrap();
    }
    (dir.join("segments/00000001.seg"), ids)
}

/// Reads everything: each block is either as it was or refused. Gives how many were refused.
fn refused(reader: &Reader, ids: &[BlockId]) -> usize {
    let mut refused = 0;
    for (n, id) in ids.iter().enumerate() {
        let mut payload = Vec::new();
        let mut broken = match reader.payload(*id, &mut payload) {
            Ok(_) | Err(ReadError::NoKv { .. }) => reader.text(*id).map(drop),
            Err(e) => Err(e),
        };
        if broken.is_ok() {
            broken = match reader.beacons(*id, &mut payload) {
                Ok(_) | Err(ReadError::NoBeacons { .. }) => Ok(()),
                Err(e) => Err(e),
            };
        }
        match broken {
            Ok(()) => Sample::new(n as u64).assert_is(reader, *id),
            Err(
                ReadError::Corrupt { .. }
                | ReadError::Quarantined { .. }
                | ReadError::UnknownBlock { .. },
            ) => {
                refused += 1;
                assert!(reader.text(*id).is_err(), "served after it was refused");
            }
            Err(e) => panic!("{e}"),
        }
    }
    refused
}

#[test]
fn every_byte_flipped_is_noticed_and_nothing_wrong_is_served() {
    for sealed in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (path, ids) = make(dir.path(), sealed);
        let bytes = fs::read(&path).unwrap();
        let reader_options = StoreOptions { map: MapChoice::never(), ..options() };
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            fs::write(&path, &changed).unwrap();
            let report = verify(dir.path(), true).unwrap();
            assert!(!report.ok() && report.corrupt > 0, "byte {at}, sealed {sealed}: {report:?}");
            // Readers hold what they found wrong to themselves: the catalogue stays as it is.
            let reader = Reader::open(dir.path(), &reader_options).unwrap();
            refused(&reader, &ids);
        }
        fs::write(&path, &bytes).unwrap();
        let report = verify(dir.path(), true).unwrap();
        assert!(report.ok() && report.blocks == BLOCKS, "{report:?}");
    }
}

#[test]
fn every_truncation_is_noticed_and_opens() {
    for sealed in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (path, ids) = make(dir.path(), sealed);
        let bytes = fs::read(&path).unwrap();
        let copy = tempfile::tempdir().unwrap();
        for length in (0..bytes.len()).rev() {
            // From its end: a cut is all that it takes.
            fs::File::options().write(true).open(&path).unwrap().set_len(length as u64).unwrap();
            let report = verify(dir.path(), false).unwrap();
            assert!(!report.ok(), "cut to {length}: {report:?}");
            if length % 8 != 0 {
                continue;
            }
            copy_store(dir.path(), copy.path());
            let quick = StoreOptions { sync: SyncPolicy::None, ..options() };
            let mut store = Store::open(copy.path(), &quick).unwrap();
            assert!(refused(&store.reader(), &ids) > 0 || sealed || length + 192 >= bytes.len());
            // It goes on.
            let source = store.begin_source("b.log").unwrap().id;
            let more = append(&mut store, source, 20..22);
            store.commit().unwrap();
            Sample::new(20).assert_is(&store.reader(), more[0]);
            assert!(more[0] > ids[ids.len() - 1], "ids of lost blocks are not given again");
        }
    }
}

fn copy_store(from: &Path, to: &Path) {
    for name in ["store.json", "catalogue.sqlite"] {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
    for dir in ["segments", "index"] {
        fs::create_dir_all(to.join(dir)).unwrap();
        for entry in fs::read_dir(to.join(dir)).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        for entry in fs::read_dir(from.join(dir)).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, to.join(dir).join(path.file_name().unwrap())).unwrap();
        }
    }
}

#[test]
fn a_torn_tail_of_any_length_is_cut_and_what_was_acknowledged_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (path, ids) = make(dir.path(), false);
    let acknowledged = fs::read(&path).unwrap();
    {
        let mut store = Store::open(dir.path(), &options()).unwrap();
        let source = store.begin_source("a.log").unwrap().id;
        append(&mut store, source, BLOCKS..BLOCKS + 2);
    }
    let torn = fs::read(&path).unwrap();
    assert!(torn.len() > acknowledged.len());
    for length in (acknowledged.len()..torn.len()).step_by(7) {
        fs::write(&path, &torn[..length]).unwrap();
        let store = Store::open(dir.path(), &options()).unwrap();
        assert_eq!(refused(&store.reader(), &ids), 0);
        assert_eq!(store.reader().blocks() as u64, BLOCKS);
        drop(store);
        assert_eq!(fs::read(&path).unwrap(), acknowledged);
        assert!(verify(dir.path(), true).unwrap().ok());
    }
}

#[test]
fn a_damaged_block_is_quarantined_for_good_and_the_rest_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let (path, ids) = make(dir.path(), true);
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(6).position(|w| w == b"line 4").unwrap();
    bytes[at] ^= 4;
    fs::write(&path, &bytes).unwrap();
    let mut store = Store::open(dir.path(), &options()).unwrap();
    let reader = store.reader();
    assert_eq!(refused(&reader, &ids), 1);
    assert!(matches!(reader.text(ids[4]), Err(ReadError::Quarantined { .. })));
    assert_eq!(reader.neighbour(ids[3], 1), None, "no jump over what is missing");
    store.commit().unwrap();
    drop((store, reader));
    let store = Store::open(dir.path(), &options()).unwrap();
    assert_eq!(store.reader().blocks() as u64, BLOCKS - 1);
    assert_eq!(store.reader().stats().unwrap().quarantined, 1);
    let report = verify(dir.path(), true).unwrap();
    assert_eq!((report.quarantined, report.missing), (1, 0), "{report:?}");
}

#[test]
fn swapped_and_copied_segments_are_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), &options()).unwrap();
    let mut all = BTreeMap::new();
    for name in ["a", "b"] {
        let source = store.begin_source(name).unwrap().id;
        all.insert(name, append(&mut store, source, 0..3));
    }
    store.seal().unwrap();
    drop(store);
    let segment = |n: u32| dir.path().join(format!("segments/{n:08}.seg"));
    let (one, two) = (fs::read(segment(1)).unwrap(), fs::read(segment(2)).unwrap());
    fs::write(segment(1), &two).unwrap();
    fs::write(segment(2), &one).unwrap();
    fs::write(segment(7), &one).unwrap();
    let store = Store::open(dir.path(), &options()).unwrap();
    assert_eq!(store.reader().blocks(), 0);
    assert_eq!(store.reader().stats().unwrap().quarantined, 6);
    assert!(store.problems().len() >= 3, "{:?}", store.problems());
}

#[test]
fn a_lost_or_foreign_catalogue_and_a_lost_identity() {
    let dir = tempfile::tempdir().unwrap();
    let (_, ids) = make(dir.path(), false);
    fs::remove_file(dir.path().join("catalogue.sqlite")).unwrap();
    let store = Store::open(dir.path(), &options()).unwrap();
    assert_eq!(refused(&store.reader(), &ids), 0);
    drop(store);

    fs::write(dir.path().join("catalogue.sqlite"), vec![7; 8192]).unwrap();
    let e = Store::open(dir.path(), &options()).map(drop).unwrap_err();
    assert!(matches!(e, lcedge_memory::OpenError::Catalogue { .. }), "{e}");
    let report = rebuild(dir.path()).unwrap();
    assert_eq!((report.blocks, report.identity_made), (BLOCKS, false), "{report:?}");

    let other = tempfile::tempdir().unwrap();
    make(other.path(), false);
    fs::copy(other.path().join("catalogue.sqlite"), dir.path().join("catalogue.sqlite")).unwrap();
    let e = Store::open(dir.path(), &options()).map(drop).unwrap_err();
    assert!(matches!(e, lcedge_memory::OpenError::Catalogue { .. }), "{e}");

    fs::remove_file(dir.path().join("store.json")).unwrap();
    let e = Store::open(dir.path(), &options()).map(drop).unwrap_err();
    assert!(matches!(e, lcedge_memory::OpenError::Damaged { .. }), "{e}");
    let report = rebuild(dir.path()).unwrap();
    assert_eq!((report.blocks, report.identity_made), (BLOCKS, true), "{report:?}");
    let store = Store::open(dir.path(), &options()).unwrap();
    assert_eq!(refused(&store.reader(), &ids), 0);
}

/// Files of the folder of pages, with their bytes.
fn pages(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(dir.join("index")).unwrap();
    let mut all: Vec<_> = entries.map(|e| e.unwrap().path()).collect();
    all.sort();
    all.into_iter().map(|p| (p.clone(), fs::read(p).unwrap())).collect()
}

#[test]
fn a_damaged_page_of_the_index_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let (_, ids) = make(dir.path(), true);
    let [(mut path, mut bytes)] = pages(dir.path()).try_into().unwrap();
    let tables = 128 + 3 * 128 + 3 * 2 * 32;
    for at in (0..bytes.len()).step_by(31) {
        let mut changed = bytes.clone();
        changed[at] ^= 16;
        fs::write(&path, &changed).unwrap();
        assert!(!verify(dir.path(), true).unwrap().ok(), "byte {at}");
        let store = Store::open(dir.path(), &options()).unwrap();
        assert!(store.problems().is_empty());
        // What is read comes from the blocks; a wrong vector only makes a search worse.
        if at < tables {
            assert_eq!(refused(&store.reader(), &ids), 0, "byte {at}");
        } else {
            assert_eq!(store.reader().blocks() as u64, BLOCKS);
            drop(store);
            rebuild(dir.path()).unwrap();
            Store::open(dir.path(), &options()).unwrap();
        }
        assert!(verify(dir.path(), true).unwrap().ok(), "byte {at}");
        // It is another file, with the same blocks.
        [(path, bytes)] = pages(dir.path()).try_into().unwrap();
    }
}

#[test]
fn pages_that_are_missing_cut_or_of_another_store_are_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let (_, ids) = make(dir.path(), true);
    let other = tempfile::tempdir().unwrap();
    make(other.path(), true);
    let [(_, foreign)] = pages(other.path()).try_into().unwrap();
    for round in 0..40 {
        let [(path, bytes)] = pages(dir.path()).try_into().unwrap();
        match round {
            0 => fs::remove_file(&path).unwrap(),
            1 => fs::write(&path, &foreign).unwrap(),
            n => fs::write(&path, &bytes[..bytes.len() * n / 40]).unwrap(),
        }
        // A reader finds everything without making it.
        let reader = Reader::open(dir.path(), &options()).unwrap();
        assert_eq!(refused(&reader, &ids), 0);
        let store = Store::open(dir.path(), &options()).unwrap();
        assert_eq!(refused(&store.reader(), &ids), 0);
        drop(store);
        assert!(verify(dir.path(), true).unwrap().ok());
        assert_eq!(pages(dir.path()).len(), 1, "no orphans");
    }
}
