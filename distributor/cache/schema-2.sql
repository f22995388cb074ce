-- What the store knows of its files. The files are the truth: a row without its file is dropped, and a file without a
-- row is one that has not been verified.

CREATE TABLE object (
    id TEXT NOT NULL PRIMARY KEY,
    size INTEGER NOT NULL CHECK (size >= 0),        -- bytes
    content_hash TEXT NOT NULL,                     -- base58 multihash
    type TEXT,                                      -- media type
    state TEXT NOT NULL CHECK (state IN ('complete', 'partial')),
    extents TEXT NOT NULL,                          -- JSON: [[start, stop], ...], what is there of a partial one
    added_at REAL NOT NULL,                         -- seconds since 1970
    last_access REAL NOT NULL,                      -- seconds since 1970
    hits INTEGER NOT NULL CHECK (hits >= 0)         -- how often it was read; of a partial one, by how many at the time
) STRICT, WITHOUT ROWID;

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
