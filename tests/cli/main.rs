//! The built command, from outside: its output, exit codes and files, with a real (tiny) model and
//! the real ONNX Runtime.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

mod chat;
mod commands;
mod config;
mod continuing;
mod evals;
mod input;
mod output;
mod stopping;
mod store;
mod when;
mod world;
