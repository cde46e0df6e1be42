//! The engine that runs the decoder's graph in ONNX Runtime.
//!
//! The window's rotated keys and values are bound both as `past.*` and as `present.*`: attention
//! reads the valid slots and appends the new ones in the same memory. Canonical keys come out of
//! `key.*` and are copied to their slots after each step.

use std::ops::Range;
use std::path::{Path, PathBuf};

use lcedge_memory::{KvBuf, KvView};
use lcedge_models::{Card, Prepared, TrainedAddress};
use ort::session::{RunOptions, Session};

use super::abilities::{self, AbilityError};
use super::beacons::Beacons;
use super::bind::BoundWindow;
use super::gist::Recurrent;
use super::opening::{Opening, weights_bytes};
use super::provider::{self, Cpu, Cuda, Provider};
use super::runtime::{Runtime, RuntimeError};
use super::session::Setup;
use super::tensor::{Call, HostMemory, Lent, Tensor};
use crate::choose::{self, Choice, Device, DeviceAsk, DeviceError};
use crate::engine::{Engine, EngineMemory, SlotError, StepError, StepInput, StepOutput};
use crate::gist::{Fold, FoldError, GistState};
use crate::rope::Rope;
use crate::window::{Plane, Window};

/// Whether the window can live on a GPU. Not yet: it is host memory, and a provider on a GPU copies
/// it there and back in each step.
pub(super) const WINDOW_ON_DEVICE: bool = false;

/// Whether packed matrices are kept on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Packing {
    /// Matrices are packed into memory each time the engine is loaded.
    #[default]
    InMemory,
    /// They are packed once, into a folder beside the graph, and mapped from there: loading is
    /// several times as fast, and the weights are pages of a file, which the system can give away,
    /// instead of memory of the process. Costs about twice the size of the weights on disk. Kept
    /// only where they were seen to give the same results; matrices of 8- and 4-bit blocks are
    /// always packed in memory.
    BesideGraph,
    /// They are packed once, into a folder under this one.
    Under(PathBuf),
}

/// How an engine is set up.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Slots of the window.
    pub capacity: usize,
    /// Threads that one operator uses.
    pub threads: usize,
    /// Whether idle threads spin for a while before they sleep: faster between short steps, and
    /// costs processor time.
    pub spin: bool,
    /// Whether scratch memory is kept from step to step.
    pub arena: bool,
    /// The device.
    pub device: DeviceAsk,
    /// Whether packed matrices are kept on disk.
    pub packing: Packing,
}

impl EngineOptions {
    /// A window of `capacity` slots and `threads` threads, otherwise as is usual.
    #[must_use]
    pub const fn new(capacity: usize, threads: usize) -> Self {
        Self {
            capacity,
            threads,
            spin: true,
            arena: true,
            device: DeviceAsk::Auto,
            packing: Packing::InMemory,
        }
    }
}

