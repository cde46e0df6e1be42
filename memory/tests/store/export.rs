//! A store as one file: everything comes back, nothing damaged comes in.

use std::{
    fs,
    os::unix::fs::{FileExt, PermissionsExt, symlink},
    path::Path,
    sync::Arc,
};

use crate::helpers::{Sample, append, options, progress};
use lcedge_memory::{
    AddressLayout, BlockRecord, BlockState, ExportError, ExportOptions, Filter, Forget,
    ImportOptions, Progress, Reader, SourceError, Span, Store, StoreOptions, Strictness, rebuild,
    storage::{
        FileStorage,
        failing::{FailingStorage, Fault},
    },
    verify,
};

const ALL: ExportOptions<'_> = ExportOptions { keys_and_values: true, sources: None };

fn make(dir: &Path) -> Store {
    let mut store = Store::open(dir, &options()).unwrap();
    for (name, blocks) in [("one.log", 8..20), ("../../etc/passwd", 20..28)] {
        let id = store.begin_source(name).unwrap().id;
        append(&mut store, id, blocks);
        store.set_progress(id, progress(20)).unwrap();
    }
    let new = store.new_version("one.log").unwrap().id;
    append(&mut store, new, 28..33);
    store.set_progress(new, progress(5)).unwrap();
    store.commit().unwrap();
    store
}

fn look(reader: &Reader) {
    let sources = reader.sources();
    let told: Vec<_> = sources.iter().map(|s| (s.name.as_str(), s.version, s.superseded)).collect();
    let want = [("one.log", 1, true), ("../../etc/passwd", 1, false), ("one.log", 2, false)];
    assert_eq!(told, want);
    let numbers = [8..20, 20..28, 28..33];
    for ((source, numbers), n) in sources.iter().zip(numbers).zip([20, 20, 5]) {
        assert_eq!(source.progress, progress(n));
        for (id, n) in reader.blocks_of(source.id).into_iter().zip(numbers) {
            Sample::new(n).assert_is(reader, id);
        }
    }
    assert_eq!(reader.blocks(), 25);
}

#[test]
fn everything_comes_back() {
    let (dir, other, files) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = make(dir.path());
    let path = files.path().join("store.lcx");
    let done = store.reader().export(&path, &ALL).unwrap();
    assert_eq!((done.sources, done.blocks, done.damaged), (3, 25, 0));
    assert_eq!(fs::metadata(&path).unwrap().len(), done.bytes);
    assert!(matches!(store.reader().export(&path, &ALL), Err(ExportError::Exists { .. })));
    assert_eq!(fs::read_dir(files.path()).unwrap().count(), 1, "nothing half made is left");
    let mut store = Store::open(other.path(), &options()).unwrap();
    let read = store.import(&path, &ImportOptions::default()).unwrap();
    assert_eq!(read, done);
    look(&store.reader());
    let e = store.import(&path, &ImportOptions::default()).unwrap_err();
    assert!(matches!(e, ExportError::SourceExists { .. }), "{e}");
    let under = ImportOptions { prefix: "old/", ..ImportOptions::default() };
    assert_eq!(store.import(&path, &under).unwrap().blocks, 25);
    drop(store);
    // Names are names, not paths.
    assert!(verify(other.path(), true).unwrap().ok());
}

#[test]
fn another_model_gets_the_text() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = make(dir.path());
    let path = dir.path().join("store.lcx");
    let whole = store.reader().export(&path, &ALL).unwrap();
    let foreign = [
        StoreOptions { model: [9; 32], ..options() },
        StoreOptions { address: AddressLayout { heads: 1, vectors_max: 4, dim: 8 }, ..options() },
    ];
    for (n, options) in foreign.iter().enumerate() {
        let mut store = Store::open(&other.path().join(n.to_string()), options).unwrap();
        let done = store.import(&path, &ImportOptions::default()).unwrap();
        assert_eq!((done.blocks, done.kv_blocks), (25, 0));
        let reader = store.reader();
        let hits = reader.search_text("line", 99, &Filter::default()).unwrap();
        assert_eq!(hits.len(), 13, "of sources that are not superseded");
        for hit in hits {
            assert_eq!(reader.block(hit.id).unwrap().state(), BlockState::Text);
        }
    }
    // Without keys and values it is small, and comes in as text here as well.
    let small = dir.path().join("small.lcx");
    let sources = [store.reader().sources()[1].id];
    let options_small = ExportOptions { sources: Some(&sources), ..ExportOptions::default() };
    let done = store.reader().export(&small, &options_small).unwrap();
    assert_eq!((done.sources, done.blocks, done.kv_blocks), (1, 8, 0));
    assert!(done.bytes < whole.bytes / 3);
    let mut store = Store::open(&other.path().join("same"), &options()).unwrap();
    store.import(&small, &ImportOptions::default()).unwrap();
    let reader = store.reader();
    for (id, n) in reader.blocks_of(reader.sources()[0].id).into_iter().zip(20..) {
        assert_eq!(reader.text(id).unwrap(), Sample::new(n).text);
        let mut tokens = Vec::new();
        reader.tokens(id, &mut tokens).unwrap();
        assert_eq!(tokens, Sample::new(n).tokens);
    }
}

