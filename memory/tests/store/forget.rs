//! What is forgotten is in no file of the store any more, and all else is as it was.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use crate::helpers::{Sample, mix, options, progress, spread};
use lcedge_memory::{
    BlockId, BlockRecord, BlockState, Filter, Forget, ReadError, Reader, SourceId, Store,
    StoreOptions, Strictness, rebuild,
    storage::{
        FileStorage,
        failing::{FailingStorage, Fault},
    },
    verify,
};

/// A word that no other block has, none of whose beginnings another word has.
fn word(n: u64) -> String {
    let letter = |i: u64| char::from(b'a' + (mix(n * 31 + i) % 26) as u8);
    (0..12).map(letter).collect()
}

/// Token ids that no other block has.
fn tokens(n: u64) -> Vec<u32> {
    (0..6).map(|i| (mix(n * 1000 + i) | 0x4040_4040) as u32).collect()
}

fn text(n: u64) -> String {
    format!("entry {n} says {} in passing\n", word(n))
}

fn payload(n: u64) -> Vec<u8> {
    (0..90).map(|i| mix(n * 7919 + i) as u8).collect()
}

fn append(store: &mut Store, source: SourceId, n: u64) -> BlockId {
    let sample = Sample::new(n);
    let (tokens, text, payload) = (tokens(n), text(n), payload(n));
    let record = sample.record(source);
    let bytes: Vec<u8> = payload.iter().rev().copied().collect();
    let beacons = lcedge_memory::BeaconRecord {
        ratio: 8,
        count: 1,
        dtype: lcedge_memory::KvDtype::F16,
        payload: &bytes,
    };
    let record = BlockRecord {
        tokens: &tokens,
        text: text.as_bytes(),
        payload: &payload,
        beacons: Some(beacons),
        ..record
    };
    store.append(&record).unwrap()
}

struct Made {
    dir: tempfile::TempDir,
    options: StoreOptions,
    sources: Vec<SourceId>,
    /// Blocks, and the number that decides all of each.
    blocks: BTreeMap<BlockId, (SourceId, u64)>,
}

/// Three sources of several segments each, some of them in turn, the last one not sealed.
fn make() -> (Made, Store) {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { segment_bytes_max: 4000, ..options() };
    let mut store = Store::open(dir.path(), &options).unwrap();
    let mut blocks = BTreeMap::new();
    let mut sources = Vec::new();
    for (part, name) in ["one.log", "two.log", "one.log", "three.log"].into_iter().enumerate() {
        let id = store.begin_source(name).unwrap().id;
        if !sources.contains(&id) {
            sources.push(id);
        }
        for n in part as u64 * 10..part as u64 * 10 + 10 {
            blocks.insert(append(&mut store, id, n), (id, n));
        }
        store.set_progress(id, progress(part as u64 * 10 + 10)).unwrap();
        store.set_session("talk", id, text(part as u64 * 10 + 9).as_bytes()).unwrap();
        store.commit().unwrap();
    }
    (Made { dir, options, sources, blocks }, store)
}

/// Whether any file of the store holds these bytes.
fn holds(dir: &Path, bytes: &[u8]) -> bool {
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if fs::read(path).unwrap().windows(bytes.len()).any(|w| w == bytes) {
                return true;
            }
        }
    }
    false
}

/// What a block must have left in files as long as it is there, and must not once it is forgotten.
fn traces(n: u64) -> Vec<Vec<u8>> {
    let tokens: Vec<u8> = tokens(n)[..3].iter().flat_map(|t| t.to_le_bytes()).collect();
    let payload = payload(n);
    let beacons: Vec<u8> = payload.iter().rev().take(16).copied().collect();
    let mut all = vec![word(n).into_bytes(), tokens, payload[..16].to_vec(), beacons];
    let sample = Sample::new(n);
    let vectors = sample.address.heads.iter().map(|h| &h.vectors).find(|v| v.len() >= 12);
    // As the block has it; the index has it in tiles, plus 128.
    all.extend(vectors.map(|v| v[..12].iter().map(|x| x.cast_unsigned()).collect()));
    all
}

/// The store is whole, without `gone`, and nothing of them is left.
fn check(made: &Made, gone: &[u64]) {
    let dir = made.dir.path();
    for &n in gone {
        for (what, bytes) in traces(n).into_iter().enumerate() {
            assert!(!holds(dir, &bytes), "trace {what} of {n} is left");
        }
    }
    let report = verify(dir, true).unwrap();
    assert!(report.ok(), "{report:?}");
    let reader = Reader::open(dir, &made.options).unwrap();
    look(&reader, made, gone);
    assert!(reader.sessions().unwrap().is_empty());
    drop(reader);
    rebuild(dir).unwrap();
    let reader = Reader::open(dir, &made.options).unwrap();
    look(&reader, made, gone);
}

