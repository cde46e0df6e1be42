//! Builds a decoder's graph:
//! `build_graph MODEL OUT_DIR f32|f16|int8|int4 [packed] [tile=N] [accuracy=N] [queries=L,L]
//! [memory=DIR]`. For measuring; `lcedge model prepare` is what users run.

use std::path::Path;

use lcedge_models::onnx::{BuildOptions, build};
use lcedge_models::{MemorySource, WeightKind, Weights};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, out, kind, rest @ ..] = args.as_slice() else {
        return Err("build_graph MODEL OUT_DIR KIND [options]".into());
    };
    let kind: WeightKind = serde_json::from_value(kind.as_str().into())?;
    let mut options = BuildOptions::of(kind);
    let mut memory = None;
    for option in rest {
        match option.split_once('=') {
            None if option == "packed" => options.packed = true,
            Some(("tile", n)) => options.head_tile_rows = n.parse()?,
            Some(("accuracy", n)) => options.accuracy_level = Some(n.parse()?),
            Some(("head_accuracy", n)) => options.head_accuracy_level = Some(n.parse()?),
            Some(("memory", dir)) => memory = Some(MemorySource::folder(Path::new(dir))?),
            Some(("queries", layers)) => {
                options.query_layers =
                    layers.split(',').map(str::parse).collect::<Result<_, _>>()?;
            }
            _ => return Err(format!("unknown option {option}").into()),
        }
    }
    std::fs::create_dir_all(out)?;
    let weights = Weights::open(Path::new(model))?;
    let memory = memory.map(|m| m.open(weights.decoder())).transpose()?;
    let built = build(&weights, memory.as_ref(), &options, Path::new(out), &mut |_, _| {})?;
    println!("{built:?}");
    Ok(())
}
