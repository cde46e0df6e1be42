//! Counting what is written, for a budget that spares the disk.

use super::Store;
use crate::{
    catalogue::{Batch, Wear},
    clock::today,
};

impl Store {
    /// Bytes written since opening: segments, pages of the index, and the catalogue with its log.
    /// What SQLite writes is counted by its log, a little too much rather than too little.
    #[must_use]
    pub fn written_bytes(&self) -> u64 {
        self.bytes.written + self.catalogue.written()
    }

    /// The same of today (UTC), by earlier writers too. Stored with each commit and when the store
    /// is closed; a rebuilt catalogue begins at 0. A clock that is set back does not begin a new
    /// day.
    #[must_use]
    pub fn written_today(&self) -> u64 {
        let more = self.catalogue.written() - self.bytes.of_catalogue;
        self.bytes.wear.plus(today(), more).bytes
    }

    pub(super) fn count(&mut self, bytes: u64) {
        self.bytes.files += bytes;
        self.bytes.written += bytes;
        self.bytes.wear = self.bytes.wear.plus(today(), bytes);
    }

    /// What was written, the catalogue's share of earlier transactions included: what one of them
    /// writes itself is counted with the next.
    pub(super) fn wear(&mut self) -> Wear {
        let now = self.catalogue.written();
        let more = now - self.bytes.of_catalogue;
        self.bytes.of_catalogue = now;
        if more > 0 {
            self.bytes.wear = self.bytes.wear.plus(today(), more);
        }
        self.bytes.wear
    }

    /// Saves what was written, if that is more than the catalogue knows.
    fn save_wear(&mut self) {
        let wear = self.wear();
        let batch = Batch { wear: Some(wear), ..Batch::default() };
        // Only a count: when it cannot be saved now, the next commit does.
        if wear != self.bytes.wear_saved && self.catalogue.apply(&batch).is_ok() {
            self.bytes.wear_saved = wear;
        }
    }
}

impl Drop for Store {
    /// What was written is counted, committed or not.
    fn drop(&mut self) {
        if self.latched.is_none() {
            self.save_wear();
        }
    }
}
