use super::*;
use lcedge_targets::fake::{FakeConfig, FakeEngine};
use proptest::prelude::*;

const SIZES: WindowSizes =
    WindowSizes { window_tokens: 160, chunk_tokens: 64, memory_tokens_max: 70 };

fn window() -> Window {
    Window::new(Box::new(FakeEngine::random(&FakeConfig::default(), 5, 224)), SIZES)
}

fn step(w: &mut Window, tokens: &[u32]) -> Vec<f32> {
    let mut out = StepOutput::default();
    let last = [u32::try_from(tokens.len() - 1).unwrap()];
    w.step(tokens, Wanted { logit_rows: &last, ..Wanted::default() }, &mut out).unwrap();
    out.logits
}

fn close(a: &[f32], b: &[f32]) {
    let worst = a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
    assert!(a.len() == b.len() && worst < 2e-4, "differ by {worst}");
}

/// The same memory and recent tokens, laid by hand in a fresh engine at `base`.
fn by_hand(pieces: &[&KvBuf], base: i32, probe: &[u32]) -> Vec<f32> {
    let mut e = FakeEngine::random(&FakeConfig::default(), 5, 224);
    let mut at = 0;
    for kv in pieces {
        let n = kv.tokens();
        let positions: Vec<i32> = (0..n).map(|j| base + position(at + j)).collect();
        e.place(at, &positions, kv.view()).unwrap();
        at += n;
    }
    e.set_len(at).unwrap();
    let positions: Vec<i32> = (0..probe.len()).map(|j| base + position(at + j)).collect();
    let last = [u32::try_from(probe.len() - 1).unwrap()];
    let mut out = StepOutput::default();
    let input = StepInput {
        tokens: probe,
        positions: &positions,
        logit_rows: &last,
        score_rows: &[],
        score_targets: &[],
        queries: false,
        ..StepInput::default()
    };
    e.step(&input, &mut out).unwrap();
    out.logits
}

fn read(w: &mut Window, range: Range<usize>) -> KvBuf {
    let g = w.engine().card().geometry(64);
    let mut kv = KvBuf::with_capacity(g, 224);
    w.engine.read(range, &mut kv).unwrap();
    kv
}

#[test]
fn eviction_keeps_sinks_and_true_distances() {
    let mut w = window();
    step(&mut w, &[1, 2, 3, 4]);
    w.pin_sinks(4);
    let text: Vec<u32> = (0..60).map(|i| 10 + i).collect();
    step(&mut w, &text);
    w.evict(25).unwrap();
    assert_eq!((w.len(), w.memory(), w.recent()), (39, 4, 35));
    let (sinks, rest) = (read(&mut w, 0..4), read(&mut w, 4..39));
    let got = step(&mut w, &[7, 8, 9]);
    close(&got, &by_hand(&[&sinks, &rest], 3, &[7, 8, 9]));
}

#[test]
fn a_laid_region_lies_just_before_the_recent_one() {
    let mut w = window();
    step(&mut w, &[1, 2, 3, 4]);
    w.pin_sinks(4);
    step(&mut w, &(0..50).map(|i| 20 + i).collect::<Vec<_>>());
    let block = read(&mut w, 4..34);
    w.evict(40).unwrap();
    let mut lay = w.lay(60).unwrap();
    assert!(lay.piece(block.view()).unwrap());
    assert_eq!(lay.room(), 30);
    assert!(!lay.piece(read_all_of(31).view()).unwrap());
    lay.finish().unwrap();
    assert_eq!((w.memory(), w.recent(), w.len()), (34, 10, 44));
    let (sinks, recent) = (read(&mut w, 0..4), read(&mut w, 34..44));
    let got = step(&mut w, &[7, 8]);
    close(&got, &by_hand(&[&sinks, &block, &recent], 100, &[7, 8]));
    w.pop(2).unwrap();
    w.lay(0).unwrap().finish().unwrap();
    assert_eq!((w.memory(), w.recent()), (4, 10));
    close(&step(&mut w, &[7, 8]), &by_hand(&[&sinks, &recent], 9, &[7, 8]));
}

fn read_all_of(tokens: usize) -> KvBuf {
    let e = FakeEngine::random(&FakeConfig::default(), 5, 8);
    let mut kv = KvBuf::with_capacity(e.card().geometry(64), tokens);
    kv.fill(tokens);
    kv
}

#[test]
fn positions_that_run_off_the_table_start_anew() {
    let config = FakeConfig { positions: 300, ..FakeConfig::default() };
    let mut w = Window::new(Box::new(FakeEngine::random(&config, 5, 224)), SIZES);
    step(&mut w, &[1, 2, 3, 4]);
    w.pin_sinks(4);
    for i in 0..40u32 {
        step(&mut w, &(0..50).map(|j| (i * 50 + j) % 290).collect::<Vec<_>>());
        let over = w.recent().saturating_sub(90);
        w.evict(over).unwrap();
    }
    let (sinks, recent) = (read(&mut w, 0..4), read(&mut w, 4..94));
    close(&step(&mut w, &[5]), &by_hand(&[&sinks, &recent], 17, &[5]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Whatever is done, slot `i` has position `base + i` and what is seen is what is held.
    #[test]
    fn what_is_seen_is_what_is_held(ops in prop::collection::vec((0u8..4, 1usize..40), 1..14)) {
        let mut w = window();
        step(&mut w, &[1, 2, 3, 4]);
        w.pin_sinks(4);
        let mut next = 0u32;
        for (op, n) in ops {
            match op {
                0 | 1 => {
                    let n = n.min(w.room());
                    if n > 0 {
                        let t: Vec<u32> = (0..n as u32).map(|i| (next + i) % 290).collect();
                        next += n as u32;
                        step(&mut w, &t);
                    }
                }
                2 => {
                    let n = n.min(w.recent());
                    w.evict(n).unwrap();
                }
                _ if w.recent() >= n && w.sinks() + n + w.recent() <= 224 => {
                    let from = w.memory();
                    let kv = read(&mut w, from..from + n);
                    let mut lay = w.lay(n).unwrap();
                    lay.piece(kv.view()).unwrap();
                    lay.finish().unwrap();
                }
                _ => {}
            }
        }
        if w.room() > 0 {
            let (len, base) = (w.len(), w.base);
            prop_assert!(base >= 0);
            let all = read(&mut w, 0..len);
            close(&step(&mut w, &[3]), &by_hand(&[&all], base, &[3]));
        }
    }
}
