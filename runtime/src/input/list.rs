//! Which sources an input has.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{InputError, Place, READ_BYTES, Source, kind};

/// The sources of an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// In the order they are read: by path.
    pub sources: Vec<Source>,
    /// What a folder holds beside them.
    pub skipped: Vec<Skipped>,
}

/// A file or folder that is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its path, relative to the input.
    pub path: PathBuf,
    /// Why.
    pub why: String,
}

/// Deepest folder that is entered.
const DEPTH_MAX: usize = 64;

/// The sources of `input`: `-` is standard input, a file is itself, under its own name; a folder is
/// every text file in it and below, under its path relative to the folder, in order of these paths.
/// Hidden files, binary files, what cannot be opened, links to folders and the folder `except`
/// (the store) are skipped.
///
/// # Errors
/// [`InputError`] when there is nothing to read.
pub fn list(input: &Path, except: Option<&Path>) -> Result<Listing, InputError> {
    if input == Path::new("-") {
        let source = Source { name: "stdin".to_owned(), place: Place::Stdin };
        return Ok(Listing { sources: vec![source], skipped: Vec::new() });
    }
    let found = fs::metadata(input).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => InputError::Missing { path: input.to_owned() },
        _ => InputError::read(input.display(), e),
    })?;
    if !found.is_dir() {
        let name = input.file_name().map_or_else(
            || input.to_string_lossy().into_owned(),
            |name| name.to_string_lossy().into_owned(),
        );
        let source = Source { name, place: Place::Path(input.to_owned()) };
        return Ok(Listing { sources: vec![source], skipped: Vec::new() });
    }
    let except = except.and_then(|p| p.canonicalize().ok());
    let mut walk = Walk { root: input, except, listing: Listing::default() };
    walk.folder(Path::new(""), 0).map_err(|e| InputError::read(input.display(), e))?;
    let mut listing = walk.listing;
    listing.sources.sort_by(|a, b| a.name.split('/').cmp(b.name.split('/')));
    if listing.sources.is_empty() {
        let skipped = listing.skipped.len();
        return Err(InputError::Empty { path: input.to_owned(), skipped });
    }
    Ok(listing)
}

struct Walk<'a> {
    root: &'a Path,
    except: Option<PathBuf>,
    listing: Listing,
}

impl Walk<'_> {
    fn folder(&mut self, below: &Path, depth: usize) -> io::Result<()> {
        let mut entries: Vec<_> = fs::read_dir(self.root.join(below))?.collect::<Result<_, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = below.join(entry.file_name());
            if let Err(why) = self.entry(&entry, &path, depth) {
                self.listing.skipped.push(Skipped { path, why });
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &fs::DirEntry, path: &Path, depth: usize) -> Result<(), String> {
        if entry.file_name().to_string_lossy().starts_with('.') {
            return Err("hidden".to_owned());
        }
        let full = entry.path();
        let link = entry.file_type().is_ok_and(|t| t.is_symlink());
        let found = fs::metadata(&full).map_err(|e| e.to_string())?;
        if found.is_dir() {
            if link {
                return Err("a link to a folder".to_owned());
            }
            if self.except.is_some() && full.canonicalize().ok() == self.except {
                return Err("the store itself".to_owned());
            }
            if depth >= DEPTH_MAX {
                return Err(format!("more than {DEPTH_MAX} folders deep"));
            }
            return self.folder(path, depth + 1).map_err(|e| e.to_string());
        }
        if !found.is_file() {
            return Err("not a file".to_owned());
        }
        let first = first_bytes(&full).map_err(|e| e.to_string())?;
        kind::check(&first, false).map_err(|what| what.to_string())?;
        let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
        self.listing.sources.push(Source { name: parts.join("/"), place: Place::Path(full) });
        Ok(())
    }
}

/// The first bytes of a file, at most one read's worth.
pub(super) fn first_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut first = Vec::new();
    File::open(path)?.take(READ_BYTES as u64).read_to_end(&mut first)?;
    Ok(first)
}
