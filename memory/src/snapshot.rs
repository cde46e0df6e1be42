//! What a reader sees: an unchanging list of blocks and sources, cheap to clone and to extend.
//!
//! All but the newest blocks lie in pages of the index, which are mapped: RAM holds a pointer a
//! page. The newest ones, fewer than a page and what is not committed, are held one by one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    AddressLayout, BlockId, BlockInfo, SourceId,
    index::{
        gauge::Gauge,
        page::{self, Page},
        tile::{AddressRef, AddressTiles},
    },
    shared::SourceEntry,
};

/// Blocks of one chunk. Publishing copies at most this many pointers.
const CHUNK: usize = 128;

/// A block and where it lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) info: BlockInfo,
    pub(crate) segment: u32,
    pub(crate) offset: u64,
    /// Bytes of the record.
    pub(crate) bytes: u64,
}

/// A block that is in no page yet, and what it is found by.
#[derive(Clone, Debug)]
pub(crate) struct TailEntry {
    pub(crate) entry: Entry,
    pub(crate) address: Option<AddressTiles>,
}

/// Blocks in the order of their ids.
pub(crate) type Chunk = Vec<Arc<TailEntry>>;

/// Source versions by id.
pub(crate) type Sources = BTreeMap<SourceId, Arc<SourceEntry>>;

/// A piece of the work of a search.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part<'a> {
    Page(&'a Page),
    Tail(&'a Chunk),
}

/// All that is published at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    layout: AddressLayout,
    gauge: Arc<Gauge>,
    /// In the order of their blocks' ids, which do not overlap.
    pages: Arc<Vec<Arc<Page>>>,
    /// Blocks of pages that are not served any more.
    removed: Arc<BTreeSet<BlockId>>,
    /// Blocks with larger ids than those of all pages. All chunks are full but the last.
    tail: Vec<Arc<Chunk>>,
    len: usize,
    sources: Arc<Sources>,
}

