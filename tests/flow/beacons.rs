//! Beacons in the loop: they leave ordinary tokens alone, stand for blocks that left the window,
//! and come back from the store.

use lcedge::Question;
use lcedge::session::Session;
use lcedge_compress::quant;
use lcedge_memory::KvBuf;
use lcedge_targets::{BeaconRow, Engine, StepInput, StepOutput};

use crate::bytes::{World, log, trained_engine};

fn trained() -> World {
    World { chunk: 128, stale: 0, trained: true, ..World::default() }
}

fn nats(s: &Session, skip: usize) -> f32 {
    s.lines().every_line().iter().skip(skip).map(|l| l.1).sum()
}

#[test]
fn ordinary_tokens_do_not_depend_on_beacons_while_nothing_left() {
    let text = log(20);
    let sum = |memory| {
        let dir = tempfile::tempdir().unwrap();
        let config = lcedge::SessionConfig { memory, ..trained().config };
        let mut s = World { window: 1024, config, ..trained() }.open(dir.path());
        s.lines_mut().keep_every_line();
        s.begin_source("a").unwrap();
        s.feed(text.as_bytes()).unwrap();
        s.finish_source().unwrap();
        nats(&s, 0)
    };
    let (with, without) = (sum(lcedge::MemoryMode::Full), sum(lcedge::MemoryMode::Recall));
    assert!((with - without).abs() < 1e-4 * with, "{with} {without}");
}

/// The beacons of a first chunk, by hand: one step over its tokens behind the sinks.
#[test]
fn stored_beacons_are_those_of_the_step_that_read_the_block() {
    let dir = tempfile::tempdir().unwrap();
    let mut s = trained().open(dir.path());
    s.begin_source("a").unwrap();
    s.feed(log(30).as_bytes()).unwrap();
    s.finish_source().unwrap();
    s.flush().unwrap();
    let reader = s.reader().unwrap();
    let ids = reader.blocks_of(reader.sources()[0].id);
    // What the first chunk held: whole blocks of at most 128 tokens.
    let (mut tokens, mut rows, mut blocks) = (Vec::new(), Vec::new(), Vec::new());
    for &id in &ids {
        let mut block = Vec::new();
        reader.tokens(id, &mut block).unwrap();
        if tokens.len() + block.len() > 128 {
            break;
        }
        let start = tokens.len();
        tokens.extend(&block);
        let lasts = (start..tokens.len()).step_by(8).map(|i| (i + 8).min(tokens.len()) - 1);
        let first = rows.len();
        rows.extend(lasts.map(|l| BeaconRow { last: u32::try_from(l).unwrap(), ratio: 1 }));
        blocks.push((id, first..rows.len()));
    }
    assert!(blocks.len() >= 2);
    let mut e = trained_engine(512);
    let mut out = StepOutput::default();
    let sinks = [256, 257, 258, 259];
    let input = StepInput { tokens: &sinks, positions: &[0, 1, 2, 3], ..StepInput::default() };
    e.step(&input, &mut out).unwrap();
    let positions: Vec<i32> = (4..).take(tokens.len()).collect();
    let input = StepInput {
        tokens: &tokens,
        positions: &positions,
        beacons: &rows,
        ..StepInput::default()
    };
    e.step(&input, &mut out).unwrap();
    let geometry = e.card().geometry(64);
    let (mut want, mut got) =
        (KvBuf::with_capacity(geometry, 16), KvBuf::with_capacity(geometry, 16));
    let mut payload = Vec::new();
    for (id, range) in blocks {
        let n = range.len();
        let first = 4 + tokens.len() + range.start;
        e.read(first..first + n, &mut want).unwrap();
        let info = reader.beacons(id, &mut payload).unwrap();
        assert_eq!((info.ratio, usize::from(info.count)), (8, n));
        quant::decode(info.dtype, &payload, n, &mut got).unwrap();
        for (a, b) in want.view().k().iter().zip(got.view().k()) {
            assert!((a - b).abs() < 2e-3 * a.abs().max(1.0), "{a} {b}");
        }
        for (a, b) in want.view().v().iter().zip(got.view().v()) {
            assert!((a - b).abs() < 2e-3 * a.abs().max(1.0), "{a} {b}");
        }
    }
}

#[test]
fn a_restart_and_a_question_change_nothing_of_what_is_predicted() {
    let text = log(120);
    let (first, rest) = text.split_at(1800);
    let run = |closes: bool, asks: bool| {
        let dir = tempfile::tempdir().unwrap();
        let mut s = trained().open(dir.path());
        s.begin_source("a").unwrap();
        s.feed(first.as_bytes()).unwrap();
        s.drain(false).unwrap();
        if closes {
            s.close().unwrap();
            s = trained().open(dir.path());
            s.begin_source("a").unwrap();
        }
        if asks {
            s.ask(&Question { answer_tokens_max: 3, ..Question::new("host3 job 11") }).unwrap();
        }
        s.lines_mut().keep_every_line();
        s.feed(rest.as_bytes()).unwrap();
        s.finish_source().unwrap();
        let f = s.fates();
        assert_eq!((f.total(), f.dropped), (s.counters().bytes, 0));
        nats(&s, 2)
    };
    let whole = run(false, false);
    for (closes, asks) in [(true, false), (false, true), (true, true)] {
        let other = run(closes, asks);
        assert!((whole - other).abs() < 2e-3 * whole, "{closes} {asks}: {whole} {other}");
    }
}

#[test]
fn beacons_in_attention_change_what_is_predicted() {
    let text = log(120);
    let sum = |control| {
        let dir = tempfile::tempdir().unwrap();
        let config = lcedge::SessionConfig { control, ..trained().config };
        let mut s = World { config, ..trained() }.open(dir.path());
        s.lines_mut().keep_every_line();
        s.begin_source("a").unwrap();
        s.feed(text.as_bytes()).unwrap();
        s.finish_source().unwrap();
        nats(&s, 0)
    };
    use lcedge::config::Control;
    let (real, shuffled) = (sum(Control::None), sum(Control::ShuffledBeacons));
    assert!((real - shuffled).abs() > 1e-6 * real, "{real} {shuffled}");
}