fn look(reader: &Reader, made: &Made, gone: &[u64]) {
    for (id, (source, n)) in &made.blocks {
        if gone.contains(n) {
            assert!(matches!(reader.text(*id), Err(ReadError::UnknownBlock { .. })), "{n}");
            let hits = reader.search_text(&word(*n), 9, &Filter::default()).unwrap();
            assert!(hits.is_empty(), "{n}");
            continue;
        }
        assert_eq!(reader.block(*id).unwrap().source, *source);
        assert_eq!(reader.text(*id).unwrap(), text(*n).into_bytes());
        let mut bytes = Vec::new();
        if reader.block(*id).unwrap().state() == BlockState::Exact {
            reader.payload(*id, &mut bytes).unwrap();
            assert_eq!(bytes, payload(*n));
        }
        let hits = reader.search_text(&word(*n), 9, &Filter::default()).unwrap();
        assert_eq!(hits.iter().map(|h| h.id).collect::<Vec<_>>(), [*id]);
        if !Sample::new(*n).address.is_empty() {
            assert!(!reader.address(*id).unwrap().is_empty());
        }
    }
    assert_eq!(reader.blocks(), made.blocks.len() - gone.len());
}

#[test]
fn everything_is_there_before_so_that_the_search_means_something() {
    let (made, store) = make();
    for n in [0, 11, 25, 39] {
        for bytes in traces(n) {
            assert!(holds(made.dir.path(), &bytes));
        }
    }
    look(&store.reader(), &made, &[]);
}

#[test]
fn blocks_are_forgotten_by_id() {
    let (made, mut store) = make();
    let gone = [3, 4, 12, 25, 38];
    let of = |n: &u64| *made.blocks.iter().find(|(_, b)| b.1 == *n).unwrap().0;
    let ids: Vec<BlockId> = gone.iter().map(of).collect();
    // A reader of this process, and one of another: it holds pages and segments open.
    let (inside, outside) = (store.reader(), Reader::open(made.dir.path(), &made.options).unwrap());
    look(&outside, &made, &[]);
    let report = store.forget(&Forget::Blocks(&ids), Strictness::Passage).unwrap();
    assert_eq!((report.blocks, report.tokens, report.sessions), (5, 30, 1));
    look(&inside, &made, &gone);
    // Without being told: what moved is found again.
    for id in made.blocks.keys() {
        match outside.text(*id) {
            Ok(found) => assert_eq!(found, text(made.blocks[id].1).into_bytes()),
            Err(e) => assert!(matches!(e, ReadError::UnknownBlock { .. }), "{e}"),
        }
    }
    outside.refresh().unwrap();
    look(&outside, &made, &gone);
    drop(outside);
    drop((store, inside));
    // The log could be kept by the other reader: the next forgetting empties it.
    let mut store = Store::open(made.dir.path(), &made.options).unwrap();
    assert!(store.forget(&Forget::Blocks(&[]), Strictness::Passage).unwrap().log_emptied);
    drop(store);
    check(&made, &gone);
}

#[test]
fn a_source_is_forgotten_with_its_name() {
    let (made, mut store) = make();
    let report = store.forget(&Forget::Sources(&made.sources[..1]), Strictness::Passage).unwrap();
    assert_eq!((report.blocks, report.sources), (20, 1));
    assert!(report.log_emptied);
    assert!(!holds(made.dir.path(), b"one.log"));
    let gone: Vec<u64> = (0..10).chain(20..30).collect();
    look(&store.reader(), &made, &gone);
    drop(store);
    check(&made, &gone);
    assert!(!holds(made.dir.path(), b"one.log"));
    // The name is new again.
    let mut store = Store::open(made.dir.path(), &made.options).unwrap();
    assert_eq!(store.begin_source("one.log").unwrap().absorbed_bytes, 0);
    assert_eq!(store.begin_source("two.log").unwrap().absorbed_bytes, progress(20).absorbed_bytes);
}

#[test]
fn time_and_text_choose_blocks() {
    let (made, mut store) = make();
    let from = 1_700_000_000_000 + 8;
    let report = store.forget(&Forget::Time(from..from + 4), Strictness::Passage).unwrap();
    assert_eq!(report.blocks, 4);
    let report =
        store.forget(&Forget::Text(&word(35).to_uppercase()), Strictness::Passage).unwrap();
    assert_eq!(report.blocks, 1);
    // From the end of one block to the beginning of the next.
    let across = format!("{} in passing\nentry 15 says", word(14));
    let report = store.forget(&Forget::Text(&across), Strictness::Passage).unwrap();
    assert_eq!(report.blocks, 2);
    assert_eq!(store.forget(&Forget::Text("nowhere"), Strictness::Store).unwrap().blocks, 0);
    assert_eq!(store.forget(&Forget::Text(" \n"), Strictness::Store).unwrap().blocks, 0);
    drop(store);
    check(&made, &[8, 9, 10, 11, 14, 15, 35]);
}

