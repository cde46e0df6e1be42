//! Blocks that were committed without the progress that covers them: their text comes again, and
//! is there once.

use crate::helpers::{Sample, append, options, progress};
use lcedge_memory::{Filter, Reader, Store, StoreOptions, rebuild, verify};

fn texts(reader: &Reader) -> Vec<Vec<u8>> {
    let source = reader.sources()[0].id;
    reader.blocks_of(source).into_iter().map(|id| reader.text(id).unwrap()).collect()
}

#[test]
fn text_that_is_given_again_is_there_once() {
    for (rebuilds, sealed) in [(false, false), (true, false), (false, true), (true, true)] {
        let dir = tempfile::tempdir().unwrap();
        let options = StoreOptions { segment_bytes_max: 2500, ..options() };
        let mut store = Store::open(dir.path(), &options).unwrap();
        let id = store.begin_source("a").unwrap().id;
        append(&mut store, id, 0..6);
        store.set_progress(id, progress(6)).unwrap();
        store.set_session("s", id, b"at 6").unwrap();
        store.commit().unwrap();
        // Half of what the next progress was going to cover.
        let half = append(&mut store, id, 6..9);
        if sealed {
            store.seal().unwrap()
        } else {
            store.commit().unwrap()
        }
        // In the same run they stay.
        store.begin_source("a").unwrap();
        assert_eq!(store.reader().blocks(), 9);
        drop(store);
        if rebuilds {
            rebuild(dir.path()).unwrap();
        }
        let mut store = Store::open(dir.path(), &options).unwrap();
        assert!(store.problems().is_empty());
        let other = store.begin_source("b").unwrap().id;
        append(&mut store, other, 6..7);
        let state = store.begin_source("a").unwrap();
        assert_eq!((state.id, state.absorbed_bytes), (id, progress(6).absorbed_bytes));
        let reader = store.reader();
        for block in half {
            assert!(reader.block(block).is_err());
        }
        append(&mut store, id, 6..12);
        store.set_progress(id, progress(12)).unwrap();
        store.commit().unwrap();
        let want: Vec<Vec<u8>> = (0..12).map(|n| Sample::new(n).text).collect();
        assert_eq!(texts(&reader), want);
        let only = [id];
        let filter = Filter { sources: Some(&only), ..Filter::default() };
        assert_eq!(reader.search_text("line", 99, &filter).unwrap().len(), 12);
        let point = reader.session("s").unwrap();
        assert_eq!(point.is_some(), !rebuilds, "what covers no removed block stays");
        drop((reader, store));
        assert!(verify(dir.path(), true).unwrap().ok());
        rebuild(dir.path()).unwrap();
        let store = Store::open(dir.path(), &options).unwrap();
        assert!(store.problems().is_empty());
        assert_eq!(texts(&store.reader()), want);
    }
}
