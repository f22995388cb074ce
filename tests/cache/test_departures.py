"""
Tests for L{distributor.cache.departures}: what other nodes distribute, and why something is not here any more. Making
room is in C{test_store_allocate} and C{test_store_space}.
"""

from __future__ import annotations

import errno
import os
from unittest import mock

from distributor.cache import Eviction, departures
from distributor.model import DiskFailed
from tests.cache.stores import NOW, StoreCase, data_object, payload


class DisownTests(StoreCase):
    """
    L{Store.disown}, L{Store.own} and L{Store.clean_up}.
    """

    def setUp(self) -> None:
        super().setUp()
        self.put_file(self.assets / "9", payload("9", 100))
        self.store = self.started(capacity=500)
        self.addCleanup(lambda: self.done(self.store.stop()))
        for object_id in "123":
            self.fill(self.store, object_id, 100)

    def test_first_to_be_evicted(self) -> None:
        """
        What other nodes distribute goes first, though it was wanted last.
        """
        self.store.disown(["3"])
        self.fill(self.store, "4", 200)
        self.assertEqual(set(self.files(self.assets)), {"1", "2", "4", "9"})

    def test_ours_after_all(self) -> None:
        """
        What is this node's again is as good as before, and is not cleaned up.
        """
        self.store.disown(["2", "3"])
        self.store.own(["3"])
        self.assertEqual(self.done(self.store.clean_up(9)), 1)
        self.assertEqual(set(self.files(self.assets)), {"1", "3", "9"})

    def test_clean_up(self) -> None:
        """
        A few at a time go, from disk and index, until none is left.
        """
        self.store.disown(["1", "2", "3", "77"])
        self.assertEqual(self.done(self.store.clean_up(2)), 2)
        self.assertEqual(len(self.files(self.assets)), 2)
        self.assertEqual(self.done(self.store.clean_up(2)), 1)
        self.assertEqual(self.done(self.store.clean_up(2)), 0)
        self.assertEqual((set(self.files(self.assets)), self.store.used), ({"9"}, 100))
        self.assertEqual(self.rows(), [])

    def test_not_what_is_read(self) -> None:
        """
        What somebody reads stays until the next time.
        """
        self.store.disown(["1"])
        reader = self.done(self.store.open("1"))
        self.assertEqual(self.done(self.store.clean_up(9)), 0)
        reader.close()
        self.assertEqual(self.done(self.store.clean_up(9)), 1)

    def test_not_what_nobody_has_proved_wrong(self) -> None:
        """
        Another program's file stays until its room is needed, and then goes first.
        """
        os.utime(self.assets / "9", (NOW + 9, NOW + 9))
        self.store.disown(["9"])
        self.assertEqual(self.done(self.store.clean_up(9)), 0)
        self.fill(self.store, "4", 200)
        self.assertEqual(set(self.files(self.assets)), {"1", "2", "3", "4"})

    def test_what_is_being_filled(self) -> None:
        """
        What is disowned while it is being filled goes once it is there; what is fetched anew later is not.
        """
        allocation = self.done(self.store.allocate(data_object("4", 50)))
        self.store.disown(["4"])
        self.write(allocation, 0, 50)
        self.done(allocation.commit(None))
        self.assertEqual(self.done(self.store.clean_up(9)), 1)
        self.fill(self.store, "4", 50)
        self.assertEqual(self.done(self.store.clean_up(9)), 0)

    def test_refused(self) -> None:
        """
        What cannot be deleted is still there, and still disowned.
        """
        self.store.disown(["1"])
        with mock.patch.object(os, "unlink", side_effect=PermissionError(errno.EPERM, "not permitted")):
            self.failed(self.store.clean_up(9), DiskFailed)
        self.assertEqual(self.read(self.store, "1"), payload("1", 100))
        self.assertEqual(self.done(self.store.clean_up(9)), 1)


class LastEvictionTests(StoreCase):
    """
    L{Store.last_eviction}.
    """

    def test_reasons(self) -> None:
        """
        Of each object that has gone is known why, and when.
        """
        self.put_file(self.assets / "5", b"wrong size")
        store = self.started(capacity=100)
        for object_id in "123":
            self.fill(store, object_id, 20)
        store.disown(["1"])
        self.done(store.clean_up(9))
        self.done(store.remove("2"))
        self.done(store.make_space(20))
        self.done(self.done(store.allocate(data_object("5", 60))).discard())
        self.fill(store, "6", 60)
        self.fill(store, "7", 60)
        (self.assets / "7").unlink()
        self.failed(store.open("7"), LookupError)
        reasons = {object_id: store.last_eviction(object_id) for object_id in "1234567"}
        self.assertEqual(
            {object_id: eviction.reason for object_id, eviction in reasons.items() if eviction is not None},
            {
                "1": "other nodes distribute it",
                "2": "by request",
                "3": "the disk was full",
                "5": "it was not what the catalogue lists",
                "6": "object 7 needed its room",
                "7": "its file was lost",
            },
        )
        self.assertEqual(reasons["1"], Eviction("other nodes distribute it", NOW + 3))
        # For those that were not to blame themselves, somebody is told.
        self.assertEqual(self.made_room, [20, 60])
        self.done(store.stop())

    def test_larger_than_it_may_be(self) -> None:
        """
        So it is of what went with a start.
        """
        store = self.started(capacity=100)
        self.fill(store, "1", 60)
        store = self.restarted(store, capacity=50)
        eviction = store.last_eviction("1")
        assert eviction is not None
        self.assertEqual(eviction.reason, "the store was larger than it may be")
        self.assertEqual(self.made_room, [60])
        self.done(store.stop())

    def test_bounded(self) -> None:
        """
        Only the last ones are remembered.
        """
        self.patch(departures, "_REMEMBERED", 2)
        store = self.started()
        for object_id in "1231":
            self.fill(store, object_id, 10)
            self.done(store.remove(object_id))
        self.assertEqual([store.last_eviction(each) is not None for each in "123"], [True, False, True])
        self.done(store.stop())

    def test_not_what_could_not_be_deleted(self) -> None:
        """
        What is still there has not been evicted.
        """
        store = self.started()
        self.fill(store, "1", 10)
        with mock.patch.object(os, "unlink", side_effect=PermissionError(errno.EPERM, "not permitted")):
            self.failed(store.remove("1"), DiskFailed)
            self.assertFalse(self.done(store.make_space(10)))
        self.assertIsNone(store.last_eviction("1"))
        self.assertEqual(self.made_room, [])
        self.done(store.stop())
