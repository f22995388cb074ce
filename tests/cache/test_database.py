"""
Tests for L{distributor.cache.database} and what L{Index} makes of it: versions, pages and evidence. Rows, and damage,
are in C{test_index}.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from distributor.cache import Index, Row, check_index, database, index
from distributor.cache.database import VERSION, RowState
from distributor.model import DiskFailed, Fault, FaultKind, T
from tests.cache.stores import IN_THREAD, NOW, all_rows

#: What the first version made, and nothing else that is in this program any more.
VERSION_1 = """\
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
"""

ROW = Row("7", 10, "gW7", "video/mp4", "complete", (), NOW, NOW, 2)
FAULT = Fault("7", "https://node.example/storage", "3", FaultKind.WRONG_HASH, "gW7", "gW8", 10, NOW)

ids = st.integers(0, 2 * 10**19 - 1).map(str) | st.integers(0, 120).map(str)


class DatabaseCase(SynchronousTestCase):
    """
    An index in a directory of its own.
    """

    def setUp(self) -> None:
        self.path = Path(self.mktemp()) / "index.sqlite3"
        self.path.parent.mkdir()

    def done(self, coroutine: Coroutine[Deferred[Any], Any, T]) -> T:
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def opened(self) -> Index:
        """
        It, open.
        """
        index = Index(self.path, IN_THREAD)
        self.done(index.open())
        self.addCleanup(lambda: self.done(index.close()))
        return index


class VersionTests(DatabaseCase):
    """
    Opening what an older program has left.
    """

    def first_version(self) -> None:
        """
        An index of the first program, with a row.
        """
        with sqlite3.connect(self.path) as connection:
            connection.executescript(VERSION_1)
            connection.execute(
                "INSERT INTO object VALUES (?, ?, ?, ?, ?, '[]', ?, ?, ?)",
                ("7", 10, "gW7", "video/mp4", "complete", NOW, NOW, 2),
            )
        connection.close()

    def schema(self, path: Path) -> list[tuple[str, ...]]:
        """
        All that is in a database, in words of SQL, and its version.
        """
        connection = sqlite3.connect(path)
        found = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name").fetchall()
        found += connection.execute("PRAGMA user_version")
        connection.close()
        return found

    def test_upgraded_is_as_a_fresh_one(self) -> None:
        """
        An index that has been upgraded cannot be told from one that was made today, and keeps its rows.
        """
        self.first_version()
        check_index(self.path)
        fresh = Path(self.mktemp())
        check_index(fresh)
        self.assertEqual(self.schema(self.path), self.schema(fresh))
        self.assertEqual(self.done(all_rows(self.opened())), [ROW])

    def test_upgraded_whole_or_not_at_all(self) -> None:
        """
        An upgrade that fails in the middle changes nothing, and is no damage.
        """
        self.first_version()
        before = self.schema(self.path)
        script = database._script

        def refuse(name: str) -> str:
            # The first row is there already.
            return f"{script(name)} INSERT INTO object SELECT * FROM object;"

        self.patch(database, "_script", refuse)
        self.assertRaises(DiskFailed, check_index, self.path)
        self.assertEqual(self.schema(self.path), before)

    def test_current_version(self) -> None:
        """
        There is a schema of the version that this program writes.
        """
        check_index(self.path)
        self.assertEqual(self.schema(self.path)[-1], (VERSION,))


class PageTests(DatabaseCase):
    """
    L{Index.page} and L{Index.row}.
    """

    def filled(self, rows: list[Row]) -> Index:
        """
        An index with some rows.
        """
        index = self.opened()
        for row in rows:
            self.done(index.put(row))
        return index

    def test_in_order_of_numbers(self) -> None:
        """
        Pages follow one another in the order of the numbers, not of their spelling.
        """
        index = self.filled([evolve(ROW, id=each) for each in ("10", "9", "100", "2", "11")])
        first = self.done(index.page(None, 2))
        second = self.done(index.page(first[-1].id, 2))
        third = self.done(index.page(second[-1].id, 2))
        self.assertEqual(
            [[row.id for row in page] for page in (first, second, third)], [["2", "9"], ["10", "11"], ["100"]]
        )
        self.assertEqual(self.done(index.page("100", 2)), [])

    def test_states(self) -> None:
        """
        What is not asked for does not take a place on the page.
        """
        index = self.filled(
            [evolve(ROW, id=str(each), state="partial" if each % 2 else "complete") for each in range(6)]
        )
        states: list[tuple[RowState, list[str]]] = [("partial", ["3", "5"]), ("complete", ["2", "4"])]
        for state, expected in states:
            self.assertEqual([row.id for row in self.done(index.page("1", 2, [state]))], expected)

    @settings(max_examples=30, deadline=None)
    @given(st.sets(ids, max_size=12), st.integers(1, 5))
    def test_all_pages_are_all(self, ids: set[str], limit: int) -> None:
        """
        Page by page, each row comes once, and all come.
        """
        self.path = Path(self.mktemp())
        index = Index(self.path, IN_THREAD)
        self.done(index.open())
        for each in ids:
            self.done(index.put(evolve(ROW, id=each)))
        found: list[str] = []
        while page := self.done(index.page(found[-1] if found else None, limit)):
            self.assertLessEqual(len(page), limit)
            found += [row.id for row in page]
        self.done(index.close())
        self.assertEqual(found, sorted(ids, key=int))

    def test_does_not_look_through_all(self) -> None:
        """
        A page in the middle costs as much as the first: SQLite goes to its place by the index on the numbers.
        """
        asked: list[str] = []
        connect = sqlite3.connect

        def watched(path: str) -> sqlite3.Connection:
            connection = connect(path)
            connection.set_trace_callback(asked.append)
            return connection

        self.patch(sqlite3, "connect", watched)
        index = self.filled([ROW])
        asked.clear()
        self.done(index.page("5", 10))
        connection = connect(self.path)
        for select in asked:
            [(*_, plan)] = connection.execute(f"EXPLAIN QUERY PLAN {select}")
            self.assertIn("SEARCH object USING INDEX object_in_order", plan)
        connection.close()
        self.assertEqual(len(asked), 2)

    def test_row(self) -> None:
        """
        One row can be had by its id.
        """
        index = self.filled([ROW])
        self.assertEqual((self.done(index.row("7")), self.done(index.row("8"))), (ROW, None))


class FaultTests(DatabaseCase):
    """
    L{Index.add_faults} and L{Index.faults}.
    """

    def test_newest_first(self) -> None:
        """
        Every word of it comes back, the newest first, in the next life too.
        """
        faults = [evolve(FAULT, kind=kind, bytes=number) for number, kind in enumerate(FaultKind)]
        index = self.opened()
        self.done(index.add_faults(faults[:1]))
        self.done(index.add_faults(faults[1:]))
        self.done(index.close())
        index = self.opened()
        self.assertEqual(self.done(index.faults(10)), faults[::-1])
        self.assertEqual(self.done(index.faults(2)), faults[:0:-1])

    def test_bounded(self) -> None:
        """
        Only so many are kept, the newest.
        """
        self.patch(index, "MOST_FAULTS", 3)
        opened = self.opened()
        for number in range(7):
            self.done(opened.add_faults([evolve(FAULT, bytes=number), evolve(FAULT, bytes=number + 100)]))
        self.assertEqual([fault.bytes for fault in self.done(opened.faults(99))], [106, 6, 105])
