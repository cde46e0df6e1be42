//! Measures what beacons cost: absorbing and decoding with two prepared models, turn by turn in one
//! process.
//!
//!     cargo run --release -p lcedge-targets --example beacons -- WITHOUT_DIR WITH_DIR [rounds=N]
//!
//! WITHOUT_DIR and WITH_DIR are prepared folders of one model, the second with beacons.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use lcedge_models::Prepared;
use lcedge_targets::ort::{EngineOptions, OrtEngine, Runtime, Search};
use lcedge_targets::{BeaconRow, Engine, StepInput, StepOutput, probe};

type Failure = Box<dyn std::error::Error>;

/// Valid slots before each step.
const PAST: usize = 1024;

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// One kind of step: a name, the engine, rows, beacons of one ratio.
struct Case {
    name: &'static str,
    with: bool,
    rows: usize,
    ratio: Option<usize>,
    seconds: Vec<f64>,
    processor: Vec<f64>,
}

fn measure() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [without, with, rest @ ..] = args.as_slice() else {
        return Err("usage: beacons WITHOUT_DIR WITH_DIR [rounds=N]".into());
    };
    let rounds = rest.iter().find_map(|a| a.strip_prefix("rounds=")).unwrap_or("5").parse()?;
    let data = lcedge_models::default_cache_dir(|n| std::env::var_os(n));
    let search = Search::from_environment(None, data.as_deref(), &|n| std::env::var_os(n));
    let runtime = Runtime::load(&search.find()?)?;
    let mut options = EngineOptions::new(PAST + 1024, probe::Machine::read("/".as_ref()).cores);
    options.spin = false;
    let open = |dir: &str| -> Result<OrtEngine, Failure> {
        Ok(OrtEngine::load(&runtime, &Prepared::open(Path::new(dir))?, &options)?)
    };
    let mut engines = [open(without)?, open(with)?];
    let case = |name, with, rows, ratio| Case {
        name,
        with,
        rows,
        ratio,
        seconds: Vec::new(),
        processor: Vec::new(),
    };
    let mut cases = Vec::new();
    for rows in [512, 256, 1] {
        cases.push(case("graph without beacons", false, rows, None));
        cases.push(case("graph with beacons, none given", true, rows, None));
        for (name, ratio) in [("ratio 8", 8), ("ratio 16", 16), ("ratio 32", 32)] {
            if rows > 1 {
                cases.push(case(name, true, rows, Some(ratio)));
            }
        }
    }
    for round in 0..=rounds {
        for case in &mut cases {
            let (seconds, processor) = run(&mut engines[usize::from(case.with)], case)?;
            if round > 0 {
                case.seconds.push(seconds);
                case.processor.push(processor);
            }
        }
    }
    for case in &mut cases {
        case.seconds.sort_by(f64::total_cmp);
        let tokens = repeats(case) * case.rows;
        let median = case.seconds[case.seconds.len() / 2];
        let processor = case.processor.iter().sum::<f64>() / case.processor.len() as f64;
        println!(
            "{:3} rows, {:31} median {:7.1} best {:7.1} tokens/s; {:8.2} ms of processor a token",
            case.rows,
            case.name,
            tokens as f64 / median,
            tokens as f64 / case.seconds[0],
            processor * 1e3 / tokens as f64,
        );
    }
    Ok(())
}

/// Steps that one measurement takes: enough for the system's clock of processor time.
const fn repeats(case: &Case) -> usize {
    if case.rows == 1 { 24 } else { 1 }
}

/// Seconds and seconds of processor time of a case's steps.
fn run(engine: &mut OrtEngine, case: &Case) -> Result<(f64, f64), Failure> {
    let card = engine.card();
    let vocab = card.vocab as u32;
    let tokens: Vec<u32> = (0..case.rows as u32).map(|i| i * 7919 % vocab).collect();
    let positions: Vec<i32> = (PAST as i32..(PAST + case.rows) as i32).collect();
    let known = card.memory.as_ref().map_or(&[][..], |m| &m.beacons);
    let index = known.iter().position(|r| Some(usize::from(*r)) == case.ratio);
    let beacons: Vec<BeaconRow> = match (case.ratio, index) {
        (Some(ratio), Some(index)) => (ratio - 1..case.rows)
            .step_by(ratio)
            .map(|last| BeaconRow { last: last as u32, ratio: index as u8 })
            .collect(),
        (Some(ratio), None) => return Err(format!("no beacons of ratio {ratio}").into()),
        (None, _) => Vec::new(),
    };
    let mut out = StepOutput::default();
    let input = StepInput {
        tokens: &tokens,
        positions: &positions,
        logit_rows: if case.rows == 1 { &[0] } else { &[] },
        beacons: &beacons,
        ..StepInput::default()
    };
    let (start, ticks) = (Instant::now(), processor_seconds());
    for _ in 0..repeats(case) {
        engine.set_len(PAST)?;
        engine.step(&input, &mut out)?;
    }
    Ok((start.elapsed().as_secs_f64(), processor_seconds() - ticks))
}

/// Processor time of this process so far, in seconds (100 ticks a second).
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let tick = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (tick(11) + tick(12)) / 100.0
}