#[test]
fn what_was_computed_later_is_left_as_text_when_that_is_asked_for() {
    for (strictness, text_only) in [
        (Strictness::Passage, 0..0),
        // Of source one, which goes on with blocks 20 to 29.
        (Strictness::Source, 20..30),
        (Strictness::Store, 10..40),
    ] {
        let (made, mut store) = make();
        let of = |n: u64| *made.blocks.iter().find(|(_, b)| b.1 == n).unwrap().0;
        let report = store.forget(&Forget::Blocks(&[of(9)]), strictness).unwrap();
        assert_eq!((report.blocks, report.left_as_text), (1, text_only.clone().count() as u64));
        let reader = store.reader();
        for n in (0..40).filter(|n| *n != 9) {
            let state = reader.block(of(n)).unwrap().state();
            assert_eq!(state == BlockState::Text, text_only.contains(&n), "{n}");
        }
        for n in text_only {
            assert!(!holds(made.dir.path(), &payload(n)[..16]), "{n}");
        }
        drop((store, reader));
        check(&made, &[9]);
    }
}

#[test]
fn after_forgetting_the_store_goes_on() {
    let (mut made, mut store) = make();
    let of = |made: &Made, n: u64| *made.blocks.iter().find(|(_, b)| b.1 == n).unwrap().0;
    store.forget(&Forget::Blocks(&[of(&made, 39)]), Strictness::Passage).unwrap();
    let state = store.begin_source("three.log").unwrap();
    assert_eq!((state.blocks, state.absorbed_bytes), (10, progress(40).absorbed_bytes));
    for n in 40..50 {
        made.blocks.insert(append(&mut store, state.id, n), (state.id, n));
    }
    store.commit().unwrap();
    store.forget(&Forget::Blocks(&[of(&made, 45)]), Strictness::Passage).unwrap();
    drop(store);
    check(&made, &[39, 45]);
}

/// Forgets with a storage that fails from the n-th operation on, for many n: whatever happened, the
/// store opens, serves what is there, and forgetting again finishes it.
#[test]
fn forgetting_that_fails_anywhere_is_finished_later() {
    let (whole, store) = make();
    drop(store);
    let of = |made: &Made, n: u64| *made.blocks.iter().find(|(_, b)| b.1 == n).unwrap().0;
    let copy = |to: &Path| {
        for folder in ["segments", "index"] {
            fs::create_dir_all(to.join(folder)).unwrap();
            for entry in fs::read_dir(whole.dir.path().join(folder)).unwrap() {
                let path = entry.unwrap().path();
                fs::copy(&path, to.join(folder).join(path.file_name().unwrap())).unwrap();
            }
        }
        for name in ["store.json", "catalogue.sqlite"] {
            fs::copy(whole.dir.path().join(name), to.join(name)).unwrap();
        }
    };
    let ids = [of(&whole, 3), of(&whole, 12), of(&whole, 36)];
    for fault in [Fault::Io, Fault::Torn, Fault::DiskFull, Fault::Sync] {
        for by_source in [false, true] {
            let what = if by_source {
                Forget::Sources(&whole.sources[1..2])
            } else {
                Forget::Blocks(&ids)
            };
            let gone: Vec<u64> = if by_source { (10..20).collect() } else { vec![3, 12, 36] };
            let run = |fail_from: Option<u64>| {
                let dir = tempfile::tempdir().unwrap();
                copy(dir.path());
                let storage = FailingStorage::new(Arc::new(FileStorage::new(dir.path())));
                let mut store = Store::open_in(Arc::new(storage.clone()), &whole.options).unwrap();
                let begun = storage.operations();
                if let Some(n) = fail_from {
                    storage.fail_from(begun + n, fault);
                }
                let ended = store.forget(&what, Strictness::Passage);
                (dir, ended.is_ok(), storage.operations() - begun)
            };
            let (_, ended, operations) = run(None);
            assert!(ended && operations > 20, "{operations}");
            for n in spread(operations, 5) {
                let (dir, ..) = run(Some(n));
                let made = Made {
                    dir,
                    options: whole.options.clone(),
                    sources: whole.sources.clone(),
                    blocks: whole.blocks.clone(),
                };
                // Every other time the catalogue is lost as well.
                if n % 2 == 1 {
                    rebuild(made.dir.path()).unwrap();
                }
                let mut store = Store::open(made.dir.path(), &made.options).unwrap();
                assert!(store.problems().is_empty(), "{fault:?} {n}: {:?}", store.problems());
                let state = store.begin_source("one.log").unwrap();
                assert_eq!((state.blocks, state.absorbed_bytes), (20, 3000), "{fault:?} {n}");
                let reader = store.reader();
                for (id, (_, n)) in &made.blocks {
                    match reader.text(*id) {
                        Ok(found) => assert_eq!(found, text(*n).into_bytes()),
                        Err(ReadError::UnknownBlock { .. }) => assert!(gone.contains(n)),
                        Err(e) => panic!("{fault:?} {n}: {e}"),
                    }
                }
                store.forget(&what, Strictness::Passage).unwrap();
                drop((store, reader));
                check(&made, &gone);
            }
        }
    }
}
