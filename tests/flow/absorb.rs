//! Absorbing against one pass of full attention, and fates that add up.

use lcedge::config::Condenser;
use lcedge::{MemoryMode, Question, SessionConfig};
use lcedge_targets::{Engine, StepInput, StepOutput};
use proptest::prelude::*;

use crate::bytes::{World, engine, log};

/// Minus the log-probability of every byte but the first, by one pass over sinks and text.
fn one_pass(text: &[u8]) -> Vec<f32> {
    let mut tokens = vec![256, 257, 258, 259];
    tokens.extend(text.iter().map(|&b| u32::from(b)));
    let mut e = engine(tokens.len());
    let positions: Vec<i32> = (0..i32::try_from(tokens.len()).unwrap()).collect();
    let rows: Vec<u32> = (4..u32::try_from(tokens.len()).unwrap() - 1).collect();
    let targets: Vec<u32> = tokens[5..].to_vec();
    let mut out = StepOutput::default();
    let input = StepInput {
        tokens: &tokens,
        positions: &positions,
        logit_rows: &[],
        score_rows: &rows,
        score_targets: &targets,
        queries: false,
        ..StepInput::default()
    };
    e.step(&input, &mut out).unwrap();
    out.logprobs.iter().map(|x| -x).collect()
}

#[test]
fn chunks_with_nothing_evicted_equal_one_pass() {
    let text = log(12);
    let want: f32 = one_pass(text.as_bytes()).iter().sum();
    for chunk in [1, 7, 64, 256] {
        let dir = tempfile::tempdir().unwrap();
        let mut s = World { chunk, window: 1024, stale: 0, ..World::default() }.open(dir.path());
        s.lines_mut().keep_every_line();
        s.begin_source("a").unwrap();
        for part in text.as_bytes().chunks(50) {
            s.feed(part).unwrap();
        }
        s.finish_source().unwrap();
        let got: f32 = s.lines().every_line().iter().map(|l| l.1).sum();
        assert!((got - want).abs() < 2e-3 * want, "chunk {chunk}: {got} nats, one pass {want}");
    }
}

#[test]
fn blocks_are_cut_at_the_same_places_whatever_the_chunk() {
    let text = log(40) + &"x".repeat(150) + "\n" + &log(3);
    let mut first: Option<Vec<(u64, u64)>> = None;
    for (chunk, part) in [(1, 1000), (7, 13), (64, 50), (100, 1), (256, 4000)] {
        let dir = tempfile::tempdir().unwrap();
        let mut s = World { chunk, window: 512, stale: 0, ..World::default() }.open(dir.path());
        s.begin_source("a").unwrap();
        for part in text.as_bytes().chunks(part) {
            s.feed(part).unwrap();
        }
        s.finish_source().unwrap();
        s.flush().unwrap();
        let reader = s.reader().unwrap();
        let source = reader.sources()[0].id;
        let blocks = reader.blocks_of(source);
        let spans = blocks.iter().map(|&b| reader.block(b).unwrap().span);
        let spans: Vec<_> = spans.map(|s| (s.byte_start, s.byte_end)).collect();
        assert_eq!(spans.last().unwrap().1, text.len() as u64);
        assert_eq!(first.get_or_insert_with(|| spans.clone()), &spans, "chunk {chunk}");
    }
}

#[test]
fn what_leaves_the_window_is_counted_in_every_mode() {
    let text = log(200);
    for memory in [MemoryMode::Full, MemoryMode::Recall, MemoryMode::Window, MemoryMode::Condensed]
    {
        let dir = tempfile::tempdir().unwrap();
        let stale = if memory.recalls() { 2 } else { 0 };
        let config = SessionConfig { memory, ..World::default().config };
        let mut s = World { stale, config, ..World::default() }.open(dir.path());
        s.begin_source("a").unwrap();
        s.feed(text.as_bytes()).unwrap();
        s.finish_source().unwrap();
        s.flush().unwrap();
        let f = s.fates();
        assert_eq!(f.total(), text.len() as u64, "{memory:?}");
        assert_eq!(f.dropped == 0, memory.recalls(), "{memory:?}: {f:?}");
        assert_eq!(f.condensed, if memory.condenses(false) { 48 } else { 0 }, "{memory:?}");
        assert!(f.resident >= 200 && f.resident < 900, "{memory:?}: {f:?}");
    }
}

