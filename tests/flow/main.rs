//! The whole loop over the fake engine and a store in a temporary folder: no native library, no
//! model files.

mod absorb;
mod allocations;
mod bytes;
#[path = "../common/exchange.rs"]
mod exchange;
mod recall;
mod resume;
