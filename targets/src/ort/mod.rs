//! ONNX Runtime: found or fetched, loaded, and run.

pub mod abilities;
mod beacons;
mod bind;
mod dynamic;
mod engine;
pub mod fetch;
mod gist;
mod library;
mod opening;
pub mod provider;
mod runtime;
mod session;
mod tensor;

pub use engine::{EngineOptions, LoadError, OrtEngine, Packing};
pub use fetch::{FetchLibraryError, fetch_library};
pub use library::{LibraryError, OLDEST, OrtLibrary, OrtVersion, Search, Tried};
pub use runtime::{Runtime, RuntimeError};
