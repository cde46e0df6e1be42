//! Pages of the index in use: mapped, or in RAM where they cannot be.
//!
//! A page never changes. Blocks that are new are held one by one ([`crate::snapshot`]) until there
//! are enough of them for a page; then RAM no longer holds anything of them.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use xxhash_rust::xxh3::Xxh3;

use super::{
    gauge::Gauge,
    tile::{AddressRef, AddressTiles, LANE, Lane, Region, lanes_of, lanes_per_group},
};
use crate::{
    AddressLayout, BlockId,
    format::page::{
        ENTRY, HEAD, HEADER, HeadEntry, PageHeader, decode_entry, encode_entry, entry_id,
    },
    map::LaneMap,
    snapshot::{Entry, TailEntry},
};

const HEADER_LANES: usize = HEADER / LANE;
const ENTRY_LANES: usize = ENTRY / LANE;
const HEADS_PER_LANE: usize = LANE / HEAD;

/// Places that the vectors of one head of one block are rounded up to: whole groups when a block
/// has many vectors; when it has few, several blocks share a group.
pub(crate) fn unit(layout: AddressLayout) -> usize {
    usize::from(layout.vectors_max).next_power_of_two().min(super::tile::GROUP)
}

/// The lanes of a page file.
#[derive(Debug)]
pub(crate) enum Lanes {
    /// Mapped.
    Map(LaneMap),
    /// In RAM.
    Ram(Box<[Lane]>),
}

impl Lanes {
    fn all(&self) -> &[Lane] {
        match self {
            Self::Map(map) => map.lanes(),
            Self::Ram(lanes) => lanes,
        }
    }

    /// Copies whole lanes out of bytes.
    pub(crate) fn copied(bytes: &[u8]) -> Self {
        let lanes = bytes.as_chunks::<LANE>().0.iter().map(|c| Lane(*c));
        Self::Ram(lanes.collect())
    }
}

/// A page whose header and tables were checked.
#[derive(Debug)]
pub(crate) struct Page {
    lanes: Lanes,
    header: PageHeader,
    key: u64,
    gauge: Arc<Gauge>,
    /// It was looked at since it was given back: it counts as resident.
    touched: AtomicBool,
}

/// Why a file is not a page that can be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotAPage(pub(crate) &'static str);

fn sum(lanes: &[Lane]) -> u64 {
    let mut hash = Xxh3::new();
    for lane in lanes {
        hash.update(&lane.0);
    }
    hash.digest()
}

/// The bytes of a page of these blocks, which are in the order of their ids.
pub(crate) fn encode(
    number: u32,
    store: [u8; 16],
    layout: AddressLayout,
    blocks: &[&TailEntry],
) -> Vec<Lane> {
    let (heads, dim) = (usize::from(layout.heads), usize::from(layout.dim));
    let unit = unit(layout);
    let mut lanes = vec![Lane([0; LANE]); HEADER_LANES];
    for block in blocks {
        let entry = encode_entry(&block.entry);
        lanes.extend(entry.as_chunks::<LANE>().0.iter().map(|half| Lane(*half)));
    }
    let mut vectors = Vec::new();
    let mut entries = Vec::with_capacity(heads * blocks.len());
    for h in 0..heads {
        let first = vectors.len() / lanes_per_group(dim).max(1) * super::tile::GROUP;
        let mut region = Region::new(first, dim);
        for block in blocks {
            let address = block.address.as_ref().map(|a| a.view().to_address(dim));
            let head = address.and_then(|a| a.heads.into_iter().nth(h)).unwrap_or_default();
            entries.push(region.put(&head, unit, &mut vectors));
        }
    }
    for pair in entries.chunks(HEADS_PER_LANE) {
        let mut lane = Lane([0; LANE]);
        for (slot, head) in lane.0.chunks_exact_mut(HEAD).zip(pair) {
            slot.copy_from_slice(&head.encode());
        }
        lanes.push(lane);
    }
    let vectors_at = lanes.len();
    lanes.append(&mut vectors);
    let id = |b: Option<&&TailEntry>| b.map_or(BlockId(0), |b| b.entry.info.id);
    let header = PageHeader {
        number,
        store,
        blocks: blocks.len() as u32,
        layout,
        unit: unit as u16,
        id_first: id(blocks.first()),
        id_last: id(blocks.last()),
        file_bytes: (lanes.len() * LANE) as u64,
        table_checksum: sum(&lanes[HEADER_LANES..vectors_at]),
        vectors_checksum: sum(&lanes[vectors_at..]),
    };
    for (lane, part) in lanes.iter_mut().zip(header.encode().as_chunks::<LANE>().0) {
        lane.0 = *part;
    }
    lanes
}

