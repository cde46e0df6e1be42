//! The plan: every size computed once, from the card and what was asked for, before anything is
//! allocated. What cannot fit is refused, with what would.

use lcedge_compress::quant::payload_bytes;
use lcedge_memory::{AddressLayout, KvDtype, StoreOptions, search_threads};
use lcedge_models::{Card, WeightKind};
use serde::Serialize;

use crate::limits::{
    ANSWER_TOKENS_MAX, BLOCK_TOKENS, BLOCK_TOKENS_MIN, CHUNK_TOKENS_MAX, INDEX_BYTES_MIN,
    QUESTION_TOKENS_MAX, SINK_TOKENS_MAX, SPILL_QUEUE_BLOCKS, WINDOW_TOKENS_MIN,
};
use crate::window::WindowSizes;

/// What is asked of a session's sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Exact tokens in attention when a chunk starts.
    pub window_tokens: usize,
    /// Tokens of one decoder call while absorbing.
    pub chunk_tokens: usize,
    /// Attention sinks.
    pub sink_tokens: usize,
    /// Slots of the condensed tier; 0 is off.
    pub condensed_tokens: usize,
    /// Slots of the gist; 0 is off.
    pub gist_tokens: usize,
    /// Blocks recalled while absorbing; 0 is off.
    pub stale_blocks: usize,
    /// Slots for recalled blocks while a question is answered.
    pub ask_recall_tokens: usize,
    /// Longest question with its chat turn.
    pub question_tokens_max: usize,
    /// Longest answer.
    pub answer_tokens_max: usize,
    /// How keys and values are stored.
    pub kv: KvDtype,
    /// Threads of the engine.
    pub threads: usize,
    /// Hard limit of RAM in bytes, where there is one.
    pub ram_bytes_max: Option<u64>,
    /// Resident bytes of the index that are wanted, where RAM allows.
    pub index_bytes: u64,
}

/// Bytes of RAM by purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RamPlan {
    /// Weights as the engine holds them.
    pub weights: u64,
    /// Keys (rotated and canonical) and values of all slots.
    pub window: u64,
    /// Scratch of one decoder call and the library itself.
    pub engine: u64,
    /// Pages of the mapped index that are resident at a time.
    pub index: u64,
    /// What the catalogue's connections hold.
    pub catalogue: u64,
    /// Blocks on their way to the store, and buffers of recall.
    pub queue: u64,
    /// Pages of the store that may be mapped in at once.
    pub map: u64,
    /// The gist: its states, the beacons of a fold, its graph.
    pub gist: u64,
}

impl RamPlan {
    /// All of it.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.weights
            + self.window
            + self.engine
            + self.index
            + self.catalogue
            + self.queue
            + self.map
            + self.gist
    }
}

