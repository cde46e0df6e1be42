//! `bench recall`: search, fuse, read and place over a large store, without the model's own time;
//! also from a cold page cache, and what the search finds of what there is.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lcedge::finder::Finder;
use lcedge::memory::{AddressLayout, AddressQuery, Filter, HeadQuery, Reader, Store, StoreOptions};
use lcedge::session::{Access, Parts, Question, Session};
use lcedge::setup;
use lcedge::targets::probe::Machine;
use lcedge_eval::rng::Rng;
use serde_json::{Value, json};

use super::pretend::{Pretending, SMOLLM2};
use super::times::Times;
use super::{exactness, synthetic};
use crate::args::RecallArgs;
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

/// Most questions from a cold page cache, when it is not said how many.
const COLD_MAX: usize = 40;

/// Queries that are compared with every block's score.
const COMPARED: usize = 30;

/// Times of some questions.
struct Asked {
    search: Vec<Duration>,
    place: Vec<Duration>,
    recalled: usize,
}

impl Asked {
    fn together(&self) -> Times {
        Times::new(self.search.iter().zip(&self.place).map(|(s, p)| *s + *p))
    }
}

pub(crate) fn run(context: &mut Context, args: &RecallArgs) -> Result<u8, Failure> {
    let of = &args.of;
    let (blocks, rounds) = if of.smoke { (64, 4) } else { (of.blocks.max(1), of.rounds.max(1)) };
    let cold = args.cold.unwrap_or(rounds.min(COLD_MAX));
    let layout = args.trained_address.then(|| SMOLLM2.layout());
    let workspace = filled(context, blocks, layout)?.0;
    let (mut session, model) = open(context, workspace.path(), layout)?;
    let dir = workspace.path();
    process::warm(dir).map_err(|e| Failure::file(dir, &e))?;
    // Twice before anything counts, so that connections and buffers are there.
    ask(context, &mut session, 2, None)?;
    let warm = ask(context, &mut session, rounds, None)?;
    report(context, "", &warm)?;
    let before = process::disk_read_bytes();
    let cold = ask(context, &mut session, cold, Some(workspace.path()))?;
    let read = before.zip(process::disk_read_bytes()).map_or(0, |(a, b)| b - a);
    report(context, "cold: ", &cold)?;
    let each = read / cold.search.len().max(1) as u64;
    let reader = session.reader().cloned();
    let index = reader.as_ref().and_then(|r| r.stats().ok()).map_or(0, |s| s.index_bytes);
    context.out.line(format!(
        "{} blocks, {rounds} questions, {:.1} blocks recalled each, index {}; a cold question \
         reads {} from disk",
        size::count(blocks as u64),
        warm.recalled as f64 / rounds as f64,
        size::text(index),
        size::text(each),
    ))?;
    let found = compare(context, reader.as_ref())?;
    let (all, cold) = (warm.together(), cold.together());
    let (search, place) = (Times::new(warm.search), Times::new(warm.place));
    let mut event = json!({
        "event": "bench", "name": "recall", "blocks": blocks, "n": rounds,
        "p50_ms": all.percentile(50), "p99_ms": all.percentile(99), "max_ms": all.percentile(100),
        "search_p50_ms": search.percentile(50), "search_p99_ms": search.percentile(99),
        "place_p50_ms": place.percentile(50), "place_p99_ms": place.percentile(99),
        "cold_p50_ms": cold.percentile(50), "cold_p99_ms": cold.percentile(99),
        "cold_read_bytes": each, "recalled_blocks": warm.recalled, "index_bytes": index,
        "trained_address": args.trained_address,
        "store_bytes": process::folder_bytes(workspace.path()), "model": model,
        "kernel": reader.as_ref().map(Reader::kernel),
    });
    if let (Value::Object(event), Value::Object(found)) = (&mut event, found) {
        event.extend(found);
    }
    context.out.event(&event)?;
    session.close().map_err(Failure::from)?;
    Ok(0)
}

