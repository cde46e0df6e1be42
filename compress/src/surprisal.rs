//! Keeps the tokens that surprised the model most (SirLLM, Yao et al. 2024, arXiv 2405.12528):
//! their keys and values stay in attention, all others leave it. A decay lets old surprises fade.

use lcedge_memory::{KvBuf, KvView};

use crate::condense::{Condense, CondenseError, Condensed, scored};

/// Surprisal-based selection with decay.
#[derive(Clone, Debug)]
pub struct Surprisal {
    decay: f32,
    order: Vec<(f32, usize)>,
    scratch: Option<KvBuf>,
}

impl Surprisal {
    /// `decay` in 0..=1 multiplies every kept token's weight once a block; 1 never forgets.
    #[must_use]
    pub fn new(decay: f32) -> Self {
        Self { decay: decay.clamp(0.0, 1.0), order: Vec::new(), scratch: None }
    }
}

impl Condense for Surprisal {
    fn name(&self) -> &'static str {
        "surprisal"
    }

    fn absorb(
        &mut self,
        block: KvView<'_>,
        surprise: &[f32],
        state: &mut Condensed,
    ) -> Result<(), CondenseError> {
        scored(block, surprise)?;
        let old = state.len();
        for w in &mut state.weight {
            *w *= self.decay;
        }
        // Candidates in order of time: what is kept already, then the block's tokens.
        self.order.clear();
        self.order.extend(state.weight.iter().chain(surprise).copied().zip(0..));
        let keep = state.kv.capacity().min(self.order.len());
        self.order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        self.order.truncate(keep);
        self.order.sort_by_key(|&(_, i)| i);

        let capacity = state.kv.capacity();
        let geometry = state.kv.geometry();
        let next = self.scratch.get_or_insert_with(|| KvBuf::with_capacity(geometry, capacity));
        let (k, v) = next.fill(keep);
        let held = state.kv.view();
        gather(&self.order, old, held.k(), block.k(), (old, block.tokens()), geometry, k);
        gather(&self.order, old, held.v(), block.v(), (old, block.tokens()), geometry, v);
        std::mem::swap(next, &mut state.kv);
        state.weight.clear();
        state.weight.extend(self.order.iter().map(|&(w, _)| w));
        state.covers.clear();
        state.covers.resize(keep, 1);
        Ok(())
    }
}

/// Copies the chosen tokens, head by head, from what was held and from the block.
fn gather(
    chosen: &[(f32, usize)],
    old: usize,
    held: &[f32],
    block: &[f32],
    tokens: (usize, usize),
    geometry: lcedge_memory::Geometry,
    out: &mut [f32],
) {
    let d = geometry.head_dim as usize;
    let heads = geometry.layers as usize * geometry.kv_heads as usize;
    for (head, rows) in out.chunks_exact_mut(chosen.len().max(1) * d).enumerate().take(heads) {
        for (row, &(_, i)) in rows.chunks_exact_mut(d).zip(chosen) {
            let from = if i < old {
                let at = (head * tokens.0 + i) * d;
                &held[at..at + d]
            } else {
                let at = (head * tokens.1 + i - old) * d;
                &block[at..at + d]
            };
            row.copy_from_slice(from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lcedge_memory::Geometry;

    const G: Geometry = Geometry { layers: 2, kv_heads: 2, head_dim: 2, block_tokens: 8 };

    /// Every value names its token: token `t` has keys `t` and values `-t`.
    fn block(first: usize, n: usize) -> KvBuf {
        let mut b = KvBuf::with_capacity(G, 8);
        let (k, v) = b.fill(n);
        for i in 0..k.len() {
            let t = (first + (i / 2) % n) as f32;
            (k[i], v[i]) = (t, -t);
        }
        b
    }

    fn kept(state: &Condensed) -> Vec<f32> {
        let v = state.kv.view();
        let first: Vec<f32> = v.k_head(0, 0).iter().step_by(2).copied().collect();
        for l in 0..2 {
            for h in 0..2 {
                let k: Vec<f32> = v.k_head(l, h).iter().step_by(2).copied().collect();
                let w: Vec<f32> = v.v_head(l, h).iter().step_by(2).map(|x| -x).collect();
                assert_eq!((&k, &w), (&first, &first), "all heads keep the same tokens");
            }
        }
        first
    }

    #[test]
    fn keeps_the_most_surprising_in_order_of_time() {
        let mut c = Surprisal::new(1.0);
        let mut s = Condensed::with_capacity(G, 3);
        c.absorb(block(0, 4).view(), &[1.0, 9.0, 2.0, 3.0], &mut s).unwrap();
        assert_eq!(kept(&s), [1.0, 2.0, 3.0]);
        c.absorb(block(4, 4).view(), &[0.0, 5.0, 0.5, 7.0], &mut s).unwrap();
        assert_eq!(kept(&s), [1.0, 5.0, 7.0]);
    }

    #[test]
    fn decay_lets_old_surprises_go() {
        let mut c = Surprisal::new(0.1);
        let mut s = Condensed::with_capacity(G, 2);
        c.absorb(block(0, 2).view(), &[9.0, 8.0], &mut s).unwrap();
        c.absorb(block(2, 2).view(), &[1.0, 0.85], &mut s).unwrap();
        assert_eq!(kept(&s), [0.0, 2.0]);
    }

    #[test]
    fn equals_a_sort_of_everything_without_decay() {
        let mut c = Surprisal::new(1.0);
        let mut s = Condensed::with_capacity(G, 5);
        let mut all = Vec::new();
        for b in 0..6 {
            let scores: Vec<f32> =
                (0..7).map(|i| ((((b * 7 + i) * 2_654_435_761u64) >> 7) % 1000) as f32).collect();
            all.extend(scores.iter().copied().zip((b * 7) as usize..));
            c.absorb(block((b * 7) as usize, 7).view(), &scores, &mut s).unwrap();
        }
        all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut want: Vec<f32> = all[..5].iter().map(|x| x.1 as f32).collect();
        want.sort_by(f32::total_cmp);
        assert_eq!(kept(&s), want);
    }

    #[test]
    fn wrong_scores_are_refused() {
        let mut s = Condensed::with_capacity(G, 2);
        assert_eq!(
            Surprisal::new(1.0).absorb(block(0, 3).view(), &[1.0], &mut s),
            Err(CondenseError::Scores { scores: 1, tokens: 3 })
        );
    }
}
