//! What cannot be loaded is said with the path, the version and what to do.

use lcedge_models::{Prepared, WeightKind};
use lcedge_targets::Engine;
use lcedge_targets::choose::{Device, DeviceAsk};
use lcedge_targets::ort::{LoadError, OrtEngine, OrtLibrary, Runtime, RuntimeError};

use crate::common::{Small, engine, options, runtime, stories};

fn copy_of_stories() -> (tempfile::TempDir, Prepared) {
    let from = stories(WeightKind::F32);
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(&from.dir).unwrap().map(Result::unwrap) {
        if entry.path().is_file() {
            std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
    }
    let opened = Prepared::open(folder.path()).unwrap();
    (folder, opened)
}

#[test]
fn the_device_and_its_reason_are_said() {
    let engine = engine(Small::Stories, WeightKind::F32, 64);
    let (device, reason) = engine.device();
    assert_eq!(device, "cpu");
    assert!(reason.starts_with("auto"), "{reason}");
    let usage = engine.usage();
    assert!(usage.weights_bytes > 1_000_000 && usage.window_bytes > 0, "{usage:?}");
}

#[test]
fn a_gpu_that_is_asked_for_and_missing_is_an_error() {
    for device in [Device::Cuda, Device::TensorRt] {
        let mut options = options(64);
        options.device = DeviceAsk::Only(device);
        let prepared = stories(WeightKind::F32);
        let error = OrtEngine::load(runtime(), &prepared, &options).unwrap_err();
        assert!(matches!(error, LoadError::Device(_)), "{error}");
        let text = error.to_string();
        assert!(text.contains(device.name()) && text.contains("--device cpu"), "{text}");
    }
}

#[test]
fn missing_and_damaged_graphs_are_named() {
    let (folder, prepared) = copy_of_stories();
    let graph = folder.path().join("model.onnx");
    std::fs::write(&graph, b"not a graph").unwrap();
    let error = OrtEngine::load(runtime(), &prepared, &options(64)).unwrap_err().to_string();
    assert!(error.contains(graph.to_str().unwrap()), "{error}");
    assert!(error.contains(&runtime().version().to_string()), "{error}");
    std::fs::remove_file(&graph).unwrap();
    let error = OrtEngine::load(runtime(), &prepared, &options(64)).unwrap_err().to_string();
    assert!(error.contains(graph.to_str().unwrap()), "{error}");
}

#[test]
fn a_graph_without_the_outputs_of_the_card_is_named() {
    let (_folder, mut prepared) = copy_of_stories();
    prepared.card.query_layers = vec![0, 1];
    let error = OrtEngine::load(runtime(), &prepared, &options(64)).unwrap_err();
    assert!(
        matches!(&error, LoadError::Missing { kind: "output", name, .. } if name == "query.1"),
        "{error}"
    );
}

#[test]
fn one_library_a_process() {
    let loaded = runtime();
    assert_eq!(Runtime::load(loaded.library()).unwrap().version(), loaded.version());
    assert!(loaded.build_info().contains("ORT Build Info"), "{}", loaded.build_info());
    let other =
        OrtLibrary { path: "/elsewhere/libonnxruntime.so".into(), ..loaded.library().clone() };
    let error = Runtime::load(&other).unwrap_err();
    assert!(matches!(error, RuntimeError::Loaded { .. }), "{error}");
}
