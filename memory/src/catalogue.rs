//! The table of contents: sources, segments, blocks and the words of their text, in SQLite. All
//! of it is derived from the segments.

pub(crate) mod query;
mod rows;
mod written;

pub(crate) use rows::{BlockRow, PageRow, SegmentRow, SessionRow, SourceRow};

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use self::written::Written;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, params};

use crate::{
    BlockId, SourceId, StoreOptions, SyncPolicy,
    error::CatalogueError,
    storage::{CataloguePlace, file},
    sync::held,
    text::hex,
};

/// Name of the file in the store's folder.
pub(crate) const FILE: &str = "catalogue.sqlite";

const MIGRATIONS: [&str; 3] = [
    include_str!("../migrations/0001_first.sql"),
    include_str!("../migrations/0002_pages.sql"),
    include_str!("../migrations/0003_beacons_sessions.sql"),
];

/// A connection; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Catalogue {
    conn: Arc<Mutex<Connection>>,
    path: Option<PathBuf>,
    written: Arc<Mutex<Written>>,
}

/// All rows but those of blocks, at opening.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) sources: Vec<SourceRow>,
    pub(crate) segments: Vec<SegmentRow>,
    pub(crate) pages: Vec<PageRow>,
    pub(crate) quarantined: Vec<Quarantined>,
    /// The id of the next block.
    pub(crate) next_id: u64,
    /// How often anything but appending changed the rows of blocks.
    pub(crate) revision: u64,
}

/// A block that is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quarantined {
    pub(crate) id: BlockId,
    pub(crate) segment: u32,
    pub(crate) offset: u64,
    pub(crate) reason: String,
}

/// A row of a block with the text to be indexed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NewBlock {
    pub(crate) row: BlockRow,
    pub(crate) text: String,
}

/// What one transaction writes.
#[derive(Debug, Default)]
pub(crate) struct Batch<'a> {
    pub(crate) sources: &'a [SourceRow],
    pub(crate) segments: &'a [SegmentRow],
    pub(crate) blocks: &'a [NewBlock],
    pub(crate) quarantined: &'a [Quarantined],
    pub(crate) pages: &'a [PageRow],
    /// Segments that are void: their blocks' rows and words go before anything is put.
    pub(crate) segments_gone: &'a [u32],
    /// Source versions that are forgotten.
    pub(crate) sources_gone: &'a [SourceId],
    /// Points of sessions; `None` takes one away.
    pub(crate) sessions: &'a [(String, Option<SessionRow>)],
    /// What the caller keeps by name, beside what is remembered.
    pub(crate) notes: &'a [(String, Vec<u8>)],
    /// Numbers of pages that nothing points to any more.
    pub(crate) pages_gone: &'a [u32],
    /// The id of the next block.
    pub(crate) next_id: Option<u64>,
    /// What was written on a day.
    pub(crate) wear: Option<Wear>,
}

/// Bytes written on a day, for a budget that spares the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wear {
    /// Days since 1970 UTC.
    pub(crate) day: i64,
    pub(crate) bytes: u64,
}

/// No clock that was ever set shows an earlier day: 2024-01-01.
const SET_DAY: i64 = 19_723;
/// A count of a day that lies so far ahead was made by a clock that was wrong.
const AHEAD_DAYS: i64 = 2;

impl Wear {
    /// What counts when a clock says that it is `today`: it begins at 0 on a new day only. A clock
    /// that goes backwards, or that is not set yet (a board without one begins in 1970), does not
    /// make a day begin anew.
    pub(crate) const fn at(self, today: i64) -> Self {
        let set = today >= SET_DAY;
        let Self { day, bytes } = self;
        if day < today {
            // The clock was set meanwhile: how long ago that was is not known.
            let unset = day < SET_DAY && set;
            return Self { day: today, bytes: if unset { bytes } else { 0 } };
        }
        if set && day - today > AHEAD_DAYS {
            return Self { day: today, bytes };
        }
        self
    }

    /// Counts more.
    pub(crate) const fn plus(self, today: i64, bytes: u64) -> Self {
        let now = self.at(today);
        Self { day: now.day, bytes: now.bytes.saturating_add(bytes) }
    }
}

/// The rows at one moment.
pub(crate) struct View<'a>(Transaction<'a>);