/// A session over the store, and the model's name: with the model's own address, or as if it had
/// a trained one of this layout.
fn open(
    context: &mut Context,
    store: &Path,
    layout: Option<AddressLayout>,
) -> Result<(Session, String), Failure> {
    let Some(layout) = layout else {
        context.options.store = Some(store.to_owned());
        let ready = context.open()?;
        return Ok((ready.session, ready.report.model));
    };
    context.options.store = None;
    let ready = context.open()?;
    let plan = *ready.session.plan();
    let options = StoreOptions {
        address: layout,
        ..setup::store_options(&context.options, &ready.prepared.card)
    };
    let opened = Store::open(store, &options).map_err(setup::SetupError::from)?;
    let queries = queries(&opened.reader(), layout);
    let queries = queries.into_iter().filter_map(|q| q.heads.into_iter().next());
    let parts = ready.session.into_parts().map_err(Failure::from)?;
    let engine =
        Pretending { engine: parts.engine, queries: queries.map(|h| h.vectors).collect(), next: 0 };
    let parts = Parts {
        engine: Box::new(engine),
        store: Some(Access::Write(Box::new(opened))),
        finder: Some(Arc::new(Finder::Trained(SMOLLM2))),
        ..parts
    };
    let session = Session::open(parts, plan, lcedge::SessionConfig::default());
    Ok((session.map_err(setup::SetupError::from)?, ready.report.model))
}

/// Queries near the vectors of blocks all over the store.
fn queries(reader: &Reader, layout: AddressLayout) -> Vec<AddressQuery> {
    let mut rng = Rng::new(7);
    let blocks: Vec<_> = reader.sources().iter().flat_map(|s| reader.blocks_of(s.id)).collect();
    let dim = usize::from(layout.dim);
    let near = |i: usize| {
        let at = i * 7919 % blocks.len().max(1);
        let address = reader.address(*blocks.get(at)?).ok()?;
        Some(address.heads)
    };
    let mut make = |heads: Vec<lcedge::memory::HeadAddress>| {
        let heads = heads.into_iter().map(|h| {
            let vectors = h.vectors.iter().take(dim);
            let noisy = |v: &i8| f32::from(*v) / 127.0 + 0.5 * synthetic::small(&mut rng);
            HeadQuery { weight: 1.0, vectors: vectors.map(noisy).collect() }
        });
        AddressQuery { heads: heads.collect() }
    };
    (0..COMPARED).filter_map(near).map(&mut make).collect()
}

/// Compares what is found with what there is.
fn compare(context: &Context, reader: Option<&Reader>) -> Result<Value, Failure> {
    let Some(reader) = reader else { return Ok(json!({})) };
    let failed = |e: lcedge::memory::ReadError| Failure::new("store_read", e);
    let layout = reader.address_layout();
    let queries = queries(reader, layout);
    let questions: Vec<String> = (0..COMPARED).map(question).collect();
    alone(context, reader, &queries, &questions).map_err(failed)?;
    let address =
        exactness::by_address(reader, usize::from(layout.dim), &queries).map_err(failed)?;
    let text = exactness::by_text(reader, &questions).map_err(failed)?;
    for (what, share) in [("every block's score", address), ("BM25 over all blocks", text)] {
        context.out.line(format!(
            "of the best ten by {what} the search finds {:.1}%, of the best ones {:.1}%; what it \
             finds has {:.1}% of their scores ({COMPARED} queries)",
            share.of_ten() * 100.0,
            share.of_firsts() * 100.0,
            share.of_score() * 100.0
        ))?;
    }
    Ok(json!({
        "index_recall_10": address.of_ten(), "index_recall_1": address.of_firsts(),
        "text_recall_10": text.of_ten(), "text_recall_1": text.of_firsts(),
        "text_score": text.of_score(),
    }))
}

/// How long each search takes that is not run beside the other.
fn alone(
    context: &Context,
    reader: &Reader,
    queries: &[AddressQuery],
    questions: &[String],
) -> Result<(), lcedge::memory::ReadError> {
    let filter = Filter::default();
    let timed = |search: &dyn Fn(usize) -> Result<usize, lcedge::memory::ReadError>| {
        let mut times = Vec::new();
        for i in 0..COMPARED {
            let start = Instant::now();
            search(i)?;
            times.push(start.elapsed());
        }
        Ok::<_, lcedge::memory::ReadError>(Times::new(times))
    };
    let k = lcedge::limits::CANDIDATE_BLOCKS;
    let address = timed(&|i| match queries.get(i) {
        Some(query) => reader.search_address(query, k, &filter).map(|h| h.len()),
        None => Ok(0),
    })?;
    let text = timed(&|i| reader.search_text(&questions[i], k, &filter).map(|h| h.len()))?;
    for (what, times) in [("by address alone", address), ("by text alone", text)] {
        // Lines for people: the figures of the bench are those of both at once.
        let _ = context.out.line(format!("{what:<22} {}", times.text()));
    }
    Ok(())
}

