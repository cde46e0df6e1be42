//! What is remembered: blocks of keys and values on disk, found again by address and by text.
pub mod address;
pub mod block;
mod catalogue;
mod clock;
mod error;
mod format;
pub mod geometry;
mod identity;
mod index;
mod map;
mod options;
mod reader;
mod segment;
mod shared;
mod sidecar;
mod snapshot;
pub mod storage;
mod store;
mod sync;
mod text;

pub use address::{
    AddressError, AddressLayout, AddressQuery, BlockAddress, HeadAddress, HeadQuery,
};
pub use block::{
    BlockId, BlockInfo, BlockRecord, KvDtype, Progress, SourceId, SourceInfo, SourceState, Span,
};
pub use error::{
    AppendError, CatalogueError, CommitError, OpenError, ReadError, SourceError, VerifyError,
};
pub use format::FORMAT_VERSION;
pub use geometry::{Geometry, KvBuf, KvView};
pub use map::MapChoice;
pub use options::{Filter, StoreOptions, SyncPolicy};
pub use reader::{AddressHit, Reader, StoreStats, TextHit};
pub use store::Store;
