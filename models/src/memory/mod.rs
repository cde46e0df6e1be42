//! A trained memory of a model: a low-rank change of its matrices, an address, beacons.
//!
//! A folder holds `memory.json` (how it applies) and the files that it names, each with its
//! SHA-256:
//!
//! ```text
//! memory.safetensors    model.layers.{i}.{matrix}.lora_A [rank, in], .lora_B [out, rank]
//!                       address.key, address.query [hidden, dim]
//!                       address.gate_key, address.gate_query [hidden]
//! beacons.safetensors   model.layers.{i}.beacon_qkv [(heads + 2 kv_heads) head_dim, hidden]
//!                       beacon_embedding [ratios, hidden]
//! gist.safetensors      the tensors of [`GistWeights`], each as gist.{name}
//! ```
//!
//! A changed matrix is `W + scale B A`, rows of Q and K in half-rotation order. Files are checked
//! against the decoder before anything is built: a memory of another model is refused.

mod change;
mod files;
mod gist;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeSet;
use std::path::PathBuf;

pub use change::LowRank;
pub use files::MemorySource;
pub use gist::GistWeights;

use crate::card::{TrainedAddress, TrainedMemory};
use crate::decoder::Decoder;
use crate::safetensors::{Safetensors, SafetensorsError};
use crate::weights::{LayerPart, Part};

/// Which trained memory a model is prepared with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MemoryChoice {
    /// The one that is part of the program for this model, if there is one.
    #[default]
    Zoo,
    /// None: the stock model.
    None,
    /// The one in this folder.
    Folder(PathBuf),
}

/// Why a trained memory was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// A file could not be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// `memory.json` is not the JSON that it should be.
    #[error("{path}: {source}")]
    Json {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// A file of tensors is not well formed, or a tensor cannot be read.
    #[error(transparent)]
    Safetensors(#[from] SafetensorsError),
    /// A file is another one than `memory.json` describes.
    #[error("{path} has SHA-256 {found}, its memory.json says {expected}")]
    Hash {
        /// The file.
        path: PathBuf,
        /// Its hash.
        found: String,
        /// The hash it should have.
        expected: String,
    },
    /// The memory was trained over other weights.
    #[error(
        "the memory {name:?} was trained over weights with SHA-256 {expected}, these have {found}"
    )]
    Base {
        /// The memory.
        name: String,
        /// Hash of the weights it is asked for.
        found: String,
        /// Hash of the weights it belongs to.
        expected: String,
    },
    /// A tensor is missing.
    #[error("the memory {memory:?} lacks tensor {name:?}")]
    Missing {
        /// The memory.
        memory: String,
        /// The tensor.
        name: String,
    },
    /// A tensor has another shape than the decoder's sizes say.
    #[error("tensor {name:?} of the memory has shape {found:?}, {expected} is needed")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// What fits.
        expected: String,
    },
    /// A tensor that nothing here uses: the memory computes something else.
    #[error("tensor {name:?} of the memory belongs to no part that is built here")]
    Unknown {
        /// The tensor.
        name: String,
    },
    /// A tensor holds a number that is not finite.
    #[error("tensor {name:?} of the memory holds {value} at {at}")]
    NotFinite {
        /// The tensor.
        name: String,
        /// The number.
        value: f32,
        /// Where, counted row by row.
        at: usize,
    },
    /// A number of `memory.json` does not fit the decoder or what is built here.
    #[error("{what} of the memory is {found}; expected {expected}")]
    Value {
        /// Which number.
        what: &'static str,
        /// Its value.
        found: String,
        /// What fits.
        expected: String,
    },
}

/// Tensors of an address: `h [key | gate_key]` and `h [query | gate_query]` are what a graph gives,
/// with `h` the residual stream at the input of a layer over its root mean square.
#[derive(Clone, Debug, PartialEq)]
pub struct AddressWeights {
    /// `[hidden, dim + 1]`, the gate in the last column.
    pub key: Vec<f32>,
    /// The same for queries.
    pub query: Vec<f32>,
}

/// A memory whose files were found to fit a decoder.
#[derive(Debug)]
pub struct Memory {
    card: TrainedMemory,
    scale: f32,
    /// Whether the matrices are changed.
    changes: bool,
    hidden: usize,
    tensors: Safetensors,
}

