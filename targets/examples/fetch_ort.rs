//! Finds ONNX Runtime as the program does, or fetches the pinned version; prints where it is.
//!
//!     cargo run --release -p lcedge-targets --example fetch_ort

use std::process::ExitCode;

use lcedge_models::default_cache_dir;
use lcedge_models::fetch::{FetchOptions, Pip};
use lcedge_targets::ort::{Search, fetch_library};

fn main() -> ExitCode {
    match find_or_fetch() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn find_or_fetch() -> Result<(), Box<dyn std::error::Error>> {
    let variable = |name: &str| std::env::var_os(name);
    let data = default_cache_dir(variable).ok_or("neither LCEDGE_CACHE nor HOME is set")?;
    let search = Search::from_environment(None, Some(&data), &variable);
    let library = match search.find() {
        Ok(library) => library,
        Err(error) if !search.given.is_empty() => return Err(error.into()),
        Err(_) => {
            let pip = Pip::on_path(variable("PATH"));
            let options = FetchOptions { offline: false, pip, cancel: None };
            fetch_library(&data, &options, &mut |done, total| eprint!("\r{done} of {total} bytes"))?
        }
    };
    println!("{} {} ({})", library.path.display(), library.version, library.reason);
    Ok(())
}
