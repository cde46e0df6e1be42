//! lcedge: an embedded, memory-augmented runtime.
#![forbid(unsafe_code)]

pub mod fates;
pub mod limits;
pub mod rank;
pub mod sample;
pub mod source;
pub mod surprise;
pub mod tail;
pub mod window;
