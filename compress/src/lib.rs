//! How it gets smaller: quantised keys and values, addresses of blocks and queries, and
//! condensers that keep a few tokens of a block in attention.
//!
//! * [`quant`]: K per channel, V per token, in 8 or 4 bits, `f16` as the reference.
//! * [`address`]: what a block is found by. The address of a block and the address of a query are
//!   made in one file, so that they cannot drift apart.
//! * [`trained`]: the same for a model with a trained memory: four vectors a block, one a question.
//! * [`condense`]: the trait of condensers, and [`surprisal`], the first of them.

pub mod address;
pub mod condense;
pub mod quant;
pub mod surprisal;
pub mod trained;

pub use address::{AddressError, Addresser, Background};
pub use condense::{Condense, CondenseError, Condensed};
pub use quant::{Encoded, QuantError};
pub use surprisal::Surprisal;
pub use trained::TrainedAddress;