/// Every size of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Exact tokens in attention when a chunk starts.
    pub window_tokens: usize,
    /// Tokens of one decoder call.
    pub chunk_tokens: usize,
    /// Attention sinks.
    pub sink_tokens: usize,
    /// Slots of the condensed tier.
    pub condensed_tokens: usize,
    /// Slots of the gist.
    pub gist_tokens: usize,
    /// Most beacons of one fold.
    pub fold_tokens: usize,
    /// Blocks recalled while absorbing.
    pub stale_blocks: usize,
    /// Slots for recalled blocks while a question is answered.
    pub ask_recall_tokens: usize,
    /// Longest question with its chat turn.
    pub question_tokens_max: usize,
    /// Longest answer.
    pub answer_tokens_max: usize,
    /// Most recent tokens kept when a chunk starts.
    pub recent_tokens_max: usize,
    /// Most slots of the memory region.
    pub memory_tokens_max: usize,
    /// Slots of the engine.
    pub capacity_tokens: usize,
    /// Tokens of a block.
    pub block_tokens: usize,
    /// Threads of the engine.
    pub threads: usize,
    /// How the weights are stored.
    pub weights: WeightKind,
    /// How keys and values are stored.
    pub kv: KvDtype,
    /// Bytes of the index that stay resident from search to search; beside them, each thread of a
    /// search looks at one page.
    pub index_resident_bytes: u64,
    /// Bytes of the store for one absorbed token: K,V, address, text and ids.
    pub store_bytes_per_token: u64,
    /// RAM by purpose.
    pub ram: RamPlan,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanError {
    /// A size is outside its bounds.
    #[error("{what} of {found} tokens: it must be {min} to {max}")]
    Bounds {
        /// Which size.
        what: &'static str,
        /// What was asked for.
        found: usize,
        /// Smallest that works.
        min: usize,
        /// Largest that works.
        max: usize,
    },
    /// The memory region leaves too little of the window for recent tokens.
    #[error(
        "a window of {window} tokens leaves {recent} for recent text beside {memory} of memory; \
         {min} are needed: use a larger --window or fewer recalled and condensed tokens"
    )]
    Recent {
        /// Window asked for.
        window: usize,
        /// What the memory region takes of it.
        memory: usize,
        /// What is left.
        recent: usize,
        /// What is needed.
        min: usize,
    },
    /// The window and a chunk exceed what the model was trained on.
    #[error(
        "window and chunk of {tokens} tokens exceed the {context} positions that {model} was \
         trained on: use a smaller --window or --chunk"
    )]
    Context {
        /// Tokens at distance in one call.
        tokens: usize,
        /// Trained positions.
        context: usize,
        /// The model.
        model: String,
    },
    /// The engine that is there has fewer slots.
    #[error("the plan needs {needed} slots, the engine that is open has {found}")]
    Capacity {
        /// Slots needed.
        needed: usize,
        /// Slots there are.
        found: usize,
    },
    /// It does not fit into the RAM that was allowed.
    #[error(
        "the plan needs {need} MiB of RAM, {limit} MiB are allowed: {hint}",
        need = need >> 20,
        limit = limit >> 20
    )]
    Ram {
        /// Bytes needed.
        need: u64,
        /// Bytes allowed.
        limit: u64,
        /// What would fit.
        hint: String,
    },
}

/// Parameters of the decoder, counted from its card.
#[must_use]
pub fn parameters(card: &Card) -> u64 {
    let (d, f) = (card.hidden as u64, card.ffn as u64);
    let q = (card.heads * card.head_dim) as u64;
    let kv = (card.kv_heads * card.head_dim) as u64;
    let layer = d * (2 * q + 2 * kv) + 3 * d * f + 2 * d;
    let embedding = card.vocab as u64 * d;
    layer * card.layers as u64 + embedding * if card.tied_head { 1 } else { 2 } + d
}

/// Bytes of weights in RAM for a kind: ONNX Runtime packs the big matrices into its own copy, the
/// embedding stays as it is.
#[must_use]
pub fn weight_bytes(card: &Card, kind: WeightKind) -> u64 {
    let n = parameters(card);
    let embedding = (card.vocab * card.hidden) as u64;
    match kind {
        WeightKind::F32 | WeightKind::F16 => n * 4 + embedding * 4,
        WeightKind::Int8 => n * 9 / 8 + embedding * 9 / 8,
        WeightKind::Int4 => n * 3 / 4 + embedding * 9 / 8,
    }
}

const ENGINE_BASE_BYTES: u64 = 84 << 20;
const MAP_BYTES: u64 = 8 << 20;
/// Two connections, with caches of 2 and 4 MiB, and the words that wait to be written.
const CATALOGUE_BYTES: u64 = 8 << 20;

