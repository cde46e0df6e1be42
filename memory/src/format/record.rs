//! Headers of records: block, commit, footer.

use super::{
    ALIGN, FORMAT_VERSION, aligned, array_at, checksum, f32_at, i64_at, is_read, layout, put,
    u16_at, u32_at, u64_at,
};
use crate::{BeaconInfo, BlockId, BlockInfo, BlockRecord, KvDtype, Progress, SourceId, Span};

const MAGIC_BYTES: [u8; 4] = *b"LCRC";
const TRAILER_MAGIC: [u8; 8] = *b"LCEDGEND";
const KIND_BLOCK: u16 = 1;
const KIND_COMMIT: u16 = 2;
const KIND_FOOTER: u16 = 3;
const KIND_REPLACES: u16 = 4;
const STARTS_MID_LINE: u16 = 1;
const ENDS_MID_LINE: u16 = 2;

/// Bytes of every record's header.
pub(crate) const HEADER: usize = 192;
/// Bytes of the trailer that ends a sealed segment.
pub(crate) const TRAILER: usize = 16;
/// One entry of a footer's table.
const ENTRY: usize = 16;

layout!(0; MAGIC 4, KIND 2, VERSION 2, RECORD_BYTES 8, OFFSET 8, KEY 8, COMMON);
const CHECKSUM: usize = HEADER - 8;

mod block {
    super::layout!(super::COMMON;
        ID 8, SOURCE 4, ORDINAL 4, BYTE_START 8, BYTE_END 8, LINE_START 8, LINE_END 8, TIME 8,
        SURPRISE 4, FLAGS 2, DTYPE 1, RESERVED 1, TOKENS 4, TEXT 4, ADDRESS 4, PAYLOAD 4,
        BODY_CHECKSUM 8, PAYLOAD_CHECKSUM 8,
        BEACON_CHECKSUM 8, BEACON_BYTES 4, BEACON_RATIO 2, BEACON_COUNT 2, BEACON_DTYPE 1, END);
    const _: () = assert!(END == 145 && RESERVED == 95 && BEACON_CHECKSUM == 128);
}

mod commit {
    super::layout!(super::COMMON;
        ID_END 8, SOURCE 4, ORDINAL_END 4, BYTES 8, LINES 8, TIME 8, HASH 32, COMPLETE 1, END);
    const _: () = assert!(END == 105);
}

mod footer {
    super::layout!(super::COMMON;
        ID_FIRST 8, SOURCE 4, BLOCKS 4, ID_LAST 8, TIME 8, TABLE_CHECKSUM 8, END);
    const _: () = assert!(END == 72);
}

mod replaces {
    super::layout!(super::COMMON; KEY 8, SEGMENT 4, END);
    const _: () = assert!(END == 44);
}

/// Where a record lies and what it is tied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) offset: u64,
    pub(crate) key: u64,
}

/// A block's header: all that is known of it without reading on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BlockHeader {
    pub(crate) info: BlockInfo,
    pub(crate) text_bytes: u32,
    pub(crate) address_bytes: u32,
    pub(crate) body_checksum: u64,
    pub(crate) payload_checksum: u64,
    pub(crate) beacon_checksum: u64,
}

/// What a commit record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) source: SourceId,
    pub(crate) id_end: u64,
    pub(crate) ordinal_end: u32,
    pub(crate) time_ms: i64,
    pub(crate) progress: Progress,
}

/// A footer's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) source: SourceId,
    pub(crate) id_first: u64,
    pub(crate) id_last: u64,
    pub(crate) blocks: u32,
    pub(crate) time_ms: i64,
    pub(crate) table_checksum: u64,
}

/// The first record of a segment that stands in place of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replaces {
    /// Number of the segment that is void once this one is sealed.
    pub(crate) segment: u32,
    /// Its key: the checksum of its header.
    pub(crate) key: u64,
}

/// A record's header, checked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Record {
    Block(BlockHeader),
    Commit(Commit),
    Footer(Footer),
    Replaces(Replaces),
}

impl BlockHeader {
    /// Bytes of tokens, text, address and padding.
    pub(crate) fn body_bytes(&self) -> usize {
        let unpadded = usize::from(self.info.tokens) * 4
            + self.text_bytes as usize
            + self.address_bytes as usize;
        aligned(unpadded)
    }

    /// Bytes of keys and values with padding.
    pub(crate) fn payload_bytes(&self) -> usize {
        aligned(self.info.kv_bytes as usize)
    }

    /// Bytes of the beacons' keys and values with padding.
    pub(crate) fn beacon_bytes(&self) -> usize {
        aligned(self.info.beacons.map_or(0, |b| b.bytes as usize))
    }

    /// Bytes of the whole record.
    pub(crate) fn record_bytes(&self) -> u64 {
        (HEADER + self.body_bytes() + self.payload_bytes() + self.beacon_bytes()) as u64
    }
}

