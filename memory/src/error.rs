//! One error per operation; paths, sizes and names are inside.

use std::{io, path::PathBuf};

use thiserror::Error;

use crate::{AddressError, AddressLayout, BlockId, Geometry, SourceId};

/// Why a store, or a reader of one, could not be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The path is something else than a folder.
    #[error("{} is not a directory", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// The folder has files, but none of a store: it is left alone.
    #[error("{} is not a store and not empty (it holds {found:?})", path.display())]
    NotAStore {
        /// The folder.
        path: PathBuf,
        /// One of the names found in it.
        found: String,
    },
    /// There is no store to be read.
    #[error("there is no store in {}", path.display())]
    Absent {
        /// The folder.
        path: PathBuf,
    },
    /// The store was made with another model, tokenizer, template or K,V layout.
    #[error(
        "the store in {} was made with another model: {what} is {found}, not {expected}",
        path.display()
    )]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// What differs: `model`, `geometry` or `address layout`.
        what: &'static str,
        /// As asked for.
        expected: String,
        /// As stored.
        found: String,
    },
    /// Another process writes to the store.
    #[error("the store in {} is written by process {}", path.display(), pid_text(*pid))]
    Locked {
        /// The folder.
        path: PathBuf,
        /// The other's process id, when it is known.
        pid: Option<u32>,
    },
    /// A newer program made it.
    #[error("{} has format {found}, this program knows up to {known}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Version found.
        found: u64,
        /// Newest version known here.
        known: u64,
    },
    /// The identity file does not hold what it should. `rebuild` makes it again.
    #[error("{} is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The catalogue cannot be used. `rebuild` makes it again from the segments.
    #[error("the catalogue in {} cannot be used: {source}", path.display())]
    Catalogue {
        /// The folder.
        path: PathBuf,
        /// What SQLite says.
        source: CatalogueError,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

fn pid_text(pid: Option<u32>) -> String {
    pid.map_or_else(|| "(unknown)".to_owned(), |p| p.to_string())
}

/// What went wrong in the catalogue.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CatalogueError {
    /// SQLite says so.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// Its file could not be made.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It belongs to another store.
    #[error("it belongs to store {found}, not {expected}")]
    Foreign {
        /// Store id of the folder, in hex.
        expected: String,
        /// Store id in the catalogue, in hex.
        found: String,
    },
    /// Its schema is newer than this program.
    #[error("its schema is version {found}, this program knows up to {known}")]
    Version {
        /// Version found.
        found: i64,
        /// Newest version known here.
        known: i64,
    },
    /// A row holds a value out of range.
    #[error("a row of {table} holds a value out of range")]
    Row {
        /// The table.
        table: &'static str,
    },
}

impl CatalogueError {
    /// Whether the disk was full, and nothing else is wrong.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Sqlite(e) => e.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull),
            Self::Io(e) => crate::storage::is_full(e),
            Self::Foreign { .. } | Self::Version { .. } | Self::Row { .. } => false,
        }
    }
}

/// Why a source could not be begun.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SourceError {
    /// An earlier write failed; open the store again.
    #[error("the store stopped after a failed write ({after}); open it again")]
    Latched {
        /// What failed then.
        after: String,
    },
    /// The name is empty or too long.
    #[error("a source name of {bytes} bytes (1 to {max} are taken)")]
    Name {
        /// Bytes given.
        bytes: usize,
        /// Most taken.
        max: usize,
    },
    /// No source has this id.
    #[error("there is no source {}", id.0)]
    Unknown {
        /// The id.
        id: SourceId,
    },
    /// The file of pins could not be written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// More bytes or lines absorbed than there can be.
    #[error("{absorbed_bytes} bytes and {absorbed_lines} lines absorbed: more than there can be")]
    Progress {
        /// Bytes given.
        absorbed_bytes: u64,
        /// Lines given.
        absorbed_lines: u64,
    },
    /// What an earlier run left behind the progress of a source could not be taken out.
    #[error("what an earlier run left unfinished could not be removed: {0}")]
    Unfinished(Box<RewriteError>),
    /// A session's point of more bytes than are taken.
    #[error("a resume point of {bytes} bytes (at most {max} are taken)")]
    SessionBytes {
        /// Bytes given.
        bytes: usize,
        /// Most taken.
        max: usize,
    },
}

