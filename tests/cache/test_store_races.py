"""
Tests for L{distributor.cache.store}, where one thing begins before another has ended.
"""

from __future__ import annotations

import os
from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from distributor.cache import Allocation, Store
from distributor.model import DiskFailed, NoRoom, T
from tests.cache.stores import Jobs, StoreCase, data_object, payload


class RaceTests(StoreCase):
    """
    Jobs of the disk are let go one by one.
    """

    def setUp(self) -> None:
        super().setUp()
        self.jobs = Jobs()
        self.store = self.slow_store(100)

    def tearDown(self) -> None:
        self.jobs.run_all()
        self.done(self.store.stop())
        # Files that stayed open are closed in threads.
        self.jobs.run_all()
        self.assert_nothing_open()

    def slow_store(self, capacity: int) -> Store:
        store = self.make_store(capacity, self.jobs)
        self.ran(self.jobs, store.start())
        return store

    def all(self, coroutine: Coroutine[Deferred[Any], Any, T]) -> T:
        return self.ran(self.jobs, coroutine)

    def filled(self, object_id: str, size: int) -> None:
        allocation = self.all(self.store.allocate(data_object(object_id, size)))
        self.write(allocation, 0, size)
        allocation.grew(size)
        self.all(allocation.commit(None))

    def test_two_open_at_once(self) -> None:
        """
        One system call serves both.
        """
        self.filled("7", 50)
        opening = [self.later(self.store.open("7")) for _ in range(2)]
        self.assertEqual(self.jobs.names, ["_open"])
        self.jobs.run()
        first, second = map(self.successResultOf, opening)
        self.assertEqual(first.fd, second.fd)
        first.close()
        self.jobs.run_all()
        self.assertEqual(os.pread(second.fd, 99, 0), payload("7", 50))
        second.close()

    def test_reader_leaves_while_it_opens(self) -> None:
        """
        A client that disconnects meanwhile does not go on using the file.
        """
        self.filled("7", 50)
        opening = self.later(self.store.open("7"))
        opening.cancel()
        self.failureResultOf(opening, CancelledError)
        self.jobs.run_all()
        self.assertNotIn("7", self.store.files)
        self.all(self.store.open("7")).close()

    def test_reader_leaves_while_a_lost_object_is_dropped(self) -> None:
        """
        The object can be fetched anew, whoever has found it lost and gone away.
        """
        self.filled("7", 50)
        (self.assets / "7").unlink()
        opening = self.later(self.store.open("7"))
        self.jobs.run("_open")
        self.failureResultOf(opening, LookupError)
        self.assertEqual(self.jobs.names, ["_unlink"])
        allocating = self.later(self.store.allocate(data_object("7", 50)))
        self.assertEqual(self.jobs.names, ["_unlink"])
        self.jobs.run_all()
        self.all(self.successResultOf(allocating).discard())

    def test_removed_while_it_opens(self) -> None:
        """
        Whichever comes first, the reader gets the whole object or none, and its space counts while it reads.
        """
        for first in ("_open", "_unlink"):
            self.filled("7", 50)
            opening = self.later(self.store.open("7"))
            removing = self.later(self.store.remove("7"))
            self.jobs.run(first)
            if first == "_open":
                reader = self.successResultOf(opening)
                self.jobs.run_all()
                self.assertEqual(os.pread(reader.fd, 99, 0), payload("7", 50))
                self.assertEqual(self.store.used, 50)
                reader.close()
            else:
                self.failureResultOf(opening, LookupError)
            self.jobs.run_all()
            self.assertTrue(self.successResultOf(removing))
            self.assertEqual(self.store.used, 0)
            self.assert_nothing_open()

    def test_reader_leaves_while_the_object_is_removed(self) -> None:
        """
        The space is free once both have happened.
        """
        self.filled("7", 50)
        reader = self.all(self.store.open("7"))
        removing = self.later(self.store.remove("7"))
        reader.close()
        self.assertEqual(self.store.used, 50)
        self.jobs.run_all()
        self.successResultOf(removing)
        self.assertEqual(self.store.used, 0)

    def test_what_is_being_opened_is_not_evicted(self) -> None:
        """
        It is as good as read.
        """
        self.filled("7", 50)
        self.filled("8", 50)
        opening = self.later(self.store.open("7"))
        allocating = self.later(self.store.allocate(data_object("9", 50)))
        self.failureResultOf(self.later(self.store.allocate(data_object("10", 50))), NoRoom)
        self.jobs.run_all()
        self.successResultOf(opening).close()
        self.assertIsNotNone(self.store.get("7"))
        self.assertIsNone(self.store.get("8"))
        self.all(self.successResultOf(allocating).discard())

    def test_commit_while_it_is_read(self) -> None:
        """
        The object is not to be had before its name is; those who read it already do not notice.
        """
        allocation = self.all(self.store.allocate(data_object("7", 50)))
        self.write(allocation, 0, 50)
        allocation.grew(50)
        allocation.file.acquire()
        committing = self.later(allocation.commit(None))
        self.assertIsNone(self.store.get("7"))
        self.assertEqual((self.store.used, self.store.reserved), (50, 0))
        self.jobs.run_all()
        self.successResultOf(committing)
        self.assertIsNotNone(self.store.get("7"))
        self.assertEqual(os.pread(allocation.fd, 99, 0), payload("7", 50))
        allocation.file.release()
        self.assertEqual((self.store.used, self.store.reserved), (50, 0))

    def test_last_bytes(self) -> None:
        """
        Two that want the same bytes do not both get them.
        """
        first = self.later(self.store.allocate(data_object("7", 60)))
        self.failureResultOf(self.later(self.store.allocate(data_object("8", 60))), NoRoom)
        self.assertEqual(self.store.reserved, 60)
        self.jobs.run_all()
        self.all(self.successResultOf(first).discard())
        self.all(self.all(self.store.allocate(data_object("8", 60))).discard())

    def test_bytes_that_are_being_freed(self) -> None:
        """
        Nor do two that evict for them; and none writes before its bytes are free on the disk.
        """
        self.filled("1", 50)
        self.filled("2", 50)
        first = self.later(self.store.allocate(data_object("7", 60)))
        second = self.later(self.store.allocate(data_object("8", 50)))
        self.failureResultOf(second, NoRoom)
        self.assertEqual(self.store.used, 100)
        self.assertEqual(self.jobs.names, ["_unlink"])
        self.assertNoResult(first)
        self.jobs.run_all()
        self.assertEqual((self.store.used, self.store.reserved), (0, 60))
        third = self.all(self.store.allocate(data_object("8", 40)))
        self.all(third.discard())
        self.all(self.successResultOf(first).discard())

    def test_evicts_for_two(self) -> None:
        """
        Two that come at once evict for themselves, each its own victim.
        """
        self.filled("1", 50)
        self.filled("2", 50)
        allocating = [self.later(self.store.allocate(data_object(each, 50))) for each in ("7", "8")]
        self.jobs.run_all()
        self.assertEqual((self.store.used, self.store.reserved), (0, 100))
        for each in allocating:
            self.all(self.successResultOf(each).discard())

    def test_evicted_and_wanted_again(self) -> None:
        """
        A file that is still being deleted is not taken for the one that follows it at the same path.
        """
        self.filled("7", 50)
        removing = self.later(self.store.remove("7"))
        allocating = self.later(self.store.allocate(data_object("7", 50)))
        self.failureResultOf(self.later(self.store.allocate(data_object("7", 50))), RuntimeError)
        self.assertEqual(self.jobs.names, ["_unlink"])
        self.jobs.run_all()
        self.successResultOf(removing)
        allocation: Allocation = self.successResultOf(allocating)
        self.write(allocation, 0, 50)
        self.all(allocation.commit(None))
        self.assertEqual(self.files(self.assets), {"7": 50})
        self.assertEqual(self.store.used, 50)

    def test_evicted_in_vain_and_wanted_again(self) -> None:
        """
        One whose deletion fails is complete, as before.
        """
        self.filled("7", 50)
        removing = self.later(self.store.remove("7"))
        allocating = self.later(self.store.allocate(data_object("7", 50)))

        def unlink(path: str) -> None:
            raise PermissionError(13, "Permission denied")

        restore = self.patch(os, "unlink", unlink).restore
        self.jobs.run_all()
        restore()
        self.failureResultOf(removing, DiskFailed)
        self.failureResultOf(allocating, RuntimeError)
        self.assertEqual((self.store.used, self.store.reserved), (50, 0))
        self.all(self.store.remove("7"))
        self.all(self.all(self.store.allocate(data_object("7", 50))).discard())

    def test_discarded_and_wanted_at_once(self) -> None:
        """
        The space of a file that nobody reads is free when its discarding is over, even before its descriptor is closed.
        """
        allocation = self.all(self.store.allocate(data_object("7", 100)))
        allocation.grew(100)
        discarding = self.later(allocation.discard())
        self.failureResultOf(self.later(self.store.allocate(data_object("7", 100))), RuntimeError)
        self.jobs.run("_unlink")
        self.successResultOf(discarding)
        again = self.later(self.store.allocate(data_object("7", 100)))
        self.assertNoResult(again)
        self.jobs.run_all()
        self.all(self.successResultOf(again).discard())
