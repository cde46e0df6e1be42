//! The parts of an exported file, one by one, each checked.

use std::{
    fs::{File, OpenOptions},
    io::{BufReader, Read, Seek},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::{
    ExportError,
    export::io_error,
    format::export::{self, Frame, FrameError, Limits},
};

/// Reads parts; none is longer than its kind allows, or than what is left of the file.
pub(super) struct Frames {
    pub(super) path: PathBuf,
    /// Where the next part begins.
    pub(super) at: u64,
    /// Of the blocks, from the head.
    pub(super) limits: Option<Limits>,
    file: BufReader<File>,
    bytes: u64,
    buffer: Vec<u8>,
}

impl Frames {
    pub(super) fn open(path: &Path) -> Result<Self, ExportError> {
        let failed = io_error(path);
        let no_file = || {
            let what = "it is not a file";
            ExportError::NotAnExport { path: path.to_owned(), what }
        };
        // A pipe is not even opened: that would wait for somebody to write to it.
        if !std::fs::metadata(path).map_err(&failed)?.is_file() {
            return Err(no_file());
        }
        let mut open = OpenOptions::new();
        let file = open.read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(&failed)?;
        let meta = file.metadata().map_err(&failed)?;
        if !meta.is_file() {
            return Err(no_file());
        }
        Ok(Self {
            path: path.to_owned(),
            at: 0,
            limits: None,
            file: BufReader::with_capacity(1 << 20, file),
            bytes: meta.len(),
            buffer: Vec::new(),
        })
    }

    /// Begins the same file again.
    pub(super) fn rewind(&mut self) -> Result<(), ExportError> {
        self.at = 0;
        self.file.rewind().map_err(io_error(&self.path))
    }

    /// The next part; `None` at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, ExportError> {
        let (path, at) = (self.path.clone(), self.at);
        let left = self.bytes - at;
        if left == 0 && at > 0 {
            return Ok(None);
        }
        let damaged = |what| match at {
            0 => ExportError::NotAnExport { path: path.clone(), what },
            _ => ExportError::Damaged { path: path.clone(), at, what },
        };
        let mut prefix = [0; export::PREFIX];
        if left < prefix.len() as u64 {
            return Err(damaged("it ends too early"));
        }
        let failed = io_error(&self.path);
        self.file.read_exact(&mut prefix).map_err(&failed)?;
        let bytes = export::bytes_of(&prefix, self.limits.as_ref()).map_err(damaged)?;
        if bytes > left - prefix.len() as u64 {
            return Err(damaged("it ends too early"));
        }
        self.buffer.resize(bytes as usize, 0);
        self.file.read_exact(&mut self.buffer).map_err(&failed)?;
        self.at += prefix.len() as u64 + bytes;
        match export::decode(&prefix, &self.buffer) {
            Ok(frame) => Ok(Some(frame)),
            Err(FrameError::Version(found)) => {
                Err(ExportError::Version { path, found, known: export::VERSION })
            }
            Err(FrameError::Wrong(what)) => Err(damaged(what)),
        }
    }
}