impl Memory {
    /// What a prepared model's card says of it.
    #[must_use]
    pub const fn card(&self) -> &TrainedMemory {
        &self.card
    }

    /// The change of a matrix; `None` for parts that stay as they are.
    ///
    /// # Errors
    /// [`MemoryError`] when its tensors cannot be read or hold a number that is not finite.
    pub fn change(&self, part: Part) -> Result<Option<LowRank>, MemoryError> {
        let Some(name) = self.changes.then(|| change_name(part)).flatten() else { return Ok(None) };
        let (a_shape, a) = self.read(&format!("{name}.lora_A"))?;
        let (_, b) = self.read(&format!("{name}.lora_B"))?;
        Ok(Some(LowRank::new(a_shape[0], a, b, self.scale)))
    }

    /// The tensors of the address, where the memory has one.
    ///
    /// # Errors
    /// As [`Memory::change`].
    pub fn address(&self) -> Result<Option<AddressWeights>, MemoryError> {
        let Some(address) = &self.card.address else { return Ok(None) };
        let side = |name: &str| -> Result<Vec<f32>, MemoryError> {
            let (_, matrix) = self.read(&format!("address.{name}"))?;
            let (_, gate) = self.read(&format!("address.gate_{name}"))?;
            let mut out = Vec::with_capacity(self.hidden * (address.dim + 1));
            for (row, gate) in matrix.chunks_exact(address.dim).zip(gate) {
                out.extend_from_slice(row);
                out.push(gate);
            }
            Ok(out)
        };
        Ok(Some(AddressWeights { key: side("key")?, query: side("query")? }))
    }

    /// The beacons' own projection in a layer, `[(heads + 2 kv_heads) head_dim, hidden]`: queries,
    /// keys and values, one below the other.
    ///
    /// # Errors
    /// As [`Memory::change`], and when the memory has no beacons.
    pub fn beacon_projection(&self, layer: usize) -> Result<Vec<f32>, MemoryError> {
        Ok(self.read(&beacon_name(layer))?.1)
    }

    /// One embedding a ratio, `[ratios, hidden]`.
    ///
    /// # Errors
    /// As [`Memory::beacon_projection`].
    pub fn beacon_embedding(&self) -> Result<Vec<f32>, MemoryError> {
        Ok(self.read(BEACON_EMBEDDING)?.1)
    }

    /// Values of all A and of all B.
    pub(crate) fn change_values(&self, d: &Decoder) -> [u64; 2] {
        let values = |ending: &str| -> u64 {
            let parts = (0..d.layers).flat_map(|l| LayerPart::ALL.map(|p| Part::Layer(l, p)));
            let names = parts.filter_map(change_name).map(|name| format!("{name}.{ending}"));
            let tensors = names.filter_map(|name| self.tensors.tensors.get(&name));
            tensors.map(|t| t.shape.iter().product::<usize>() as u64).sum()
        };
        [values("lora_A"), values("lora_B")]
    }

    fn read(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>), MemoryError> {
        let (shape, values) = self.tensors.dense(name)?;
        match values.iter().position(|x| !x.is_finite()) {
            None => Ok((shape, values)),
            Some(at) => Err(MemoryError::NotFinite { name: name.into(), value: values[at], at }),
        }
    }
}

const BEACON_EMBEDDING: &str = "beacon_embedding";
/// Trained beside the address and used in training alone.
const SHARPNESS: &str = "address.sharpness";

fn beacon_name(layer: usize) -> String {
    format!("model.layers.{layer}.beacon_qkv")
}

/// The name of a matrix that may be changed, without its ending.
fn change_name(part: Part) -> Option<String> {
    let Part::Layer(layer, part) = part else { return None };
    let name = match part {
        LayerPart::Query => "self_attn.q_proj",
        LayerPart::Key => "self_attn.k_proj",
        LayerPart::Value => "self_attn.v_proj",
        LayerPart::Output => "self_attn.o_proj",
        LayerPart::Gate => "mlp.gate_proj",
        LayerPart::Up => "mlp.up_proj",
        LayerPart::Down => "mlp.down_proj",
        LayerPart::AttentionNorm | LayerPart::FfnNorm => return None,
    };
    Some(format!("model.layers.{layer}.{name}"))
}

