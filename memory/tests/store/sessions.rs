//! Where sessions go on: with the blocks that they cover, or not at all.

use std::sync::Arc;

use crate::helpers::{append, options};
use lcedge_memory::{
    ReadError, Reader, SourceError, SourceId, Store,
    storage::{
        FileStorage,
        failing::{FailingStorage, Fault},
    },
    verify,
};

#[test]
fn a_point_becomes_durable_with_the_blocks_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), &options()).unwrap();
    let source = store.begin_source("a").unwrap().id;
    append(&mut store, source, 0..3);
    store.set_session("talk", source, b"first").unwrap();
    assert_eq!(store.reader().session("talk").unwrap(), None, "not before the commit");
    store.commit().unwrap();
    append(&mut store, source, 3..5);
    store.set_session("talk", source, b"second, lost").unwrap();
    store.set_session("other", source, &[7; 3000]).unwrap();
    drop(store);
    let mut store = Store::open(dir.path(), &options()).unwrap();
    let point = store.reader().session("talk").unwrap().unwrap();
    assert_eq!((point.state.as_slice(), point.source, point.blocks), (&b"first"[..], source, 3));
    assert_eq!(store.reader().sessions().unwrap(), ["talk"]);
    // A point alone is something to commit.
    store.set_session("other", source, &[7; 3000]).unwrap();
    store.set_session("other", source, &[8; 3000]).unwrap();
    store.commit().unwrap();
    let reader = Reader::open(dir.path(), &options()).unwrap();
    assert_eq!(reader.session("other").unwrap().unwrap().state, [8; 3000]);
    store.drop_session("talk").unwrap();
    store.commit().unwrap();
    assert_eq!(reader.sessions().unwrap(), ["other"]);
    let big = vec![0; Store::SESSION_BYTES_MAX + 1];
    let e = store.set_session("big", source, &big).unwrap_err();
    assert!(matches!(e, SourceError::SessionBytes { .. }), "{e}");
    assert!(store.set_session("none", SourceId(99), b"x").is_err());
    assert!(verify(dir.path(), true).unwrap().ok());
}

#[test]
fn a_point_that_is_not_what_was_written_is_not_given() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), &options()).unwrap();
    let source = store.begin_source("a").unwrap().id;
    store.set_session("talk", source, b"state").unwrap();
    store.commit().unwrap();
    for change in ["state = X'7374617465FF'", "blocks = 1", "source = 2", "time_unix_ms = 0"] {
        let conn = rusqlite::Connection::open(dir.path().join("catalogue.sqlite")).unwrap();
        conn.execute(&format!("UPDATE session SET {change}"), []).unwrap();
        let e = store.reader().session("talk").unwrap_err();
        assert!(matches!(e, ReadError::SessionDamaged { .. }), "{e}");
        store.set_session("talk", source, b"state").unwrap();
        store.commit().unwrap();
        assert!(store.reader().session("talk").unwrap().is_some());
    }
}

#[test]
fn a_point_never_covers_more_blocks_than_there_are() {
    let mut operations = 0;
    for n in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let storage = FailingStorage::new(Arc::new(FileStorage::new(dir.path())));
        storage.fail_from(n, Fault::Torn);
        let mut acknowledged = 0;
        let mut session = || -> Result<(), Box<dyn std::error::Error>> {
            let mut store = Store::open_in(Arc::new(storage.clone()), &options())?;
            let source = store.begin_source("a")?.id;
            for round in 0..4_u64 {
                for n in 2 * round..2 * round + 2 {
                    store.append(&crate::helpers::Sample::new(n).record(source))?;
                }
                store.set_session("talk", source, &(2 * round + 2).to_le_bytes())?;
                store.commit()?;
                acknowledged = 2 * round + 2;
            }
            Ok(())
        };
        let ended = session().map_err(|e| e.to_string());
        let mut store = Store::open(dir.path(), &options()).unwrap();
        let blocks = store.begin_source("a").unwrap().blocks;
        let point = store.reader().session("talk").unwrap();
        let covers = point.as_ref().map_or(0, |p| p.blocks);
        assert!(covers <= blocks && u64::from(covers) >= acknowledged, "{n}: {ended:?} {point:?}");
        if let Some(point) = point {
            assert_eq!(point.state, u64::from(covers).to_le_bytes());
        }
        if ended.is_ok() {
            operations = n;
            break;
        }
    }
    assert!(operations > 30, "{operations}");
}
