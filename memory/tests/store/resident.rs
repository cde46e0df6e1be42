//! However large the index is, no more of it is resident than may be: as the system counts it.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::helpers::{GEOMETRY, Sample, append, mix, options};
use lcedge_memory::{
    AddressHit, AddressLayout, AddressQuery, BlockAddress, BlockId, BlockRecord, Filter,
    HeadAddress, HeadQuery, Reader, Store, StoreOptions, SyncPolicy, index_bytes,
};

const BLOCKS: u64 = 12_000;
const LIMIT: u64 = 2 << 20;

/// Few vectors a block share groups; many have their own, and are sampled first.
const LAYOUTS: [AddressLayout; 2] = [
    AddressLayout { heads: 1, vectors_max: 4, dim: 128 },
    AddressLayout { heads: 1, vectors_max: 32, dim: 16 },
];

fn address(layout: AddressLayout, n: u64) -> BlockAddress {
    let values = u64::from(layout.vectors_max) * u64::from(layout.dim);
    let vectors = (0..values).map(|i| mix(n * 1000 + i) as i8).collect();
    BlockAddress { heads: vec![HeadAddress { vectors, scale: 0.01, mean: 0.0, spread: 1.0 }] }
}

fn fill(dir: &Path, options: &StoreOptions) {
    let mut store = Store::open(dir, options).unwrap();
    let source = store.begin_source("a").unwrap().id;
    let sample = Sample::new(1);
    for n in 0..BLOCKS {
        let address = address(options.address, n);
        let text = format!("line {n}\n");
        let record =
            BlockRecord { text: text.as_bytes(), address: &address, ..sample.record(source) };
        store.append(&record).unwrap();
    }
    store.commit().unwrap();
}

/// Resident bytes of this store's pages, from the system's list of mappings.
fn resident(dir: &Path) -> u64 {
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let index = dir.join("index");
    let (mut ours, mut kib) = (false, 0);
    for line in maps.lines() {
        if line.contains("-") && line.split_whitespace().count() >= 5 {
            ours = line.contains(&*index.to_string_lossy());
        } else if let Some(rss) = line.strip_prefix("Rss:").filter(|_| ours) {
            kib += rss.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap();
        }
    }
    kib * 1024
}

fn query(layout: AddressLayout, near: u64) -> AddressQuery {
    let dim = usize::from(layout.dim);
    let near = address(layout, near);
    let vectors = near.heads[0].vectors[..dim].iter().map(|v| f32::from(*v));
    AddressQuery { heads: vec![HeadQuery { weight: 1.0, vectors: vectors.collect() }] }
}

/// What a person's questions and a report do: searches, blocks one by one, all of them.
fn use_it(reader: &Reader, layout: AddressLayout) -> Vec<Vec<AddressHit>> {
    let mut found = Vec::new();
    for n in 0..12 {
        let q = query(layout, n * 997);
        found.push(reader.search_address(&q, 20, &Filter::default()).unwrap());
        // Short vectors have others that are nearer than they themselves.
        let first = found.last().unwrap()[0].id;
        assert!(first == BlockId(n * 997 + 1) || layout.dim < 32);
        for id in (1..=BLOCKS).step_by(301) {
            assert_eq!(reader.block(BlockId(id)).unwrap().id, BlockId(id));
            assert_eq!(reader.neighbour(BlockId(id), 1), Some(BlockId(id + 1)));
        }
    }
    assert_eq!(reader.stats().unwrap().blocks, BLOCKS);
    found
}

#[test]
fn the_resident_part_of_the_index_stays_within_its_limit() {
    for layout in LAYOUTS {
        let dir = tempfile::tempdir().unwrap();
        let free = StoreOptions {
            address: layout,
            sync: SyncPolicy::None,
            page_blocks: 128,
            ..StoreOptions::new([7; 32], GEOMETRY, layout)
        };
        fill(dir.path(), &free);
        let bytes = index_bytes(dir.path());
        let each = layout.index_bytes() as u64;
        assert!(bytes > 3 * LIMIT && bytes.abs_diff(BLOCKS * each) < bytes / 20, "{bytes} {each}");
        let reader = Reader::open(dir.path(), &free).unwrap();
        let wanted = use_it(&reader, layout);
        assert!(resident(dir.path()) > bytes / 2, "without a limit it stays");
        reader.let_go().unwrap();
        assert_eq!(resident(dir.path()), 0);
        drop(reader);
        let limited = StoreOptions { index_resident_max: Some(LIMIT), ..free };
        let (done, most) = (AtomicBool::new(false), std::sync::Mutex::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let now = resident(dir.path());
                    let mut most = most.lock().unwrap();
                    *most = now.max(*most);
                    drop(most);
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
            });
            // Also when something below fails.
            let _ends = Ends(&done);
            let reader = Reader::open(dir.path(), &limited).unwrap();
            assert_eq!(use_it(&reader, layout), wanted);
            assert!(reader.stats().unwrap().index_resident_bytes <= LIMIT);
            let mut store = Store::open(dir.path(), &limited).unwrap();
            assert_eq!(use_it(&store.reader(), layout), wanted);
            let source = store.begin_source("b").unwrap().id;
            append_many(&mut store, source, layout);
        });
        let most = *most.lock().unwrap();
        // A reader and a writer, each with its own limit.
        assert!(most <= 2 * LIMIT, "{most} of {bytes} were resident");
    }
}

/// Says that it is done when it goes.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn append_many(store: &mut Store, source: lcedge_memory::SourceId, layout: AddressLayout) {
    if layout == LAYOUTS[0] {
        return;
    }
    let sample = Sample::new(2);
    for n in 0..1000 {
        let address = address(layout, BLOCKS + n);
        store.append(&BlockRecord { address: &address, ..sample.record(source) }).unwrap();
    }
    store.commit().unwrap();
}

#[test]
fn what_the_caller_keeps_by_name_is_there_after_a_commit() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), &options()).unwrap();
    let source = store.begin_source("a").unwrap().id;
    append(&mut store, source, 0..5);
    store.set_note("cost", &[1, 2]).unwrap();
    assert_eq!(store.reader().note("cost").unwrap(), None);
    store.commit().unwrap();
    // A note alone is a reason to commit.
    store.set_note("cost", &[3]).unwrap();
    store.set_note("other", &[]).unwrap();
    store.commit().unwrap();
    drop(store);
    let reader = Reader::open(dir.path(), &options()).unwrap();
    assert_eq!(reader.note("cost").unwrap(), Some(vec![3]));
    assert_eq!(reader.note("other").unwrap(), Some(vec![]));
    assert_eq!(reader.note("none").unwrap(), None);
    assert_eq!(reader.notes("co").unwrap(), [("cost".to_owned(), vec![3])]);
    assert_eq!(reader.notes("").unwrap().len(), 2);
    let mut store = Store::open(dir.path(), &options()).unwrap();
    assert!(store.set_note("cost", &vec![0; Store::SESSION_BYTES_MAX + 1]).is_err());
    assert!(store.set_note("", &[0]).is_err());
}
