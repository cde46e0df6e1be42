-- Pages of the address index (`index/NNNNNNNN.idx`): which blocks each holds, and the checksum that ties the
-- file to this row. Pages are made from the rows and segments of their blocks, and made again when missing.
CREATE TABLE page (
    number INTEGER PRIMARY KEY,
    id_first INTEGER NOT NULL,
    id_last INTEGER NOT NULL,
    blocks INTEGER NOT NULL,
    key INTEGER NOT NULL
);

CREATE INDEX block_segment ON block (segment);
