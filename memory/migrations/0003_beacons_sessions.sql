-- Beacons of a block: a few condensed keys and values that stand for its tokens; dtype 0 when it has none.
ALTER TABLE block ADD COLUMN beacon_dtype INTEGER NOT NULL DEFAULT 0;
ALTER TABLE block ADD COLUMN beacon_ratio INTEGER NOT NULL DEFAULT 0;
ALTER TABLE block ADD COLUMN beacon_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE block ADD COLUMN beacon_bytes INTEGER NOT NULL DEFAULT 0;

-- Where a session goes on after a restart: bytes of the session, opaque here. `source` and `blocks`: how many
-- blocks of which source it covers. Not in the segments: a rebuild starts without.
CREATE TABLE session (
    name TEXT PRIMARY KEY,
    time_unix_ms INTEGER NOT NULL,
    source INTEGER NOT NULL,
    blocks INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    state BLOB NOT NULL
) WITHOUT ROWID;
