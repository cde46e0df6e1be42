//! What a block is found by: vectors for late interaction (MaxSim), as in ColBERT, per retrieval
//! head.
//!
//! The score of a block for a query is, summed over heads, `weight * (raw - mean) / spread`, where
//! `raw` is the mean over the query's vectors of the largest `dot(query, key) * scale` over the
//! block's vectors. `mean` and `spread` are the block's own background (what unrelated queries
//! score on it), so that blocks of loud keys do not win everywhere. A head without vectors, in the
//! block or in the query, adds nothing.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    format::page::{ENTRY, HEAD},
    index::page,
};

/// The shape of all addresses of a store. Part of the store's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AddressLayout {
    /// Retrieval heads.
    pub heads: u8,
    /// Most vectors that one head of one block has.
    pub vectors_max: u16,
    /// Values of one vector, at most [`AddressLayout::DIM_MAX`].
    pub dim: u16,
}

impl AddressLayout {
    /// Widest vector that the integer kernels sum without overflow.
    pub const DIM_MAX: u16 = 4096;

    /// Most bytes that a block takes in a page of the index, with what is known of it.
    #[must_use]
    pub fn index_bytes(&self) -> usize {
        let places = usize::from(self.vectors_max).next_multiple_of(page::unit(*self).max(1));
        let vector = usize::from(self.dim).next_multiple_of(4);
        ENTRY + usize::from(self.heads) * (HEAD + places * vector)
    }

    /// Most bytes that one encoded address takes.
    #[must_use]
    pub const fn encoded_bytes_max(&self) -> usize {
        4 + self.heads as usize * (HEAD_BYTES + self.vectors_max as usize * self.dim as usize)
    }
}

/// One head's share of a block's address.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeadAddress {
    /// `[n, dim]` values, row-major.
    pub vectors: Vec<i8>,
    /// What one unit of `vectors` is worth.
    pub scale: f32,
    /// What an unrelated query scores on this head of this block.
    pub mean: f32,
    /// The spread (standard deviation) of such scores; above 0.
    pub spread: f32,
}

/// The address of one block: one entry a head of the layout, or none at all (a block that is found
/// by its text alone).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BlockAddress {
    /// In the order of the layout's heads.
    pub heads: Vec<HeadAddress>,
}

/// One head's share of a query.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadQuery {
    /// How much this head counts.
    pub weight: f32,
    /// `[n, dim]` values, row-major; any number of vectors.
    pub vectors: Vec<f32>,
}

/// What is looked for.
#[derive(Clone, Debug, PartialEq)]
pub struct AddressQuery {
    /// In the order of the layout's heads, one each.
    pub heads: Vec<HeadQuery>,
}

/// Why an address does not fit the store's layout, or its bytes are not an address.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum AddressError {
    /// Other number of heads than the layout has.
    #[error("address of {found} heads, the store has {expected}")]
    Heads {
        /// Heads of the layout.
        expected: u8,
        /// Heads given.
        found: usize,
    },
    /// Not a whole number of vectors.
    #[error("head {head}: {values} values are not whole vectors of {dim}")]
    Dim {
        /// The head.
        head: usize,
        /// Values given.
        values: usize,
        /// Values of one vector.
        dim: u16,
    },
    /// More vectors than the layout allows.
    #[error("head {head}: {vectors} vectors, the store takes at most {max}")]
    Vectors {
        /// The head.
        head: usize,
        /// Vectors given.
        vectors: usize,
        /// Most that the layout allows.
        max: u16,
    },
    /// A scale, mean, spread or weight that is not finite, or a spread that is not above 0.
    #[error("head {head}: {what} is {value}")]
    Value {
        /// The head.
        head: usize,
        /// Which value.
        what: &'static str,
        /// The value.
        value: f32,
    },
    /// Encoded bytes that end early or go on too long.
    #[error("an encoded address of {bytes} bytes does not hold what it says")]
    Length {
        /// Bytes given.
        bytes: usize,
    },
}

/// Encoded bytes of a head before its vectors: count u32, scale, mean, spread f32.
const HEAD_BYTES: usize = 16;