impl Page {
    /// Checks a page's header and tables. The vectors are only checked by
    /// [`vectors_right`](Self::vectors_right): reading all of them would make opening slow, and
    /// a wrong one makes a search worse, not wrong: what is found is checked when it is read.
    pub(crate) fn new(
        lanes: Lanes,
        store: [u8; 16],
        layout: AddressLayout,
        gauge: &Arc<Gauge>,
    ) -> Result<Self, NotAPage> {
        let all = lanes.all();
        let [first, second, ..] = all else { return Err(NotAPage("page length")) };
        let mut bytes = [0; HEADER];
        bytes[..LANE].copy_from_slice(&first.0);
        bytes[LANE..].copy_from_slice(&second.0);
        let (header, key) = PageHeader::decode(&bytes).ok_or(NotAPage("page header"))?;
        if header.store != store || header.layout != layout {
            return Err(NotAPage("page of another store"));
        }
        if header.file_bytes != (all.len() * LANE) as u64 {
            return Err(NotAPage("page length"));
        }
        if header.blocks == 0 || usize::from(header.unit) != unit(layout) {
            return Err(NotAPage("page shape"));
        }
        let (gauge, touched) = (Arc::clone(gauge), AtomicBool::new(false));
        let page = Self { lanes, header, key, gauge, touched };
        let tables = page.all().get(HEADER_LANES..page.vectors_at());
        if tables.ok_or(NotAPage("page length")).map(sum)? != header.table_checksum {
            return Err(NotAPage("page table checksum"));
        }
        page.done();
        Ok(page)
    }

    /// All lanes, to be looked at.
    fn all(&self) -> &[Lane] {
        if !self.touched.load(Ordering::Relaxed) {
            self.touch();
        }
        self.lanes.all()
    }

    #[cold]
    fn touch(&self) {
        if matches!(self.lanes, Lanes::Map(_)) && !self.touched.swap(true, Ordering::Relaxed) {
            self.gauge.add(self.bytes());
        }
    }

    /// It was gone through: it stays resident only where there is room for it.
    pub(crate) fn done(&self) {
        if self.gauge.is_full() {
            self.give_back();
        }
    }

    /// Lets go of it; it is mapped again when it is looked at. Whoever looks at it meanwhile is not
    /// disturbed.
    pub(crate) fn give_back(&self) {
        if let Lanes::Map(map) = &self.lanes {
            map.give_back();
            if self.touched.swap(false, Ordering::Relaxed) {
                self.gauge.take(self.bytes());
            }
        }
    }

    /// Whether it counts as resident.
    pub(crate) fn is_touched(&self) -> bool {
        self.touched.load(Ordering::Relaxed)
    }

    /// Whether the vectors are those that were written.
    pub(crate) fn vectors_right(&self) -> bool {
        let right = sum(self.vectors()) == self.header.vectors_checksum;
        self.done();
        right
    }

    pub(crate) fn number(&self) -> u32 {
        self.header.number
    }

    /// Ties the file to its row in the catalogue.
    pub(crate) fn key(&self) -> u64 {
        self.key
    }

    /// Blocks.
    pub(crate) fn len(&self) -> usize {
        self.header.blocks as usize
    }

    pub(crate) fn id_first(&self) -> BlockId {
        self.header.id_first
    }

    pub(crate) fn id_last(&self) -> BlockId {
        self.header.id_last
    }

