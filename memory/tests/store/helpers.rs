//! Small stores whose every block can be computed from its number.

use lcedge_memory::{
    AddressLayout, BeaconRecord, BlockAddress, BlockId, BlockRecord, BlockState, Geometry,
    HeadAddress, KvDtype, Progress, Reader, SourceId, Span, Store, StoreOptions,
};

pub(crate) const GEOMETRY: Geometry =
    Geometry { layers: 2, kv_heads: 1, head_dim: 4, block_tokens: 8 };
pub(crate) const LAYOUT: AddressLayout = AddressLayout { heads: 2, vectors_max: 20, dim: 6 };

/// Pages of the index are small, so that small stores have some.
pub(crate) fn options() -> StoreOptions {
    StoreOptions { page_blocks: 3, ..StoreOptions::new([7; 32], GEOMETRY, LAYOUT) }
}

/// A block to be appended; `n` decides everything about it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) span: Span,
    pub(crate) time: i64,
    pub(crate) tokens: Vec<u32>,
    pub(crate) text: Vec<u8>,
    pub(crate) surprise: f32,
    pub(crate) dtype: KvDtype,
    pub(crate) payload: Vec<u8>,
    /// Ratio, count, dtype, bytes.
    pub(crate) beacons: Option<(u16, u16, KvDtype, Vec<u8>)>,
    pub(crate) address: BlockAddress,
}

/// A cheap, fixed stream of numbers.
pub(crate) fn mix(n: u64) -> u64 {
    let mut x = n.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

impl Sample {
    pub(crate) fn new(n: u64) -> Self {
        let m = mix(n);
        let tokens = (0..m % 9).map(|i| (mix(m + i) % 50_000) as u32).collect();
        let words = ["root", "login", "failed", "10.0.3.7", "CN-4821", "user_name", "größe"];
        let word = words[(m % 7) as usize];
        let mut text = format!("line {n} {word} value{}\n", m % 11).into_bytes();
        if n % 13 == 5 {
            text.extend([0, 255, 254]);
        }
        let head = |h: u64| HeadAddress {
            vectors: (0..(mix(m + h) % 21) * 6).map(|i| mix(m ^ (h + i)) as i8).collect(),
            scale: 0.01,
            mean: 0.5,
            spread: 1.5,
        };
        let address = if n % 7 == 3 {
            BlockAddress::default()
        } else {
            BlockAddress { heads: vec![head(1), head(2)] }
        };
        let payload = if n % 5 == 2 { 0 } else { 1 + m % 300 };
        // The blocks of the golden store of version 1 have none.
        let beacons = (n >= 4 && n % 3 == 1).then(|| {
            let bytes = (0..1 + m % 70).map(|i| mix(m * 7 + i) as u8).collect();
            // As many as a block's tokens have room for; those of the golden stores are kept.
            let ratio = if n < 8 { 8 << (m % 3) } else { 1 << (m % 3) };
            let count = if n < 8 { 8 } else { 8 / ratio };
            (ratio, 1 + (m % u64::from(count)) as u16, KvDtype::F16, bytes)
        });
        Self {
            beacons,
            span: Span {
                byte_start: n * 100,
                byte_end: n * 100 + 100,
                line_start: n + 1,
                line_end: n + 2,
            },
            time: 1_700_000_000_000 + n as i64,
            tokens,
            text,
            surprise: (m % 100) as f32 / 7.0,
            dtype: [KvDtype::F16, KvDtype::Int8, KvDtype::Int4][(m % 3) as usize],
            payload: (0..payload).map(|i| mix(m + i) as u8).collect(),
            address,
        }
    }

    pub(crate) fn record(&self, source: SourceId) -> BlockRecord<'_> {
        BlockRecord {
            source,
            span: self.span,
            time_unix_ms: self.time,
            tokens: &self.tokens,
            text: &self.text,
            surprise_nats: self.surprise,
            starts_mid_line: self.time % 2 == 0,
            ends_mid_line: self.time % 3 == 0,
            dtype: self.dtype,
            payload: &self.payload,
            beacons: self.beacons.as_ref().map(|(ratio, count, dtype, payload)| BeaconRecord {
                ratio: *ratio,
                count: *count,
                dtype: *dtype,
                payload,
            }),
            address: &self.address,
        }
    }

    /// Asserts that a stored block is this one.
    pub(crate) fn assert_is(&self, reader: &Reader, id: BlockId) {
        let info = reader.block(id).unwrap();
        assert_eq!(info.id, id);
        assert_eq!(info.span, self.span);
        assert_eq!(info.time_unix_ms, self.time);
        assert_eq!(info.surprise_nats, self.surprise);
        assert_eq!(info.starts_mid_line, self.time % 2 == 0);
        assert_eq!(info.ends_mid_line, self.time % 3 == 0);
        assert_eq!(usize::from(info.tokens), self.tokens.len());
        assert_eq!(info.kv_bytes as usize, self.payload.len());
        assert_eq!(reader.text(id).unwrap(), self.text);
        let mut tokens = vec![9; 3];
        reader.tokens(id, &mut tokens).unwrap();
        assert_eq!(tokens, self.tokens);
        let address = reader.address(id).unwrap();
        if self.address.is_empty() {
            assert!(address.is_empty());
        } else {
            // A head without vectors keeps no scale worth comparing.
            for (a, b) in address.heads.iter().zip(&self.address.heads) {
                assert_eq!(a.vectors, b.vectors);
            }
        }
        let mut payload = vec![1];
        if self.payload.is_empty() {
            assert_eq!(info.kv, None);
            assert!(reader.payload(id, &mut payload).is_err());
        } else {
            assert_eq!(reader.payload(id, &mut payload).unwrap(), self.dtype);
            assert_eq!(payload, self.payload);
        }
        let state = match (&self.beacons, self.payload.len()) {
            (_, 1..) => BlockState::Exact,
            (Some(_), 0) => BlockState::Beacons,
            (None, 0) => BlockState::Text,
        };
        assert_eq!(info.state(), state);
        match &self.beacons {
            None => {
                assert_eq!(info.beacons, None);
                assert!(reader.beacons(id, &mut payload).is_err());
            }
            Some((ratio, count, dtype, bytes)) => {
                let found = reader.beacons(id, &mut payload).unwrap();
                assert_eq!((found.ratio, found.count, found.dtype), (*ratio, *count, *dtype));
                assert_eq!((info.beacons, &payload), (Some(found), bytes));
            }
        }
    }
}

/// Appends samples `from..to` to a source, without committing.
pub(crate) fn append(
    store: &mut Store,
    source: SourceId,
    numbers: std::ops::Range<u64>,
) -> Vec<BlockId> {
    numbers.map(|n| store.append(&Sample::new(n).record(source)).unwrap()).collect()
}

pub(crate) fn progress(n: u64) -> Progress {
    Progress {
        absorbed_bytes: n * 100,
        absorbed_lines: n,
        prefix_hash: [n as u8; 32],
        complete: n % 4 == 3,
    }
}

/// How many times more than usual crashes are tried: `CRASH_ROUNDS`, 1 when it is not set.
pub(crate) fn crash_rounds() -> u64 {
    std::env::var("CRASH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// Numbers below `all`, `few * CRASH_ROUNDS` of them (all of them when there are no more), spread
/// evenly.
pub(crate) fn spread(all: u64, few: u64) -> Vec<u64> {
    let wanted = few.saturating_mul(crash_rounds()).clamp(1, all.max(1));
    let mut out: Vec<u64> =
        (0..wanted).map(|i| i * all / wanted + i % 3 % (all / wanted)).collect();
    out.dedup();
    out
}
