//! The window's memory on the host: rotated keys, values and canonical keys of every slot.
//!
//! Three planes, each `[layers, kv_heads, capacity, head_dim]`. The rotated keys and the values of
//! one layer, `[kv_heads, capacity, head_dim]`, are what attention reads.

use std::ops::Range;

use lcedge_memory::{Geometry, KvBuf, KvView};

use crate::buffer::AlignedBuf;
use crate::engine::SlotError;
use crate::rope::Rope;

/// One of the three arrays of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plane {
    /// Keys, rotated to their positions.
    Rotated,
    /// Values.
    Values,
    /// Keys, un-rotated.
    Canonical,
}

const PLANES: [Plane; 3] = [Plane::Rotated, Plane::Values, Plane::Canonical];

/// The slots of one window.
#[derive(Debug)]
pub(crate) struct Window {
    geometry: Geometry,
    capacity: usize,
    len: usize,
    rope: Rope,
    buf: AlignedBuf,
}

impl Window {
    /// `capacity` empty slots.
    pub(crate) fn new(geometry: Geometry, capacity: usize, rope: Rope) -> Self {
        let buf = AlignedBuf::zeroed(geometry.values(capacity) * PLANES.len());
        Self { geometry, capacity, len: 0, rope, buf }
    }

    pub(crate) const fn capacity(&self) -> usize {
        self.capacity
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn rope(&self) -> &Rope {
        &self.rope
    }

    /// Bytes of the three planes.
    pub(crate) const fn bytes(&self) -> usize {
        self.buf.len() * size_of::<f32>()
    }

    /// Where one layer of a plane lies, `[kv_heads, capacity, head_dim]`.
    fn layer_range(&self, plane: Plane, layer: usize) -> Range<usize> {
        let n = self.capacity * self.row_values();
        let at = (plane as usize * self.geometry.layers as usize + layer) * n;
        at..at + n
    }

    /// Values of one slot in one layer of a plane.
    const fn row_values(&self) -> usize {
        self.geometry.kv_heads as usize * self.geometry.head_dim as usize
    }

    /// Where `slots` of one head lie, `[slots, head_dim]`.
    fn head_range(
        &self,
        plane: Plane,
        layer: usize,
        head: usize,
        slots: &Range<usize>,
    ) -> Range<usize> {
        let d = self.geometry.head_dim as usize;
        let at = self.layer_range(plane, layer).start + head * self.capacity * d;
        at + slots.start * d..at + slots.end * d
    }

    /// One head's slots `0..end`, `[end, head_dim]`.
    pub(crate) fn head(&self, plane: Plane, layer: usize, head: usize, end: usize) -> &[f32] {
        &self.buf.as_slice()[self.head_range(plane, layer, head, &(0..end))]
    }

    /// One layer of a plane, for a library that reads and writes it while a step runs.
    pub(crate) fn layer_ptr(&self, plane: Plane, layer: usize) -> *mut f32 {
        self.buf.as_ptr().wrapping_add(self.layer_range(plane, layer).start)
    }

    /// Writes new rows of one layer: `rows` is `[positions, kv_heads * head_dim]`.
    pub(crate) fn write_rows(&mut self, plane: Plane, layer: usize, slot: usize, rows: &[f32]) {
        let d = self.geometry.head_dim as usize;
        for (i, row) in rows.chunks_exact(self.row_values()).enumerate() {
            for (head, values) in row.chunks_exact(d).enumerate() {
                let at = self.head_range(plane, layer, head, &(slot + i..slot + i + 1));
                self.buf.as_mut_slice()[at].copy_from_slice(values);
            }
        }
    }

    /// Rotates the keys of one layer at `slot..` from their canonical copies.
    pub(crate) fn rotate_layer(
        &mut self,
        layer: usize,
        slot: usize,
        positions: impl Iterator<Item = usize> + Clone,
    ) {
        let d = self.geometry.head_dim as usize;
        let canonical_start = self.layer_range(Plane::Canonical, 0).start;
        for head in 0..self.geometry.kv_heads as usize {
            let from = self.head_range(Plane::Canonical, layer, head, &(slot..slot)).start
                - canonical_start;
            let to = self.head_range(Plane::Rotated, layer, head, &(slot..slot)).start;
            // The rotated plane is the first, the canonical plane the last: split between them.
            let (front, canonical) = self.buf.as_mut_slice().split_at_mut(canonical_start);
            for (i, position) in positions.clone().enumerate() {
                let key = &canonical[from + i * d..from + (i + 1) * d];
                self.rope.rotate(key, position, &mut front[to + i * d..to + (i + 1) * d]);
            }
        }
    }

    /// See [`crate::Engine::place`].
    pub(crate) fn place(
        &mut self,
        slot: usize,
        positions: &[i32],
        kv: KvView<'_>,
    ) -> Result<(), SlotError> {
        self.check_geometry(kv, positions.len())?;
        let slots = self.check_slots(slot, positions.len())?;
        for &position in positions {
            self.check_position(i64::from(position))?;
        }
        for layer in 0..self.geometry.layers as usize {
            for head in 0..self.geometry.kv_heads as usize {
                let at = self.head_range(Plane::Canonical, layer, head, &slots);
                self.buf.as_mut_slice()[at].copy_from_slice(kv.k_head(layer, head));
                let at = self.head_range(Plane::Values, layer, head, &slots);
                self.buf.as_mut_slice()[at].copy_from_slice(kv.v_head(layer, head));
            }
            self.rotate_layer(layer, slot, positions.iter().map(|&p| p as usize));
        }
        Ok(())
    }

    /// See [`crate::Engine::read`].
    pub(crate) fn read(&self, slots: Range<usize>, out: &mut KvBuf) -> Result<(), SlotError> {
        let slots = self.check_range(&slots)?;
        assert_eq!(
            self.shape(),
            shape_of(out.geometry()),
            "a buffer of the window's own shape [layers, kv_heads, head_dim]"
        );
        let n = slots.len() * self.geometry.head_dim as usize;
        let (k, v) = out.fill(slots.len());
        let heads = self.geometry.kv_heads as usize;
        for (i, (k, v)) in
            k.chunks_exact_mut(n.max(1)).zip(v.chunks_exact_mut(n.max(1))).enumerate()
        {
            let (layer, head) = (i / heads, i % heads);
            let from = self.head_range(Plane::Canonical, layer, head, &slots);
            k.copy_from_slice(&self.buf.as_slice()[from]);
            let from = self.head_range(Plane::Values, layer, head, &slots);
            v.copy_from_slice(&self.buf.as_slice()[from]);
        }
        Ok(())
    }

    /// See [`crate::Engine::rotate`].
    pub(crate) fn rotate(
        &mut self,
        slots: Range<usize>,
        first_position: i32,
    ) -> Result<(), SlotError> {
        let slots = self.check_range(&slots)?;
        if slots.is_empty() {
            return Ok(());
        }
        let first = i64::from(first_position);
        self.check_position(first)?;
        self.check_position(first + slots.len() as i64 - 1)?;
        let first = first as usize;
        for layer in 0..self.geometry.layers as usize {
            self.rotate_layer(layer, slots.start, first..first + slots.len());
        }
        Ok(())
    }

    /// See [`crate::Engine::move_slots`].
    pub(crate) fn move_slots(&mut self, from: Range<usize>, to: usize) -> Result<(), SlotError> {
        let from = self.check_range(&from)?;
        let to = self.check_slots(to, from.len())?;
        for plane in PLANES {
            for layer in 0..self.geometry.layers as usize {
                for head in 0..self.geometry.kv_heads as usize {
                    let source = self.head_range(plane, layer, head, &from);
                    let target = self.head_range(plane, layer, head, &to).start;
                    self.buf.as_mut_slice().copy_within(source, target);
                }
            }
        }
        Ok(())
    }

    /// See [`crate::Engine::set_len`].
    pub(crate) fn set_len(&mut self, len: usize) -> Result<(), SlotError> {
        self.check_slots(0, len)?;
        self.len = len;
        Ok(())
    }

    fn check_range(&self, slots: &Range<usize>) -> Result<Range<usize>, SlotError> {
        if slots.start > slots.end || slots.end > self.capacity {
            return Err(SlotError::OutOfWindow {
                start: slots.start,
                end: slots.end,
                capacity: self.capacity,
            });
        }
        Ok(slots.clone())
    }

    fn check_slots(&self, start: usize, count: usize) -> Result<Range<usize>, SlotError> {
        self.check_range(&(start..start.saturating_add(count)))
    }

    fn check_position(&self, position: i64) -> Result<(), SlotError> {
        let limit = self.rope.positions();
        if usize::try_from(position).is_ok_and(|p| p < limit) {
            return Ok(());
        }
        Err(SlotError::Position { position, limit })
    }

    fn check_geometry(&self, kv: KvView<'_>, positions: usize) -> Result<(), SlotError> {
        if shape_of(kv.geometry()) != self.shape() {
            return Err(SlotError::Geometry {
                found: format!("{:?}", shape_of(kv.geometry())),
                expected: format!("{:?}", self.shape()),
            });
        }
        if kv.tokens() != positions {
            return Err(SlotError::Geometry {
                found: format!("{:?} with {} tokens", self.shape(), kv.tokens()),
                expected: format!("{:?} with {positions} tokens, one a position", self.shape()),
            });
        }
        Ok(())
    }

    fn shape(&self) -> [u16; 3] {
        shape_of(self.geometry)
    }
}

/// `[layers, kv_heads, head_dim]`.
fn shape_of(geometry: Geometry) -> [u16; 3] {
    [geometry.layers, geometry.kv_heads, geometry.head_dim]
}
