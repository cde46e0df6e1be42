//! Parts of an exported store: pure encoding and decoding, no I/O.

use super::{array_at, segment::Identity, u32_at, u64_at};
use crate::{
    AddressLayout, BeaconInfo, BlockAddress, BlockId, BlockInfo, Geometry, KvDtype, Progress,
    SourceId, SourceInfo, Span,
};

/// Version of the file; 1, whose sources do not say whether they are superseded, is read too.
pub(crate) const VERSION: u32 = 2;
/// Bytes before each part: magic, kind, length, checksum.
pub(crate) const PREFIX: usize = 24;
/// Longest head; a later version may have a longer one.
const HEAD_MAX: u64 = 4096;
/// Longest source version: its numbers and its name.
const SOURCE_MAX: u64 = 128 + super::segment::NAME_BYTES_MAX as u64;
/// Longest end.
const END_MAX: u64 = 8;
/// Longest block of any shape.
const BLOCK_MAX: u64 = 256 << 20;
/// Longest text of a token, on average over a block.
const TOKEN_TEXT_MAX: u64 = 4096;
/// A text of so many bytes is never too long.
const TEXT_MAX: u64 = 64 << 10;

const MAGIC: [u8; 4] = *b"LCEX";
const HEAD: u32 = 1;
const SOURCE: u32 = 2;
const BLOCK: u32 = 3;
const END: u32 = 4;

/// What a file begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) identity: Identity,
    pub(crate) keys_and_values: bool,
}

/// A source version; its blocks follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) progress: Progress,
    /// A newer version stood in its place where it was exported.
    pub(crate) superseded: bool,
}

impl Source {
    pub(crate) fn of(info: &SourceInfo) -> Self {
        let SourceInfo { version, progress, superseded, .. } = *info;
        Self { name: info.name.clone(), version, progress, superseded }
    }
}

/// A block with all that is exported of it. Id, source and ordinal of the info do not count.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Block {
    pub(crate) info: BlockInfo,
    pub(crate) tokens: Vec<u32>,
    pub(crate) text: Vec<u8>,
    pub(crate) address: BlockAddress,
    pub(crate) payload: Vec<u8>,
    pub(crate) beacons: Vec<u8>,
}

/// A part of the file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Frame {
    Head(Head),
    Source(Source),
    Block(Block),
    End { blocks: u64 },
}

/// Why bytes are no part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameError {
    Version(u32),
    Wrong(&'static str),
}

/// The stored form of a part, with its prefix.
pub(crate) fn encode(frame: &Frame) -> Vec<u8> {
    let mut out = vec![0; PREFIX];
    let kind = match frame {
        Frame::Head(head) => {
            put_head(head, &mut out);
            HEAD
        }
        Frame::Source(source) => {
            out.extend(source.version.to_le_bytes());
            put_progress(&source.progress, &mut out);
            put_bytes(source.name.as_bytes(), &mut out);
            out.push(u8::from(source.superseded));
            SOURCE
        }
        Frame::Block(block) => {
            put_block(block, &mut out);
            BLOCK
        }
        Frame::End { blocks } => {
            out.extend(blocks.to_le_bytes());
            END
        }
    };
    let bytes = (out.len() - PREFIX) as u64;
    super::put(&mut out, 0, MAGIC);
    super::put(&mut out, 4, kind.to_le_bytes());
    super::put(&mut out, 8, bytes.to_le_bytes());
    let sum = sum(&out[..16], &out[PREFIX..]);
    super::put(&mut out, 16, sum.to_le_bytes());
    out
}

fn sum(prefix: &[u8], body: &[u8]) -> u64 {
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    hash.update(prefix);
    hash.update(body);
    hash.digest()
}

/// Most bytes that the parts of a block have, of one shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Of its text.
    pub(crate) text: u64,
    /// Of its keys and values, and of its beacons: no encoding takes more than numbers of 32 bits,
    /// with two for each channel and each token.
    pub(crate) kv: u64,
    /// Of all of it.
    pub(crate) block: u64,
}

impl Limits {
    /// The limits of a shape; none when no model has blocks of that size.
    pub(crate) fn of(identity: &Identity) -> Option<Self> {
        let Geometry { layers, kv_heads, head_dim, block_tokens } = identity.geometry;
        let [layers, heads, dim, tokens] =
            [layers, kv_heads, head_dim, block_tokens].map(u128::from);
        let kv = layers * heads * 8 * (dim * tokens + dim + tokens);
        let text = u64::from(block_tokens) * TOKEN_TEXT_MAX;
        let text = text.max(TEXT_MAX);
        let a = identity.address;
        let vectors = u128::from(a.vectors_max) * u128::from(a.dim);
        let address = u128::from(a.heads) * (16 + vectors);
        let block = 256 + 4 * tokens + u128::from(text) + address + 2 * kv;
        let block = u64::try_from(block).ok().filter(|b| *b <= BLOCK_MAX)?;
        Some(Self { text, kv: kv as u64, block })
    }
}

