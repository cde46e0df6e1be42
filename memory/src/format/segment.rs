//! The header of a segment file.

use super::{
    ALIGN, FORMAT_VERSION, aligned, array_at, checksum, i64_at, is_read, layout, put, u16_at,
    u32_at, u64_at,
};
use crate::{AddressLayout, Geometry, SourceId};

const MAGIC_BYTES: [u8; 8] = *b"LCEDGSEG";

layout!(0;
    MAGIC 8, VERSION 4, HEADER_BYTES 4, STORE 16, MODEL 32,
    LAYERS 2, KV_HEADS 2, HEAD_DIM 2, BLOCK_TOKENS 2,
    ADDRESS_HEADS 2, ADDRESS_VECTORS 2, ADDRESS_DIM 2, RESERVED 2,
    SEGMENT 4, SOURCE 4, SOURCE_VERSION 4, NAME_BYTES 4, CREATED 8,
    NAME);
const _: () = assert!(NAME == 104 && RESERVED == 78);

/// Longest source name.
pub(crate) const NAME_BYTES_MAX: usize = 4096;
/// Longest header that a reader believes in.
pub(crate) const HEADER_BYTES_MAX: usize = 65_536;
/// Bytes from which the length of the whole header can be told.
pub(crate) const HEADER_PREFIX: usize = STORE;

/// What every segment of a store shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) store: [u8; 16],
    pub(crate) model: [u8; 32],
    pub(crate) geometry: Geometry,
    pub(crate) address: AddressLayout,
}

/// A segment header, parsed and checked against itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) identity: Identity,
    pub(crate) segment: u32,
    pub(crate) source: SourceId,
    pub(crate) source_version: u32,
    pub(crate) name: String,
    pub(crate) created_ms: i64,
}

/// A header as read: its key (checksum) ties the records to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReadHeader {
    pub(crate) header: SegmentHeader,
    pub(crate) bytes: u64,
    pub(crate) key: u64,
}

impl SegmentHeader {
    /// The stored form; its last eight bytes are the segment's key.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let name = self.name.as_bytes();
        let mut out = vec![0; aligned(NAME + name.len() + 8)];
        let total = u32::try_from(out.len()).unwrap_or(u32::MAX);
        let name_bytes = u32::try_from(name.len()).unwrap_or(u32::MAX);
        let Identity { store, model, geometry: g, address: a } = self.identity;
        put(&mut out, MAGIC, MAGIC_BYTES);
        put(&mut out, VERSION, FORMAT_VERSION.to_le_bytes());
        put(&mut out, HEADER_BYTES, total.to_le_bytes());
        put(&mut out, STORE, store);
        put(&mut out, MODEL, model);
        put(&mut out, LAYERS, g.layers.to_le_bytes());
        put(&mut out, KV_HEADS, g.kv_heads.to_le_bytes());
        put(&mut out, HEAD_DIM, g.head_dim.to_le_bytes());
        put(&mut out, BLOCK_TOKENS, g.block_tokens.to_le_bytes());
        put(&mut out, ADDRESS_HEADS, u16::from(a.heads).to_le_bytes());
        put(&mut out, ADDRESS_VECTORS, a.vectors_max.to_le_bytes());
        put(&mut out, ADDRESS_DIM, a.dim.to_le_bytes());
        put(&mut out, SEGMENT, self.segment.to_le_bytes());
        put(&mut out, SOURCE, self.source.0.to_le_bytes());
        put(&mut out, SOURCE_VERSION, self.source_version.to_le_bytes());
        put(&mut out, NAME_BYTES, name_bytes.to_le_bytes());
        put(&mut out, CREATED, self.created_ms.to_le_bytes());
        out[NAME..NAME + name.len()].copy_from_slice(name);
        let at = out.len() - 8;
        let key = checksum(&out[..at]);
        put(&mut out, at, key.to_le_bytes());
        out
    }

    /// Length of the whole header, from its first [`HEADER_PREFIX`] bytes.
    pub(crate) fn bytes_of(prefix: &[u8; HEADER_PREFIX]) -> Result<usize, &'static str> {
        if array_at::<8>(prefix, MAGIC) != MAGIC_BYTES {
            return Err("segment magic");
        }
        if !is_read(u32_at(prefix, VERSION)) {
            return Err("segment version");
        }
        let bytes = u32_at(prefix, HEADER_BYTES) as usize;
        let fits = (NAME + 8..=HEADER_BYTES_MAX).contains(&bytes) && bytes.is_multiple_of(ALIGN);
        if fits { Ok(bytes) } else { Err("segment header length") }
    }

    /// Reads the stored form back; `bytes` is exactly the header.
    pub(crate) fn decode(bytes: &[u8]) -> Result<ReadHeader, &'static str> {
        let prefix = bytes.first_chunk::<HEADER_PREFIX>().ok_or("segment header length")?;
        if Self::bytes_of(prefix)? != bytes.len() {
            return Err("segment header length");
        }
        let at = bytes.len() - 8;
        let key = u64_at(bytes, at);
        if checksum(&bytes[..at]) != key {
            return Err("segment header checksum");
        }
        let name_bytes = u32_at(bytes, NAME_BYTES) as usize;
        if name_bytes > NAME_BYTES_MAX || aligned(NAME + name_bytes + 8) != bytes.len() {
            return Err("segment name length");
        }
        let name = std::str::from_utf8(&bytes[NAME..NAME + name_bytes]);
        let heads = u8::try_from(u16_at(bytes, ADDRESS_HEADS)).map_err(|_| "address heads")?;
        let header = Self {
            identity: Identity {
                store: array_at(bytes, STORE),
                model: array_at(bytes, MODEL),
                geometry: Geometry {
                    layers: u16_at(bytes, LAYERS),
                    kv_heads: u16_at(bytes, KV_HEADS),
                    head_dim: u16_at(bytes, HEAD_DIM),
                    block_tokens: u16_at(bytes, BLOCK_TOKENS),
                },
                address: AddressLayout {
                    heads,
                    vectors_max: u16_at(bytes, ADDRESS_VECTORS),
                    dim: u16_at(bytes, ADDRESS_DIM),
                },
            },
            segment: u32_at(bytes, SEGMENT),
            source: SourceId(u32_at(bytes, SOURCE)),
            source_version: u32_at(bytes, SOURCE_VERSION),
            name: name.map_err(|_| "segment name")?.to_owned(),
            created_ms: i64_at(bytes, CREATED),
        };
        Ok(ReadHeader { header, bytes: bytes.len() as u64, key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            identity: Identity {
                store: [7; 16],
                model: [9; 32],
                geometry: Geometry { layers: 3, kv_heads: 2, head_dim: 8, block_tokens: 64 },
                address: AddressLayout { heads: 2, vectors_max: 64, dim: 8 },
            },
            segment: 5,
            source: SourceId(3),
            source_version: 2,
            name: "var/log/größe.log".into(),
            created_ms: -1,
        }
    }

    #[test]
    fn a_header_survives_its_stored_form() {
        let bytes = header().encode();
        let read = SegmentHeader::decode(&bytes).unwrap();
        assert_eq!(read.header, header());
        assert_eq!(read.bytes as usize, bytes.len());
    }

    #[test]
    fn every_bit_flipped_is_noticed() {
        let mut bytes = header().encode();
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&bytes).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        for n in 0..bytes.len() {
            assert!(SegmentHeader::decode(&bytes[..n]).is_err(), "cut at {n}");
        }
    }
}
