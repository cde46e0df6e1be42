//! The store as its users see it.

mod helpers;
mod round_trip;
