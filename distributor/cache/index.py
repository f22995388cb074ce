"""
The index: one row for each object of the store, in an SQLite database that only one thread touches; and evidence.

It is a memory, and not the truth: what it has lost is verified again, so damage to it never stops a node.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any

from distributor.cache.database import Database, Mark, RawRow, Row, RowState
from distributor.model import DiskFailed, Fault, InThread, P, T

#: How many rows a job reads: so few that the reactor does other things between them.
BATCH = 2000

#: How many faults are kept: a few MiB, and enough to see who lies.
MOST_FAULTS = 10_000

#: Both states of a row.
ALL: tuple[RowState, ...] = ("complete", "partial")


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
        self._database = Database(path)

    async def _run(self, f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await self._in_thread(f, *args, **kwargs)
        except (sqlite3.Error, OSError) as error:
            raise DiskFailed(f"index {self._path}: {error}") from error

    async def open(self) -> None:
        """
        Open the database, or make one. One that is damaged is moved aside first; one of an older program is upgraded.

        @raise DistributorError: it is of a version that this program does not know.
        """
        await self._run(self._database.open)

    async def close(self) -> None:
        """
        Close the database. Closing twice is harmless.
        """
        await self._run(self._database.close)

    async def load(self, read: Callable[[list[RawRow]], T]) -> AsyncGenerator[T, None]:
        """
        All rows, the least recently wanted first, in batches. None, when the database turns out to be damaged: it is
        moved aside.

        @param read: makes of a batch what is wanted of it; called in the thread.
        """
        cursor = await self._run(self._database.load)
        if cursor is not None:
            async for batch in self._batches(cursor, read):
                yield batch

    async def select(
        self, sql: str, read: Callable[[list[Any]], T], functions: Sequence[Callable[..., Any]] = ()
    ) -> AsyncGenerator[T, None]:
        """
        What C{sql} gives, in batches.

        @param read: makes of a batch what is wanted of it; called in the thread.
        @param functions: which C{sql} calls by their names; of two arguments.
        """
        async for batch in self._batches(await self._run(self._database.select, sql, functions), read):
            yield batch

    async def _batches(self, cursor: sqlite3.Cursor, read: Callable[[list[Any]], T]) -> AsyncGenerator[T, None]:
        def fetch() -> T | None:
            rows = cursor.fetchmany(BATCH)
            return read(rows) if rows else None

        try:
            while (batch := await self._run(fetch)) is not None:
                yield batch
        finally:
            await self._run(cursor.close)

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

    async def row(self, object_id: str) -> Row | None:
        """
        What the index knows of an object.
        """
        return await self._run(self._database.row, object_id)

    async def page(self, after: str | None, limit: int, states: Sequence[RowState] = ALL) -> list[Row]:
        """
        Rows in the order of the numbers that ids are.

        @param after: the last id of the page before.
        """
        return await self._run(self._database.page, after or "", limit, states)

    async def add_faults(self, faults: Sequence[Fault]) -> None:
        """
        Write down evidence, and forget the oldest beyond L{MOST_FAULTS}.
        """
        await self._run(self._database.add_faults, faults, MOST_FAULTS)

    async def faults(self, limit: int) -> list[Fault]:
        """
        The newest faults, the newest first.
        """
        return await self._run(self._database.faults, limit)


def check_index(path: Path) -> None:
    """
    Open the database as L{Index.open} will, and close it. To be called before anything runs: it blocks.

    @raise DiskFailed: SQLite refuses.
    @raise DistributorError: it is of a version that this program does not know.
    """
    database = Database(path)
    try:
        database.open()
    except (sqlite3.Error, OSError) as error:
        raise DiskFailed(f"index {path}: {error}") from error
    finally:
        database.close()