/// Length of a part, from its prefix. `limits`: of the blocks, once the head is known.
pub(crate) fn bytes_of(
    prefix: &[u8; PREFIX],
    limits: Option<&Limits>,
) -> Result<u64, &'static str> {
    if array_at::<4>(prefix, 0) != MAGIC {
        return Err("magic");
    }
    let max = match u32_at(prefix, 4) {
        HEAD => HEAD_MAX,
        SOURCE => SOURCE_MAX,
        BLOCK => limits.ok_or("parts in another order")?.block,
        END => END_MAX,
        _ => return Err("kind of a part"),
    };
    let bytes = u64_at(prefix, 8);
    if bytes > max { Err("length of a part") } else { Ok(bytes) }
}

/// Reads a part back.
pub(crate) fn decode(prefix: &[u8; PREFIX], body: &[u8]) -> Result<Frame, FrameError> {
    if sum(&prefix[..16], body) != u64_at(prefix, 16) {
        return Err(FrameError::Wrong("checksum"));
    }
    let mut rest = Rest(body);
    let frame = match u32_at(prefix, 4) {
        HEAD => {
            let version = rest.u32()?;
            if version == 0 || version > VERSION {
                return Err(FrameError::Version(version));
            }
            Frame::Head(rest.head()?)
        }
        SOURCE => {
            let (version, progress) = (rest.u32()?, rest.progress()?);
            let name = String::from_utf8(rest.bytes()?).map_err(|_| FrameError::Wrong("name"))?;
            // The last field is of version 2.
            let superseded = match if rest.0.is_empty() { 0 } else { rest.u8()? } {
                0 => false,
                1 => true,
                _ => return Err(FrameError::Wrong("superseded")),
            };
            Frame::Source(Source { name, version, progress, superseded })
        }
        BLOCK => Frame::Block(rest.block()?),
        END => Frame::End { blocks: rest.u64()? },
        _ => return Err(FrameError::Wrong("kind of a part")),
    };
    if rest.0.is_empty() { Ok(frame) } else { Err(FrameError::Wrong("length of a part")) }
}

fn put_head(head: &Head, out: &mut Vec<u8>) {
    let Identity { store, model, geometry: g, address: a } = head.identity;
    out.extend(VERSION.to_le_bytes());
    out.extend(store);
    out.extend(model);
    for x in [g.layers, g.kv_heads, g.head_dim, g.block_tokens, u16::from(a.heads), a.vectors_max] {
        out.extend(x.to_le_bytes());
    }
    out.extend(a.dim.to_le_bytes());
    out.push(u8::from(head.keys_and_values));
}

