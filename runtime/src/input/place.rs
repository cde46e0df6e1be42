//! What bytes come from: a file with a length, or a stream that cannot go back.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, UNIX_EPOCH};

use super::{InputError, Place, READ_BYTES, Source};

/// How long one look at a stream waits, so that its reader can be stopped.
const WAIT: Duration = Duration::from_millis(100);

/// Bytes, or why there are none now.
pub(super) enum Got {
    /// This many bytes were put into the buffer.
    Bytes(usize),
    /// Nothing has come yet.
    Nothing,
    /// The end.
    End,
}

/// A file with a length.
pub(super) struct Whole {
    pub(super) path: PathBuf,
    file: File,
    /// Bytes read so far.
    pub(super) at: u64,
}

impl Whole {
    pub(super) fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<Got> {
        buffer.resize(READ_BYTES, 0);
        let n = loop {
            match self.file.read(buffer) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        buffer.truncate(n);
        self.at += n as u64;
        Ok(if n == 0 { Got::End } else { Got::Bytes(n) })
    }

    pub(super) fn seek(&mut self, to: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(to))?;
        self.at = to;
        Ok(())
    }

    pub(super) fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// When the file was last written, milliseconds since 1970 UTC, where the system tells.
    pub(super) fn written_ms(&self) -> Option<i64> {
        let since = self.file.metadata().ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(since.as_millis()).ok()
    }

    /// Opens the file of this path anew when it is another one than the one that is open.
    pub(super) fn reopen_if_replaced(&mut self) -> io::Result<bool> {
        let here = self.file.metadata()?;
        match std::fs::metadata(&self.path) {
            Ok(there) if there.is_file() && !same(&here, &there) => {
                self.file = File::open(&self.path)?;
                self.at = 0;
                Ok(true)
            }
            // Between the old file and the new one there may be none.
            _ => Ok(false),
        }
    }
}

#[cfg(unix)]
fn same(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
fn same(_: &Metadata, _: &Metadata) -> bool {
    true
}

/// Standard input or a pipe: a thread reads it, so that waiting for it can be given up.
pub(super) struct Stream {
    parts: Receiver<io::Result<Vec<u8>>>,
    ended: bool,
}

impl Stream {
    fn start(
        open: impl FnOnce() -> io::Result<Box<dyn Read>> + Send + 'static,
    ) -> io::Result<Self> {
        let (give, parts) = sync_channel(2);
        let read = move || {
            let mut from = match open() {
                Ok(from) => from,
                Err(e) => {
                    let _ = give.send(Err(e));
                    return;
                }
            };
            loop {
                let mut part = vec![0; READ_BYTES];
                let sent = match from.read(&mut part) {
                    Ok(0) => return,
                    Ok(n) => {
                        part.truncate(n);
                        give.send(Ok(part))
                    }
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                    Err(e) => give.send(Err(e)),
                };
                // Nobody wants more.
                if sent.is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("lcedge-read".to_owned()).spawn(read)?;
        Ok(Self { parts, ended: false })
    }

    pub(super) fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<Got> {
        if self.ended {
            return Ok(Got::End);
        }
        match self.parts.recv_timeout(WAIT) {
            Ok(Ok(part)) => {
                *buffer = part;
                Ok(Got::Bytes(buffer.len()))
            }
            Ok(Err(e)) => {
                self.ended = true;
                Err(e)
            }
            Err(RecvTimeoutError::Timeout) => Ok(Got::Nothing),
            Err(RecvTimeoutError::Disconnected) => {
                self.ended = true;
                Ok(Got::End)
            }
        }
    }
}

pub(super) enum From {
    Whole(Whole),
    Stream(Stream),
}

/// Opens a source; pipes are opened by their reader, since opening one waits for its writer.
pub(super) fn open(source: &Source) -> Result<From, InputError> {
    let failed = |e| InputError::read(source, e);
    match &source.place {
        Place::Stdin => {
            let stdin = || Ok(Box::new(io::stdin()) as Box<dyn Read>);
            Ok(From::Stream(Stream::start(stdin).map_err(failed)?))
        }
        Place::Path(path) => open_path(path, failed),
    }
}

fn open_path(path: &Path, failed: impl Fn(io::Error) -> InputError) -> Result<From, InputError> {
    let found = std::fs::metadata(path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => InputError::Missing { path: path.to_owned() },
        _ => failed(e),
    })?;
    if found.is_file() {
        let file = File::open(path).map_err(failed)?;
        return Ok(From::Whole(Whole { path: path.to_owned(), file, at: 0 }));
    }
    let path = path.to_owned();
    let pipe = move || Ok(Box::new(File::open(path)?) as Box<dyn Read>);
    Ok(From::Stream(Stream::start(pipe).map_err(failed)?))
}
