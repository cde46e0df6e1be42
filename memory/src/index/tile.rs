//! Address vectors as the kernels want them.
//!
//! Sixteen vectors make a group. A lane holds four neighbouring values of each of the sixteen, plus
//! 128, as unsigned bytes: one 512-bit register (two of 256 bits, four of 128) whose every 32-bit
//! part belongs to another vector, so that a dot product needs no sum across a register. A group
//! has `ceil(dim / 4)` lanes.

use std::sync::Arc;

use crate::{BlockAddress, HeadAddress};

/// Vectors of a group.
pub(crate) const GROUP: usize = 16;
/// Values of one vector in a lane.
pub(crate) const STEP: usize = 4;
/// Bytes of a lane.
pub(crate) const LANE: usize = GROUP * STEP;
/// What is added to a value.
pub(crate) const OFFSET: u8 = 128;

/// One lane, aligned for any kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub(crate) struct Lane(pub(crate) [u8; LANE]);

/// Lanes of one group.
pub(crate) const fn lanes_per_group(dim: usize) -> usize {
    dim.div_ceil(STEP)
}

/// One head of one block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct HeadTiles {
    /// First lane in the shared lanes.
    pub(crate) first: usize,
    /// Vectors, without those that fill the last group.
    pub(crate) vectors: usize,
    pub(crate) scale: f32,
    pub(crate) mean: f32,
    pub(crate) spread: f32,
}

impl HeadTiles {
    /// Lanes that the head takes.
    pub(crate) const fn lanes(&self, dim: usize) -> usize {
        self.vectors.div_ceil(GROUP) * lanes_per_group(dim)
    }
}

/// The address of one block: its heads within lanes that it may share with other blocks.
#[derive(Clone, Debug)]
pub(crate) struct AddressTiles {
    pub(crate) lanes: Arc<[Lane]>,
    pub(crate) heads: Box<[HeadTiles]>,
}

impl AddressTiles {
    /// Tiles of one block's address, on their own. `None` when there is nothing to find it by.
    pub(crate) fn new(address: &BlockAddress, dim: usize) -> Option<Self> {
        if address.is_empty() {
            return None;
        }
        let mut lanes = Vec::new();
        let heads = address.heads.iter().map(|h| lay(h, dim, &mut lanes)).collect();
        Some(Self { lanes: lanes.into(), heads })
    }

    /// The lanes of one head.
    pub(crate) fn head(&self, head: &HeadTiles, dim: usize) -> &[Lane] {
        self.lanes.get(head.first..head.first + head.lanes(dim)).unwrap_or(&[])
    }

    /// The address as it was.
    pub(crate) fn to_address(&self, dim: usize) -> BlockAddress {
        let heads = self.heads.iter().map(|h| {
            let lanes = self.head(h, dim);
            let value = |v: usize, d: usize| value_of(lanes, dim, v, d);
            let vectors = (0..h.vectors).flat_map(|v| (0..dim).map(move |d| value(v, d))).collect();
            HeadAddress { vectors, scale: h.scale, mean: h.mean, spread: h.spread }
        });
        BlockAddress { heads: heads.collect() }
    }

    /// Bytes of its lanes.
    pub(crate) fn bytes(&self, dim: usize) -> usize {
        self.heads.iter().map(|h| h.lanes(dim) * LANE).sum()
    }
}

/// Value `d` of vector `v`.
pub(crate) fn value_of(lanes: &[Lane], dim: usize, v: usize, d: usize) -> i8 {
    let lane = &lanes[v / GROUP * lanes_per_group(dim) + d / STEP];
    (lane.0[v % GROUP * STEP + d % STEP] ^ OFFSET).cast_signed()
}

/// Appends the lanes of one head.
fn lay(head: &HeadAddress, dim: usize, lanes: &mut Vec<Lane>) -> HeadTiles {
    let vectors = head.vectors.len().checked_div(dim).unwrap_or(0);
    let first = lanes.len();
    for group in 0..vectors.div_ceil(GROUP) {
        for step in 0..lanes_per_group(dim) {
            let mut lane = Lane([OFFSET; LANE]);
            for (i, values) in lane.0.chunks_exact_mut(STEP).enumerate() {
                let v = (group * GROUP + i).min(vectors - 1);
                let row = &head.vectors[v * dim..(v + 1) * dim];
                for (to, from) in values.iter_mut().zip(&row[step * STEP..]) {
                    *to = from.cast_unsigned() ^ OFFSET;
                }
            }
            lanes.push(lane);
        }
    }
    HeadTiles { first, vectors, scale: head.scale, mean: head.mean, spread: head.spread }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn tiles_give_the_address_back(
            n in 0_usize..40, m in 1_usize..20, dim in 1_usize..19, seed: u8,
        ) {
            let code = |i: usize| (i as u8).wrapping_mul(37).wrapping_add(seed).cast_signed();
            let head = |n: usize| HeadAddress {
                vectors: (0..n * dim).map(code).collect(),
                scale: 0.5, mean: 1.0, spread: 2.0,
            };
            let address = BlockAddress { heads: vec![head(n), head(m)] };
            let tiles = AddressTiles::new(&address, dim).unwrap();
            prop_assert_eq!(tiles.to_address(dim), address);
        }
    }
}
