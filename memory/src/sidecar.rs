//! Address files: the addresses of a sealed segment, laid out as the index searches them, so that
//! opening a store does not read its keys and values. Made from the blocks, and made again when
//! missing or wrong.

use std::{collections::BTreeMap, io, sync::Arc};

use crate::{
    BlockAddress, BlockId,
    format::{
        FORMAT_VERSION, aligned, array_at, checksum, f32_at, layout, put, u16_at, u32_at, u64_at,
    },
    index::tile::{AddressTiles, HeadTiles, LANE, Lane},
    segment::{BlockAt, DIR, PieceError, Segment, split_body},
    shared::Shared,
    storage::read_all,
};

const MAGIC_BYTES: [u8; 8] = *b"LCEDGADR";

layout!(0;
    MAGIC 8, VERSION 4, SEGMENT 4, KEY 8, BLOCKS 4, HEADS 2, DIM 2, FILE_BYTES 8, DATA 8,
    RESERVED 8, CHECKSUM 8, HEADER);
const _: () = assert!(HEADER == 64 && RESERVED == 48);

const HEAD: usize = 16;
const BYTES_MAX: u64 = 4 << 30;

fn name(number: u32) -> String {
    format!("{DIR}/{number:08}.addr")
}

/// Writes the address file of a sealed segment and gives its length.
pub(crate) fn write(
    shared: &Shared,
    segment: &Segment,
    blocks: &[(BlockId, u64)],
) -> Result<u64, io::Error> {
    let layout = shared.identity.address;
    let mut addresses = Vec::with_capacity(blocks.len());
    let mut body = Vec::new();
    for (id, offset) in blocks {
        let at = BlockAt { id: *id, offset: *offset };
        let read = segment.block(at).and_then(|block| {
            segment.body(*offset, &block, &mut body)?;
            let parts = split_body(&block, &body).ok_or(PieceError::Corrupt("body length"))?;
            let address = BlockAddress::decode(layout, parts.address);
            address.map_err(|_| PieceError::Corrupt("address"))
        });
        match read {
            Ok(address) => addresses.push((*id, address)),
            Err(PieceError::Io(e)) => return Err(e),
            // A damaged block is left out: it is looked at on its own when the store is opened.
            Err(PieceError::Corrupt(_)) => {}
        }
    }
    let bytes = encode(shared, segment, &addresses);
    let (to, new) = (name(segment.number()), format!("{}.new", name(segment.number())));
    let storage = &*shared.storage;
    storage.remove(&new)?;
    let made = storage.create(&new).and_then(|file| {
        file.append(&bytes, 0)?;
        file.sync(true)?;
        storage.rename(&new, &to)
    });
    if let Err(e) = made {
        // Half a file helps nobody; the error is the one above.
        let _ = storage.remove(&new);
        return Err(e);
    }
    Ok(bytes.len() as u64)
}

