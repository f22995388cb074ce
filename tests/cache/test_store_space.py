"""
Tests for L{distributor.cache.store}: a disk that is full before the books say so, and what was left unfinished.
"""

from __future__ import annotations

import errno
import os
from unittest import mock

from distributor.cache import Store
from tests.cache.stores import Jobs, StoreCase, data_object, payload


class MakeSpaceTests(StoreCase):
    """
    L{Store.make_space}.
    """

    def setUp(self) -> None:
        super().setUp()
        self.store = self.started(capacity=10_000)
        self.addCleanup(lambda: self.done(self.store.stop()))

    def fill_some(self, *sizes: int) -> None:
        """
        Have objects 1, 2, 3 ... in the store, the least recently wanted first.
        """
        for number, size in enumerate(sizes, 1):
            self.fill(self.store, str(number), size)

    def test_least_recently_wanted(self) -> None:
        """
        As much goes as is asked for, though the books have room for it; the least recently wanted first.
        """
        self.fill_some(100, 100, 100)
        self.store.touch("1")
        self.assertTrue(self.done(self.store.make_space(150)))
        self.assertEqual((self.files(self.assets), self.store.used), ({"1": 100}, 100))

    def test_unfinished_and_unverified(self) -> None:
        """
        Unverified files and unfinished objects can go as well.
        """
        self.put_file(self.assets / "8", payload("8", 50))
        self.store = self.restarted(self.store, 10_000)
        allocation = self.done(self.store.allocate(data_object("9", 100)))
        self.write(allocation, 0, 60)
        self.done(allocation.suspend([(0, 60)]))
        self.assertTrue(self.done(self.store.make_space(110)))
        self.assertEqual((self.files(self.assets), self.files(self.partial), self.store.used), ({}, {}, 0))
        self.assertEqual(self.rows(), [])

    def test_as_much_as_there_is(self) -> None:
        """
        When less can be had than is asked for, all of that goes; when nothing can, that is the answer.
        """
        self.fill_some(100, 100)
        self.assertTrue(self.done(self.store.make_space(5000)))
        self.assertEqual((self.files(self.assets), self.store.used), ({}, 0))
        self.assertFalse(self.done(self.store.make_space(5000)))

    def test_never_what_is_in_use(self) -> None:
        """
        What is read, or being filled, stays.
        """
        self.fill_some(100, 100)
        reader = self.done(self.store.open("1"))
        allocation = self.done(self.store.allocate(data_object("3", 100)))
        self.write(allocation, 0, 50)
        allocation.grew(50)
        self.assertTrue(self.done(self.store.make_space(190)))
        self.assertEqual((self.files(self.assets), self.files(self.partial)), ({"1": 100}, {"3": 50}))
        self.assertFalse(self.done(self.store.make_space(190)))
        reader.close()
        self.assertTrue(self.done(self.store.make_space(1)))
        self.done(allocation.discard())
        self.assertEqual((self.store.used, self.store.reserved), (0, 0))

    def test_a_little_beside_something_large_in_use(self) -> None:
        """
        A large object that is read does not keep the others.
        """
        self.fill_some(5000, 10)
        reader = self.done(self.store.open("1"))
        self.assertTrue(self.done(self.store.make_space(4000)))
        self.assertEqual(self.files(self.assets), {"1": 5000})
        reader.close()

    def test_reservations_stay(self) -> None:
        """
        What has been promised to an allocation is so still.
        """
        self.fill_some(100)
        allocation = self.done(self.store.allocate(data_object("2", 300)))
        self.assertTrue(self.done(self.store.make_space(10)))
        self.assertEqual((self.store.used, self.store.reserved), (0, 300))
        self.done(allocation.discard())

    def test_refused(self) -> None:
        """
        A file that cannot be deleted makes no space, does not raise, and is there and counted as before.
        """
        self.fill_some(100)
        with mock.patch.object(os, "unlink", side_effect=PermissionError(errno.EPERM, "not permitted")):
            self.assertFalse(self.done(self.store.make_space(10)))
        self.assertEqual(self.store.used, 100)
        self.assertEqual(self.read(self.store, "1"), payload("1", 100))

    def test_two_at_once(self) -> None:
        """
        Two that need space at the same time get the space of different objects.
        """
        self.fill_some(100, 100, 100)
        self.done(self.store.stop())
        jobs = Jobs()
        self.store = self.make_store(10_000, in_thread=jobs)
        self.ran(jobs, self.store.start())
        one, other = self.later(self.store.make_space(100)), self.later(self.store.make_space(100))
        jobs.run_all()
        self.assertEqual((self.successResultOf(one), self.successResultOf(other)), (True, True))
        self.assertEqual((self.files(self.assets), self.store.used), ({"3": 100}, 100))


class InterruptedTests(StoreCase):
    """
    L{Store.interrupted}.
    """

    def left(self, store: Store, object_id: str, runs: list[tuple[int, int]], readers: int) -> None:
        """
        An unfinished object of a hundred bytes.
        """
        allocation = self.done(store.allocate(data_object(object_id, 100)))
        self.write(allocation, 0, 100)
        allocation.grew(sum(stop - start for start, stop in runs))
        self.done(allocation.suspend(runs, readers))
        self.clock.advance(1)

    def test_those_that_somebody_read(self) -> None:
        """
        They are known, in this life and the next; not those that nobody waited for.
        """
        store = self.started()
        self.left(store, "1", [(0, 10)], 2)
        self.left(store, "2", [(0, 10)], 0)
        self.left(store, "3", [(10, 90)], 1)
        self.assertEqual(store.interrupted(), ["1", "3"])
        store = self.restarted(store)
        self.assertEqual(store.interrupted(), ["1", "3"])
        self.done(store.stop())

    def test_killed(self) -> None:
        """
        What counts after a kill is how many read it when that was recorded last.
        """
        store = self.started()
        allocations = [self.done(store.allocate(data_object(object_id, 100))) for object_id in "12"]
        for allocation, readers in zip(allocations, ([0, 3], [3, 0]), strict=True):
            self.write(allocation, 0, 50)
            for count in readers:
                self.done(allocation.record([(0, 50)], count))
        again = self.started()
        self.assertEqual(again.interrupted(), ["1"])
        self.done(again.stop())

    def test_all_there(self) -> None:
        """
        One that has all of its bytes only has to be verified, and is not forgotten though nobody waits.
        """
        store = self.started()
        self.left(store, "1", [(0, 100)], 0)
        self.assertEqual(self.restarted(store).interrupted(), ["1"])

    def test_complete_ones(self) -> None:
        """
        A complete object is none, however many read it, and whatever there was of it before.
        """
        store = self.started()
        self.left(store, "1", [(0, 10)], 2)
        self.fill(store, "1", 100)
        for _ in range(3):
            store.touch("1")
        self.assertEqual(store.interrupted(), [])
        store = self.restarted(store)
        self.assertEqual((store.interrupted(), store.object_count), ([], 1))
        self.done(store.stop())

    def test_gone_on_with(self) -> None:
        """
        While somebody goes on with it, it is not interrupted.
        """
        store = self.started()
        self.left(store, "1", [(0, 10)], 2)
        allocation = self.done(store.allocate(data_object("1", 100)))
        self.assertEqual(store.interrupted(), [])
        self.done(allocation.discard())
        self.assertEqual(store.interrupted(), [])
        self.done(store.stop())
