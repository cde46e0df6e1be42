//! Changed model files give errors or models: never a panic, never memory far beyond their size.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::fs;
use std::path::{Path, PathBuf};

use lcedge_models::fetch::sha256_file;
use lcedge_models::gguf::Gguf;
use lcedge_models::prepare::Prepared;
use lcedge_models::safetensors::Safetensors;
use lcedge_models::tokenizer::json_from_gguf;
use lcedge_models::{Card, LayerPart, MemorySource, Part, Tokenizer, Weights};
use serde_json::json;

use fuzz::Target;
use largest::bounded;

#[path = "../../tests/common/fuzz.rs"]
mod fuzz;
#[path = "../../tests/common/largest.rs"]
mod largest;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn read(name: &str) -> Vec<u8> {
    fs::read(data(name)).unwrap()
}

/// Reads every tensor that the decoder has, as far as its layers are few.
fn read_all(weights: &Weights) {
    let layers = weights.decoder().layers.min(8);
    let parts = (0..layers).flat_map(|l| LayerPart::ALL.map(|p| Part::Layer(l, p)));
    for part in parts.chain([Part::Embedding, Part::Head, Part::FinalNorm]) {
        let _ = (weights.matrix(part), weights.dense(part));
    }
}

#[test]
fn gguf_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.gguf");
    let inputs = vec![read("tiny.gguf"), read("smollm-small.gguf")];
    let mut opened = 0;
    let target = Target { name: "gguf", seed: 21, rounds: 1500, kept: &[], inputs };
    target.run(|input, _| {
        fs::write(&path, input).unwrap();
        bounded(input.len(), || {
            let Ok(gguf) = Gguf::open(&path) else { return };
            opened += 1;
            let _ = json_from_gguf(&gguf);
            if let Ok(weights) = Weights::from_gguf(gguf) {
                read_all(&weights);
            }
        });
    });
    assert!(opened > 100, "{opened} were read beyond the head");
}

/// States the length of the header again, so that a changed header is read.
fn measured(bytes: &mut [u8]) {
    // Where the data begins: behind the header's last brace.
    let ends = bytes.iter().take(1 << 16).rposition(|&b| b == b'}');
    if let Some(end) = ends.filter(|&end| end >= 8) {
        bytes[..8].copy_from_slice(&(end as u64 - 7).to_le_bytes());
    }
}

#[test]
fn safetensors_files_and_their_folder() {
    let dir = tempfile::tempdir().unwrap();
    let weights = dir.path().join("model.safetensors");
    let config = dir.path().join("config.json");
    let good = (read("woven/model.safetensors"), read("woven/config.json"));
    // The last brace of the header is the last of the file's beginning only without its data.
    let header = 8 + u64::from_le_bytes(*good.0.first_chunk().unwrap()) as usize;
    let inputs = vec![good.0[..header].to_vec()];
    let mut opened = 0;
    fs::write(&config, &good.1).unwrap();
    let target = Target { name: "safetensors", seed: 22, rounds: 1500, kept: &[], inputs };
    target.run(|input, random| {
        let mut bytes = input.to_vec();
        if random.below(4) > 0 {
            measured(&mut bytes);
        }
        bytes.extend_from_slice(&good.0[header..good.0.len() - random.below(2)]);
        fs::write(&weights, &bytes).unwrap();
        bounded(bytes.len(), || {
            let _ = Weights::open(dir.path()).map(|w| read_all(&w));
            let Ok(tensors) = Safetensors::open_file(&weights) else { return };
            opened += 1;
            tensors.names().for_each(|name| drop(tensors.dense(name)));
        });
    });
    assert!(opened > 50, "{opened} were read");
    fs::write(&weights, &good.0).unwrap();
    let target = Target {
        name: "config.json",
        seed: 23,
        rounds: 1500,
        kept: &[(23, 145)],
        inputs: vec![good.1],
    };
    target.run(|input, _| {
        fs::write(&config, input).unwrap();
        let _ = bounded(good.0.len(), || Weights::open(dir.path()).map(|w| read_all(&w)));
    });
}

