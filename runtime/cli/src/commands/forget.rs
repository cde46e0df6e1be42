//! `memory forget`, `memory pin`, `memory unpin`: what changes a store without running a model.

use std::ops::Range;

use lcedge::memory::{BlockId, Forget, SourceId, Store, Strictness};
use lcedge::setup;
use serde_json::{Value, json};

use super::answers::time;
use super::ask::conversation;
use crate::args::ForgetArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::size;

/// The store as its writer; refused while another process writes.
pub(super) fn writer(context: &mut Context) -> Result<Store, Failure> {
    let (dir, options) = context.setting_up(setup::store_for_reading)?;
    Ok(Store::open(&dir, &options).map_err(setup::SetupError::from)?)
}

/// What is to go; exactly one thing.
enum Wanted {
    Blocks(Vec<BlockId>),
    Source(String),
    Text(String),
    Time(Range<i64>),
}

fn wanted(args: &ForgetArgs) -> Result<Wanted, Failure> {
    let conversation = args.session.as_deref().map(conversation).transpose()?;
    let time = time(args.since.as_deref(), args.until.as_deref())?;
    let mut all: Vec<Wanted> = Vec::new();
    if !args.ids.is_empty() {
        all.push(Wanted::Blocks(args.ids.iter().map(|&id| BlockId(id)).collect()));
    }
    all.extend([&args.source, &conversation].into_iter().flatten().cloned().map(Wanted::Source));
    all.extend(args.matching.clone().map(Wanted::Text));
    all.extend(time.map(Wanted::Time));
    let one = all.pop().filter(|_| all.is_empty());
    match one {
        Some(Wanted::Text(text)) if text.trim().is_empty() => {
            Err(Failure::bad_argument("--matching: the text is empty"))
        }
        Some(one) => Ok(one),
        None => Err(Failure::bad_argument(
            "exactly one is taken: block IDs, --source, --session, --matching, or --since and \
             --until",
        )),
    }
}

pub(crate) fn run(context: &mut Context, args: &ForgetArgs) -> Result<u8, Failure> {
    let wanted = wanted(args)?;
    let mut store = writer(context)?;
    let reader = store.reader();
    let mut sources: Vec<SourceId> = Vec::new();
    let what = match &wanted {
        Wanted::Blocks(ids) => {
            for &id in ids {
                reader.block(id)?;
            }
            Forget::Blocks(ids)
        }
        Wanted::Source(name) => {
            let all = reader.sources();
            sources.extend(all.iter().filter(|s| s.name == *name).map(|s| s.id));
            if sources.is_empty() {
                return Err(Failure::new(
                    "source_unknown",
                    format!("the memory has no source {name:?}"),
                )
                .hint("`lcedge memory list` shows the sources".to_owned()));
            }
            Forget::Sources(&sources)
        }
        Wanted::Text(text) => Forget::Text(text),
        Wanted::Time(range) => Forget::Time(range.clone()),
    };
    // Recall while reading carries a passage into other sources' keys and values as well.
    let strictness = match (args.strict, context.options.stale_blocks) {
        (false, _) => Strictness::Passage,
        (true, 0) => Strictness::Source,
        (true, _) => Strictness::Store,
    };
    let done = store
        .forget(&what, strictness)
        .map_err(|e| Failure::new("forget", format!("not everything could be forgotten: {e}")))?;
    let mut event = serde_json::to_value(done).unwrap_or_else(|_| json!({}));
    if let Value::Object(fields) = &mut event {
        fields.insert("event".to_owned(), json!("forget"));
    }
    let out = &context.out;
    out.event(&event)?;
    let later = match done.left_as_text {
        0 => String::new(),
        n => format!("; {} later blocks are left as text", size::count(n)),
    };
    out.line(format!(
        "Forgot {} blocks ({} tokens), {} segments written anew{later}.",
        size::count(done.blocks),
        size::count(done.tokens),
        size::count(done.segments),
    ))?;
    if !done.log_emptied {
        out.note(
            "another process reads this memory: the catalogue's log still holds traces until the \
             memory is next opened and nobody reads",
        );
    }
    Ok(0)
}

pub(crate) fn pin(context: &mut Context, ids: &[u64], pinned: bool) -> Result<u8, Failure> {
    let mut store = writer(context)?;
    let ids: Vec<BlockId> = ids.iter().map(|&id| BlockId(id)).collect();
    let reader = store.reader();
    for &id in &ids {
        reader.block(id)?;
    }
    let failed = |e: &dyn std::fmt::Display| Failure::new("store", e);
    store.pin(&ids, pinned).map_err(|e| failed(&e))?;
    let all = store.pins().len();
    let (event, verb) = if pinned { ("pin", "Pinned") } else { ("unpin", "Unpinned") };
    context.out.event(&json!({
        "event": event, "blocks": ids.iter().map(|id| id.0).collect::<Vec<_>>(), "pinned": all,
    }))?;
    let n = size::count(ids.len() as u64);
    context.out.line(format!("{verb} {n} blocks; {} are pinned.", size::count(all as u64)))?;
    Ok(0)
}