impl View<'_> {
    /// All rows but those of blocks.
    pub(crate) fn contents(&self) -> Result<Contents, CatalogueError> {
        Ok(Contents {
            sources: rows::sources(&self.0)?,
            segments: rows::segments(&self.0)?,
            pages: rows::pages(&self.0)?,
            quarantined: rows::quarantined(&self.0)?,
            next_id: rows::next_id(&self.0)?,
            revision: rows::revision(&self.0)?,
        })
    }

    /// What was written on the latest day.
    pub(crate) fn wear(&self) -> Result<Wear, CatalogueError> {
        rows::wear(&self.0)
    }

    /// Blocks with ids in a range, ends included, by id.
    pub(crate) fn blocks(&self, ids: RangeInclusive<u64>) -> Result<Vec<BlockRow>, CatalogueError> {
        rows::blocks(&self.0, ids)
    }

    /// Blocks of a segment, by id.
    pub(crate) fn blocks_of_segment(&self, number: u32) -> Result<Vec<BlockRow>, CatalogueError> {
        rows::blocks_of_segment(&self.0, number)
    }

    /// The segment of a block that is known, served or not.
    pub(crate) fn segment_of(&self, id: BlockId) -> Result<Option<u32>, CatalogueError> {
        rows::segment_of(&self.0, id)
    }

    /// The segment of the block at this place of a source.
    pub(crate) fn segment_of_ordinal(
        &self,
        source: SourceId,
        ordinal: u32,
    ) -> Result<Option<u32>, CatalogueError> {
        rows::segment_of_ordinal(&self.0, source, ordinal)
    }

    /// The point of a session, as it is stored.
    pub(crate) fn session(&self, name: &str) -> Result<Option<SessionRow>, CatalogueError> {
        rows::session(&self.0, name)
    }

    /// What the caller keeps under a name.
    pub(crate) fn note(&self, name: &str) -> Result<Option<Vec<u8>>, CatalogueError> {
        rows::note(&self.0, name)
    }

    /// All of which the name begins so.
    pub(crate) fn notes(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, CatalogueError> {
        rows::notes(&self.0, prefix)
    }

    /// Names of all sessions that have a point.
    pub(crate) fn session_names(&self) -> Result<Vec<String>, CatalogueError> {
        rows::session_names(&self.0)
    }

    /// The last block of a source.
    pub(crate) fn last_block(&self, source: SourceId) -> Result<Option<BlockId>, CatalogueError> {
        rows::last_block(&self.0, source)
    }
}

impl Catalogue {
    /// Opens the writer's catalogue, making or migrating it.
    pub(crate) fn open(
        place: &CataloguePlace,
        store: [u8; 16],
        options: &StoreOptions,
    ) -> Result<Self, CatalogueError> {
        let (mut conn, path) = match place {
            CataloguePlace::Memory => (Connection::open_in_memory()?, None),
            CataloguePlace::Folder(dir) => {
                let path = dir.join(FILE);
                file::touch(&path)?;
                (Connection::open(&path)?, Some(path))
            }
        };
        conn.busy_timeout(std::time::Duration::from_secs(10))?;
        let _mode: String = conn.query_row("PRAGMA journal_mode = WAL", [], |r| r.get(0))?;
        // Segments hold the truth and are synced first: a catalogue that a power cut sets back a
        // few transactions is brought up to date when it is opened.
        let level = match options.sync {
            SyncPolicy::None => "OFF",
            SyncPolicy::Data => "NORMAL",
            // Points of sessions are nowhere else.
            SyncPolicy::Full => "FULL",
        };
        conn.execute_batch(&format!(
            "PRAGMA synchronous = {level}; PRAGMA cache_size = -2048; PRAGMA foreign_keys = OFF;
             PRAGMA wal_autocheckpoint = {};",
            log_pages(options.disk_bytes_max)
        ))?;
        let mut written = Written::from(&conn);
        migrate(&mut conn, store)?;
        written.observe(&conn);
        check_store(&conn, store)?;
        Ok(Self::of(conn, path, written))
    }

    /// Opens a reader's own connection to an existing catalogue.
    pub(crate) fn open_reader(dir: &Path, store: [u8; 16]) -> Result<Self, CatalogueError> {
        let path = dir.join(FILE);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(&path, flags)?;
        conn.busy_timeout(std::time::Duration::from_secs(10))?;
        conn.execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -4096;")?;
        let found: i64 = conn.query_row("PRAGMA user_version", [], |r| r.get(0))?;
        let known = MIGRATIONS.len() as i64;
        if found != known {
            return Err(CatalogueError::Version { found, known });
        }
        check_store(&conn, store)?;
        Ok(Self::of(conn, Some(path), Written::default()))
    }

    fn of(conn: Connection, path: Option<PathBuf>, written: Written) -> Self {
        Self { conn: Arc::new(Mutex::new(conn)), path, written: Arc::new(Mutex::new(written)) }
    }

    /// Bytes that this connection wrote since it was opened, its log and copying the log into the
    /// file included; a little too much rather than too little.
    pub(crate) fn written(&self) -> u64 {
        held(&self.written).bytes()
    }