/// Checks every tensor's name and shape against the decoder. Gives nothing but a refusal.
fn check(
    tensors: &Safetensors,
    card: &TrainedMemory,
    changes: bool,
    d: &Decoder,
) -> Result<(), MemoryError> {
    let mut known: BTreeSet<String> = BTreeSet::new();
    let mut shape = |name: String, expected: &str, fits: &dyn Fn(&[usize]) -> bool| {
        let Some(tensor) = tensors.tensors.get(&name) else {
            return Err(MemoryError::Missing { memory: card.name.clone(), name });
        };
        let found = tensor.shape.clone();
        if !fits(&found) {
            return Err(MemoryError::Shape { name, found, expected: expected.into() });
        }
        known.insert(name);
        Ok(found)
    };
    if changes {
        for part in (0..d.layers).flat_map(|l| LayerPart::ALL.map(|part| Part::Layer(l, part))) {
            let Some(name) = change_name(part) else { continue };
            let [rows, cols] = part_shape(d, part);
            let most = rows.min(cols);
            let expected = format!("[rank, {cols}], rank 1..={most}");
            let a = shape(
                format!("{name}.lora_A"),
                &expected,
                &|s| matches!(s, [rank, c] if (1..=most).contains(rank) && *c == cols),
            )?;
            let expected = format!("[{rows}, {}]", a[0]);
            shape(format!("{name}.lora_B"), &expected, &|s| s == [rows, a[0]])?;
        }
    }
    if let Some(address) = &card.address {
        for name in ["key", "query"] {
            let (n, dim) = (d.hidden, address.dim);
            shape(format!("address.{name}"), &format!("[{n}, {dim}]"), &|s| s == [n, dim])?;
            shape(format!("address.gate_{name}"), &format!("[{n}]"), &|s| s == [n])?;
        }
    }
    if !card.beacons.is_empty() {
        let (rows, cols) = ((d.heads + 2 * d.kv_heads) * d.head_dim, d.hidden);
        for layer in 0..d.layers {
            shape(beacon_name(layer), &format!("[{rows}, {cols}]"), &|s| s == [rows, cols])?;
        }
        let ratios = card.beacons.len();
        let expected = format!("[{ratios}, {cols}]");
        shape(BEACON_EMBEDDING.into(), &expected, &|s| s == [ratios, cols])?;
    }
    for (name, dims) in gist::tensors(card, d) {
        shape(name, &format!("{dims:?}"), &|s| s == dims)?;
    }
    match tensors.names().find(|n| *n != SHARPNESS && !known.contains(*n)) {
        Some(name) => Err(MemoryError::Unknown { name: name.into() }),
        None => Ok(()),
    }
}

/// `[out, in]` of a matrix of a layer.
fn part_shape(d: &Decoder, part: Part) -> [usize; 2] {
    let (q, kv) = (d.heads * d.head_dim, d.kv_heads * d.head_dim);
    match part {
        Part::Layer(_, LayerPart::Query) => [q, d.hidden],
        Part::Layer(_, LayerPart::Key | LayerPart::Value) => [kv, d.hidden],
        Part::Layer(_, LayerPart::Output) => [d.hidden, q],
        Part::Layer(_, LayerPart::Gate | LayerPart::Up) => [d.ffn, d.hidden],
        Part::Layer(_, LayerPart::Down) => [d.hidden, d.ffn],
        Part::Embedding | Part::Head => [d.vocab, d.hidden],
        Part::FinalNorm | Part::Layer(_, LayerPart::AttentionNorm | LayerPart::FfnNorm) => {
            [1, d.hidden]
        }
    }
}

/// Checks the address's numbers.
fn check_address(address: &TrainedAddress, d: &Decoder) -> Result<(), MemoryError> {
    let value = |what, found: usize, expected: String| {
        Err(MemoryError::Value { what, found: found.to_string(), expected })
    };
    if address.layer >= d.layers {
        return value("the address's layer", address.layer, format!("0..{}", d.layers));
    }
    if !(1..=DIM_MAX).contains(&address.dim) {
        return value("the address's width", address.dim, format!("1..={DIM_MAX}"));
    }
    if address.keys == 0 || address.segment_tokens == 0 {
        return value("the number of keys a block", address.keys, "a divisor of the block".into());
    }
    Ok(())
}

/// Widest address.
const DIM_MAX: usize = 4096;
