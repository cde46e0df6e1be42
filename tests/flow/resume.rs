//! A second run continues where the first stopped.

use std::path::Path;

use lcedge::Question;
use lcedge::limits::PIECE_BYTES;
use lcedge::session::Session;
use lcedge_memory::KvDtype;

use crate::bytes::{World, log, options};

#[test]
fn a_second_run_continues_and_restores_the_window() {
    let dir = tempfile::tempdir().unwrap();
    let text = log(120);
    let (first, rest) = text.split_at(1500);
    let mut s = World::default().open(dir.path());
    let start = s.begin_source("a.log").unwrap();
    assert_eq!((start.absorbed_bytes, start.version), (0, 1));
    s.feed(first.as_bytes()).unwrap();
    s.drain(false).unwrap();
    s.close().unwrap();

    let mut s = World::default().open(dir.path());
    let start = s.begin_source("a.log").unwrap();
    assert_eq!(start.absorbed_bytes, 1500);
    assert_eq!(start.prefix_hash, *blake3::hash(first.as_bytes()).as_bytes());
    let mut hasher = blake3::Hasher::new();
    hasher.update(first.as_bytes());
    s.continue_hash(hasher);
    s.feed(rest.as_bytes()).unwrap();
    s.finish_source().unwrap();
    s.flush().unwrap();
    assert!(s.counters().restored_tokens > 200, "{:?}", s.counters());
    assert_eq!(s.fates().total(), rest.len() as u64);
    let reader = s.reader().unwrap();
    let source = reader.sources()[0].id;
    let joined: Vec<u8> =
        reader.blocks_of(source).iter().flat_map(|&b| reader.text(b).unwrap()).collect();
    assert_eq!(String::from_utf8(joined).unwrap(), text);
    let lines: Vec<_> =
        reader.blocks_of(source).iter().map(|&b| reader.block(b).unwrap().span).collect();
    for w in lines.windows(2) {
        assert_eq!(w[0].byte_end, w[1].byte_start);
        assert!(w[1].line_start - w[0].line_end <= 1);
    }
    let broken = lines.iter().find(|l| l.byte_start == 1500).unwrap();
    assert_eq!(broken.line_start, 1 + first.matches('\n').count() as u64);
    s.close().unwrap();

    let mut s = World::default().open(dir.path());
    let start = s.begin_source("a.log").unwrap();
    assert_eq!(start.absorbed_bytes, text.len() as u64);
    assert_eq!(start.prefix_hash, *blake3::hash(text.as_bytes()).as_bytes());
    let start = s.new_version("a.log").unwrap();
    assert_eq!((start.absorbed_bytes, start.version), (0, 2));
}

/// What a second run stores without times of its own is of the last line of the first.
#[test]
fn lines_go_on_in_the_time_of_the_line_before_a_break() {
    for (first, same) in [("2026-03-02 04:00:00Z it failed\n", true), ("it failed\n", false)] {
        let dir = tempfile::tempdir().unwrap();
        for part in [first, "  at one\n", "  at two\n"] {
            let mut s = World::default().open(dir.path());
            s.begin_source("a.log").unwrap();
            s.feed(part.as_bytes()).unwrap();
            s.finish_source().unwrap();
            s.close().unwrap();
        }
        let s = World::default().open(dir.path());
        let reader = s.reader().unwrap();
        let blocks = reader.blocks_of(reader.sources()[0].id);
        let times: Vec<i64> =
            blocks.iter().map(|&b| reader.block(b).unwrap().time_unix_ms).collect();
        assert!(times.len() == 3, "{times:?}");
        assert_eq!(times[2] == times[0] && times[0] == 1_772_424_000_000, same, "{times:?}");
    }
}