/// Why a block was not appended. The store is as it was before.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AppendError {
    /// An earlier write failed; open the store again.
    #[error("the store stopped after a failed write ({after}); open it again")]
    Latched {
        /// What failed then.
        after: String,
    },
    /// No source has this id.
    #[error("there is no source {}", source_id.0)]
    UnknownSource {
        /// The id.
        source_id: SourceId,
    },
    /// More tokens than a block of this store holds.
    #[error("{tokens} tokens in a block that holds at most {max}")]
    Tokens {
        /// Tokens given.
        tokens: usize,
        /// Most that the geometry allows.
        max: u16,
    },
    /// Text or payload beyond what a block can hold.
    #[error("{what} of {bytes} bytes is too long for one block")]
    TooLong {
        /// `text` or `payload`.
        what: &'static str,
        /// Bytes given.
        bytes: usize,
    },
    /// Ends out of order, or lines that do not count from 1.
    #[error("span {span:?} is not one")]
    Span {
        /// The span.
        span: crate::Span,
    },
    /// Beacons without keys and values, none of them, or more than a block has tokens.
    #[error("{count} beacons of ratio {ratio} in {bytes} bytes")]
    Beacons {
        /// Tokens that one stands for.
        ratio: u16,
        /// How many.
        count: u16,
        /// Bytes of their keys and values.
        bytes: usize,
    },
    /// A surprise that is no number.
    #[error("a surprise of {nats} nats")]
    Surprise {
        /// The value.
        nats: f32,
    },
    /// The address does not fit the store's layout.
    #[error("the block's address does not fit the store: {0}")]
    Address(#[from] AddressError),
    /// The disk budget would be passed. Nothing was written.
    #[error("the store has {used} of {max} bytes; a block of {needed} does not fit")]
    BudgetFull {
        /// Bytes used now.
        used: u64,
        /// The budget.
        max: u64,
        /// Bytes that the block needs.
        needed: u64,
    },
    /// The disk is full. What was written of the block was taken back; try again when there is
    /// space.
    #[error("the disk is full: {}: {source}", path.display())]
    DiskFull {
        /// The segment.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A write failed. The store refuses all writes until it is opened again.
    #[error("{}: {source}", path.display())]
    Io {
        /// The segment.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Why blocks were not acknowledged.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CommitError {
    /// An earlier write failed; open the store again.
    #[error("the store stopped after a failed write ({after}); open it again")]
    Latched {
        /// What failed then.
        after: String,
    },
    /// The disk is full. Nothing is lost yet: commit again when there is space.
    #[error("the disk is full: {}", path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// A write or a sync failed. The store refuses all writes until it is opened again.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The catalogue failed. The store refuses all writes until it is opened again.
    #[error("the catalogue failed: {0}")]
    Catalogue(#[from] CatalogueError),
}

/// Why something could not be taken out of the store.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RewriteError {
    /// An earlier write failed; open the store again.
    #[error("the store stopped after a failed write ({after}); open it again")]
    Latched {
        /// What failed then.
        after: String,
    },
    /// What was appended before could not be committed.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// What is to go could not be looked for.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The disk has no room for what stays. Nothing was changed.
    #[error("the disk is full: {}", path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// A file could not be read, written or removed. The store refuses all writes until it is
    /// opened again, and goes on from there then.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The catalogue failed. The store refuses all writes until it is opened again.
    #[error("the catalogue failed: {0}")]
    Catalogue(#[from] CatalogueError),
}

/// Why something could not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// No such block, or one that is not served.
    #[error("there is no block {}", id.0)]
    UnknownBlock {
        /// The id.
        id: BlockId,
    },
    /// No such source.
    #[error("there is no source {}", id.0)]
    UnknownSource {
        /// The id.
        id: SourceId,
    },
    /// The block was found damaged before and is not served.
    #[error("block {} is quarantined: {reason}", id.0)]
    Quarantined {
        /// The block.
        id: BlockId,
        /// What is wrong with it.
        reason: String,
    },
    /// Only text is held of this block.
    #[error("block {} has no keys and values", id.0)]
    NoKv {
        /// The block.
        id: BlockId,
    },
    /// The block has no beacons.
    #[error("block {} has no beacons", id.0)]
    NoBeacons {
        /// The block.
        id: BlockId,
    },
    /// The point of a session is not what was written.
    #[error("the resume point of session {name:?} is damaged")]
    SessionDamaged {
        /// The session.
        name: String,
    },
    /// The bytes on disk are not what was written. The block is quarantined from now on.
    #[error("block {} is damaged: {what} (segment {segment}, offset {offset})", id.0)]
    Corrupt {
        /// The block.
        id: BlockId,
        /// What does not fit.
        what: &'static str,
        /// The segment's number.
        segment: u32,
        /// Where the block's record begins.
        offset: u64,
    },
    /// The query does not fit the store's layout.
    #[error("the query does not fit the store: {0}")]
    Query(#[from] AddressError),
    /// The text index failed.
    #[error("the catalogue failed: {0}")]
    Catalogue(#[from] CatalogueError),
    /// A file could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Why a store could not be verified or rebuilt.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// It could not be opened at all.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The catalogue failed.
    #[error("the catalogue failed: {0}")]
    Catalogue(#[from] CatalogueError),
    /// A file could not be read or moved.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Texts for [`OpenError::Foreign`].
pub(crate) fn geometry_text(g: Geometry) -> String {
    let Geometry { layers, kv_heads, head_dim, block_tokens } = g;
    format!("{layers} layers x {kv_heads} kv heads x {head_dim}, blocks of {block_tokens}")
}

pub(crate) fn layout_text(a: AddressLayout) -> String {
    format!("{} heads x {} vectors x {}", a.heads, a.vectors_max, a.dim)
}
