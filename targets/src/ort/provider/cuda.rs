//! An NVIDIA GPU through CUDA.

use ort::ep::{ArenaExtendStrategy, CUDA, ExecutionProviderDispatch};

use super::Provider;
use crate::choose::Device;

/// The CUDA provider.
#[derive(Clone, Copy, Debug)]
pub struct Cuda {
    /// Which GPU, from 0.
    pub index: i32,
    /// Most bytes that the provider's arena takes; `None` leaves it unbounded. Weights and scratch
    /// count, and on boards with unified memory they come out of the host's memory.
    pub memory_bytes_max: Option<usize>,
}

impl Cuda {
    fn builder(self) -> CUDA {
        // An arena that grows by powers of two holds up to twice what it needs.
        let builder = CUDA::default()
            .with_device_id(self.index)
            .with_arena_extend_strategy(ArenaExtendStrategy::SameAsRequested)
            .with_tf32(false);
        match self.memory_bytes_max {
            Some(bytes) => builder.with_memory_limit(bytes),
            None => builder,
        }
    }
}

impl Provider for Cuda {
    fn device(&self) -> Device {
        Device::Cuda
    }

    fn register(&self) -> Vec<ExecutionProviderDispatch> {
        vec![self.builder().build().error_on_failure()]
    }

    fn options(&self) -> Vec<String> {
        let mut options = vec![
            format!("device_id={}", self.index),
            "arena_extend_strategy=kSameAsRequested".to_owned(),
            "use_tf32=0".to_owned(),
        ];
        options.extend(self.memory_bytes_max.map(|bytes| format!("gpu_mem_limit={bytes}")));
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_said_and_registration_is_strict() {
        let cuda = Cuda { index: 1, memory_bytes_max: Some(4096) };
        assert!(cuda.options().contains(&"gpu_mem_limit=4096".to_owned()));
        let registered = cuda.register();
        assert_eq!(registered.len(), 1);
        assert_eq!(registered[0].name(), "CUDAExecutionProvider");
        assert!(!Cuda { index: 0, memory_bytes_max: None }.options().concat().contains("limit"));
    }
}