#[test]
fn trained_memories() {
    let dir = tempfile::tempdir().unwrap();
    let names = ["memory.json", "memory.safetensors", "beacons.safetensors"];
    for name in names {
        fs::copy(data("woven").join(name), dir.path().join(name)).unwrap();
    }
    let weights = Weights::open(&data("woven")).unwrap();
    let open = |dir: &Path| {
        let source = MemorySource::folder(dir).ok()?;
        let _ = source.check_base(&data("woven"), None);
        let memory = source.open(weights.decoder()).ok()?;
        for part in (0..2).flat_map(|l| LayerPart::ALL.map(|p| Part::Layer(l, p))) {
            let _ = memory.change(part);
        }
        let _ = (memory.address(), memory.beacon_projection(0), memory.beacon_embedding());
        Some(source.card())
    };
    assert!(open(dir.path()).is_some(), "the memory that is changed");
    let whole = 80_000;
    let inputs = vec![read("woven/memory.json")];
    let target =
        Target { name: "memory.json", seed: 24, rounds: 1500, kept: &[], inputs: inputs.clone() };
    target.run(|input, _| {
        fs::write(dir.path().join("memory.json"), input).unwrap();
        bounded(whole, || open(dir.path()));
    });
    // Changed tensors whose hash is stated again.
    for (name, seed) in [("memory.safetensors", 25), ("beacons.safetensors", 26)] {
        let good = read(&format!("woven/{name}"));
        let header = 8 + u64::from_le_bytes(*good.first_chunk().unwrap()) as usize;
        let tensors = vec![good[..header].to_vec()];
        let target = Target { name, seed, rounds: 500, kept: &[], inputs: tensors };
        let path = dir.path().join(name);
        let mut stated: serde_json::Value = serde_json::from_slice(&inputs[0]).unwrap();
        target.run(|input, random| {
            let mut bytes = input.to_vec();
            if random.below(4) > 0 {
                measured(&mut bytes);
            }
            bytes.extend_from_slice(&good[header..]);
            fs::write(&path, &bytes).unwrap();
            stated["files"][name]["sha256"] = json!(sha256_file(&path).unwrap());
            fs::write(dir.path().join("memory.json"), stated.to_string()).unwrap();
            bounded(whole, || open(dir.path()));
        });
        fs::write(&path, &good).unwrap();
    }
}

#[test]
fn cards_of_prepared_models() {
    let dir = tempfile::tempdir().unwrap();
    let card = serde_json::to_vec(&Card::for_test(2, 64, 128, 4, 2, 16, 100)).unwrap();
    let trained = br#"{"name":"m","hash":"","system":"s","absent":"a","beacons":[4,8],
        "address":{"layer":1,"dim":8,"keys":4,"segment_tokens":16}}"#;
    let mut other: serde_json::Value = serde_json::from_slice(&card).unwrap();
    other["memory"] = serde_json::from_slice(trained).unwrap();
    other["retrieval_heads"] = json!([{"layer": 1, "kv_head": 0}]);
    let manifest = json!({"files": {"decoder.onnx": 3}}).to_string();
    fs::write(dir.path().join("decoder.onnx"), "abc").unwrap();
    let (card_at, manifest_at) = (dir.path().join("card.json"), dir.path().join(MANIFEST));
    fs::write(&manifest_at, &manifest).unwrap();
    let look = |whole: usize| {
        bounded(whole, || {
            let Ok(prepared) = Prepared::open(dir.path()) else { return false };
            let g = prepared.card.geometry(64);
            let _ = (g.values_per_token(), prepared.load_tokenizer().is_err());
            true
        })
    };
    let inputs = vec![card.clone(), other.to_string().into_bytes()];
    let mut opened = 0;
    let target = Target { name: "card.json", seed: 27, rounds: 1500, kept: &[], inputs };
    target.run(|input, _| {
        fs::write(&card_at, input).unwrap();
        opened += u32::from(look(input.len()));
    });
    assert!(opened > 50, "{opened} were read");
    fs::write(&card_at, &card).unwrap();
    let inputs = vec![manifest.into_bytes()];
    let target = Target { name: MANIFEST, seed: 28, rounds: 1000, kept: &[], inputs };
    target.run(|input, _| {
        fs::write(&manifest_at, input).unwrap();
        look(input.len());
    });
}

const MANIFEST: &str = "prepared.json";

#[test]
fn tokenizers() {
    let zoo = Path::new(env!("CARGO_MANIFEST_DIR")).join("zoo/stories260k/tokenizer.json");
    let inputs = vec![fs::read(zoo).unwrap()];
    let target = Target { name: "tokenizer.json", seed: 29, rounds: 300, kept: &[], inputs };
    target.run(|input, _| {
        bounded(input.len(), || {
            let Ok(tokenizer) = Tokenizer::from_json(input) else { return };
            if let Ok(ids) = tokenizer.encode("Once upon a time, größe \u{1f600}\n") {
                let _ = tokenizer.decode(&ids);
            }
            let _ = tokenizer.encode_spans(b"a \xff b\n");
        });
    });
}
