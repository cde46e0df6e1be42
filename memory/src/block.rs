//! The words of the store: ids, spans, blocks and sources.

use serde::{Deserialize, Serialize};

use crate::address::BlockAddress;

/// Names a block. Rises in the order of appending over the whole store; never given twice to
/// two blocks that were both committed.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct BlockId(pub u64);

/// Names one version of one source.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SourceId(pub u32);

/// How the keys and values of a block are encoded. The bytes themselves are opaque here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KvDtype {
    /// IEEE half precision: the reference.
    F16,
    /// Eight bits, keys per channel, values per token.
    Int8,
    /// Four bits, keys per channel, values per token.
    Int4,
}

impl KvDtype {
    /// The tag stored on disk; 0 is "no keys and values".
    #[must_use]
    pub const fn tag(self) -> u8 {
        match self {
            Self::F16 => 1,
            Self::Int8 => 2,
            Self::Int4 => 3,
        }
    }

    /// The dtype of a stored tag.
    #[must_use]
    pub const fn from_tag(tag: u8) -> Option<Self> {
        match tag {
            1 => Some(Self::F16),
            2 => Some(Self::Int8),
            3 => Some(Self::Int4),
            _ => None,
        }
    }
}

/// Where a block lies within its source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Span {
    /// First byte.
    pub byte_start: u64,
    /// One past the last byte.
    pub byte_end: u64,
    /// Line of the first byte, counted from 1.
    pub line_start: u64,
    /// Line of the last byte, inclusive.
    pub line_end: u64,
}

impl Span {
    /// Whether the ends are in order and lines count from 1.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        self.byte_start <= self.byte_end
            && self.line_start >= 1
            && self.line_start <= self.line_end
            && self.byte_end <= i64::MAX as u64
            && self.line_end <= i64::MAX as u64
    }
}

/// A block to be appended, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct BlockRecord<'a> {
    /// The source version it belongs to: the one that was begun last, or any unfinished one.
    pub source: SourceId,
    /// Where it lies in the source.
    pub span: Span,
    /// Time of the block, milliseconds since 1970 UTC.
    pub time_unix_ms: i64,
    /// Token ids, at most `geometry.block_tokens`.
    pub tokens: &'a [u32],
    /// The text of the span. Bytes, not necessarily UTF-8.
    pub text: &'a [u8],
    /// Sum of the tokens' surprise, in nats.
    pub surprise_nats: f32,
    /// The first byte is not the first of its line.
    pub starts_mid_line: bool,
    /// The last byte is not the last of its line.
    pub ends_mid_line: bool,
    /// Encoding of `payload`.
    pub dtype: KvDtype,
    /// Encoded keys and values; empty for a block that has none.
    pub payload: &'a [u8],
    /// Its beacons, when it has some.
    pub beacons: Option<BeaconRecord<'a>>,
    /// What the block is found by; [`BlockAddress::default`] when it has none.
    pub address: &'a BlockAddress,
}

/// Beacons of a block to be appended: a few condensed keys and values that stand for its tokens.
#[derive(Clone, Copy, Debug)]
pub struct BeaconRecord<'a> {
    /// Tokens that one beacon stands for.
    pub ratio: u16,
    /// Beacons, at least one.
    pub count: u16,
    /// Encoding of `payload`.
    pub dtype: KvDtype,
    /// Their encoded keys and values; not empty.
    pub payload: &'a [u8],
}

/// What is known of a block's beacons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeaconInfo {
    /// Tokens that one beacon stands for.
    pub ratio: u16,
    /// Beacons.
    pub count: u16,
    /// Encoding of their keys and values.
    pub dtype: KvDtype,
    /// Bytes of their keys and values.
    pub bytes: u32,
}

/// How much of a block is left. Text, tokens and address always are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BlockState {
    /// Text only: recalling it means encoding it again.
    Text,
    /// Beacons and text.
    Beacons,
    /// The keys and values of all tokens, with beacons or without.
    Exact,
}

/// What is known of a stored block without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlockInfo {
    /// Its id.
    pub id: BlockId,
    /// Its source version.
    pub source: SourceId,
    /// Its place within the source, from 0.
    pub ordinal: u32,
    /// Where it lies in the source.
    pub span: Span,
    /// Milliseconds since 1970 UTC.
    pub time_unix_ms: i64,
    /// Token ids held.
    pub tokens: u16,
    /// Sum of the tokens' surprise, in nats.
    pub surprise_nats: f32,
    /// The first byte is not the first of its line.
    pub starts_mid_line: bool,
    /// The last byte is not the last of its line.
    pub ends_mid_line: bool,
    /// Encoding of its keys and values; `None` when only text is held.
    pub kv: Option<KvDtype>,
    /// Bytes of its keys and values.
    pub kv_bytes: u32,
    /// Its beacons; `None` when it has none.
    pub beacons: Option<BeaconInfo>,
}

impl BlockInfo {
    /// How much of the block is left.
    #[must_use]
    pub const fn state(&self) -> BlockState {
        match (self.kv, self.beacons) {
            (Some(_), _) => BlockState::Exact,
            (None, Some(_)) => BlockState::Beacons,
            (None, None) => BlockState::Text,
        }
    }
}

/// Where a session goes on after a restart, as it said itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionPoint {
    /// Its name.
    pub name: String,
    /// When it was committed, milliseconds since 1970 UTC.
    pub time_unix_ms: i64,
    /// The source version that it was absorbing.
    pub source: SourceId,
    /// Blocks of that source that had been appended when the point was set. More may be there:
    /// after a crash just before a point was acknowledged, its blocks can have arrived without it.
    pub blocks: u32,
    /// The bytes that were given to [`Store::set_session`](crate::Store::set_session).
    pub state: Vec<u8>,
}

/// How far a source version has been absorbed: what a run continues from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Bytes absorbed.
    pub absorbed_bytes: u64,
    /// Whole lines absorbed.
    pub absorbed_lines: u64,
    /// Hash of the absorbed bytes, by whatever function the caller uses.
    pub prefix_hash: [u8; 32],
    /// The source was absorbed to its end.
    pub complete: bool,
}

/// One version of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceInfo {
    /// Its id.
    pub id: SourceId,
    /// Its name, as given to `begin_source`.
    pub name: String,
    /// From 1, one more for each new version of the name.
    pub version: u32,
    /// A newer version of the name exists.
    pub superseded: bool,
    /// How far it was absorbed, as last set (durable once committed).
    pub progress: Progress,
    /// Blocks appended to it, committed or not, quarantined ones included: the next ordinal.
    pub blocks: u32,
}

/// Where a run on a source begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceState {
    /// The source version to append to.
    pub id: SourceId,
    /// Its version, from 1.
    pub version: u32,
    /// Bytes that an earlier run absorbed and committed.
    pub absorbed_bytes: u64,
    /// Whole lines that an earlier run absorbed and committed.
    pub absorbed_lines: u64,
    /// Blocks appended to it: the next ordinal.
    pub blocks: u32,
    /// The hash given with the last progress; zeros at the start.
    pub prefix_hash: [u8; 32],
    /// An earlier run absorbed it to its end.
    pub complete: bool,
}
