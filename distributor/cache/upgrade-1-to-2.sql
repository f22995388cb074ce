-- What came with version 2, word for word: an upgraded index is the same as a fresh one.

-- For those who look through all, a page at a time, in the order of the numbers.
CREATE INDEX object_in_order ON object (length(id), id);

-- Evidence against storage nodes; only the newest are kept.
CREATE TABLE fault (
    number INTEGER NOT NULL PRIMARY KEY,            -- in the order in which they were found
    object_id TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    bucket TEXT NOT NULL,                           -- the storage bucket, or the node of a manifest
    kind TEXT NOT NULL,
    expected TEXT NOT NULL,                         -- a content hash, or a number of bytes
    got TEXT NOT NULL,
    bytes INTEGER NOT NULL,                         -- that the node had given
    at REAL NOT NULL                                -- seconds since 1970
) STRICT;

PRAGMA user_version = 2;
