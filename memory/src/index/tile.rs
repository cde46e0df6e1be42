//! Address vectors as the kernels want them.
//!
//! Sixteen vectors make a group. A lane holds four neighbouring values of each of the sixteen, plus
//! 128, as unsigned bytes: one 512-bit register (two of 256 bits, four of 128) whose every 32-bit
//! part belongs to another vector, so that a dot product needs no sum across a register. A group
//! has `ceil(dim / 4)` lanes. A *place* is where a vector stands, counted over all groups.

use crate::{BlockAddress, HeadAddress, format::page::HeadEntry};

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

/// A lane of vectors of zeros.
pub(crate) const ZEROS: Lane = Lane([OFFSET; LANE]);

/// Lanes of one group.
pub(crate) const fn lanes_per_group(dim: usize) -> usize {
    dim.div_ceil(STEP)
}

/// Lanes of the groups that `places` places take.
pub(crate) const fn lanes_of(places: usize, dim: usize) -> usize {
    places.div_ceil(GROUP) * lanes_per_group(dim)
}

/// The address of one block: heads whose places count within `lanes`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AddressRef<'a> {
    pub(crate) lanes: &'a [Lane],
    pub(crate) heads: &'a [HeadEntry],
}

impl<'a> AddressRef<'a> {
    /// The lanes of one head, which begins a group.
    pub(crate) fn head(&self, head: &HeadEntry, dim: usize) -> &'a [Lane] {
        let first = lanes_of(head.first as usize, dim);
        let lanes = lanes_of(head.vectors as usize, dim);
        self.lanes.get(first..first + lanes).unwrap_or(&[])
    }

    /// The address as it was.
    pub(crate) fn to_address(self, dim: usize) -> BlockAddress {
        let heads = self.heads.iter().map(|h| {
            let places = h.first as usize..h.first as usize + h.vectors as usize;
            let row = |place: usize| (0..dim).map(move |d| value_of(self.lanes, dim, place, d));
            let vectors = places.flat_map(row).collect();
            HeadAddress { vectors, scale: h.scale, mean: h.mean, spread: h.spread }
        });
        BlockAddress { heads: heads.collect() }
    }
}

/// The address of one block on its own. Every head begins a group.
#[derive(Clone, Debug)]
pub(crate) struct AddressTiles {
    lanes: Box<[Lane]>,
    heads: Box<[HeadEntry]>,
}

impl AddressTiles {
    /// Tiles of one block's address. `None` when there is nothing to find it by.
    pub(crate) fn new(address: &BlockAddress, dim: usize) -> Option<Self> {
        if address.is_empty() {
            return None;
        }
        let mut lanes = Vec::new();
        let mut heads = Vec::with_capacity(address.heads.len());
        for head in &address.heads {
            let mut region = Region::new(lanes.len() / lanes_per_group(dim).max(1) * GROUP, dim);
            heads.push(region.put(head, GROUP, &mut lanes));
        }
        Some(Self { lanes: lanes.into(), heads: heads.into() })
    }

    pub(crate) fn view(&self) -> AddressRef<'_> {
        AddressRef { lanes: &self.lanes, heads: &self.heads }
    }

    /// Bytes of its lanes.
    pub(crate) fn bytes(&self) -> usize {
        self.lanes.len() * LANE
    }
}

/// Value `d` of the vector at `place`; 0 outside.
pub(crate) fn value_of(lanes: &[Lane], dim: usize, place: usize, d: usize) -> i8 {
    let lane = lanes.get(place / GROUP * lanes_per_group(dim) + d / STEP);
    lane.map_or(0, |l| (l.0[place % GROUP * STEP + d % STEP] ^ OFFSET).cast_signed())
}

/// Lays vectors of one head, block after block, into groups that follow each other.
#[derive(Debug)]
pub(crate) struct Region {
    dim: usize,
    /// The next free place.
    next: usize,
}

impl Region {
    /// A region that begins with the group of place `first`.
    pub(crate) const fn new(first: usize, dim: usize) -> Self {
        Self { dim, next: first }
    }

    /// Lays the vectors of one block. They take a multiple of `unit` places; the last one is
    /// repeated in what is left, so that the largest dot product is the same.
    pub(crate) fn put(
        &mut self,
        head: &HeadAddress,
        unit: usize,
        lanes: &mut Vec<Lane>,
    ) -> HeadEntry {
        let dim = self.dim;
        let vectors = head.vectors.len().checked_div(dim).unwrap_or(0);
        let first = self.next;
        let places = vectors.next_multiple_of(unit);
        lanes.resize(lanes_of(first + places, dim).max(lanes.len()), ZEROS);
        for place in 0..places {
            let row = &head.vectors[place.min(vectors - 1) * dim..][..dim];
            let at = first + place;
            let group = &mut lanes[at / GROUP * lanes_per_group(dim)..][..lanes_per_group(dim)];
            for (lane, values) in group.iter_mut().zip(row.chunks(STEP)) {
                let to = &mut lane.0[at % GROUP * STEP..];
                for (to, from) in to.iter_mut().zip(values) {
                    *to = from.cast_unsigned() ^ OFFSET;
                }
            }
        }
        self.next += places;
        HeadEntry {
            first: first as u32,
            vectors: vectors as u32,
            scale: head.scale,
            mean: head.mean,
            spread: head.spread,
        }
    }
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
            prop_assert_eq!(tiles.view().to_address(dim), address);
        }
    }
}
