//! Measures the bare engine on a prepared model: load time, absorbing, decoding, memory.
//!
//!     cargo run --release -p lcedge-targets --example absorb -- MODEL_DIR [packed] [noarena]
//!
//! MODEL_DIR holds `model.onnx` and `card.json`. With `packed` the packed matrices are kept beside
//! the graph (the first such run writes them). ONNX Runtime is found as the program finds it; the
//! variable LCEDGE_ORT names one.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use lcedge_targets::ort::{EngineOptions, OrtEngine, Packing, Runtime, Search};
use lcedge_targets::{Engine, StepInput, StepOutput, probe};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let folder = PathBuf::from(args.first().ok_or("usage: absorb MODEL_DIR [packed] [noarena]")?);
    let card = serde_json::from_slice(&std::fs::read(folder.join("card.json"))?)?;
    let data = lcedge_models::default_cache_dir(|n| std::env::var_os(n));
    let search = Search::from_environment(None, data.as_deref(), &|n| std::env::var_os(n));
    let library = search.find()?;
    println!("ONNX Runtime {} ({}): {}", library.version, library.reason, library.path.display());

    let threads = probe::Machine::read("/".as_ref()).cores;
    let mut options = EngineOptions::new(1024 + 512, threads);
    options.arena = !args.iter().any(|a| a == "noarena");
    if args.iter().any(|a| a == "packed") {
        options.packing = Packing::BesideGraph;
    }
    let runtime = Runtime::load(&library)?;
    memory("before loading");
    let start = Instant::now();
    let mut engine = OrtEngine::open(&runtime, &folder.join("model.onnx"), card, &options)?;
    println!("load: {:.2} s, {} threads, packed: {:?}", seconds(start), threads, engine.packed());
    memory("loaded");

    for (chunk, score) in [(256, false), (512, false), (256, true), (512, true)] {
        let mut rates: Vec<f64> =
            (0..4).map(|_| absorb(&mut engine, chunk, score)).collect::<Result<_, _>>()?;
        rates.remove(0);
        rates.sort_by(f64::total_cmp);
        let head = if score { "log-probability of every row" } else { "no logits" };
        println!("absorb 1024 + {chunk}, {head}: {rates:.0?} tokens/s (of 3, after one)");
        memory("now");
    }
    for len in [512, 1024] {
        println!("decode at {len}: {:.1} tokens/s (16 steps)", decode(&mut engine, len)?);
    }
    for chunk in [1, 7, 33, 100, 129, 256, 300, 411, 512] {
        absorb(&mut engine, chunk, true)?;
    }
    memory("after nine other chunk sizes");
    println!("{:?}", engine.usage());
    Ok(())
}

fn seconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64()
}

/// Tokens a second of one step of `chunk` tokens behind 1,024 valid slots.
fn absorb(engine: &mut OrtEngine, chunk: usize, score: bool) -> Result<f64, Failure> {
    engine.set_len(1024)?;
    let vocab = engine.card().vocab as u32;
    let tokens: Vec<u32> = (0..chunk as u32).map(|i| i * 7919 % vocab).collect();
    let positions: Vec<i32> = (1024..1024 + chunk as i32).collect();
    let rows: Vec<u32> = if score { (0..chunk as u32).collect() } else { Vec::new() };
    let input = StepInput {
        tokens: &tokens,
        positions: &positions,
        logit_rows: &[],
        score_rows: &rows,
        score_targets: if score { &tokens } else { &[] },
        queries: true,
        ..StepInput::default()
    };
    let mut out = StepOutput::default();
    let start = Instant::now();
    engine.step(&input, &mut out)?;
    Ok(chunk as f64 / seconds(start))
}

/// Tokens a second of 16 steps of one token with logits, from `len` valid slots on.
fn decode(engine: &mut OrtEngine, len: usize) -> Result<f64, Failure> {
    engine.set_len(len)?;
    let mut out = StepOutput::default();
    let mut start = Instant::now();
    for i in 0..20 {
        if i == 4 {
            start = Instant::now();
        }
        let input = StepInput {
            tokens: &[5],
            positions: &[(len + i) as i32],
            logit_rows: &[0],
            score_rows: &[],
            score_targets: &[],
            queries: false,
            ..StepInput::default()
        };
        engine.step(&input, &mut out)?;
    }
    Ok(16.0 / seconds(start))
}

/// Prints resident memory of this process, in MiB.
fn memory(when: &str) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find(|l| l.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib / 1024)
    };
    let [anon, file, peak] = ["RssAnon", "RssFile", "VmHWM"].map(|n| field(n).unwrap_or(0));
    println!("memory {when}: anonymous {anon} MiB, files {file} MiB, peak {peak} MiB");
}