impl Plan {
    /// Computes the plan.
    ///
    /// # Errors
    /// [`PlanError`] with the sizes that do not fit and what to change.
    pub fn new(card: &Card, layout: AddressLayout, r: &Request) -> Result<Self, PlanError> {
        let bounds = |what, found, min, max| {
            if (min..=max).contains(&found) {
                Ok(())
            } else {
                Err(PlanError::Bounds { what, found, min, max })
            }
        };
        bounds("the window", r.window_tokens, WINDOW_TOKENS_MIN, card.context)?;
        bounds("the chunk", r.chunk_tokens, 1, CHUNK_TOKENS_MAX.min(card.context))?;
        bounds("the sinks", r.sink_tokens, 0, SINK_TOKENS_MAX)?;
        let stale = r.stale_blocks * BLOCK_TOKENS;
        let standing = r.sink_tokens + r.gist_tokens + r.condensed_tokens;
        let memory = standing + stale;
        let recent = r.window_tokens.saturating_sub(memory);
        let min = 2 * BLOCK_TOKENS;
        if recent < min {
            return Err(PlanError::Recent { window: r.window_tokens, memory, recent, min });
        }
        let ask_memory = standing + r.ask_recall_tokens;
        bounds("the question", r.question_tokens_max, 1, QUESTION_TOKENS_MAX)?;
        bounds("the answer", r.answer_tokens_max, 1, ANSWER_TOKENS_MAX)?;
        let ask = ask_memory + BLOCK_TOKENS + r.question_tokens_max + r.answer_tokens_max;
        let tokens = (r.window_tokens + r.chunk_tokens + beacon_rows(card, r)).max(ask);
        if tokens > card.context {
            let (context, model) = (card.context, card.name.clone());
            return Err(PlanError::Context { tokens, context, model });
        }
        let mut plan = Self {
            window_tokens: r.window_tokens,
            chunk_tokens: r.chunk_tokens,
            sink_tokens: r.sink_tokens,
            condensed_tokens: r.condensed_tokens,
            gist_tokens: r.gist_tokens,
            fold_tokens: fold_beacons(card, r),
            stale_blocks: r.stale_blocks,
            ask_recall_tokens: r.ask_recall_tokens,
            question_tokens_max: r.question_tokens_max,
            answer_tokens_max: r.answer_tokens_max,
            recent_tokens_max: recent,
            memory_tokens_max: memory.max(ask_memory),
            capacity_tokens: tokens,
            block_tokens: BLOCK_TOKENS,
            threads: r.threads,
            weights: card.weights,
            kv: r.kv,
            index_resident_bytes: 0,
            store_bytes_per_token: store_bytes_per_token(card, layout, r.kv),
            ram: RamPlan::default(),
        };
        plan.ram = plan.ram_plan(card);
        plan.plan_index(layout, r);
        plan.check_ram(card, r)?;
        Ok(plan)
    }

    /// The index gets what is wanted, or what a limit leaves, but for the pages that threads look
    /// at and a little more.
    fn plan_index(&mut self, layout: AddressLayout, r: &Request) {
        let page = (StoreOptions::PAGE_BLOCKS_MAX * layout.index_bytes()) as u64;
        let looked_at = search_threads() as u64 * page;
        let least = looked_at + INDEX_BYTES_MIN;
        let left = r.ram_bytes_max.map_or(u64::MAX, |max| max.saturating_sub(self.ram.total()));
        self.ram.index = r.index_bytes.min(left).max(least);
        self.index_resident_bytes = self.ram.index - looked_at;
    }

    fn ram_plan(&self, card: &Card) -> RamPlan {
        let per_token = card.geometry(BLOCK_TOKENS).f32_bytes_per_token() as u64;
        let block = per_token * BLOCK_TOKENS as u64;
        // One step's largest tensors: attention scores of all heads, the feed-forward layer, a
        // tile of the vocabulary, and each layer's un-rotated keys.
        let step = self.chunk_tokens
            * (card.heads * self.capacity_tokens
                + 3 * card.ffn
                + 8 * card.hidden
                + 8192
                + card.layers * card.kv_heads * card.head_dim);
        RamPlan {
            weights: weight_bytes(card, self.weights),
            window: self.capacity_tokens as u64 * per_token / 2 * 3,
            engine: ENGINE_BASE_BYTES + 4 * step as u64,
            index: 0,
            catalogue: CATALOGUE_BYTES,
            queue: (SPILL_QUEUE_BLOCKS as u64 + 4) * block,
            map: MAP_BYTES,
            gist: self.gist_bytes(card),
        }
    }