#[test]
fn no_damaged_file_comes_in() {
    let dir = tempfile::tempdir().unwrap();
    let store = make(&dir.path().join("store"));
    let path = dir.path().join("store.lcx");
    store.reader().export(&path, &ALL).unwrap();
    let bytes = fs::read(&path).unwrap();
    let mut other = Store::open(&dir.path().join("other"), &options()).unwrap();
    let mut refused = |bytes: &[u8], what: &str| {
        fs::write(&path, bytes).unwrap();
        let e = other.import(&path, &ImportOptions::default()).unwrap_err();
        let named = matches!(e, ExportError::Damaged { .. } | ExportError::NotAnExport { .. });
        assert!(named, "{what}: {e}");
        assert_eq!(other.reader().blocks(), 0);
    };
    for at in (0..bytes.len()).step_by(7) {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        refused(&changed, &format!("byte {at}"));
        refused(&bytes[..at], &format!("cut at {at}"));
    }
    // A length that says more than there is takes no memory.
    let mut bomb = bytes.clone();
    bomb[8..16].copy_from_slice(&(2_u64 << 30).to_le_bytes());
    refused(&bomb, "length");
    let mut longer = bytes.clone();
    longer.extend_from_slice(&bytes);
    refused(&longer, "twice");
    refused(b"", "nothing");
    fs::write(&path, &bytes).unwrap();
    assert_eq!(other.import(&path, &ImportOptions::default()).unwrap().blocks, 25);
}

/// A part of a file: where its prefix begins and where it ends.
fn parts(bytes: &[u8]) -> Vec<(usize, usize)> {
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let n = u64::from_le_bytes(bytes[at + 8..at + 16].try_into().unwrap()) as usize;
        out.push((at, at + 24 + n));
        at += 24 + n;
    }
    out
}

/// The file with a part's content changed and its checksum right: somebody means it.
fn forged(bytes: &[u8], part: usize, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let parts = parts(bytes);
    let (from, to) = parts[part];
    let mut body = bytes[from + 24..to].to_vec();
    change(&mut body);
    let mut prefix = bytes[from..from + 16].to_vec();
    prefix[8..16].copy_from_slice(&(body.len() as u64).to_le_bytes());
    let mut sum = xxhash_rust::xxh3::Xxh3::new();
    sum.update(&prefix);
    sum.update(&body);
    prefix.extend(sum.digest().to_le_bytes());
    [&bytes[..from], &prefix, &body, &bytes[to..]].concat()
}

fn put<const N: usize>(at: usize, what: [u8; N]) -> impl FnOnce(&mut Vec<u8>) {
    move |body| body[at..at + N].copy_from_slice(&what)
}

