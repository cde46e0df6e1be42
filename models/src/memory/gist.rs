//! The gist: a fixed number of key and value slots a layer that older beacons fold into (after
//! LCIRC, recurrent compression by cross-attention).
//!
//! A state is `x` `[G, E]` in each key/value head of each layer, `E` a key and a value side by
//! side. With `b` `[B, E]` the beacons that leave, `~` the scaling and `m` a question's vector:
//!
//! ```text
//! s  = (x~ query + slot + m question) (b~ key)^T / sqrt(P)
//! c  = softmax(s) (b + b~ value)
//! z  = max(sigmoid([x~ | c~] gate + gate_bias), fresh)
//! x' = (1 - z) x + z c
//! ```

use super::{Memory, MemoryError};
use crate::card::TrainedMemory;
use crate::decoder::Decoder;

/// Tensors of a gist, row-major; each stands `[layers, kv_heads, ..]`, `E = 2 head_dim`, `P` the
/// look-up's width, `A` the address's.
#[derive(Clone, Debug, PartialEq)]
pub struct GistWeights {
    /// `[G, E]`: the state before the first fold. It never lies in attention itself.
    pub init: Vec<f32>,
    /// `[E]`: brings keys and values to unit size.
    pub scale: Vec<f32>,
    /// `[E, P]`.
    pub query: Vec<f32>,
    /// `[G, P]`.
    pub slot: Vec<f32>,
    /// `[E, P]`.
    pub key: Vec<f32>,
    /// `[E, E]`.
    pub value: Vec<f32>,
    /// `[2 E]`: of the state, then of what is new.
    pub gate: Vec<f32>,
    /// One number.
    pub gate_bias: Vec<f32>,
    /// `[A, P]`.
    pub question: Vec<f32>,
}

impl Memory {
    /// The tensors of the gist, where the memory has one.
    ///
    /// # Errors
    /// [`MemoryError`] when its tensors cannot be read or hold a number that is not finite.
    pub fn gist(&self) -> Result<Option<GistWeights>, MemoryError> {
        if self.card.gist.is_none() {
            return Ok(None);
        }
        let tensor = |name: &str| Ok::<_, MemoryError>(self.read(&format!("gist.{name}"))?.1);
        Ok(Some(GistWeights {
            init: tensor("init")?,
            scale: tensor("scale")?,
            query: tensor("query")?,
            slot: tensor("slot")?,
            key: tensor("key")?,
            value: tensor("value")?,
            gate: tensor("gate")?,
            gate_bias: tensor("gate_bias")?,
            question: tensor("question")?,
        }))
    }
}

/// Name and shape of each tensor of the gist; none where the memory has no gist.
pub(super) fn tensors(card: &TrainedMemory, d: &Decoder) -> Vec<(String, Vec<usize>)> {
    let Some(gist) = card.gist else { return Vec::new() };
    let (e, g, p) = (2 * d.head_dim, gist.slots, gist.width);
    let question = card.address.map_or(0, |a| a.dim);
    let shapes: [(&str, &[usize]); 9] = [
        ("init", &[g, e]),
        ("scale", &[e]),
        ("query", &[e, p]),
        ("slot", &[g, p]),
        ("key", &[e, p]),
        ("value", &[e, e]),
        ("gate", &[2 * e]),
        ("gate_bias", &[]),
        ("question", &[question, p]),
    ];
    let whole = |(name, tail): (&str, &[usize])| {
        (format!("gist.{name}"), [&[d.layers, d.kv_heads], tail].concat())
    };
    shapes.into_iter().map(whole).collect()
}

/// Checks the gist's numbers, and that the memory has what it is made of and asked with.
pub(super) fn check_shape(card: &TrainedMemory) -> Result<(), MemoryError> {
    let Some(gist) = card.gist else { return Ok(()) };
    let value =
        |what, found: String, expected: String| Err(MemoryError::Value { what, found, expected });
    if !(1..=SLOTS_MAX).contains(&gist.slots) {
        return value("the gist's slots", gist.slots.to_string(), format!("1..={SLOTS_MAX}"));
    }
    if !(1..=WIDTH_MAX).contains(&gist.width) {
        return value("the gist's width", gist.width.to_string(), format!("1..={WIDTH_MAX}"));
    }
    if card.beacons.is_empty() || card.address.is_none() {
        let expected = "beacons and an address beside a gist".into();
        return value("what a gist is made of", "nothing".into(), expected);
    }
    Ok(())
}

/// Most slots of a gist.
const SLOTS_MAX: usize = 1024;
/// Widest look-up.
const WIDTH_MAX: usize = 4096;