/// Why an engine could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The library does not start.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The library lacks something that the graph needs.
    #[error(transparent)]
    Ability(#[from] AbilityError),
    /// The device asked for is not there.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The library refuses the graph.
    #[error("{} under ONNX Runtime {version}: {message}{hint}", path.display())]
    Graph {
        /// The graph.
        path: PathBuf,
        /// Version of the library.
        version: String,
        /// What it says.
        message: String,
        /// What to do, or nothing.
        hint: String,
    },
    /// The graph is not one that this engine runs.
    #[error("{} has no {kind} {name:?}; prepare the model again", path.display())]
    Missing {
        /// The graph.
        path: PathBuf,
        /// `input` or `output`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
}

/// Inputs before the layers' `past.*`.
const SMALL_INPUTS: [&str; 7] = [
    "input_ids",
    "position_ids",
    "seqlens_k",
    "total_sequence_length",
    "rows",
    "score_rows",
    "targets",
];

/// Inputs of a graph with beacons, behind them.
const BEACON_INPUTS: [&str; 5] = [
    "beacon_ratio",
    "beacon_position_ids",
    "beacon_seqlens_k",
    "beacon_total_sequence_length",
    "beacon_attention_bias",
];

/// A decoder run by ONNX Runtime, with its window in host memory.
pub struct OrtEngine {
    card: Card,
    session: Session,
    options: RunOptions,
    host: HostMemory,
    call: Call,
    /// Bound as `past.{l}.key`, `past.{l}.value` of each layer, and as `present.*`.
    bound: BoundWindow,
    feed: Feed,
    /// Inputs and keys of beacons, where the model has them.
    beacons: Option<Beacons>,
    /// `key.{l}` of each layer, `[1, S, kv_heads * head_dim]`.
    keys: Vec<Lent<f32>>,
    /// `query.{l}` of each of the card's query layers, `[1, S, heads * head_dim]`.
    queries: Vec<Lent<f32>>,
    /// `memory_key` and `memory_query` of a trained address, `[1, S, dim + 1]`.
    address: Option<[Lent<f32>; 2]>,
    /// Folds, where the model has a gist.
    recurrent: Option<Recurrent>,
    weights_bytes: u64,
    device: Device,
    reason: String,
    packed: Option<Result<PathBuf, String>>,
}

impl std::fmt::Debug for OrtEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OrtEngine")
            .field("model", &self.card.name)
            .field("device", &self.device)
            .field("capacity", &self.bound.window().capacity())
            .field("len", &self.bound.window().len())
            .finish_non_exhaustive()
    }
}

/// The small inputs of one step.
#[derive(Debug)]
struct Feed {
    /// `input_ids`, `position_ids` `[1, S]`; `rows` `[R]`; `score_rows`, `targets` `[Q]`.
    ids: Lent<i64>,
    positions: Lent<i64>,
    rows: Lent<i64>,
    score_rows: Lent<i64>,
    targets: Lent<i64>,
    /// `[1]`, valid slots after the step less one.
    seqlens: Lent<i32>,
    /// A scalar, valid slots after the step.
    total: Lent<i32>,
}

