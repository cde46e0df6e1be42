//! A folder to run the command in, and what a run gives.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use lcedge::setup::{self, SetupOptions};
use serde_json::Value;

/// The library, as the command finds it for this user.
///
/// # Panics
/// When there is none: these tests need it and are never skipped.
fn library() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let variable = |name: &str| std::env::var_os(name);
        let options = SetupOptions { offline: true, variable, ..SetupOptions::default() };
        match setup::library(&options, &mut |_| {}) {
            Ok(found) => found.path,
            Err(e) => panic!(
                "these tests need ONNX Runtime: run `.ci/run prepare`, or `pip install \
                 onnxruntime`, or set LCEDGE_ORT to a library\n{e}"
            ),
        }
    })
}

/// Where the tiny model is prepared once for all tests.
fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli-cache")
}

/// A folder to run in; gone when the test ends.
pub(crate) struct World {
    dir: tempfile::TempDir,
}

/// What a run gave.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["home", "tmp"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        Self { dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    /// The command in this folder with the tiny model; nothing of the user's own environment.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lcedge"));
        self.dress(&mut command);
        command.args(args);
        command
    }

    /// Gives a command the environment of these tests.
    pub(crate) fn dress(&self, command: &mut Command) {
        command.current_dir(self.dir.path()).env_clear();
        command.env("HOME", self.path("home")).env("TMPDIR", self.path("tmp"));
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command.env("LCEDGE_CACHE", cache()).env("LCEDGE_ORT", library());
        command.env("LCEDGE_MODEL", "stories260k").env("LCEDGE_WEIGHTS", "f32");
        command.env("LCEDGE_THREADS", "1").env("LCEDGE_OFFLINE", "1");
    }

    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        finish(self.command(args).stdin(Stdio::null()))
    }

    /// The same with words separated by spaces, and JSON wanted.
    pub(crate) fn json(&self, words: &str) -> Ran {
        self.run(words.split(' ').chain(["--json"]))
    }

    /// The same with something on standard input.
    pub(crate) fn piped(&self, words: &str, input: &[u8]) -> Ran {
        let mut command = self.command(words.split(' '));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let feeder = std::thread::spawn(move || {
            // The command may end before it has read everything.
            let _ = stdin.write_all(&input);
        });
        let ran = Ran::of(child);
        feeder.join().unwrap();
        ran
    }

    /// A log of `lines` lines that the tiny model reads in about a second per thousand.
    pub(crate) fn log(lines: usize) -> String {
        let names = ["Lily", "Tom", "Ben", "Mia", "Sam"];
        let line = |n: usize| {
            format!("day {n}: {} went to the park and saw {} birds\n", names[n % 5], n * 7 % 90)
        };
        (1..=lines).map(line).collect()
    }

    /// A store `memory` with a log `a.log` of `lines` lines in it.
    pub(crate) fn stored(lines: usize) -> Self {
        let world = Self::new();
        world.write("a.log", Self::log(lines));
        world.json("stream --input a.log --store memory").ok();
        world
    }

    /// No temporary memory is left behind, and nothing of ONNX Runtime's telemetry.
    #[track_caller]
    pub(crate) fn nothing_left(&self) {
        let left: Vec<PathBuf> = files(&self.path("tmp"));
        assert!(left.is_empty(), "{left:?}");
        let folders = fs::read_dir(self.path("tmp")).unwrap().flatten();
        let left: Vec<PathBuf> = folders.map(|e| e.path()).filter(|p| p.is_dir()).collect();
        assert!(left.is_empty(), "{left:?}");
    }

    /// The largest segment file of the store `memory`.
    pub(crate) fn segment(&self) -> PathBuf {
        let mut all = files(&self.path("memory"));
        all.retain(|p| p.extension().is_some_and(|e| e == "seg"));
        all.into_iter().max_by_key(|p| p.metadata().unwrap().len()).expect("a segment file")
    }
}

/// Every file below a folder.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push(path);
        }
    }
    all
}

pub(crate) fn finish(command: &mut Command) -> Ran {
    let out = command.output().unwrap();
    Ran {
        code: out.status.code(),
        out: String::from_utf8(out.stdout).unwrap(),
        err: String::from_utf8(out.stderr).unwrap(),
    }
}

impl Ran {
    pub(crate) fn of(child: Child) -> Self {
        let out = child.wait_with_output().unwrap();
        Self {
            code: out.status.code(),
            out: String::from_utf8(out.stdout).unwrap(),
            err: String::from_utf8(out.stderr).unwrap(),
        }
    }

    /// It ended with this code and never with a panic.
    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "out: {}\nerr: {}", self.out, self.err);
        for word in ["panicked", "RUST_BACKTRACE", "a bug in lcedge"] {
            assert!(!self.err.contains(word), "{}", self.err);
        }
        self
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.code(0)
    }

    /// Every line of standard output as an object with an event.
    #[track_caller]
    pub(crate) fn events(&self) -> Vec<Value> {
        let parse = |line: &str| {
            let value: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
            assert!(value["event"].is_string(), "{line}");
            value
        };
        self.out.lines().map(parse).collect()
    }

    /// The objects of one event.
    #[track_caller]
    pub(crate) fn all(&self, event: &str) -> Vec<Value> {
        self.events().into_iter().filter(|e| e["event"] == event).collect()
    }

    /// The one object of an event.
    #[track_caller]
    pub(crate) fn one(&self, event: &str) -> Value {
        let mut all = self.all(event);
        assert_eq!(all.len(), 1, "{event} in {}\n{}", self.out, self.err);
        all.remove(0)
    }

    /// The summary, which is the last object; its fates add up and nothing is lost.
    #[track_caller]
    pub(crate) fn summary(&self) -> Value {
        let last = self.events().pop().expect("some output");
        assert_eq!(last["event"], "summary", "{last}");
        let fates = last["fates"].as_object().unwrap();
        let total: u64 = fates.values().map(|n| n.as_u64().unwrap()).sum();
        assert_eq!(Some(total), last["tokens"].as_u64(), "{last}");
        assert_eq!(last["fates"]["dropped"], 0, "{last}");
        last
    }

    /// The error object on standard error, with what it must have; nothing else is there.
    #[track_caller]
    pub(crate) fn error(&self, kind: &str) -> Value {
        let error: Value = serde_json::from_str(self.err.trim())
            .unwrap_or_else(|e| panic!("{e}: {:?} {:?}", self.err, self.out));
        assert_eq!(error["event"], "error");
        assert_eq!(error["kind"], kind, "{error}");
        assert!(error["message"].as_str().is_some_and(|m| m.len() > 5), "{error}");
        error
    }
}