/// Bytes that the record of a block takes.
pub(crate) fn record_bytes(r: &BlockRecord<'_>) -> u64 {
    let body = r.tokens.len() * 4 + r.text.len() + r.address.encoded_bytes();
    let beacons = r.beacons.map_or(0, |b| b.payload.len());
    (HEADER + aligned(body) + aligned(r.payload.len()) + aligned(beacons)) as u64
}

fn begin(seat: Seat, kind: u16, record_bytes: u64) -> [u8; HEADER] {
    let mut h = [0; HEADER];
    let version = FORMAT_VERSION as u16;
    put(&mut h, MAGIC, MAGIC_BYTES);
    put(&mut h, KIND, kind.to_le_bytes());
    put(&mut h, VERSION, version.to_le_bytes());
    put(&mut h, RECORD_BYTES, record_bytes.to_le_bytes());
    put(&mut h, OFFSET, seat.offset.to_le_bytes());
    put(&mut h, KEY, seat.key.to_le_bytes());
    h
}

fn finish(mut h: [u8; HEADER]) -> [u8; HEADER] {
    let sum = checksum(&h[..CHECKSUM]);
    put(&mut h, CHECKSUM, sum.to_le_bytes());
    h
}

/// Lays a whole block record into `out` (cleared first) and gives its header. The caller has
/// checked that all lengths fit.
pub(crate) fn encode_block(
    out: &mut Vec<u8>,
    seat: Seat,
    info: BlockInfo,
    record: &BlockRecord<'_>,
    address_dim: u16,
) -> BlockHeader {
    out.clear();
    out.resize(HEADER, 0);
    for t in record.tokens {
        out.extend_from_slice(&t.to_le_bytes());
    }
    out.extend_from_slice(record.text);
    record.address.encode(address_dim, out);
    out.resize(aligned(out.len()), 0);
    let payload_at = out.len();
    out.extend_from_slice(record.payload);
    out.resize(aligned(out.len()), 0);
    let beacons_at = out.len();
    out.extend_from_slice(record.beacons.map_or(&[], |b| b.payload));
    out.resize(aligned(out.len()), 0);
    let header = BlockHeader {
        info,
        text_bytes: record.text.len() as u32,
        address_bytes: record.address.encoded_bytes() as u32,
        body_checksum: checksum(&out[HEADER..payload_at]),
        payload_checksum: checksum(&out[payload_at..beacons_at]),
        beacon_checksum: if info.beacons.is_some() { checksum(&out[beacons_at..]) } else { 0 },
    };
    let bytes = header.encode(seat);
    out[..HEADER].copy_from_slice(&bytes);
    header
}

impl Replaces {
    /// The whole record.
    pub(crate) fn encode(&self, seat: Seat) -> [u8; HEADER] {
        let mut h = begin(seat, KIND_REPLACES, HEADER as u64);
        put(&mut h, replaces::KEY, self.key.to_le_bytes());
        put(&mut h, replaces::SEGMENT, self.segment.to_le_bytes());
        finish(h)
    }

    fn decode(h: &[u8; HEADER]) -> Self {
        Self { segment: u32_at(h, replaces::SEGMENT), key: u64_at(h, replaces::KEY) }
    }
}

impl BlockHeader {
    pub(crate) fn encode(&self, seat: Seat) -> [u8; HEADER] {
        let i = &self.info;
        let mut h = begin(seat, KIND_BLOCK, self.record_bytes());
        let mut flags = 0;
        if i.starts_mid_line {
            flags |= STARTS_MID_LINE;
        }
        if i.ends_mid_line {
            flags |= ENDS_MID_LINE;
        }
        put(&mut h, block::ID, i.id.0.to_le_bytes());
        put(&mut h, block::SOURCE, i.source.0.to_le_bytes());
        put(&mut h, block::ORDINAL, i.ordinal.to_le_bytes());
        put(&mut h, block::BYTE_START, i.span.byte_start.to_le_bytes());
        put(&mut h, block::BYTE_END, i.span.byte_end.to_le_bytes());
        put(&mut h, block::LINE_START, i.span.line_start.to_le_bytes());
        put(&mut h, block::LINE_END, i.span.line_end.to_le_bytes());
        put(&mut h, block::TIME, i.time_unix_ms.to_le_bytes());
        put(&mut h, block::SURPRISE, i.surprise_nats.to_le_bytes());
        put(&mut h, block::FLAGS, flags.to_le_bytes());
        put(&mut h, block::DTYPE, [i.kv.map_or(0, KvDtype::tag)]);
        put(&mut h, block::TOKENS, u32::from(i.tokens).to_le_bytes());
        put(&mut h, block::TEXT, self.text_bytes.to_le_bytes());
        put(&mut h, block::ADDRESS, self.address_bytes.to_le_bytes());
        put(&mut h, block::PAYLOAD, i.kv_bytes.to_le_bytes());
        put(&mut h, block::BODY_CHECKSUM, self.body_checksum.to_le_bytes());
        put(&mut h, block::PAYLOAD_CHECKSUM, self.payload_checksum.to_le_bytes());
        if let Some(b) = i.beacons {
            put(&mut h, block::BEACON_CHECKSUM, self.beacon_checksum.to_le_bytes());
            put(&mut h, block::BEACON_BYTES, b.bytes.to_le_bytes());
            put(&mut h, block::BEACON_RATIO, b.ratio.to_le_bytes());
            put(&mut h, block::BEACON_COUNT, b.count.to_le_bytes());
            put(&mut h, block::BEACON_DTYPE, [b.dtype.tag()]);
        }
        finish(h)
    }