#[test]
fn every_condenser_keeps_its_slots_and_counts_what_its_states_stand_for() {
    let text = log(200);
    for condense in Condenser::ALL {
        let dir = tempfile::tempdir().unwrap();
        let memory = MemoryMode::Condensed;
        let config = SessionConfig { memory, condense, ..World::default().config };
        let mut s = World { stale: 0, config, ..World::default() }.open(dir.path());
        for source in ["a", "b"] {
            s.begin_source(source).unwrap();
            s.feed(text.as_bytes()).unwrap();
            s.finish_source().unwrap();
            let (f, name) = (s.fates(), condense.name());
            assert_eq!(f.dropped + f.condensed > 0, f.total() > f.resident, "{name}: {f:?}");
            match condense {
                Condenser::Surprisal => assert_eq!(f.condensed, 48),
                // Slots that went to newer tokens took what they stood for with them.
                Condenser::Camelot => assert!(f.condensed > 48, "{f:?}"),
                // Nothing of a source leaves it; what was read of the one before does.
                Condenser::Matching => assert_eq!(f.dropped > 0, source == "b", "{f:?}"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn fates_add_up_after_every_feed(
        lines in prop::collection::vec("[a-z0-9 ]{0,70}\n", 1..60),
        chunk in prop_oneof![Just(1usize), 5usize..200],
        window in 400usize..900,
        part in 1usize..400,
        stale in 0usize..3,
    ) {
        let text = lines.concat();
        let dir = tempfile::tempdir().unwrap();
        let chunk = if chunk == 1 && text.len() > 600 { 33 } else { chunk };
        let mut s = World { chunk, window, stale, ..World::default() }.open(dir.path());
        s.begin_source("a").unwrap();
        for p in text.as_bytes().chunks(part) {
            s.feed(p).unwrap();
            let f = s.fates();
            prop_assert!(f.total() <= text.len() as u64 && f.dropped == 0);
            prop_assert_eq!(f.total() + 4, s.counters().tokens_read_by_model);
        }
        s.finish_source().unwrap();
        prop_assert_eq!(s.fates().total(), text.len() as u64);
        prop_assert!(s.window().len() <= s.plan().window_tokens);
    }
}

/// A day's write budget: beyond it blocks are kept without keys and values, across restarts, and
/// the fates say so.
#[test]
fn beyond_the_write_budget_blocks_keep_text_and_beacons() {
    let dir = tempfile::tempdir().unwrap();
    let text = log(600);
    let mut config = World::default().config;
    config.write_bytes_per_day = Some(900_000);
    let world = World { trained: true, config, ..World::default() };
    let mut s = world.open(dir.path());
    s.begin_source("a").unwrap();
    s.feed(text.as_bytes()).unwrap();
    s.finish_source().unwrap();
    s.flush().unwrap();
    let fates = s.fates();
    assert_eq!(fates.total(), text.len() as u64);
    assert!(fates.spilled > 0 && fates.condensed > 0 && fates.dropped == 0, "{fates:?}");
    assert!(s.take_warning().unwrap().contains("write budget"));
    let reader = s.reader().unwrap().clone();
    let stats = reader.stats().unwrap();
    assert!(stats.kv_blocks > 0 && stats.kv_blocks < stats.blocks, "{stats:?}");
    assert!(stats.beacon_blocks > stats.kv_blocks, "{stats:?}");
    assert!(stats.written_today_bytes > 900_000, "{stats:?}");
    // What has only text is found, read again, and the answer says so.
    let ids = reader.blocks_of(reader.sources()[0].id);
    let last = *ids.last().unwrap();
    assert!(reader.block(last).unwrap().kv.is_none());
    let question = Question { blocks: Some(vec![last]), ..Question::new("0599 host4") };
    assert_eq!(s.ask(&question).unwrap().recall, lcedge::RecallMode::Text);
    s.close().unwrap();
    // The same day goes on where it was.
    let mut s = world.open(dir.path());
    s.begin_source("b").unwrap();
    s.feed(log(40).as_bytes()).unwrap();
    s.finish_source().unwrap();
    s.flush().unwrap();
    let after = s.reader().unwrap().stats().unwrap();
    assert!(after.blocks > stats.blocks);
    assert_eq!(after.kv_blocks, stats.kv_blocks);
}

/// Far beyond a day's write budget the text is stored all the same, and the fates say so.
#[test]
fn far_beyond_the_write_budget_the_text_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let text = log(300);
    let mut config = World::default().config;
    config.write_bytes_per_day = Some(100);
    let world = World { config, trained: true, ..World::default() };
    let mut s = world.open(dir.path());
    s.begin_source("a").unwrap();
    s.feed(text.as_bytes()).unwrap();
    s.finish_source().unwrap();
    s.flush().unwrap();
    let fates = s.fates();
    assert!(fates.text > 0 && fates.dropped == 0, "{fates:?}");
    assert_eq!(fates.total(), text.len() as u64);
    let stats = s.reader().unwrap().stats().unwrap();
    assert_eq!((stats.kv_blocks, stats.beacon_blocks), (0, 0), "{stats:?}");
    let reader = s.reader().unwrap();
    let blocks = reader.blocks_of(reader.sources()[0].id);
    let all: Vec<u8> = blocks.iter().flat_map(|id| reader.text(*id).unwrap()).collect();
    assert_eq!(all, text.as_bytes());
}
