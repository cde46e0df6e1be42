//! The integer pass over pages and over single blocks.

use super::{
    Keep,
    kernel::Kernel,
    page::Page,
    query::{PreparedQuery, weighted},
    tile::{AddressRef, GROUP, lanes_per_group},
    top::Top,
};
use crate::{
    BlockId,
    format::page::HeadEntry,
    snapshot::{Chunk, Part, Snapshot},
};

/// One thread's scan.
pub(super) struct Scan<'a> {
    snapshot: &'a Snapshot,
    prepared: &'a PreparedQuery,
    kernel: Kernel,
    keep: Keep<'a>,
    /// Dot products.
    dots: Vec<i32>,
    /// A page's sums over the query vectors of one head, and its scores.
    sums: Vec<f32>,
    scores: Vec<f32>,
    /// Heads of a page's blocks, or of one block and the next.
    heads: Vec<HeadEntry>,
    ahead: Vec<HeadEntry>,
}

impl<'a> Scan<'a> {
    pub(super) fn new(
        snapshot: &'a Snapshot,
        prepared: &'a PreparedQuery,
        kernel: Kernel,
        keep: Keep<'a>,
    ) -> Self {
        Self {
            snapshot,
            prepared,
            kernel,
            keep,
            dots: prepared.scratch(),
            sums: Vec::new(),
            scores: Vec::new(),
            heads: Vec::new(),
            ahead: Vec::new(),
        }
    }

    pub(super) fn part(&mut self, part: &Part<'a>, top: &mut Top) {
        match part {
            Part::Page(page) => {
                if self.snapshot.unit() < GROUP {
                    self.shared_groups(page, top);
                } else {
                    self.own_groups(page, top);
                }
                page.done();
            }
            Part::Tail(chunk) => self.tail(chunk, top),
        }
    }

    /// Whether block `at` of a page may be given.
    fn keeps(&self, page: &Page, at: usize) -> bool {
        !self.snapshot.is_removed(page.id(at)) && self.keep.is_none_or(|k| k(&page.entry(at)))
    }

    /// The first block from `from` on that may be given; its heads go to `ahead`.
    fn next_kept(&mut self, page: &Page, from: usize) -> Option<usize> {
        let at = (from..page.len()).find(|at| self.keeps(page, *at));
        self.ahead.clear();
        if let Some(at) = at {
            self.ahead.extend(self.prepared.indices().map(|h| page.head(h, at)));
        }
        at
    }

    /// A page whose blocks have groups of their own.
    fn own_groups(&mut self, page: &Page, top: &mut Top) {
        let lanes = page.vectors();
        let mut next = self.next_kept(page, 0);
        while let Some(at) = next {
            std::mem::swap(&mut self.heads, &mut self.ahead);
            next = self.next_kept(page, at + 1);
            if self.heads.iter().all(|h| h.vectors == 0) {
                continue;
            }
            let block = AddressRef { lanes, heads: &self.heads };
            let ahead = AddressRef { lanes, heads: &self.ahead };
            let score = self.prepared.score(block, Some(ahead), self.kernel, &mut self.dots);
            top.offer(score, page.id(at));
        }
    }

    /// A page whose blocks share groups: all dot products at once, then the largest of each block.
    fn shared_groups(&mut self, page: &Page, top: &mut Top) {
        let blocks = page.len();
        self.scores.clear();
        self.scores.resize(blocks, f32::NEG_INFINITY);
        for h in self.prepared.indices() {
            self.head_of_shared(page, h);
        }
        for at in 0..blocks {
            let score = self.scores[at];
            if score > f32::NEG_INFINITY && top.wants(score) && self.keeps(page, at) {
                top.offer(score, page.id(at));
            }
        }
    }

    /// Adds a head's share to the scores of all blocks that have vectors of it.
    fn head_of_shared(&mut self, page: &Page, h: usize) {
        let dim = self.snapshot.dim();
        let region = page.region(h, dim);
        let places = region.len() / lanes_per_group(dim).max(1) * GROUP;
        if self.dots.len() < places {
            self.dots.resize(places, 0);
        }
        let dots = &mut self.dots[..places];
        self.heads.clear();
        self.heads.extend(page.heads_of_all(h));
        self.sums.clear();
        self.sums.resize(page.len(), 0.0);
        // Places count over the whole page, dot products over this region.
        let base = self.heads.first().map_or(0, |head| head.first as usize);
        let mut vectors = 0_u16;
        for query in self.prepared.vectors(h) {
            vectors += 1;
            self.kernel.dots(region, query.words, dots);
            for (head, sum) in self.heads.iter().zip(&mut self.sums) {
                let from = (head.first as usize).saturating_sub(base);
                let own = dots.get(from..from + head.vectors as usize);
                if let Some(largest) = own.unwrap_or(&[]).iter().max() {
                    *sum += query.value(*largest);
                }
            }
        }
        for ((head, sum), score) in self.heads.iter().zip(&self.sums).zip(&mut self.scores) {
            if head.vectors == 0 {
                continue;
            }
            // A block has a score once it has vectors of any head.
            let before = if *score == f32::NEG_INFINITY { 0.0 } else { *score };
            let mean = *sum / f32::from(vectors.max(1));
            let share = weighted(self.prepared.weight(h), mean, head);
            *score = before + if vectors > 0 { share } else { 0.0 };
        }
    }

    fn tail(&mut self, chunk: &Chunk, top: &mut Top) {
        for block in chunk {
            let kept = self.keep.is_none_or(|k| k(&block.entry));
            if let Some(address) = block.address.as_ref().filter(|_| kept) {
                let score = self.prepared.score(address.view(), None, self.kernel, &mut self.dots);
                top.offer(score, block.entry.info.id);
            }
        }
    }

    /// Single blocks, each with groups of its own.
    pub(super) fn blocks(&mut self, ids: &mut dyn Iterator<Item = &BlockId>, top: &mut Top) {
        let (prepared, kernel) = (self.prepared, self.kernel);
        for id in ids {
            let dots = &mut self.dots;
            let score = self.snapshot.with_address(*id, |a| prepared.score(a, None, kernel, dots));
            if let Some(score) = score {
                top.offer(score, *id);
            }
        }
    }
}
