//! What we run: model files read, cards, tokenizers, and the decoder's graph built as ONNX.
#![forbid(unsafe_code)]

pub mod card;
pub mod decoder;
pub mod encoding;
pub mod gguf;
pub mod onnx;
mod ranges;
pub mod rope;
pub mod safetensors;
pub mod weights;

pub use card::{Card, RetrievalHead, WeightKind};
pub use decoder::Decoder;
pub use weights::{LayerPart, Part, Weights};
