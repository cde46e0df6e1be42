//! The best few of many scores.

use std::{cmp::Ordering, collections::BinaryHeap};

use crate::BlockId;

/// Ordered so that the worst is the greatest: a max-heap then gives up the worst first.
#[derive(Clone, Copy, Debug)]
struct Scored(f32, BlockId);

impl Ord for Scored {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.total_cmp(&self.0).then(self.1.cmp(&other.1))
    }
}

impl PartialOrd for Scored {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scored {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scored {}

/// Keeps the `k` largest scores; among equals the smaller id.
#[derive(Debug)]
pub(crate) struct Top {
    k: usize,
    heap: BinaryHeap<Scored>,
}

impl Top {
    pub(crate) fn new(k: usize) -> Self {
        Self { k, heap: BinaryHeap::with_capacity(k.saturating_add(1).min(65_536)) }
    }

    pub(crate) fn offer(&mut self, score: f32, id: BlockId) {
        let new = Scored(score, id);
        if self.heap.len() < self.k {
            self.heap.push(new);
        } else if let Some(mut worst) = self.heap.peek_mut()
            && new < *worst
        {
            *worst = new;
        }
    }

    /// Whether a score may be among the best.
    pub(crate) fn wants(&self, score: f32) -> bool {
        self.heap.len() < self.k || self.heap.peek().is_some_and(|worst| score >= worst.0)
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for Scored(score, id) in other.heap {
            self.offer(score, id);
        }
    }

    /// The blocks, in any order.
    pub(crate) fn into_ids(self) -> Vec<BlockId> {
        self.heap.into_iter().map(|s| s.1).collect()
    }

    /// Best first.
    pub(crate) fn into_sorted(self) -> Vec<(f32, BlockId)> {
        self.heap.into_sorted_vec().into_iter().map(|s| (s.0, s.1)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_keeps_what_sorting_keeps(
            scores in prop::collection::vec(-3_i8..3, 0..60), k in 0_usize..9,
        ) {
            let mut top = Top::new(k);
            let mut all = Vec::new();
            for (i, s) in scores.iter().enumerate() {
                let item = (f32::from(*s), BlockId(i as u64));
                top.offer(item.0, item.1);
                all.push(item);
            }
            all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            all.truncate(k);
            prop_assert_eq!(top.into_sorted(), all);
        }
    }
}