    fn decode(h: &[u8; HEADER]) -> Result<Self, &'static str> {
        let tag = h[block::DTYPE];
        let kv = KvDtype::from_tag(tag);
        let flags = u16_at(h, block::FLAGS);
        if tag != 0 && kv.is_none() || flags & !(STARTS_MID_LINE | ENDS_MID_LINE) != 0 {
            return Err("block dtype or flags");
        }
        // Zeros in a record of version 1.
        let beacon_tag = h[block::BEACON_DTYPE];
        let beacon_dtype = KvDtype::from_tag(beacon_tag);
        if beacon_tag != 0 && beacon_dtype.is_none() {
            return Err("beacon dtype");
        }
        let beacons = beacon_dtype.map(|dtype| BeaconInfo {
            ratio: u16_at(h, block::BEACON_RATIO),
            count: u16_at(h, block::BEACON_COUNT),
            dtype,
            bytes: u32_at(h, block::BEACON_BYTES),
        });
        let header = Self {
            info: BlockInfo {
                id: BlockId(u64_at(h, block::ID)),
                source: SourceId(u32_at(h, block::SOURCE)),
                ordinal: u32_at(h, block::ORDINAL),
                span: Span {
                    byte_start: u64_at(h, block::BYTE_START),
                    byte_end: u64_at(h, block::BYTE_END),
                    line_start: u64_at(h, block::LINE_START),
                    line_end: u64_at(h, block::LINE_END),
                },
                time_unix_ms: i64_at(h, block::TIME),
                tokens: u16::try_from(u32_at(h, block::TOKENS)).map_err(|_| "block tokens")?,
                surprise_nats: f32_at(h, block::SURPRISE),
                starts_mid_line: flags & STARTS_MID_LINE != 0,
                ends_mid_line: flags & ENDS_MID_LINE != 0,
                kv,
                kv_bytes: u32_at(h, block::PAYLOAD),
                beacons,
            },
            text_bytes: u32_at(h, block::TEXT),
            address_bytes: u32_at(h, block::ADDRESS),
            body_checksum: u64_at(h, block::BODY_CHECKSUM),
            payload_checksum: u64_at(h, block::PAYLOAD_CHECKSUM),
            beacon_checksum: u64_at(h, block::BEACON_CHECKSUM),
        };
        if !header.info.span.is_valid() {
            return Err("block span");
        }
        Ok(header)
    }
}

impl Commit {
    /// The whole record.
    pub(crate) fn encode(&self, seat: Seat) -> [u8; HEADER] {
        let mut h = begin(seat, KIND_COMMIT, HEADER as u64);
        put(&mut h, commit::ID_END, self.id_end.to_le_bytes());
        put(&mut h, commit::SOURCE, self.source.0.to_le_bytes());
        put(&mut h, commit::ORDINAL_END, self.ordinal_end.to_le_bytes());
        put(&mut h, commit::BYTES, self.progress.absorbed_bytes.to_le_bytes());
        put(&mut h, commit::LINES, self.progress.absorbed_lines.to_le_bytes());
        put(&mut h, commit::TIME, self.time_ms.to_le_bytes());
        put(&mut h, commit::HASH, self.progress.prefix_hash);
        put(&mut h, commit::COMPLETE, [u8::from(self.progress.complete)]);
        finish(h)
    }

    fn decode(h: &[u8; HEADER]) -> Self {
        Self {
            source: SourceId(u32_at(h, commit::SOURCE)),
            id_end: u64_at(h, commit::ID_END),
            ordinal_end: u32_at(h, commit::ORDINAL_END),
            time_ms: i64_at(h, commit::TIME),
            progress: Progress {
                absorbed_bytes: u64_at(h, commit::BYTES),
                absorbed_lines: u64_at(h, commit::LINES),
                prefix_hash: array_at(h, commit::HASH),
                complete: h[commit::COMPLETE] != 0,
            },
        }
    }
}

