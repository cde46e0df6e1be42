//! Rows of the catalogue's tables, in and out.

use std::ops::RangeInclusive;

use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::{Quarantined, Wear};
use crate::{
    BeaconInfo, BlockId, BlockInfo, KvDtype, Progress, SessionPoint, SourceId, Span,
    error::CatalogueError,
};

/// A version of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceRow {
    pub(crate) id: SourceId,
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) superseded: bool,
    pub(crate) progress: Progress,
    /// Ordinal of its next block.
    pub(crate) ordinal_end: u32,
}

/// A segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentRow {
    pub(crate) number: u32,
    pub(crate) source: SourceId,
    pub(crate) sealed: bool,
    /// How much of the file the catalogue accounts for.
    pub(crate) bytes: u64,
}

/// A block and where it lies.
pub(crate) type BlockRow = crate::snapshot::Entry;

/// A page of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageRow {
    pub(crate) number: u32,
    pub(crate) id_first: BlockId,
    pub(crate) id_last: BlockId,
    pub(crate) blocks: u32,
    /// Checksum of the page's header.
    pub(crate) key: u64,
}

pub(super) fn put_source(tx: &Transaction<'_>, s: &SourceRow) -> Result<(), CatalogueError> {
    tx.prepare_cached(
        "INSERT INTO source (id, name, version, superseded, absorbed_bytes, absorbed_lines,
             prefix_hash, complete, ordinal_end) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (id) DO UPDATE SET superseded = excluded.superseded,
             absorbed_bytes = excluded.absorbed_bytes, absorbed_lines = excluded.absorbed_lines,
             prefix_hash = excluded.prefix_hash, complete = excluded.complete,
             ordinal_end = excluded.ordinal_end",
    )?
    .execute(params![
        s.id.0,
        s.name,
        s.version,
        s.superseded,
        s.progress.absorbed_bytes.cast_signed(),
        s.progress.absorbed_lines.cast_signed(),
        s.progress.prefix_hash.as_slice(),
        s.progress.complete,
        s.ordinal_end,
    ])?;
    Ok(())
}

pub(super) fn put_segment(tx: &Transaction<'_>, s: &SegmentRow) -> Result<(), CatalogueError> {
    tx.prepare_cached(
        "INSERT INTO segment (number, source, sealed, bytes) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (number) DO UPDATE SET sealed = excluded.sealed, bytes = excluded.bytes",
    )?
    .execute(params![s.number, s.source.0, s.sealed, s.bytes.cast_signed()])?;
    Ok(())
}

pub(super) fn put_block(tx: &Transaction<'_>, b: &BlockRow) -> Result<(), CatalogueError> {
    let i = &b.info;
    tx.prepare_cached(
        "INSERT INTO block (id, source, ordinal, byte_start, byte_end, line_start, line_end,
             time_unix_ms, tokens, surprise_nats, starts_mid_line, ends_mid_line, dtype, kv_bytes,
             segment, offset, bytes, beacon_dtype, beacon_ratio, beacon_count, beacon_bytes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
             ?19, ?20, ?21)",
    )?
    .execute(params![
        i.id.0.cast_signed(),
        i.source.0,
        i.ordinal,
        i.span.byte_start.cast_signed(),
        i.span.byte_end.cast_signed(),
        i.span.line_start.cast_signed(),
        i.span.line_end.cast_signed(),
        i.time_unix_ms,
        i.tokens,
        i.surprise_nats,
        i.starts_mid_line,
        i.ends_mid_line,
        i.kv.map_or(0, KvDtype::tag),
        i.kv_bytes,
        b.segment,
        b.offset.cast_signed(),
        b.bytes.cast_signed(),
        i.beacons.map_or(0, |b| b.dtype.tag()),
        i.beacons.map_or(0, |b| b.ratio),
        i.beacons.map_or(0, |b| b.count),
        i.beacons.map_or(0, |b| b.bytes),
    ])?;
    Ok(())
}

fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

