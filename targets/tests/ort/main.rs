//! The engine over ONNX Runtime, against PyTorch, the plain Rust engine and itself.
//!
//! These tests need the library. They look for it where the program does (see
//! `lcedge_targets::ort::Search`), and fail with what to do where there is none. Modules are marked
//! as tests, so that clippy takes their helpers for tests too.

#[cfg(test)]
mod allocation;
#[cfg(test)]
mod beacons;
#[cfg(test)]
mod common;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod gist;
#[cfg(test)]
mod kinds;
#[cfg(test)]
mod load;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod packing;
#[cfg(test)]
mod shared;
#[cfg(test)]
mod smollm2;
#[cfg(test)]
mod truth;
