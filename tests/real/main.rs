//! What only a real model can show: SmolLM2-135M-Instruct through ONNX Runtime, with a real store.
//!
//! The model and the library must be on this machine already, because tests use no network:
//! `cargo run --release -- model prepare smollm2-135m` and `cargo run --release -- doctor` see to
//! both.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod counterfactual;
#[path = "../common/exchange.rs"]
mod exchange;
mod ready;
