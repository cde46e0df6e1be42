use std::path::Path;

use super::*;
use crate::fetch::sha256_file;
use crate::weights::Weights;

/// Tensors of a safetensors file in 32 bits.
fn write(path: &Path, tensors: &[(String, Vec<usize>, Vec<f32>)], ratios: &str) {
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    let metadata = serde_json::json!({ "ratios": ratios, "slots": "3", "width": "5" });
    header.insert("__metadata__".into(), metadata);
    for (name, shape, values) in tensors {
        let begin = data.len();
        data.extend(values.iter().flat_map(|x| x.to_le_bytes()));
        let entry = serde_json::json!(
            { "dtype": "F32", "shape": shape, "data_offsets": [begin, data.len()] });
        header.insert(name.clone(), entry);
    }
    let header = serde_json::to_vec(&header).unwrap();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend(data);
    std::fs::write(path, bytes).unwrap();
}

fn tensor(name: &str, shape: &[usize]) -> (String, Vec<usize>, Vec<f32>) {
    (name.to_owned(), shape.to_vec(), vec![0.5; shape.iter().product()])
}

/// A one-layer decoder: 64 values wide, two heads over two of 32, 64 in the gated layer.
fn weights() -> Weights {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny.gguf");
    Weights::open(&data).unwrap()
}

/// All tensors that a memory of [`weights`] has.
fn complete(d: &Decoder) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let mut out = Vec::new();
    for part in (0..d.layers).flat_map(|l| LayerPart::ALL.map(|p| Part::Layer(l, p))) {
        let Some(name) = change_name(part) else { continue };
        let [rows, cols] = part_shape(d, part);
        out.push(tensor(&format!("{name}.lora_A"), &[3, cols]));
        out.push(tensor(&format!("{name}.lora_B"), &[rows, 3]));
    }
    for name in ["key", "query"] {
        out.push(tensor(&format!("address.{name}"), &[d.hidden, 7]));
        out.push(tensor(&format!("address.gate_{name}"), &[d.hidden]));
    }
    out.push(tensor(SHARPNESS, &[]));
    out
}

/// A memory's folder; `edit` changes its description.
fn folder(
    tensors: &[(String, Vec<usize>, Vec<f32>)],
    edit: &dyn Fn(&mut serde_json::Value),
) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("memory.safetensors");
    write(&file, tensors, "[4, 8]");
    let mut card = serde_json::json!({
        "base": {},
        "files": { "memory.safetensors": { "sha256": sha256_file(&file).unwrap() } },
        "lora": { "rank": 3, "scale": 2.0 },
        "address": { "layer": 0, "dim": 7, "keys_per_block": 4, "block": 64 },
        "prompt": { "system": "S", "absent": "A" },
        "measured": { "anything": 1 },
    });
    edit(&mut card);
    std::fs::write(dir.path().join("memory.json"), card.to_string()).unwrap();
    dir
}

/// The folder of a memory for another decoder.
pub(crate) fn folder_for(d: &Decoder) -> tempfile::TempDir {
    folder(&complete(d), &|_| {})
}

fn refusal(tensors: &[(String, Vec<usize>, Vec<f32>)]) -> MemoryError {
    let dir = folder(tensors, &|_| {});
    MemorySource::folder(dir.path()).unwrap().open(weights().decoder()).unwrap_err()
}

