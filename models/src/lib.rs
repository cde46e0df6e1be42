//! What we run: model files read, cards, tokenizers, and the decoder's graph built as ONNX.
pub mod card;

pub use card::{Card, RetrievalHead, WeightKind};
