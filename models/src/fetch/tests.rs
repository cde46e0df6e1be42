use std::io::Write as _;
use std::sync::atomic::Ordering;

use super::*;

/// A made-up wheel, a folder with a made-up pip, and a destination.
struct Host {
    dir: tempfile::TempDir,
    wheel: Fetch,
}

const PIP_VERSION: &str = "if [ \"$1\" = --version ]; then echo pip 1; exit 0; fi\n";

/// Writes a program in a process of its own: were it open for writing in this one, a process that
/// another test starts meanwhile would inherit that, and running it would fail as busy.
fn write_program(path: &Path, text: &str) {
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "cat > \"$0\" && chmod 755 \"$0\""]).arg(path);
    let mut child = shell.stdin(std::process::Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

impl Host {
    /// `script` is what the made-up pip does; `$WHEEL` is the made-up wheel and `$DEST` the
    /// folder given with `-d`.
    fn new(script: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let wheel = dir.path().join("thing-1.0-py3-none-any.whl");
        let mut zip = zip::ZipWriter::new(std::fs::File::create(&wheel).unwrap());
        for name in ["thing/data.bin", "../escape"] {
            zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(b"forty-two").unwrap();
        }
        zip.finish().unwrap();
        let bin = dir.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        let head = format!("#!/bin/sh\n{PIP_VERSION}WHEEL='{}'\n", wheel.display());
        let find = "while [ $# -gt 1 ]; do if [ \"$1\" = -d ]; then DEST=$2; fi; shift; done\n";
        let pip = bin.join("pip3");
        write_program(&pip, &format!("{head}{find}{script}\n"));
        let wheel = Fetch {
            package: "thing".into(),
            version: "1.0".into(),
            sha256: sha256_file(&wheel).unwrap(),
            size_bytes: std::fs::metadata(&wheel).unwrap().len(),
            python_version: Some("3.12".into()),
            platforms: vec!["any".into()],
        };
        Self { dir, wheel }
    }

    fn options(&self) -> FetchOptions {
        let pip = Pip::on_path(Some(self.dir.path().join("bin").into()));
        FetchOptions { pip, ..FetchOptions::default() }
    }

    fn dest(&self) -> PathBuf {
        self.dir.path().join("cache/thing")
    }

    fn fetch(&self, member: &Member) -> Result<(), FetchError> {
        self.fetch_with(member, &self.options())
    }

    fn fetch_with(&self, member: &Member, options: &FetchOptions) -> Result<(), FetchError> {
        let result =
            fetch(&self.wheel, std::slice::from_ref(member), &self.dest(), options, &mut |_, _| {});
        if result.is_err() {
            let root = self.dest().parent().unwrap().to_path_buf();
            let left = std::fs::read_dir(root).into_iter().flatten().flatten();
            let left: Vec<_> = left.map(|e| e.file_name()).filter(|n| n != ".lock").collect();
            assert!(left.is_empty(), "left behind: {left:?}");
        }
        result
    }
}

fn data() -> Member {
    Member::named("thing/data.bin", "data/file.bin")
}

#[test]
fn the_right_wheel_is_unpacked_and_a_second_fetch_needs_no_pip() {
    let host = Host::new("cp \"$WHEEL\" \"$DEST/\"");
    host.fetch(&data()).unwrap();
    assert_eq!(std::fs::read(host.dest().join("data/file.bin")).unwrap(), b"forty-two");
    host.fetch_with(&data(), &FetchOptions { offline: true, ..FetchOptions::default() }).unwrap();
}

#[test]
fn a_wrong_hash_names_both() {
    let mut host = Host::new("cp \"$WHEEL\" \"$DEST/\"");
    let right = std::mem::replace(&mut host.wheel.sha256, "00".repeat(32));
    let error = host.fetch(&data()).unwrap_err();
    assert!(matches!(&error, FetchError::Hash { found, .. } if *found == right), "{error}");
    host.wheel.sha256 = right;
    let member = Member { sha256: Some("11".repeat(32)), ..data() };
    assert!(matches!(host.fetch(&member), Err(FetchError::Hash { .. })));
}

#[test]
fn half_a_wheel_is_refused() {
    let host = Host::new("head -c 50 \"$WHEEL\" > \"$DEST/thing-1.0-py3-none-any.whl\"");
    assert!(matches!(host.fetch(&data()), Err(FetchError::Hash { .. })));
    let mut host = Host::new("head -c 50 \"$WHEEL\" > \"$DEST/thing-1.0-py3-none-any.whl\"");
    let bytes = std::fs::read(host.dir.path().join("thing-1.0-py3-none-any.whl")).unwrap();
    let half = host.dir.path().join("half");
    std::fs::write(&half, &bytes[..50]).unwrap();
    host.wheel.sha256 = sha256_file(&half).unwrap();
    assert!(matches!(host.fetch(&data()), Err(FetchError::BadWheel { .. })));
}

#[test]
fn members_are_found_by_name_and_stay_in_the_folder() {
    let host = Host::new("cp \"$WHEEL\" \"$DEST/\"");
    let error = host.fetch(&Member::named("thing/other", "x")).unwrap_err();
    assert!(matches!(&error, FetchError::MissingMember { member, .. } if member == "thing/other"));
    for target in ["../x", "/x", "", "a/../x"] {
        let error = host.fetch(&Member::named("thing/data.bin", target)).unwrap_err();
        assert!(matches!(error, FetchError::BadTarget(_)), "{target}");
    }
}

#[test]
fn pip_that_fails_is_quoted() {
    let host = Host::new("echo 'ERROR: No matching distribution' >&2; exit 3");
    match host.fetch(&data()).unwrap_err() {
        FetchError::PipFailed { status: 3, stderr, .. } => assert!(stderr.contains("No matching")),
        other => panic!("{other}"),
    }
    let host = Host::new("echo 'Temporary failure in name resolution' >&2; exit 1");
    assert!(matches!(host.fetch(&data()), Err(FetchError::Unreachable { .. })));
    let host = Host::new("echo '[Errno 28] No space left on device' >&2; exit 1");
    assert!(matches!(host.fetch(&data()), Err(FetchError::NoSpace { .. })));
    let host = Host::new("exit 0");
    assert!(matches!(host.fetch(&data()), Err(FetchError::NoWheel { count: 0, .. })));
    // Not SIGINT: a shell whose parent ignores that (a job in the background) ignores it too.
    let host = Host::new("kill -TERM $$");
    assert!(matches!(host.fetch(&data()), Err(FetchError::Interrupted { .. })));
}

#[test]
fn no_pip_and_offline_are_named() {
    let host = Host::new("exit 0");
    let error = host.fetch_with(&data(), &FetchOptions::default()).unwrap_err();
    assert!(matches!(&error, FetchError::NoPip { tried, .. } if tried.contains("pip3")), "{error}");
    let offline = FetchOptions { offline: true, ..host.options() };
    assert!(matches!(host.fetch_with(&data(), &offline), Err(FetchError::Offline { .. })));
}

#[test]
fn a_download_can_be_cancelled() {
    let host = Host::new("exec sleep 60");
    let cancel = Arc::new(AtomicBool::new(false));
    let options = FetchOptions { cancel: Some(Arc::clone(&cancel)), ..host.options() };
    std::thread::scope(|scope| {
        let fetching = scope.spawn(|| host.fetch_with(&data(), &options));
        std::thread::sleep(std::time::Duration::from_millis(200));
        cancel.store(true, Ordering::Relaxed);
        let result = fetching.join().unwrap();
        assert!(matches!(result, Err(FetchError::Interrupted { .. })));
    });
}

#[test]
fn progress_follows_the_files_that_grow() {
    let host = Host::new("cp \"$WHEEL\" \"$DEST/\"; sleep 0.4");
    let mut seen = Vec::new();
    fetch(&host.wheel, &[data()], &host.dest(), &host.options(), &mut |done, total| {
        seen.push((done, total));
    })
    .unwrap();
    let size = host.wheel.size_bytes;
    assert!(seen.len() >= 2 && seen.iter().all(|(done, total)| done <= total && *total == size));
    assert_eq!(seen.last(), Some(&(size, size)));
}