/// Files whose checksums are right and whose content no store takes.
#[test]
fn no_forged_file_comes_in() {
    let dir = tempfile::tempdir().unwrap();
    let store = make(&dir.path().join("store"));
    let path = dir.path().join("store.lcx");
    store.reader().export(&path, &ALL).unwrap();
    let bytes = fs::read(&path).unwrap();
    let beyond = (1_u64 << 63).to_le_bytes();
    // Where a block's beacons have their number of tokens; of block 10, the third.
    assert_eq!((10 % 3, Sample::new(10).beacons.is_some()), (1, true));
    let forgeries = [
        ("absorbed bytes", forged(&bytes, 1, put(4, beyond))),
        ("absorbed lines", forged(&bytes, 1, put(12, beyond))),
        ("version 0", forged(&bytes, 1, put(0, 0_u32.to_le_bytes()))),
        ("a version that none can follow", forged(&bytes, 1, put(0, u32::MAX.to_le_bytes()))),
        ("no name", forged(&bytes, 1, |b| b.splice(53.., [0; 4]).for_each(drop))),
        ("end before start", forged(&bytes, 2, put(8, 1_u64.to_le_bytes()))),
        ("end beyond all", forged(&bytes, 2, put(8, beyond))),
        ("line 0", forged(&bytes, 2, put(16, 0_u64.to_le_bytes()))),
        ("last line beyond all", forged(&bytes, 2, put(24, beyond))),
        ("surprise", forged(&bytes, 2, put(40, f32::NAN.to_le_bytes()))),
        ("no such encoding", forged(&bytes, 2, put(46, [9]))),
        ("beacons that are none", forged(&bytes, 4, put(50, 0_u16.to_le_bytes()))),
        ("more beacons than tokens", forged(&bytes, 4, put(50, 9_u16.to_le_bytes()))),
        ("more beacons than the ratio says", forged(&bytes, 4, put(48, [8, 0, 2, 0]))),
        ("shape", forged(&bytes, 0, put(52, [255; 8]))),
        ("a smaller shape", forged(&bytes, 0, put(58, 1_u16.to_le_bytes()))),
        ("another layout", forged(&bytes, 0, put(64, 5_u16.to_le_bytes()))),
    ];
    let mut other = Store::open(&dir.path().join("other"), &options()).unwrap();
    let foreign = StoreOptions { model: [9; 32], ..options() };
    let mut foreign = Store::open(&dir.path().join("foreign"), &foreign).unwrap();
    let mut refused = |bytes: &[u8], what: &str| {
        fs::write(&path, bytes).unwrap();
        for store in [&mut other, &mut foreign] {
            let e = store.import(&path, &ImportOptions::default()).unwrap_err();
            assert!(matches!(e, ExportError::Damaged { .. }), "{what}: {e}");
            assert!(store.reader().sources().is_empty(), "{what}");
        }
        let e = Store::check_import(&path, &ImportOptions::default()).unwrap_err();
        assert!(matches!(e, ExportError::Damaged { .. }), "{what}: {e}");
    };
    for (what, forged) in forgeries {
        refused(&forged, what);
    }
    // A block twice, with the number of blocks right.
    let ranges = parts(&bytes);
    let (from, to) = ranges[2];
    let end = ranges.len() - 1;
    let blocks = forged(&bytes, end, put(0, 26_u64.to_le_bytes()));
    let twice = [&blocks[..to], &blocks[from..to], &blocks[to..]].concat();
    refused(&twice, "a block twice");
    // Keys and values of another length than the caller's encodings have.
    fs::write(&path, &bytes).unwrap();
    let exact = ImportOptions { payload_bytes: Some(|_, _, _| 17), ..ImportOptions::default() };
    let e = Store::check_import(&path, &exact).unwrap_err();
    assert!(matches!(e, ExportError::Damaged { what: "length of keys and values", .. }), "{e}");
    assert_eq!(Store::check_import(&path, &ImportOptions::default()).unwrap().blocks, 25);
}

/// A file with a hole in it says that a part is long, and has the bytes.
#[test]
fn a_sparse_file_takes_no_memory() {
    let dir = tempfile::tempdir().unwrap();
    let store = make(&dir.path().join("store"));
    let path = dir.path().join("store.lcx");
    store.reader().export(&path, &ALL).unwrap();
    let bytes = fs::read(&path).unwrap();
    for part in 0..3 {
        let at = parts(&bytes)[part].0 as u64;
        fs::write(&path, &bytes).unwrap();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&(1_u64 << 30).to_le_bytes(), at + 8).unwrap();
        file.set_len(4 << 30).unwrap();
        let e = Store::check_import(&path, &ImportOptions::default()).unwrap_err();
        // Not "it ends too early", and not the checksum: the bytes were never read.
        let what = match e {
            ExportError::Damaged { what, .. } | ExportError::NotAnExport { what, .. } => what,
            e => panic!("{e}"),
        };
        assert_eq!(what, "length of a part");
    }
}

#[test]
fn only_files_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    // It returns at all.
    for path in [fifo.as_path(), dir.path(), Path::new("/dev/zero")] {
        let e = Store::check_import(path, &ImportOptions::default()).unwrap_err();
        assert!(matches!(e, ExportError::NotAnExport { .. }), "{}: {e}", path.display());
    }
}

#[test]
fn an_export_touches_no_other_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = make(&dir.path().join("store"));
    let (mine, path) = (dir.path().join("out/mine"), dir.path().join("out/store.lcx"));
    fs::create_dir(dir.path().join("out")).unwrap();
    fs::write(&mine, "mine").unwrap();
    symlink(&mine, dir.path().join("out/store.lcx.new")).unwrap();
    store.reader().export(&path, &ALL).unwrap();
    assert_eq!(fs::read(&mine).unwrap(), b"mine");
    assert_eq!(fs::read_dir(dir.path().join("out")).unwrap().count(), 3);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // A name that is taken stays as it is, also where it leads nowhere.
    let nowhere = dir.path().join("out/nowhere");
    symlink("missing", &nowhere).unwrap();
    for taken in [&path, &mine, &nowhere] {
        let before = fs::symlink_metadata(taken).unwrap().len();
        let e = store.reader().export(taken, &ALL).unwrap_err();
        assert!(matches!(e, ExportError::Exists { .. }), "{e}");
        assert_eq!(fs::symlink_metadata(taken).unwrap().len(), before);
    }
    assert_eq!(fs::read_dir(dir.path().join("out")).unwrap().count(), 4);
}