fn report(context: &Context, prefix: &str, asked: &Asked) -> Result<(), Failure> {
    let (search, place) = (Times::new(asked.search.clone()), Times::new(asked.place.clone()));
    let all = asked.together();
    for (what, t) in [("search and fuse", &search), ("read and place", &place), ("together", &all)]
    {
        let what = format!("{prefix}{what}");
        context.out.event(&json!({
            "event": "row", "what": what, "p50_ms": t.percentile(50), "p99_ms": t.percentile(99),
            "max_ms": t.percentile(100),
        }))?;
        context.out.line(format!("{what:<22} {}", t.text()))?;
    }
    Ok(())
}

/// A temporary store with synthetic blocks for the model, or the one that `--store` names: made
/// when it is not there. `layout`: of addresses, where it is not the model's.
pub(crate) fn filled(
    context: &mut Context,
    blocks: usize,
    layout: Option<AddressLayout>,
) -> Result<(Workspace, synthetic::Filled), Failure> {
    let workspace = match &context.options.store {
        Some(named) => Workspace::at(named.clone()),
        None => Workspace::temporary(&context.stop)?,
    };
    let (kind, _) = setup::choose_weights(&context.options, &Machine::read(Path::new("/")));
    let prepared = context.setting_up(|options, tell| setup::model(options, kind, tell))?;
    let mut options = setup::store_options(&context.options, &prepared.card);
    options.address = layout.unwrap_or(options.address);
    let ours = |r: &Reader| {
        r.blocks() == blocks && r.sources().iter().all(|s| s.name == synthetic::SOURCE)
    };
    if Reader::open(workspace.path(), &options).is_ok_and(|r| ours(&r)) {
        context.out.note(format!("using the store of {} blocks", size::count(blocks as u64)));
        return Ok((workspace, synthetic::Filled::default()));
    }
    // Nobody's memory is filled with what is made up.
    let held = fs::read_dir(workspace.path()).is_ok_and(|mut files| files.next().is_some());
    if held {
        let path = workspace.path().display();
        let failure = format!("--store {path} holds something else than these blocks");
        return Err(Failure::bad_argument(failure)
            .hint("name a new folder, or none (and unset LCEDGE_STORE)".to_owned()));
    }
    context.out.note(format!("making a store of {} blocks", size::count(blocks as u64)));
    let filled = synthetic::fill(workspace.path(), &options, context.options.kv, blocks)?;
    Ok((workspace, filled))
}

fn question(i: usize) -> String {
    QUESTIONS[i % QUESTIONS.len()].replace("{}", &(i * 37 % 1000).to_string())
}

/// Asks so many questions; with a folder, each after its files left the page cache.
fn ask(
    context: &Context,
    session: &mut Session,
    rounds: usize,
    evict: Option<&Path>,
) -> Result<Asked, Failure> {
    let before = session.recall_times().search.len();
    let mut recalled = 0;
    for i in 0..rounds {
        if context.stop.requested() {
            return Err(crate::context::stopped(context.stop.exit_code().unwrap_or(130)));
        }
        if let Some(dir) = evict {
            if let Some(reader) = session.reader() {
                reader.let_go().map_err(|e| Failure::new("store_read", e))?;
            }
            process::evict(dir).map_err(|e| Failure::file(dir, &e))?;
        }
        let question = Question { answer_tokens_max: 1, ..Question::new(question(i)) };
        recalled += session.ask(&question)?.recalled_blocks;
    }
    let times = session.recall_times();
    let (search, place) = (times.search[before..].to_vec(), times.place[before..].to_vec());
    Ok(Asked { search, place, recalled })
}
