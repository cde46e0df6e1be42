//! How a store is opened.

use std::{collections::BTreeMap, ops::Range};

use crate::{
    AddressLayout, BlockId, BlockInfo, Geometry, MapChoice, SourceId, format::segment::Identity,
};

/// What `commit` waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Nothing: survives a killed process, not a power cut.
    None,
    /// The bytes (`fdatasync`).
    #[default]
    Data,
    /// The bytes and all that the file system knows of the file (`fsync`, and its folder).
    Full,
}

/// What happens when the disk budget would be passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// The least useful blocks give up keys and values, then beacons, and then they go; also
    /// when a store is opened that is too large.
    #[default]
    GiveUp,
    /// Appending is refused.
    Refuse,
}

/// What a store is made for, and how it is kept.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Fingerprint of model, tokenizer, template and K,V layout. A store of another is refused.
    pub model: [u8; 32],
    /// Shape of keys and values.
    pub geometry: Geometry,
    /// Shape of addresses.
    pub address: AddressLayout,
    /// Whether sealed segments are mapped.
    pub map: MapChoice,
    /// A segment is sealed when the next block would pass this many bytes. Smaller: more files,
    /// sooner mapped and sooner freed by forgetting; larger: fewer. Default 256 MiB.
    pub segment_bytes_max: u64,
    /// What `commit` waits for. Default [`SyncPolicy::Data`].
    pub sync: SyncPolicy,
    /// Most bytes that segments, pages of the index and catalogue may take; none: as the disk
    /// allows.
    pub disk_bytes_max: Option<u64>,
    /// What happens when that would be passed.
    pub when_full: WhenFull,
    /// Most bytes of the mapped index that are resident at a time; none: as many as it has. What is
    /// beyond is mapped, looked at and given back in every search, which takes longer then: about a
    /// millisecond for 20 MB. Beside these bytes, every thread of a search looks at one page
    /// ([`search_threads`](crate::search_threads)).
    pub index_resident_max: Option<u64>,
    /// Blocks of one page of the index, from 1 to [`PAGE_BLOCKS_MAX`](Self::PAGE_BLOCKS_MAX), which
    /// is the default. So many blocks at most are held in RAM beside those that are not committed.
    pub page_blocks: usize,
}

impl StoreOptions {
    /// Most blocks of one page of the index.
    pub const PAGE_BLOCKS_MAX: usize = crate::format::page::BLOCKS_MAX;

    /// The defaults for a model.
    #[must_use]
    pub const fn new(model: [u8; 32], geometry: Geometry, address: AddressLayout) -> Self {
        Self {
            model,
            geometry,
            address,
            map: MapChoice::sealed_segments(),
            segment_bytes_max: 256 << 20,
            sync: SyncPolicy::Data,
            disk_bytes_max: None,
            when_full: WhenFull::GiveUp,
            index_resident_max: None,
            page_blocks: Self::PAGE_BLOCKS_MAX,
        }
    }

    pub(crate) const fn identity(&self, store: [u8; 16]) -> Identity {
        Identity { store, model: self.model, geometry: self.geometry, address: self.address }
    }
}

/// Which blocks a search may give. The default: all blocks of all sources that no newer version
/// replaces.
#[derive(Clone, Debug, Default)]
pub struct Filter<'a> {
    /// Only blocks of these sources (also superseded ones, when they are named here).
    pub sources: Option<&'a [SourceId]>,
    /// None of these blocks.
    pub exclude: &'a [BlockId],
    /// Only blocks of this time, milliseconds since 1970 UTC, half-open.
    pub time_unix_ms: Option<Range<i64>>,
    /// With a time: of each source also the block before the first one of that time, whose last
    /// lines may reach into it.
    pub reaching_in: bool,
    /// Blocks of superseded source versions too.
    pub superseded: bool,
}

/// A filter made quick to ask.
#[derive(Debug)]
pub(crate) struct Sieve {
    sources: Option<Vec<SourceId>>,
    superseded: Vec<SourceId>,
    exclude: Vec<BlockId>,
    time: Option<Range<i64>>,
    /// Blocks that reach into that time.
    reaching: Vec<BlockId>,
}

impl Sieve {
    /// `superseded` yields the source versions that a newer one replaces; `blocks` all blocks, in
    /// the order of their ids.
    pub(crate) fn new(
        filter: &Filter<'_>,
        superseded: impl Iterator<Item = SourceId>,
        blocks: impl Iterator<Item = BlockInfo>,
    ) -> Self {
        let sorted = |mut v: Vec<SourceId>| {
            v.sort_unstable();
            v
        };
        let out = filter.sources.is_some() || filter.superseded;
        let mut exclude = filter.exclude.to_vec();
        exclude.sort_unstable();
        Self {
            sources: filter.sources.map(|s| sorted(s.to_vec())),
            superseded: if out { Vec::new() } else { sorted(superseded.collect()) },
            exclude,
            time: filter.time_unix_ms.clone(),
            reaching: match &filter.time_unix_ms {
                Some(time) if filter.reaching_in => reaching(time.start, blocks),
                _ => Vec::new(),
            },
        }
    }

    /// Whether every block passes.
    pub(crate) fn keeps_all(&self) -> bool {
        self.sources.is_none()
            && self.superseded.is_empty()
            && self.exclude.is_empty()
            && self.time.is_none()
    }

    pub(crate) fn keeps(&self, block: &BlockInfo) -> bool {
        self.sources.as_ref().is_none_or(|s| s.binary_search(&block.source).is_ok())
            && self.superseded.binary_search(&block.source).is_err()
            && self.exclude.binary_search(&block.id).is_err()
            && (self.time.as_ref().is_none_or(|t| t.contains(&block.time_unix_ms))
                || self.reaching.binary_search(&block.id).is_ok())
    }
}

/// Of each source the last block before the first one of `start` or later, sorted.
fn reaching(start: i64, blocks: impl Iterator<Item = BlockInfo>) -> Vec<BlockId> {
    let mut before: BTreeMap<SourceId, (Option<BlockId>, bool)> = BTreeMap::new();
    for block in blocks {
        let (last, ended) = before.entry(block.source).or_default();
        *ended |= block.time_unix_ms >= start;
        if !*ended {
            *last = Some(block.id);
        }
    }
    let mut found: Vec<BlockId> = before.into_values().filter_map(|(last, _)| last).collect();
    found.sort_unstable();
    found
}
