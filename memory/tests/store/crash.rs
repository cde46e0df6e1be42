//! A process that is killed at a random moment while it appends, forgets and gives up: what it had
//! acknowledged is there, nothing wrong is served, and the next one goes on.
//!
//! The child is this test binary again, told by an environment variable. `CRASH_ROUNDS=70` makes a
//! thousand kills.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use crate::helpers::{Sample, crash_rounds, mix, options, progress};
use lcedge_memory::{
    BlockId, BlockState, Forget, ReadError, Reader, SourceState, Span, Store, StoreOptions,
    Strictness, SyncPolicy, rebuild, verify,
};

const CHILD: &str = "LCEDGE_CRASH_CHILD";
const ROUNDS: u64 = 14;

fn store_options(seed: u64) -> StoreOptions {
    StoreOptions {
        segment_bytes_max: 6000,
        sync: if seed.is_multiple_of(4) { SyncPolicy::Data } else { SyncPolicy::None },
        disk_bytes_max: seed.is_multiple_of(3).then_some(400_000),
        ..options()
    }
}

/// What the child does until it is killed. Each line that it prints is something that must
/// hold from
/// then on.
#[test]
fn child() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let (seed, dir) = told.split_once(' ').unwrap();
    let seed: u64 = seed.parse().unwrap();
    let mut store = Store::open(Path::new(dir), &store_options(seed)).unwrap();
    let say = |line: String| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}").unwrap();
        out.flush().unwrap();
    };
    for round in 0.. {
        let m = mix(seed ^ (round << 20));
        let name = ["a", "b"][(m % 2) as usize];
        let state = store.begin_source(name).unwrap();
        let from = state.absorbed_bytes / progress(1).absorbed_bytes;
        let mut ids = Vec::new();
        for n in from..from + 1 + m % 9 {
            ids.push(store.append(&Sample::new(n).record(state.id)).unwrap());
            if m % 5 == 2 && ids.len() == 2 {
                // Blocks whose progress comes with the next commit, if that is reached.
                store.commit().unwrap();
            }
        }
        store.set_progress(state.id, progress(from + ids.len() as u64)).unwrap();
        let blocks = u64::from(state.blocks) + ids.len() as u64;
        store.set_session("talk", state.id, &blocks.to_le_bytes()).unwrap();
        store.commit().unwrap();
        let ids: Vec<String> = ids.iter().map(|id| id.0.to_string()).collect();
        say(format!("stored {} {from} {}", state.id.0, ids.join(" ")));
        if m % 11 == 3 {
            let blocks = store.reader().blocks_of(state.id);
            let gone = blocks[(m >> 8) as usize % blocks.len()];
            say(format!("forgetting {}", gone.0));
            store.forget(&Forget::Blocks(&[gone]), Strictness::Passage).unwrap();
            say(format!("forgot {}", gone.0));
        }
        if m % 13 == 5 {
            store.seal().unwrap();
        }
    }
}

#[derive(Debug, Default)]
struct Known {
    /// Acknowledged blocks, with their source and number.
    stored: BTreeMap<BlockId, (u32, u64)>,
    forgotten: BTreeSet<BlockId>,
    /// The last forgetting was not acknowledged.
    perhaps: BTreeSet<BlockId>,
}

impl Known {
    fn learn(&mut self, line: &str) {
        let mut words = line.split(' ');
        match words.next() {
            Some("stored") => {
                let source: u32 = words.next().unwrap().parse().unwrap();
                let from: u64 = words.next().unwrap().parse().unwrap();
                for (n, id) in (from..).zip(words) {
                    self.stored.insert(BlockId(id.parse().unwrap()), (source, n));
                }
            }
            Some("forgetting") => {
                self.perhaps.insert(BlockId(words.next().unwrap().parse().unwrap()));
            }
            Some("forgot") => {
                self.forgotten.insert(BlockId(words.next().unwrap().parse().unwrap()));
            }
            // The test harness prints too.
            _ => {}
        }
    }

