//! Changed files of a store give errors or blocks: never a panic, never memory far beyond their
//! size. Half of the changed files have their checksums made right again, so that what lies behind
//! the checksums is reached as well.

use std::{fs, path::Path};

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::fuzz::{Random, Target};
use crate::helpers::{append, options, progress};
use crate::largest::bounded;
use lcedge_memory::{
    AddressQuery, BlockId, ExportOptions, Filter, HeadQuery, ImportOptions, MapChoice, Reader,
    Store, StoreOptions, SyncPolicy, rebuild, verify,
};

const SEGMENT: &str = "segments/00000001.seg";
/// Offsets in a segment's header and in every record's header (`FORMAT.md`).
const SEGMENT_HEADER_BYTES: usize = 12;
const RECORD_BYTES: usize = 8;
const RECORD_OFFSET: usize = 16;
const RECORD_KEY: usize = 24;
const RECORD_CHECKSUM: usize = 184;
const RECORD_HEADER: usize = 192;
/// Lengths in a block's header: tokens, text, address, payload; their checksums follow.
const TOKENS: usize = 96;
const BODY_CHECKSUM: usize = 112;
const BEACON_BYTES: usize = 136;

fn make(dir: &Path, sealed: bool) {
    let mut store = Store::open(dir, &quick()).unwrap();
    let source = store.begin_source("a.log").unwrap().id;
    append(&mut store, source, 0..6);
    store.set_progress(source, progress(6)).unwrap();
    store.commit().unwrap();
    if sealed {
        store.seal().unwrap();
    }
}

fn quick() -> StoreOptions {
    StoreOptions { sync: SyncPolicy::None, map: MapChoice::never(), ..options() }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?) as usize)
}

fn put(bytes: &mut [u8], at: usize, value: u64) {
    if let Some(field) = bytes.get_mut(at..at + 8) {
        field.copy_from_slice(&value.to_le_bytes());
    }
}

/// Makes the checksums of a segment right, as far as its lengths can be followed.
fn right_segment(bytes: &mut [u8]) -> Option<()> {
    let header = u32_at(bytes, SEGMENT_HEADER_BYTES)?;
    let key = xxh3_64(bytes.get(..header.checked_sub(8)?)?);
    put(bytes, header - 8, key);
    let starts: Vec<usize> =
        (0..bytes.len()).step_by(64).filter(|&at| bytes[at..].starts_with(b"LCRC")).collect();
    for at in starts {
        let Some(record) = bytes.get_mut(at..).filter(|r| r.len() >= RECORD_HEADER) else { break };
        put(record, RECORD_OFFSET, at as u64);
        put(record, RECORD_KEY, key);
        if record[4..6] == [1, 0] {
            right_block(record);
        }
        let sum = xxh3_64(&record[..RECORD_CHECKSUM]);
        put(record, RECORD_CHECKSUM, sum);
    }
    Some(())
}

/// The same for a block's parts and for the length of its record.
fn right_block(record: &mut [u8]) {
    let aligned = |n: usize| n.next_multiple_of(64);
    let length = |at| u32_at(record, at).unwrap_or_default();
    let body = aligned(length(TOKENS) * 4 + length(TOKENS + 4) + length(TOKENS + 8));
    let parts = [body, aligned(length(TOKENS + 12)), aligned(length(BEACON_BYTES))];
    let mut from = RECORD_HEADER;
    for (i, part) in parts.into_iter().enumerate() {
        let sum = record.get(from..from + part).map(xxh3_64);
        from += part;
        if let Some(sum) = sum {
            put(record, BODY_CHECKSUM + 8 * i, sum);
        }
    }
    put(record, RECORD_BYTES, from as u64);
}

/// Reads all there is.
fn read_all(reader: &Reader) {
    let (mut bytes, mut tokens) = (Vec::new(), Vec::new());
    let ids = reader.sources().into_iter().flat_map(|s| reader.blocks_of(s.id));
    for id in ids.chain([BlockId(0), BlockId(1), BlockId(u64::MAX)]) {
        let _ = (reader.text(id), reader.tokens(id, &mut tokens), reader.address(id));
        let _ = (reader.payload(id, &mut bytes), reader.beacons(id, &mut bytes));
        let _ = (reader.block(id), reader.neighbour(id, 1), reader.neighbour(id, -1));
    }
    let head = || HeadQuery { weight: 1.0, vectors: vec![0.5; 12] };
    let query = AddressQuery { heads: vec![head(), head()] };
    let _ = reader.search_address(&query, 5, &Filter::default());
    let _ = reader.search_text("root line", 5, &Filter::default());
}

#[test]
fn segments() {
    let mut inputs = Vec::new();
    let base = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for (dir, sealed) in base.iter().zip([false, true]) {
        make(dir.path(), sealed);
        inputs.push(fs::read(dir.path().join(SEGMENT)).unwrap());
    }
    let target = Target { name: "segments", seed: 11, rounds: 250, kept: &[], inputs };
    let mut righted = 0;
    target.run(|input, random| {
        let mut bytes = input.to_vec();
        let forged = random.below(2) == 0 && right_segment(&mut bytes).is_some();
        righted += u32::from(forged);
        // The catalogue of a store, or none: then all is told by the segment.
        let dir = tempfile::tempdir().unwrap();
        let from = base[random.below(2)].path();
        fs::create_dir(dir.path().join("segments")).unwrap();
        fs::copy(from.join("store.json"), dir.path().join("store.json")).unwrap();
        if random.below(2) == 0 {
            fs::copy(from.join("catalogue.sqlite"), dir.path().join("catalogue.sqlite")).unwrap();
        }
        fs::write(dir.path().join(SEGMENT), &bytes).unwrap();
        bounded(bytes.len(), || {
            let _ = verify(dir.path(), true);
            if let Ok(reader) = Reader::open(dir.path(), &quick()) {
                read_all(&reader);
            }
            if let Ok(mut store) = Store::open(dir.path(), &quick()) {
                read_all(&store.reader());
                // Forged blocks may contradict each other: writing may then end in an error.
                if forged {
                    let _ = (store.begin_source("b.log"), store.commit());
                    return;
                }
                let source = store.begin_source("b.log").unwrap().id;
                append(&mut store, source, 20..21);
                store.commit().unwrap();
            }
            if random.below(8) == 0 {
                let _ = rebuild(dir.path());
            }
        });
    });
    assert!(righted > 0);
}

