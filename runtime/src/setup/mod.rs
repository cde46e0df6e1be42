//! From what a person asks for to an open session: model, library, engine, store, addresses.

mod error;
mod options;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lcedge_compress::{Addresser, Background, TrainedAddress};
use lcedge_memory::{AddressLayout, Reader, Store, StoreOptions};
use lcedge_models::fetch::{FetchOptions, Pip};
use lcedge_models::{
    Card, ModelSource, PrepareOptions, Prepared, Progress, WeightKind, default_cache_dir, prepare,
};
use lcedge_targets::Engine;
use lcedge_targets::ort::fetch::{download_bytes, fetch_library};
use lcedge_targets::ort::{EngineOptions, OrtEngine, OrtLibrary, Packing, Runtime, Search};
use lcedge_targets::probe::Machine;

use crate::codec::ModelCodec;
use crate::confidence::{STOCK, THRESHOLD, THRESHOLD_TRAINED, TRAINED};
use crate::config::SessionConfig;
use crate::finder::Finder;
use crate::limits::{BLOCK_TOKENS, SINK_TOKENS_DEFAULT};
use crate::plan::{Plan, PlanError, weight_bytes};
use crate::probes;
use crate::session::{Access, Parts, Session};
use crate::text::Codec;

pub use error::SetupError;
pub use options::SetupOptions;

/// What is being done, for a person who waits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetupEvent {
    /// What is done, and why.
    Note(String),
    /// A file is fetched.
    Download {
        /// What it is.
        what: String,
        /// Bytes so far.
        bytes: u64,
        /// Bytes in all.
        total: u64,
    },
    /// Something is prepared once.
    Prepare {
        /// What it is.
        what: String,
        /// How much is done.
        done: u64,
        /// How much there is.
        total: u64,
    },
    /// A step is done.
    Done(String),
}

/// What runs, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The model's name.
    pub model: String,
    /// How its weights are stored.
    pub weights: WeightKind,
    /// The device in use.
    pub device: String,
    /// Why it is in use.
    pub device_reason: String,
    /// Version of ONNX Runtime.
    pub ort_version: String,
    /// Where it was found.
    pub ort_path: PathBuf,
    /// How it was found.
    pub ort_reason: String,
    /// The store's folder.
    pub store: Option<PathBuf>,
    /// The model's identity, hex.
    pub fingerprint: String,
    /// Notes on the model and on how it was loaded.
    pub notes: Vec<String>,
}

/// An open session and what it runs on.
pub struct Ready {
    /// The session.
    pub session: Session,
    /// The model's files.
    pub prepared: Prepared,
    /// What runs, and why.
    pub report: Report,
}

/// Tells a person what is being done.
pub type Tell<'a> = &'a mut dyn FnMut(SetupEvent);

/// Where prepared models and the library are kept.
///
/// # Errors
/// [`SetupError::NoCache`] when no folder is given and there is none for this user.
pub fn cache_dir(options: &SetupOptions) -> Result<PathBuf, SetupError> {
    let default = || default_cache_dir(options.variable);
    options.cache.clone().or_else(default).ok_or(SetupError::NoCache)
}

