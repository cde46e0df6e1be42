//! One token a byte: the codec of these tests, and a small world to run them in.

use std::path::Path;
use std::sync::Arc;

use lcedge::finder::Finder;
use lcedge::session::{Access, Parts, Session};
use lcedge::text::{Codec, CodecError, Encoded, Turn};
use lcedge::{Plan, Request, SessionConfig};
use lcedge_compress::Addresser;
use lcedge_compress::address::{AddressHead, Background};
use lcedge_memory::{AddressLayout, KvDtype, Reader, Store, StoreOptions};
use lcedge_models::{GistShape, TrainedAddress, TrainedMemory};
use lcedge_targets::Engine;
use lcedge_targets::fake::{FakeConfig, FakeEngine};

pub(crate) struct Bytes;

impl Codec for Bytes {
    fn encode(&self, text: &[u8]) -> Result<Encoded, CodecError> {
        Ok(Encoded {
            ids: text.iter().map(|&b| u32::from(b)).collect(),
            ends: (1..).take(text.len()).collect(),
            ..Encoded::default()
        })
    }

    /// Letters as they are, every other token as a letter of its own.
    fn decode(&self, ids: &[u32]) -> String {
        let letter = |&i: &u32| match char::from_u32(i) {
            Some(c) if c.is_ascii_alphanumeric() => c,
            _ => char::from_u32(0x4E00 + i).unwrap_or('?'),
        };
        ids.iter().map(letter).collect()
    }

    fn turn(&self, question: &str) -> Result<Turn, CodecError> {
        let mut ids = vec![260];
        ids.extend(question.bytes().map(u32::from));
        ids.push(261);
        let question = 1..ids.len() - 1;
        Ok(Turn { ids, question })
    }

    fn sinks(&self) -> &[u32] {
        &[256, 257, 258, 259]
    }

    fn ends_answer(&self, id: u32) -> bool {
        id == 300
    }
}

/// Sizes of a session in these tests.
#[derive(Clone, Copy)]
pub(crate) struct World {
    pub(crate) window: usize,
    pub(crate) chunk: usize,
    pub(crate) stale: usize,
    pub(crate) kv: KvDtype,
    /// A model with a trained memory: an address and beacons.
    pub(crate) trained: bool,
    /// And a gist of 8 slots beside.
    pub(crate) gist: bool,
    pub(crate) config: SessionConfig,
}

impl Default for World {
    fn default() -> Self {
        Self {
            window: 512,
            chunk: 96,
            stale: 2,
            kv: KvDtype::F16,
            trained: false,
            gist: false,
            config: SessionConfig { confidence_min: 0.0, ..SessionConfig::default() },
        }
    }
}

pub(crate) fn engine(capacity: usize) -> FakeEngine {
    let config = FakeConfig { context: 4096, positions: 8192, ..FakeConfig::default() };
    FakeEngine::random(&config, 11, capacity)
}

/// The same with a trained memory of random weights.
pub(crate) fn trained_engine(capacity: usize) -> FakeEngine {
    trained_with(None, capacity)
}

/// The same with a gist of 8 slots beside: all other weights are equal.
pub(crate) fn gist_engine(capacity: usize) -> FakeEngine {
    trained_with(Some(GistShape { slots: 8, width: 6 }), capacity)
}

fn trained_with(gist: Option<GistShape>, capacity: usize) -> FakeEngine {
    let address = TrainedAddress { layer: 1, dim: 16, keys: 4, segment_tokens: 16 };
    let memory = TrainedMemory {
        name: "random".into(),
        hash: String::new(),
        system: "Answer from memory.".into(),
        absent: "Not in memory.".into(),
        address: Some(address),
        beacons: vec![4, 8, 16, 32],
        gist,
    };
    let config = FakeConfig {
        context: 4096,
        positions: 8192,
        memory: Some(memory),
        ..FakeConfig::default()
    };
    FakeEngine::random(&config, 11, capacity)
}

pub(crate) fn addresser() -> Addresser {
    let card = engine(8).card().clone();
    let heads = [AddressHead { layer: 1, kv_head: 0, weight: 1.0 }];
    let g = card.geometry(64);
    Addresser::new(g, card.heads, &card.query_layers, &heads, &Background::default()).unwrap()
}

pub(crate) fn options() -> StoreOptions {
    let card = engine(8).card().clone();
    StoreOptions::new([7; 32], card.geometry(64), addresser().layout())
}

impl World {
    pub(crate) fn plan(&self, layout: AddressLayout) -> Plan {
        let request = Request {
            window_tokens: self.window,
            chunk_tokens: self.chunk,
            sink_tokens: 4,
            condensed_tokens: if self.config.memory.condenses(self.trained) { 48 } else { 0 },
            gist_tokens: if self.config.memory.folds(self.gist) { 8 } else { 0 },
            stale_blocks: self.stale,
            ask_recall_tokens: 256,
            question_tokens_max: 256,
            answer_tokens_max: 64,
            kv: self.kv,
            threads: 1,
            ram_bytes_max: None,
            index_bytes: 0,
        };
        let engine = self.engine(8);
        Plan::new(engine.card(), layout, &request).unwrap()
    }

    pub(crate) fn engine(&self, capacity: usize) -> FakeEngine {
        match (self.trained, self.gist) {
            (false, _) => engine(capacity),
            (true, false) => trained_engine(capacity),
            (true, true) => gist_engine(capacity),
        }
    }

    /// A session without a store.
    pub(crate) fn without_store(&self) -> Session {
        self.with(None)
    }

    /// A session over a store in `dir`, as its writer.
    pub(crate) fn open(&self, dir: &Path) -> Session {
        self.over(Access::Write(Box::new(Store::open(dir, &self.options()).unwrap())))
    }

    /// The same as one of its readers.
    pub(crate) fn open_to_ask(&self, dir: &Path) -> Session {
        self.over(Access::Read(Reader::open(dir, &self.options()).unwrap()))
    }

    pub(crate) fn options(&self) -> StoreOptions {
        StoreOptions { address: self.finder().layout(), ..options() }
    }

    fn finder(&self) -> Finder {
        let t = trained_engine(8).card().memory.as_ref().and_then(|m| m.address).unwrap();
        let (dim, keys, segment_tokens) = (t.dim, t.keys, t.segment_tokens);
        match self.trained {
            true => Finder::Trained(lcedge_compress::TrainedAddress { dim, keys, segment_tokens }),
            false => Finder::Heads(addresser()),
        }
    }

    fn over(&self, store: Access) -> Session {
        self.with(Some(store))
    }

    fn with(&self, store: Option<Access>) -> Session {
        let parts = self.parts_with(store);
        let plan = self.plan(self.finder().layout());
        Session::open(parts, plan, self.config).unwrap()
    }

    /// What a session over a store in `dir` is made of.
    pub(crate) fn parts(&self, dir: &Path) -> Parts {
        self.parts_with(Some(Access::Write(Box::new(Store::open(dir, &self.options()).unwrap()))))
    }

    fn parts_with(&self, store: Option<Access>) -> Parts {
        let finder = Arc::new(self.finder());
        let slots = self.plan(finder.layout()).capacity_tokens;
        Parts {
            engine: Box::new(self.engine(slots)),
            codec: Arc::new(Bytes),
            store,
            finder: Some(finder),
        }
    }
}

/// A log of `lines` lines; line `n` says so.
pub(crate) fn log(lines: usize) -> String {
    (1..=lines).map(|n| format!("{n:04} host{} job {} ok\n", n % 7, n * 37 % 101)).collect()
}
