//! What the caller keeps in the store, and what it asks of it, beside what is remembered.

use super::Store;
use crate::SourceError;

impl Store {
    /// Keeps small, opaque bytes under a name, beside what is remembered (and nothing of it: they
    /// are not forgotten with it); they replace those of the same name and become durable at the
    /// next [`commit`](Self::commit). A rebuild starts without.
    ///
    /// # Errors
    /// [`SourceError`]: too many bytes, a name that is none, or the store stopped.
    pub fn set_note(&mut self, name: &str, bytes: &[u8]) -> Result<(), SourceError> {
        self.check_name(name)?;
        if bytes.len() > Self::SESSION_BYTES_MAX {
            let (bytes, max) = (bytes.len(), Self::SESSION_BYTES_MAX);
            return Err(SourceError::SessionBytes { bytes, max });
        }
        self.notes.retain(|(n, _)| n != name);
        self.notes.push((name.to_owned(), bytes.to_vec()));
        Ok(())
    }

    /// Whether room for a disk budget may be made by writing segments anew. Where it may not, an
    /// append that needs room is refused.
    pub const fn spare_rewrites(&mut self, spare: bool) {
        self.spares = spare;
    }
}
