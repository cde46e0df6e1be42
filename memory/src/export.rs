//! A store, or some of its sources, as one file, and back. `FORMAT.md` §9 describes the file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions},
    io::{self, BufReader, BufWriter, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    AppendError, BeaconRecord, BlockAddress, BlockId, BlockInfo, BlockRecord, CommitError,
    ReadError, Reader, SourceError, SourceId, SourceInfo, Store,
    format::{
        export::{self, Block, Frame, FrameError, Head, Source},
        segment::{Identity, NAME_BYTES_MAX},
    },
};

/// Blocks of one commit of an import.
const COMMIT_BLOCKS: u64 = 64;

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

fn io_error(path: &Path) -> impl Fn(io::Error) -> ExportError {
    let path = path.to_owned();
    move |source| match source.kind() {
        io::ErrorKind::AlreadyExists => ExportError::Exists { path: path.clone() },
        _ => ExportError::Io { path: path.clone(), source },
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
        if path.exists() {
            return Err(ExportError::Exists { path: path.to_owned() });
        }
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        let mut open = OpenOptions::new();
        open.write(true).create(true).truncate(true).mode(0o600);
        let file = open.open(&new).map_err(&failed)?;
        let written = self.write_to(&file, options, &failed).and_then(|done| {
            file.sync_all().and_then(|()| std::fs::rename(&new, path)).map_err(&failed)?;
            Ok(done)
        });
        if written.is_err() {
            // The error is the one that is given.
            let _ = std::fs::remove_file(&new);
        }
        written
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
            for block in self.blocks_of(id) {
                match self.whole_block(block, options.keys_and_values) {
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

/// What an import is to do.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImportOptions<'a> {
    /// Put before the name of every source.
    pub prefix: &'a str,
}

impl Store {
    /// Takes in a file that [`Reader::export`] wrote. All of it is checked before anything is
    /// taken.
    /// Blocks of another model, geometry or address layout come in as text, without tokens: they
    /// are encoded again when they are recalled.
    ///
    /// # Errors
    /// [`ExportError`]. After an error of the store itself, sources may be there in part.
    pub fn import(
        &mut self,
        path: &Path,
        options: &ImportOptions<'_>,
    ) -> Result<Exported, ExportError> {
        let names = check(path, options)?;
        for source in self.reader().sources() {
            if names.contains(&source.name) {
                return Err(ExportError::SourceExists { name: source.name });
            }
        }
        let mut frames = Frames::open(path)?;
        let Some(Frame::Head(head)) = frames.next()? else { return Ok(Exported::default()) };
        let reader = self.reader();
        let own = reader.shared.identity;
        let same = Identity { store: own.store, ..head.identity } == own;
        let mut done = Exported::default();
        let mut here: Option<(SourceId, Source)> = None;
        // Versions of one name follow each other.
        let mut begun: BTreeMap<String, SourceId> = BTreeMap::new();
        while let Some(frame) = frames.next()? {
            match frame {
                Frame::Head(_) => {}
                Frame::Source(source) => {
                    self.end_source(here.take())?;
                    let name = format!("{}{}", options.prefix, source.name);
                    let state = if begun.contains_key(&name) {
                        self.new_version(&name)?
                    } else {
                        self.begin_source(&name)?
                    };
                    begun.insert(name, state.id);
                    done.sources += 1;
                    here = Some((state.id, source));
                }
                Frame::Block(block) => {
                    let Some((source, _)) = &here else { continue };
                    self.append(&record(&block, *source, same))?;
                    done.blocks += 1;
                    done.kv_blocks += u64::from(same && block.info.kv.is_some());
                    if done.blocks % COMMIT_BLOCKS == 0 {
                        self.commit()?;
                    }
                }
                Frame::End { .. } => break,
            }
        }
        self.end_source(here)?;
        done.bytes = frames.at;
        Ok(done)
    }

    fn end_source(&mut self, source: Option<(SourceId, Source)>) -> Result<(), ExportError> {
        if let Some((id, source)) = source {
            self.set_progress(id, source.progress)?;
            self.commit()?;
        }
        Ok(())
    }
}

/// A block as it is appended.
fn record(block: &Block, source: SourceId, same: bool) -> BlockRecord<'_> {
    static NONE: BlockAddress = BlockAddress { heads: Vec::new() };
    let info = &block.info;
    let beacons = info.beacons.filter(|_| same).map(|b| BeaconRecord {
        ratio: b.ratio,
        count: b.count,
        dtype: b.dtype,
        payload: &block.beacons,
    });
    BlockRecord {
        source,
        span: info.span,
        time_unix_ms: info.time_unix_ms,
        tokens: if same { &block.tokens } else { &[] },
        text: &block.text,
        surprise_nats: info.surprise_nats,
        starts_mid_line: info.starts_mid_line,
        ends_mid_line: info.ends_mid_line,
        dtype: info.kv.unwrap_or(crate::KvDtype::F16),
        payload: if same { &block.payload } else { &[] },
        beacons,
        address: if same { &block.address } else { &NONE },
    }
}

/// Reads a file from its beginning to its end and gives the names that its sources will have.
fn check(path: &Path, options: &ImportOptions<'_>) -> Result<BTreeSet<String>, ExportError> {
    let mut frames = Frames::open(path)?;
    let (mut names, mut blocks, mut ended) = (BTreeSet::new(), 0_u64, false);
    let mut first = true;
    loop {
        let at = frames.at;
        let damaged = |what| ExportError::Damaged { path: path.to_owned(), at, what };
        let Some(frame) = frames.next()? else { break };
        if ended || first != matches!(frame, Frame::Head(_)) {
            return Err(damaged("parts in another order"));
        }
        first = false;
        match frame {
            Frame::Head(_) => {}
            Frame::Source(source) => {
                let name = format!("{}{}", options.prefix, source.name);
                if name.is_empty() || name.len() > NAME_BYTES_MAX {
                    return Err(damaged("source name"));
                }
                names.insert(name);
            }
            Frame::Block(_) if names.is_empty() => return Err(damaged("block without a source")),
            Frame::Block(_) => blocks += 1,
            Frame::End { blocks: said } if said == blocks => ended = true,
            Frame::End { .. } => return Err(damaged("number of blocks")),
        }
    }
    if !ended {
        let what = "it ends too early";
        return Err(ExportError::Damaged { path: path.to_owned(), at: frames.at, what });
    }
    Ok(names)
}

/// Reads the parts of a file one by one, each checked, none larger than what is left of the file.
struct Frames {
    path: PathBuf,
    file: BufReader<File>,
    bytes: u64,
    at: u64,
    buffer: Vec<u8>,
}

impl Frames {
    fn open(path: &Path) -> Result<Self, ExportError> {
        let failed = io_error(path);
        let file = File::open(path).map_err(&failed)?;
        let meta = file.metadata().map_err(&failed)?;
        if !meta.is_file() {
            let what = "it is not a file";
            return Err(ExportError::NotAnExport { path: path.to_owned(), what });
        }
        let file = BufReader::with_capacity(1 << 20, file);
        Ok(Self { path: path.to_owned(), file, bytes: meta.len(), at: 0, buffer: Vec::new() })
    }

    /// The next part; `None` at the end of the file.
    fn next(&mut self) -> Result<Option<Frame>, ExportError> {
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
        let bytes = export::bytes_of(&prefix).map_err(damaged)?;
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