#[test]
fn versions_and_names_come_in_as_they_can() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = make(&dir.path().join("store"));
    let bad = "a\x1b[31m\n.log";
    let id = store.begin_source(bad).unwrap().id;
    append(&mut store, id, 40..42);
    store.commit().unwrap();
    let sources = store.reader().sources();
    // Only the second version of the first name, and the one with the odd name.
    let chosen = [sources[2].id, sources[3].id];
    let path = dir.path().join("store.lcx");
    let part = ExportOptions { keys_and_values: true, sources: Some(&chosen) };
    store.reader().export(&path, &part).unwrap();
    let other = dir.path().join("other");
    let mut store = Store::open(&other, &options()).unwrap();
    store.import(&path, &ImportOptions::default()).unwrap();
    let told = |reader: &Reader| -> Vec<_> {
        let sources = reader.sources().into_iter();
        sources.map(|s| (s.name, s.version, s.superseded)).collect()
    };
    let escaped = "a\\u{1b}[31m\\n.log".to_owned();
    let want = [("one.log".to_owned(), 2, false), (escaped, 1, false)];
    assert_eq!(told(&store.reader()), want);
    assert_eq!(store.new_version("one.log").unwrap().version, 3);
    drop(store);
    rebuild(&other).unwrap();
    assert_eq!(told(&Store::open(&other, &options()).unwrap().reader()), want);
}

/// An import that fails, or is killed, at any operation leaves nothing, and can be done again.
#[test]
fn an_interrupted_import_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.lcx");
    make(&dir.path().join("store")).reader().export(&path, &ALL).unwrap();
    let options = StoreOptions { segment_bytes_max: 3000, ..options() };
    let mut whole = 0;
    let mut n = 0;
    while n <= whole {
        for fault in [Fault::Io, Fault::Torn, Fault::DiskFull] {
            let to = dir.path().join(format!("{n} {fault:?}"));
            let storage = FailingStorage::new(Arc::new(FileStorage::new(&to)));
            let mut store = Store::open_in(Arc::new(storage.clone()), &options).unwrap();
            let own = store.begin_source("own").unwrap().id;
            append(&mut store, own, 50..53);
            store.set_progress(own, progress(53)).unwrap();
            store.commit().unwrap();
            let before = storage.operations();
            storage.fail_from(before + n, fault);
            let done = store.import(&path, &ImportOptions::default());
            if n == 0 && fault == Fault::Io {
                assert!(done.is_err());
            }
            let what = format!("{fault:?} at {n}: {done:?}");
            storage.heal();
            drop(store);
            let mut store = Store::open(&to, &options).unwrap();
            let names = store.reader().sources().len();
            assert!(names == 1 || names == 4 && store.reader().blocks() == 28, "{what}");
            assert_eq!(store.reader().blocks_of(own).len(), 3, "{what}");
            let later = store.begin_source("later").unwrap().id;
            append(&mut store, later, 60..62);
            store.set_progress(later, progress(62)).unwrap();
            store.commit().unwrap();
            if names == 1 {
                store.import(&path, &ImportOptions::default()).unwrap();
            }
            drop(store);
            let store = Store::open(&to, &options).unwrap();
            assert!(store.problems().is_empty(), "{what}: {:?}", store.problems());
            assert_eq!(store.reader().blocks(), 30, "{what}");
            drop(store);
            assert!(verify(&to, true).unwrap().ok(), "{what}");
            fs::remove_dir_all(&to).unwrap();
            if whole == 0 {
                let storage = FailingStorage::new(Arc::new(FileStorage::new(&to)));
                let mut store = Store::open_in(Arc::new(storage.clone()), &options).unwrap();
                let before = storage.operations();
                store.import(&path, &ImportOptions::default()).unwrap();
                whole = storage.operations() - before;
                fs::remove_dir_all(&to).unwrap();
            }
        }
        n += 1 + n / 8;
    }
    assert!(whole > 40, "{whole}");
}