#[test]
fn a_complete_memory_is_read() {
    let (weights, mut tensors) = (weights(), complete(weights().decoder()));
    tensors[0].2[4] = -1.0;
    let dir = folder(&tensors, &|_| {});
    let source = MemorySource::folder(dir.path()).unwrap();
    source.check_base(dir.path(), None).unwrap();
    let memory = source.open(weights.decoder()).unwrap();
    assert_eq!(memory.card(), &source.card().unwrap());
    assert_eq!((memory.card().system.as_str(), memory.card().absent.as_str()), ("S", "A"));
    let address = memory.card().address.unwrap();
    assert_eq!((address.dim, address.keys, address.segment_tokens), (7, 4, 16));
    assert_eq!(memory.address().unwrap().unwrap().key.len(), weights.decoder().hidden * 8);
    let change = memory.change(Part::Layer(0, LayerPart::Query)).unwrap().unwrap();
    let cols = weights.decoder().hidden;
    let mut row = vec![1.0; cols];
    change.add_to(5..6, &mut row);
    // Scale 2: three times 2 * 0.5 * 0.5, one of them with -1 in place of 0.5.
    assert_eq!((row[0], row[4]), (2.5, 1.0));
    assert!(memory.change(Part::Embedding).unwrap().is_none());
    assert!(memory.change(Part::Layer(0, LayerPart::FfnNorm)).unwrap().is_none());
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let whole = complete(weights().decoder());
    let message = refusal(&whole[1..]).to_string();
    assert!(message.contains("lacks") && message.contains("q_proj.lora_A"), "{message}");
    let mut other = whole.clone();
    other[1] = tensor(&other[1].0, &[9, 3]);
    let message = refusal(&other).to_string();
    assert!(message.contains("q_proj.lora_B") && message.contains("[9, 3]"), "{message}");
    other[1] = whole[1].clone();
    other[0] = tensor(&other[0].0, &[0, weights().decoder().hidden]);
    assert!(matches!(refusal(&other), MemoryError::Shape { .. }));
    let mut more = whole.clone();
    more.push(tensor("model.layers.1.self_attn.q_proj.lora_A", &[3, 64]));
    assert!(matches!(refusal(&more), MemoryError::Unknown { .. }));
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    let weights = weights();
    let mut tensors = complete(weights.decoder());
    tensors[0].2[7] = f32::NAN;
    let dir = folder(&tensors, &|_| {});
    let memory = MemorySource::folder(dir.path()).unwrap().open(weights.decoder()).unwrap();
    let error = memory.change(Part::Layer(0, LayerPart::Query)).unwrap_err();
    assert!(matches!(error, MemoryError::NotFinite { at: 7, .. }), "{error}");
}

#[test]
fn other_files_and_other_weights_are_refused() {
    let weights = weights();
    let tensors = complete(weights.decoder());
    let open = |edit: &dyn Fn(&mut serde_json::Value)| {
        let dir = folder(&tensors, edit);
        let source = MemorySource::folder(dir.path())?;
        source.check_base(dir.path(), Some("aa"))?;
        source.open(weights.decoder())
    };
    let hash = |card: &mut serde_json::Value| {
        card["files"]["memory.safetensors"]["sha256"] = "00".into();
    };
    assert!(matches!(open(&hash), Err(MemoryError::Hash { .. })));
    let base = |card: &mut serde_json::Value| card["base"]["sha256"] = "bb".into();
    assert!(matches!(open(&base), Err(MemoryError::Base { .. })));
    let layer = |card: &mut serde_json::Value| card["address"]["layer"] = 1.into();
    assert!(matches!(open(&layer), Err(MemoryError::Value { .. })));
    let file = |card: &mut serde_json::Value| {
        card["files"]["../x.safetensors"] = serde_json::json!({ "sha256": "00" });
    };
    assert!(matches!(open(&file), Err(MemoryError::Value { what: "a file", .. })));
    let prompt = |card: &mut serde_json::Value| card["prompt"] = 1.into();
    assert!(matches!(open(&prompt), Err(MemoryError::Json { .. })));
}

#[test]
fn beacons_come_with_their_file() {
    let weights = weights();
    let d = weights.decoder();
    let rows = (d.heads + 2 * d.kv_heads) * d.head_dim;
    let beacons =
        [tensor(&beacon_name(0), &[rows, d.hidden]), tensor(BEACON_EMBEDDING, &[2, d.hidden])];
    let dir = folder(&complete(d), &|_| {});
    let file = dir.path().join("beacons.safetensors");
    for (ratios, fits) in [("[4, 8]", true), ("[8, 4]", false), ("[4, 8, 16]", false), ("?", false)]
    {
        write(&file, &beacons, ratios);
        let path = dir.path().join("memory.json");
        let mut card: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let hash = sha256_file(&file).unwrap();
        card["files"]["beacons.safetensors"] = serde_json::json!({ "sha256": hash });
        std::fs::write(&path, card.to_string()).unwrap();
        let memory = MemorySource::folder(dir.path()).unwrap().open(d);
        assert_eq!(memory.is_ok(), fits, "{ratios}");
        if let Ok(memory) = memory {
            assert_eq!(memory.card().beacons, [4, 8]);
            assert_eq!(memory.beacon_projection(0).unwrap().len(), rows * d.hidden);
        }
    }
}

