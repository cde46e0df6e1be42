//! Recall is of keys and values: what is placed is what was computed, and answers follow it.

use std::ops::Range;
use std::path::Path;

use lcedge::RecallMode;
use lcedge::session::{Passages, Question};
use lcedge_compress::quant;
use lcedge_memory::{BlockId, KvBuf, KvDtype, Reader};
use lcedge_targets::{Engine, StepInput, StepOutput};

use crate::bytes::{World, engine, log, options};
use crate::exchange::exchanged;

fn step(e: &mut dyn Engine, tokens: &[u32], first: i32) -> StepOutput {
    let positions: Vec<i32> = (first..).take(tokens.len()).collect();
    let last = [u32::try_from(tokens.len() - 1).unwrap()];
    let mut out = StepOutput::default();
    let input = StepInput {
        tokens,
        positions: &positions,
        logit_rows: &last,
        score_rows: &[],
        score_targets: &[],
        queries: false,
        ..StepInput::default()
    };
    e.step(&input, &mut out).unwrap();
    out
}

fn worst(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

/// The canonical keys and values of `range` of the tokens of sinks and text, by one pass.
fn original(text: &str, range: Range<usize>) -> KvBuf {
    let mut tokens = vec![256, 257, 258, 259];
    tokens.extend(text.bytes().map(u32::from));
    let mut e = engine(tokens.len());
    step(&mut e, &tokens, 0);
    let mut kv = KvBuf::with_capacity(e.card().geometry(64), range.len());
    e.read(range.start + 4..range.end + 4, &mut kv).unwrap();
    kv
}

/// Logits of a probe after `kv` placed from position 700 on.
fn seen_through(kv: &KvBuf) -> Vec<f32> {
    let mut e = engine(128);
    let n = kv.tokens();
    let positions: Vec<i32> = (700..).take(n).collect();
    e.place(0, &positions, kv.view()).unwrap();
    e.set_len(n).unwrap();
    step(&mut e, &[65, 66, 67], 700 + i32::try_from(n).unwrap()).logits
}

/// The same, rounded to f16.
fn rounded(kv: &KvBuf) -> KvBuf {
    let mut bytes = Vec::new();
    for x in kv.view().k().iter().chain(kv.view().v()) {
        bytes.push(half_rounded(*x));
    }
    let mut out = KvBuf::with_capacity(kv.geometry(), kv.tokens());
    let (k, v) = out.fill(kv.tokens());
    k.copy_from_slice(&bytes[..k.len()]);
    v.copy_from_slice(&bytes[k.len()..]);
    out
}

/// A float with its significand rounded to 11 bits, to even (f16 within its normal range).
fn half_rounded(x: f32) -> f32 {
    let bits = x.to_bits();
    let odd = (bits >> 13) & 1;
    f32::from_bits((bits + 0x0fff + odd) & !0x1fff)
}

#[test]
fn a_spilled_block_placed_elsewhere_gives_what_the_original_keys_give() {
    let text = log(10);
    for (kv, bound) in [(KvDtype::F16, 2e-3), (KvDtype::Int8, 0.02), (KvDtype::Int4, 0.3)] {
        let dir = tempfile::tempdir().unwrap();
        let mut s = World { kv, window: 1024, ..World::default() }.open(dir.path());
        s.begin_source("a").unwrap();
        s.feed(text.as_bytes()).unwrap();
        s.finish_source().unwrap();
        s.close().unwrap();
        // Sealed now, so mapped.
        let reader = Reader::open(dir.path(), &options()).unwrap();
        let id = reader.blocks_of(reader.sources()[0].id)[1];
        let info = reader.block(id).unwrap();
        let mut payload = Vec::new();
        assert_eq!(reader.payload(id, &mut payload).unwrap(), kv);
        let mut back = KvBuf::with_capacity(engine(8).card().geometry(64), 64);
        quant::decode(kv, &payload, info.tokens.into(), &mut back).unwrap();
        let bytes = info.span.byte_start as usize..info.span.byte_end as usize;
        let exact = original(&text, bytes);
        let want = if kv == KvDtype::F16 { rounded(&exact) } else { exact };
        let (got, want) = (seen_through(&back), seen_through(&want));
        let scale = want.iter().fold(0.0f32, |m, x| m.max(x.abs()));
        let error = worst(&got, &want) / scale;
        assert!(error < bound, "{kv:?}: logits differ by {error} of the largest");
    }
}

#[test]
fn a_question_sees_the_recalled_blocks_and_nothing_of_their_text() {
    let dir = tempfile::tempdir().unwrap();
    let mut s = World::default().open(dir.path());
    s.begin_source("a.log").unwrap();
    s.feed(log(150).as_bytes()).unwrap();
    s.finish_source().unwrap();
    let q = Question { answer_tokens_max: 4, ..Question::new("0007 host0 job 57") };
    let a = s.ask(&q).unwrap();
    assert!(a.recalled_blocks >= 2, "{a:?}");
    assert_eq!(a.prefilled_tokens, "0007 host0 job 57".len() + 2, "the question alone");
    assert_eq!(a.citations[0].line_start, 7, "{:?}", a.citations);
    assert_eq!(a.citations[0].text, "0007 host0 job 57 ok");
    let span = (a.citations[0].byte_start as usize, a.citations[0].byte_end as usize);
    assert_eq!(&log(150)[span.0..span.1], a.citations[0].text);
    // Asked again, the same comes back: the window is as it was.
    let b = s.ask(&q).unwrap();
    assert_eq!((a.said, a.citations), (b.said, b.citations));
}

#[test]
fn answers_follow_exchanged_keys_and_values_and_text_recall_follows_the_text() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let world = World { stale: 0, ..World::default() };
    let mut s = world.open(one.path());
    s.begin_source("a.log").unwrap();
    // Lines of one length, so that all blocks have as many tokens.
    let text: String =
        (100..400).map(|n| format!("{n} host{} job {:03}\n", n % 7, n * 37 % 1000)).collect();
    s.feed(text.as_bytes()).unwrap();
    s.finish_source().unwrap();
    s.close().unwrap();
    let blocks = {
        let reader = Reader::open(one.path(), &options()).unwrap();
        reader.blocks_of(reader.sources()[0].id)
    };
    exchanged(one.path(), two.path(), &options(), blocks[3], blocks[8]);
    let said = |dir: &Path, block: usize, recall| {
        let mut s = world.open(dir);
        let reader = s.reader().unwrap().clone();
        let id = reader.blocks_of(reader.sources()[0].id)[block];
        let blocks = Some(vec![id]);
        let q = Question {
            answer_tokens_max: 8,
            recall: Some(recall),
            blocks,
            ..Question::new("what?")
        };
        // The tiny model says the same of everything; how sure it is tells what it saw.
        s.ask(&q).unwrap().signals.telling_logprob.to_bits()
    };
    let (kv, again) = (RecallMode::Kv, RecallMode::Text);
    let (a, b) = (said(one.path(), 3, kv), said(one.path(), 8, kv));
    assert_ne!(a, b, "two blocks tell different things");
    assert_eq!(said(two.path(), 3, kv), b, "the answer follows the keys and values");
    assert_eq!(said(two.path(), 8, kv), a);
    for block in [3, 8] {
        assert_eq!(said(one.path(), block, again), said(two.path(), block, again));
    }
}

