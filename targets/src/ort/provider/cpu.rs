//! The host's cores.

use ort::ep::{CPU, ExecutionProviderDispatch};

use super::Provider;
use crate::choose::Device;

/// The CPU provider.
#[derive(Clone, Copy, Debug)]
pub struct Cpu {
    /// Whether scratch memory is kept from step to step. Without it each step takes and gives back
    /// its memory: slower, but nothing is held between steps.
    pub arena: bool,
}

impl Provider for Cpu {
    fn device(&self) -> Device {
        Device::Cpu
    }

    fn register(&self) -> Vec<ExecutionProviderDispatch> {
        vec![CPU::default().with_arena_allocator(self.arena).build().error_on_failure()]
    }

    fn options(&self) -> Vec<String> {
        vec![format!("arena={}", self.arena)]
    }
}
