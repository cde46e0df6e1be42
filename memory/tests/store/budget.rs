//! A store that must not grow: blocks give up keys and values, then beacons, then go; what is there
//! is right, what went is counted, and the disk shows it.

use std::{fs, path::Path};

use crate::helpers::{Sample, mix, options, progress};
use lcedge_memory::{
    BeaconRecord, BlockId, BlockRecord, BlockState, Count, GivenUp, KvDtype, ReadError, Reader,
    SourceId, Store, StoreOptions, SyncPolicy, rebuild, verify,
};

fn payload(n: u64) -> Vec<u8> {
    (0..1500).flat_map(|i| mix(n * 7919 + i).to_le_bytes()).collect()
}

fn beacons(n: u64) -> Option<Vec<u8>> {
    (n % 4 != 3).then(|| payload(n + 1_000_000)[..1000].to_vec())
}

fn append(store: &mut Store, source: SourceId, n: u64) -> BlockId {
    let (sample, payload, beacons) = (Sample::new(n), payload(n), beacons(n));
    let record = BlockRecord {
        payload: &payload,
        beacons: beacons.as_ref().map(|b| BeaconRecord {
            ratio: 8,
            count: 2,
            dtype: KvDtype::Int8,
            payload: b,
        }),
        ..sample.record(source)
    };
    store.append(&record).unwrap()
}

fn folder_bytes(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).unwrap().map(|e| e.unwrap());
    entries
        .map(|e| {
            let meta = e.metadata().unwrap();
            if meta.is_dir() { folder_bytes(&e.path()) } else { meta.len() }
        })
        .sum()
}

/// Looks at every block that was ever appended (`ids[n]`); gives how many are in which state.
fn look(reader: &Reader, ids: &[BlockId]) -> (GivenUp, u64) {
    let (mut seen, mut exact) = (GivenUp::default(), 0);
    let add = |count: &mut Count, n: u64| {
        count.blocks += 1;
        count.tokens += Sample::new(n).tokens.len() as u64;
    };
    for (n, id) in (0..).zip(ids) {
        let mut bytes = Vec::new();
        let info = match reader.block(*id) {
            Ok(info) => info,
            Err(ReadError::UnknownBlock { .. }) => {
                add(&mut seen.dropped, n);
                continue;
            }
            Err(e) => panic!("{e}"),
        };
        assert_eq!(reader.text(*id).unwrap(), Sample::new(n).text);
        match info.state() {
            BlockState::Exact => {
                exact += 1;
                reader.payload(*id, &mut bytes).unwrap();
                assert_eq!(bytes, payload(n));
            }
            BlockState::Beacons => add(&mut seen.to_beacons, n),
            BlockState::Text => add(&mut seen.to_text, n),
        }
        if info.beacons.is_some() {
            reader.beacons(*id, &mut bytes).unwrap();
            assert_eq!(bytes, beacons(n).unwrap());
        }
    }
    (seen, exact)
}

/// What blocks are left with is not what they gave up: one that went gave up more than once.
fn steps(given_up: &GivenUp) -> u64 {
    given_up.to_beacons.blocks + given_up.to_text.blocks + given_up.dropped.blocks
}

#[test]
fn a_store_keeps_its_budget_whatever_is_appended() {
    let dir = tempfile::tempdir().unwrap();
    let max = 4_000_000;
    let options = StoreOptions {
        disk_bytes_max: Some(max),
        page_blocks: 16,
        sync: SyncPolicy::None,
        ..options()
    };
    let mut store = Store::open(dir.path(), &options).unwrap();
    let source = store.begin_source("a").unwrap().id;
    let (mut ids, mut given_up, mut to_beacons) = (Vec::new(), 0, 0);
    let mut largest = 0;
    for n in 0..1800 {
        ids.push(append(&mut store, source, n));
        if n == 5 {
            store.commit().unwrap();
            store.pin(&ids[..3], true).unwrap();
        }
        if n % 8 == 7 {
            store.set_progress(source, progress(n + 1)).unwrap();
            store.commit().unwrap();
            assert!(store.disk_bytes() <= max, "{n}: {}", store.disk_bytes());
        }
        let step = store.take_given_up();
        given_up += steps(&step);
        to_beacons += step.to_beacons.blocks;
        largest = largest.max(folder_bytes(dir.path()));
    }
    // Beside what is counted there is what SQLite holds beside the log, and what is being swapped.
    assert!(largest < max + max / 10, "{largest}");
    store.commit().unwrap();
    let (seen, exact) = look(&store.reader(), &ids);
    assert!(exact > 50 && to_beacons > 100 && seen.to_text.blocks > 100, "{exact} {seen:?}");
    assert!(seen.dropped.blocks > 10, "{seen:?}");
    assert!(given_up >= seen.dropped.blocks + seen.to_text.blocks + seen.to_beacons.blocks);
    let state = |id: &BlockId| store.reader().block(*id).unwrap().state();
    assert!(ids[..3].iter().all(|id| state(id) == BlockState::Exact), "pinned");
    assert!(ids[1750..].iter().all(|id| state(id) == BlockState::Exact), "the newest");
    drop(store);
    assert!(verify(dir.path(), true).unwrap().ok());
    rebuild(dir.path()).unwrap();
    let store = Store::open(dir.path(), &options).unwrap();
    assert_eq!(look(&store.reader(), &ids), (seen, exact));
    assert_eq!(store.pins(), ids[..3]);
}

#[test]
fn a_smaller_budget_is_kept_from_the_opening_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), &options()).unwrap();
    let source = store.begin_source("a").unwrap().id;
    let ids: Vec<BlockId> = (0..300).map(|n| append(&mut store, source, n)).collect();
    store.set_progress(source, progress(300)).unwrap();
    store.commit().unwrap();
    drop(store);
    let before = folder_bytes(dir.path());
    for max in [2_500_000, 1_500_000, 900_000] {
        let options = StoreOptions { disk_bytes_max: Some(max), ..options() };
        let mut store = Store::open(dir.path(), &options).unwrap();
        assert!(store.problems().is_empty(), "{:?}", store.problems());
        assert!(store.disk_bytes() <= max && max < before, "{} {max}", store.disk_bytes());
        assert!(steps(&store.take_given_up()) > 0);
        look(&store.reader(), &ids);
        let state = store.begin_source("a").unwrap();
        assert_eq!((state.blocks, state.absorbed_bytes), (300, progress(300).absorbed_bytes));
        drop(store);
        assert!(verify(dir.path(), true).unwrap().ok());
    }
}