    /// The source's state and a question's, each with the next one; the beacons of a fold; the
    /// graph's weights and its scratch.
    fn gist_bytes(&self, card: &Card) -> u64 {
        let (Some(memory), 1..) = (&card.memory, self.gist_tokens) else { return 0 };
        let (g, p) = memory.gist.map_or((0, 0), |g| (g.slots, g.width));
        let (a, e) = (memory.address.map_or(0, |a| a.dim), 2 * card.head_dim);
        let weights = g * (e + p) + e * (2 * p + e + 3) + a * p + 1;
        let scratch = self.fold_tokens * (e + 2 * p + 2 * g) + 8 * g * e;
        let rows = 4 * self.gist_tokens + self.fold_tokens;
        let heads = card.layers * card.kv_heads;
        (heads * (weights + scratch + rows * e) * size_of::<f32>()) as u64
    }

    fn check_ram(&self, card: &Card, r: &Request) -> Result<(), PlanError> {
        let (need, Some(limit)) = (self.ram.total(), r.ram_bytes_max) else { return Ok(()) };
        if need <= limit {
            return Ok(());
        }
        let int4 = need - self.ram.weights + weight_bytes(card, WeightKind::Int4);
        let rest = need - self.ram.weights;
        let hint = if self.weights != WeightKind::Int4 && int4 <= limit {
            format!("--weights int4 would need {} MiB", int4 >> 20)
        } else {
            format!(
                "weights take {} MiB and everything else {} MiB; try --weights int4, a smaller \
                 --window or --chunk, or a smaller model",
                self.ram.weights >> 20,
                rest >> 20
            )
        };
        Err(PlanError::Ram { need, limit, hint })
    }

    /// The window's sizes.
    #[must_use]
    pub const fn window_sizes(&self) -> WindowSizes {
        WindowSizes {
            window_tokens: self.window_tokens,
            chunk_tokens: self.chunk_tokens,
            memory_tokens_max: self.memory_tokens_max,
        }
    }
}

/// Most beacons of one step: those of a full chunk at the finest ratio, and one more a block.
fn beacon_rows(card: &Card, r: &Request) -> usize {
    let finest = card.memory.as_ref().and_then(|m| m.beacons.first().copied());
    match finest {
        Some(finest) if r.condensed_tokens + r.gist_tokens > 0 => {
            r.chunk_tokens.div_ceil(usize::from(finest).max(1))
                + r.chunk_tokens.div_ceil(BLOCK_TOKENS_MIN)
        }
        _ => 0,
    }
}

/// Most beacons of one fold: as many as a step makes, and at least those of a block.
fn fold_beacons(card: &Card, r: &Request) -> usize {
    let finest = card.memory.as_ref().and_then(|m| m.beacons.first().copied());
    match finest {
        Some(finest) if r.gist_tokens > 0 => {
            beacon_rows(card, r).max(BLOCK_TOKENS.div_ceil(usize::from(finest).max(1)))
        }
        _ => 0,
    }
}

/// Bytes on disk for one token of a full block.
#[must_use]
pub fn store_bytes_per_token(card: &Card, layout: AddressLayout, kv: KvDtype) -> u64 {
    let g = card.geometry(BLOCK_TOKENS);
    let block = payload_bytes(kv, g, BLOCK_TOKENS) + layout.encoded_bytes_max() + 512;
    (block / BLOCK_TOKENS) as u64 + 12
}

#[cfg(test)]
mod tests {
    use super::*;
    use lcedge_targets::Engine;
    use lcedge_targets::fake::{FakeConfig, FakeEngine};

    const LAYOUT: AddressLayout = AddressLayout { heads: 1, vectors_max: 64, dim: 16 };

    fn request() -> Request {
        Request {
            window_tokens: 512,
            chunk_tokens: 128,
            sink_tokens: 4,
            condensed_tokens: 0,
            gist_tokens: 0,
            stale_blocks: 2,
            ask_recall_tokens: 256,
            question_tokens_max: 256,
            answer_tokens_max: 256,
            kv: KvDtype::Int8,
            threads: 1,
            ram_bytes_max: None,
            index_bytes: 2 << 20,
        }
    }

