//! Work that must be whole or not there: done in a stage folder, then renamed into place.
//!
//! One process at a time works in a folder (a lock on `.lock`), so what an interrupted one left
//! behind can be told apart and is removed by the next.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

const LOCK: &str = ".lock";
const PREFIX: &str = ".stage-";

/// A stage folder within a locked folder; removed when dropped.
#[derive(Debug)]
pub(crate) struct Stage {
    dir: tempfile::TempDir,
    _lock: File,
}

impl Stage {
    /// Locks `root` (made when missing), waiting for whoever works in it, after `waiting` was
    /// called. Removes what interrupted work left and makes an empty stage folder.
    pub(crate) fn begin(root: &Path, waiting: &mut dyn FnMut()) -> io::Result<Self> {
        create_private(root)?;
        let lock =
            File::options().create(true).truncate(false).write(true).open(root.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                waiting();
                lock.lock()?;
            }
            Err(fs::TryLockError::Error(e)) => return Err(e),
        }
        for entry in fs::read_dir(root)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(PREFIX) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(root)?;
        Ok(Self { dir, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Renames a folder of the stage to `to`, in place of what may be there, and makes the rename
    /// durable.
    pub(crate) fn publish(&self, name: &str, to: &Path) -> io::Result<()> {
        if to.is_dir() {
            fs::remove_dir_all(to)?;
        }
        fs::rename(self.dir.path().join(name), to)?;
        match to.parent() {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    }
}

/// Makes a folder and its parents, readable by the user alone where they are new.
pub(crate) fn create_private(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Writes a new file and makes it durable.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    io::Write::write_all(&mut file, bytes)?;
    file.sync_all()
}

/// The per-user folder for what can be made or fetched again: `$LCEDGE_CACHE`, else
/// `$XDG_CACHE_HOME/lcedge`, else `$HOME/.cache/lcedge`; `get` looks a variable up.
#[must_use]
pub fn default_cache_dir(get: impl Fn(&str) -> Option<std::ffi::OsString>) -> Option<PathBuf> {
    let set = |name: &str| get(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    set("LCEDGE_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").filter(|p| p.is_absolute()).map(|p| p.join("lcedge")))
        .or_else(|| set("HOME").map(|p| p.join(".cache").join("lcedge")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_behind_is_removed_and_only_whole_work_appears() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().join("a/b");
        create_private(&root).unwrap();
        fs::create_dir(root.join(".stage-left")).unwrap();
        fs::write(root.join(".stage-left/half"), "x").unwrap();
        let stage = Stage::begin(&root, &mut || panic!("nobody holds it")).unwrap();
        assert!(!root.join(".stage-left").exists());
        fs::create_dir(stage.path().join("out")).unwrap();
        write_new(&stage.path().join("out/file"), b"whole").unwrap();
        stage.publish("out", &root.join("done")).unwrap();
        assert_eq!(fs::read(root.join("done/file")).unwrap(), b"whole");
        let path = stage.path().to_path_buf();
        drop(stage);
        assert!(!path.exists());
    }

    #[test]
    fn a_second_one_waits_for_the_first() {
        let root = tempfile::tempdir().unwrap();
        let first = Stage::begin(root.path(), &mut || {}).unwrap();
        let path = root.path().to_path_buf();
        let (told, hears) = std::sync::mpsc::channel();
        let second = std::thread::spawn(move || {
            Stage::begin(&path, &mut || told.send(()).unwrap()).map(drop)
        });
        hears.recv().unwrap();
        drop(first);
        second.join().unwrap().unwrap();
    }

    #[test]
    fn the_cache_folder_follows_the_environment() {
        let with = |set: &[(&str, &str)]| {
            let set: Vec<(String, String)> =
                set.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            default_cache_dir(move |name| {
                set.iter().find(|(k, _)| k == name).map(|(_, v)| v.into())
            })
        };
        assert_eq!(with(&[("LCEDGE_CACHE", "/x"), ("HOME", "/h")]).unwrap(), Path::new("/x"));
        assert_eq!(
            with(&[("XDG_CACHE_HOME", "/c"), ("HOME", "/h")]).unwrap(),
            Path::new("/c/lcedge")
        );
        assert_eq!(with(&[("HOME", "/h")]).unwrap(), Path::new("/h/.cache/lcedge"));
        assert_eq!(with(&[]), None);
    }
}
