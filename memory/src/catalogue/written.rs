//! How much SQLite writes, by what it says of its log (it has no other count that is cheap to ask).

use rusqlite::Connection;

/// Bytes of a page of the file.
const PAGE: u64 = 4096;
/// Bytes of a page in the log.
const FRAME: u64 = PAGE + 24;

/// What one connection wrote. Every page goes to the log first and is copied from there: a page
/// that the log has several times is copied once, and counted as often as the log has it.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Pages in the log, and how many of them were copied, when it was last looked at.
    log: Log,
    bytes: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Log {
    frames: u64,
    copied: u64,
}

impl Log {
    /// The log now; `None` for a catalogue without one, in RAM.
    fn of(conn: &Connection) -> Option<Self> {
        // It does nothing but tell.
        let mut ask = conn.prepare_cached("PRAGMA wal_checkpoint(NOOP)").ok()?;
        let (frames, copied): (i64, i64) =
            ask.query_row([], |row| Ok((row.get(1)?, row.get(2)?))).ok()?;
        Some(Self { frames: u64::try_from(frames).ok()?, copied: u64::try_from(copied).ok()? })
    }

    /// Pages put into the log, and copied out of it, since `before`. A log begins anew once all of
    /// it was copied.
    fn since(self, before: Self) -> (u64, u64) {
        if self.frames < before.frames || self.copied < before.copied {
            // What was left of the old one was copied before.
            return (self.frames, before.frames - before.copied + self.copied);
        }
        (self.frames - before.frames, self.copied - before.copied)
    }
}

impl Written {
    /// Begins to count.
    pub(super) fn from(conn: &Connection) -> Self {
        // The log is not looked at before something is read.
        let _ = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()));
        Self { log: Log::of(conn).unwrap_or_default(), bytes: 0 }
    }

    /// Bytes so far.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Counts what was written since the last time.
    pub(super) fn observe(&mut self, conn: &Connection) {
        let Some(now) = Log::of(conn) else { return };
        let (logged, copied) = now.since(self.log);
        self.bytes += logged * FRAME + copied * PAGE;
        self.log = now;
    }

    /// The file was written anew: once into a temporary one, and then through the log.
    pub(super) fn vacuumed(&mut self, conn: &Connection) {
        self.observe(conn);
        let pages = conn.query_row("PRAGMA page_count", [], |r| r.get::<_, i64>(0));
        self.bytes += u64::try_from(pages.unwrap_or(0)).unwrap_or(0) * PAGE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_grows_and_begins_anew_is_followed() {
        let log = |frames, copied| Log { frames, copied };
        assert_eq!(log(10, 0).since(log(0, 0)), (10, 0));
        assert_eq!(log(25, 25).since(log(10, 0)), (15, 25));
        // It was copied wholly, and began anew.
        assert_eq!(log(4, 0).since(log(25, 25)), (4, 0));
        assert_eq!(log(0, 0).since(log(25, 20)), (0, 5));
        assert_eq!(log(30, 0).since(log(25, 25)), (30, 0));
    }
}
