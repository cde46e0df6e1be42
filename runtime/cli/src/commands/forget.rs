//! `memory forget`, `memory pin`, `memory unpin`: what changes a store without running a model.

use lcedge::memory::{BlockId, Forget, SourceId, Store, Strictness};
use lcedge::setup;
use serde_json::{Value, json};

use crate::args::ForgetArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::size;

/// The store as its writer; refused while another process writes.
pub(super) fn writer(context: &mut Context) -> Result<Store, Failure> {
    let (dir, options) = context.setting_up(setup::store_for_reading)?;
    Ok(Store::open(&dir, &options).map_err(setup::SetupError::from)?)
}

pub(crate) fn run(context: &mut Context, args: &ForgetArgs) -> Result<u8, Failure> {
    let mut store = writer(context)?;
    let reader = store.reader();
    let ids: Vec<BlockId> = args.ids.iter().map(|&id| BlockId(id)).collect();
    for &id in &ids {
        reader.block(id)?;
    }
    let sources: Vec<SourceId> = match &args.source {
        Some(name) => reader.sources().iter().filter(|s| s.name == *name).map(|s| s.id).collect(),
        None => Vec::new(),
    };
    let what = match (&args.source, &args.matching) {
        (Some(name), _) if sources.is_empty() => {
            return Err(Failure::new(
                "source_unknown",
                format!("the memory has no source {name:?}"),
            )
            .hint("`lcedge memory list` shows the sources".to_owned()));
        }
        (Some(_), _) => Forget::Sources(&sources),
        (None, Some(text)) if text.trim().is_empty() => {
            return Err(Failure::bad_argument("--matching: the text is empty"));
        }
        (None, Some(text)) => Forget::Text(text),
        (None, None) => Forget::Blocks(&ids),
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
