//! The gist: a state of fixed size that older beacons fold into, and what a fold takes.
//!
//! The state is data of its own, held by whoever folds; an engine only computes the next one (the
//! formula is in `lcedge_models::memory::GistWeights`). Its keys are un-rotated like all canonical
//! ones: the state is laid into the window as an ordinary block.

use half::f16;
use lcedge_memory::{Geometry, KvBuf, KvView};
use lcedge_models::{Card, GistShape};

/// What is folded.
#[derive(Clone, Copy, Debug)]
pub struct Fold<'a> {
    /// Canonical keys and values of the beacons, oldest first. Without any, a fold changes nothing.
    pub beacons: KvView<'a>,
    /// The unit vector of a question that the fold is made for, as long as the card's address.
    pub question: Option<&'a [f32]>,
}

/// Why nothing was folded. The state is as it was before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FoldError {
    /// The model has no gist.
    #[error("{model} has no trained gist")]
    NoGist {
        /// The model.
        model: String,
    },
    /// Beacons or state have another shape than the model.
    #[error("{what} of shape {found} do not fit the model's, {expected}")]
    Geometry {
        /// Which of them.
        what: &'static str,
        /// `[layers, kv_heads, rows, head_dim]`.
        found: String,
        /// What fits.
        expected: String,
    },
    /// A question's vector has another length than the model's address.
    #[error("a question of {found} values where the model's address has {expected}")]
    Question {
        /// Its length.
        found: usize,
        /// The length that fits.
        expected: usize,
    },
    /// The library under the engine failed.
    #[error("the runtime library failed: {0}")]
    Backend(String),
}

/// Why bytes are no state.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GistBytesError {
    /// They do not begin as a state of a version that is known here.
    #[error("the bytes of a gist begin with {found:02x?}, which is no version known here")]
    Version {
        /// The first bytes.
        found: Vec<u8>,
    },
    /// They are of another shape.
    #[error("a gist of shape {found:?} where the model has {expected:?}")]
    Shape {
        /// `[layers, kv_heads, slots, head_dim]`.
        found: [usize; 4],
        /// What fits.
        expected: [usize; 4],
    },
    /// They are too few or too many.
    #[error("a gist of {found} bytes, {expected} expected")]
    Length {
        /// Bytes there are.
        found: usize,
        /// Bytes expected.
        expected: usize,
    },
    /// A value is not finite.
    #[error("value {at} of a gist is not finite")]
    NotFinite {
        /// Which value.
        at: usize,
    },
}

/// The state: `slots` canonical keys and values in each key/value head of each layer.
#[derive(Clone, Debug)]
pub struct GistState {
    now: KvBuf,
    /// Where an engine writes the next state.
    next: KvBuf,
    folds: u64,
}

/// What the bytes of a state begin with: a sign and a version.
const BEGIN: [u8; 8] = *b"LCGIST\0\x01";
const HEADER_BYTES: usize = 8 + 4 * 4 + 8;

impl GistState {
    /// A fresh state of `slots` slots.
    #[must_use]
    pub fn new(geometry: Geometry, slots: usize) -> Self {
        let empty = || {
            let mut kv = KvBuf::with_capacity(geometry, slots);
            kv.fill(slots);
            kv
        };
        Self { now: empty(), next: empty(), folds: 0 }
    }

    /// Whether nothing was folded yet. A fresh state does not belong into attention.
    #[must_use]
    pub const fn is_fresh(&self) -> bool {
        self.folds == 0
    }

    /// Folds so far.
    #[must_use]
    pub const fn folds(&self) -> u64 {
        self.folds
    }

    /// Keys and values in each layer.
    #[must_use]
    pub const fn slots(&self) -> usize {
        self.now.tokens()
    }