pub(super) fn sources(tx: &Transaction<'_>) -> Result<Vec<SourceRow>, CatalogueError> {
    let mut statement = tx.prepare_cached(
        "SELECT id, name, version, superseded, absorbed_bytes, absorbed_lines, prefix_hash,
             complete, ordinal_end FROM source ORDER BY id",
    )?;
    let rows = statement.query_map([], |row| {
        let hash: Vec<u8> = row.get(6)?;
        Ok(SourceRow {
            id: SourceId(row.get(0)?),
            name: row.get(1)?,
            version: row.get(2)?,
            superseded: row.get(3)?,
            progress: Progress {
                absorbed_bytes: unsigned(row, 4)?,
                absorbed_lines: unsigned(row, 5)?,
                prefix_hash: hash.try_into().unwrap_or_default(),
                complete: row.get(7)?,
            },
            ordinal_end: row.get(8)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn segments(tx: &Transaction<'_>) -> Result<Vec<SegmentRow>, CatalogueError> {
    let mut statement =
        tx.prepare_cached("SELECT number, source, sealed, bytes FROM segment ORDER BY number")?;
    let rows = statement.query_map([], |row| {
        Ok(SegmentRow {
            number: row.get(0)?,
            source: SourceId(row.get(1)?),
            sealed: row.get(2)?,
            bytes: unsigned(row, 3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn put_page(tx: &Transaction<'_>, p: &PageRow) -> Result<(), CatalogueError> {
    tx.prepare_cached(
        "INSERT INTO page (number, id_first, id_last, blocks, key) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        p.number,
        p.id_first.0.cast_signed(),
        p.id_last.0.cast_signed(),
        p.blocks,
        p.key.cast_signed(),
    ])?;
    Ok(())
}

pub(super) fn drop_page(tx: &Transaction<'_>, number: u32) -> Result<(), CatalogueError> {
    tx.prepare_cached("DELETE FROM page WHERE number = ?1")?.execute([number])?;
    Ok(())
}

pub(super) fn pages(tx: &Transaction<'_>) -> Result<Vec<PageRow>, CatalogueError> {
    let mut statement = tx.prepare_cached(
        "SELECT number, id_first, id_last, blocks, key FROM page ORDER BY id_first",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(PageRow {
            number: row.get(0)?,
            id_first: BlockId(unsigned(row, 1)?),
            id_last: BlockId(unsigned(row, 2)?),
            blocks: row.get(3)?,
            key: row.get::<_, i64>(4)?.cast_unsigned(),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

const BLOCK_COLUMNS: &str = "id, source, ordinal, byte_start, byte_end, line_start, line_end,
    time_unix_ms, tokens, surprise_nats, starts_mid_line, ends_mid_line, dtype, kv_bytes, segment,
    offset, bytes, beacon_dtype, beacon_ratio, beacon_count, beacon_bytes";

fn block(row: &Row<'_>) -> rusqlite::Result<BlockRow> {
    let beacons = match KvDtype::from_tag(row.get(17)?) {
        None => None,
        Some(dtype) => Some(BeaconInfo {
            ratio: row.get(18)?,
            count: row.get(19)?,
            dtype,
            bytes: row.get(20)?,
        }),
    };
    Ok(BlockRow {
        info: BlockInfo {
            id: BlockId(unsigned(row, 0)?),
            source: SourceId(row.get(1)?),
            ordinal: row.get(2)?,
            span: Span {
                byte_start: unsigned(row, 3)?,
                byte_end: unsigned(row, 4)?,
                line_start: unsigned(row, 5)?,
                line_end: unsigned(row, 6)?,
            },
            time_unix_ms: row.get(7)?,
            tokens: row.get(8)?,
            surprise_nats: row.get(9)?,
            starts_mid_line: row.get(10)?,
            ends_mid_line: row.get(11)?,
            kv: KvDtype::from_tag(row.get(12)?),
            kv_bytes: row.get(13)?,
            beacons,
        },
        segment: row.get(14)?,
        offset: unsigned(row, 15)?,
        bytes: unsigned(row, 16)?,
    })
}

pub(super) fn blocks(
    tx: &Transaction<'_>,
    ids: RangeInclusive<u64>,
) -> Result<Vec<BlockRow>, CatalogueError> {
    let sql = format!("SELECT {BLOCK_COLUMNS} FROM block WHERE id >= ?1 AND id <= ?2 ORDER BY id");
    let last = i64::try_from(*ids.end()).unwrap_or(i64::MAX);
    let mut statement = tx.prepare_cached(&sql)?;
    let rows = statement.query_map([ids.start().cast_signed(), last], block)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn blocks_of_segment(
    tx: &Transaction<'_>,
    number: u32,
) -> Result<Vec<BlockRow>, CatalogueError> {
    let sql = format!("SELECT {BLOCK_COLUMNS} FROM block WHERE segment = ?1 ORDER BY id");
    let mut statement = tx.prepare_cached(&sql)?;
    let rows = statement.query_map([number], block)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn segment_of(tx: &Transaction<'_>, id: BlockId) -> Result<Option<u32>, CatalogueError> {
    let sql = "SELECT segment FROM block WHERE id = ?1
        UNION ALL SELECT segment FROM quarantine WHERE id = ?1 LIMIT 1";
    Ok(tx.prepare_cached(sql)?.query_row([id.0.cast_signed()], |r| r.get(0)).optional()?)
}

pub(super) fn segment_of_ordinal(
    tx: &Transaction<'_>,
    source: SourceId,
    ordinal: u32,
) -> Result<Option<u32>, CatalogueError> {
    let sql = "SELECT segment FROM block WHERE source = ?1 AND ordinal = ?2";
    Ok(tx.prepare_cached(sql)?.query_row([source.0, ordinal], |r| r.get(0)).optional()?)
}

/// Takes a segment away with all rows of its blocks. Pages that hold any of them no longer fit
/// their rows, so that they are made again.
pub(super) fn drop_segment(tx: &Transaction<'_>, number: u32) -> Result<(), CatalogueError> {
    for sql in [
        "UPDATE page SET key = 0 WHERE EXISTS (SELECT 1 FROM block
             WHERE segment = ?1 AND id BETWEEN page.id_first AND page.id_last)
         OR EXISTS (SELECT 1 FROM quarantine
             WHERE segment = ?1 AND id BETWEEN page.id_first AND page.id_last)",
        "DELETE FROM block_text WHERE rowid IN (SELECT id FROM block WHERE segment = ?1)",
        "DELETE FROM block WHERE segment = ?1",
        "DELETE FROM quarantine WHERE segment = ?1",
        "DELETE FROM segment WHERE number = ?1",
    ] {
        tx.prepare_cached(sql)?.execute([number])?;
    }
    Ok(())
}

pub(super) fn last_block(
    tx: &Transaction<'_>,
    source: SourceId,
) -> Result<Option<BlockId>, CatalogueError> {
    let sql = "SELECT id FROM block WHERE source = ?1 ORDER BY ordinal DESC LIMIT 1";
    let id = tx.prepare_cached(sql)?.query_row([source.0], |r| unsigned(r, 0)).optional()?;
    Ok(id.map(BlockId))
}

/// A session's point, to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionRow {
    pub(crate) point: SessionPoint,
    pub(crate) checksum: u64,
}

pub(super) fn put_session(tx: &Transaction<'_>, s: &SessionRow) -> Result<(), CatalogueError> {
    let SessionPoint { name, time_unix_ms, source, blocks, state } = &s.point;
    tx.prepare_cached(
        "INSERT OR REPLACE INTO session (name, time_unix_ms, source, blocks, checksum, state)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        name,
        time_unix_ms,
        source.0,
        blocks,
        s.checksum.cast_signed(),
        state
    ])?;
    Ok(())
}

pub(super) fn drop_session(tx: &Transaction<'_>, name: &str) -> Result<(), CatalogueError> {
    tx.prepare_cached("DELETE FROM session WHERE name = ?1")?.execute([name])?;
    Ok(())
}

pub(super) fn session(
    tx: &Transaction<'_>,
    name: &str,
) -> Result<Option<SessionRow>, CatalogueError> {
    let sql = "SELECT time_unix_ms, source, blocks, checksum, state FROM session WHERE name = ?1";
    let row = tx.prepare_cached(sql)?.query_row([name], |row| {
        Ok(SessionRow {
            point: SessionPoint {
                name: name.to_owned(),
                time_unix_ms: row.get(0)?,
                source: SourceId(row.get(1)?),
                blocks: row.get(2)?,
                state: row.get(4)?,
            },
            checksum: row.get::<_, i64>(3)?.cast_unsigned(),
        })
    });
    Ok(row.optional()?)
}

pub(super) fn session_names(tx: &Transaction<'_>) -> Result<Vec<String>, CatalogueError> {
    let mut statement = tx.prepare_cached("SELECT name FROM session ORDER BY name")?;
    let names = statement.query_map([], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

pub(super) fn quarantined(tx: &Transaction<'_>) -> Result<Vec<Quarantined>, CatalogueError> {
    let mut statement =
        tx.prepare_cached("SELECT id, segment, offset, reason FROM quarantine ORDER BY id")?;
    let rows = statement.query_map([], |row| {
        Ok(Quarantined {
            id: BlockId(unsigned(row, 0)?),
            segment: row.get(1)?,
            offset: unsigned(row, 2)?,
            reason: row.get(3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn put_next_id(tx: &Transaction<'_>, next_id: u64) -> Result<(), CatalogueError> {
    tx.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES ('next_id', ?1)")?
        .execute([next_id.cast_signed()])?;
    Ok(())
}

/// The day (days since 1970 UTC) that was written on last, and the bytes written on it.
pub(super) fn wear(tx: &Transaction<'_>) -> Result<Wear, CatalogueError> {
    let one = |key: &str| {
        let sql = "SELECT coalesce((SELECT value FROM meta WHERE key = ?1), 0)";
        tx.prepare_cached(sql)?.query_row([key], |r| r.get::<_, i64>(0))
    };
    Ok(Wear { day: one("written_day")?, bytes: one("written_bytes")?.cast_unsigned() })
}

pub(super) fn put_wear(tx: &Transaction<'_>, wear: Wear) -> Result<(), CatalogueError> {
    let sql = "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)";
    let mut statement = tx.prepare_cached(sql)?;
    statement.execute(params!["written_day", wear.day])?;
    statement.execute(params!["written_bytes", wear.bytes.cast_signed()])?;
    Ok(())
}

/// Notes lie beside the store's own values.
const NOTE: &str = "note/";

pub(super) fn note(tx: &Transaction<'_>, name: &str) -> Result<Option<Vec<u8>>, CatalogueError> {
    let sql = "SELECT value FROM meta WHERE key = ?1";
    let key = format!("{NOTE}{name}");
    Ok(tx.prepare_cached(sql)?.query_row([key], |r| r.get(0)).optional()?)
}

pub(super) fn notes(
    tx: &Transaction<'_>,
    prefix: &str,
) -> Result<Vec<(String, Vec<u8>)>, CatalogueError> {
    let sql = "SELECT substr(key, ?1), value FROM meta
        WHERE substr(key, 1, length(?2)) = ?2 ORDER BY key";
    let mut statement = tx.prepare_cached(sql)?;
    let key = format!("{NOTE}{prefix}");
    let rows =
        statement.query_map(params![NOTE.len() as i64 + 1, key], |r| Ok((r.get(0)?, r.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn put_note(
    tx: &Transaction<'_>,
    name: &str,
    bytes: &[u8],
) -> Result<(), CatalogueError> {
    tx.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?
        .execute(params![format!("{NOTE}{name}"), bytes])?;
    Ok(())
}

/// Counts a change of rows that is no appending.
pub(super) fn raise_revision(tx: &Transaction<'_>) -> Result<(), CatalogueError> {
    let next = revision(tx)? + 1;
    tx.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES ('revision', ?1)")?
        .execute([next.cast_signed()])?;
    Ok(())
}

pub(super) fn revision(tx: &Transaction<'_>) -> Result<u64, CatalogueError> {
    let sql = "SELECT coalesce((SELECT value FROM meta WHERE key = 'revision'), 0)";
    let n: i64 = tx.query_row(sql, [], |r| r.get(0))?;
    u64::try_from(n).map_err(|_| CatalogueError::Row { table: "meta" })
}

pub(super) fn next_id(tx: &Transaction<'_>) -> Result<u64, CatalogueError> {
    let sql = "SELECT coalesce((SELECT value FROM meta WHERE key = 'next_id'), 1)";
    let id: i64 = tx.query_row(sql, [], |r| r.get(0))?;
    u64::try_from(id).map_err(|_| CatalogueError::Row { table: "meta" })
}
