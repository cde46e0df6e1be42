//! Packed matrices kept on disk give the same results, and are never half there.

use std::path::Path;

use lcedge_models::WeightKind;
use lcedge_targets::contract::{absorb, assert_close};
use lcedge_targets::ort::{OrtEngine, Packing};

use crate::common::{Model, Small, model, open, options, runtime, stories};

#[test]
fn packed_graphs_give_the_same_results() {
    let tokens: Vec<u32> = (0..60).map(|i| i * 37 % 128).collect();
    for small in [Small::Stories, Small::Random] {
        for kind in [WeightKind::F32, WeightKind::F16, WeightKind::Int8, WeightKind::Int4] {
            let model = model(small, kind);
            let folder = tempfile::tempdir().unwrap();
            let mut options = options(64);
            let mut plain = open(&model, &options);
            assert!(plain.packed().is_none());
            let want = absorb(&mut plain, &tokens, 0, 20);
            options.packing = Packing::Under(folder.path().to_path_buf());
            for again in [false, true] {
                let mut packed = open(&model, &options);
                let floats = matches!(kind, WeightKind::F32 | WeightKind::F16);
                match packed.packed().unwrap() {
                    Ok(place) => assert!(floats && place.starts_with(folder.path())),
                    Err(why) => assert!(!floats && why.contains("wrongly"), "{kind:?}: {why}"),
                }
                let got = absorb(&mut packed, &tokens, 0, 20);
                let what = format!("logits of {} {kind:?}, loaded again: {again}", small.name());
                assert_close(&what, &got.logits, &want.logits, 1e-5);
            }
            let left = names(folder.path());
            assert!(left.len() == 2 || left.is_empty(), "{left:?}");
        }
    }
}

/// What a folder holds: the packed folder and a lock, when all went well.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|e| e.file_name().into_string().unwrap()).collect()
}

#[test]
fn what_an_older_program_or_a_dead_one_left_is_removed() {
    let from = stories(WeightKind::F32);
    let folder = tempfile::tempdir().unwrap();
    for name in ["model.onnx", "weights.bin"] {
        std::fs::copy(from.dir.join(name), folder.path().join(name)).unwrap();
    }
    for left in ["packed-1.0.0-0123", ".stage-packed"] {
        std::fs::create_dir(folder.path().join(left)).unwrap();
        std::fs::write(folder.path().join(left).join("model.onnx"), b"old").unwrap();
    }
    let mut options = options(64);
    options.packing = Packing::BesideGraph;
    let model = Model { graph: folder.path().join("model.onnx"), card: from.card };
    let engine = open(&model, &options);
    let packed = engine.packed().unwrap().unwrap().file_name().unwrap().to_str().unwrap();
    let mut left = names(folder.path());
    left.sort();
    assert_eq!(left, [".packed.lock", "model.onnx", packed, "weights.bin"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_said_and_the_model_runs() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut options = options(64);
    options.packing = Packing::Under(file.path().join("inside a file"));
    let prepared = stories(WeightKind::F32);
    let mut engine = OrtEngine::load(runtime(), &prepared, &options).unwrap();
    let why = engine.packed().unwrap().unwrap_err().to_owned();
    assert!(why.contains("inside a file"), "{why}");
    absorb(&mut engine, &[1, 2, 3], 0, 3);
}

#[test]
fn a_damaged_packed_graph_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(64);
    options.packing = Packing::Under(folder.path().to_path_buf());
    let prepared = stories(WeightKind::F32);
    let engine = OrtEngine::load(runtime(), &prepared, &options).unwrap();
    let packed = engine.packed().unwrap().unwrap().to_path_buf();
    drop(engine);
    std::fs::write(packed.join("model.onnx"), b"not a graph").unwrap();
    let error = OrtEngine::load(runtime(), &prepared, &options).unwrap_err().to_string();
    assert!(error.contains(packed.to_str().unwrap()), "{error}");
}
