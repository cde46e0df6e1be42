//! Reads of byte ranges of a file, each checked against the file's length first.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// An open file of known length, or a file that is part of the program.
#[derive(Debug)]
pub(crate) struct RangeFile {
    path: PathBuf,
    len: u64,
    bytes: Bytes,
}

enum Bytes {
    File(Mutex<File>),
    Bundled(&'static [u8]),
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::File(_) => "File",
            Self::Bundled(_) => "Bundled",
        })
    }
}

impl RangeFile {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let bytes = Bytes::File(Mutex::new(file));
        Ok(Self { path: path.to_path_buf(), len: meta.len(), bytes })
    }

    /// A file of this name that is part of the program.
    pub(crate) fn bundled(name: &str, bytes: &'static [u8]) -> Self {
        Self { path: name.into(), len: bytes.len() as u64, bytes: Bytes::Bundled(bytes) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Fills `out` from `offset`; an end behind the file is an error, as is a file that shrank.
    pub(crate) fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(out.len() as u64);
        if end.is_none_or(|end| end > self.len) {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("{} bytes at {offset} lie behind the end at {}", out.len(), self.len),
            ));
        }
        match &self.bytes {
            Bytes::File(file) => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(offset))?;
                file.read_exact(out)
            }
            // Checked against the length above, so the offset is one of a slice.
            Bytes::Bundled(bytes) => {
                out.copy_from_slice(&bytes[offset as usize..][..out.len()]);
                Ok(())
            }
        }
    }

    /// Reads a range into a new buffer, after checking it against the file's length.
    pub(crate) fn read_range(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        if range.start > range.end || range.end > self.len {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("bytes {}..{} of a file of {}", range.start, range.end, self.len),
            ));
        }
        let len = usize::try_from(range.end - range.start)
            .map_err(|_| io::Error::new(io::ErrorKind::OutOfMemory, "range too large"))?;
        let mut out = vec![0; len];
        self.read_at(range.start, &mut out)?;
        Ok(out)
    }
}

/// BLAKE3 of a whole file, read in pieces.
pub(crate) fn blake3_file(path: &Path) -> io::Result<blake3::Hash> {
    let mut file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        let n = file.read(&mut piece)?;
        if n == 0 {
            return Ok(hasher.finalize());
        }
        hasher.update(&piece[..n]);
    }
}
