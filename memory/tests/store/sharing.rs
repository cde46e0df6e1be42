//! One writer, many readers.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::helpers::{Sample, append, options};
use lcedge_memory::{
    AddressQuery, AppendError, Filter, HeadQuery, MapChoice, Reader, Store, StoreOptions, WhenFull,
};

#[test]
fn readers_see_whole_blocks_while_a_writer_appends() {
    for map in [MapChoice::sealed_segments(), MapChoice::never()] {
        let dir = tempfile::tempdir().unwrap();
        let options = StoreOptions { map, segment_bytes_max: 8192, ..options() };
        let mut store = Store::open(dir.path(), &options).unwrap();
        let source = store.begin_source("a").unwrap().id;
        append(&mut store, source, 0..1);
        store.commit().unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for t in 0..3_usize {
                let inside = store.reader();
                let outside = Reader::open(dir.path(), &options).unwrap();
                let done = &done;
                scope.spawn(move || {
                    let head = HeadQuery { weight: 1.0, vectors: vec![0.1; 12] };
                    let query = AddressQuery { heads: vec![head.clone(), head] };
                    let mut turns = 0;
                    while !done.load(Ordering::Relaxed) || turns < 3 {
                        turns += 1;
                        outside.refresh().unwrap();
                        for reader in [&inside, &outside] {
                            let blocks = reader.blocks_of(source);
                            let at = (turns * 7 + t) % blocks.len();
                            Sample::new(at as u64).assert_is(reader, blocks[at]);
                            let last = blocks.len() - 1;
                            Sample::new(last as u64).assert_is(reader, blocks[last]);
                            for hit in reader.search_text("line", 5, &Filter::default()).unwrap() {
                                reader.text(hit.id).unwrap();
                            }
                            reader.search_address(&query, 3, &Filter::default()).unwrap();
                        }
                    }
                });
            }
            for n in 1..150 {
                append(&mut store, source, n..n + 1);
                if n % 10 == 0 {
                    store.commit().unwrap();
                }
            }
            store.seal().unwrap();
            done.store(true, Ordering::Relaxed);
        });
        assert!(lcedge_memory::verify(dir.path(), true).unwrap().ok());
    }
}

#[test]
fn the_budget_refuses_before_writing_and_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let max = 400_000;
    let options =
        StoreOptions { disk_bytes_max: Some(max), when_full: WhenFull::Refuse, ..options() };
    let mut store = Store::open(dir.path(), &options).unwrap();
    let source = store.begin_source("a").unwrap().id;
    let mut n = 0;
    let refused = loop {
        match store.append(&Sample::new(n).record(source)) {
            Ok(_) => n += 1,
            Err(e) => break e,
        }
        if n % 8 == 0 {
            store.commit().unwrap();
        }
    };
    assert!(matches!(refused, AppendError::BudgetFull { max: m, .. } if m == max), "{refused}");
    store.seal().unwrap();
    assert!(n > 20);
    for (n, id) in store.reader().blocks_of(source).iter().enumerate() {
        Sample::new(n as u64).assert_is(&store.reader(), *id);
    }
    drop(store);
    let store = Store::open(dir.path(), &options).unwrap();
    assert!(store.disk_bytes() < max + 100_000, "{}", store.disk_bytes());
}

#[test]
fn what_cannot_be_a_block_is_refused_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), &options()).unwrap();
    let source = store.begin_source("a").unwrap().id;
    let sample = Sample::new(1);
    let good = sample.record(source);
    let written = store.written_bytes();
    let many = vec![1; 9];
    let mut bad = vec![
        lcedge_memory::BlockRecord { tokens: &many, ..good },
        lcedge_memory::BlockRecord { surprise_nats: f32::NAN, ..good },
        lcedge_memory::BlockRecord { source: lcedge_memory::SourceId(99), ..good },
    ];
    let mut span = good.span;
    span.line_start = 0;
    bad.push(lcedge_memory::BlockRecord { span, ..good });
    let mut address = sample.address.clone();
    address.heads.pop();
    bad.push(lcedge_memory::BlockRecord { address: &address, ..good });
    for record in &bad {
        store.append(record).unwrap_err();
    }
    assert_eq!(store.written_bytes(), written);
    assert!(store.begin_source("").is_err());
    store.append(&good).unwrap();
}
