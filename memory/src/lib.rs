//! What is remembered: blocks of keys and values on disk, found again by address and by text.
pub mod address;
pub mod block;
pub mod geometry;

pub use address::{
    AddressError, AddressLayout, AddressQuery, BlockAddress, HeadAddress, HeadQuery,
};
pub use block::{
    BlockId, BlockInfo, BlockRecord, KvDtype, Progress, SourceId, SourceInfo, SourceState, Span,
};
pub use geometry::{Geometry, KvBuf, KvView};
