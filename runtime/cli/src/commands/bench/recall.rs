//! `bench recall`: search, fuse, read and place over a large store, without the model's own time.

use std::path::Path;

use lcedge::session::{Question, Session};
use lcedge::setup;
use lcedge::targets::probe::Machine;
use serde_json::json;

use super::synthetic;
use super::times::Times;
use crate::args::BlocksArgs;
use crate::commands::workspace::Workspace;
use crate::context::Context;
use crate::failure::Failure;
use crate::{process, size};

/// Questions in the words of the synthetic log; a number makes each of them another.
const QUESTIONS: [&str; 6] = [
    "Which address did user number {} log in from?",
    "Which request took longer than {} ms?",
    "Which job failed with exit status {}?",
    "What happened on port {}?",
    "Which disk reported {} errors?",
    "Who opened session {}?",
];

pub(crate) fn run(context: &mut Context, args: &BlocksArgs) -> Result<u8, Failure> {
    let (blocks, rounds) =
        if args.smoke { (64, 4) } else { (args.blocks.max(1), args.rounds.max(1)) };
    let workspace = filled(context, blocks)?.0;
    context.options.store = Some(workspace.path().to_owned());
    let ready = context.open()?;
    let mut session = ready.session;
    // Twice before anything counts, so that connections and buffers are there.
    for i in 0..2 {
        ask(&mut session, i)?;
    }
    let warm = session.recall_times().search.len();
    let mut recalled = 0;
    for i in 0..rounds {
        if context.stop.requested() {
            return Err(crate::context::stopped(context.stop.exit_code().unwrap_or(130)));
        }
        recalled += ask(&mut session, i)?;
    }
    let times = session.recall_times();
    let (search, place) = (&times.search[warm..], &times.place[warm..]);
    let all = Times::new(search.iter().zip(place).map(|(s, p)| *s + *p));
    let (search, place) = (Times::new(search.to_vec()), Times::new(place.to_vec()));
    let out = &context.out;
    let index = session.reader().and_then(|r| r.stats().ok()).map_or(0, |s| s.index_bytes);
    for (what, t) in [("search and fuse", &search), ("read and place", &place), ("together", &all)]
    {
        out.event(&json!({
            "event": "row", "what": what, "p50_ms": t.percentile(50), "p99_ms": t.percentile(99),
            "max_ms": t.percentile(100),
        }))?;
        out.line(format!("{what:<16} {}", t.text()))?;
    }
    out.line(format!(
        "{} blocks, {rounds} questions, {:.1} blocks recalled each, index {}",
        size::count(blocks as u64),
        recalled as f64 / rounds as f64,
        size::text(index)
    ))?;
    out.event(&json!({
        "event": "bench", "name": "recall", "blocks": blocks, "n": rounds,
        "p50_ms": all.percentile(50), "p99_ms": all.percentile(99), "max_ms": all.percentile(100),
        "search_p50_ms": search.percentile(50), "search_p99_ms": search.percentile(99),
        "place_p50_ms": place.percentile(50), "place_p99_ms": place.percentile(99),
        "recalled_blocks": recalled, "index_bytes": index,
        "store_bytes": process::folder_bytes(workspace.path()), "model": ready.report.model,
        "kernel": session.reader().map(lcedge::memory::Reader::kernel),
    }))?;
    session.close().map_err(Failure::from)?;
    Ok(0)
}

/// A temporary store with synthetic blocks for the model.
pub(crate) fn filled(
    context: &mut Context,
    blocks: usize,
) -> Result<(Workspace, synthetic::Filled), Failure> {
    let workspace = Workspace::temporary(&context.stop)?;
    let (kind, _) = setup::choose_weights(&context.options, &Machine::read(Path::new("/")));
    let prepared = context.setting_up(|options, tell| setup::model(options, kind, tell))?;
    let options = setup::store_options(&context.options, &prepared.card);
    context.out.note(format!("making a store of {} blocks", size::count(blocks as u64)));
    let filled = synthetic::fill(workspace.path(), &options, context.options.kv, blocks)?;
    Ok((workspace, filled))
}

fn ask(session: &mut Session, i: usize) -> Result<usize, Failure> {
    let text = QUESTIONS[i % QUESTIONS.len()].replace("{}", &(i * 37 % 1000).to_string());
    let question = Question { answer_tokens_max: 1, ..Question::new(text) };
    Ok(session.ask(&question)?.recalled_blocks)
}
