//! The store as its users see it.

mod damage;
mod failing;
mod golden;
mod helpers;
mod model;
mod rebuild;
mod round_trip;
mod search;
mod sharing;
