//! The shape of remembered keys and values, and views over them.
//!
//! One layout serves the whole project. Keys and values of a run of tokens are two row-major arrays
//! of shape `[layers, kv_heads, tokens, head_dim]`; keys are *un-rotated* (before RoPE), which is
//! the canonical form that the store keeps and that placing rotates from.

use serde::{Deserialize, Serialize};

/// The shape of one model's keys and values. Part of the identity of stored K,V.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Geometry {
    /// Decoder layers.
    pub layers: u16,
    /// Key/value heads of each layer (grouped-query attention).
    pub kv_heads: u16,
    /// Width of one head, in values.
    pub head_dim: u16,
    /// Most tokens that one block holds (64 unless a card says otherwise).
    pub block_tokens: u16,
}

impl Geometry {
    /// Values of K (and as many of V) that one token has over all layers.
    #[must_use]
    pub const fn values_per_token(&self) -> usize {
        self.layers as usize * self.kv_heads as usize * self.head_dim as usize
    }

    /// Values of K (and as many of V) of `tokens` tokens.
    #[must_use]
    pub const fn values(&self, tokens: usize) -> usize {
        self.values_per_token() * tokens
    }

    /// Bytes of K and V together of one token, in `f32`.
    #[must_use]
    pub const fn f32_bytes_per_token(&self) -> usize {
        self.values_per_token() * 2 * size_of::<f32>()
    }
}

/// Keys and values of `tokens` tokens, borrowed. Both arrays are
/// `[layers, kv_heads, tokens, head_dim]`, row-major; keys are un-rotated.
#[derive(Clone, Copy, Debug)]
pub struct KvView<'a> {
    geometry: Geometry,
    tokens: usize,
    k: &'a [f32],
    v: &'a [f32],
}

impl<'a> KvView<'a> {
    /// A view over two arrays of `geometry.values(tokens)` values each.
    ///
    /// # Panics
    /// When either array has another length: the caller computed the shape wrongly.
    #[must_use]
    pub fn new(geometry: Geometry, tokens: usize, k: &'a [f32], v: &'a [f32]) -> Self {
        assert_eq!(k.len(), geometry.values(tokens), "keys: [L,Hkv,T,D] values");
        assert_eq!(v.len(), geometry.values(tokens), "values: [L,Hkv,T,D] values");
        Self { geometry, tokens, k, v }
    }

    /// The shape of the model these belong to.
    #[must_use]
    pub const fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Tokens viewed.
    #[must_use]
    pub const fn tokens(&self) -> usize {
        self.tokens
    }

    /// All keys, `[layers, kv_heads, tokens, head_dim]`, un-rotated.
    #[must_use]
    pub const fn k(&self) -> &'a [f32] {
        self.k
    }

    /// All values, `[layers, kv_heads, tokens, head_dim]`.
    #[must_use]
    pub const fn v(&self) -> &'a [f32] {
        self.v
    }

    /// Keys of one head, `[tokens, head_dim]`.
    #[must_use]
    pub fn k_head(&self, layer: usize, head: usize) -> &'a [f32] {
        &self.k[self.head_range(layer, head)]
    }

    /// Values of one head, `[tokens, head_dim]`.
    #[must_use]
    pub fn v_head(&self, layer: usize, head: usize) -> &'a [f32] {
        &self.v[self.head_range(layer, head)]
    }

    fn head_range(&self, layer: usize, head: usize) -> std::ops::Range<usize> {
        head_range(self.geometry, self.tokens, layer, head)
    }
}

/// Owned keys and values with a fixed capacity; filling one never allocates.
#[derive(Clone, Debug)]
pub struct KvBuf {
    geometry: Geometry,
    capacity: usize,
    tokens: usize,
    k: Box<[f32]>,
    v: Box<[f32]>,
}

impl KvBuf {
    /// A buffer for up to `capacity` tokens, holding none.
    #[must_use]
    pub fn with_capacity(geometry: Geometry, capacity: usize) -> Self {
        let n = geometry.values(capacity);
        Self {
            geometry,
            capacity,
            tokens: 0,
            k: vec![0.0; n].into_boxed_slice(),
            v: vec![0.0; n].into_boxed_slice(),
        }
    }

    /// The shape of the model these belong to.
    #[must_use]
    pub const fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Most tokens that fit.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Tokens held now.
    #[must_use]
    pub const fn tokens(&self) -> usize {
        self.tokens
    }

    /// Sets how many tokens are held and gives both arrays, packed for exactly that many
    /// (`[layers, kv_heads, tokens, head_dim]`), to be written over.
    ///
    /// # Panics
    /// When `tokens` exceeds the capacity.
    pub fn fill(&mut self, tokens: usize) -> (&mut [f32], &mut [f32]) {
        assert!(tokens <= self.capacity, "{tokens} tokens in a buffer for {}", self.capacity);
        self.tokens = tokens;
        let n = self.geometry.values(tokens);
        (&mut self.k[..n], &mut self.v[..n])
    }

    /// What is held.
    #[must_use]
    pub fn view(&self) -> KvView<'_> {
        let n = self.geometry.values(self.tokens);
        KvView::new(self.geometry, self.tokens, &self.k[..n], &self.v[..n])
    }
}

/// Where the `[tokens, head_dim]` values of one head lie in a `[layers, kv_heads, tokens,
/// head_dim]` array.
#[must_use]
pub fn head_range(
    geometry: Geometry,
    tokens: usize,
    layer: usize,
    head: usize,
) -> std::ops::Range<usize> {
    let n = tokens * geometry.head_dim as usize;
    let at = (layer * geometry.kv_heads as usize + head) * n;
    at..at + n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_tile_the_whole_array_in_order() {
        let g = Geometry { layers: 3, kv_heads: 2, head_dim: 4, block_tokens: 8 };
        let mut at = 0;
        for layer in 0..3 {
            for head in 0..2 {
                let r = head_range(g, 5, layer, head);
                assert_eq!(r.start, at);
                at = r.end;
            }
        }
        assert_eq!(at, g.values(5));
    }

    #[test]
    fn a_buffer_packs_for_the_tokens_it_holds() {
        let g = Geometry { layers: 2, kv_heads: 1, head_dim: 2, block_tokens: 4 };
        let mut b = KvBuf::with_capacity(g, 4);
        let (k, v) = b.fill(3);
        assert_eq!((k.len(), v.len()), (12, 12));
        k[6] = 7.0;
        assert_eq!(b.view().k_head(1, 0)[0], 7.0);
    }
}
