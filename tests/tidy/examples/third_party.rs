//! Prints the tables of crates and licences for `THIRD-PARTY.md`.

use lcedge_tidy::{licences, metadata};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

fn tables() -> Result<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = root.canonicalize().map_err(|error| error.to_string())?;
    let workspace = metadata::workspace(&root)?;
    let (packages, _) = metadata::everything(&root)?;
    let table = licences::by_licence(&packages, &workspace);
    let direct = licences::direct(&workspace);
    let licence_of: BTreeMap<&str, &str> = table
        .iter()
        .flat_map(|(licence, names)| {
            names.iter().filter_map(move |name| Some((name.split(' ').next()?, licence.as_str())))
        })
        .collect();
    let mut out = String::from("| crate | licence |\n|---|---|\n");
    for name in &direct {
        let licence = licence_of.get(name.as_str()).copied().unwrap_or("not downloaded here");
        out.push_str(&format!("| `{name}` | {licence} |\n"));
    }
    let head =
        "The licences that occur among all crates, on all platforms, as the crates state them:";
    out.push_str(&format!("\n{head}\n\n"));
    for licence in table.keys() {
        out.push_str(&format!("* {licence}\n"));
    }
    Ok(out)
}

fn main() -> ExitCode {
    match tables() {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("third_party: {message}");
            ExitCode::from(2)
        }
    }
}
