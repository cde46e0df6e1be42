//! The loop that the streaming loop is compared with.
//!
//! It runs the same graph with the same window, chunk and outputs, and does nothing with what
//! comes out: no tokenizer, no store, no memory region. This is the one place to exchange when a
//! still barer loop is to be measured.

use std::time::{Duration, Instant};

use lcedge::Plan;
use lcedge::limits::RATIO_DEFAULT;
use lcedge::setup::{Ready, SetupError, SetupOptions, library};
use lcedge::targets::ort::{EngineOptions, OrtEngine, Packing, Runtime};
use lcedge::targets::{BeaconRow, Engine, StepInput, StepOutput};

use crate::failure::Failure;

/// An engine of its own, over the same prepared graph.
pub(crate) struct Bare {
    engine: OrtEngine,
    out: StepOutput,
    /// Valid slots when a chunk starts.
    window: usize,
    tokens: Vec<u32>,
    rows: Vec<u32>,
    queries: bool,
    memory: bool,
    beacons: Vec<BeaconRow>,
}

impl Bare {
    /// Loads a second engine as the session's was loaded.
    ///
    /// # Errors
    /// As the setup of a session.
    pub(crate) fn open(options: &SetupOptions, ready: &Ready) -> Result<Self, Failure> {
        let plan: &Plan = ready.session.plan();
        let library = library(options, &mut |_| {})?;
        let runtime = Runtime::load(&library).map_err(SetupError::from)?;
        let mut engine_options = EngineOptions::new(plan.capacity_tokens, plan.threads);
        engine_options.device = options.device.parse().map_err(SetupError::from)?;
        engine_options.packing = Packing::BesideGraph;
        let card = ready.prepared.card.clone();
        let vocab = u32::try_from(card.vocab).unwrap_or(u32::MAX).max(1);
        let engine = OrtEngine::open(&runtime, &ready.prepared.graph, card, &engine_options)
            .map_err(SetupError::from)?;
        let n = u32::try_from(plan.chunk_tokens).unwrap_or(u32::MAX);
        let surprise = options.surprise;
        let trained = engine.card().memory.clone();
        let ratios = trained.as_ref().map_or(Vec::new(), |m| m.beacons.clone());
        let memory = trained.is_some_and(|m| m.address.is_some());
        Ok(Self {
            engine,
            out: StepOutput::default(),
            window: plan.window_tokens,
            tokens: (0..n).map(|i| i.wrapping_mul(7919) % vocab).collect(),
            rows: if surprise { (0..n).collect() } else { Vec::new() },
            queries: plan.stale_blocks > 0 && !memory,
            memory,
            beacons: if plan.condensed_tokens > 0 { beacons(&ratios, n) } else { Vec::new() },
        })
    }

    /// Tokens of one chunk.
    pub(crate) fn chunk_tokens(&self) -> usize {
        self.tokens.len()
    }

    /// The time of `chunks` chunks.
    ///
    /// # Errors
    /// When the engine fails.
    pub(crate) fn round(&mut self, chunks: usize) -> Result<Duration, Failure> {
        let failed = |e: &dyn std::fmt::Display| Failure::new("engine", e);
        let positions: Vec<i32> = (0i32..).skip(self.window).take(self.tokens.len()).collect();
        let start = Instant::now();
        for _ in 0..chunks {
            self.engine.set_len(self.window).map_err(|e| failed(&e))?;
            let input = StepInput {
                tokens: &self.tokens,
                positions: &positions,
                logit_rows: &[],
                score_rows: &self.rows,
                score_targets: &self.tokens[..self.rows.len()],
                queries: self.queries,
                memory: self.memory,
                beacons: &self.beacons,
            };
            self.engine.step(&input, &mut self.out).map_err(|e| failed(&e))?;
        }
        Ok(start.elapsed())
    }
}

/// The beacons of a chunk of `n` tokens at the default ratio.
fn beacons(ratios: &[u16], n: u32) -> Vec<BeaconRow> {
    let ratio = RATIO_DEFAULT.min(u8::try_from(ratios.len().saturating_sub(1)).unwrap_or(0));
    let Some(&every) = ratios.get(usize::from(ratio)) else { return Vec::new() };
    let every = u32::from(every).max(1);
    (1..=n / every).map(|i| BeaconRow { last: i * every - 1, ratio }).collect()
}
