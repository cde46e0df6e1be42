//! `bench tiers`: what beacons, folds and recall while reading cost, each against the loop without
//! them, in turns within one run.

use lcedge::config::MemoryMode;
use lcedge::session::Session;
use lcedge::setup::SetupOptions;
use serde_json::{Value, json};

use super::looping::{Text, absorb, median, sizes};
use crate::args::LoopArgs;
use crate::commands::reading::round;
use crate::commands::workspace::Workspace;
use crate::context::Context;
use crate::failure::Failure;

/// One way to read.
struct Arm {
    name: &'static str,
    session: Session,
    text: Text,
    rates: Vec<f64>,
}

/// What is on in each arm, the plain loop first: everything is spilled to a store in all of them.
fn arms(common: &SetupOptions) -> Vec<(&'static str, SetupOptions)> {
    let plain =
        SetupOptions { memory: MemoryMode::Recall, gist: false, stale_blocks: 0, ..common.clone() };
    let beacons = SetupOptions { memory: MemoryMode::Full, ..plain.clone() };
    let folds = SetupOptions { gist: true, ..beacons.clone() };
    let all = SetupOptions { stale_blocks: common.stale_blocks, ..folds.clone() };
    vec![
        ("store alone", plain),
        ("beacons", beacons),
        ("beacons and folds", folds),
        ("beacons, folds and stale recall", all),
    ]
}

pub(crate) fn run(context: &mut Context, args: &LoopArgs) -> Result<u8, Failure> {
    let (rounds, chunks) = sizes(args);
    let workspace = Workspace::temporary(&context.stop)?;
    let mut all = Vec::new();
    for (i, (name, options)) in arms(&context.options).into_iter().enumerate() {
        let mut arm = open(
            context,
            name,
            SetupOptions { store: Some(workspace.path().join(i.to_string())), ..options },
            Text::of(args)?,
        )?;
        let plan = *arm.session.plan();
        // With a full window and a full condensed tier, so that there is something to fold.
        let condensed = 16 * plan.condensed_tokens;
        let warm = (plan.window_tokens + condensed) / plan.chunk_tokens + 2;
        absorb(&mut arm.session, &mut arm.text, if args.smoke { 1 } else { warm })?;
        all.push(arm);
    }
    for i in 0..rounds {
        let n = all.len();
        for k in 0..n {
            if context.stop.requested() {
                let code = context.stop.exit_code().unwrap_or(130);
                return Err(crate::context::stopped(code));
            }
            let arm = &mut all[(i + k) % n];
            arm.rates.push(absorb(&mut arm.session, &mut arm.text, chunks)?);
        }
        let at: Vec<String> = all.iter().map(|a| format!("{} {:.1}", a.name, a.rates[i])).collect();
        context.out.line(format!("round {i}, tokens/s: {}", at.join("; ")))?;
    }
    print(context, all, (rounds, chunks))
}

fn open(
    context: &mut Context,
    name: &'static str,
    options: SetupOptions,
    text: Text,
) -> Result<Arm, Failure> {
    let common = std::mem::replace(&mut context.options, options);
    let ready = context.open();
    context.options = common;
    let mut session = ready?.session;
    session.begin_source("bench").map_err(Failure::from)?;
    Ok(Arm { name, session, text, rates: Vec::new() })
}

fn print(
    context: &Context,
    all: Vec<Arm>,
    (rounds, chunks): (usize, usize),
) -> Result<u8, Failure> {
    let plain = all.first().map(|a| a.rates.clone()).unwrap_or_default();
    let thousandth = |x: f64| (x * 1000.0).round() / 1000.0;
    let mut rows = Vec::new();
    for mut arm in all {
        let ratios: Vec<f64> = arm.rates.iter().zip(&plain).map(|(a, b)| a / b).collect();
        let spread = |pick: fn(f64, f64) -> f64| ratios.iter().copied().reduce(pick);
        let (low, high) = (spread(f64::min).unwrap_or(0.0), spread(f64::max).unwrap_or(0.0));
        let (rate, ratio) = (median(arm.rates), median(ratios));
        let folds = arm.session.gist().map_or(0, |g| g.state().folds());
        let fold_ms = arm.session.fold_time().as_secs_f64() * 1000.0 / folds.max(1) as f64;
        context.out.line(format!(
            "{}: {rate:.1} tokens/s, {ratio:.3} ({low:.3} to {high:.3}) of the store alone, \
             {folds} folds of {fold_ms:.1} ms",
            arm.name
        ))?;
        rows.push(json!({
            "arm": arm.name, "tokens_per_second": round(rate), "ratio": thousandth(ratio),
            "ratio_min": thousandth(low), "ratio_max": thousandth(high), "folds": folds,
            "fold_ms": fold_ms,
        }));
        arm.session.finish_source().map_err(Failure::from)?;
        arm.session.close().map_err(Failure::from)?;
    }
    context.out.event(&json!({
        "event": "bench", "name": "tiers", "rounds": rounds, "chunks": chunks,
        "arms": Value::Array(rows),
    }))?;
    Ok(0)
}
