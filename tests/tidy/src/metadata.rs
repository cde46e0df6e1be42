//! What cargo says about the workspace and its dependencies, without the network.

use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// A package of the workspace, or one it depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its manifest, from the top of the repository for our own packages.
    pub manifest: String,
    /// The licence it states (an SPDX expression).
    pub licence: Option<String>,
    /// What its manifest names: the crate and whether only tests use it.
    pub dependencies: Vec<Dependency>,
    /// The root files of its libraries, programs, tests, examples and benches.
    pub roots: Vec<String>,
}

/// A line in a manifest's dependencies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The crate's own name, also where the manifest gives it another.
    pub name: String,
    /// Whether it stands under `dev-dependencies`.
    pub dev: bool,
}

/// The packages of the workspace below `root`.
///
/// # Errors
///
/// A sentence, when cargo cannot be run or says something unexpected.
pub fn workspace(root: &Path) -> Result<Vec<Package>, String> {
    packages(root, &cargo(root, &["--no-deps"])?)
}

/// The packages of the workspace and all they depend on, and whether that is for all platforms.
///
/// Without the network cargo only knows what was downloaded. All platforms are asked for first;
/// where only this machine's packages are there, those.
///
/// # Errors
///
/// A sentence, when neither is there.
pub fn everything(root: &Path) -> Result<(Vec<Package>, bool), String> {
    if let Ok(json) = cargo(root, &[]) {
        return Ok((packages(root, &json)?, true));
    }
    let host = host(root)?;
    let json = cargo(root, &["--filter-platform", &host]);
    let json = json.map_err(|error| format!("run `cargo fetch` once, then again: {error}"))?;
    Ok((packages(root, &json)?, false))
}

fn program(variable: &str, name: &str) -> Command {
    Command::new(std::env::var_os(variable).unwrap_or_else(|| name.into()))
}

fn host(root: &Path) -> Result<String, String> {
    let output = program("RUSTC", "rustc").arg("-vV").current_dir(root).output();
    let output = output.map_err(|error| format!("rustc -vV: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or("rustc -vV names no host".to_owned())
}

fn cargo(root: &Path, more: &[&str]) -> Result<Value, String> {
    let mut command = program("CARGO", "cargo");
    command.args(["metadata", "--offline", "--format-version", "1"]).args(more);
    let output = command.current_dir(root).output();
    let output = output.map_err(|error| format!("cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))
}

fn packages(root: &Path, json: &Value) -> Result<Vec<Package>, String> {
    let listed = json["packages"].as_array().ok_or("cargo metadata: no list of packages")?;
    Ok(listed.iter().map(|one| package(root, one)).collect())
}

fn package(root: &Path, json: &Value) -> Package {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let dependency = |one: &Value| Dependency {
        name: text(&one["name"]),
        dev: one["kind"].as_str() == Some("dev"),
    };
    Package {
        name: text(&json["name"]),
        version: text(&json["version"]),
        manifest: relative(root, &text(&json["manifest_path"])),
        licence: json["license"].as_str().map(str::to_owned),
        dependencies: list(&json["dependencies"]).iter().map(dependency).collect(),
        roots: list(&json["targets"])
            .iter()
            .map(|target| relative(root, &text(&target["src_path"])))
            .collect(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("").to_owned()
}

fn relative(root: &Path, path: &str) -> String {
    let inside = Path::new(path).strip_prefix(root).map(|path| path.to_string_lossy().into_owned());
    let inside = inside.unwrap_or_else(|_| path.to_owned()).replace('\\', "/");
    // A target may lie beside its package: `runtime/cli/../../tests/cli/main.rs`.
    let mut parts: Vec<&str> = Vec::new();
    for part in inside.split('/') {
        match part {
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.join("/")
}