    fn card() -> Card {
        let config = FakeConfig { context: 2048, positions: 4096, ..FakeConfig::default() };
        FakeEngine::random(&config, 1, 8).card().clone()
    }

    #[test]
    fn sizes_follow_from_the_request() {
        let p = Plan::new(&card(), LAYOUT, &request()).unwrap();
        assert_eq!(p.recent_tokens_max, 512 - 4 - 128);
        assert_eq!(p.memory_tokens_max, 260);
        assert_eq!(p.capacity_tokens, 260 + 64 + 256 + 256, "more than window and chunk");
        let per_slot = card().geometry(64).values_per_token() as u64 * 3 * 4;
        assert_eq!(p.ram.window, p.capacity_tokens as u64 * per_slot);
        let parts = [p.ram.weights, p.ram.engine, p.ram.index, p.ram.catalogue, p.ram.queue];
        assert_eq!(p.ram.total(), parts.iter().sum::<u64>() + p.ram.window + p.ram.map);
    }

    #[test]
    fn the_index_gets_what_is_left() {
        let want = |index_bytes, ram_bytes_max| {
            Plan::new(&card(), LAYOUT, &Request { index_bytes, ram_bytes_max, ..request() })
        };
        let free = want(100 << 20, None).unwrap();
        assert_eq!(free.ram.index, 100 << 20);
        let pages = free.ram.index - free.index_resident_bytes;
        assert!(pages >= 256 * LAYOUT.index_bytes() as u64, "a page for each thread");
        let limit = free.ram.total() - (60 << 20);
        let tight = want(100 << 20, Some(limit)).unwrap();
        assert_eq!((tight.ram.index, tight.ram.total()), (40 << 20, limit));
        assert_eq!(tight.index_resident_bytes, (40 << 20) - pages);
        let least = want(0, None).unwrap().ram.total();
        assert_eq!(want(100 << 20, Some(least)).unwrap().ram.total(), least);
        assert!(matches!(want(0, Some(least - 1)), Err(PlanError::Ram { .. })));
    }

    #[test]
    fn a_gist_is_planned() {
        let memory = lcedge_models::TrainedMemory {
            name: String::new(),
            hash: String::new(),
            system: String::new(),
            absent: String::new(),
            address: None,
            beacons: vec![4, 8],
            gist: Some(lcedge_models::GistShape { slots: 32, width: 8 }),
        };
        let card = Card { memory: Some(memory), ..card() };
        let none = Plan::new(&card, LAYOUT, &request()).unwrap();
        assert_eq!((none.gist_tokens, none.fold_tokens, none.ram.gist), (0, 0, 0));
        let p = Plan::new(&card, LAYOUT, &Request { gist_tokens: 32, ..request() }).unwrap();
        assert_eq!(p.recent_tokens_max, none.recent_tokens_max - 32);
        assert_eq!(p.memory_tokens_max, none.memory_tokens_max + 32);
        // A beacon for every four tokens of a chunk, and one more for each of six blocks.
        assert_eq!(p.fold_tokens, 128 / 4 + 6);
        let state = 2 * 32 * card.geometry(64).f32_bytes_per_token() as u64;
        assert!(p.ram.gist > 2 * state, "{}", p.ram.gist);
    }

    #[test]
    fn what_cannot_fit_is_refused_with_what_would() {
        let refuse = |r: Request| Plan::new(&card(), LAYOUT, &r).unwrap_err();
        assert!(matches!(
            refuse(Request { window_tokens: 100, ..request() }),
            PlanError::Bounds { what: "the window", .. }
        ));
        assert!(matches!(
            refuse(Request { stale_blocks: 7, ..request() }),
            PlanError::Recent { recent: 60, .. }
        ));
        assert!(matches!(
            refuse(Request { window_tokens: 2048, ..request() }),
            PlanError::Context { tokens: 2176, .. }
        ));
        let e = refuse(Request { ram_bytes_max: Some(1 << 20), ..request() });
        assert!(matches!(e, PlanError::Ram { limit: 1_048_576, .. }), "{e}");
    }
}