impl BlockAddress {
    /// Whether nothing can be found by it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heads.iter().all(|h| h.vectors.is_empty())
    }

    /// Checks it against a layout.
    ///
    /// # Errors
    /// When the number of heads, the width or number of vectors differ, or a value is not finite.
    pub fn check(&self, layout: AddressLayout) -> Result<(), AddressError> {
        if self.heads.is_empty() {
            return Ok(());
        }
        if self.heads.len() != usize::from(layout.heads) {
            return Err(AddressError::Heads { expected: layout.heads, found: self.heads.len() });
        }
        for (head, h) in self.heads.iter().enumerate() {
            let values = h.vectors.len();
            let dim = layout.dim;
            if dim == 0 && values > 0 || dim > 0 && !values.is_multiple_of(usize::from(dim)) {
                return Err(AddressError::Dim { head, values, dim });
            }
            let vectors = values.checked_div(usize::from(dim)).unwrap_or(0);
            if vectors > usize::from(layout.vectors_max) {
                return Err(AddressError::Vectors { head, vectors, max: layout.vectors_max });
            }
            if vectors == 0 {
                continue;
            }
            for (what, value) in [("scale", h.scale), ("mean", h.mean), ("spread", h.spread)] {
                if !value.is_finite() || what == "spread" && value <= 0.0 {
                    return Err(AddressError::Value { head, what, value });
                }
            }
        }
        Ok(())
    }

    /// Appends the stored form: heads u32, then for each head count of vectors u32, scale, mean,
    /// spread f32 and the vectors.
    pub fn encode(&self, dim: u16, out: &mut Vec<u8>) {
        let heads = u32::try_from(self.heads.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&heads.to_le_bytes());
        for h in &self.heads {
            let n = h.vectors.len().checked_div(usize::from(dim)).unwrap_or(0);
            out.extend_from_slice(&u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes());
            for x in [h.scale, h.mean, h.spread] {
                out.extend_from_slice(&x.to_le_bytes());
            }
            out.extend(h.vectors.iter().map(|&v| v.cast_unsigned()));
        }
    }

    /// Bytes that [`encode`](Self::encode) appends.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        4 + self.heads.iter().map(|h| HEAD_BYTES + h.vectors.len()).sum::<usize>()
    }

    /// Reads the stored form back.
    ///
    /// # Errors
    /// When the bytes are not exactly one address of this layout.
    pub fn decode(layout: AddressLayout, bytes: &[u8]) -> Result<Self, AddressError> {
        let length = AddressError::Length { bytes: bytes.len() };
        let mut rest = bytes;
        let heads = take_u32(&mut rest).ok_or_else(|| length.clone())?;
        if heads != 0 && heads != u32::from(layout.heads) {
            return Err(AddressError::Heads { expected: layout.heads, found: heads as usize });
        }
        let mut address = Self { heads: Vec::with_capacity(heads as usize) };
        for head in 0..heads as usize {
            let n = take_u32(&mut rest).ok_or_else(|| length.clone())? as usize;
            if n > usize::from(layout.vectors_max) {
                return Err(AddressError::Vectors { head, vectors: n, max: layout.vectors_max });
            }
            let mut floats = [0.0; 3];
            for f in &mut floats {
                *f = f32::from_bits(take_u32(&mut rest).ok_or_else(|| length.clone())?);
            }
            let values = n * usize::from(layout.dim);
            let (vectors, after) = rest.split_at_checked(values).ok_or_else(|| length.clone())?;
            rest = after;
            let [scale, mean, spread] = floats;
            let vectors = vectors.iter().map(|&b| b.cast_signed()).collect();
            address.heads.push(HeadAddress { vectors, scale, mean, spread });
        }
        if !rest.is_empty() {
            return Err(length);
        }
        address.check(layout)?;
        Ok(address)
    }
}

impl AddressQuery {
    /// Checks it against a layout.
    ///
    /// # Errors
    /// When the number of heads or the width of a vector differ, or a value is not finite.
    pub fn check(&self, layout: AddressLayout) -> Result<(), AddressError> {
        if self.heads.len() != usize::from(layout.heads) {
            return Err(AddressError::Heads { expected: layout.heads, found: self.heads.len() });
        }
        for (head, h) in self.heads.iter().enumerate() {
            let (values, dim) = (h.vectors.len(), layout.dim);
            if dim == 0 && values > 0 || dim > 0 && !values.is_multiple_of(usize::from(dim)) {
                return Err(AddressError::Dim { head, values, dim });
            }
            if !h.weight.is_finite() {
                return Err(AddressError::Value { head, what: "weight", value: h.weight });
            }
            if let Some(&value) = h.vectors.iter().find(|x| !x.is_finite()) {
                return Err(AddressError::Value { head, what: "vector", value });
            }
        }
        Ok(())
    }
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    let (head, tail) = rest.split_first_chunk::<4>()?;
    *rest = tail;
    Some(u32::from_le_bytes(*head))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: AddressLayout = AddressLayout { heads: 2, vectors_max: 3, dim: 4 };

    fn address() -> BlockAddress {
        let head = |n: usize, s: f32| HeadAddress {
            vectors: (0..n * 4).map(|i| i as i8 - 5).collect(),
            scale: s,
            mean: -s,
            spread: s + 1.0,
        };
        BlockAddress { heads: vec![head(3, 0.5), head(0, 0.25)] }
    }

    #[test]
    fn an_address_survives_its_stored_form() {
        for a in [address(), BlockAddress::default()] {
            let mut bytes = Vec::new();
            a.encode(4, &mut bytes);
            assert_eq!(bytes.len(), a.encoded_bytes());
            assert_eq!(BlockAddress::decode(LAYOUT, &bytes).unwrap(), a);
            for n in 0..bytes.len() {
                assert!(BlockAddress::decode(LAYOUT, &bytes[..n]).is_err(), "cut at {n}");
            }
            bytes.push(0);
            assert!(BlockAddress::decode(LAYOUT, &bytes).is_err());
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let mut a = address();
        a.heads[0].vectors.push(1);
        assert!(matches!(a.check(LAYOUT), Err(AddressError::Dim { head: 0, values: 13, dim: 4 })));
        a.heads[0].vectors.extend([0, 0, 0]);
        assert!(matches!(a.check(LAYOUT), Err(AddressError::Vectors { vectors: 4, max: 3, .. })));
        let mut a = address();
        a.heads[0].spread = 0.0;
        assert!(matches!(a.check(LAYOUT), Err(AddressError::Value { what: "spread", .. })));
        a.heads.pop();
        assert!(matches!(a.check(LAYOUT), Err(AddressError::Heads { expected: 2, found: 1 })));
    }
}
