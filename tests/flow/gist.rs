//! The gist in the loop: what it is folded from, where it lies, and what becomes of tokens.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use lcedge::config::Control;
use lcedge::session::{Parts, Session};
use lcedge::{MemoryMode, Question, SessionConfig};
use lcedge_compress::quant;
use lcedge_memory::{KvBuf, KvView, Store};
use lcedge_models::Card;
use lcedge_targets::{
    Engine, EngineMemory, FakeEngine, Fold, FoldError, GistState, SlotError, StepError, StepInput,
    StepOutput,
};

use crate::bytes::{Bytes, World, gist_engine, log};

fn world(memory: MemoryMode) -> World {
    let config = SessionConfig { memory, ..World::default().config };
    World { chunk: 128, stale: 0, trained: true, gist: true, config, ..World::default() }
}

/// Beacons of every fold so far.
type Folds = Arc<Mutex<Vec<KvBuf>>>;

/// An engine that keeps what it folds.
struct Keeping {
    engine: FakeEngine,
    folds: Folds,
}

impl Engine for Keeping {
    fn card(&self) -> &Card {
        self.engine.card()
    }

    fn capacity(&self) -> usize {
        self.engine.capacity()
    }

    fn len(&self) -> usize {
        self.engine.len()
    }

    fn step(&mut self, input: &StepInput<'_>, out: &mut StepOutput) -> Result<(), StepError> {
        self.engine.step(input, out)
    }

    fn place(&mut self, slot: usize, positions: &[i32], kv: KvView<'_>) -> Result<(), SlotError> {
        self.engine.place(slot, positions, kv)
    }

    fn read(&mut self, slots: Range<usize>, out: &mut KvBuf) -> Result<(), SlotError> {
        self.engine.read(slots, out)
    }

    fn rotate(&mut self, slots: Range<usize>, first_position: i32) -> Result<(), SlotError> {
        self.engine.rotate(slots, first_position)
    }

    fn move_slots(&mut self, from: Range<usize>, to: usize) -> Result<(), SlotError> {
        self.engine.move_slots(from, to)
    }

    fn set_len(&mut self, len: usize) -> Result<(), SlotError> {
        self.engine.set_len(len)
    }

    fn fold(&mut self, fold: &Fold<'_>, state: &mut GistState) -> Result<(), FoldError> {
        let n = fold.beacons.tokens();
        let mut kept = KvBuf::with_capacity(fold.beacons.geometry(), n);
        let (k, v) = kept.fill(n);
        k.copy_from_slice(fold.beacons.k());
        v.copy_from_slice(fold.beacons.v());
        self.folds.lock().unwrap().push(kept);
        self.engine.fold(fold, state)
    }

    fn usage(&self) -> EngineMemory {
        self.engine.usage()
    }

    fn device(&self) -> (&str, &str) {
        self.engine.device()
    }
}

/// A session over an engine that keeps what it folds.
fn keeping(world: &World, store: &std::path::Path) -> (Session, Folds) {
    let parts = world.parts(store);
    let plan = world.plan(parts.finder.as_ref().unwrap().layout());
    let folds = Folds::default();
    let engine = Keeping { engine: gist_engine(plan.capacity_tokens), folds: folds.clone() };
    let parts = Parts { engine: Box::new(engine), codec: Arc::new(Bytes), ..parts };
    (Session::open(parts, plan, world.config).unwrap(), folds)
}

fn feed(s: &mut Session, name: &str, text: &str) {
    s.lines_mut().keep_every_line();
    s.begin_source(name).unwrap();
    s.feed(text.as_bytes()).unwrap();
    s.drain(false).unwrap();
}

fn nats(s: &Session) -> f32 {
    s.lines().every_line().iter().map(|l| l.1).sum()
}