/// Lines without times are of the time at which they were fed, each of its own.
#[test]
fn what_was_fed_later_is_found_in_a_later_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut s = World::default().open(dir.path());
    s.begin_source("notes").unwrap();
    s.feed(b"the first note\n").unwrap();
    s.drain(false).unwrap();
    s.flush().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(50));
    let between = lcedge::when::Clock::system().now_ms();
    s.feed(b"the second note\n").unwrap();
    s.finish_source().unwrap();
    for (time, want) in
        [(None, "2"), (Some(between..i64::MAX), "1"), (Some(i64::MIN..between), "1")]
    {
        let q = Question { time: time.clone(), ..Question::new("How many lines contain note?") };
        let answer = s.answer_question(&q).unwrap();
        assert_eq!(answer.text, want, "{time:?}");
    }
}

#[test]
fn a_restored_window_predicts_as_the_unbroken_one() {
    let text = log(60);
    let (first, rest) = text.split_at(900);
    let nats = |breaks: bool| {
        let dir = tempfile::tempdir().unwrap();
        let world = World { stale: 0, window: 1024, ..World::default() };
        let mut s = world.open(dir.path());
        s.begin_source("a").unwrap();
        s.feed(first.as_bytes()).unwrap();
        s.drain(false).unwrap();
        if breaks {
            s.close().unwrap();
            s = world.open(dir.path());
            s.begin_source("a").unwrap();
        }
        s.lines_mut().keep_every_line();
        s.feed(rest.as_bytes()).unwrap();
        s.finish_source().unwrap();
        // The first line is cut by the break.
        let lines = s.lines().every_line();
        lines.iter().skip(2).map(|l| l.1).sum::<f32>()
    };
    let (whole, broken) = (nats(false), nats(true));
    assert!((whole - broken).abs() < 1e-3 * whole, "{whole} {broken}");
}

#[test]
fn questions_in_mid_stream_change_nothing_of_what_is_absorbed() {
    let text = log(200);
    let blocks = |asks: bool| {
        let dir = tempfile::tempdir().unwrap();
        let mut s = World::default().open(dir.path());
        s.begin_source("a").unwrap();
        for part in text.as_bytes().chunks(700) {
            s.feed(part).unwrap();
            s.drain(false).unwrap();
            if asks {
                let q = Question { answer_tokens_max: 3, ..Question::new("host3 job 11") };
                s.ask(&q).unwrap();
            }
            assert!(s.window().len() <= s.plan().capacity_tokens);
        }
        s.finish_source().unwrap();
        s.flush().unwrap();
        assert_eq!(s.fates().total(), text.len() as u64);
        let reader = s.reader().unwrap();
        let ids = reader.blocks_of(reader.sources()[0].id);
        ids.iter().map(|&b| reader.text(b).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(blocks(true), blocks(false));
}

/// Copies the files of a store that is at rest.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Nats of the lines that one more chunk completes.
fn one_chunk(s: &mut Session, text: &str) -> Vec<f32> {
    s.lines_mut().keep_every_line();
    s.encode_ahead(text.as_bytes()).unwrap();
    assert_eq!(s.absorb_ahead(1).unwrap(), 1);
    s.lines().every_line().iter().map(|l| l.1).collect()
}

/// Opens a copy of a store and continues its source for one chunk.
fn continued(world: World, store: &Path, text: &str) -> (usize, Vec<f32>) {
    let dir = tempfile::tempdir().unwrap();
    copy(store, dir.path());
    let mut s = world.open(dir.path());
    let done = usize::try_from(s.begin_source("a").unwrap().absorbed_bytes).unwrap();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&text.as_bytes()[..done]);
    s.continue_hash(hasher);
    let nats = one_chunk(&mut s, &text[done..]);
    assert!(s.counters().restored_tokens > 200, "{:?}", s.counters());
    assert_eq!(s.counters().prefilled_tokens, 0);
    (done, nats)
}

/// Largest relative difference of the lines that both have, the one that the break cuts left out.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    let n = a.len().min(b.len()) - 1;
    assert!(n >= 2, "{a:?} {b:?}");
    let pairs = a[a.len() - n..].iter().zip(&b[b.len() - n..]);
    pairs.map(|(x, y)| (x - y).abs() / x.abs()).fold(0.0, f32::max)
}

