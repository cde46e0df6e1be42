//! A page of the index: what is known of up to [`BLOCKS_MAX`] blocks, and the vectors that they are
//! found by.

use super::{array_at, f32_at, i64_at, layout, put, u16_at, u32_at, u64_at};
use crate::{
    AddressLayout, BeaconInfo, BlockId, BlockInfo, KvDtype, SourceId, Span, snapshot::Entry,
};

const MAGIC_BYTES: [u8; 8] = *b"LCEDGIDX";
/// Pages of other versions are made again.
const PAGE_VERSION: u32 = 2;
const STARTS_MID_LINE: u16 = 1;
const ENDS_MID_LINE: u16 = 2;

/// Blocks of a full page.
pub(crate) const BLOCKS_MAX: usize = 256;
/// Bytes of the header.
pub(crate) const HEADER: usize = 128;
/// Bytes of one block's entry.
pub(crate) const ENTRY: usize = 128;
/// Bytes of one head's entry.
pub(crate) const HEAD: usize = 32;

layout!(0;
    MAGIC 8, VERSION 4, NUMBER 4, STORE 16, BLOCKS 4, HEADS 2, DIM 2, VECTORS_MAX 2, UNIT 2,
    RESERVED 4, ID_FIRST 8, ID_LAST 8, FILE_BYTES 8, TABLE_CHECKSUM 8, VECTORS_CHECKSUM 8, END);
const CHECKSUM: usize = HEADER - 8;
const _: () = assert!(END == 88 && RESERVED == 44);

mod entry {
    super::layout!(0;
        ID 8, SOURCE 4, ORDINAL 4, BYTE_START 8, BYTE_END 8, LINE_START 8, LINE_END 8, TIME 8,
        SURPRISE 4, FLAGS 2, DTYPE 1, BEACON_DTYPE 1, TOKENS 4, KV_BYTES 4, SEGMENT 4,
        BEACON_BYTES 4, OFFSET 8, BYTES 8, BEACON_RATIO 2, BEACON_COUNT 2, END);
    const _: () = assert!(END == 100);
}

mod head {
    super::layout!(0; FIRST 4, VECTORS 4, SCALE 4, MEAN 4, SPREAD 4, END);
    const _: () = assert!(END == 20);
}

/// What a page says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageHeader {
    pub(crate) number: u32,
    pub(crate) store: [u8; 16],
    pub(crate) blocks: u32,
    pub(crate) layout: AddressLayout,
    pub(crate) unit: u16,
    pub(crate) id_first: BlockId,
    pub(crate) id_last: BlockId,
    pub(crate) file_bytes: u64,
    pub(crate) table_checksum: u64,
    pub(crate) vectors_checksum: u64,
}

impl PageHeader {
    /// The stored form; its last eight bytes are the page's key.
    pub(crate) fn encode(&self) -> [u8; HEADER] {
        let mut h = [0; HEADER];
        put(&mut h, MAGIC, MAGIC_BYTES);
        put(&mut h, VERSION, PAGE_VERSION.to_le_bytes());
        put(&mut h, NUMBER, self.number.to_le_bytes());
        put(&mut h, STORE, self.store);
        put(&mut h, BLOCKS, self.blocks.to_le_bytes());
        put(&mut h, HEADS, u16::from(self.layout.heads).to_le_bytes());
        put(&mut h, DIM, self.layout.dim.to_le_bytes());
        put(&mut h, VECTORS_MAX, self.layout.vectors_max.to_le_bytes());
        put(&mut h, UNIT, self.unit.to_le_bytes());
        put(&mut h, ID_FIRST, self.id_first.0.to_le_bytes());
        put(&mut h, ID_LAST, self.id_last.0.to_le_bytes());
        put(&mut h, FILE_BYTES, self.file_bytes.to_le_bytes());
        put(&mut h, TABLE_CHECKSUM, self.table_checksum.to_le_bytes());
        put(&mut h, VECTORS_CHECKSUM, self.vectors_checksum.to_le_bytes());
        let sum = super::checksum(&h[..CHECKSUM]);
        put(&mut h, CHECKSUM, sum.to_le_bytes());
        h
    }

    /// Reads the stored form back, with the page's key; `None` when it is none of this version.
    pub(crate) fn decode(h: &[u8; HEADER]) -> Option<(Self, u64)> {
        let key = u64_at(h, CHECKSUM);
        let right = array_at::<8>(h, MAGIC) == MAGIC_BYTES
            && u32_at(h, VERSION) == PAGE_VERSION
            && super::checksum(&h[..CHECKSUM]) == key;
        let header = Self {
            number: u32_at(h, NUMBER),
            store: array_at(h, STORE),
            blocks: u32_at(h, BLOCKS),
            layout: AddressLayout {
                heads: u8::try_from(u16_at(h, HEADS)).ok()?,
                vectors_max: u16_at(h, VECTORS_MAX),
                dim: u16_at(h, DIM),
            },
            unit: u16_at(h, UNIT),
            id_first: BlockId(u64_at(h, ID_FIRST)),
            id_last: BlockId(u64_at(h, ID_LAST)),
            file_bytes: u64_at(h, FILE_BYTES),
            table_checksum: u64_at(h, TABLE_CHECKSUM),
            vectors_checksum: u64_at(h, VECTORS_CHECKSUM),
        };
        right.then_some((header, key))
    }
}

