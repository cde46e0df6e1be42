//! The engine over ONNX Runtime, against PyTorch, the plain Rust engine and itself.
//!
//! These tests need the library. They look for it where the program does (see
//! `lcedge_targets::ort::Search`), and fail with what to do where there is none.

mod allocation;
mod common;
mod contract;
mod kinds;
mod load;
mod packing;
mod shared;
mod smollm2;
mod truth;
