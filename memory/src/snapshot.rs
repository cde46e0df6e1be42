//! What a reader sees: an unchanging list of blocks and sources, cheap to clone and to extend.

use std::{collections::BTreeMap, sync::Arc};

use crate::{BlockId, BlockInfo, SourceId, index::tile::AddressTiles, shared::SourceEntry};

/// Blocks of one chunk. Publishing copies at most this many pointers.
const CHUNK: usize = 128;

/// A block, where it lies, and what it is found by.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) info: BlockInfo,
    pub(crate) segment: u32,
    pub(crate) offset: u64,
    pub(crate) address: Option<AddressTiles>,
}

/// Blocks in the order of their ids.
pub(crate) type Chunk = Vec<Arc<Entry>>;

/// Source versions by id.
pub(crate) type Sources = BTreeMap<SourceId, Arc<SourceEntry>>;

/// All that is published at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    /// All full but the last.
    chunks: Vec<Arc<Chunk>>,
    len: usize,
    dim: usize,
    sources: Arc<Sources>,
}

impl Snapshot {
    pub(crate) fn new(dim: usize) -> Self {
        Self { dim, ..Self::default() }
    }

    pub(crate) fn chunks(&self) -> &[Arc<Chunk>] {
        &self.chunks
    }

    /// Blocks.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Width of an address vector.
    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    pub(crate) fn sources(&self) -> &Arc<Sources> {
        &self.sources
    }

    pub(crate) fn set_sources(&mut self, sources: Arc<Sources>) {
        self.sources = sources;
    }

    /// Adds a block whose id is above all others.
    pub(crate) fn push(&mut self, entry: Entry) {
        let entry = Arc::new(entry);
        self.len += 1;
        match self.chunks.last_mut().filter(|c| c.len() < CHUNK) {
            Some(last) => Arc::make_mut(last).push(entry),
            None => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(entry);
                self.chunks.push(Arc::new(chunk));
            }
        }
    }

    /// Takes a block out.
    pub(crate) fn remove(&mut self, id: BlockId) {
        if let Some((chunk, at)) = self.find(id) {
            Arc::make_mut(&mut self.chunks[chunk]).remove(at);
            if self.chunks[chunk].is_empty() {
                self.chunks.remove(chunk);
            }
            self.len -= 1;
        }
    }

    fn find(&self, id: BlockId) -> Option<(usize, usize)> {
        let chunk = self.chunks.partition_point(|c| c.last().is_some_and(|e| e.info.id < id));
        let entries = self.chunks.get(chunk)?;
        let at = entries.binary_search_by_key(&id, |e| e.info.id).ok()?;
        Some((chunk, at))
    }

    pub(crate) fn get(&self, id: BlockId) -> Option<&Arc<Entry>> {
        let (chunk, at) = self.find(id)?;
        self.chunks.get(chunk)?.get(at)
    }

    /// All blocks, by id.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Entry>> {
        self.chunks.iter().flat_map(|c| c.iter())
    }

    /// Blocks with larger ids, nearest first.
    pub(crate) fn after(&self, id: BlockId) -> impl Iterator<Item = &Arc<Entry>> {
        let (chunk, at) = self.find(id).unwrap_or((self.chunks.len(), 0));
        let rest = self.chunks.get(chunk).and_then(|c| c.get(at + 1..)).unwrap_or(&[]);
        let later = self.chunks.get(chunk + 1..).unwrap_or(&[]);
        rest.iter().chain(later.iter().flat_map(|c| c.iter()))
    }

    /// Blocks with smaller ids, nearest first.
    pub(crate) fn before(&self, id: BlockId) -> impl Iterator<Item = &Arc<Entry>> {
        let (chunk, at) = self.find(id).unwrap_or((0, 0));
        let rest = self.chunks.get(chunk).and_then(|c| c.get(..at)).unwrap_or(&[]);
        let earlier = self.chunks.get(..chunk).unwrap_or(&[]);
        rest.iter().rev().chain(earlier.iter().rev().flat_map(|c| c.iter().rev()))
    }
}
