//! Execution providers, one file each: how a session is told to use one.
//!
//! Every provider is registered with `error_on_failure`: the library would otherwise go on with the
//! CPU and say nothing.

mod cpu;
mod cuda;
mod tensorrt;

use std::path::Path;

use ort::ep::{ExecutionProvider, ExecutionProviderDispatch};

use crate::choose::{Available, Device, Found};

pub use cpu::Cpu;
pub use cuda::Cuda;
pub use tensorrt::TensorRt;

/// One way to run the graph.
pub trait Provider {
    /// The device it stands for.
    fn device(&self) -> Device;

    /// What is registered with the session, in order of preference.
    fn register(&self) -> Vec<ExecutionProviderDispatch>;

    /// What is set, as `key=value` texts, for the report.
    fn options(&self) -> Vec<String>;
}

/// What is there: what the loaded library was built with, what lies beside it, and which device
/// files are under `root` (`/` in the program).
#[must_use]
pub fn available(library: &Path, root: &Path) -> Available {
    let beside = |name: &str| {
        let file = format!(
            "{}onnxruntime_providers_{name}{}",
            std::env::consts::DLL_PREFIX,
            std::env::consts::DLL_SUFFIX
        );
        library.parent().is_some_and(|folder| folder.join(file).exists())
    };
    let gpu = ["dev/nvidia0", "dev/nvhost-gpu", "dev/nvgpu"].iter().any(|f| root.join(f).exists());
    let found = |built_in: bool, name| Found { built_in, library: beside(name), gpu };
    Available {
        cuda: found(ort::ep::CUDA::is_available().unwrap_or(false), "cuda"),
        tensorrt: found(ort::ep::TensorRT::is_available().unwrap_or(false), "tensorrt"),
        window_on_device: super::engine::WINDOW_ON_DEVICE,
    }
}