    /// `may_give_up`: blocks may have less than was stored, or be gone.
    fn check(&self, reader: &Reader, may_give_up: bool, what: &str) {
        for (id, (source, n)) in &self.stored {
            let info = match reader.block(*id) {
                Ok(info) => info,
                Err(ReadError::UnknownBlock { .. }) => {
                    let allowed = self.perhaps.contains(id) || may_give_up;
                    assert!(allowed, "{what}: block {} ({n} of {source}) is lost", id.0);
                    continue;
                }
                Err(e) => panic!("{what}: {e}"),
            };
            assert!(!self.forgotten.contains(id), "{what}: block {} is back", id.0);
            let sample = Sample::new(*n);
            if info.state() == BlockState::Exact || !may_give_up {
                sample.assert_is(reader, *id);
            } else {
                assert_eq!(reader.text(*id).unwrap(), sample.text);
            }
        }
    }
}

/// Runs the child for a while and kills it.
fn kill_one(dir: &Path, seed: u64, known: &mut Known) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["crash::child", "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, format!("{seed} {}", dir.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = child.stdout.take().unwrap();
    let reading = std::thread::spawn(move || {
        let lines = BufReader::new(out).lines().map_while(Result::ok);
        lines.collect::<Vec<String>>()
    });
    std::thread::sleep(Duration::from_micros(10_000 + mix(seed) % 150_000));
    child.kill().unwrap();
    child.wait().unwrap();
    let lines = reading.join().unwrap();
    assert!(lines.iter().all(|l| !l.contains("panicked")), "{lines:?}");
    for line in lines {
        known.learn(&line);
    }
}

/// What is stored of a source is behind its progress, and nothing of it twice.
fn check_spans(reader: &Reader, state: &SourceState, what: &str) {
    let ids = reader.blocks_of(state.id);
    let mut spans: Vec<Span> = ids.iter().map(|id| reader.block(*id).unwrap().span).collect();
    spans.sort_by_key(|s| s.byte_start);
    for pair in spans.windows(2) {
        assert!(pair[0].byte_end <= pair[1].byte_start, "{what}: {pair:?} overlap");
    }
    let end = spans.last().map_or(0, |s| s.byte_end);
    assert!(end <= state.absorbed_bytes, "{what}: {end} is beyond {}", state.absorbed_bytes);
}

#[test]
fn kills_lose_nothing_that_was_acknowledged() {
    let mut acknowledged = 0;
    for store_seed in 0..6 {
        let dir = tempfile::tempdir().unwrap();
        let mut known = Known::default();
        for round in 0..(ROUNDS * crash_rounds()).div_ceil(6) {
            let seed = store_seed + 6 * round;
            kill_one(dir.path(), seed, &mut known);
            let what = format!("seed {seed}");
            if round % 4 == 3 {
                // Without the catalogue.
                let report = rebuild(dir.path()).unwrap();
                assert!(report.problems.is_empty(), "{what}: {report:?}");
            }
            let copy = std::env::var("CRASH_COPY").ok();
            if let Some(to) = &copy {
                let _ = std::fs::remove_dir_all(to);
                let from = dir.path();
                Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap();
            }
            let mut store = Store::open(dir.path(), &store_options(seed)).unwrap();
            assert!(store.problems().is_empty(), "{what}: {:?}", store.problems());
            let may_give_up = store_seed % 3 == 0;
            known.check(&store.reader(), may_give_up, &what);
            for name in ["a", "b"] {
                let state = store.begin_source(name).unwrap();
                check_spans(&store.reader(), &state, &what);
            }
            if let Some(point) = store.reader().session("talk").unwrap() {
                assert_eq!(point.state, u64::from(point.blocks).to_le_bytes(), "{what}");
            }
            drop(store);
            let report = verify(dir.path(), true).unwrap();
            assert!(report.ok() && report.unacknowledged == 0, "{what}: {report:?}");
        }
        acknowledged += known.stored.len();
    }
    assert!(
        acknowledged > 100,
        "{acknowledged} blocks: the children were too slow to mean anything"
    );
}
