"""
Tests for L{distributor.cache.store}: starting and reading. What concerns filling, threads and kills is in
C{test_store_allocate}, C{test_store_races} and C{test_store_killed}.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import tracemalloc
from pathlib import Path

from twisted.logger import LogLevel, capturedLogs
from zope.interface.verify import verifyObject

from distributor.cache import Entry, Index, Row
from distributor.cache.disk import BATCH, File, Listing
from distributor.model import DiskFailed, DistributorError, IReader
from tests.cache.stores import IN_THREAD, NOW, StoreCase, data_object, hash_of, payload


class StartTests(StoreCase):
    """
    L{Store.start} and L{Store.stop}.
    """

    def test_empty(self) -> None:
        """
        A new store makes its directories and has nothing.
        """
        store = self.started(capacity=123)
        self.assertEqual((store.object_count, store.capacity, store.used, store.reserved), (0, 123, 0, 0))
        self.assertEqual(store.unverified, {})
        self.assertTrue(self.partial.is_dir())
        self.done(store.stop())

    def test_stopped_before_it_started(self) -> None:
        """
        A node that is stopped while it starts stops its store too.
        """
        self.done(self.make_store().stop())
        self.assert_nothing_open()

    def test_restart(self) -> None:
        """
        All is as it was.
        """
        store = self.started()
        for number in range(5):
            self.fill(store, str(number), 10 + number, "video/mp4" if number else None)
        partial = self.done(store.allocate(data_object("9", 100)))
        self.write(partial, 20, 50)
        self.done(partial.suspend([(20, 50)]))
        before = {str(n): store.get(str(n)) for n in range(10)}
        used = store.used
        self.assertEqual(used, 10 + 11 + 12 + 13 + 14 + 30)
        store = self.restarted(store)
        self.assertEqual({str(n): store.get(str(n)) for n in range(10)}, before)
        self.assertEqual((store.used, store.object_count), (used, 5))
        self.done(store.stop())

    def test_damaged_index(self) -> None:
        """
        Without its index a store serves nothing until it has been verified, and loses no complete file.
        """
        store = self.started()
        self.fill(store, "7", 10)
        self.done(store.stop())
        self.database.write_bytes(b"no database" * 100)
        store = self.started()
        self.assertIsNone(store.get("7"))
        self.assertEqual((store.unverified, store.used), ({"7": 10}, 10))
        self.assertTrue(Path(f"{self.database}.corrupt-1").exists())
        allocation = self.done(store.allocate(data_object("7", 10)))
        self.assertEqual(allocation.extents, ((0, 10),))
        self.done(allocation.commit(None))
        self.assertEqual(self.read(store, "7"), payload("7", 10))
        self.done(store.stop())

    def test_unknown_index(self) -> None:
        """
        With the index of a later version the store does not start, and touches nothing.
        """
        store = self.started()
        self.fill(store, "7", 10)
        self.done(store.stop())
        with sqlite3.connect(self.database) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
        self.failed(self.make_store().start(), DistributorError)
        self.assertEqual(self.files(self.assets), {"7": 10})

    def test_strange_files(self) -> None:
        """
        What is not named by an id is left alone, and not counted.
        """
        for name in ("07", "cache.json"):
            self.put_file(self.assets / name, b"12345")
        self.put_file(self.partial / "lock", b"")
        store = self.started()
        self.assertEqual(store.used, 0)
        self.assertEqual(self.files(self.assets), {"07": 5, "cache.json": 5})
        self.assertEqual(self.files(self.partial), {"lock": 0})
        self.done(store.stop())

    def test_smaller_than_before(self) -> None:
        """
        What is more than the capacity goes at start, the least recently wanted first.
        """
        store = self.started()
        for number in range(5):
            self.fill(store, str(number), 10)
        store.touch("0")
        self.done(store.stop())
        store = self.started(capacity=35)
        self.assertEqual(self.files(self.assets), {"0": 10, "3": 10, "4": 10})
        self.assertEqual((store.used, store.object_count), (30, 3))
        self.done(store.stop())

    def test_smaller_than_what_another_program_left(self) -> None:
        """
        Where there are files that nobody has verified, none is deleted because the node has been started. They go once
        a download needs the room, like all others.
        """
        store = self.started()
        self.fill(store, "1", 10)
        self.done(store.stop())
        for object_id, age in (("7", 100), ("8", 50)):
            self.put_file(self.assets / object_id, b"1234567890")
            os.utime(self.assets / object_id, (NOW - age, NOW - age))
        with capturedLogs() as logged:
            store = self.started(capacity=25)
        self.assertEqual((self.files(self.assets), store.used), ({"1": 10, "7": 10, "8": 10}, 30))
        self.assertEqual([event["excess"] for event in logged if event["log_level"] is LogLevel.warn], [5])
        self.fill(store, "2", 10)
        self.assertEqual((self.files(self.assets), store.used), ({"1": 10, "2": 10}, 20))
        self.done(store.stop())

    def test_smaller_and_stubborn(self) -> None:
        """
        A file that should go and cannot does not keep the node from starting.
        """
        store = self.started()
        self.fill(store, "7", 10)
        self.done(store.stop())

        def unlink(path: str) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        self.patch(os, "unlink", unlink)
        store = self.started(capacity=5)
        self.assertEqual(self.read(store, "7"), payload("7", 10))
        self.assertEqual(store.used, 10)
        self.done(store.stop())

    def test_memory(self) -> None:
        """
        An object costs a few hundred bytes, so that hundreds of thousands are no burden.
        """
        count = 5_000
        index = Index(self.database, IN_THREAD)
        self.done(index.open())
        sizes = {str(10**6 + number): 10**9 + number for number in range(count)}
        for object_id, size in sizes.items():
            self.done(index.put(Row(object_id, size, object_id.zfill(47), "video/mp4", "complete", (), NOW, NOW)))
        self.done(index.close())

        def read(listing: Listing) -> list[File]:
            return [(object_id, sizes.pop(object_id), NOW) for object_id in list(sizes)[:BATCH]]

        self.patch(Listing, "read", read)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before, _ = tracemalloc.get_traced_memory()
        store = self.started(capacity=10**18)
        kept, most = tracemalloc.get_traced_memory()
        self.assertEqual(store.object_count, count)
        self.assertLess((kept - before) / count, 400)
        self.assertLess((most - before) / count, 700)
        self.done(store.stop())

    def test_unreadable(self) -> None:
        """
        Where the directory cannot be read, the store does not start.
        """
        self.put_file(self.assets, b"")
        self.failed(self.make_store().start(), DiskFailed)


class ReadingTests(StoreCase):
    """
    L{Store.get}, L{Store.open}, L{Store.touch} and L{Store.remove}.
    """

    def setUp(self) -> None:
        super().setUp()
        self.store = self.started()
        self.fill(self.store, "7", 100, "video/mp4")

    def tearDown(self) -> None:
        self.done(self.store.stop())
        self.assert_nothing_open()

    def test_get(self) -> None:
        """
        What an answer needs to know comes from memory.
        """
        self.assertEqual(self.store.get("7"), Entry(100, str(hash_of(payload("7", 100))), "video/mp4"))
        self.assertIsNone(self.store.get("8"))

    def test_open(self) -> None:
        """
        A reader has all the bytes.
        """
        reader = self.done(self.store.open("7"))
        self.assertTrue(verifyObject(IReader, reader))
        self.assertEqual((reader.size, reader.available(30)), (100, 70))
        self.assertEqual(os.pread(reader.fd, 999, 0), payload("7", 100))
        reader.close()

    def test_open_unknown(self) -> None:
        """
        What is not there cannot be opened.
        """
        self.failed(self.store.open("8"), LookupError)

    def test_open_vanished(self) -> None:
        """
        A file that somebody has deleted, or cut, is dropped, so that the next request fetches it.
        """
        for damage in (Path.unlink, lambda path: path.write_bytes(b"short")):
            damage(self.assets / "7")
            self.failed(self.store.open("7"), LookupError)
            self.assertIsNone(self.store.get("7"))
            self.assertEqual((self.store.used, self.files(self.assets)), (0, {}))
            self.fill(self.store, "7", 100)
        self.assertEqual(self.read(self.store, "7"), payload("7", 100))

    def test_open_refused(self) -> None:
        """
        A disk that refuses for now has not lost the object.
        """

        def open_refused(*args: object) -> int:
            raise OSError(errno.EMFILE, "Too many open files")

        restore = self.patch(os, "open", open_refused).restore
        error = self.failed(self.store.open("7"), DiskFailed)
        self.assertIsInstance(error.__cause__, OSError)
        restore()
        self.assertEqual(self.read(self.store, "7"), payload("7", 100))

    def test_touch(self) -> None:
        """
        Access marks reach the index with a flush, and survive a start.
        """
        added_at = NOW
        for _ in range(3):
            self.clock.advance(10)
            self.store.touch("7")
        self.store.touch("8")
        at = self.clock.seconds()
        self.done(self.store.flush())
        self.done(self.store.stop())
        [row] = self.rows()
        self.assertEqual((row.added_at, row.last_access, row.hits), (added_at, at, 3))
        self.store = self.started()

    def test_stop_flushes(self) -> None:
        """
        So they do with the end of the store.
        """
        self.clock.advance(10)
        self.store.touch("7")
        self.done(self.store.stop())
        self.assertEqual([row.hits for row in self.rows()], [1])
        self.store = self.started()

    def test_remove(self) -> None:
        """
        A removed object is gone, from disk and index.
        """
        self.assertTrue(self.done(self.store.remove("7")))
        self.assertFalse(self.done(self.store.remove("7")))
        self.assertIsNone(self.store.get("7"))
        self.assertEqual((self.store.used, self.files(self.assets)), (0, {}))
        self.done(self.store.stop())
        self.assertEqual(self.rows(), [])
        self.store = self.started()

    def test_remove_while_it_is_read(self) -> None:
        """
        Its readers read on, and its space counts until the last of them has closed it.
        """
        readers = [self.done(self.store.open("7")) for _ in range(2)]
        self.done(self.store.remove("7"))
        self.failed(self.store.open("7"), LookupError)
        for reader in readers:
            self.assertEqual(self.store.used, 100)
            self.assertEqual(os.pread(reader.fd, 999, 0), payload("7", 100))
            reader.close()
            reader.close()
        self.assertEqual(self.store.used, 0)

    def test_remove_refused(self) -> None:
        """
        What cannot be deleted is still there, and served.
        """

        def unlink(path: str) -> None:
            raise OSError(errno.EIO, "Input/output error")

        restore = self.patch(os, "unlink", unlink).restore
        self.failed(self.store.remove("7"), DiskFailed)
        restore()
        self.assertEqual(self.read(self.store, "7"), payload("7", 100))
        self.assertEqual(self.store.used, 100)

    def test_remove_other_things(self) -> None:
        """
        An unfinished object and an unverified file can be removed, one that is being filled cannot.
        """
        self.done(self.store.stop())
        self.put_file(self.assets / "8", b"12345")
        self.store = self.started()
        self.assertTrue(self.done(self.store.remove("8")))
        allocation = self.done(self.store.allocate(data_object("9", 10)))
        self.write(allocation, 0, 5)
        self.assertFalse(self.done(self.store.remove("9")))
        self.done(allocation.suspend([(0, 5)]))
        self.assertTrue(self.done(self.store.remove("9")))
        self.assertEqual((self.files(self.assets), self.files(self.partial)), ({"7": 100}, {}))
        self.assertEqual(self.store.used, 100)


class RefusingIndexTests(StoreCase):
    """
    A store whose index cannot be written, for a while.
    """

    def setUp(self) -> None:
        super().setUp()
        self.refuses = False
        for name in ("put", "delete", "touch"):
            self.patch(Index, name, self.wrapped(getattr(Index, name)))
        self.store = self.started(capacity=100)

    def wrapped(self, method: object) -> object:
        async def call(index: Index, *args: object) -> None:
            if self.refuses:
                raise DiskFailed("database or disk is full")
            await method(index, *args)  # type: ignore[operator]

        return call

    def test_serves_on(self) -> None:
        """
        Objects are filled, served and evicted all the same; and written down when that is possible again.
        """
        self.fill(self.store, "1", 40)
        self.refuses = True
        self.fill(self.store, "2", 50)
        self.fill(self.store, "3", 50)
        self.assertEqual(self.read(self.store, "2"), payload("2", 50))
        self.store.touch("2")
        self.done(self.store.flush())
        self.assertEqual(self.files(self.assets), {"2": 50, "3": 50})
        self.refuses = False
        self.done(self.store.flush())
        self.done(self.store.stop())
        self.assertEqual({row.id: row.hits for row in self.rows()}, {"2": 1, "3": 0})

    def test_killed_meanwhile(self) -> None:
        """
        What was not written down has to be verified after a start, and is not lost.
        """
        self.fill(self.store, "1", 40)
        self.refuses = True
        self.fill(self.store, "2", 50)
        self.done(self.store.remove("1"))
        store = self.started()
        self.assertEqual((store.unverified, store.object_count, store.used), ({"2": 50}, 0, 50))

    def test_nothing_is_adopted(self) -> None:
        """
        A file that would be lost with a kill, for want of a row, is not moved.
        """
        self.done(self.store.stop())
        self.put_file(self.assets / "7", payload("7", 60))
        store = self.started()
        self.refuses = True
        self.failed(store.allocate(data_object("7", 60)), DiskFailed)
        self.assertEqual(self.files(self.assets), {"7": 60})
        self.assertEqual((store.unverified, store.used, store.reserved), ({"7": 60}, 60, 0))
        self.refuses = False
        allocation = self.done(store.allocate(data_object("7", 60)))
        self.assertEqual(allocation.extents, ((0, 60),))
        self.done(allocation.commit(None))
        self.done(store.stop())
        self.assertEqual([(row.id, row.state) for row in self.rows()], [("7", "complete")])
