//! What we run: model files read, cards, tokenizers, and the decoder's graph built as ONNX.
#![forbid(unsafe_code)]

pub mod card;
pub mod decoder;
pub mod encoding;
pub mod fetch;
pub mod gguf;
pub mod inspect;
pub mod memory;
pub mod onnx;
pub mod prepare;
mod ranges;
pub mod rope;
pub mod safetensors;
pub mod source;
mod stage;
pub mod template;
pub mod tokenizer;
pub mod weights;
pub mod zoo;

pub use card::{Card, GistShape, RetrievalHead, TrainedAddress, TrainedMemory, WeightKind};
pub use decoder::Decoder;
pub use inspect::{Inspection, Listed, inspect, list};
pub use memory::{Memory, MemoryChoice, MemoryError, MemorySource};
pub use prepare::{PrepareError, PrepareOptions, Prepared, Progress, prepare};
pub use source::{ModelSource, ResolveError};
pub use stage::default_cache_dir;
pub use template::{ChatTemplate, Message, TemplateError};
pub use tokenizer::{Encoded, Tokenizer, TokenizerError};
pub use weights::{LayerPart, Part, Weights};
