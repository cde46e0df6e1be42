//! Counting what is written, for a budget that spares the disk.

use super::Store;
use crate::{catalogue::Batch, clock::today};

impl Store {
    /// Bytes written to segments and pages of the index since opening (not the catalogue's).
    #[must_use]
    pub const fn written_bytes(&self) -> u64 {
        self.bytes.written
    }

    /// Bytes written to segments and pages of the index today (UTC), by earlier writers too.
    /// Stored with each commit and when the store is closed; a rebuilt catalogue begins at 0. A
    /// clock that is set back does not begin a new day.
    #[must_use]
    pub fn written_today(&self) -> u64 {
        self.bytes.wear.at(today()).bytes
    }

    pub(super) fn count(&mut self, bytes: u64) {
        self.bytes.files += bytes;
        self.bytes.written += bytes;
        self.bytes.wear = self.bytes.wear.plus(today(), bytes);
    }

    /// Saves what was written, if that is more than the catalogue knows.
    fn save_wear(&mut self) {
        let wear = self.bytes.wear;
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
