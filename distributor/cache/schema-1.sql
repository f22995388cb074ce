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

PRAGMA user_version = 1;
