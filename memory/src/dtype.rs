//! How keys and values are stored.

use serde::{Deserialize, Serialize};

/// How a block's keys and values are stored. The payload's bytes are made and read by
/// `lcedge-compress`; the store keeps them as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum KvDtype {
    /// 16-bit floats: the reference.
    F16 = 1,
    /// 8 bits, keys per channel, values per token.
    Int8 = 2,
    /// 4 bits, keys per channel, values per token.
    Int4 = 3,
}