/// What no store can read back is not taken by one either.
#[test]
fn numbers_beyond_all_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), &options()).unwrap();
    let id = store.begin_source("a").unwrap().id;
    let most = i64::MAX as u64;
    for (bytes, lines, fits) in [(most, most, true), (most + 1, 0, false), (0, most + 1, false)] {
        let given =
            Progress { absorbed_bytes: bytes, absorbed_lines: lines, ..Progress::default() };
        match store.set_progress(id, given) {
            Ok(()) => assert!(fits),
            Err(e) => assert!(!fits && matches!(e, SourceError::Progress { .. }), "{e}"),
        }
    }
    let sample = Sample::new(0);
    for (byte_end, line_end) in [(most + 1, 2), (100, most + 1)] {
        let span = Span { byte_end, line_end, ..sample.span };
        assert!(store.append(&BlockRecord { span, ..sample.record(id) }).is_err());
    }
    let span = Span { byte_end: most, line_end: most, ..sample.span };
    store.append(&BlockRecord { span, ..sample.record(id) }).unwrap();
    store.commit().unwrap();
    drop(store);
    let store = Store::open(dir.path(), &options()).unwrap();
    assert_eq!(store.reader().sources()[0].progress.absorbed_bytes, most);
}

/// A store of before, in which a killed run left blocks twice, gives each text once.
#[test]
fn what_is_there_twice_is_written_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&dir.path().join("store"), &options()).unwrap();
    let id = store.begin_source("a").unwrap().id;
    append(&mut store, id, 8..12);
    let again = append(&mut store, id, 10..14);
    store.set_progress(id, progress(14)).unwrap();
    store.commit().unwrap();
    let path = dir.path().join("store.lcx");
    let done = store.reader().export(&path, &ALL).unwrap();
    assert_eq!((done.blocks, done.doubled, done.damaged), (6, 2, 0));
    let mut other = Store::open(&dir.path().join("other"), &options()).unwrap();
    assert_eq!(other.import(&path, &ImportOptions::default()).unwrap().blocks, 6);
    // And a verification says so.
    let report = verify(&dir.path().join("store"), false).unwrap();
    assert_eq!(report.problems.len(), 2, "{report:?}");
    assert!(report.problems[0].contains("both hold bytes 1000 to 1100 of \"a\", version 1"));
    store.forget(&Forget::Blocks(&again[..2]), Strictness::Passage).unwrap();
    drop(store);
    assert!(verify(&dir.path().join("store"), true).unwrap().ok());
}

/// An old version that is exported alone stays one that a newer version replaced, until it goes on.
#[test]
fn what_was_superseded_stays_so() {
    let (dir, other, files) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = make(dir.path());
    let old = store.reader().sources()[0].id;
    let path = files.path().join("old.lcx");
    let only = ExportOptions { sources: Some(&[old]), ..ALL };
    store.reader().export(&path, &only).unwrap();
    let mut store = Store::open(other.path(), &options()).unwrap();
    store.import(&path, &ImportOptions::default()).unwrap();
    let superseded = |r: &Reader| r.sources().iter().map(|s| s.superseded).collect::<Vec<_>>();
    assert_eq!(superseded(&store.reader()), [true]);
    assert!(store.reader().search_text("line", 9, &Filter::default()).unwrap().is_empty());
    let first = store.reader().blocks_of(store.reader().sources()[0].id)[0];
    store.forget(&Forget::Blocks(&[first]), Strictness::Passage).unwrap();
    drop(store);
    let mut store = Store::open(other.path(), &options()).unwrap();
    assert_eq!(superseded(&store.reader()), [true]);
    assert_eq!(store.begin_source("one.log").unwrap().version, 1);
    store.commit().unwrap();
    assert_eq!(superseded(&store.reader()), [false]);
    assert!(!store.reader().search_text("line", 9, &Filter::default()).unwrap().is_empty());
}

/// Files of version 1 say nothing of it, and are read.
#[test]
fn files_of_version_1_come_in() {
    let (dir, other, files) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = files.path().join("new.lcx");
    make(dir.path()).reader().export(&path, &ALL).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let all = parts(&bytes);
    for (at, (from, to)) in all.iter().enumerate().rev() {
        let kind = bytes[from + 4];
        if kind == 2 {
            let without = |part: &mut Vec<u8>| part.truncate(part.len() - 1);
            bytes = forged(&bytes, at, without);
        } else if kind == 1 {
            bytes = forged(&bytes, at, put(0, [1, 0, 0, 0]));
        }
        assert!(to > from);
    }
    fs::write(&path, bytes).unwrap();
    let mut store = Store::open(other.path(), &options()).unwrap();
    store.import(&path, &ImportOptions::default()).unwrap();
    look(&store.reader());
}
