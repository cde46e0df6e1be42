//! What goes in comes out: at once, after a commit, after sealing, after opening again.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::helpers::{Sample, append, options, progress};
use lcedge_memory::{Filter, MapChoice, OpenError, Reader, Store, StoreOptions};

fn check_all(reader: &Reader, ids: &[lcedge_memory::BlockId]) {
    assert_eq!(reader.blocks(), ids.len());
    for (n, id) in ids.iter().enumerate() {
        Sample::new(n as u64).assert_is(reader, *id);
    }
}

fn with(map: MapChoice) -> StoreOptions {
    StoreOptions { map, segment_bytes_max: 4096, ..options() }
}

#[test]
fn blocks_come_back_at_every_stage_mapped_or_not() {
    for map in [MapChoice::sealed_segments(), MapChoice::never()] {
        let dir = tempfile::tempdir().unwrap();
        let options = with(map);
        let mut store = Store::open(dir.path(), &options).unwrap();
        let reader = store.reader();
        let source = store.begin_source("a.log").unwrap();
        assert_eq!((source.version, source.blocks, source.absorbed_bytes), (1, 0, 0));
        let ids = append(&mut store, source.id, 0..40);
        check_all(&reader, &ids);
        assert!(reader.search_text("login", 9, &Filter::default()).unwrap().is_empty());
        store.set_progress(source.id, progress(40)).unwrap();
        store.commit().unwrap();
        check_all(&reader, &ids);
        assert!(!reader.search_text("login", 9, &Filter::default()).unwrap().is_empty());
        store.seal().unwrap();
        check_all(&reader, &ids);
        let stats = reader.stats().unwrap();
        assert!(stats.segments > 3, "{stats:?}");
        // A few are held open, the rest is opened when it is read.
        assert_eq!(stats.mapped_segments > 0, map.maps_sealed(), "{stats:?}");
        drop((store, reader));
        let outside = Reader::open(dir.path(), &options).unwrap();
        check_all(&outside, &ids);
        let mut store = Store::open(dir.path(), &options).unwrap();
        assert!(store.problems().is_empty(), "{:?}", store.problems());
        check_all(&store.reader(), &ids);
        let again = store.begin_source("a.log").unwrap();
        assert_eq!((again.id, again.blocks, again.absorbed_bytes), (source.id, 40, 4000));
        assert_eq!(again.prefix_hash, [40; 32]);
        let more = append(&mut store, again.id, 40..43);
        store.commit().unwrap();
        assert_eq!(outside.blocks(), 40);
        outside.refresh().unwrap();
        check_all(&outside, &[ids, more].concat());
    }
}

#[test]
fn an_unsealed_segment_goes_on_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut ids = Vec::new();
    for run in 0..5 {
        let mut store = Store::open(dir.path(), &options()).unwrap();
        assert!(store.problems().is_empty(), "{:?}", store.problems());
        let source = store.begin_source("a.log").unwrap();
        assert_eq!(u64::from(source.blocks), run * 3);
        ids.extend(append(&mut store, source.id, run * 3..run * 3 + 3));
        store.set_progress(source.id, progress(run * 3 + 3)).unwrap();
        store.commit().unwrap();
        check_all(&store.reader(), &ids);
    }
    let names = fs::read_dir(dir.path().join("segments")).unwrap().count();
    assert_eq!(names, 1);
}

#[test]
fn what_was_not_committed_is_not_there_and_can_be_appended_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), &options()).unwrap();
    let source = store.begin_source("a.log").unwrap().id;
    let mut ids = append(&mut store, source, 0..4);
    store.set_progress(source, progress(4)).unwrap();
    store.commit().unwrap();
    append(&mut store, source, 4..9);
    drop(store);
    let mut store = Store::open(dir.path(), &options()).unwrap();
    check_all(&store.reader(), &ids);
    let state = store.begin_source("a.log").unwrap();
    assert_eq!((state.blocks, state.absorbed_bytes), (4, 400));
    ids.extend(append(&mut store, source, 4..9));
    store.commit().unwrap();
    check_all(&store.reader(), &ids);
}

