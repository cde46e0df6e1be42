//! A store, or some of its sources, as one file, and back. `FORMAT.md` §9 describes the file.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    AppendError, BlockAddress, BlockId, BlockInfo, CommitError, ReadError, Reader, SourceError,
    SourceId, SourceInfo, Span,
    format::export::{self, Block, Frame, Head, Source},
    identity::random_store_id,
    text::hex,
};

/// What is written to a file.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExportOptions<'a> {
    /// Keys and values, beacons and addresses too. Without them the file is small and serves
    /// any model.
    pub keys_and_values: bool,
    /// Only these source versions; none: all.
    pub sources: Option<&'a [SourceId]>,
}

/// What was written or read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// Source versions.
    pub sources: u64,
    /// Blocks.
    pub blocks: u64,
    /// Of these, blocks with keys and values.
    pub kv_blocks: u64,
    /// Blocks that could not be read and are left out.
    pub damaged: u64,
    /// Blocks left out because their bytes of the source are in another block already.
    pub doubled: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Why a store was not exported or a file not imported.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExportError {
    /// There is a file of this name already.
    #[error("{} exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// It is no exported store.
    #[error("{} is not an exported store: {what}", path.display())]
    NotAnExport {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// A newer program made it.
    #[error("{} has export version {found}, this program knows {known}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Version found.
        found: u32,
        /// Version known.
        known: u32,
    },
    /// Its bytes are not what was written. Nothing of it was imported.
    #[error("{} is damaged at byte {at}: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damaged part begins.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The store has a source of this name. Nothing was imported.
    #[error("the store has a source {name:?} already: forget it first, or import under a prefix")]
    SourceExists {
        /// The name.
        name: String,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A source could not be begun.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A block could not be appended.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// What was imported could not be committed.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

pub(crate) fn io_error(path: &Path) -> impl Fn(io::Error) -> ExportError {
    let path = path.to_owned();
    move |source| match source.kind() {
        io::ErrorKind::AlreadyExists => ExportError::Exists { path: path.clone() },
        _ => ExportError::Io { path: path.clone(), source },
    }
}

/// A file that has no name of its own yet: unlinked again when it does not get one.
struct New {
    path: PathBuf,
    file: File,
}

impl New {
    /// Makes it beside `path`, under a name that nobody else uses.
    fn create(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let mut own = std::ffi::OsString::from(".");
        own.push(name);
        own.push(format!(".{}.part", hex(&random_store_id())));
        let path = folder(path).join(own);
        let mut open = OpenOptions::new();
        let file = open.write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { path, file })
    }

    /// Gives it its name, which no file must have, durably.
    fn name_it(&self, path: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        match std::fs::hard_link(&self.path, path) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Err(e),
            // A file system without links: the name is taken first, by a file that is ours.
            Err(_) => {
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
                std::fs::rename(&self.path, path).inspect_err(|_| {
                    // The error is the one that is given.
                    let _ = std::fs::remove_file(path);
                })?;
            }
        }
        // Where it was renamed, there is nothing to be unlinked.
        let _ = std::fs::remove_file(&self.path);
        File::open(folder(path))?.sync_all()
    }
}

impl Drop for New {
    fn drop(&mut self) {
        // It is there only when it did not get its name.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Which bytes of a source version are in a block.
#[derive(Debug, Default)]
pub(crate) struct Spans(BTreeMap<u64, u64>);

impl Spans {
    /// Whether none of these bytes was taken before; they are now. A span without bytes takes none.
    pub(crate) fn take(&mut self, span: &Span) -> bool {
        let (start, end) = (span.byte_start, span.byte_end);
        if start >= end {
            return true;
        }
        let before = self.0.range(..end).next_back();
        if before.is_some_and(|(_, taken)| *taken > start) {
            return false;
        }
        self.0.insert(start, end);
        true
    }
}

impl Reader {
    /// Writes sources and their blocks to one new file, private to the user. Half a file is never
    /// left under its name.
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn export(
        &self,
        path: &Path,
        options: &ExportOptions<'_>,
    ) -> Result<Exported, ExportError> {
        let failed = io_error(path);
        if path.symlink_metadata().is_ok() {
            return Err(ExportError::Exists { path: path.to_owned() });
        }
        let new = New::create(path).map_err(&failed)?;
        let done = self.write_to(&new.file, options, &failed)?;
        new.name_it(path).map_err(&failed)?;
        Ok(done)
    }

    fn write_to(
        &self,
        file: &File,
        options: &ExportOptions<'_>,
        failed: &impl Fn(io::Error) -> ExportError,
    ) -> Result<Exported, ExportError> {
        let mut out = BufWriter::with_capacity(1 << 20, file);
        let mut done = Exported::default();
        let mut put = |done: &mut Exported, bytes: &[u8]| {
            done.bytes += bytes.len() as u64;
            out.write_all(bytes).map_err(failed)
        };
        let head =
            Head { identity: self.shared.identity, keys_and_values: options.keys_and_values };
        put(&mut done, &export::encode(&Frame::Head(head)))?;
        let wanted = |s: &SourceInfo| options.sources.is_none_or(|w| w.contains(&s.id));
        for source in self.sources().into_iter().filter(wanted) {
            let id = source.id;
            put(&mut done, &export::encode(&Frame::Source(Source::of(&source))))?;
            done.sources += 1;
            let mut spans = Spans::default();
            for block in self.blocks_of(id) {
                match self.whole_block(block, options.keys_and_values) {
                    Ok(block) if !spans.take(&block.info.span) => done.doubled += 1,
                    Ok(block) => {
                        done.blocks += 1;
                        done.kv_blocks += u64::from(block.info.kv.is_some());
                        put(&mut done, &export::encode(&Frame::Block(block)))?;
                    }
                    Err(ReadError::Corrupt { .. } | ReadError::Quarantined { .. }) => {
                        done.damaged += 1;
                    }
                    // It went meanwhile.
                    Err(ReadError::UnknownBlock { .. }) => {}
                    Err(e) => return Err(e.into()),
                }
            }
        }
        let end = export::encode(&Frame::End { blocks: done.blocks });
        put(&mut done, &end)?;
        out.flush().map_err(failed)?;
        drop(out);
        Ok(done)
    }

    fn whole_block(&self, id: BlockId, keys_and_values: bool) -> Result<Block, ReadError> {
        let mut info: BlockInfo = self.block(id)?;
        let mut block = Block {
            text: self.text(id)?,
            tokens: Vec::new(),
            address: BlockAddress::default(),
            payload: Vec::new(),
            beacons: Vec::new(),
            info,
        };
        self.tokens(id, &mut block.tokens)?;
        if keys_and_values {
            block.address = self.address(id)?;
            match self.payload(id, &mut block.payload) {
                Ok(_) => {}
                Err(ReadError::NoKv { .. }) => (info.kv, info.kv_bytes) = (None, 0),
                Err(e) => return Err(e),
            }
            match self.beacons(id, &mut block.beacons) {
                Ok(_) => {}
                Err(ReadError::NoBeacons { .. }) => info.beacons = None,
                Err(e) => return Err(e),
            }
        } else {
            (info.kv, info.kv_bytes, info.beacons) = (None, 0, None);
        }
        block.info = info;
        Ok(block)
    }
}
