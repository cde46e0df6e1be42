//! The decoder as an ONNX graph, written from its weights.

pub mod abilities;
mod beacons;
mod data;
pub mod graph;
mod head;
mod linear;
pub mod llama;
mod low_rank;
mod memory;
mod pack;
/// Types of the ONNX format, generated from `proto/onnx.proto`.
#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    reason = "generated; the definition's own comments are in proto/onnx.proto"
)]
pub mod proto;
pub mod recurrent;

pub use llama::{BuildError, BuildOptions, Built, build};
