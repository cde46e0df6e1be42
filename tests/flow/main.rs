//! The whole loop over the fake engine and a store in a temporary folder: no native library, no
//! model files.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod absorb;
mod allocations;
mod beacons;
mod bytes;
#[path = "../common/exchange.rs"]
mod exchange;
mod gist;
mod recall;
mod resume;