/// All that was folded, in order, is the beacons of the oldest blocks as they were stored; and the
/// state is that of the same folds made one after the other.
#[test]
fn the_state_is_that_of_a_loop_over_the_beacons_that_left() {
    for (window, chunk) in [(512, 128), (384, 96), (320, 40), (700, 200)] {
        let dir = tempfile::tempdir().unwrap();
        let world = World { window, chunk, ..world(MemoryMode::Full) };
        let (mut s, folds) = keeping(&world, dir.path());
        feed(&mut s, "a", &log(90));
        s.flush().unwrap();
        let folds = folds.lock().unwrap();
        assert!(folds.len() > 3, "{} folds", folds.len());

        let mut engine = gist_engine(8);
        let mut state = GistState::new(engine.card().geometry(64), 8);
        for kv in folds.iter() {
            engine.fold(&Fold { beacons: kv.view(), question: None }, &mut state).unwrap();
        }
        let gist = s.gist().unwrap();
        assert_eq!(gist.state().folds(), state.folds());
        assert_eq!(gist.state().kv().k(), state.kv().k());
        assert_eq!(gist.state().kv().v(), state.kv().v());

        let reader = s.reader().unwrap();
        let (mut payload, mut kv) = (Vec::new(), KvBuf::with_capacity(state.kv().geometry(), 16));
        let (mut first, mut covers) = (0, 0);
        let rows: Vec<(&KvBuf, usize)> =
            folds.iter().flat_map(|kv| (0..kv.tokens()).map(move |i| (kv, i))).collect();
        for id in reader.blocks_of(reader.sources()[0].id) {
            if first == rows.len() {
                break;
            }
            let info = reader.beacons(id, &mut payload).unwrap();
            let n = usize::from(info.count);
            quant::decode(info.dtype, &payload, n, &mut kv).unwrap();
            for (i, (folded, row)) in rows[first..first + n].iter().enumerate() {
                let d = 16;
                let want = &kv.view().v_head(1, 1)[i * d..(i + 1) * d];
                let got = &folded.view().v_head(1, 1)[row * d..(row + 1) * d];
                let close = |(a, b): (&f32, &f32)| (a - b).abs() < 2e-3 * a.abs().max(1.0);
                assert!(got.iter().zip(want).all(close), "{got:?} {want:?}");
            }
            first += n;
            covers += u64::from(reader.block(id).unwrap().tokens);
        }
        assert_eq!((first, covers), (rows.len(), gist.covers()), "whole blocks");
    }
}

#[test]
fn it_lies_behind_the_sinks_once_something_was_folded() {
    let mut s = world(MemoryMode::Gist).without_store();
    feed(&mut s, "a", &log(10));
    assert_eq!((s.window().memory(), s.gist().unwrap().state().is_fresh()), (4, true));
    s.feed(log(120).as_bytes()).unwrap();
    s.drain(false).unwrap();
    assert_eq!(s.window().memory(), 4 + 8, "no beacon lies there");
    let all = s.counters().bytes;
    let fates = s.fates();
    assert_eq!((fates.total(), fates.dropped), (all, 0), "{fates:?}");
    assert_eq!(fates.condensed, s.gist().unwrap().covers());
    assert_eq!(fates.resident + fates.condensed, all);
    // Another source starts anew, and what was only in the state is gone with it.
    s.begin_source("b").unwrap();
    assert_eq!((s.window().memory(), s.gist().unwrap().covers()), (4, 0));
    assert!(s.gist().unwrap().state().is_fresh());
    let fates = s.fates();
    assert_eq!((fates.total(), fates.condensed, fates.dropped), (all, 0, all));
}

#[test]
fn all_tiers_lie_in_order_within_the_plan() {
    let dir = tempfile::tempdir().unwrap();
    let mut s = World { stale: 2, ..world(MemoryMode::Full) }.open(dir.path());
    feed(&mut s, "a", &log(150));
    assert!(!s.gist().unwrap().state().is_fresh());
    let memory = s.window().memory();
    assert!(memory > 4 + 8 + 40 && memory <= s.plan().memory_tokens_max, "{memory}");
    let fates = s.fates();
    assert_eq!((fates.total(), fates.dropped, fates.condensed), (s.counters().bytes, 0, 0));
    // A question that exact passages are recalled for sees neither beacons nor gist.
    s.ask(&Question { answer_tokens_max: 3, ..Question::new("host3 job 11") }).unwrap();
    let recalled = |s: &Session| {
        let reader = s.reader().unwrap();
        let tokens = |id| usize::from(reader.block(id).unwrap().tokens);
        s.recalled_now().into_iter().map(tokens).sum::<usize>()
    };
    assert_eq!(s.window().memory(), 4 + recalled(&s));
}

#[test]
fn a_question_may_have_a_gist_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let mut w = world(MemoryMode::Full);
    w.config.question_gist = true;
    let mut s = w.open(dir.path());
    feed(&mut s, "a", &log(60));
    let before = s.gist().unwrap().state().clone();
    s.ask(&Question { answer_tokens_max: 3, ..Question::new("host3 job 11") }).unwrap();
    let reader = s.reader().unwrap();
    let tokens = |id| usize::from(reader.block(id).unwrap().tokens);
    let recalled: usize = s.recalled_now().into_iter().map(tokens).sum();
    assert_eq!(s.window().memory(), 4 + 8 + recalled);
    let after = s.gist().unwrap().state();
    assert_eq!((after.folds(), after.kv().k()), (before.folds(), before.kv().k()));
}

