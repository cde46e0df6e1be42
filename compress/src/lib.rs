//! How it gets smaller: quantised keys and values, addresses of blocks and queries, and
//! condensers that keep a few tokens of a block in attention.
//!
//! * [`quant`]: K per channel, V per token, in 8 or 4 bits, `f16` as the reference.
//! * [`address`]: what a block is found by. The address of a block and the address of a query are
//!   made in one file, so that they cannot drift apart.
//! * [`trained`]: the same for a model with a trained memory: four vectors a block, one a question.
//! * [`condense`]: the trait of condensers: [`surprisal`] keeps the most surprising tokens,
//!   [`camelot`] running means of similar ones, [`matching`] few keys with values fitted anew.

pub mod address;
pub mod camelot;
pub mod condense;
pub mod matching;
pub mod quant;
pub mod surprisal;
pub mod trained;

pub use address::{AddressError, Addresser, Background};
pub use camelot::Camelot;
pub use condense::{Condense, CondenseError, Condensed};
pub use matching::{Matching, MatchingOptions};
pub use quant::{Encoded, QuantError};
pub use surprisal::Surprisal;
pub use trained::TrainedAddress;