#[test]
fn one_source_a_segment_and_neighbours_stay_within_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), &options()).unwrap();
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for round in 0..3 {
        let one = store.begin_source("a").unwrap().id;
        a.extend(append(&mut store, one, round * 2..round * 2 + 2));
        let two = store.begin_source("b").unwrap().id;
        b.extend(append(&mut store, two, 0..1));
        store.commit().unwrap();
    }
    let reader = store.reader();
    assert_eq!(reader.stats().unwrap().segments, 6);
    let sources = reader.sources();
    assert_eq!(sources.iter().map(|s| s.blocks).collect::<Vec<_>>(), [6, 3]);
    assert_eq!(reader.blocks_of(sources[0].id), a);
    assert_eq!(reader.blocks_of(sources[1].id), b);
    for (i, id) in a.iter().enumerate() {
        assert_eq!(reader.neighbour(*id, 1), a.get(i + 1).copied());
        assert_eq!(reader.neighbour(*id, -1), i.checked_sub(1).map(|i| a[i]));
        assert_eq!(reader.neighbour(*id, 0), Some(*id));
        assert_eq!(reader.neighbour(*id, 2), a.get(i + 2).copied());
    }
}

#[test]
fn a_new_version_supersedes_and_search_leaves_the_old_one_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), &options()).unwrap();
    let old = store.begin_source("a").unwrap();
    append(&mut store, old.id, 0..5);
    store.commit().unwrap();
    let new = store.new_version("a").unwrap();
    assert_eq!((new.version, new.blocks), (2, 0));
    append(&mut store, new.id, 0..2);
    store.set_progress(new.id, progress(2)).unwrap();
    store.commit().unwrap();
    drop(store);
    let mut store = Store::open(dir.path(), &options()).unwrap();
    assert_eq!(store.begin_source("a").unwrap().id, new.id);
    let reader = store.reader();
    assert!(reader.source(old.id).unwrap().superseded);
    assert!(!reader.source(new.id).unwrap().superseded);
    let count = |f: &Filter<'_>| reader.search_text("line", 99, f).unwrap().len();
    assert_eq!(count(&Filter::default()), 2);
    assert_eq!(count(&Filter { superseded: true, ..Filter::default() }), 7);
    assert_eq!(count(&Filter { sources: Some(&[old.id]), ..Filter::default() }), 5);
    let times = Some(1_700_000_000_001..1_700_000_000_003);
    assert_eq!(count(&Filter { time_unix_ms: times, superseded: true, ..Filter::default() }), 3);
}

#[test]
fn everything_is_private_to_the_user() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("made/by/us");
    let mut store = Store::open(&root, &options()).unwrap();
    let source = store.begin_source("a").unwrap().id;
    append(&mut store, source, 0..3);
    store.seal().unwrap();
    let mut seen = 0;
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
                assert_eq!(mode, 0o600, "{}", path.display());
                seen += 1;
            }
        }
    }
    assert!(seen >= 5);
}

#[test]
fn what_is_no_store_or_another_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "text").unwrap();
    let refused = |r: Result<Store, OpenError>| r.map(drop).unwrap_err();
    assert!(matches!(refused(Store::open(&file, &options())), OpenError::NotADirectory { .. }));
    let below = file.join("store");
    assert!(matches!(refused(Store::open(&below, &options())), OpenError::NotADirectory { .. }));
    let other = refused(Store::open(dir.path(), &options()));
    assert!(matches!(other, OpenError::NotAStore { ref found, .. } if found == "file"), "{other}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let absent = Reader::open(&dir.path().join("nothing"), &options()).unwrap_err();
    assert!(matches!(absent, OpenError::Absent { .. }), "{absent}");
    assert!(matches!(Reader::open(&file, &options()), Err(OpenError::NotADirectory { .. })));

    let root = dir.path().join("store");
    let store = Store::open(&root, &options()).unwrap();
    let second = refused(Store::open(&root, &options()));
    let pid = std::process::id();
    assert!(matches!(second, OpenError::Locked { pid: Some(p), .. } if p == pid), "{second}");
    drop(store);
    let foreign = StoreOptions { model: [8; 32], ..options() };
    let e = refused(Store::open(&root, &foreign));
    assert!(matches!(e, OpenError::Foreign { what: "model", .. }), "{e}");
    let e = Reader::open(&root, &foreign).unwrap_err();
    assert!(matches!(e, OpenError::Foreign { what: "model", .. }), "{e}");
    let mut wide = options();
    wide.geometry.layers = 3;
    let e = refused(Store::open(&root, &wide));
    assert!(matches!(e, OpenError::Foreign { what: "geometry", .. }), "{e}");
    // The lock of a dead writer is only a file.
    fs::write(root.join("lock"), "1\n").unwrap();
    Store::open(&root, &options()).unwrap();
}
