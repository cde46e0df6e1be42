//! The store as its users see it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod budget;
mod crash;
mod damage;
mod export;
mod failing;
mod forget;
mod fuzzing;
mod golden;
mod helpers;
mod model;
mod order;
mod power;
mod rebuild;
mod resident;
mod round_trip;
mod search;
mod sessions;
mod sharing;
mod unfinished;
mod wear;

#[path = "../../../tests/common/fuzz.rs"]
mod fuzz;
#[path = "../../../tests/common/largest.rs"]
mod largest;
