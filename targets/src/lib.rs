//! Where it runs: the engine trait, its implementations, and ONNX Runtime found or fetched.
mod buffer;
mod check;
pub mod choose;
#[doc(hidden)]
pub mod contract;
pub mod engine;
pub mod fake;
pub mod gist;
pub mod ort;
pub mod probe;
pub mod profile;
pub mod rope;
mod window;

pub use engine::{BeaconRow, Engine, EngineMemory, SlotError, StepError, StepInput, StepOutput};
pub use fake::{FakeConfig, FakeEngine};
pub use gist::{Fold, FoldError, GistBytesError, GistState};
