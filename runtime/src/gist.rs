//! The gist tier of a model with a trained gist (after LCIRC): beacons that leave the condensed
//! tier fold into a state of fixed size, which lies in attention in their place.
//!
//! ```text
//! recent block -> its beacons, in the condensed tier -> a fold, oldest blocks first -> G slots
//! ```
//!
//! The state belongs to one source. Nothing of it is in attention before the first fold.

use lcedge_memory::{Geometry, KvBuf, KvView};
use lcedge_targets::{Fold, FoldError, GistBytesError, GistState};

use crate::beacons::Beacons;
use crate::window::Window;

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 1 + 4 + 8;

/// The state of the current source, and that of a question.
#[derive(Debug)]
pub struct Gist {
    state: GistState,
    /// Folded anew for a question, where a session does that.
    asked: Option<GistState>,
    /// Beacons of one fold.
    batch: KvBuf,
    /// Tokens that the state stands for.
    covers: u64,
    /// Blocks of the source, from its first, that the state stands for.
    blocks: u32,
    /// Folds when the state was last kept on disk.
    kept_at: u64,
    /// Laid in place of a state, to show that it does something.
    zeros: Option<KvBuf>,
}

impl Gist {
    /// A state of `slots` slots, folds of at most `fold_tokens` beacons; with `asks` also a state
    /// for questions, with `zeroed` what is laid are zeros.
    #[must_use]
    pub fn new(
        geometry: Geometry,
        slots: usize,
        fold_tokens: usize,
        asks: bool,
        zeroed: bool,
    ) -> Self {
        let mut zeros = zeroed.then(|| KvBuf::with_capacity(geometry, slots));
        if let Some(zeros) = &mut zeros {
            zeros.fill(slots);
        }
        Self {
            state: GistState::new(geometry, slots),
            asked: asks.then(|| GistState::new(geometry, slots)),
            batch: KvBuf::with_capacity(geometry, fold_tokens),
            covers: 0,
            blocks: 0,
            kept_at: 0,
            zeros,
        }
    }

    /// The state of the current source.
    #[must_use]
    pub const fn state(&self) -> &GistState {
        &self.state
    }

    /// Tokens that the state stands for.
    #[must_use]
    pub const fn covers(&self) -> u64 {
        self.covers
    }

    /// Starts anew: another source begins.
    pub fn clear(&mut self) {
        self.state.clear();
        (self.covers, self.blocks, self.kept_at) = (0, 0, 0);
        self.forget_question();
    }

    /// Blocks of the source, from its first, that the state stands for.
    #[must_use]
    pub const fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Blocks before this one are taken as folded, whatever they hold.
    pub const fn skip_to(&mut self, block: u32) {
        self.blocks = block;
    }

    /// Appends what [`Gist::resume`] goes on from: a version (u8), blocks (u32), tokens (u64),
    /// little-endian, and the state.
    pub fn write_bytes(&mut self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.extend(self.blocks.to_le_bytes());
        out.extend(self.covers.to_le_bytes());
        self.state.write_bytes(out);
        self.kept_at = self.state.folds();
    }

    /// Goes on from an earlier session's bytes.
    ///
    /// # Errors
    /// [`GistBytesError`]; nothing is changed then.
    pub fn resume(&mut self, bytes: &[u8]) -> Result<(), GistBytesError> {
        let Some((head, state)) = bytes.split_at_checked(HEAD_BYTES) else {
            let (found, expected) = (bytes.len(), HEAD_BYTES);
            return Err(GistBytesError::Length { found, expected });
        };
        if head[0] != VERSION {
            return Err(GistBytesError::Version { found: head[..1].to_vec() });
        }
        let geometry = self.state.kv().geometry();
        self.state = GistState::from_bytes(geometry, self.state.slots(), state)?;
        let number = |at: usize, n: usize| {
            head[at..at + n].iter().rev().fold(0, |all, &b| all << 8 | u64::from(b))
        };
        // Four bytes.
        self.blocks = number(1, 4) as u32;
        self.covers = number(5, 8);
        self.kept_at = self.state.folds();
        Ok(())
    }

    /// Folds since the state was last kept.
    #[must_use]
    pub const fn unkept(&self) -> u64 {
        self.state.folds().saturating_sub(self.kept_at)
    }

    /// Folds stored beacons of the `blocks` that follow those folded before, of `covers` tokens.
    ///
    /// # Errors
    /// Whatever the engine refuses.
    pub fn fold_stored(
        &mut self,
        window: &mut Window,
        blocks: &[KvBuf],
        covers: u64,
    ) -> Result<(), FoldError> {
        gather(blocks.iter().map(KvBuf::view), &mut self.batch);
        let fold = Fold { beacons: self.batch.view(), question: None };
        window.fold(&fold, &mut self.state)?;
        self.covers += covers;
        Ok(())
    }

    /// Most beacons of one fold.
    #[must_use]
    pub const fn fold_tokens(&self) -> usize {
        self.batch.capacity()
    }

    /// What a question was answered with is out of attention again.
    pub fn forget_question(&mut self) {
        if let Some(asked) = &mut self.asked {
            asked.clear();
        }
    }