/// The stored form of a block's entry.
pub(crate) fn encode_entry(e: &Entry) -> [u8; ENTRY] {
    let mut out = [0; ENTRY];
    let i = &e.info;
    let mut flags = 0;
    if i.starts_mid_line {
        flags |= STARTS_MID_LINE;
    }
    if i.ends_mid_line {
        flags |= ENDS_MID_LINE;
    }
    put(&mut out, entry::ID, i.id.0.to_le_bytes());
    put(&mut out, entry::SOURCE, i.source.0.to_le_bytes());
    put(&mut out, entry::ORDINAL, i.ordinal.to_le_bytes());
    put(&mut out, entry::BYTE_START, i.span.byte_start.to_le_bytes());
    put(&mut out, entry::BYTE_END, i.span.byte_end.to_le_bytes());
    put(&mut out, entry::LINE_START, i.span.line_start.to_le_bytes());
    put(&mut out, entry::LINE_END, i.span.line_end.to_le_bytes());
    put(&mut out, entry::TIME, i.time_unix_ms.to_le_bytes());
    put(&mut out, entry::SURPRISE, i.surprise_nats.to_le_bytes());
    put(&mut out, entry::FLAGS, flags.to_le_bytes());
    put(&mut out, entry::DTYPE, [i.kv.map_or(0, KvDtype::tag)]);
    put(&mut out, entry::TOKENS, u32::from(i.tokens).to_le_bytes());
    put(&mut out, entry::KV_BYTES, i.kv_bytes.to_le_bytes());
    put(&mut out, entry::SEGMENT, e.segment.to_le_bytes());
    put(&mut out, entry::OFFSET, e.offset.to_le_bytes());
    put(&mut out, entry::BYTES, e.bytes.to_le_bytes());
    if let Some(b) = i.beacons {
        put(&mut out, entry::BEACON_DTYPE, [b.dtype.tag()]);
        put(&mut out, entry::BEACON_BYTES, b.bytes.to_le_bytes());
        put(&mut out, entry::BEACON_RATIO, b.ratio.to_le_bytes());
        put(&mut out, entry::BEACON_COUNT, b.count.to_le_bytes());
    }
    out
}

/// Id of the block of an entry.
pub(crate) fn entry_id(b: &[u8; 64]) -> BlockId {
    BlockId(u64_at(b, entry::ID))
}

/// Reads an entry back. Its bytes were checked when the page was opened; whatever they are now, no
/// panic.
pub(crate) fn decode_entry(b: &[u8; ENTRY]) -> Entry {
    let flags = u16_at(b, entry::FLAGS);
    let info = BlockInfo {
        id: BlockId(u64_at(b, entry::ID)),
        source: SourceId(u32_at(b, entry::SOURCE)),
        ordinal: u32_at(b, entry::ORDINAL),
        span: Span {
            byte_start: u64_at(b, entry::BYTE_START),
            byte_end: u64_at(b, entry::BYTE_END),
            line_start: u64_at(b, entry::LINE_START),
            line_end: u64_at(b, entry::LINE_END),
        },
        time_unix_ms: i64_at(b, entry::TIME),
        tokens: u32_at(b, entry::TOKENS) as u16,
        surprise_nats: f32_at(b, entry::SURPRISE),
        starts_mid_line: flags & STARTS_MID_LINE != 0,
        ends_mid_line: flags & ENDS_MID_LINE != 0,
        kv: KvDtype::from_tag(b[entry::DTYPE]),
        kv_bytes: u32_at(b, entry::KV_BYTES),
        beacons: KvDtype::from_tag(b[entry::BEACON_DTYPE]).map(|dtype| BeaconInfo {
            ratio: u16_at(b, entry::BEACON_RATIO),
            count: u16_at(b, entry::BEACON_COUNT),
            dtype,
            bytes: u32_at(b, entry::BEACON_BYTES),
        }),
    };
    Entry {
        info,
        segment: u32_at(b, entry::SEGMENT),
        offset: u64_at(b, entry::OFFSET),
        bytes: u64_at(b, entry::BYTES),
    }
}

/// One head of one block, as the table has it. `first` is a place for a vector, counted over all
/// groups of the page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct HeadEntry {
    pub(crate) first: u32,
    pub(crate) vectors: u32,
    pub(crate) scale: f32,
    pub(crate) mean: f32,
    pub(crate) spread: f32,
}

impl HeadEntry {
    /// The stored form.
    pub(crate) fn encode(&self) -> [u8; HEAD] {
        let mut out = [0; HEAD];
        put(&mut out, head::FIRST, self.first.to_le_bytes());
        put(&mut out, head::VECTORS, self.vectors.to_le_bytes());
        put(&mut out, head::SCALE, self.scale.to_le_bytes());
        put(&mut out, head::MEAN, self.mean.to_le_bytes());
        put(&mut out, head::SPREAD, self.spread.to_le_bytes());
        out
    }

    /// Reads it back from `at` on.
    pub(crate) fn decode(b: &[u8], at: usize) -> Self {
        Self {
            first: u32_at(b, at + head::FIRST),
            vectors: u32_at(b, at + head::VECTORS),
            scale: f32_at(b, at + head::SCALE),
            mean: f32_at(b, at + head::MEAN),
            spread: f32_at(b, at + head::SPREAD),
        }
    }
}