/// Where a block is held.
enum Place<'a> {
    Page(&'a Page, usize),
    Tail(&'a Arc<TailEntry>),
}

impl Snapshot {
    pub(crate) fn new(layout: AddressLayout, gauge: Arc<Gauge>) -> Self {
        Self {
            layout,
            gauge,
            pages: Arc::default(),
            removed: Arc::default(),
            tail: Vec::new(),
            len: 0,
            sources: Arc::default(),
        }
    }

    /// Blocks.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Width of an address vector.
    pub(crate) fn dim(&self) -> usize {
        usize::from(self.layout.dim)
    }

    /// Places that a block's vectors of one head are rounded up to.
    pub(crate) fn unit(&self) -> usize {
        page::unit(self.layout)
    }

    /// Most vectors that a block has.
    pub(crate) fn vectors_max(&self) -> usize {
        usize::from(self.layout.heads) * usize::from(self.layout.vectors_max)
    }

    pub(crate) fn sources(&self) -> &Arc<Sources> {
        &self.sources
    }

    pub(crate) fn set_sources(&mut self, sources: Arc<Sources>) {
        self.sources = sources;
    }

    pub(crate) fn pages(&self) -> &[Arc<Page>] {
        &self.pages
    }

    /// All blocks in pieces of about a page.
    pub(crate) fn parts(&self) -> Vec<Part<'_>> {
        let pages = self.pages.iter().map(|p| Part::Page(p));
        pages.chain(self.tail.iter().map(|c| Part::Tail(c))).collect()
    }

    /// Blocks that are in no page, by id.
    pub(crate) fn tail(&self) -> impl DoubleEndedIterator<Item = &Arc<TailEntry>> {
        self.tail.iter().flat_map(|c| c.iter())
    }

    /// Adds a block whose id is above all others.
    pub(crate) fn push(&mut self, entry: TailEntry) {
        self.push_shared(Arc::new(entry));
    }

    fn push_shared(&mut self, entry: Arc<TailEntry>) {
        self.len += 1;
        match self.tail.last_mut().filter(|c| c.len() < CHUNK) {
            Some(last) => Arc::make_mut(last).push(entry),
            None => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(entry);
                self.tail.push(Arc::new(chunk));
            }
        }
    }

    /// Puts pages in place of all that there are, and of the tail's blocks that they hold.
    pub(crate) fn set_pages(&mut self, pages: Vec<Arc<Page>>) {
        let last = pages.last().map(|p| p.id_last());
        let rest: Vec<Arc<TailEntry>> =
            self.tail().filter(|e| last.is_none_or(|l| e.entry.info.id > l)).cloned().collect();
        self.removed = Arc::new(
            self.removed
                .iter()
                .filter(|id| page_of(&pages, **id).is_some_and(|p| p.find(**id).is_some()))
                .copied()
                .collect(),
        );
        self.len = pages.iter().map(|p| p.len()).sum::<usize>() - self.removed.len();
        self.pages = Arc::new(pages);
        self.tail.clear();
        for entry in rest {
            self.push_shared(entry);
        }
    }

    /// Changes where blocks are, or takes them out. `pages` are all pages, with the changes in
    /// them.
    pub(crate) fn change(
        &mut self,
        changed: &BTreeMap<BlockId, Option<Entry>>,
        pages: Vec<Arc<Page>>,
    ) {
        let tail: Vec<Arc<TailEntry>> = self.tail().cloned().collect();
        self.tail.clear();
        self.set_pages(pages);
        for old in tail {
            match changed.get(&old.entry.info.id) {
                None => self.push_shared(old),
                Some(None) => {}
                Some(Some(entry)) => {
                    self.push(TailEntry { entry: *entry, address: old.address.clone() });
                }
            }
        }
    }

    /// Adds a page of the tail's first blocks.
    pub(crate) fn fold(&mut self, page: Arc<Page>) {
        let mut pages = self.pages.as_ref().clone();
        pages.push(page);
        self.set_pages(pages);
    }

    /// Takes out all blocks that are in no page.
    pub(crate) fn clear_tail(&mut self) {
        self.len -= self.tail().count();
        self.tail.clear();
    }

    /// Takes a block out.
    pub(crate) fn remove(&mut self, id: BlockId) {
        match self.place(id) {
            None => return,
            Some(Place::Page(..)) => {
                Arc::make_mut(&mut self.removed).insert(id);
            }
            Some(Place::Tail(_)) => {
                let chunk = self.chunk_of(id);
                if let Some(entries) = self.tail.get_mut(chunk) {
                    Arc::make_mut(entries).retain(|e| e.entry.info.id != id);
                    if entries.is_empty() {
                        self.tail.remove(chunk);
                    }
                }
            }
        }
        self.len -= 1;
    }

    /// Whether a block of a page is not served any more.
    pub(crate) fn is_removed(&self, id: BlockId) -> bool {
        !self.removed.is_empty() && self.removed.contains(&id)
    }

    fn chunk_of(&self, id: BlockId) -> usize {
        self.tail.partition_point(|c| c.last().is_some_and(|e| e.entry.info.id < id))
    }

    /// Gives pages back when more are resident than may be: those with the smallest ids first.
    /// Called before pages are looked at one by one; a search gives back as it goes.
    fn settle(&self) {
        if !self.gauge.is_over() {
            return;
        }
        for page in self.pages.iter().filter(|p| p.is_touched()) {
            page.give_back();
            if !self.gauge.is_full() {
                return;
            }
        }
    }

    /// Lets go of all pages.
    pub(crate) fn let_go(&self) {
        self.pages.iter().for_each(|p| p.give_back());
    }

    fn place(&self, id: BlockId) -> Option<Place<'_>> {
        self.settle();
        if let Some(page) = page_of(&self.pages, id) {
            let at = page.find(id).filter(|_| !self.is_removed(id))?;
            return Some(Place::Page(page, at));
        }
        let entries = self.tail.get(self.chunk_of(id))?;
        let at = entries.binary_search_by_key(&id, |e| e.entry.info.id).ok()?;
        entries.get(at).map(Place::Tail)
    }

    pub(crate) fn get(&self, id: BlockId) -> Option<Entry> {
        Some(match self.place(id)? {
            Place::Page(page, at) => page.entry(at),
            Place::Tail(e) => e.entry,
        })
    }

    /// Gives the address of a block to `f`; `None` when there is no such block or address.
    pub(crate) fn with_address<T>(
        &self,
        id: BlockId,
        f: impl FnOnce(AddressRef<'_>) -> T,
    ) -> Option<T> {
        match self.place(id)? {
            Place::Page(page, at) => {
                let heads = page.heads_of(at)?;
                Some(f(AddressRef { lanes: page.vectors(), heads: &heads }))
            }
            Place::Tail(e) => e.address.as_ref().map(|a| f(a.view())),
        }
    }

    /// All blocks, by id.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = Entry> {
        let of_page = |p: &'_ Arc<Page>| {
            self.settle();
            let page = Arc::clone(p);
            (0..page.len()).map(move |at| page.entry(at))
        };
        let paged = self.pages.iter().flat_map(of_page);
        paged.filter(|e| !self.is_removed(e.info.id)).chain(self.tail().map(|e| e.entry))
    }

    /// Blocks with larger ids, nearest first.
    pub(crate) fn after(&self, id: BlockId) -> impl Iterator<Item = Entry> {
        let first = self.pages.partition_point(|p| p.id_last() <= id);
        let paged = self.pages[first..].iter().flat_map(move |p| {
            self.settle();
            let from = if p.id_first() > id { 0 } else { p.after(id) };
            (from..p.len()).map(move |at| p.entry(at))
        });
        let paged = paged.filter(|e| !self.is_removed(e.info.id));
        let chunk = self.tail.partition_point(|c| c.last().is_some_and(|e| e.entry.info.id <= id));
        let tail = self.tail[chunk..].iter().flat_map(|c| c.iter().map(|e| e.entry));
        paged.chain(tail.filter(move |e| e.info.id > id))
    }

    /// Blocks with smaller ids, nearest first.
    pub(crate) fn before(&self, id: BlockId) -> impl Iterator<Item = Entry> {
        let chunks = self.tail.partition_point(|c| c.first().is_some_and(|e| e.entry.info.id < id));
        let tail = self.tail[..chunks].iter().rev().flat_map(|c| c.iter().rev().map(|e| e.entry));
        let pages = self.pages.partition_point(|p| p.id_first() < id);
        let paged = self.pages[..pages].iter().rev().flat_map(move |p| {
            self.settle();
            let end = p.after(BlockId(id.0.saturating_sub(1)));
            (0..end).rev().map(move |at| p.entry(at))
        });
        tail.filter(move |e| e.info.id < id).chain(paged.filter(|e| !self.is_removed(e.info.id)))
    }
}

/// The page whose ids reach around `id`.
fn page_of(pages: &[Arc<Page>], id: BlockId) -> Option<&Page> {
    let at = pages.partition_point(|p| p.id_last() < id);
    pages.get(at).filter(|p| p.id_first() <= id).map(|p| &**p)
}
