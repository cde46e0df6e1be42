//! Reading sources: files, folders and standard input, in steps, never whole.
//!
//! [`list`] says which sources an input has. An [`Intake`] reads one of them into a session: it
//! continues where an earlier run stopped, begins a new version of what changed, and follows a
//! file that grows.
//!
//! ```no_run
//! use std::path::Path;
//! use lcedge::input::{self, Intake, ReadOptions, Step};
//! # fn read(session: &mut lcedge::Session) -> Result<(), Box<dyn std::error::Error>> {
//! for source in input::list(Path::new("logs"), None)?.sources {
//!     let mut intake = Intake::begin(session, source, &ReadOptions::default())?;
//!     while intake.step(session)? != Step::End {}
//!     intake.finish(session)?;
//! }
//! # Ok(())
//! # }
//! ```

mod intake;
mod json_lines;
mod kind;
mod list;
mod place;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::PathBuf;

pub use intake::{Intake, ReadOptions, Step};
pub use kind::{NotText, check as check_text};
pub use list::{Listing, Skipped, list};

use crate::error::AbsorbError;

/// Bytes of one read.
pub const READ_BYTES: usize = 64 * 1024;

/// Where a source is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Standard input.
    Stdin,
    /// A file, or a pipe in the file system.
    Path(PathBuf),
}

/// A source to be read: its place, and its name in the memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name: what citations call it.
    pub name: String,
    /// Where it is.
    pub place: Place,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Stdin => f.write_str("standard input"),
            Place::Path(path) => path.display().fmt(f),
        }
    }
}

/// Looks at a file that will be read: whether it can be opened and is text. What cannot be looked
/// at without taking from it (standard input, pipes) is left alone.
///
/// # Errors
/// [`InputError`], as reading it would give.
pub fn probe(source: &Source, any_bytes: bool) -> Result<(), InputError> {
    let Place::Path(path) = &source.place else { return Ok(()) };
    if !path.is_file() {
        return Ok(());
    }
    let first = list::first_bytes(path).map_err(|e| InputError::read(source, e))?;
    check_text(&first, any_bytes)
        .map_err(|what| InputError::NotText { place: source.to_string(), what })
}

/// Why an input could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// There is nothing of this name.
    #[error("{}: no such file or folder", path.display())]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// The system does not let it be read.
    #[error("{place}: {source}")]
    Read {
        /// The file, folder or standard input.
        place: String,
        /// What the system says.
        source: io::Error,
    },
    /// It is not text that can be read as UTF-8.
    #[error("{place} {what}")]
    NotText {
        /// The file or standard input.
        place: String,
        /// What it is instead.
        what: NotText,
    },
    /// A folder without any text file.
    #[error("{}: no text file in this folder ({skipped} others were skipped)", path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
        /// Files and folders that were skipped.
        skipped: usize,
    },
    /// What was read could not be set aside while it is compared with what the memory holds.
    #[error("no room to set aside what is read from {place}: {source}")]
    Spool {
        /// The source.
        place: String,
        /// What the system says.
        source: io::Error,
    },
    /// The session could not absorb it.
    #[error(transparent)]
    Absorb(#[from] AbsorbError),
}

impl InputError {
    fn read(place: impl ToString, source: io::Error) -> Self {
        Self::Read { place: place.to_string(), source }
    }

    /// A short name for programs: `input_missing`, `input_unreadable`, `input_not_text`,
    /// `input_empty`, `no_space`, `absorb`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "input_missing",
            Self::Read { .. } => "input_unreadable",
            Self::NotText { .. } => "input_not_text",
            Self::Empty { .. } => "input_empty",
            Self::Spool { .. } => "no_space",
            Self::Absorb(_) => "absorb",
        }
    }

    /// What to do about it, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Missing { .. } => "check the path; `-` reads standard input".to_owned(),
            Self::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "you have no permission to read it: change its mode, or run as its owner".to_owned()
            }
            Self::NotText { what, .. } => what.hint(),
            Self::Empty { .. } => {
                "hidden and binary files are left out; name a file to read it alone".to_owned()
            }
            Self::Spool { .. } => "free space in the temporary folder (TMPDIR)".to_owned(),
            Self::Read { .. } | Self::Absorb(_) => return None,
        })
    }
}

/// Something a person should know about how a source was read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// An earlier run absorbed its first bytes, and they are unchanged.
    Continues {
        /// The source.
        name: String,
        /// Bytes that are not read again.
        bytes: u64,
    },
    /// An earlier run absorbed all of it, and it is unchanged.
    Unchanged {
        /// The source.
        name: String,
        /// Its bytes.
        bytes: u64,
    },
    /// It is not what an earlier run absorbed: a new version begins.
    Changed {
        /// The source.
        name: String,
        /// The new version.
        version: u32,
    },
    /// It became shorter while it was read, without being followed.
    Shrank {
        /// The source.
        name: String,
        /// Bytes that were read.
        read: u64,
        /// Its length now.
        length: u64,
    },
    /// A followed file was emptied or replaced: a new version begins.
    Rotated {
        /// The source.
        name: String,
        /// The new version.
        version: u32,
    },
    /// Lines that should be JSON are not.
    NotJson {
        /// The source.
        name: String,
        /// How many.
        lines: u64,
        /// The first of them, from 1.
        first: u64,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Continues { name, bytes } => {
                write!(
                    f,
                    "{name}: {bytes} bytes are in memory already, reading goes on behind them"
                )
            }
            Self::Unchanged { name, bytes } => {
                write!(f, "{name}: all {bytes} bytes are in memory already, nothing is read again")
            }
            Self::Changed { name, version } => write!(
                f,
                "{name}: changed since it was read, so it is read anew as version {version}"
            ),
            Self::Shrank { name, read, length } => write!(
                f,
                "{name}: became shorter while it was read ({read} bytes read, {length} now); what \
                 was read stays"
            ),
            Self::Rotated { name, version } => {
                write!(f, "{name}: emptied or replaced, so it goes on as version {version}")
            }
            Self::NotJson { name, lines, first } => {
                write!(f, "{name}: {lines} lines are not JSON (the first is line {first})")
            }
        }
    }
}