/// A run that is killed after a commit, and one that goes on: beacons, recalled blocks and the
/// recent region are the same, and the next chunk is predicted alike, to the store's dtype.
#[test]
fn after_a_kill_the_same_blocks_are_in_attention() {
    let text = log(500);
    let (first, rest) = text.split_at(PIECE_BYTES + 100);
    for (kv, tolerance) in [(KvDtype::F16, 2e-4), (KvDtype::Int8, 5e-3)] {
        for trained in [false, true] {
            let (dir, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let world = World { kv, trained, ..World::default() };
            let mut whole = world.open(dir.path());
            whole.begin_source("a").unwrap();
            whole.feed(first.as_bytes()).unwrap();
            whole.flush().unwrap();
            copy(dir.path(), killed.path());
            let recalled = whole.recalled_now();
            let expected = one_chunk(&mut whole, rest);
            let (done, got) = continued(world, killed.path(), &text);
            assert!(done <= first.len() && first.len() - done < 300, "{done}");
            let off = difference(&expected, &got);
            assert!(off < tolerance, "{kv:?}, trained {trained}: {off}");
            if !trained && kv == KvDtype::F16 {
                // The control: without the recalled blocks, it is another window.
                assert!(!recalled.is_empty());
                let without = World { stale: 0, ..world };
                let off = difference(&expected, &continued(without, killed.path(), &text).1);
                assert!(off > 2.0 * tolerance, "{off}");
            }
        }
    }
}

/// Blocks are read where that was measured to be quicker than computing them, and computed again
/// where not: for the window of a second run, and for a question.
#[test]
fn blocks_are_read_or_computed_as_the_store_says_what_it_costs() {
    use lcedge::RecallMode;
    use lcedge::cost::{Cost, Measured};
    use lcedge_targets::Engine;
    let text = log(300);
    let (first, rest) = text.split_at(text.len() - 700);
    for (read_ns, compute_ns, reads) in [(1, 1 << 50, true), (1 << 50, 1, false)] {
        let dir = tempfile::tempdir().unwrap();
        let mut s = World::default().open(dir.path());
        s.begin_source("a.log").unwrap();
        s.feed(first.as_bytes()).unwrap();
        s.drain(false).unwrap();
        let measured = s.cost().measured();
        assert!(measured.compute_ns.is_some_and(|ns| ns > 0), "{measured:?}");
        let name = s.cost().name().to_owned();
        s.close().unwrap();
        let kept = lcedge_memory::Reader::open(dir.path(), &options()).unwrap();
        let note = kept.note(&name).unwrap().unwrap();
        assert_eq!(serde_json::from_slice::<Measured>(&note).unwrap(), measured);
        drop(kept);
        let mut store = lcedge_memory::Store::open(dir.path(), &options()).unwrap();
        let figures = Measured { read_ns: Some(read_ns), compute_ns: Some(compute_ns), ..measured };
        store.set_note(&name, &serde_json::to_vec(&figures).unwrap()).unwrap();
        store.commit().unwrap();
        drop(store);

        let mut s = World::default().open(dir.path());
        assert_eq!(s.cost().measured(), figures);
        let answer = s.ask(&Question::new("0042 host2")).unwrap();
        let as_text = answer.recall == RecallMode::Text;
        assert_eq!(as_text, !reads, "{:?}", answer.recall);
        let before = s.counters();
        s.begin_source("a.log").unwrap();
        s.feed(rest.as_bytes()).unwrap();
        s.finish_source().unwrap();
        s.flush().unwrap();
        let after = s.counters();
        let restored = after.restored_tokens - before.restored_tokens;
        let computed = after.prefilled_tokens - before.prefilled_tokens;
        assert!(if reads { restored > 4 * computed } else { computed > 4 * restored }, "{after:?}");
        let reader = s.reader().unwrap();
        let source = reader.sources()[0].id;
        let blocks = reader.blocks_of(source);
        let all: Vec<u8> = blocks.iter().flat_map(|id| reader.text(*id).unwrap()).collect();
        assert_eq!(all, text.as_bytes());
        let engine = crate::bytes::engine(8);
        assert_eq!(Cost::new(engine.card(), "fake").name(), name);
    }
}