impl Footer {
    /// Bytes of the table with padding and trailer.
    pub(crate) fn table_bytes(&self) -> usize {
        aligned(self.blocks as usize * ENTRY + TRAILER)
    }

    /// The whole record: header, table of `(id, offset)`, trailer.
    pub(crate) fn encode(
        seat: Seat,
        source: SourceId,
        time_ms: i64,
        blocks: &[(BlockId, u64)],
    ) -> Vec<u8> {
        let mut f = Self {
            source,
            id_first: blocks.first().map_or(0, |b| b.0.0),
            id_last: blocks.last().map_or(0, |b| b.0.0),
            blocks: blocks.len() as u32,
            time_ms,
            table_checksum: 0,
        };
        let mut out = vec![0; HEADER + f.table_bytes()];
        for ((id, offset), slot) in blocks.iter().zip(out[HEADER..].chunks_exact_mut(ENTRY)) {
            put(slot, 0, id.0.to_le_bytes());
            put(slot, 8, offset.to_le_bytes());
        }
        let trailer = out.len() - TRAILER;
        put(&mut out, trailer, seat.offset.to_le_bytes());
        put(&mut out, trailer + 8, TRAILER_MAGIC);
        f.table_checksum = checksum(&out[HEADER..]);
        let mut h = begin(seat, KIND_FOOTER, out.len() as u64);
        put(&mut h, footer::ID_FIRST, f.id_first.to_le_bytes());
        put(&mut h, footer::SOURCE, f.source.0.to_le_bytes());
        put(&mut h, footer::BLOCKS, f.blocks.to_le_bytes());
        put(&mut h, footer::ID_LAST, f.id_last.to_le_bytes());
        put(&mut h, footer::TIME, f.time_ms.to_le_bytes());
        put(&mut h, footer::TABLE_CHECKSUM, f.table_checksum.to_le_bytes());
        out[..HEADER].copy_from_slice(&finish(h));
        out
    }

    fn decode(h: &[u8; HEADER]) -> Self {
        Self {
            source: SourceId(u32_at(h, footer::SOURCE)),
            id_first: u64_at(h, footer::ID_FIRST),
            id_last: u64_at(h, footer::ID_LAST),
            blocks: u32_at(h, footer::BLOCKS),
            time_ms: i64_at(h, footer::TIME),
            table_checksum: u64_at(h, footer::TABLE_CHECKSUM),
        }
    }

    /// The `(id, offset)` pairs of a table, checked.
    pub(crate) fn decode_table(&self, table: &[u8]) -> Result<Vec<(BlockId, u64)>, &'static str> {
        if table.len() != self.table_bytes() {
            return Err("footer length");
        }
        if checksum(table) != self.table_checksum {
            return Err("footer table checksum");
        }
        let entries = table.chunks_exact(ENTRY).take(self.blocks as usize);
        Ok(entries.map(|e| (BlockId(u64_at(e, 0)), u64_at(e, 8))).collect())
    }
}

/// Offset of the footer that a trailer names.
pub(crate) fn decode_trailer(bytes: &[u8; TRAILER]) -> Option<u64> {
    (array_at::<8>(bytes, 8) == TRAILER_MAGIC).then(|| u64_at(bytes, 0))
}

impl Record {
    /// Bytes of the whole record.
    pub(crate) fn record_bytes(&self) -> u64 {
        match self {
            Self::Block(b) => b.record_bytes(),
            Self::Commit(_) | Self::Replaces(_) => HEADER as u64,
            Self::Footer(f) => (HEADER + f.table_bytes()) as u64,
        }
    }

    /// Reads a header that should lie at `seat`. What follows the header is not checked here.
    pub(crate) fn decode(h: &[u8; HEADER], seat: Seat) -> Result<Self, &'static str> {
        if array_at::<4>(h, MAGIC) != MAGIC_BYTES {
            return Err("record magic");
        }
        if checksum(&h[..CHECKSUM]) != u64_at(h, CHECKSUM) {
            return Err("record header checksum");
        }
        if !is_read(u32::from(u16_at(h, VERSION))) {
            return Err("record version");
        }
        if u64_at(h, KEY) != seat.key {
            return Err("record of another segment");
        }
        if u64_at(h, OFFSET) != seat.offset {
            return Err("record of another place");
        }
        let record = match u16_at(h, KIND) {
            KIND_BLOCK => Self::Block(BlockHeader::decode(h)?),
            KIND_COMMIT => Self::Commit(Commit::decode(h)),
            KIND_FOOTER => Self::Footer(Footer::decode(h)),
            KIND_REPLACES => Self::Replaces(Replaces::decode(h)),
            _ => return Err("record kind"),
        };
        let bytes = u64_at(h, RECORD_BYTES);
        if bytes != record.record_bytes() || !bytes.is_multiple_of(ALIGN as u64) {
            return Err("record length");
        }
        Ok(record)
    }
}
