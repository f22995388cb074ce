"""
The thread's half of the index: an SQLite database, made, upgraded, moved aside when it is damaged, read and written.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import resources
from itertools import count
from pathlib import Path
from typing import Any, Literal

from attrs import define, frozen
from twisted.logger import Logger

from distributor.model import DistributorError, Fault, FaultKind

VERSION = 2

#: What an older program may have left. Each step is C{upgrade-N-to-N+1.sql}.
UPGRADABLE = {1}

Run = tuple[int, int]
RowState = Literal["complete", "partial"]

#: A row as SQLite gives it: the columns of L{Row} in their order, and the extents as JSON.
RawRow = tuple[str, int, str, str | None, str, str, float, float, int]

COLUMNS = "id, size, content_hash, type, state, extents, added_at, last_access, hits"
_FAULT_COLUMNS = "object_id, endpoint, bucket, kind, expected, got, bytes, at"

#: SQLite's words for a file that is none of its own, or not whole: SQLITE_ERROR is here a missing table.
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}

#: What SQLite keeps beside a database; without a database they are worse than useless.
_COMPANIONS = ("-wal", "-shm", "-journal")


@frozen(weakref_slot=False)
class Row:
    """
    What the index keeps of an object.

    @ivar size: bytes.
    @ivar content_hash: a base58 multihash.
    @ivar extents: of a partial one, the runs C{(start, stop)} that are on disk for sure; sorted and apart.
    @ivar added_at: seconds since 1970, as C{last_access}.
    @ivar hits: how often it was read; of a partial one, how many were reading it.
    """

    id: str
    size: int
    content_hash: str
    type: str | None
    state: RowState
    extents: tuple[Run, ...]
    added_at: float
    last_access: float
    hits: int = 0

    @classmethod
    def of(cls, raw: RawRow) -> Row:
        """
        From what SQLite gives.
        """
        id, size, content_hash, type, state, extents, added_at, last_access, hits = raw
        known: RowState = "complete" if state == "complete" else "partial"
        return cls(id, size, content_hash, type, known, _parse_extents(extents), added_at, last_access, hits)


@define
class Mark:
    """
    That an object has been read.

    @ivar at: when it was last, in seconds since 1970.
    @ivar hits: how often since the mark before.
    """

    id: str
    at: float
    hits: int


class _Damaged(Exception):
    """The file is not a database of ours, whole."""


class Database:
    """
    Used by one thread alone. All methods raise L{sqlite3.Error} when SQLite refuses.
    """

    _log = Logger("distributor.cache.index")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    @property
    def connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise sqlite3.ProgrammingError("not open")
        return self._connection

    # Opening.

    def open(self) -> None:
        """
        Open the database, or make one. One that is damaged is moved aside first; one of an older program is upgraded.

        @raise DistributorError: it is of a version that this program does not know.
        """
        self._path.parent.mkdir(0o755, parents=True, exist_ok=True)
        try:
            self._connection = self._connect()
        except (_Damaged, sqlite3.DatabaseError) as error:
            self._start_anew(error)

    def _connect(self) -> sqlite3.Connection:
        if not self._path.exists():
            self._create()
        connection = sqlite3.connect(self._path)
        try:
            [(version,)] = connection.execute("PRAGMA user_version")
            [(tables,)] = connection.execute("SELECT count(*) FROM sqlite_schema")
            if version == 0 and tables == 0:
                # Ours have a schema before they have this name.
                raise _Damaged("the file is empty")
            if version != VERSION and version not in UPGRADABLE:
                raise DistributorError(
                    f"index {self._path} has version {version}; this program knows versions up to {VERSION}"
                )
            connection.execute("PRAGMA journal_mode = WAL")
            # A power failure may take the last transactions, and never the order of those that it leaves.
            connection.execute("PRAGMA synchronous = NORMAL")
            for step in range(version, VERSION):
                # Whole or not at all: the version, too, is a part of the transaction.
                connection.executescript(f"BEGIN IMMEDIATE; {_script(f'upgrade-{step}-to-{step + 1}')} COMMIT;")
        except BaseException:
            connection.close()
            raise
        return connection

    def _create(self) -> None:
        """
        Under another name first: what has the right name is whole.
        """
        new = f"{self._path}.new"
        for path in (new, *(new + each for each in _COMPANIONS), *(f"{self._path}{each}" for each in _COMPANIONS)):
            with suppress(FileNotFoundError):
                os.unlink(path)
        connection = sqlite3.connect(new)
        try:
            connection.executescript(_script(f"schema-{VERSION}"))
        finally:
            connection.close()
        os.rename(new, self._path)

    def _start_anew(self, error: Exception) -> None:
        """
        Put a damaged database where somebody may look at it, and begin with an empty one.
        """
        if not _is_damage(error):
            raise error
        self.close()
        number = next(n for n in count(1) if not os.path.lexists(f"{self._path}.corrupt-{n}"))
        aside = f"{self._path}.corrupt-{number}"
        # The companions go first: they must not be found beside a new database.
        for suffix in (*_COMPANIONS, ""):
            with suppress(FileNotFoundError):
                os.rename(f"{self._path}{suffix}", f"{aside}{suffix}")
        self._log.error(
            "index {path} is damaged ({error}): it is now {aside}, and files have to be verified again",
            path=str(self._path),
            error=error,
            aside=aside,
        )
        self._connection = self._connect()

    def close(self) -> None:
        """
        Closing twice is harmless.
        """
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    # Many rows, a batch at a time.

    def select(self, sql: str, functions: Sequence[Callable[..., Any]] = ()) -> sqlite3.Cursor:
        """
        Begin to read.

        @param functions: what C{sql} calls, by the names that they have; each of two arguments.
        """
        for function in functions:
            self.connection.create_function(function.__name__, 2, function, deterministic=True)
        return self.connection.execute(sql)

    def load(self) -> sqlite3.Cursor | None:
        """
        Begin to read all objects, the least recently wanted first; L{None} when the database turns out to be damaged,
        and has been moved aside. All of it is looked at before the first row comes, as rows have to be sorted.
        """
        try:
            return self.select(f"SELECT {COLUMNS} FROM object ORDER BY last_access")
        except sqlite3.DatabaseError as error:
            self._start_anew(error)
            return None

    # Objects.

    def put(self, row: Row) -> None:
        extents = json.dumps(row.extents, separators=(",", ":"))
        values = (row.id, row.size, row.content_hash, row.type, row.state, extents)
        with self.connection as connection:
            connection.execute(
                f"INSERT OR REPLACE INTO object ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*values, row.added_at, row.last_access, row.hits),
            )

    def delete(self, ids: Sequence[str]) -> None:
        with self.connection as connection:
            connection.executemany("DELETE FROM object WHERE id = ?", [(each,) for each in ids])

    def touch(self, batch: Sequence[Mark]) -> None:
        with self.connection as connection:
            connection.executemany(
                "UPDATE object SET last_access = ?, hits = hits + ? WHERE id = ?",
                [(mark.at, mark.hits, mark.id) for mark in batch],
            )

    def row(self, object_id: str) -> Row | None:
        for raw in self.connection.execute(f"SELECT {COLUMNS} FROM object WHERE id = ?", (object_id,)):
            return Row.of(raw)
        return None

    def page(self, after: str, limit: int, states: Sequence[RowState]) -> list[Row]:
        select = f"SELECT {COLUMNS} FROM object WHERE state IN ({', '.join('?' * len(states))})"
        # Two steps, as SQLite would look for a pair of values from the beginning of the index on.
        rows = self.connection.execute(
            f"{select} AND length(id) = ? AND id > ? ORDER BY id LIMIT ?",
            (*states, len(after), after, limit),
        ).fetchall()
        rows += self.connection.execute(
            f"{select} AND length(id) > ? ORDER BY length(id), id LIMIT ?", (*states, len(after), limit - len(rows))
        )
        return [Row.of(raw) for raw in rows]

    # Faults.

    def add_faults(self, faults: Sequence[Fault], kept: int) -> None:
        with self.connection as connection:
            connection.executemany(
                f"INSERT INTO fault ({_FAULT_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        each.object_id,
                        each.endpoint,
                        each.bucket,
                        each.kind.value,
                        each.expected,
                        each.got,
                        each.bytes,
                        each.at,
                    )
                    for each in faults
                ],
            )
            connection.execute("DELETE FROM fault WHERE number <= (SELECT max(number) FROM fault) - ?", (kept,))

    def faults(self, limit: int) -> list[Fault]:
        rows = self.connection.execute(f"SELECT {_FAULT_COLUMNS} FROM fault ORDER BY number DESC LIMIT ?", (limit,))
        return [
            Fault(object_id, endpoint, bucket, FaultKind(kind), *rest)
            for object_id, endpoint, bucket, kind, *rest in rows
        ]


def _script(name: str) -> str:
    return resources.files("distributor.cache").joinpath(f"{name}.sql").read_text(encoding="utf-8")


def _is_damage(error: Exception) -> bool:
    # Errors that the module itself raises, as when nothing is open, have no code.
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, _Damaged) or (code is not None and code & 0xFF in _DAMAGE)


def _parse_extents(text: str) -> tuple[Run, ...]:
    """
    The runs that C{text} says; none, unless they are runs, sorted and apart.
    """
    try:
        runs = tuple((start, stop) for start, stop in json.loads(text))
    except (ValueError, TypeError):
        return ()
    last = -1
    for start, stop in runs:
        if type(start) is not int or type(stop) is not int or not last < start < stop:
            return ()
        last = stop
    return runs
