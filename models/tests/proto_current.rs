//! The committed ONNX types are what `proto/onnx.proto` gives. `LCEDGE_BLESS=1` writes them anew.

use std::path::Path;

#[test]
fn committed_types_are_what_the_definition_gives() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let descriptors = protox::compile(["onnx.proto"], [root.join("proto")]).expect("onnx.proto");
    let out = tempfile::tempdir().unwrap();
    prost_build::Config::new()
        .out_dir(out.path())
        .disable_comments(["."])
        .compile_fds(descriptors)
        .unwrap();
    let generated = std::fs::read_to_string(out.path().join("onnx.rs")).unwrap();
    let path = root.join("src/onnx/proto.rs");
    if std::env::var_os("LCEDGE_BLESS").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(
        unformatted(&committed) == unformatted(&generated),
        "src/onnx/proto.rs is stale: run with LCEDGE_BLESS=1"
    );
}

/// A text without what rustfmt changes: white space, and commas before a closing bracket.
fn unformatted(text: &str) -> String {
    let dense: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    dense.replace(",)", ")").replace(",}", "}").replace(",]", "]").replace(",>", ">")
}
