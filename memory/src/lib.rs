//! What is remembered: blocks of keys and values on disk, found again by address and by text.
pub mod geometry;

pub use geometry::{Geometry, KvBuf, KvView};