fn put_progress(p: &Progress, out: &mut Vec<u8>) {
    out.extend(p.absorbed_bytes.to_le_bytes());
    out.extend(p.absorbed_lines.to_le_bytes());
    out.extend(p.prefix_hash);
    out.push(u8::from(p.complete));
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend((bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn put_block(block: &Block, out: &mut Vec<u8>) {
    let i = &block.info;
    for x in [i.span.byte_start, i.span.byte_end, i.span.line_start, i.span.line_end] {
        out.extend(x.to_le_bytes());
    }
    out.extend(i.time_unix_ms.to_le_bytes());
    out.extend(i.surprise_nats.to_le_bytes());
    out.extend([u8::from(i.starts_mid_line), u8::from(i.ends_mid_line)]);
    out.extend([i.kv.map_or(0, KvDtype::tag), i.beacons.map_or(0, |b| b.dtype.tag())]);
    out.extend(i.beacons.map_or(0, |b| b.ratio).to_le_bytes());
    out.extend(i.beacons.map_or(0, |b| b.count).to_le_bytes());
    out.extend((block.tokens.len() as u32).to_le_bytes());
    for t in &block.tokens {
        out.extend(t.to_le_bytes());
    }
    put_bytes(&block.text, out);
    out.extend((block.address.heads.len() as u32).to_le_bytes());
    for head in &block.address.heads {
        for x in [head.scale, head.mean, head.spread] {
            out.extend(x.to_le_bytes());
        }
        out.extend((head.vectors.len() as u32).to_le_bytes());
        out.extend(head.vectors.iter().map(|v| v.cast_unsigned()));
    }
    put_bytes(&block.payload, out);
    put_bytes(&block.beacons, out);
}

/// What is left to be read. Lengths are believed only as far as there are bytes.
struct Rest<'a>(&'a [u8]);

type Taken<T> = Result<T, FrameError>;

impl Rest<'_> {
    fn array<const N: usize>(&mut self) -> Taken<[u8; N]> {
        let (array, rest) =
            self.0.split_first_chunk::<N>().ok_or(FrameError::Wrong("length of a part"))?;
        self.0 = rest;
        Ok(*array)
    }

    fn u8(&mut self) -> Taken<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn u16(&mut self) -> Taken<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Taken<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Taken<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn f32(&mut self) -> Taken<f32> {
        Ok(f32::from_le_bytes(self.array()?))
    }

    fn bytes(&mut self) -> Taken<Vec<u8>> {
        let n = self.u32()? as usize;
        let (bytes, rest) =
            self.0.split_at_checked(n).ok_or(FrameError::Wrong("length of a part"))?;
        self.0 = rest;
        Ok(bytes.to_vec())
    }

    fn head(&mut self) -> Taken<Head> {
        let (store, model) = (self.array()?, self.array()?);
        let geometry = Geometry {
            layers: self.u16()?,
            kv_heads: self.u16()?,
            head_dim: self.u16()?,
            block_tokens: self.u16()?,
        };
        let heads = u8::try_from(self.u16()?).map_err(|_| FrameError::Wrong("address heads"))?;
        let address = AddressLayout { heads, vectors_max: self.u16()?, dim: self.u16()? };
        let keys_and_values = self.u8()? != 0;
        Ok(Head { identity: Identity { store, model, geometry, address }, keys_and_values })
    }

    fn progress(&mut self) -> Taken<Progress> {
        Ok(Progress {
            absorbed_bytes: self.u64()?,
            absorbed_lines: self.u64()?,
            prefix_hash: self.array()?,
            complete: self.u8()? != 0,
        })
    }

    fn block(&mut self) -> Taken<Block> {
        let span = Span {
            byte_start: self.u64()?,
            byte_end: self.u64()?,
            line_start: self.u64()?,
            line_end: self.u64()?,
        };
        let time_unix_ms = i64::from_le_bytes(self.array()?);
        let surprise_nats = self.f32()?;
        let [starts_mid_line, ends_mid_line] = self.array::<2>()?.map(|b| b != 0);
        let [kv, beacon_dtype] = self.array::<2>()?.map(KvDtype::from_tag);
        let (ratio, count) = (self.u16()?, self.u16()?);
        let n = self.u32()? as usize;
        let tokens: Vec<u32> = (0..n).map(|_| self.u32()).collect::<Taken<_>>()?;
        let text = self.bytes()?;
        let address = self.address()?;
        let (payload, beacons) = (self.bytes()?, self.bytes()?);
        if kv.is_some() == payload.is_empty() || beacon_dtype.is_some() == beacons.is_empty() {
            return Err(FrameError::Wrong("kind of keys and values"));
        }
        let info = BlockInfo {
            id: BlockId(0),
            source: SourceId(0),
            ordinal: 0,
            span,
            time_unix_ms,
            tokens: u16::try_from(n).map_err(|_| FrameError::Wrong("tokens of a block"))?,
            surprise_nats,
            starts_mid_line,
            ends_mid_line,
            kv,
            kv_bytes: payload.len() as u32,
            beacons: beacon_dtype.map(|dtype| BeaconInfo {
                ratio,
                count,
                dtype,
                bytes: beacons.len() as u32,
            }),
        };
        Ok(Block { info, tokens, text, address, payload, beacons })
    }

    fn address(&mut self) -> Taken<BlockAddress> {
        let mut address = BlockAddress::default();
        for _ in 0..self.u32()? {
            let (scale, mean, spread) = (self.f32()?, self.f32()?, self.f32()?);
            let vectors = self.bytes()?.into_iter().map(u8::cast_signed).collect();
            address.heads.push(crate::HeadAddress { vectors, scale, mean, spread });
        }
        Ok(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_panic(kind in 0_u32..6, body in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut out = vec![0; PREFIX];
            super::super::put(&mut out, 0, MAGIC);
            super::super::put(&mut out, 4, kind.to_le_bytes());
            super::super::put(&mut out, 8, (body.len() as u64).to_le_bytes());
            let sum = sum(&out[..16], &body);
            super::super::put(&mut out, 16, sum.to_le_bytes());
            let prefix: [u8; PREFIX] = out.try_into().unwrap();
            let _ = decode(&prefix, &body);
        }
    }
}
