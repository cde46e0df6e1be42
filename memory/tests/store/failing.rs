//! A storage that fails from the n-th operation on, for every n of a session: what was
//! acknowledged is there afterwards, and nothing else is served.

use std::{path::Path, sync::Arc};

use crate::helpers::{Sample, options, progress};
use lcedge_memory::{
    AppendError, BlockId, CommitError, Filter, SourceId, Store, StoreOptions,
    storage::{
        FileStorage, RamStorage, Storage,
        failing::{FailingStorage, Fault},
    },
    verify,
};

/// What the session knows to be durable.
#[derive(Debug, Default)]
struct Acknowledged {
    /// Of each source: blocks.
    blocks: [u64; 2],
}

fn small() -> StoreOptions {
    StoreOptions { segment_bytes_max: 3000, ..options() }
}

/// Two sources in turn, commits in between; stops at the first error.
fn session(storage: Arc<dyn Storage>, known: &mut Acknowledged) -> Result<(), String> {
    let mut store = Store::open_in(storage, &small()).map_err(|e| e.to_string())?;
    for round in 0..2 {
        for (s, name) in ["a", "b"].into_iter().enumerate() {
            let state = store.begin_source(name).map_err(|e| e.to_string())?;
            let from = u64::from(state.blocks);
            for n in from..from + 4 {
                store
                    .append(&Sample::new(n).record(state.id))
                    .map_err(|e| format!("append in round {round}: {e}"))?;
            }
            store.set_progress(state.id, progress(from + 4)).map_err(|e| e.to_string())?;
            store.commit().map_err(|e| format!("commit in round {round}: {e}"))?;
            known.blocks[s] = from + 4;
        }
    }
    store.seal().map_err(|e| e.to_string())
}

/// Opens again and looks at everything.
fn check(dir: &Path, known: &Acknowledged, what: &str) {
    let mut store = Store::open(dir, &small()).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert!(store.problems().is_empty(), "{what}: {:?}", store.problems());
    let reader = store.reader();
    for (s, name) in ["a", "b"].into_iter().enumerate() {
        let state = store.begin_source(name).unwrap();
        let ids = reader.blocks_of(state.id);
        assert_eq!(ids.len() as u64, u64::from(state.blocks), "{what}");
        // A commit that failed may have arrived after all, wholly.
        let found = state.blocks.into();
        let whole = [known.blocks[s], known.blocks[s] + 4];
        assert!(whole.contains(&found), "{what}: {name} has {found}, not one of {whole:?}");
        assert_eq!(state.absorbed_bytes, found * 100, "{what}: progress goes with blocks");
        for (n, id) in ids.iter().enumerate() {
            Sample::new(n as u64).assert_is(&reader, *id);
        }
    }
    drop((store, reader));
    let report = verify(dir, true).unwrap();
    assert!(report.ok() && report.unacknowledged == 0, "{what}: {report:?}");
}

#[test]
fn every_operation_that_fails_loses_nothing_acknowledged() {
    let whole = {
        let dir = tempfile::tempdir().unwrap();
        let storage = FailingStorage::new(Arc::new(FileStorage::new(dir.path())));
        session(Arc::new(storage.clone()), &mut Acknowledged::default()).unwrap();
        storage.operations()
    };
    assert!(whole > 80, "{whole}");
    for fault in [Fault::Io, Fault::Torn, Fault::DiskFull, Fault::Sync] {
        for n in 0..whole {
            let dir = tempfile::tempdir().unwrap();
            let storage = FailingStorage::new(Arc::new(FileStorage::new(dir.path())));
            storage.fail_from(n, fault);
            let mut known = Acknowledged::default();
            let ended = session(Arc::new(storage), &mut known);
            check(dir.path(), &known, &format!("{fault:?} from operation {n}: {ended:?}"));
        }
    }
}

#[test]
fn a_full_disk_is_an_answer_and_appending_goes_on_when_there_is_space() {
    let storage = FailingStorage::new(Arc::new(RamStorage::new()));
    let mut store = Store::open_in(Arc::new(storage.clone()), &small()).unwrap();
    let source = store.begin_source("a").unwrap().id;
    let mut ids: Vec<BlockId> = Vec::new();
    let add =
        |store: &mut Store, n: u64, source: SourceId| store.append(&Sample::new(n).record(source));
    for n in 0..12 {
        storage.fail_from(0, Fault::DiskFull);
        let e = add(&mut store, n, source).unwrap_err();
        assert!(matches!(e, AppendError::DiskFull { .. }), "{e}");
        if n > 0 {
            let e = store.commit().unwrap_err();
            assert!(matches!(e, CommitError::DiskFull { .. }), "{e}");
        }
        for (n, id) in ids.iter().enumerate() {
            Sample::new(n as u64).assert_is(&store.reader(), *id);
        }
        storage.heal();
        ids.push(add(&mut store, n, source).unwrap());
        if n % 3 == 0 {
            store.commit().unwrap();
            ids.push(ids[0]);
            ids.pop();
        }
        // News for the commit that is going to fail.
        store.set_progress(source, progress(n + 1)).unwrap();
    }
    store.seal().unwrap();
    assert_eq!(store.reader().blocks(), 12);
    assert_eq!(store.reader().search_text("line", 99, &Filter::default()).unwrap().len(), 12);
    for (n, id) in ids.iter().enumerate() {
        Sample::new(n as u64).assert_is(&store.reader(), *id);
    }
}

#[test]
fn after_a_failed_write_the_store_refuses_until_it_is_opened_again() {
    let storage = FailingStorage::new(Arc::new(RamStorage::new()));
    let mut store = Store::open_in(Arc::new(storage.clone()), &small()).unwrap();
    let source = store.begin_source("a").unwrap().id;
    let id = store.append(&Sample::new(0).record(source)).unwrap();
    storage.fail_from(0, Fault::Sync);
    assert!(matches!(store.commit(), Err(CommitError::Io { .. })));
    storage.heal();
    let again = store.append(&Sample::new(1).record(source));
    assert!(matches!(again, Err(AppendError::Latched { .. })));
    assert!(matches!(store.commit(), Err(CommitError::Latched { .. })));
    assert!(store.begin_source("b").is_err());
    Sample::new(0).assert_is(&store.reader(), id);
}
