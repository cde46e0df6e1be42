//! A second run continues where the first stopped.

use lcedge::Question;

use crate::bytes::{World, log};

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
