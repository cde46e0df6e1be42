-- Everything here is derived from segments: `rebuild` makes the same rows.
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

-- One row for each version of a source.
CREATE TABLE source (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    superseded INTEGER NOT NULL,
    absorbed_bytes INTEGER NOT NULL,
    absorbed_lines INTEGER NOT NULL,
    prefix_hash BLOB NOT NULL,
    complete INTEGER NOT NULL,
    ordinal_end INTEGER NOT NULL,
    UNIQUE (name, version)
);

-- `bytes`: how much of the file the rows here account for.
CREATE TABLE segment (
    number INTEGER PRIMARY KEY,
    source INTEGER NOT NULL REFERENCES source (id),
    sealed INTEGER NOT NULL,
    bytes INTEGER NOT NULL
);

CREATE TABLE block (
    id INTEGER PRIMARY KEY,
    source INTEGER NOT NULL REFERENCES source (id),
    ordinal INTEGER NOT NULL,
    byte_start INTEGER NOT NULL,
    byte_end INTEGER NOT NULL,
    line_start INTEGER NOT NULL,
    line_end INTEGER NOT NULL,
    time_unix_ms INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    surprise_nats REAL NOT NULL,
    starts_mid_line INTEGER NOT NULL,
    ends_mid_line INTEGER NOT NULL,
    dtype INTEGER NOT NULL,
    kv_bytes INTEGER NOT NULL,
    segment INTEGER NOT NULL REFERENCES segment (number),
    offset INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    UNIQUE (source, ordinal)
);

CREATE INDEX block_time ON block (time_unix_ms);

-- Blocks that are on disk, or should be, but are not served.
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY,
    segment INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    reason TEXT NOT NULL
);

-- Words of the blocks; rowid is the block's id. The text itself stays in the segments. Punctuation parts
-- words, so that 10.0.3.7 is the phrase "10 0 3 7" and is found whole and by its parts.
CREATE VIRTUAL TABLE block_text USING fts5 (
    text,
    content = '',
    contentless_delete = 1,
    tokenize = 'porter unicode61 remove_diacritics 2'
);
