//! Text search is SQLite's, identifiers are found whole and by parts, filters filter.

use crate::helpers::{Sample, append, options};
use lcedge_memory::{
    AddressQuery, BlockId, BlockRecord, Filter, HeadQuery, Reader, Store, storage::RamStorage,
};

fn ram() -> Store {
    Store::open_in(std::sync::Arc::new(RamStorage::new()), &options()).unwrap()
}

/// One block a text.
fn with_texts(texts: &[&str]) -> (Store, Vec<BlockId>) {
    let mut store = ram();
    let source = store.begin_source("a").unwrap().id;
    let sample = Sample::new(0);
    let ids = texts
        .iter()
        .map(|t| {
            let record = sample.record(source);
            store.append(&BlockRecord { text: t.as_bytes(), ..record }).unwrap()
        })
        .collect();
    store.commit().unwrap();
    (store, ids)
}

fn find(reader: &Reader, text: &str) -> Vec<BlockId> {
    let hits = reader.search_text(text, 9, &Filter::default()).unwrap();
    hits.iter().map(|h| h.id).collect()
}

#[test]
fn identifiers_are_found_whole_and_by_parts() {
    let (store, ids) = with_texts(&[
        "Accepted password for root from 10.0.3.7 port 22",
        "Accepted password for eve from 10.0.3.71 port 22",
        "order CN-4821 shipped by user_name=alice",
        "order 4822 CN of user bob, name unknown",
        "disk /dev/sda1 failed\0after NUL \u{fffd} größe",
        "Failures: none; the server's fan was restarted",
    ]);
    let reader = store.reader();
    assert_eq!(find(&reader, "10.0.3.7"), [ids[0]]);
    assert_eq!(find(&reader, "who logged in from 10.0.3.71?"), [ids[1]]);
    assert_eq!(find(&reader, "CN-4821")[0], ids[2]);
    assert_eq!(find(&reader, "4821"), [ids[2]]);
    assert_eq!(find(&reader, "cn"), [ids[2], ids[3]]);
    assert_eq!(find(&reader, "user_name")[0], ids[2]);
    assert!(find(&reader, "alice").contains(&ids[2]));
    assert_eq!(find(&reader, "GROSSE Größe"), [ids[4]]);
    assert_eq!(find(&reader, "sda1"), [ids[4]]);
    assert_eq!(find(&reader, "NUL"), [ids[4]]);
    assert_eq!(find(&reader, "which servers were restarting?"), [ids[5]]);
    assert!(find(&reader, "what is the").len() < 6);
    assert!(find(&reader, "\"\" ^*:(").is_empty());
}

#[test]
fn the_ranking_is_what_sqlite_says() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), &options()).unwrap();
    let source = store.begin_source("a").unwrap().id;
    append(&mut store, source, 0..60);
    store.commit().unwrap();
    let hits = store.reader().search_text("root 10.0.3.7 line", 60, &Filter::default()).unwrap();
    let conn = rusqlite::Connection::open(dir.path().join("catalogue.sqlite")).unwrap();
    let sql = "SELECT rowid, bm25(block_text) AS b FROM block_text
               WHERE block_text MATCH '\"root\" OR \"10 0 3 7\" OR \"line\"' ORDER BY b, rowid";
    let mut statement = conn.prepare(sql).unwrap();
    let expected: Vec<(i64, f64)> = statement
        .query_map([], |r| Ok((r.get(0)?, r.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(hits.len(), expected.len());
    for (hit, (id, score)) in hits.iter().zip(expected) {
        assert_eq!(hit.id.0 as i64, id);
        assert!((f64::from(hit.score) + score).abs() < 1e-5);
    }
}

#[test]
fn filters_apply_to_both_searches() {
    let mut store = ram();
    let one = store.begin_source("one").unwrap().id;
    let mut ids = append(&mut store, one, 0..20);
    let two = store.begin_source("two").unwrap().id;
    ids.extend(append(&mut store, two, 20..40));
    store.commit().unwrap();
    let reader = store.reader();
    let head = HeadQuery { weight: 1.0, vectors: vec![0.5; 12] };
    let query = AddressQuery { heads: vec![head.clone(), head] };
    let by_address = |f: &Filter<'_>| -> Vec<BlockId> {
        let mut ids: Vec<_> =
            reader.search_address(&query, 99, f).unwrap().iter().map(|h| h.id).collect();
        ids.sort();
        ids
    };
    let by_text = |f: &Filter<'_>| -> Vec<BlockId> {
        let mut ids: Vec<_> =
            reader.search_text("line", 99, f).unwrap().iter().map(|h| h.id).collect();
        ids.sort();
        ids
    };
    let found_by_address = |n: usize| !Sample::new(n as u64).address.is_empty();
    let expect = |keep: &dyn Fn(usize) -> bool, f: &Filter<'_>| {
        let kept = |n: &usize| keep(*n);
        let text: Vec<BlockId> = (0..40).filter(kept).map(|n| ids[n]).collect();
        assert_eq!(by_text(f), text);
        let address: Vec<BlockId> =
            (0..40).filter(kept).filter(|n| found_by_address(*n)).map(|n| ids[n]).collect();
        assert_eq!(by_address(f), address);
    };
    expect(&|_| true, &Filter::default());
    expect(&|n| n >= 20, &Filter { sources: Some(&[two]), ..Filter::default() });
    expect(
        &|n| n % 2 == 1,
        &Filter {
            exclude: &ids.iter().copied().step_by(2).collect::<Vec<_>>(),
            ..Filter::default()
        },
    );
    let times = 1_700_000_000_005..1_700_000_000_030;
    let time_unix_ms = Some(times);
    let filter = Filter { time_unix_ms: time_unix_ms.clone(), ..Filter::default() };
    expect(&|n| (5..30).contains(&n), &filter);
    // The last block before it may reach into it; the second source has none.
    let filter = Filter { time_unix_ms, reaching_in: true, ..Filter::default() };
    expect(&|n| (4..30).contains(&n), &filter);
    let wrong = AddressQuery { heads: vec![] };
    assert!(reader.search_address(&wrong, 1, &Filter::default()).is_err());
}
