//! `plan`: every size before anything is allocated.

use lcedge::{Plan, setup};
use serde_json::{Value, json};

use crate::context::{Context, weights_name};
use crate::failure::Failure;
use crate::size;

pub(crate) fn run(context: &mut Context) -> Result<u8, Failure> {
    context.options.store = context.store_dir().ok();
    let mapped = context.options.store.as_deref().map_or(0, lcedge::memory::index_bytes);
    let (plan, prepared) = context.setting_up(setup::plan)?;
    let out = &context.out;
    let total = plan.ram.total();
    let mut event = serde_json::to_value(plan).unwrap_or_else(|_| json!({}));
    if let Value::Object(fields) = &mut event {
        fields.insert("event".to_owned(), json!("plan"));
        fields.insert("model".to_owned(), json!(prepared.card.name));
        fields.insert("ram_bytes".to_owned(), json!(total));
        fields.insert("ram_bytes_max".to_owned(), json!(context.options.ram_bytes));
        fields.insert("index_mapped_bytes".to_owned(), json!(mapped));
        fields.insert("disk_bytes_max".to_owned(), json!(context.options.disk_bytes));
        let per_day = context.options.write_bytes_per_day;
        fields.insert("write_bytes_per_day".to_owned(), json!(per_day));
    }
    out.event(&event)?;
    let kind = weights_name(plan.weights);
    out.line(format!(
        "{}, {kind} weights, {} threads",
        out.paint.bold(&prepared.card.name),
        plan.threads
    ))?;
    out.line("")?;
    out.line(out.paint.bold("Tokens"))?;
    for (name, tokens) in [
        ("window: exact tokens in attention", plan.window_tokens),
        ("  recent text", plan.recent_tokens_max),
        ("  memory (sinks, condensed, recalled)", plan.memory_tokens_max),
        ("chunk: one step of the model", plan.chunk_tokens),
        ("recalled for a question, at most", plan.ask_recall_tokens),
        ("block: the unit of memory", plan.block_tokens),
    ] {
        out.line(format!("  {name:<40} {:>10}", size::count(tokens as u64)))?;
    }
    out.line("")?;
    out.line(out.paint.bold("RAM"))?;
    let ram = plan.ram;
    for (name, bytes) in [
        ("weights", ram.weights),
        ("window", ram.window),
        ("engine", ram.engine),
        ("index, the resident part", ram.index),
        ("catalogue", ram.catalogue),
        ("queue", ram.queue),
        ("segments, the resident part", ram.map),
        ("gist", ram.gist),
        ("together", total),
    ] {
        out.line(format!("  {name:<40} {:>10}", size::text(bytes)))?;
    }
    out.line(format!(
        "  The index of the memory, {} now, and sealed segments are mapped: what is\n  \
         looked at is given back beyond these sizes.",
        size::text(mapped)
    ))?;
    out.line("")?;
    disk(context, &plan)
}

/// What tokens take on disk, and what a day may write.
fn disk(context: &Context, plan: &Plan) -> Result<u8, Failure> {
    let out = &context.out;
    out.line(out.paint.bold("Disk"))?;
    out.line(format!("  {:<40} {:>10}", "a token, exact", size::text(plan.store_bytes_per_token)))?;
    let million = plan.store_bytes_per_token.saturating_mul(1_000_000);
    out.line(format!("  {:<40} {:>10}", "a million tokens", size::text(million)))?;
    if let Some(disk) = context.options.disk_bytes {
        let tokens = disk / plan.store_bytes_per_token.max(1);
        out.line(format!("  {:<40} {:>10}", "tokens that fit into --disk", size::count(tokens)))?;
    }
    let each = plan.store_bytes_per_token.max(1);
    let (budget, tokens) = match context.options.write_bytes_per_day {
        Some(bytes) => (size::text(bytes), size::count(bytes / each)),
        None => ("no limit".to_owned(), "no limit".to_owned()),
    };
    out.line(format!("  {:<40} {budget:>10}", "write budget a day"))?;
    out.line(format!("  {:<40} {tokens:>10}", "tokens a day, exact"))?;
    Ok(0)
}