/// The store of a user who names none.
#[must_use]
pub fn default_store_dir(variable: fn(&str) -> Option<std::ffi::OsString>) -> Option<PathBuf> {
    let set = |name| variable(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let data = set("XDG_DATA_HOME").or_else(|| Some(set("HOME")?.join(".local/share")));
    data.map(|d| d.join("lcedge/store"))
}

fn fetch_options(options: &SetupOptions) -> FetchOptions {
    let pip = Pip::on_path((options.variable)("PATH"));
    FetchOptions { offline: options.offline, pip, cancel: options.cancel.clone() }
}

/// Finds the library or, where the network may be used, fetches it.
///
/// # Errors
/// [`SetupError::Library`] or [`SetupError::FetchLibrary`].
pub fn library(options: &SetupOptions, tell: Tell<'_>) -> Result<OrtLibrary, SetupError> {
    let data = cache_dir(options)?;
    let search = Search::from_environment(options.ort.as_deref(), Some(&data), &options.variable);
    let missing = match search.find() {
        Ok(found) => return Ok(found),
        Err(e) => e,
    };
    if options.offline || !search.given.is_empty() {
        return Err(missing.into());
    }
    let mib = download_bytes().map_or(0, |b| b >> 20);
    tell(SetupEvent::Note(format!(
        "ONNX Runtime is not on this machine: fetching it once with pip ({mib} MiB, MIT licence)"
    )));
    let found = fetch_library(&data, &fetch_options(options), &mut |bytes, total| {
        tell(SetupEvent::Download { what: "ONNX Runtime".to_owned(), bytes, total });
    })?;
    tell(SetupEvent::Done(format!("ONNX Runtime {} in {}", found.version, found.path.display())));
    Ok(found)
}

/// Prepares the model, or finds it prepared.
///
/// # Errors
/// [`SetupError::Resolve`] or [`SetupError::Prepare`].
pub fn model(
    options: &SetupOptions,
    kind: WeightKind,
    tell: Tell<'_>,
) -> Result<Prepared, SetupError> {
    let source = ModelSource::resolve(&options.model)?;
    let name = source.name();
    let prepare_options = PrepareOptions {
        weights: kind,
        query_layers: None,
        retrieval_heads: None,
        memory: options.trained_memory.clone(),
        cache_dir: cache_dir(options)?,
        fetch: fetch_options(options),
    };
    let mut announced = false;
    let prepared = prepare(&source, &prepare_options, &mut |p| match p {
        Progress::Waiting => {
            tell(SetupEvent::Note("another process is preparing a model; waiting".to_owned()));
        }
        Progress::Fetching { what, done, total } => {
            if !std::mem::replace(&mut announced, true) {
                let mib = total >> 20;
                tell(SetupEvent::Note(format!(
                    "fetching {what} once with pip ({mib} MiB, checked against its SHA-256)"
                )));
            }
            tell(SetupEvent::Download { what, bytes: done, total });
        }
        Progress::Building { done, total } => {
            tell(SetupEvent::Prepare { what: format!("preparing {name}"), done, total });
        }
        _ => {}
    })?;
    Ok(prepared)
}

/// The kind of weights to use: what was asked for, or `f32` where RAM allows and `int4` where not.
#[must_use]
pub fn choose_weights(options: &SetupOptions, machine: &Machine) -> (WeightKind, String) {
    if let Some(kind) = options.weights {
        return (kind, "asked for".to_owned());
    }
    let available = match machine.memory_bytes_available {
        0 => u64::MAX,
        n => n,
    };
    let limit = options.ram_bytes.unwrap_or(u64::MAX).min(available);
    // What the bundled model needs in f32 with a window of the default size.
    if limit >= F32_RAM_BYTES {
        (WeightKind::F32, "fastest to absorb with, and RAM allows".to_owned())
    } else {
        (WeightKind::Int4, format!("{} MiB of RAM do not allow f32", limit >> 20))
    }
}

const F32_RAM_BYTES: u64 = 1600 << 20;

/// The trained address of a card, where it has one.
#[must_use]
pub fn trained_address(card: &Card) -> Option<TrainedAddress> {
    let a = card.memory.as_ref()?.address.as_ref()?;
    Some(TrainedAddress { dim: a.dim, keys: a.keys, segment_tokens: a.segment_tokens })
}

/// The layout of addresses of a card.
#[must_use]
pub fn address_layout(card: &Card) -> AddressLayout {
    if let Some(trained) = trained_address(card) {
        return trained.layout();
    }
    let small = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
    AddressLayout {
        heads: u8::try_from(card.retrieval_heads.len()).unwrap_or(u8::MAX),
        vectors_max: small(BLOCK_TOKENS),
        dim: small(card.head_dim),
    }
}

/// How the store of a model is opened.
#[must_use]
pub fn store_options(options: &SetupOptions, card: &Card) -> StoreOptions {
    let fingerprint = *blake3::hash(card.fingerprint.as_bytes()).as_bytes();
    let geometry = card.geometry(BLOCK_TOKENS);
    let mut store = StoreOptions::new(fingerprint, geometry, address_layout(card));
    store.disk_bytes_max = options.disk_bytes;
    store.sync = options.sync;
    store
}

fn threads(options: &SetupOptions, machine: &Machine) -> usize {
    options.threads.unwrap_or(machine.cores).max(1)
}

/// The plan for a card on this machine.
///
/// # Errors
/// [`SetupError::Plan`] with what does not fit.
pub fn plan_for(
    options: &SetupOptions,
    card: &Card,
    machine: &Machine,
) -> Result<Plan, SetupError> {
    let request = options.request(card, SINK_TOKENS_DEFAULT, threads(options, machine));
    Ok(Plan::new(card, address_layout(card), &request)?)
}

/// The plan, without loading anything but the model's card.
///
/// # Errors
/// [`SetupError`] when the model cannot be prepared or the sizes do not fit.
pub fn plan(options: &SetupOptions, tell: Tell<'_>) -> Result<(Plan, Prepared), SetupError> {
    let machine = Machine::read(Path::new("/"));
    let (kind, _) = choose_weights(options, &machine);
    let prepared = model(options, kind, tell)?;
    Ok((plan_for(options, &prepared.card, &machine)?, prepared))
}

/// Opens a session.
///
/// # Errors
/// [`SetupError`] says which part could not be had, and what to do.
pub fn open(options: &SetupOptions, tell: Tell<'_>) -> Result<Ready, SetupError> {
    let machine = Machine::read(Path::new("/"));
    let (kind, weights_reason) = choose_weights(options, &machine);
    let device = options.device.parse()?;
    let prepared = model(options, kind, tell)?;
    let card = prepared.card.clone();
    let plan = plan_for(options, &card, &machine)?;
    // The store first: what is wrong with it shows before the engine is loaded.
    let store = open_store(options, &card, &plan)?;
    let library = library(options, tell)?;
    let runtime = Runtime::load(&library)?;
    let capacity = plan.capacity_tokens.max(options.capacity_tokens.unwrap_or(0));
    let mut engine_options = EngineOptions::new(capacity, plan.threads);
    engine_options.device = device;
    engine_options.packing = Packing::BesideGraph;
    let engine = OrtEngine::open(&runtime, &prepared.graph, card.clone(), &engine_options)?;
    let mut notes = card.notes.clone();
    notes.push(format!("weights {kind:?}: {weights_reason}").to_lowercase());
    if let Some(Err(why)) = engine.packed() {
        notes.push(format!("packed weights are not kept: {why}"));
    }
    let tokenizer = prepared.load_tokenizer()?;
    let template = prepared.load_template(&tokenizer)?;
    let codec = ModelCodec::new(tokenizer, template.as_ref(), &card, plan.sink_tokens)?;
    let (finder, engine) = finder(&prepared, &codec, Box::new(engine), tell)?;
    let (device, device_reason) = engine.device();
    let report = Report {
        model: card.name.clone(),
        weights: kind,
        device: device.to_owned(),
        device_reason: device_reason.to_owned(),
        ort_version: library.version.to_string(),
        ort_path: library.path.clone(),
        ort_reason: library.reason.clone(),
        store: options.store.clone().filter(|_| options.memory.recalls()),
        fingerprint: card.fingerprint.clone(),
        notes,
    };
    let config = session_config(options, &card);
    let parts = Parts { engine, codec: Arc::new(codec), store, finder };
    let session = Session::open(parts, plan, config)?;
    Ok(Ready { session, prepared, report })
}

/// What a session is told for these options and this model.
fn session_config(options: &SetupOptions, card: &Card) -> SessionConfig {
    let default = SessionConfig::default();
    let (weights, threshold) = match card.memory {
        Some(_) => (TRAINED, THRESHOLD_TRAINED),
        None => (STOCK, THRESHOLD),
    };
    SessionConfig {
        memory: options.memory,
        recall: options.recall,
        surprise: options.surprise,
        condense: options.condense,
        ratio: options.ratio.unwrap_or(default.ratio),
        control: options.control,
        write_bytes_per_day: options.write_bytes_per_day,
        confidence_min: options.confidence_min.unwrap_or(threshold),
        confidence: weights,
        ..default
    }
}

/// Opens the store that the options name, where memory recalls.
fn open_store(
    options: &SetupOptions,
    card: &Card,
    plan: &Plan,
) -> Result<Option<Access>, SetupError> {
    let dir = options.store.as_ref().filter(|_| options.memory.recalls());
    let mut store = store_options(options, card);
    store.index_resident_max = Some(plan.index_resident_bytes);
    Ok(match dir {
        Some(dir) if options.read_only => Some(Access::Read(Reader::open(dir, &store)?)),
        Some(dir) => Some(Access::Write(Box::new(Store::open(dir, &store)?))),
        None => None,
    })
}

/// Opens a session anew over the parts of an earlier one: another store, other tiers, other sizes
/// as far as its engine has slots.
///
/// # Errors
/// [`SetupError`] when the sizes do not fit or the store cannot be opened.
pub fn reopen(parts: Parts, options: &SetupOptions) -> Result<Session, SetupError> {
    let card = parts.engine.card().clone();
    let plan = plan_for(options, &card, &Machine::read(Path::new("/")))?;
    let capacity = parts.engine.capacity();
    if plan.capacity_tokens > capacity {
        let (needed, found) = (plan.capacity_tokens, capacity);
        return Err(PlanError::Capacity { needed, found }.into());
    }
    let store = open_store(options, &card, &plan)?;
    let config = session_config(options, &card);
    Ok(Session::open(Parts { store, ..parts }, plan, config)?)
}

type Found = (Option<Arc<Finder>>, Box<dyn Engine>);

fn finder(
    prepared: &Prepared,
    codec: &dyn Codec,
    engine: Box<dyn Engine>,
    tell: Tell<'_>,
) -> Result<Found, SetupError> {
    let card = &prepared.card;
    if let Some(trained) = trained_address(card) {
        return Ok((Some(Arc::new(Finder::Trained(trained))), engine));
    }
    let heads = probes::address_heads(&card.retrieval_heads);
    if heads.is_empty() {
        return Ok((None, engine));
    }
    let (background, engine): (Background, _) = match probes::kept(&prepared.dir, &heads) {
        Some(kept) => (kept, engine),
        None => {
            let (made, engine) = probes::make(engine, codec, &heads, &mut |done, total| {
                let what = "measuring what unrelated questions find".to_owned();
                let (done, total) = (done as u64, total as u64);
                tell(SetupEvent::Prepare { what, done, total });
            })?;
            probes::keep(&prepared.dir, &heads, &made);
            (made, engine)
        }
    };
    let geometry = card.geometry(BLOCK_TOKENS);
    let addresser = Addresser::new(geometry, card.heads, &card.query_layers, &heads, &background)?;
    Ok((Some(Arc::new(Finder::Heads(addresser))), engine))
}

/// Opens a store for reading, without engine or library.
///
/// # Errors
/// [`SetupError::NoStore`] when there is none, otherwise as the store says.
pub fn open_reader(options: &SetupOptions, tell: Tell<'_>) -> Result<Reader, SetupError> {
    let (dir, store) = store_for_reading(options, tell)?;
    Ok(Reader::open(&dir, &store)?)
}

/// Folder and options of an existing store.
///
/// # Errors
/// [`SetupError::NoStore`] when there is none.
pub fn store_for_reading(
    options: &SetupOptions,
    tell: Tell<'_>,
) -> Result<(PathBuf, StoreOptions), SetupError> {
    let dir = options.store.clone().or_else(|| default_store_dir(options.variable));
    let dir = dir.ok_or(SetupError::NoCache)?;
    if !dir.exists() {
        return Err(SetupError::NoStore { path: dir });
    }
    let machine = Machine::read(Path::new("/"));
    let (kind, _) = choose_weights(options, &machine);
    let prepared = model(options, kind, tell)?;
    Ok((dir, store_options(options, &prepared.card)))
}

/// Bytes of RAM that the weights of a card take, by kind, for the plan's advice.
#[must_use]
pub fn weights_table(card: &Card) -> Vec<(WeightKind, u64)> {
    let kinds = [WeightKind::F32, WeightKind::F16, WeightKind::Int8, WeightKind::Int4];
    kinds.map(|k| (k, weight_bytes(card, k))).to_vec()
}