impl OrtEngine {
    /// Loads the graph at `graph` of the model that `card` describes.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn open(
        runtime: &Runtime,
        graph: &Path,
        card: Card,
        options: &EngineOptions,
    ) -> Result<Self, LoadError> {
        abilities::check(runtime.version(), card.weights, has_beacons(&card))?;
        let there = provider::available(&runtime.library().path, Path::new("/"));
        let choice = choose::choose(options.device, &there)?;
        let provider: Box<dyn Provider> = match choice.device {
            Device::Cpu => Box::new(Cpu { arena: options.arena }),
            Device::Cuda => Box::new(Cuda { index: 0, memory_bytes_max: None }),
            Device::TensorRt => {
                return Err(LoadError::Device(DeviceError {
                    device: Device::TensorRt,
                    missing: "this graph is of the fused flavour, which TensorRT does not take"
                        .to_owned(),
                    advice: choose::advice(Device::TensorRt),
                }));
            }
        };
        let opening = Opening {
            runtime,
            graph,
            card: &card,
            provider: provider.as_ref(),
            setup: Setup { threads: options.threads, spin: options.spin },
        };
        let (session, packed) = opening.session(&options.packing)?;
        let recurrent = Recurrent::open(&opening)?;
        let engine = Self::assemble(&opening, session, options.capacity, choice, packed)?;
        Ok(Self { recurrent, ..engine })
    }

    /// An engine around a session of the graph.
    pub(super) fn assemble(
        opening: &Opening<'_>,
        session: Session,
        capacity: usize,
        choice: Choice,
        packed: Option<Result<PathBuf, String>>,
    ) -> Result<Self, LoadError> {
        let (graph, card) = (opening.graph, opening.card);
        let (inputs, outputs) = names(card);
        check_names(graph, &session, &inputs, &outputs)?;
        let rope = Rope::new(card.head_dim, card.rope_theta, card.positions);
        let window = Window::new(card.geometry(64), capacity, rope);
        let bind = || -> Result<_, ort::Error> {
            let host = HostMemory::of(&session)?;
            let bound = BoundWindow::new(&host, window, card)?;
            Ok((host, bound, RunOptions::new()?, Call::new(&inputs, &outputs)?))
        };
        let (host, bound, options, call) = bind().map_err(|e| opening.failed(&e))?;
        Ok(Self {
            keys: (0..card.layers).map(|_| Lent::new()).collect(),
            queries: card.query_layers.iter().map(|_| Lent::new()).collect(),
            address: address(card).map(|_| [Lent::new(), Lent::new()]),
            recurrent: None,
            weights_bytes: weights_bytes(graph),
            card: card.clone(),
            session,
            options,
            host,
            call,
            bound,
            feed: Feed::new(),
            beacons: has_beacons(card).then(|| Beacons::new(card.layers)),
            device: choice.device,
            reason: choice.reason,
            packed,
        })
    }

    /// Loads a prepared model.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(
        runtime: &Runtime,
        prepared: &Prepared,
        options: &EngineOptions,
    ) -> Result<Self, LoadError> {
        Self::open(runtime, &prepared.graph, prepared.card.clone(), options)
    }

    /// The key of a slot as attention sees it, `[head_dim]`, rotated to its position.
    ///
    /// # Panics
    /// When there is no such layer, key/value head or slot.
    #[must_use]
    pub fn rotated_key(&self, layer: usize, kv_head: usize, slot: usize) -> &[f32] {
        let keys = self.bound.window().head(Plane::Rotated, layer, kv_head, slot + 1);
        &keys[slot * self.card.head_dim..]
    }

    /// Where the packed matrices lie, or why they are not kept; `None` when that was not asked for.
    #[must_use]
    pub fn packed(&self) -> Option<Result<&Path, &str>> {
        self.packed.as_ref().map(|p| p.as_ref().map(PathBuf::as_path).map_err(String::as_str))
    }

    fn run(&mut self, input: &StepInput<'_>, out: &mut StepOutput) -> Result<(), ort::Error> {
        let (rows, card) = (input.tokens.len(), &self.card);
        self.feed.fill(&self.host, input, self.bound.window().len())?;
        let width = (card.kv_heads * card.head_dim) as i64;
        for key in &mut self.keys {
            key.reshape(&self.host, &[1, rows as i64, width])?;
        }
        let width = (card.heads * card.head_dim) as i64;
        let asked = if input.queries { self.queries.len() } else { 0 };
        for query in &mut self.queries[..asked] {
            query.reshape(&self.host, &[1, rows as i64, width])?;
        }
        let width = address(card).map_or(0, |a| a.dim as i64 + 1);
        let addresses = self.address.as_mut().map_or(&mut [][..], |a| a);
        for vectors in addresses.iter_mut().filter(|_| input.memory) {
            vectors.reshape(&self.host, &[1, rows as i64, width])?;
        }
        if let Some(beacons) = &mut self.beacons {
            beacons.fill(&self.host, input, self.bound.window().len(), card)?;
        }
        out.logits.resize(input.logit_rows.len() * card.vocab, 0.0);
        out.logprobs.resize(input.score_rows.len(), 0.0);
        let shape = [input.logit_rows.len() as i64, card.vocab as i64];
        let logits = Tensor::over(&self.host, &mut out.logits, &shape)?;
        let shape = [input.score_rows.len() as i64];
        let logprobs = Tensor::over(&self.host, &mut out.logprobs, &shape)?;

        let window = self.bound.lend();
        let (feed, own_keys, again) = match &mut self.beacons {
            Some(beacons) => {
                let (feed, keys) = beacons.lend();
                (Some(feed), keys, window)
            }
            None => (None, &mut [][..], &[][..]),
        };
        let inputs = self.feed.lend().into_iter().chain(feed.into_iter().flatten());
        let inputs = inputs.chain(window.iter().map(Some)).map(|t| t.map(Tensor::input));
        // The beacons' attention writes behind the ordinary rows in the same memory.
        let outputs = window.iter().chain(again).map(Some);
        let outputs = outputs.chain(self.keys.iter_mut().map(Lent::lend));
        let outputs = outputs.chain(own_keys.iter_mut().map(Lent::lend));
        let outputs = outputs.chain([Some(&logits), Some(&logprobs)]);
        let queries = self.queries.iter_mut().map(Lent::lend);
        let outputs = outputs.chain(queries.map(|q| q.filter(|_| input.queries)));
        let addresses = addresses.iter_mut().map(Lent::lend);
        let outputs = outputs.chain(addresses.map(|a| a.filter(|_| input.memory)));
        self.call.run(&mut self.session, &self.options, inputs, outputs)
    }
}