/// Without a fold a model with a gist is the same model; with folds it is not, and zeros in the
/// place of the state are something else again.
#[test]
fn it_changes_what_is_predicted_once_it_is_there() {
    let sum = |gist, control, lines| {
        let mut w = World { gist, ..world(MemoryMode::Full) };
        w.config.control = control;
        let dir = tempfile::tempdir().unwrap();
        let mut s = w.open(dir.path());
        feed(&mut s, "a", &log(lines));
        nats(&s)
    };
    let none = |gist, lines| sum(gist, Control::None, lines);
    // Slots are planned for it, so the recent region is shorter: nothing may leave here.
    assert_eq!(none(true, 15).to_bits(), none(false, 15).to_bits());
    let (with, zeros) = (none(true, 120), sum(true, Control::ZeroGist, 120));
    assert!((with - zeros).abs() > 1e-5 * with, "{with} {zeros}");
}

#[test]
fn a_question_in_between_changes_nothing_of_what_is_folded() {
    let text = log(120);
    let (first, rest) = text.split_at(1800);
    let run = |asks: bool| {
        let dir = tempfile::tempdir().unwrap();
        let mut s = world(MemoryMode::Full).open(dir.path());
        s.begin_source("a").unwrap();
        s.feed(first.as_bytes()).unwrap();
        s.drain(false).unwrap();
        if asks {
            s.ask(&Question { answer_tokens_max: 3, ..Question::new("host3 job 11") }).unwrap();
        }
        s.lines_mut().keep_every_line();
        s.feed(rest.as_bytes()).unwrap();
        s.finish_source().unwrap();
        let gist = s.gist().unwrap();
        (nats(&s), gist.state().kv().v().to_vec(), gist.covers())
    };
    let ((whole, state, covers), (asked, other, covers_asked)) = (run(false), run(true));
    assert_eq!(covers, covers_asked);
    assert!((whole - asked).abs() < 2e-3 * whole, "{whole} {asked}");
    let gap = state.iter().zip(&other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(gap < 0.02, "states differ by {gap}");
}

/// A run that is closed and goes on: the same blocks are folded, and with the kept state the state
/// is the same to 16 bits. Where it was not kept, stored beacons are folded instead.
#[test]
fn a_restart_goes_on_from_the_kept_state_or_from_stored_beacons() {
    let text = log(160);
    let (first, rest) = text.split_at(2900);
    let run = |closes: bool, keeps: bool| {
        let dir = tempfile::tempdir().unwrap();
        let world = world(MemoryMode::Full);
        let mut s = world.open(dir.path());
        s.begin_source("a").unwrap();
        s.feed(first.as_bytes()).unwrap();
        s.drain(false).unwrap();
        s.flush().unwrap();
        assert!(s.gist().unwrap().blocks() > 10);
        if closes {
            s.close().unwrap();
            if !keeps {
                let mut store = Store::open(dir.path(), &world.options()).unwrap();
                let name = lcedge::spill::gist_name("a");
                assert!(store.reader().session(&name).unwrap().is_some());
                store.drop_session(&name).unwrap();
                store.commit().unwrap();
            }
            s = world.open(dir.path());
            s.begin_source("a").unwrap();
        }
        s.lines_mut().keep_every_line();
        s.feed(rest.as_bytes()).unwrap();
        s.finish_source().unwrap();
        let gist = s.gist().unwrap();
        // The first line is cut by the break.
        let nats: f32 = s.lines().every_line().iter().skip(2).map(|l| l.1).sum();
        let folded = (gist.blocks(), gist.covers());
        (nats, gist.state().kv().v().to_vec(), folded, gist.state().folds())
    };
    let (whole, state, folded, folds) = run(false, true);
    for (keeps, tolerance) in [(true, 2e-3), (false, 0.5)] {
        let (other, state_after, folded_after, folds_after) = run(true, keeps);
        assert_eq!(folded, folded_after, "kept: {keeps}");
        // Stored beacons are folded in fewer, larger folds.
        assert_eq!(folds == folds_after, keeps, "{folds} {folds_after}");
        assert!((whole - other).abs() < 2e-3 * whole, "kept {keeps}: {whole} {other}");
        let gaps = state.iter().zip(&state_after).map(|(a, b)| (a - b).abs());
        let gap = gaps.fold(0.0, f32::max);
        assert!(gap < tolerance, "kept {keeps}: states differ by {gap}");
        println!("kept {keeps}: nats {whole} {other}, states differ by {gap}");
    }
}

#[test]
fn a_model_without_a_gist_refuses_the_tier() {
    let w = World { gist: false, ..world(MemoryMode::Gist) };
    let dir = tempfile::tempdir().unwrap();
    let parts = Parts { store: None, ..w.parts(dir.path()) };
    let plan = w.plan(parts.finder.as_ref().unwrap().layout());
    let error = Session::open(parts, plan, w.config).err().unwrap().to_string();
    assert!(error.contains("--memory gist"), "{error}");
}