#[test]
fn the_first_file_of_a_store() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), true);
    let path = dir.path().join("store.json");
    let inputs = vec![fs::read(&path).unwrap()];
    let target = Target { name: "store.json", seed: 12, rounds: 300, kept: &[], inputs };
    target.run(|input, _| {
        fs::write(&path, input).unwrap();
        bounded(input.len(), || {
            let _ = verify(dir.path(), false);
            if let Ok(reader) = Reader::open(dir.path(), &quick()) {
                read_all(&reader);
            }
        });
    });
}

/// Makes the checksums of a page of the index right (header 128, entries 128, heads 32 bytes).
fn right_page(bytes: &mut [u8]) -> Option<()> {
    let (blocks, heads) = (u32_at(bytes, 32)?, u32_at(bytes, 36)? & 0xffff);
    let tables = 128 + blocks.checked_mul(128 + 32 * heads)?;
    put(bytes, 64, bytes.len() as u64);
    let (sum, rest) = (xxh3_64(bytes.get(128..tables)?), xxh3_64(&bytes[tables..]));
    put(bytes, 72, sum);
    put(bytes, 80, rest);
    let sum = xxh3_64(&bytes[..120]);
    put(bytes, 120, sum);
    Some(())
}

#[test]
fn pages_of_the_index() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), true);
    let entries = fs::read_dir(dir.path().join("index")).unwrap();
    let mut pages: Vec<_> = entries.map(|e| e.unwrap().path()).collect();
    pages.sort();
    let inputs: Vec<Vec<u8>> = pages.iter().map(|p| fs::read(p).unwrap()).collect();
    assert!(!inputs.is_empty());
    let mut same = inputs[0].clone();
    right_page(&mut same).unwrap();
    assert!(same == inputs[0], "the checksums are those of the format");
    let target = Target { name: "pages", seed: 13, rounds: 400, kept: &[], inputs };
    target.run(|input, random| {
        let mut bytes = input.to_vec();
        if random.below(4) > 0 {
            let _ = right_page(&mut bytes);
        }
        fs::write(&pages[random.below(pages.len())], &bytes).unwrap();
        bounded(bytes.len(), || {
            if let Ok(reader) = Reader::open(dir.path(), &quick()) {
                read_all(&reader);
            }
        });
    });
}

/// Makes the checksums of an exported file right, part by part.
fn right_export(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(n) = u32_at(bytes, at + 8) {
        let Some(part) = bytes.get_mut(at..at + 24 + n) else { break };
        let mut hash = Xxh3::new();
        hash.update(&part[..16]);
        hash.update(&part[24..]);
        put(part, 16, hash.digest());
        at += 24 + n;
    }
}

#[test]
fn exported_files() {
    let (dir, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    make(dir.path(), true);
    let reader = Reader::open(dir.path(), &quick()).unwrap();
    let mut inputs = Vec::new();
    for keys_and_values in [false, true] {
        let path = files.path().join(format!("{keys_and_values}.lcx"));
        reader.export(&path, &ExportOptions { keys_and_values, sources: None }).unwrap();
        inputs.push(fs::read(path).unwrap());
    }
    let mut same = inputs[1].clone();
    right_export(&mut same);
    assert!(same == inputs[1], "the checksums are those of the format");
    let into = tempfile::tempdir().unwrap();
    let mut store = Store::open(into.path(), &quick()).unwrap();
    let path = files.path().join("changed.lcx");
    let (mut n, mut taken) = (0, 0);
    let target = Target { name: "exports", seed: 14, rounds: 1500, kept: &[], inputs };
    target.run(|input, random| {
        let mut bytes = input.to_vec();
        if random.below(4) > 0 {
            right_export(&mut bytes);
        }
        fs::write(&path, &bytes).unwrap();
        n += 1;
        let prefix = format!("{n}/");
        let options = ImportOptions { prefix: &prefix };
        bounded(bytes.len(), || taken += u32::from(store.import(&path, &options).is_ok()));
    });
    assert!(taken > 2, "some of the changed files are taken in");
    store.commit().unwrap();
    read_all(&store.reader());
    drop(store);
    let report = verify(into.path(), true).unwrap();
    assert!(report.ok(), "{report:?}");
}

#[test]
fn questions_to_the_text_index() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), true);
    let reader = Reader::open(dir.path(), &quick()).unwrap();
    let inputs = [
        "Which address did root log in from?",
        "CN-4821 user_name 10.0.3.7 \"login failed\"",
        "NEAR(root login, 3) AND text:failed* OR NOT ^line - + {a b}",
        "größe ÄÖÜ ß \u{301} \u{200d} 漢字 \0 ' '' \\ ; --",
    ];
    let inputs = inputs.map(|text| text.as_bytes().to_vec()).to_vec();
    let target = Target { name: "questions", seed: 15, rounds: 1500, kept: &[], inputs };
    target.run(|input, random: &mut Random| {
        let text = String::from_utf8_lossy(input);
        let k = random.below(20);
        bounded(input.len(), || reader.search_text(&text, k, &Filter::default()).unwrap());
    });
}