impl Feed {
    fn new() -> Self {
        Self {
            ids: Lent::new(),
            positions: Lent::new(),
            rows: Lent::new(),
            score_rows: Lent::new(),
            targets: Lent::new(),
            seqlens: Lent::new(),
            total: Lent::new(),
        }
    }

    /// Copies one step's input, which was checked, behind `len` valid slots.
    fn fill(
        &mut self,
        host: &HostMemory,
        input: &StepInput<'_>,
        len: usize,
    ) -> Result<(), ort::Error> {
        let (tokens, scored) = (input.tokens.len() as i64, input.score_rows.len() as i64);
        self.ids.reshape(host, &[1, tokens])?;
        self.positions.reshape(host, &[1, tokens])?;
        self.rows.reshape(host, &[input.logit_rows.len() as i64])?;
        self.score_rows.reshape(host, &[scored])?;
        self.targets.reshape(host, &[scored])?;
        self.seqlens.reshape(host, &[1])?;
        self.total.reshape(host, &[])?;
        for (lent, values) in [
            (&mut self.ids, input.tokens),
            (&mut self.rows, input.logit_rows),
            (&mut self.score_rows, input.score_rows),
            (&mut self.targets, input.score_targets),
        ] {
            for (to, &value) in lent.values_mut().iter_mut().zip(values) {
                *to = i64::from(value);
            }
        }
        for (to, &position) in self.positions.values_mut().iter_mut().zip(input.positions) {
            *to = i64::from(position);
        }
        // Slots of a window are far below 2^31.
        let total = (len + input.tokens.len()) as i32;
        self.seqlens.values_mut()[0] = total - 1;
        self.total.values_mut()[0] = total;
        Ok(())
    }

    /// In the order of [`SMALL_INPUTS`].
    fn lend(&mut self) -> [Option<&Tensor<'_>>; SMALL_INPUTS.len()] {
        [
            self.ids.lend(),
            self.positions.lend(),
            self.seqlens.lend(),
            self.total.lend(),
            self.rows.lend(),
            self.score_rows.lend(),
            self.targets.lend(),
        ]
    }

    const fn bytes(&self) -> usize {
        self.ids.bytes()
            + self.positions.bytes()
            + self.rows.bytes()
            + self.score_rows.bytes()
            + self.targets.bytes()
    }
}

impl Engine for OrtEngine {
    fn card(&self) -> &Card {
        &self.card
    }

    fn capacity(&self) -> usize {
        self.bound.window().capacity()
    }

    fn len(&self) -> usize {
        self.bound.window().len()
    }

    fn step(&mut self, input: &StepInput<'_>, out: &mut StepOutput) -> Result<(), StepError> {
        let len = self.bound.window().len();
        input.check(&self.card, len, self.bound.window().capacity())?;
        self.run(input, out).map_err(|e| StepError::Backend(e.to_string()))?;
        out.queries.clear();
        if input.queries {
            self.queries.iter().for_each(|q| out.queries.extend_from_slice(q.values()));
        }
        let wanted = self.address.as_ref().filter(|_| input.memory);
        for (i, to) in [&mut out.memory_keys, &mut out.memory_queries].into_iter().enumerate() {
            to.clear();
            to.extend_from_slice(wanted.map_or(&[], |a| a[i].values()));
        }
        let window = self.bound.window_mut();
        for (layer, key) in self.keys.iter().enumerate() {
            window.write_rows(Plane::Canonical, layer, len, key.values());
        }
        let behind = len + input.tokens.len();
        for (layer, key) in self.beacons.iter().flat_map(|b| b.keys.iter().enumerate()) {
            window.write_rows(Plane::Canonical, layer, behind, key.values());
        }
        let len = behind + input.beacons.len();
        window.set_len(len).map_err(|e| StepError::Backend(e.to_string()))
    }

