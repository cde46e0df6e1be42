//! One view of a decoder's weights, whatever file they come from.
//!
//! All matrices are row-major `[out, in]` in Hugging Face's order: a head's two halves are rotated
//! together. GGUF stores the rows of Q and K in pairs (`0, D/2, 1, D/2 + 1, ...` of each head);
//! they are put back here, row by row, so that blocks of 32 along a row stay whole.

mod locate;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::decoder::{Decoder, DecoderError};
use crate::encoding::Encoding;
use crate::gguf::{Gguf, GgufError};
use crate::ranges::RangeFile;
use crate::safetensors::{Safetensors, SafetensorsError};

/// A tensor of one decoder layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LayerPart {
    /// Norm before attention, `[1, hidden]`.
    AttentionNorm,
    /// `[heads * head_dim, hidden]`.
    Query,
    /// `[kv_heads * head_dim, hidden]`.
    Key,
    /// `[kv_heads * head_dim, hidden]`.
    Value,
    /// `[hidden, heads * head_dim]`.
    Output,
    /// Norm before the feed-forward layer, `[1, hidden]`.
    FfnNorm,
    /// `[ffn, hidden]`.
    Gate,
    /// `[ffn, hidden]`.
    Up,
    /// `[hidden, ffn]`.
    Down,
}

impl LayerPart {
    /// All parts, in the order of the computation.
    pub const ALL: [Self; 9] = [
        Self::AttentionNorm,
        Self::Query,
        Self::Key,
        Self::Value,
        Self::Output,
        Self::FfnNorm,
        Self::Gate,
        Self::Up,
        Self::Down,
    ];
}

/// A tensor of a decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// `[vocab, hidden]`.
    Embedding,
    /// `[vocab, hidden]`; the embedding where the head is tied.
    Head,
    /// Norm before the head, `[1, hidden]`.
    FinalNorm,
    /// A tensor of one layer, from 0.
    Layer(usize, LayerPart),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedding => write!(f, "embedding"),
            Self::Head => write!(f, "head"),
            Self::FinalNorm => write!(f, "final norm"),
            Self::Layer(layer, part) => write!(f, "layer {layer} {part:?}"),
        }
    }
}

/// Shape and encoding of one tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Outputs of the projection; 1 for norms.
    pub rows: usize,
    /// Inputs of the projection.
    pub cols: usize,
    /// How its values are stored.
    pub encoding: Encoding,
}

