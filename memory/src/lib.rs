//! What is remembered: blocks of keys and values on disk, found again by address and by text.
//!
//! A [`Store`] is a folder: append-only segment files of checksummed blocks, and a SQLite catalogue
//! that can always be made again from them ([`rebuild()`]). One process writes; any number read.
//! `FORMAT.md` beside this crate describes every byte.
//!
//! | to | use |
//! |---|---|
//! | append blocks | [`Store::append`] |
//! | acknowledge them | [`Store::set_progress`], [`Store::commit`] |
//! | say where a session goes on | [`Store::set_session`], [`Reader::session`] |
//! | continue where an earlier run stopped | [`Store::begin_source`] |
//! | find blocks by their vectors | [`Reader::search_address`] |
//! | find blocks by their words | [`Reader::search_text`] |
//! | read keys and values | [`Reader::payload`], [`Reader::beacons`] |
//! | read text and tokens | [`Reader::text`], [`Reader::tokens`] |
//! | look for damage, repair the catalogue | [`verify()`], [`rebuild()`] |
//!
//! What holds, whatever happens to the process: a block is durable when [`Store::commit`] has
//! returned (as the [`SyncPolicy`] says), together with the progress that was set with it; a block
//! that was not committed is not there after a restart; a block whose bytes are not what was
//! written is never given, but quarantined and reported. The keys and values are bytes to this
//! crate: `lcedge-compress` makes and reads them.
//!
//! ```
//! use std::sync::Arc;
//! use lcedge_memory::{
//!     AddressLayout, AddressQuery, BlockAddress, BlockRecord, Filter, Geometry, HeadAddress,
//!     HeadQuery, KvDtype, Progress, Span, Store, StoreOptions, storage::RamStorage,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let geometry = Geometry { layers: 2, kv_heads: 1, head_dim: 4, block_tokens: 64 };
//! let layout = AddressLayout { heads: 1, vectors_max: 4, dim: 2 };
//! let options = StoreOptions::new([0; 32], geometry, layout);
//! // On disk: `Store::open(dir, &options)`.
//! let mut store = Store::open_in(Arc::new(RamStorage::new()), &options)?;
//! let source = store.begin_source("auth.log")?.id;
//! let address = BlockAddress {
//!     heads: vec![HeadAddress { vectors: vec![100, -20], scale: 0.01, mean: 0.0, spread: 1.0 }],
//! };
//! let text = b"Accepted password for root from 10.0.3.7\n";
//! let id = store.append(&BlockRecord {
//!     source,
//!     span: Span { byte_start: 0, byte_end: text.len() as u64, line_start: 1, line_end: 1 },
//!     time_unix_ms: 1_700_000_000_000,
//!     tokens: &[1, 2, 3],
//!     text,
//!     surprise_nats: 4.5,
//!     starts_mid_line: false,
//!     ends_mid_line: false,
//!     dtype: KvDtype::Int8,
//!     payload: &[7; 96],
//!     beacons: None,
//!     address: &address,
//! })?; store.set_progress(source, Progress { absorbed_bytes: 41, absorbed_lines: 1,
//! ..Progress::default() })?; store.commit()?;
//!
//! let reader = store.reader();
//! let hits = reader.search_text("Which address did root log in from?", 8, &Filter::default())?;
//! assert_eq!(hits[0].id, id);
//! let query = AddressQuery { heads: vec![HeadQuery { weight: 1.0, vectors: vec![0.5, 0.0] }] };
//! let hits = reader.search_address(&query, 8, &Filter::default())?;
//! assert!((hits[0].score - 0.5).abs() < 1e-6);
//! let mut payload = Vec::new();
//! assert_eq!(reader.payload(id, &mut payload)?, KvDtype::Int8);
//! assert_eq!(payload, [7; 96]);
//! assert_eq!(reader.block(id)?.span.line_start, 1);
//! # Ok(())
//! # }
//! ```

pub mod address;
pub mod block;
mod catalogue;
mod clock;
mod error;
mod export;
mod format;
pub mod geometry;
mod identity;
mod import;
mod index;
mod map;
mod options;
mod pages;
mod pins;
mod reader;
mod rebuild;
mod segment;
mod shared;
mod snapshot;
pub mod storage;
mod store;
mod sync;
mod text;
mod verify;

pub use address::{
    AddressError, AddressLayout, AddressQuery, BlockAddress, HeadAddress, HeadQuery,
};
pub use block::{
    BeaconInfo, BeaconRecord, BlockId, BlockInfo, BlockRecord, BlockState, KvDtype, Progress,
    SessionPoint, SourceId, SourceInfo, SourceState, Span,
};
pub use error::{
    AppendError, CatalogueError, CommitError, OpenError, ReadError, RewriteError, SourceError,
    VerifyError,
};
pub use export::{ExportError, ExportOptions, Exported};
pub use format::FORMAT_VERSION;
pub use geometry::{Geometry, KvBuf, KvView};
pub use import::{ImportOptions, PayloadBytes};
pub use index::search_threads;
pub use map::MapChoice;
pub use options::{Filter, StoreOptions, SyncPolicy, WhenFull};
pub use pages::index_bytes;
pub use reader::{AddressHit, Reader, StoreStats, TextHit};
pub use rebuild::{RebuildReport, rebuild};
pub use store::{
    Store,
    budget::{Count, GivenUp},
    compact::Compacted,
    forget::{Forget, Forgotten, Strictness},
};
pub use verify::{VerifyReport, verify};
