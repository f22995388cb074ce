"""
The index: one row for each object of the store, in an SQLite database that only one thread touches.

It is a memory, and not the truth: what it has lost is verified again, so damage to it never stops a node.
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
from sys import intern
from typing import Literal

from attrs import frozen
from twisted.logger import Logger

from distributor.model import DiskFailed, DistributorError, InThread, P, T

Run = tuple[int, int]
RowState = Literal["complete", "partial"]

VERSION = 1

_COLUMNS = "id, size, content_hash, type, state, extents, added_at, last_access, hits"

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


@frozen
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


class Index:
    """
    The reactor's half: each method is a job for the thread, and they run in the order of the calls.

    All raise L{DiskFailed} when SQLite refuses.
    """

    def __init__(self, path: Path, in_thread: InThread) -> None:
        """
        @param in_thread: always the same single thread.
        """
        self._path = path
        self._in_thread = in_thread
        self._database = _Database(path)

    async def _run(self, f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await self._in_thread(f, *args, **kwargs)
        except (sqlite3.Error, OSError) as error:
            raise DiskFailed(f"index {self._path}: {error}") from error

    async def open(self) -> None:
        """
        Open the database, or make one. One that is damaged is moved aside first.

        @raise DistributorError: it is of a version that this program does not know.
        """
        await self._run(self._database.open)

    async def load(self) -> list[Row]:
        """
        All rows, the least recently read first. None, when the database turns out to be damaged: it is moved aside.
        """
        return await self._run(self._database.load)

    async def put(self, row: Row) -> None:
        """
        Write a row, in place of the one with the same id.
        """
        await self._run(self._database.put, row)

    async def delete(self, ids: Sequence[str]) -> None:
        """
        Delete the rows of C{ids}, as far as there are any.
        """
        await self._run(self._database.delete, ids)

    async def touch(self, batch: Sequence[Mark]) -> None:
        """
        Write down when objects were read; those without a row are left out.
        """
        await self._run(self._database.touch, batch)

    async def close(self) -> None:
        """
        Close the database. Closing twice is harmless.
        """
        await self._run(self._database.close)


def check_index(path: Path) -> None:
    """
    Open the database as L{Index.open} will, and close it. To be called before anything runs: it blocks.

    @raise DiskFailed: SQLite refuses.
    @raise DistributorError: it is of a version that this program does not know.
    """
    database = _Database(path)
    try:
        database.open()
    except (sqlite3.Error, OSError) as error:
        raise DiskFailed(f"index {path}: {error}") from error
    finally:
        database.close()


class _Database:
    """
    The thread's half.
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

    def open(self) -> None:
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
            if version != VERSION:
                raise DistributorError(
                    f"index {self._path} has version {version}; this program knows version {VERSION} alone"
                )
            connection.execute("PRAGMA journal_mode = WAL")
            # A power failure may take the last transactions, and never the order of those that it leaves.
            connection.execute("PRAGMA synchronous = NORMAL")
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
        schema = resources.files("distributor.cache").joinpath(f"schema-{VERSION}.sql").read_text(encoding="utf-8")
        connection = sqlite3.connect(new)
        try:
            connection.executescript(schema)
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

    def load(self) -> list[Row]:
        try:
            rows = self.connection.execute(f"SELECT {_COLUMNS} FROM object ORDER BY last_access")
            return [_row(*row) for row in rows]
        except sqlite3.DatabaseError as error:
            self._start_anew(error)
            return []

    def put(self, row: Row) -> None:
        extents = json.dumps(row.extents, separators=(",", ":"))
        values = (row.id, row.size, row.content_hash, row.type, row.state, extents)
        with self.connection as connection:
            connection.execute(
                f"INSERT OR REPLACE INTO object ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
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

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _is_damage(error: Exception) -> bool:
    # Errors that the module itself raises, as when nothing is open, have no code.
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, _Damaged) or (code is not None and code & 0xFF in _DAMAGE)


def _row(
    id: str, size: int, hash: str, type: str | None, state: str, extents: str, added: float, accessed: float, hits: int
) -> Row:
    # There may be hundreds of thousands of rows, and there are few types: each is held once.
    type = intern(type) if type is not None else None
    known: RowState = "complete" if state == "complete" else "partial"
    return Row(id, size, hash, type, known, _parse_extents(extents), added, accessed, hits)


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
