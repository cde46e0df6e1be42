//! What a fold of the gist costs: `cargo run --release -p lcedge-targets --example gist -- DIR`,
//! where DIR is a prepared model whose trained memory has a gist.

use std::path::Path;
use std::time::Instant;

use lcedge_memory::KvBuf;
use lcedge_models::{Prepared, default_cache_dir};
use lcedge_targets::ort::{EngineOptions, OrtEngine, Runtime, Search};
use lcedge_targets::{Engine, Fold, GistState};

/// Folds of each size; the fastest and the median are told.
const ROUNDS: usize = 41;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args().nth(1).ok_or("the folder of a prepared model is wanted")?;
    let variable = |name: &str| std::env::var_os(name);
    let data = default_cache_dir(variable);
    let runtime =
        Runtime::load(&Search::from_environment(None, data.as_deref(), &variable).find()?)?;
    let prepared = Prepared::open(Path::new(&dir))?;
    let gist = prepared.card.memory.as_ref().and_then(|m| m.gist).ok_or("it has no gist")?;
    let mut engine = OrtEngine::load(&runtime, &prepared, &EngineOptions::new(64, 2))?;
    let geometry = engine.card().geometry(64);
    println!("{} slots, two threads; fastest and median of {ROUNDS} folds", gist.slots);
    for beacons in [1, 8, 16, 32, 64, 128, 256, 512] {
        let mut kv = KvBuf::with_capacity(geometry, beacons);
        let (k, v) = kv.fill(beacons);
        for (i, x) in k.iter_mut().chain(v).enumerate() {
            *x = (i * 7919 % 1009) as f32 / 500.0 - 1.0;
        }
        let mut state = GistState::new(geometry, gist.slots);
        let mut times = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            let start = Instant::now();
            engine.fold(&Fold { beacons: kv.view(), question: None }, &mut state)?;
            times.push(start.elapsed());
        }
        times.sort_unstable();
        let start = Instant::now();
        let bytes = state.to_bytes().len();
        println!(
            "{beacons:4} beacons: {:6.2} {:6.2} ms; as {bytes} bytes {:.2} ms",
            times[0].as_secs_f64() * 1e3,
            times[ROUNDS / 2].as_secs_f64() * 1e3,
            start.elapsed().as_secs_f64() * 1e3
        );
    }
    Ok(())
}
