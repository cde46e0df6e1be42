//! Fusing the two rankings of blocks: by address and by text.
//!
//! Reciprocal rank fusion (Cormack, Clarke and Buettcher 2009) with a weight a ranking and a small
//! constant, so that a first place counts for much more than a tenth. Pure; tested by table.

use lcedge_memory::BlockId;

/// Which ranking found a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FoundBy {
    /// Place in the ranking by address, from 1.
    pub address: Option<u16>,
    /// Place in the ranking by text, from 1.
    pub lexical: Option<u16>,
}

impl FoundBy {
    /// The names that a citation carries.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        let a = self.address.map(|_| "address");
        let l = self.lexical.map(|_| "lexical");
        a.into_iter().chain(l).collect()
    }
}

/// A block with its fused score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranked {
    /// The block.
    pub id: BlockId,
    /// Fused score; larger is better; 1 is first place in every ranking that was used.
    pub score: f32,
    /// Who found it.
    pub found_by: FoundBy,
}

/// Weights of the two rankings and the constant of the formula.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fusion {
    /// Weight of the ranking by address; 0 leaves it out.
    pub address: f32,
    /// Weight of the ranking by text; 0 leaves it out.
    pub lexical: f32,
    /// Added to every rank.
    pub k: f32,
}

impl Default for Fusion {
    fn default() -> Self {
        Self { address: 0.7, lexical: 1.0, k: 6.0 }
    }
}

impl Fusion {
    /// Fuses two rankings, best first each. Blocks of equal score keep the order of their ids.
    #[must_use]
    pub fn fuse(&self, by_address: &[BlockId], by_text: &[BlockId]) -> Vec<Ranked> {
        let mut all: Vec<Ranked> = Vec::with_capacity(by_address.len() + by_text.len());
        let used = |weight: f32, list: &[BlockId]| if list.is_empty() { 0.0 } else { weight };
        let total = used(self.address, by_address) + used(self.lexical, by_text);
        let lists = [(self.address, by_address, true), (self.lexical, by_text, false)];
        for (weight, list, is_address) in lists {
            if weight <= 0.0 {
                continue;
            }
            for (i, &id) in list.iter().enumerate() {
                let share = weight / total * (self.k + 1.0) / (self.k + 1.0 + i as f32);
                let place = u16::try_from(i + 1).ok();
                let at = all.iter().position(|r| r.id == id).unwrap_or_else(|| {
                    all.push(Ranked { id, score: 0.0, found_by: FoundBy::default() });
                    all.len() - 1
                });
                all[at].score += share;
                if is_address {
                    all[at].found_by.address = place;
                } else {
                    all[at].found_by.lexical = place;
                }
            }
        }
        all.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(list: &[u64]) -> Vec<BlockId> {
        list.iter().map(|&i| BlockId(i)).collect()
    }

    #[test]
    fn fusion_by_table() {
        let f = Fusion { address: 1.0, lexical: 1.0, k: 1.0 };
        // Shares at ranks 1, 2, 3: 2/2, 2/3, 2/4, each times 1/2.
        type Case = (&'static [u64], &'static [u64], &'static [(u64, f32)]);
        let cases: [Case; 5] = [
            (&[], &[], &[]),
            (&[7], &[], &[(7, 1.0)]),
            (&[], &[3, 4], &[(3, 1.0), (4, 2.0 / 3.0)]),
            (&[1, 2], &[2, 1], &[(1, 5.0 / 6.0), (2, 5.0 / 6.0)]),
            (&[1, 2, 3], &[3, 4], &[(3, 0.75), (1, 0.5), (2, 1.0 / 3.0), (4, 1.0 / 3.0)]),
        ];
        for (a, t, want) in cases {
            let got = f.fuse(&ids(a), &ids(t));
            assert_eq!(got.len(), want.len());
            for (g, w) in got.iter().zip(want) {
                assert_eq!(g.id.0, w.0, "{a:?} {t:?}");
                assert!((g.score - w.1).abs() < 1e-6, "{g:?} {w:?}");
            }
        }
    }

    #[test]
    fn a_ranking_of_weight_zero_is_left_out() {
        let f = Fusion { address: 0.0, lexical: 1.0, k: 6.0 };
        let got = f.fuse(&ids(&[9, 8]), &ids(&[1]));
        assert_eq!(got.len(), 1);
        assert_eq!(got[0].found_by, FoundBy { address: None, lexical: Some(1) });
    }
}
