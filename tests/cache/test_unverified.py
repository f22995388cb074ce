"""
Tests for L{distributor.cache.unverified}, through a store that lost its index.
"""

from __future__ import annotations

import os

from distributor.cache import Store
from distributor.model import DiskFailed
from tests.cache.stores import NOW, StoreCase, data_object, payload


class UnverifiedTests(StoreCase):
    """
    A file of ten bytes, of which nobody knows what it is worth.
    """

    def found(self) -> Store:
        """
        A store that has found it.
        """
        self.put_file(self.assets / "7", payload("7", 10))
        os.utime(self.assets / "7", (NOW - 5, NOW - 5))
        store = self.started()
        self.successResultOf(store.surveyed())
        self.assertEqual((store.unverified, store.complete_files()), ({"7": 10}, ["7"]))
        return store

    def test_open(self) -> None:
        """
        It can be read where it is, also after somebody has adopted it.
        """
        store = self.found()
        reader = self.done(store.open_unverified("7"))
        self.done(self.done(store.allocate(data_object("7", 10))).discard())
        self.assertEqual((reader.size, os.pread(reader.fd, 11, 0)), (10, payload("7", 10)))
        reader.close()
        self.assert_nothing_open()
        self.done(store.stop())

    def test_vanished(self) -> None:
        """
        One that has vanished, or was never there, cannot be opened.
        """
        store = self.found()
        (self.assets / "7").unlink()
        for object_id in ("7", "8"):
            self.failed(store.open_unverified(object_id), DiskFailed)
        self.assert_nothing_open()
        self.done(store.stop())

    def test_confirmed(self) -> None:
        """
        Once it has been confirmed it is served, and is in the index, as old as it was; that was no use of it.
        """
        store = self.found()
        self.assertTrue(self.done(store.confirm(data_object("7", 10), "video/mp4")))
        self.assertEqual((store.unverified, store.object_count, store.used), ({}, 1, 10))
        self.assertEqual(self.read(store, "7"), payload("7", 10))
        self.done(store.stop())
        [row] = self.rows()
        self.assertEqual((row.id, row.state, row.type, row.added_at), ("7", "complete", "video/mp4", NOW))
        self.assertEqual(row.last_access, NOW - 5)

    def test_not_confirmed(self) -> None:
        """
        What has another size, is not there, or is known already, is not confirmed.
        """
        store = self.found()
        for other in (data_object("7", 11), data_object("8", 10)):
            self.assertFalse(self.done(store.confirm(other, None)))
        self.assertTrue(self.done(store.confirm(data_object("7", 10), None)))
        self.assertFalse(self.done(store.confirm(data_object("7", 10), None)))
        self.done(store.stop())