    /// Bytes of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.header.file_bytes
    }

    fn heads(&self) -> usize {
        usize::from(self.header.layout.heads)
    }

    fn heads_at(&self) -> usize {
        HEADER_LANES + ENTRY_LANES * self.len()
    }

    fn vectors_at(&self) -> usize {
        self.heads_at() + (self.heads() * self.len()).div_ceil(HEADS_PER_LANE)
    }

    /// All vectors of all heads.
    pub(crate) fn vectors(&self) -> &[Lane] {
        self.all().get(self.vectors_at()..).unwrap_or(&[])
    }

    /// The vectors of one head of all blocks.
    pub(crate) fn region(&self, head: usize, dim: usize) -> &[Lane] {
        let last = |h: usize| self.head(h, self.len() - 1);
        let end = |h: usize| {
            let e = last(h);
            let places = (e.vectors as usize).next_multiple_of(usize::from(self.header.unit));
            lanes_of(e.first as usize + places, dim)
        };
        let from = if head == 0 { 0 } else { end(head - 1) };
        self.vectors().get(from..end(head)).unwrap_or(&[])
    }

    /// Id of block `at`.
    pub(crate) fn id(&self, at: usize) -> BlockId {
        let lane = self.all().get(HEADER_LANES + ENTRY_LANES * at);
        lane.map_or(BlockId(0), |l| entry_id(&l.0))
    }

    /// Block `at`.
    pub(crate) fn entry(&self, at: usize) -> Entry {
        let mut bytes = [0; ENTRY];
        let first = HEADER_LANES + ENTRY_LANES * at;
        for (part, lane) in bytes.chunks_exact_mut(LANE).zip(self.all().get(first..).unwrap_or(&[]))
        {
            part.copy_from_slice(&lane.0);
        }
        decode_entry(&bytes)
    }

    /// Head `head` of block `at`.
    pub(crate) fn head(&self, head: usize, at: usize) -> HeadEntry {
        let n = head * self.len() + at;
        let lane = self.all().get(self.heads_at() + n / HEADS_PER_LANE);
        lane.map_or(HeadEntry { first: 0, vectors: 0, scale: 0.0, mean: 0.0, spread: 1.0 }, |l| {
            HeadEntry::decode(&l.0, n % HEADS_PER_LANE * HEAD)
        })
    }

    /// Head `head` of every block, in order.
    pub(crate) fn heads_of_all(&self, head: usize) -> impl Iterator<Item = HeadEntry> {
        let lanes = self.all().get(self.heads_at()..).unwrap_or(&[]);
        let first = head * self.len();
        (first..first + self.len()).filter_map(|n| {
            let lane = lanes.get(n / HEADS_PER_LANE)?;
            Some(HeadEntry::decode(&lane.0, n % HEADS_PER_LANE * HEAD))
        })
    }

    /// Where a block stands.
    pub(crate) fn find(&self, id: BlockId) -> Option<usize> {
        let at = self.after(BlockId(id.0.checked_sub(1)?));
        (at < self.len() && self.id(at) == id).then_some(at)
    }

    /// The first block whose id is above `id`.
    pub(crate) fn after(&self, id: BlockId) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.id(middle) <= id { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// The address of block `at`, on its own.
    pub(crate) fn address(&self, at: usize, dim: usize) -> Option<AddressTiles> {
        let heads = self.heads_of(at)?;
        let view = AddressRef { lanes: self.vectors(), heads: &heads };
        AddressTiles::new(&view.to_address(dim), dim)
    }

    /// The heads of block `at`; `None` when it has no address.
    pub(crate) fn heads_of(&self, at: usize) -> Option<Vec<HeadEntry>> {
        let heads: Vec<HeadEntry> = (0..self.heads()).map(|h| self.head(h, at)).collect();
        heads.iter().any(|h| h.vectors > 0).then_some(heads)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        if *self.touched.get_mut() {
            self.gauge.take(self.header.file_bytes);
        }
    }
}

/// A file as lanes: mapped when that is wanted and possible.
pub(crate) fn lanes_of_file(
    file: &dyn crate::storage::StorageFile,
    map: crate::MapChoice,
    bytes_max: u64,
) -> io::Result<Lanes> {
    match file.as_file().filter(|_| map.maps_sealed()) {
        Some(file) => LaneMap::new(file).map(Lanes::Map),
        None => crate::storage::read_all(file, bytes_max).map(|b| Lanes::copied(&b)),
    }
}
