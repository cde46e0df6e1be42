//! The window, bound to the graph: one memory that is both the past and the present.
#![expect(unsafe_code, reason = "the same memory is bound as input and as output")]

use lcedge_models::Card;

use super::tensor::{HostMemory, Tensor};
use crate::window::{Plane, Window};

/// A window and the tensors over its rotated keys and values.
#[derive(Debug)]
pub(super) struct BoundWindow {
    /// Keys and values of layer 0, of layer 1, ...; each `[1, kv_heads, capacity, head_dim]`.
    tensors: Vec<Tensor<'static>>,
    /// What the tensors lie over. Its memory is never moved or freed while this value lives, and
    /// the window is never replaced.
    window: Window,
}

impl BoundWindow {
    pub(super) fn new(host: &HostMemory, window: Window, card: &Card) -> Result<Self, ort::Error> {
        let shape = [card.kv_heads, window.capacity(), card.head_dim].map(|n| n as i64);
        let shape = [1, shape[0], shape[1], shape[2]];
        let mut tensors = Vec::with_capacity(card.layers * 2);
        for layer in 0..card.layers {
            for plane in [Plane::Rotated, Plane::Values] {
                let start = window.layer_ptr(plane, layer);
                // SAFETY: `layer_ptr` points at `[kv_heads, capacity, head_dim]` values of the
                // window, which this value owns next to the tensor. `lend` gives tensors out only
                // against `&mut self`, so no reference into the window is in use then.
                tensors.push(unsafe { Tensor::from_raw(host, start, &shape) }?);
            }
        }
        Ok(Self { tensors, window })
    }

    pub(super) const fn window(&self) -> &Window {
        &self.window
    }

    pub(super) const fn window_mut(&mut self) -> &mut Window {
        &mut self.window
    }

    /// The tensors, for one run: as inputs and as outputs.
    pub(super) fn lend(&mut self) -> &[Tensor<'_>] {
        &self.tensors
    }
}
