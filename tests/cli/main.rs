//! The built command, from outside: its output, exit codes and files, with a real (tiny) model and
//! the real ONNX Runtime.

mod commands;
mod config;
mod continuing;
mod input;
mod output;
mod stopping;
mod store;
mod world;