    /// Runs `f`, which writes, and counts what it wrote.
    fn writing<T>(
        &self,
        f: impl FnOnce(&mut Connection, &mut Written) -> Result<T, CatalogueError>,
    ) -> Result<T, CatalogueError> {
        self.with(|conn| {
            let mut written = held(&self.written);
            let done = f(conn, &mut written);
            written.observe(conn);
            done
        })
    }

    /// A second connection to the same catalogue, so that text search does not wait for commits.
    /// A catalogue in RAM has one connection only.
    pub(crate) fn reader(&self, store: [u8; 16]) -> Result<Self, CatalogueError> {
        match self.path.as_deref().and_then(Path::parent) {
            Some(dir) => Self::open_reader(dir, store),
            None => Ok(self.clone()),
        }
    }

    /// Runs `f` on the connection.
    pub(crate) fn with<T>(
        &self,
        f: impl FnOnce(&mut Connection) -> Result<T, CatalogueError>,
    ) -> Result<T, CatalogueError> {
        f(&mut held(&self.conn))
    }

    /// Bytes of the catalogue on disk.
    pub(crate) fn bytes(&self) -> u64 {
        let Some(path) = &self.path else { return 0 };
        let part = |suffix: &str| {
            let mut name = path.clone().into_os_string();
            name.push(suffix);
            file::size_of(Path::new(&name))
        };
        part("") + part("-wal")
    }

    /// Writes a batch in one transaction.
    pub(crate) fn apply(&self, batch: &Batch<'_>) -> Result<(), CatalogueError> {
        self.writing(|conn, _| {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            write_batch(&tx, batch)?;
            tx.commit()?;
            Ok(())
        })
    }

    /// Makes all transactions so far durable.
    pub(crate) fn sync(&self) -> Result<(), CatalogueError> {
        self.writing(|conn, _| {
            // Pages of the log are synced before they are copied; how many are is of no interest.
            conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
            Ok(())
        })
    }

    /// Lets go of the pages of the file that are held.
    pub(crate) fn let_go(&self) -> Result<(), CatalogueError> {
        self.with(|conn| Ok(conn.execute_batch("PRAGMA shrink_memory")?))
    }

    /// Gives free pages back to the disk when they are a large part of the file.
    pub(crate) fn shrink(&self) -> Result<(), CatalogueError> {
        self.writing(|conn, written| {
            let of = |pragma: &str| conn.query_row(pragma, [], |r| r.get::<_, i64>(0));
            let (free, all) = (of("PRAGMA freelist_count")?, of("PRAGMA page_count")?);
            if free * 4 > all && free > 64 {
                conn.execute_batch("VACUUM")?;
                written.vacuumed(conn);
            }
            // The log counts too.
            conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            Ok(())
        })
    }

    /// Takes all traces of deleted rows and words out of the files: the text index is written anew,
    /// then the whole file, then the log is emptied. Gives whether it was: another process that
    /// is reading can keep it from that.
    pub(crate) fn scrub(&self) -> Result<bool, CatalogueError> {
        self.writing(|conn, written| {
            conn.execute("INSERT INTO block_text (block_text) VALUES ('optimize')", [])?;
            written.observe(conn);
            conn.execute_batch("PRAGMA secure_delete = ON; VACUUM")?;
            written.vacuumed(conn);
            let busy: i64 =
                conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
            Ok(busy == 0)
        })
    }

    /// Reads rows, all of one moment.
    pub(crate) fn view<T, E: From<CatalogueError>>(
        &self,
        f: impl FnOnce(&View<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut conn = held(&self.conn);
        let tx = conn.transaction().map_err(CatalogueError::from)?;
        f(&View(tx))
    }
}

/// Pages of the log after which it is copied into the file: SQLite's 1000, fewer when the disk
/// budget is small.
fn log_pages(disk_bytes_max: Option<u64>) -> u64 {
    const PAGE: u64 = 4096;
    disk_bytes_max.map_or(1000, |max| (max / 64 / PAGE).clamp(16, 1000))
}

fn migrate(conn: &mut Connection, store: [u8; 16]) -> Result<(), CatalogueError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = tx.query_row("PRAGMA user_version", [], |r| r.get(0))?;
    let known = MIGRATIONS.len() as i64;
    if found > known || found < 0 {
        return Err(CatalogueError::Version { found, known });
    }
    for sql in MIGRATIONS.iter().skip(found as usize) {
        tx.execute_batch(sql)?;
    }
    if found == 0 {
        tx.execute("INSERT INTO meta (key, value) VALUES ('store', ?1)", [store.as_slice()])?;
    }
    tx.execute_batch(&format!("PRAGMA user_version = {known}"))?;
    tx.commit()?;
    Ok(())
}