    /// Folds all that left the condensed tier since the last fold, in order: one fold, unless it
    /// is more than the plan has room for at once.
    ///
    /// # Errors
    /// Whatever the engine refuses.
    pub fn fold(&mut self, beacons: &mut Beacons, window: &mut Window) -> Result<(), FoldError> {
        while let Some((blocks, covers)) = beacons.take_left(&mut self.batch) {
            let fold = Fold { beacons: self.batch.view(), question: None };
            window.fold(&fold, &mut self.state)?;
            self.blocks = self.blocks.saturating_add(blocks);
            self.covers += covers;
        }
        Ok(())
    }

    /// Folds beacons of the blocks that a question with this vector found, as many of the first as
    /// fit, into a state of their own. Does nothing in a session without states for questions.
    ///
    /// # Errors
    /// Whatever the engine refuses.
    pub fn fold_for(
        &mut self,
        question: &[f32],
        window: &mut Window,
        blocks: &[KvBuf],
    ) -> Result<(), FoldError> {
        let Some(asked) = &mut self.asked else { return Ok(()) };
        asked.clear();
        let views = blocks.iter().map(KvBuf::view);
        let n = fitting(views.clone(), self.batch.capacity());
        gather(views.take(n), &mut self.batch);
        let fold = Fold { beacons: self.batch.view(), question: Some(question) };
        window.fold(&fold, asked)
    }

    /// Whether questions get a state of their own.
    #[must_use]
    pub const fn asks(&self) -> bool {
        self.asked.is_some()
    }

    /// What lies in attention: the question's state, or the source's unless it is `hidden`;
    /// nothing where nothing was folded.
    #[must_use]
    pub fn shown(&self, hidden: bool) -> Option<KvView<'_>> {
        let asked = self.asked.as_ref().filter(|s| !s.is_fresh());
        let own = Some(&self.state).filter(|s| !hidden && !s.is_fresh());
        let state = asked.or(own)?;
        Some(self.zeros.as_ref().map_or_else(|| state.kv(), KvBuf::view))
    }
}

/// How many of the first `blocks` have at most `room` rows together.
pub(crate) fn fitting<'a>(blocks: impl Iterator<Item = KvView<'a>>, room: usize) -> usize {
    let mut rows = 0;
    let fits = |b: &KvView<'_>| {
        rows += b.tokens();
        rows <= room
    };
    blocks.take_while(fits).count()
}