fn encode(shared: &Shared, segment: &Segment, blocks: &[(BlockId, BlockAddress)]) -> Vec<u8> {
    let layout = shared.identity.address;
    let (heads, dim) = (usize::from(layout.heads), usize::from(layout.dim));
    let mut out = vec![0; HEADER];
    let mut lanes: Vec<Lane> = Vec::new();
    for (id, address) in blocks {
        out.extend_from_slice(&id.0.to_le_bytes());
        let tiles = AddressTiles::new(address, dim);
        let mut entry = vec![0; heads * HEAD];
        for (h, slot) in tiles.iter().flat_map(|t| &t.heads).zip(entry.chunks_exact_mut(HEAD)) {
            put(slot, 0, (h.vectors as u32).to_le_bytes());
            put(slot, 4, h.scale.to_le_bytes());
            put(slot, 8, h.mean.to_le_bytes());
            put(slot, 12, h.spread.to_le_bytes());
        }
        out.extend_from_slice(&entry);
        lanes.extend(tiles.iter().flat_map(|t| t.lanes.iter()));
    }
    out.resize(aligned(out.len()), 0);
    let data = out.len() as u64;
    out.reserve_exact(lanes.len() * LANE);
    for lane in &lanes {
        out.extend_from_slice(&lane.0);
    }
    let bytes = out.len() as u64;
    put(&mut out, MAGIC, MAGIC_BYTES);
    put(&mut out, VERSION, FORMAT_VERSION.to_le_bytes());
    put(&mut out, SEGMENT, segment.number().to_le_bytes());
    put(&mut out, KEY, segment.head.key.to_le_bytes());
    put(&mut out, BLOCKS, (blocks.len() as u32).to_le_bytes());
    put(&mut out, HEADS, u16::from(layout.heads).to_le_bytes());
    put(&mut out, DIM, layout.dim.to_le_bytes());
    put(&mut out, FILE_BYTES, bytes.to_le_bytes());
    put(&mut out, DATA, data.to_le_bytes());
    let sum = checksum(&out);
    put(&mut out, CHECKSUM, sum.to_le_bytes());
    out
}

/// Addresses by block: `None` for a block that has none.
pub(crate) type Addresses = BTreeMap<BlockId, Option<AddressTiles>>;

/// Reads the address file of a segment; `None` when it is missing or not as it should be.
pub(crate) fn load(shared: &Shared, segment: &Segment) -> Option<Addresses> {
    let file = shared.storage.open(&name(segment.number()), false).ok()?;
    let mut bytes = read_all(&*file, BYTES_MAX).ok()?;
    decode(shared, segment, &mut bytes)
}

fn decode(shared: &Shared, segment: &Segment, bytes: &mut [u8]) -> Option<Addresses> {
    let layout = shared.identity.address;
    if bytes.len() < HEADER {
        return None;
    }
    let sum = u64_at(bytes, CHECKSUM);
    put(bytes, CHECKSUM, [0; 8]);
    let right = checksum(bytes) == sum
        && array_at::<8>(bytes, MAGIC) == MAGIC_BYTES
        && u32_at(bytes, VERSION) == FORMAT_VERSION
        && u32_at(bytes, SEGMENT) == segment.number()
        && u64_at(bytes, KEY) == segment.head.key
        && u16_at(bytes, HEADS) == u16::from(layout.heads)
        && u16_at(bytes, DIM) == layout.dim
        && u64_at(bytes, FILE_BYTES) == bytes.len() as u64;
    if !right {
        return None;
    }
    let data = usize::try_from(u64_at(bytes, DATA)).ok()?;
    let (table, lanes) = bytes.split_at_checked(data)?;
    let lanes: Arc<[Lane]> = lanes.chunks_exact(LANE).map(|c| Lane(array_at(c, 0))).collect();
    let (heads, dim) = (usize::from(layout.heads), usize::from(layout.dim));
    let entry = 8 + heads * HEAD;
    let blocks = u32_at(bytes, BLOCKS) as usize;
    let table = table.get(HEADER..)?.get(..blocks.checked_mul(entry)?)?;
    let mut first = 0;
    let mut out = Addresses::new();
    for entry in table.chunks_exact(entry) {
        let id = BlockId(u64_at(entry, 0));
        let mut tiles = Vec::with_capacity(heads);
        for h in entry[8..].chunks_exact(HEAD) {
            let head = HeadTiles {
                first,
                vectors: u32_at(h, 0) as usize,
                scale: f32_at(h, 4),
                mean: f32_at(h, 8),
                spread: f32_at(h, 12),
            };
            first = first.checked_add(head.lanes(dim)).filter(|end| *end <= lanes.len())?;
            tiles.push(head);
        }
        let any = tiles.iter().any(|t| t.vectors > 0);
        let address = AddressTiles { lanes: Arc::clone(&lanes), heads: tiles.into() };
        out.insert(id, any.then_some(address));
    }
    Some(out)
}
