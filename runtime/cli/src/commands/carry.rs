//! `memory export`, `memory import`, `memory compact`: a memory as one file, and smaller files.

use std::path::Path;

use lcedge::compress::quant;
use lcedge::memory::{
    ExportError, ExportOptions, Exported, ImportOptions, SourceId, SourceInfo, Store,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::forget::writer;
use super::memory::reader;
use crate::args::ExportArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::size;

/// A library's report as an event.
fn event(name: &str, report: impl Serialize, more: &[(&str, Value)]) -> Value {
    let mut event = serde_json::to_value(report).unwrap_or_else(|_| json!({}));
    if let Value::Object(fields) = &mut event {
        fields.insert("event".to_owned(), json!(name));
        fields.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    }
    event
}

fn failed(e: ExportError) -> Failure {
    let (kind, hint) = match &e {
        ExportError::Exists { .. } => ("file_exists", Some("name another file, or remove it")),
        ExportError::NotAnExport { .. } => {
            ("not_an_export", Some("`lcedge memory export FILE` writes what is taken in"))
        }
        ExportError::Version { .. } => {
            ("export_version", Some("use a newer lcedge, or export with an older one"))
        }
        ExportError::Damaged { .. } => {
            ("export_damaged", Some("nothing was taken in; export it again, or copy it again"))
        }
        ExportError::SourceExists { .. } => (
            "source_exists",
            Some("nothing was taken in; --prefix TEXT puts a text before every name"),
        ),
        ExportError::Io { .. } => ("file", None),
        _ => ("store_io", Some("`lcedge memory verify --deep` says what is damaged")),
    };
    Failure::new(kind, e).hint(hint.map(str::to_owned))
}

/// All versions of the sources of these names.
fn chosen(sources: &[SourceInfo], names: &[String]) -> Result<Vec<SourceId>, Failure> {
    for name in names {
        if !sources.iter().any(|s| s.name == *name) {
            return Err(Failure::new(
                "source_unknown",
                format!("the memory has no source {name:?}"),
            )
            .hint("`lcedge memory list` shows the sources".to_owned()));
        }
    }
    Ok(sources.iter().filter(|s| names.contains(&s.name)).map(|s| s.id).collect())
}

fn counted(n: u64, what: &str) -> String {
    format!("{} {what}{}", size::count(n), if n == 1 { "" } else { "s" })
}

pub(super) fn export(context: &mut Context, args: &ExportArgs) -> Result<u8, Failure> {
    let reader = reader(context)?;
    let sources = chosen(&reader.sources(), &args.source)?;
    let options = ExportOptions {
        keys_and_values: !args.text_only,
        sources: if args.source.is_empty() { None } else { Some(&sources) },
    };
    let done = reader.export(&args.file, &options).map_err(failed)?;
    let out = &context.out;
    let more = [("file", json!(args.file)), ("keys_and_values", json!(!args.text_only))];
    out.event(&event("export", done, &more))?;
    let how = match (args.text_only, done.kv_blocks == done.blocks) {
        (true, _) => "as text".to_owned(),
        (false, true) => "with keys and values".to_owned(),
        (false, false) => format!("{} of them with keys and values", size::count(done.kv_blocks)),
    };
    out.line(format!(
        "Wrote {}, {} {how}, to {}: {}.",
        counted(done.sources, "source"),
        counted(done.blocks, "block"),
        args.file.display(),
        size::text(done.bytes),
    ))?;
    say_damaged(context, &done);
    Ok(u8::from(done.damaged > 0))
}

fn say_damaged(context: &Context, done: &Exported) {
    if done.damaged > 0 {
        context.out.warn(format!(
            "{} could not be read and are left out: `lcedge memory verify --deep` names them",
            counted(done.damaged, "damaged block"),
        ));
    }
    if done.doubled > 0 {
        context.out.warn(format!(
            "{} left out: other blocks hold the same text of their sources",
            counted(done.doubled, "block"),
        ));
    }
}

/// A file can be taken in where there is no memory yet: on a new machine, say.
fn make_store_dir(context: &Context) -> Result<(), Failure> {
    let dir = context.store_dir()?;
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(&dir).map_err(|e| match dir.exists() {
        true => Failure::new("store_not_a_directory", format!("{} is a file", dir.display())),
        false => Failure::file(&dir, &e),
    })
}

pub(super) fn import(context: &mut Context, file: &Path, prefix: &str) -> Result<u8, Failure> {
    let options = ImportOptions { prefix, payload_bytes: Some(quant::payload_bytes) };
    if !context.store_dir()?.exists() {
        // What is wrong with the file shows before there is a memory.
        Store::check_import(file, &options).map_err(failed)?;
    }
    make_store_dir(context)?;
    let mut store = writer(context)?;
    let done = store.import(file, &options).map_err(failed)?;
    let out = &context.out;
    out.event(&event("import", done, &[("file", json!(file)), ("prefix", json!(prefix))]))?;
    let text = done.blocks - done.kv_blocks;
    let how = match (done.kv_blocks, text) {
        (_, 0) => "with keys and values".to_owned(),
        (0, _) => "as text, encoded again when they are recalled".to_owned(),
        (kv, text) => format!("{} with keys and values, {} as text", size::count(kv), text),
    };
    out.line(format!(
        "Took in {}, {}, {how}.",
        counted(done.sources, "source"),
        counted(done.blocks, "block"),
    ))?;
    Ok(0)
}

pub(super) fn compact(context: &mut Context) -> Result<u8, Failure> {
    let mut store = writer(context)?;
    let done = store
        .compact()
        .map_err(|e| Failure::new("store_io", format!("the memory could not be compacted: {e}")))?;
    let out = &context.out;
    out.event(&event("compact", done, &[]))?;
    out.line(format!(
        "The memory takes {}, it took {}.",
        size::text(done.bytes_after),
        size::text(done.bytes_before),
    ))?;
    Ok(0)
}