/// Puts blocks, which fit, one behind the other.
pub(crate) fn gather<'a>(blocks: impl Iterator<Item = KvView<'a>> + Clone, out: &mut KvBuf) {
    let n: usize = blocks.clone().map(|b| b.tokens()).sum();
    let d = usize::from(out.geometry().head_dim);
    let (k, v) = out.fill(n);
    let mut at = 0;
    for block in blocks.filter(|b| b.tokens() > 0) {
        let end = at + block.tokens() * d;
        for (to, from) in [(&mut *k, block.k()), (&mut *v, block.v())] {
            for (to, from) in to.chunks_exact_mut(n * d).zip(from.chunks_exact(end - at)) {
                to[at..end].copy_from_slice(from);
            }
        }
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::beacons::Ratio;
    use crate::window::WindowSizes;
    use lcedge_models::{GistShape, TrainedAddress, TrainedMemory};
    use lcedge_targets::Engine;
    use lcedge_targets::fake::{FakeConfig, FakeEngine};
    use proptest::prelude::*;

    const SLOTS: usize = 5;

    fn engine() -> FakeEngine {
        let memory = TrainedMemory {
            name: "random".into(),
            hash: String::new(),
            system: String::new(),
            absent: String::new(),
            address: Some(TrainedAddress { layer: 0, dim: 8, keys: 4, segment_tokens: 16 }),
            beacons: vec![4, 8],
            gist: Some(GistShape { slots: SLOTS, width: 4 }),
        };
        let config = FakeConfig { memory: Some(memory), ..FakeConfig::default() };
        FakeEngine::random(&config, 3, 300)
    }

    fn window() -> Window {
        let (window_tokens, chunk_tokens, memory_tokens_max) = (256, 32, 64);
        let sizes = WindowSizes { window_tokens, chunk_tokens, memory_tokens_max };
        Window::new(Box::new(engine()), sizes)
    }

    /// A block's beacons; `seed` tells one block from another.
    fn block(geometry: Geometry, n: usize, seed: usize) -> KvBuf {
        let mut kv = KvBuf::with_capacity(geometry, n);
        let (k, v) = kv.fill(n);
        for (i, x) in k.iter_mut().chain(v).enumerate() {
            *x = ((i * 31 + seed * 977) % 211) as f32 / 100.0 - 1.0;
        }
        kv
    }

    /// The blocks that leave a tier of `capacity`, oldest first, whole, as many as needed.
    fn leave(tier: &mut Vec<KvBuf>, capacity: usize) -> Vec<KvBuf> {
        let mut left = Vec::new();
        while tier.iter().map(KvBuf::tokens).sum::<usize>() > capacity {
            left.push(tier.remove(0));
        }
        left
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        /// What is folded is what a plain loop over the same beacons folds: after each chunk the
        /// oldest whole blocks beyond the tier's capacity, in order, in one fold.
        #[test]
        fn equals_a_plain_loop(
            capacity in 0usize..40,
            chunks in prop::collection::vec(prop::collection::vec(0usize..=16, 0..5), 1..12),
        ) {
            let mut engine = engine();
            let geometry = engine.card().geometry(64);
            let mut window = window();
            let mut beacons = Beacons::new(geometry, &[4, 8], Ratio::Fixed(0), capacity).folding();
            let mut gist = Gist::new(geometry, SLOTS, 80, false, false);
            let mut want = GistState::new(geometry, SLOTS);
            let (mut tier, mut all, mut folded) = (Vec::new(), 0, 0);
            for sizes in chunks {
                for n in sizes {
                    let kv = block(geometry, n, all);
                    beacons.restore(4, n, kv.view(), false);
                    tier.push(kv);
                    all += 1;
                }
                gist.fold(&mut beacons, &mut window).unwrap();
                let left = leave(&mut tier, capacity);
                folded += left.iter().map(KvBuf::tokens).sum::<usize>();
                let mut kv = KvBuf::with_capacity(geometry, 80);
                gather(left.iter().map(KvBuf::view), &mut kv);
                engine.fold(&Fold { beacons: kv.view(), question: None }, &mut want).unwrap();
                prop_assert_eq!(gist.state().kv().k(), want.kv().k());
                prop_assert_eq!(gist.state().kv().v(), want.kv().v());
                prop_assert_eq!(gist.state().folds(), want.folds());
                prop_assert_eq!(gist.covers(), folded as u64);
                prop_assert_eq!(beacons.held(), tier.iter().map(KvBuf::tokens).sum::<usize>());
            }
        }
    }

    #[test]
    fn more_than_the_plan_has_room_for_is_folded_in_several_folds() {
        let geometry = engine().card().geometry(64);
        let mut window = window();
        let mut beacons = Beacons::new(geometry, &[4, 8], Ratio::Fixed(0), 0).folding();
        let mut gist = Gist::new(geometry, SLOTS, 16, false, true);
        for i in 0..5 {
            beacons.restore(4, 40, block(geometry, 10, i).view(), false);
        }
        assert!(gist.shown(false).is_none(), "nothing was folded yet");
        gist.fold(&mut beacons, &mut window).unwrap();
        assert_eq!((gist.state().folds(), gist.covers()), (5, 200));
        assert!(gist.shown(true).is_none());
        let zeros = gist.shown(false).unwrap();
        assert!(zeros.tokens() == SLOTS && zeros.k().iter().chain(zeros.v()).all(|x| *x == 0.0));
        gist.clear();
        assert!(gist.shown(false).is_none() && gist.covers() == 0);
    }

    #[test]
    fn a_state_goes_on_from_its_bytes() {
        let geometry = engine().card().geometry(64);
        let mut window = window();
        let mut beacons = Beacons::new(geometry, &[4, 8], Ratio::Fixed(0), 0).folding();
        let mut gist = Gist::new(geometry, SLOTS, 80, false, false);
        beacons.restore(4, 40, block(geometry, 10, 1).view(), false);
        beacons.restore(4, 24, block(geometry, 6, 2).view(), false);
        gist.fold(&mut beacons, &mut window).unwrap();
        assert_eq!((gist.blocks(), gist.covers(), gist.unkept()), (2, 64, 1));
        let mut bytes = Vec::new();
        gist.write_bytes(&mut bytes);
        assert_eq!(gist.unkept(), 0);
        let mut other = Gist::new(geometry, SLOTS, 80, false, false);
        for n in 0..bytes.len() {
            assert!(other.resume(&bytes[..n]).is_err(), "{n} bytes");
        }
        assert!(other.state().is_fresh());
        other.resume(&bytes).unwrap();
        assert_eq!((other.blocks(), other.covers(), other.unkept()), (2, 64, 0));
        let mut again = Vec::new();
        other.write_bytes(&mut again);
        assert_eq!(again, bytes);
        bytes[0] = 9;
        assert!(other.resume(&bytes).is_err());
    }

    #[test]
    fn rows_are_gathered_head_by_head() {
        let g = Geometry { layers: 2, kv_heads: 1, head_dim: 2, block_tokens: 64 };
        let blocks = [block(g, 2, 1), block(g, 0, 2), block(g, 3, 3)];
        let views = blocks.iter().map(KvBuf::view);
        let fits = [0, 1, 2, 4, 5].map(|room| fitting(views.clone(), room));
        assert_eq!(fits, [0, 0, 2, 2, 3]);
        let mut out = KvBuf::with_capacity(g, 5);
        gather(views, &mut out);
        for layer in 0..2 {
            let (a, b) = (blocks[0].view(), blocks[2].view());
            let want = [a.k_head(layer, 0), b.k_head(layer, 0)].concat();
            assert_eq!(out.view().k_head(layer, 0), want);
            let want = [a.v_head(layer, 0), b.v_head(layer, 0)].concat();
            assert_eq!(out.view().v_head(layer, 0), want);
        }
    }
}
