"""
Tests for L{distributor.cache.index}.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from distributor.cache import Index, Mark, Row, check_index
from distributor.model import DiskFailed, DistributorError, T
from tests.cache.stores import IN_THREAD, NOW, all_rows

COMPLETE = Row("7", 10, "gW7", "video/mp4", "complete", (), NOW, NOW + 1, 2)
PARTIAL = Row("8", 2**63 - 1, "gW8", None, "partial", ((0, 5), (7, 2**63 - 1)), NOW, NOW, 0)

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9)
times = st.floats(0, 2.0**40)
run_tuples = st.sets(st.integers(0, 2**62)).map(
    lambda edges: tuple(zip(sorted(edges)[::2], sorted(edges)[1::2], strict=False))
)


class IndexTests(SynchronousTestCase):
    """
    L{Index}.
    """

    def setUp(self) -> None:
        self.path = Path(self.mktemp()) / "state" / "index.sqlite3"
        self.index = Index(self.path, IN_THREAD)

    def done(self, coroutine: Coroutine[Deferred[Any], Any, T]) -> T:
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def failed(self, coroutine: Coroutine[Deferred[Any], Any, T], kind: type[Exception]) -> BaseException:
        error: BaseException = self.failureResultOf(Deferred.fromCoroutine(coroutine), kind).value
        return error

    def opened(self) -> Index:
        self.done(self.index.open())
        self.addCleanup(lambda: self.done(self.index.close()))
        return self.index

    def reopened(self) -> Index:
        self.done(self.index.close())
        self.index = Index(self.path, IN_THREAD)
        return self.opened()

    def test_begins_empty(self) -> None:
        """
        A new index has no rows, and writes ahead.
        """
        self.assertEqual(self.done(all_rows(self.opened())), [])
        self.assertTrue(Path(f"{self.path}-wal").exists())

    def test_keeps_rows(self) -> None:
        """
        Rows are there after a new start as they were, the least recently read first.
        """
        index = self.opened()
        self.done(index.put(COMPLETE))
        self.done(index.put(PARTIAL))
        self.assertEqual(self.done(all_rows(self.reopened())), [PARTIAL, COMPLETE])

    @settings(deadline=None, max_examples=30)
    @given(
        size=st.integers(0, 2**63 - 1),
        hash=texts,
        type=st.none() | texts,
        extents=run_tuples,
        at=times,
        hits=st.integers(0, 99),
    )
    def test_any_row(self, size: int, hash: str, type: str | None, extents: Any, at: float, hits: int) -> None:
        """
        Whatever a row says comes back.
        """
        index = self.index
        self.done(index.open())
        row = Row("7", size, hash, type, "partial", extents, at, at / 2, hits)
        self.done(index.put(row))
        self.assertEqual(self.done(all_rows(index)), [row])
        self.done(index.close())

    def test_replaces(self) -> None:
        """
        One id has one row.
        """
        index = self.opened()
        self.done(index.put(evolve(PARTIAL, id="7")))
        self.done(index.put(COMPLETE))
        self.assertEqual(self.done(all_rows(index)), [COMPLETE])

    def test_deletes(self) -> None:
        """
        Only those that are named go; those that are not there are no matter.
        """
        index = self.opened()
        self.done(index.put(COMPLETE))
        self.done(index.put(PARTIAL))
        self.done(index.delete(["6", "7"]))
        self.assertEqual(self.done(all_rows(index)), [PARTIAL])

    def test_touches(self) -> None:
        """
        Marks set the time and add to the hits; a mark of what is not there makes no row.
        """
        index = self.opened()
        self.done(index.put(COMPLETE))
        self.done(index.touch([Mark("7", NOW + 5, 3), Mark("9", NOW, 1)]))
        self.assertEqual(self.done(all_rows(index)), [evolve(COMPLETE, last_access=NOW + 5, hits=5)])

    def test_closed(self) -> None:
        """
        What is asked of an index that is not open fails as a disk does; closing it twice does not.
        """
        self.failed(self.index.put(COMPLETE), DiskFailed)
        self.opened()
        self.done(self.index.close())
        self.done(self.index.close())
        self.failed(all_rows(self.index), DiskFailed)

    def test_unknown_version(self) -> None:
        """
        An index of a later program is refused by name and number, and left as it is.
        """
        self.opened()
        self.done(self.index.close())
        with sqlite3.connect(self.path) as connection:
            connection.execute("PRAGMA user_version = 3")
        connection.close()
        before = self.path.read_bytes()
        error = self.failed(Index(self.path, IN_THREAD).open(), DistributorError)
        self.assertIn(f"index {self.path} has version 3", str(error))
        error = self.assertRaises(DistributorError, check_index, self.path)
        self.assertIn(f"index {self.path} has version 3", str(error))
        self.assertEqual(self.path.read_bytes(), before)

    def test_database_of_somebody_else(self) -> None:
        """
        A database without a version is not ours, so it is not touched either.
        """
        self.path.parent.mkdir(parents=True)
        with sqlite3.connect(self.path) as connection:
            connection.execute("CREATE TABLE holiday (photo BLOB)")
        connection.close()
        error = self.failed(self.index.open(), DistributorError)
        self.assertIn("version 0", str(error))

    def test_check(self) -> None:
        """
        What can be opened passes, and keeps its rows; a place where nothing can be does not.
        """
        check_index(self.path)
        self.done(self.opened().put(COMPLETE))
        self.done(self.index.close())
        check_index(self.path)
        self.assertEqual(self.done(all_rows(self.reopened())), [COMPLETE])
        self.assertRaises(DiskFailed, check_index, self.path / "below" / "index.sqlite3")

    def assert_moved_aside(self, content: bytes, number: int = 1) -> None:
        aside = Path(f"{self.path}.corrupt-{number}")
        self.assertEqual(aside.read_bytes(), content)
        index = self.opened()
        self.done(index.put(COMPLETE))
        self.assertEqual(self.done(all_rows(self.reopened())), [COMPLETE])

    def test_not_a_database(self) -> None:
        """
        A file of something else is moved aside, and the index begins anew; twice, under two names.
        """
        for number, content in ((1, b"no database" * 100), (2, b"nor is this" * 100)):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_bytes(content)
            self.index = Index(self.path, IN_THREAD)
            self.done(self.index.open())
            self.assertEqual(self.done(all_rows(self.index)), [])
            self.assert_moved_aside(content, number)
            self.done(self.index.close())

    def test_empty_file(self) -> None:
        """
        SQLite takes an empty file for an empty database; ours have a schema before they have their name.
        """
        self.path.parent.mkdir(parents=True)
        self.path.write_bytes(b"")
        self.done(self.index.open())
        self.assertEqual(self.done(all_rows(self.index)), [])
        self.assert_moved_aside(b"")

    def fill_and_close(self) -> bytes:
        self.done(self.index.open())
        for number in range(500):
            self.done(self.index.put(evolve(COMPLETE, id=str(number), content_hash="gW" * 40)))
        self.done(self.index.close())
        return self.path.read_bytes()

    def test_truncated(self) -> None:
        """
        So it is with a database whose end is missing, however late that is noticed.
        """
        content = self.fill_and_close()
        self.path.write_bytes(content[:8192])
        self.done(self.index.open())
        self.assertEqual(self.done(all_rows(self.index)), [])
        self.assertTrue(Path(f"{self.path}.corrupt-1").exists())
        self.done(self.index.put(COMPLETE))
        self.assertEqual(self.done(all_rows(self.reopened())), [COMPLETE])

    def test_damaged_in_the_middle(self) -> None:
        """
        So it is with one whose pages are overwritten.
        """
        content = self.fill_and_close()
        self.path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
        self.done(self.index.open())
        self.assertEqual(self.done(all_rows(self.index)), [])
        self.assertTrue(Path(f"{self.path}.corrupt-1").exists())
        self.done(self.index.close())

    def test_log_of_a_damaged_database(self) -> None:
        """
        What was still to be taken over into a damaged database is not taken over into the new one.
        """
        index = self.opened()
        self.done(index.put(PARTIAL))
        log = Path(f"{self.path}-wal").read_bytes()
        self.done(index.close())
        self.path.write_bytes(b"no database" * 100)
        Path(f"{self.path}-wal").write_bytes(log)
        index = self.reopened()
        self.done(index.put(COMPLETE))
        self.assertEqual(self.done(all_rows(self.reopened())), [COMPLETE])

    def test_killed_while_it_was_made(self) -> None:
        """
        What an earlier attempt has left is in nobody's way, even a log without its database.
        """
        self.path.parent.mkdir(parents=True)
        for suffix in (".new", ".new-journal", "-wal", "-shm"):
            Path(f"{self.path}{suffix}").write_bytes(b"half of it")
        self.assertEqual(self.done(all_rows(self.opened())), [])
        self.assertFalse(Path(f"{self.path}.new").exists())
        self.assertFalse(Path(f"{self.path}.corrupt-1").exists())

    def test_killed_while_it_was_open(self) -> None:
        """
        What was written before a kill is there afterwards.
        """
        index = self.opened()
        self.done(index.put(COMPLETE))
        copy = Path(self.mktemp())
        copy.mkdir()
        for path in self.path.parent.iterdir():
            (copy / path.name).write_bytes(path.read_bytes())
        other = Index(copy / self.path.name, IN_THREAD)
        self.done(other.open())
        self.assertEqual(self.done(all_rows(other)), [COMPLETE])
        self.done(other.close())

    def test_locked_is_not_damaged(self) -> None:
        """
        A database that cannot be read now stays where it is: the node does not start, but loses nothing.
        """
        self.fill_and_close()

        def refuse(*args: object, **kwargs: object) -> sqlite3.Connection:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error

        self.patch(sqlite3, "connect", refuse)
        error = self.failed(self.index.open(), DiskFailed)
        self.assertIn(str(self.path), str(error))
        self.assertEqual(os.listdir(self.path.parent), [self.path.name])

    def test_senseless_extents(self) -> None:
        """
        Extents that are none are as good as no extents.
        """
        self.opened()
        for text in (
            "",
            "{",
            "[1]",
            "[[1]]",
            "7",
            "null",
            "[[5,2]]",
            "[[0,1],[1,2]]",
            '[["0","9"]]',
            "[[0.5,9]]",
            "[[true,9]]",
        ):
            self.done(self.index.put(PARTIAL))
            with sqlite3.connect(self.path) as connection:
                connection.execute("UPDATE object SET extents = ?", (text,))
            connection.close()
            [row] = self.done(all_rows(self.index))
            self.assertEqual(row.extents, (), text)
