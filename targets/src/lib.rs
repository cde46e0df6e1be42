//! Where it runs: the engine trait, its implementations, and ONNX Runtime found or fetched.
pub mod engine;

pub use engine::{Engine, EngineMemory, SlotError, StepError, StepInput, StepOutput};
