//! The table of contents: sources, segments, blocks and the words of their text, in SQLite. All
//! of it is derived from the segments.

pub(crate) mod query;
mod rows;

pub(crate) use rows::{BlockRow, SegmentRow, SourceRow};

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, params};

use crate::{
    BlockId, SyncPolicy,
    error::CatalogueError,
    storage::{CataloguePlace, file},
    sync::held,
    text::hex,
};

/// Name of the file in the store's folder.
pub(crate) const FILE: &str = "catalogue.sqlite";

const MIGRATIONS: [&str; 1] = [include_str!("../migrations/0001_first.sql")];

/// A connection; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Catalogue {
    conn: Arc<Mutex<Connection>>,
    path: Option<PathBuf>,
}

/// All rows, at opening.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) sources: Vec<SourceRow>,
    pub(crate) segments: Vec<SegmentRow>,
    pub(crate) blocks: Vec<BlockRow>,
    pub(crate) quarantined: Vec<Quarantined>,
    /// The id of the next block.
    pub(crate) next_id: u64,
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
    /// The id of the next block.
    pub(crate) next_id: Option<u64>,
}

impl Catalogue {
    /// Opens the writer's catalogue, making or migrating it.
    pub(crate) fn open(
        place: &CataloguePlace,
        store: [u8; 16],
        sync: SyncPolicy,
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
        let level = match sync {
            SyncPolicy::None => "OFF",
            SyncPolicy::Data | SyncPolicy::Full => "NORMAL",
        };
        conn.execute_batch(&format!(
            "PRAGMA synchronous = {level}; PRAGMA cache_size = -4096; PRAGMA foreign_keys = OFF;"
        ))?;
        migrate(&mut conn, store)?;
        check_store(&conn, store)?;
        Ok(Self { conn: Arc::new(Mutex::new(conn)), path })
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
        Ok(Self { conn: Arc::new(Mutex::new(conn)), path: Some(path) })
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
        self.with(|conn| {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            write_batch(&tx, batch)?;
            tx.commit()?;
            Ok(())
        })
    }

    /// All rows with ids from `id_from` on, and all sources and segments.
    pub(crate) fn contents(&self, id_from: u64) -> Result<Contents, CatalogueError> {
        self.with(|conn| {
            let tx = conn.transaction()?;
            let contents = Contents {
                sources: rows::sources(&tx)?,
                segments: rows::segments(&tx)?,
                blocks: rows::blocks(&tx, id_from)?,
                quarantined: rows::quarantined(&tx)?,
                next_id: rows::next_id(&tx)?,
            };
            Ok(contents)
        })
    }
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
    if let Some(next_id) = batch.next_id {
        rows::put_next_id(tx, next_id)?;
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