fn check_store(conn: &Connection, store: [u8; 16]) -> Result<(), CatalogueError> {
    let sql = "SELECT value FROM meta WHERE key = 'store'";
    let found: Vec<u8> = conn.query_row(sql, [], |r| r.get(0))?;
    if found != store {
        return Err(CatalogueError::Foreign { expected: hex(&store), found: hex(&found) });
    }
    Ok(())
}

fn write_batch(tx: &Transaction<'_>, batch: &Batch<'_>) -> Result<(), CatalogueError> {
    for number in batch.segments_gone {
        rows::drop_segment(tx, *number)?;
    }
    if !batch.segments_gone.is_empty() {
        rows::raise_revision(tx)?;
    }
    for source in batch.sources_gone {
        tx.execute("DELETE FROM source WHERE id = ?1", [source.0])?;
    }
    for s in batch.sources {
        rows::put_source(tx, s)?;
    }
    for s in batch.segments {
        rows::put_segment(tx, s)?;
    }
    for b in batch.blocks {
        rows::put_block(tx, &b.row)?;
        tx.prepare_cached("INSERT INTO block_text (rowid, text) VALUES (?1, ?2)")?
            .execute(params![b.row.info.id.0.cast_signed(), b.text])?;
    }
    for q in batch.quarantined {
        put_quarantined(tx, q)?;
    }
    for number in batch.pages_gone {
        rows::drop_page(tx, *number)?;
    }
    for p in batch.pages {
        rows::put_page(tx, p)?;
    }
    for (name, session) in batch.sessions {
        match session {
            Some(session) => rows::put_session(tx, session)?,
            None => rows::drop_session(tx, name)?,
        }
    }
    for (name, bytes) in batch.notes {
        rows::put_note(tx, name, bytes)?;
    }
    if let Some(next_id) = batch.next_id {
        rows::put_next_id(tx, next_id)?;
    }
    if let Some(wear) = batch.wear {
        rows::put_wear(tx, wear)?;
    }
    Ok(())
}

fn put_quarantined(tx: &Transaction<'_>, q: &Quarantined) -> Result<(), CatalogueError> {
    let id = q.id.0.cast_signed();
    tx.execute(
        "INSERT INTO quarantine (id, segment, offset, reason) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (id) DO UPDATE SET reason = excluded.reason",
        params![id, q.segment, q.offset.cast_signed(), q.reason],
    )?;
    let known = tx.execute("DELETE FROM block WHERE id = ?1", [id])?;
    if known > 0 {
        tx.execute("DELETE FROM block_text WHERE rowid = ?1", [id])?;
    }
    Ok(())
}

impl Catalogue {
    /// What is wrong within the catalogue, for people.
    pub(crate) fn check(&self, deep: bool) -> Result<Vec<String>, CatalogueError> {
        self.with(|conn| {
            let mut problems = Vec::new();
            let unindexed: i64 = conn.query_row(
                "SELECT (SELECT count(*) FROM block WHERE id NOT IN
                     (SELECT id FROM block_text_docsize))
                 + (SELECT count(*) FROM block_text_docsize WHERE id NOT IN
                     (SELECT id FROM block))",
                [],
                |r| r.get(0),
            )?;
            if unindexed != 0 {
                problems.push(format!("text index and catalogue differ in {unindexed} blocks"));
            }
            let pragma = if deep { "PRAGMA integrity_check" } else { "PRAGMA quick_check" };
            let mut statement = conn.prepare(pragma)?;
            for line in statement.query_map([], |r| r.get::<_, String>(0))? {
                let line = line?;
                if line != "ok" {
                    problems.push(format!("catalogue: {line}"));
                }
            }
            Ok(problems)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_anew_only_when_the_clock_goes_forward() {
        let wear = |day, bytes| Wear { day, bytes };
        let today = 20_500;
        let counted = wear(today, 700);
        assert_eq!(counted.plus(today, 1), wear(today, 701));
        assert_eq!(counted.at(today + 1), wear(today + 1, 0));
        // Backwards, by a day or to 1970 and on from there.
        assert_eq!(counted.plus(today - 1, 1), wear(today, 701));
        assert_eq!(counted.plus(0, 1).plus(1, 1), wear(today, 702));
        assert_eq!(counted.plus(0, 1).at(today), wear(today, 701));
        // A count that a wrong clock dated far ahead is today's, and ends with it.
        assert_eq!(wear(today + 3, 700).plus(today, 1), wear(today, 701));
        assert_eq!(wear(today + 3, 700).at(today).at(today + 1), wear(today + 1, 0));
        assert_eq!(wear(today + 2, 700).at(today), wear(today + 2, 700));
        // Counted before the clock was set, and after.
        assert_eq!(wear(0, 700).at(today), wear(today, 700));
        assert_eq!(wear(0, 700).at(1), wear(1, 0));
        assert_eq!(Wear::default().at(today), wear(today, 0));
    }
}
