//! Changed `lcedge.toml` files and sizes give settings or messages, never a panic.

use clap::CommandFactory;

use crate::args::Cli;
use crate::config::{FILE, apply};
use fuzz::Target;

#[path = "../../../tests/common/fuzz.rs"]
mod fuzz;

const GOOD: &str = r#"# defaults
model = "smollm2-135m"
window = 512
ram = "1.5G"
offline = true
surprise = false
condense = "camelot"
confidence_min = 0.25
[stream]
top = 9
max_tokens = 12
[ask]
max_tokens = 1_000
"#;
const ODD: &str = r"window = 0x10
ratio = 1979-05-27T07:32:00Z
[stream.top]
x = [1, {a.b = '''x'''}]
";

#[test]
fn configuration_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let deep = format!("window = {}", "[".repeat(100_000));
    let inputs = [GOOD, ODD, &deep].map(|text| text.as_bytes().to_vec()).to_vec();
    let mut applied = 0;
    let target = Target { name: FILE, seed: 51, rounds: 400, kept: &[], inputs };
    target.run(|input, _| {
        std::fs::write(&path, input).unwrap();
        match apply(Cli::command(), &path) {
            Ok(command) => {
                applied += 1;
                let _ = command.try_get_matches_from(["lcedge", "stream", "--input", "x"]);
            }
            Err(failure) => assert!(failure.message.contains(FILE), "{}", failure.message),
        }
    });
    assert!(applied > 10, "{applied} were applied");
}

#[test]
fn sizes() {
    let inputs = ["1.5G", "512MiB", "20 GB", "4096", "0.000001TiB"];
    let inputs = inputs.map(|text| text.as_bytes().to_vec()).to_vec();
    let target = Target { name: "sizes", seed: 52, rounds: 5000, kept: &[], inputs };
    target.run(|input, _| {
        let _ = crate::size::parse(&String::from_utf8_lossy(input));
    });
}