/// Why weights could not be opened or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The GGUF file is not well formed.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// The safetensors folder is not well formed.
    #[error(transparent)]
    Safetensors(#[from] SafetensorsError),
    /// The decoder's shape could not be read.
    #[error(transparent)]
    Decoder(#[from] DecoderError),
    /// A tensor that the decoder needs is not there.
    #[error("tensor {name:?} is missing")]
    Missing {
        /// Its name in the file.
        name: String,
    },
    /// A tensor has another shape than the decoder's sizes say.
    #[error("tensor {name:?} has shape {found:?}, {expected:?} is needed")]
    Shape {
        /// Its name in the file.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that fits.
        expected: Vec<usize>,
    },
    /// A tensor is stored in a way that is not read here.
    #[error("tensor {name:?} is stored as {found}; read here: F32, F16, BF16, Q8_0, Q4_0, Q4_1")]
    Encoding {
        /// Its name in the file.
        name: String,
        /// How it is stored.
        found: String,
    },
    /// The file has a tensor that this decoder does not have (a bias, experts, scaled RoPE).
    #[error("tensor {name:?} belongs to no part of the decoder that is built here")]
    Unknown {
        /// Its name in the file.
        name: String,
    },
    /// A tensor could not be read.
    #[error("{path}: {part}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The tensor.
        part: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A part or row was asked for that the decoder does not have.
    #[error("{part} has no rows {rows:?}")]
    OutOfRange {
        /// The tensor.
        part: String,
        /// The rows.
        rows: Range<usize>,
    },
}

/// Where a tensor's rows lie.
#[derive(Clone, Debug)]
struct Located {
    matrix: Matrix,
    file: usize,
    offset: u64,
    row_bytes: usize,
    /// Width of a head whose rows are stored in pairs, if they are.
    paired: Option<usize>,
}

impl Located {
    /// The row of the file that holds row `row` of Hugging Face's order.
    fn stored_row(&self, row: usize) -> usize {
        self.paired.map_or(row, |width| {
            let (head, within) = (row / width, row % width);
            let (half, i) = (within / (width / 2), within % (width / 2));
            head * width + 2 * i + half
        })
    }
}

/// The weights of one decoder, read by range when asked for.
#[derive(Debug)]
pub struct Weights {
    decoder: Decoder,
    files: Vec<RangeFile>,
    parts: HashMap<Part, Located>,
}

impl Weights {
    /// Opens a `.gguf` file or a folder with `config.json` and safetensors.
    ///
    /// # Errors
    /// [`WeightsError`] when it is neither, is not well formed, or tensors do not fit the shapes.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        if path.is_dir() { Self::from_folder(path) } else { Self::from_gguf(Gguf::open(path)?) }
    }

    /// The weights of an opened GGUF file.
    ///
    /// # Errors
    /// [`WeightsError`] when tensors are missing or do not fit.
    pub fn from_gguf(gguf: Gguf) -> Result<Self, WeightsError> {
        let mut decoder = Decoder::from_gguf(&gguf)?;
        decoder.tied_head = !gguf.tensors().contains_key("output.weight");
        let parts = locate::gguf(&decoder, gguf.tensors())?;
        Ok(Self { decoder, files: vec![gguf.into_file()], parts })
    }

    /// The weights of a Hugging Face folder.
    ///
    /// # Errors
    /// [`WeightsError`] when files or tensors are missing or do not fit.
    pub fn from_folder(dir: &Path) -> Result<Self, WeightsError> {
        let decoder = Decoder::from_folder(dir)?;
        let tensors = Safetensors::open(dir)?;
        let parts = locate::safetensors(&decoder, &tensors.tensors)?;
        Ok(Self { decoder, files: tensors.files, parts })
    }

    /// Shapes and constants.
    #[must_use]
    pub const fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Shape and encoding of `part`.
    ///
    /// # Errors
    /// [`WeightsError::OutOfRange`] when the decoder has no such layer.
    pub fn matrix(&self, part: Part) -> Result<Matrix, WeightsError> {
        Ok(self.located(part)?.matrix)
    }

    /// Rows of `part` as they are stored (whole blocks), in Hugging Face's order, into `out`.
    ///
    /// # Errors
    /// [`WeightsError`] when the rows do not exist or cannot be read.
    pub fn read_stored(
        &self,
        part: Part,
        rows: Range<usize>,
        out: &mut Vec<u8>,
    ) -> Result<(), WeightsError> {
        let at = self.located(part)?;
        if rows.start > rows.end || rows.end > at.matrix.rows {
            return Err(WeightsError::OutOfRange { part: part.to_string(), rows });
        }
        out.clear();
        out.resize(rows.len() * at.row_bytes, 0);
        let file = &self.files[at.file];
        let io = |source| WeightsError::Io {
            path: file.path().to_path_buf(),
            part: part.to_string(),
            source,
        };
        let offset = |row: usize| at.offset + (row * at.row_bytes) as u64;
        if at.paired.is_none() {
            return file.read_at(offset(rows.start), out).map_err(io);
        }
        for (row, bytes) in rows.zip(out.chunks_exact_mut(at.row_bytes)) {
            file.read_at(offset(at.stored_row(row)), bytes).map_err(io)?;
        }
        Ok(())
    }

    /// Rows of `part` as `f32`, `[rows, cols]`, into `out`.
    ///
    /// # Errors
    /// [`WeightsError`] when the rows do not exist or cannot be read.
    pub fn read_dense(
        &self,
        part: Part,
        rows: Range<usize>,
        out: &mut Vec<f32>,
    ) -> Result<(), WeightsError> {
        let mut bytes = Vec::new();
        self.read_stored(part, rows, &mut bytes)?;
        out.clear();
        self.matrix(part)?.encoding.decode(&bytes, out);
        Ok(())
    }

    /// The whole of `part` as `f32`, `[rows, cols]`.
    ///
    /// # Errors
    /// [`WeightsError`] when the part does not exist or cannot be read.
    pub fn dense(&self, part: Part) -> Result<Vec<f32>, WeightsError> {
        let mut out = Vec::new();
        self.read_dense(part, 0..self.matrix(part)?.rows, &mut out)?;
        Ok(out)
    }

    fn located(&self, part: Part) -> Result<&Located, WeightsError> {
        let part =
            if part == Part::Head && self.decoder.tied_head { Part::Embedding } else { part };
        self.parts
            .get(&part)
            .ok_or_else(|| WeightsError::OutOfRange { part: part.to_string(), rows: 0..0 })
    }
}