/// Adds a file to a memory's folder and its description.
fn add(dir: &Path, name: &str, tensors: &[(String, Vec<usize>, Vec<f32>)]) {
    let (file, path) = (dir.join(name), dir.join("memory.json"));
    write(&file, tensors, "[4, 8]");
    let mut card: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    card["files"][name] = serde_json::json!({ "sha256": sha256_file(&file).unwrap() });
    std::fs::write(&path, card.to_string()).unwrap();
}

/// All tensors of a gist of 3 slots and a look-up of 5 for [`weights`], whose address has 7.
fn whole_gist(d: &Decoder) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let (l, h, e) = (d.layers, d.kv_heads, 2 * d.head_dim);
    [
        ("init", vec![l, h, 3, e]),
        ("scale", vec![l, h, e]),
        ("query", vec![l, h, e, 5]),
        ("slot", vec![l, h, 3, 5]),
        ("key", vec![l, h, e, 5]),
        ("value", vec![l, h, e, e]),
        ("gate", vec![l, h, 2 * e]),
        ("gate_bias", vec![l, h]),
        ("question", vec![l, h, 7, 5]),
    ]
    .map(|(name, shape)| tensor(&format!("gist.{name}"), &shape))
    .to_vec()
}

/// Adds beacons of two ratios.
fn add_beacons(dir: &Path, d: &Decoder) {
    let rows = (d.heads + 2 * d.kv_heads) * d.head_dim;
    let layers = (0..d.layers).map(|layer| (beacon_name(layer), rows));
    let all = layers.chain([(BEACON_EMBEDDING.to_owned(), 2)]);
    let tensors: Vec<_> = all.map(|(name, rows)| tensor(&name, &[rows, d.hidden])).collect();
    add(dir, "beacons.safetensors", &tensors);
}

/// The folder of a memory with beacons and a gist for another decoder.
pub(crate) fn folder_with_gist(d: &Decoder) -> tempfile::TempDir {
    let dir = folder_for(d);
    add_beacons(dir.path(), d);
    add(dir.path(), "gist.safetensors", &whole_gist(d));
    dir
}

#[test]
fn a_gist_comes_with_its_file() {
    let weights = weights();
    let d = weights.decoder();
    let open = |gist: &[(String, Vec<usize>, Vec<f32>)], beacons: bool| {
        let dir = folder(&complete(d), &|_| {});
        let stock = MemorySource::folder(dir.path()).unwrap();
        if beacons {
            add_beacons(dir.path(), d);
        }
        add(dir.path(), "gist.safetensors", gist);
        let source = MemorySource::folder(dir.path()).unwrap();
        assert_ne!(source.identity(), stock.identity());
        source.open(d)
    };
    let whole = whole_gist(d);
    let memory = open(&whole, true).unwrap();
    let shape = memory.card().gist.unwrap();
    assert_eq!((shape.slots, shape.width), (3, 5));
    let gist = memory.gist().unwrap().unwrap();
    assert_eq!(gist.gate_bias.len(), d.layers * d.kv_heads);
    assert_eq!(gist.question.len(), d.layers * d.kv_heads * 7 * 5);

    let alone = open(&whole, false).unwrap_err();
    assert!(matches!(alone, MemoryError::Value { .. }), "{alone}");
    let missing = open(&whole[1..], true).unwrap_err().to_string();
    assert!(missing.contains("lacks") && missing.contains("gist.init"), "{missing}");
    let mut other = whole.clone();
    other[3] = tensor("gist.slot", &[d.layers, d.kv_heads, 4, 5]);
    assert!(matches!(open(&other, true), Err(MemoryError::Shape { .. })));
    other[3] = whole[3].clone();
    other.push(tensor("gist.more", &[1]));
    assert!(matches!(open(&other, true), Err(MemoryError::Unknown { .. })));
    other.pop();
    other[6].2[2] = f32::NAN;
    let error = open(&other, true).unwrap().gist().unwrap_err();
    assert!(matches!(error, MemoryError::NotFinite { at: 2, .. }), "{error}");
}

#[test]
fn memories_of_the_program_are_whole() {
    for model in crate::zoo::models() {
        let Some(source) = MemorySource::zoo(&model.name) else { continue };
        let source = source.unwrap();
        let wheel = model.wheel.unwrap();
        source.check_base(Path::new("never read"), Some(&wheel.member_sha256)).unwrap();
        for (name, stated) in &source.description.files {
            assert_eq!(source.file(name, true).unwrap().1, stated.sha256, "{name}");
        }
        assert_eq!(source.card().unwrap().hash.len(), 64);
    }
    assert!(MemorySource::zoo("stories260k").is_none());
}
