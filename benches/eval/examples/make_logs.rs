//! Writes the example logs, or any synthetic log to standard output.
//!
//! `make_logs auth`, `make_logs app`: the committed example, to standard output.
//! `make_logs examples DIR`: both, into a folder.
//! `make_logs log KIND BYTES SEED`: a log of that kind (auth, web, app, kernel, jobs, mixed).
//! `make_logs questions`: the tables of `examples/README.md`.

use lcedge_eval::log::{LogKind, LogOptions, generate};
use lcedge_eval::samples;
use std::io::{self, Write as _};
use std::process::ExitCode;

const USAGE: &str =
    "usage: make_logs auth | app | examples DIR | questions | log KIND BYTES SEED (see the source)";

fn made(words: &[&str]) -> Result<String, String> {
    match words {
        ["auth"] => Ok(samples::auth().text),
        ["app"] => Ok(samples::app().text),
        ["questions"] => {
            let samples = samples::all();
            Ok(samples.iter().map(|s| format!("{}\n\n{}\n", s.file, s.table())).collect())
        }
        ["log", kind, bytes, seed] => {
            let kind =
                LogKind::from_name(kind).ok_or(format!("no kind of log is called {kind}"))?;
            let bytes = bytes.parse().map_err(|error| format!("BYTES is {bytes}: {error}"))?;
            let seed = seed.parse().map_err(|error| format!("SEED is {seed}: {error}"))?;
            Ok(generate(&LogOptions::new(kind, bytes, seed)))
        }
        ["examples", folder] => {
            for sample in samples::all() {
                let path = std::path::Path::new(folder).join(sample.file);
                let written = std::fs::write(&path, sample.text);
                written.map_err(|error| format!("{}: {error}", path.display()))?;
            }
            Ok(String::new())
        }
        _ => Err(USAGE.to_owned()),
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match made(&words) {
        Ok(text) => match io::stdout().write_all(text.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                eprintln!("make_logs: {error}");
                ExitCode::from(2)
            }
            _ => ExitCode::SUCCESS,
        },
        Err(message) => {
            eprintln!("make_logs: {message}");
            ExitCode::from(2)
        }
    }
}