    fn place(&mut self, slot: usize, positions: &[i32], kv: KvView<'_>) -> Result<(), SlotError> {
        self.bound.window_mut().place(slot, positions, kv)
    }

    fn read(&mut self, slots: Range<usize>, out: &mut KvBuf) -> Result<(), SlotError> {
        self.bound.window().read(slots, out)
    }

    fn rotate(&mut self, slots: Range<usize>, first_position: i32) -> Result<(), SlotError> {
        self.bound.window_mut().rotate(slots, first_position)
    }

    fn move_slots(&mut self, from: Range<usize>, to: usize) -> Result<(), SlotError> {
        self.bound.window_mut().move_slots(from, to)
    }

    fn set_len(&mut self, len: usize) -> Result<(), SlotError> {
        self.bound.window_mut().set_len(len)
    }

    fn fold(&mut self, fold: &Fold<'_>, state: &mut GistState) -> Result<(), FoldError> {
        fold.check(&self.card, state)?;
        match &mut self.recurrent {
            Some(recurrent) => recurrent.fold(&self.card, fold, state),
            None => Err(FoldError::NoGist { model: self.card.name.clone() }),
        }
    }

    fn usage(&self) -> EngineMemory {
        let lent = self.keys.iter().chain(&self.queries);
        let lent = lent.chain(self.address.iter().flatten()).map(Lent::bytes).sum::<usize>()
            + self.beacons.as_ref().map_or(0, Beacons::bytes);
        let window = self.bound.window();
        EngineMemory {
            weights_bytes: self.weights_bytes,
            window_bytes: window.bytes() as u64,
            scratch_bytes: (lent + self.feed.bytes() + window.rope().bytes()) as u64,
        }
    }

    fn device(&self) -> (&str, &str) {
        (self.device.name(), &self.reason)
    }
}

/// Names of the graph's inputs and outputs, in the order that [`OrtEngine`] binds them.
fn names(card: &Card) -> (Vec<String>, Vec<String>) {
    let caches = |which: &str| -> Vec<String> {
        let layer = |l| [format!("{which}.{l}.key"), format!("{which}.{l}.value")];
        (0..card.layers).flat_map(layer).collect()
    };
    let mut inputs: Vec<String> = SMALL_INPUTS.map(str::to_owned).to_vec();
    let mut outputs = caches("present");
    let keys = |which: &'static str| (0..card.layers).map(move |l| format!("{which}.{l}"));
    if has_beacons(card) {
        inputs.extend(BEACON_INPUTS.map(str::to_owned));
        outputs.extend(caches("beacon_present"));
    }
    inputs.extend(caches("past"));
    outputs.extend(keys("key"));
    outputs.extend(keys("beacon_key").filter(|_| has_beacons(card)));
    outputs.extend(["logits", "token_logprob"].map(str::to_owned));
    outputs.extend(card.query_layers.iter().map(|l| format!("query.{l}")));
    if address(card).is_some() {
        outputs.extend(["memory_key", "memory_query"].map(str::to_owned));
    }
    (inputs, outputs)
}

/// Whether a model has beacons.
pub(super) fn has_beacons(card: &Card) -> bool {
    card.memory.as_ref().is_some_and(|m| !m.beacons.is_empty())
}

/// The trained address of a model, where it has one.
fn address(card: &Card) -> Option<TrainedAddress> {
    card.memory.as_ref().and_then(|m| m.address)
}

pub(super) fn check_names(
    graph: &Path,
    session: &Session,
    inputs: &[String],
    outputs: &[String],
) -> Result<(), LoadError> {
    for (kind, wanted, there) in
        [("input", inputs, session.inputs()), ("output", outputs, session.outputs())]
    {
        if let Some(name) = wanted.iter().find(|n| there.iter().all(|o| o.name() != n.as_str())) {
            return Err(LoadError::Missing { path: graph.to_path_buf(), kind, name: name.clone() });
        }
    }
    Ok(())
}