    /// Canonical keys and values; of a fresh state, nothing that means anything.
    #[must_use]
    pub fn kv(&self) -> KvView<'_> {
        self.now.view()
    }

    /// Makes it fresh again.
    pub const fn clear(&mut self) {
        self.folds = 0;
    }

    /// The state to be read, and keys and values of the next one to be written.
    pub(crate) fn planes(&mut self) -> (KvView<'_>, (&mut [f32], &mut [f32])) {
        let slots = self.now.tokens();
        (self.now.view(), self.next.fill(slots))
    }

    /// Makes what was written the state.
    pub(crate) const fn advance(&mut self) {
        std::mem::swap(&mut self.now, &mut self.next);
        self.folds += 1;
    }

    /// Bytes of RAM held.
    #[must_use]
    pub fn ram_bytes(&self) -> usize {
        2 * self.now.geometry().f32_bytes_per_token() * self.slots()
    }

    fn shape(&self) -> [usize; 4] {
        let g = self.now.geometry();
        [g.layers.into(), g.kv_heads.into(), self.slots(), g.head_dim.into()]
    }

    /// The state as bytes, values in 16 bits: `b"LCGIST\0"`, a version (1), four little-endian
    /// `u32` (layers, heads, slots, width of a head), the folds so far as `u64`; then, unless it is
    /// fresh, keys and values as little-endian `f16`. Whoever stores them adds a checksum.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES + 4 * self.now.view().k().len());
        self.write_bytes(&mut out);
        out
    }

    /// Appends [`GistState::to_bytes`] to `out`.
    pub fn write_bytes(&self, out: &mut Vec<u8>) {
        let kv = self.now.view();
        out.extend(BEGIN);
        for n in self.shape() {
            // A geometry's sizes are 16 bits wide, slots at most 1,024.
            out.extend((n as u32).to_le_bytes());
        }
        out.extend(self.folds.to_le_bytes());
        if !self.is_fresh() {
            let finite = |x: f32| f16::from_f32(x.clamp(-65504.0, 65504.0));
            let values = kv.k().iter().chain(kv.v());
            out.extend(values.flat_map(|&x| finite(x).to_le_bytes()));
        }
    }

    /// The state of `slots` slots that [`GistState::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`GistBytesError`] when the bytes are of another version, shape or length.
    pub fn from_bytes(
        geometry: Geometry,
        slots: usize,
        bytes: &[u8],
    ) -> Result<Self, GistBytesError> {
        let mut state = Self::new(geometry, slots);
        let (header, values) = bytes
            .split_at_checked(HEADER_BYTES)
            .ok_or(GistBytesError::Length { found: bytes.len(), expected: HEADER_BYTES })?;
        if !header.starts_with(&BEGIN) {
            return Err(GistBytesError::Version { found: header[..BEGIN.len()].to_vec() });
        }
        let number = |i: usize| {
            let at = BEGIN.len() + 4 * i;
            u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let found: [usize; 4] = std::array::from_fn(|i| number(i) as usize);
        let expected = state.shape();
        if found != expected {
            return Err(GistBytesError::Shape { found, expected });
        }
        state.folds = u64::from(number(4)) | u64::from(number(5)) << 32;
        let (k, v) = state.now.fill(slots);
        let expected = if state.folds == 0 { 0 } else { 2 * (k.len() + v.len()) };
        if values.len() != expected {
            let (found, expected) = (bytes.len(), HEADER_BYTES + expected);
            return Err(GistBytesError::Length { found, expected });
        }
        let (values, _) = values.as_chunks::<2>();
        for (at, (to, bytes)) in k.iter_mut().chain(v).zip(values).enumerate() {
            *to = f16::from_le_bytes(*bytes).to_f32();
            if !to.is_finite() {
                return Err(GistBytesError::NotFinite { at });
            }
        }
        Ok(state)
    }
}

/// The gist of a model, where it has one.
pub(crate) fn shape_of(card: &Card) -> Option<GistShape> {
    card.memory.as_ref().and_then(|m| m.gist)
}

impl Fold<'_> {
    /// Whether a model of this card can fold this into `state`.
    ///
    /// # Errors
    /// [`FoldError`].
    pub(crate) fn check(&self, card: &Card, state: &GistState) -> Result<(), FoldError> {
        let Some(gist) = shape_of(card) else {
            return Err(FoldError::NoGist { model: card.name.clone() });
        };
        let text = |rows: usize, g: Geometry| {
            format!("[{}, {}, {rows}, {}]", g.layers, g.kv_heads, g.head_dim)
        };
        let own = card.geometry(64);
        for (what, kv, rows) in [
            ("beacons", self.beacons, self.beacons.tokens()),
            ("slots of a state", state.kv(), gist.slots),
        ] {
            let g = Geometry { block_tokens: own.block_tokens, ..kv.geometry() };
            if g != own || kv.tokens() != rows {
                let (found, expected) = (text(kv.tokens(), g), text(rows, own));
                return Err(FoldError::Geometry { what, found, expected });
            }
        }
        let address = card.memory.as_ref().and_then(|m| m.address).map_or(0, |a| a.dim);
        match self.question {
            Some(question) if question.len() != address => {
                Err(FoldError::Question { found: question.len(), expected: address })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const G: Geometry = Geometry { layers: 2, kv_heads: 1, head_dim: 3, block_tokens: 64 };

    fn state() -> GistState {
        let mut state = GistState::new(G, 5);
        let (_, (k, v)) = state.planes();
        for (i, x) in k.iter_mut().chain(v).enumerate() {
            *x = i as f32 * 0.125 - 3.0;
        }
        state.advance();
        state
    }

    #[test]
    fn bytes_come_back_as_the_state() {
        let state = state();
        let bytes = state.to_bytes();
        assert_eq!(bytes.len(), HEADER_BYTES + 2 * 2 * 30);
        let back = GistState::from_bytes(G, 5, &bytes).unwrap();
        assert_eq!((back.folds(), back.is_fresh()), (1, false));
        assert_eq!((back.kv().k(), back.kv().v()), (state.kv().k(), state.kv().v()));
        let fresh = GistState::new(G, 5).to_bytes();
        assert_eq!(fresh.len(), HEADER_BYTES);
        assert!(GistState::from_bytes(G, 5, &fresh).unwrap().is_fresh());
    }

    #[test]
    fn other_bytes_are_refused() {
        let bytes = state().to_bytes();
        for cut in 0..bytes.len() {
            let error = GistState::from_bytes(G, 5, &bytes[..cut]).unwrap_err();
            assert!(matches!(error, GistBytesError::Length { .. }), "{error}");
        }
        let refuse = |at: usize, to: u8| {
            let mut other = bytes.clone();
            other[at] = to;
            GistState::from_bytes(G, 5, &other).unwrap_err()
        };
        assert!(matches!(refuse(7, 2), GistBytesError::Version { .. }));
        assert!(matches!(refuse(8, 9), GistBytesError::Shape { found: [9, 1, 5, 3], .. }));
        let last = bytes.len() - 1;
        assert_eq!(refuse(last, 0x7c), GistBytesError::NotFinite { at: 59 });
        let error = GistState::from_bytes(G, 4, &bytes).unwrap_err();
        assert!(matches!(error, GistBytesError::Shape { expected: [2, 1, 4, 3], .. }), "{error}");
    }
}