#[test]
fn passages_are_laid_in_order_of_time_within_the_budget() {
    let dir = tempfile::tempdir().unwrap();
    let mut s = World::default().open(dir.path());
    s.begin_source("a.log").unwrap();
    s.feed(log(300).as_bytes()).unwrap();
    s.finish_source().unwrap();
    let a = s.ask(&Question { answer_tokens_max: 1, ..Question::new("host3 job 11 ok") }).unwrap();
    let Passages { blocks, tokens, ranked, .. } = a.passages;
    let ids: Vec<BlockId> = blocks.clone();
    assert!(ids.is_sorted() && tokens <= 256 && !ranked.is_empty());
    assert!(ranked.windows(2).all(|w| w[0].score >= w[1].score));
}

#[test]
fn a_question_to_an_empty_memory_finds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut w = World::default();
    w.config.confidence_min = 0.5;
    let mut s = w.open(dir.path());
    let a = s.ask(&Question { answer_tokens_max: 3, ..Question::new("anything?") }).unwrap();
    assert!(!a.found && a.text.is_empty() && a.citations.is_empty());
    assert!(s.ask(&Question::new("  ")).is_err());
    let long = "x".repeat(5000);
    assert!(s.ask(&Question::new(long)).is_err());
}

#[test]
fn a_reader_asks_while_the_writer_absorbs() {
    let dir = tempfile::tempdir().unwrap();
    let world = World { stale: 0, ..World::default() };
    let mut writer = world.open(dir.path());
    writer.begin_source("a").unwrap();
    writer.feed(log(30).as_bytes()).unwrap();
    writer.drain(false).unwrap();
    writer.flush().unwrap();
    let mut reader = world.open_to_ask(dir.path());
    let before = reader.ask(&Question::new("0007 host0 job 57")).unwrap();
    assert!(before.restored_tokens > 0 && !before.citations.is_empty());
    assert!(matches!(reader.begin_source("b"), Err(lcedge::error::AbsorbError::ReadOnly)));
    writer.feed(b"zebra crossing at noon, quite new\n".repeat(8).as_slice()).unwrap();
    writer.finish_source().unwrap();
    writer.flush().unwrap();
    let after = reader.ask(&Question::new("zebra crossing at noon")).unwrap();
    assert!(after.citations[0].text.contains("zebra"), "{:?}", after.citations);
    reader.close().unwrap();
    writer.close().unwrap();
}
