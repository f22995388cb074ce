"""
Tests for L{distributor.cache.store}: L{Store.allocate}.
"""

from __future__ import annotations

import errno
import os

from attrs import evolve

from distributor.model import DiskFailed, NoRoom
from tests.cache.stores import NOW, StoreCase, data_object, hash_of, payload


class AllocateTests(StoreCase):
    """
    L{Store.allocate}: room, and what there is already.
    """

    def tearDown(self) -> None:
        self.assert_nothing_open()

    def test_one_at_a_time(self) -> None:
        """
        Two cannot fill one file, and none can fill what is complete.
        """
        store = self.started()
        allocation = self.done(store.allocate(data_object("7", 10)))
        self.failed(store.allocate(data_object("7", 10)), RuntimeError)
        self.assertEqual(store.reserved, 10)
        self.done(allocation.discard())
        self.fill(store, "7", 10)
        self.failed(store.allocate(data_object("7", 10)), RuntimeError)
        self.done(store.remove("7"))
        self.fill(store, "7", 10)
        self.done(store.stop())

    def test_evicts_the_least_recently_wanted(self) -> None:
        """
        Room is made at the cost of what was wanted longest ago, complete or not.
        """
        store = self.started(capacity=100)
        self.fill(store, "1", 30)
        partial = self.done(store.allocate(data_object("2", 60)))
        self.write(partial, 0, 20)
        self.done(partial.suspend([(0, 20)]))
        self.fill(store, "3", 30)
        store.touch("1")
        self.fill(store, "4", 40)
        self.assertEqual((self.files(self.assets), self.files(self.partial)), ({"1": 30, "3": 30, "4": 40}, {}))
        self.fill(store, "5", 20)
        self.assertEqual(self.files(self.assets), {"1": 30, "4": 40, "5": 20})
        self.assertEqual(store.used, 90)
        self.done(store.stop())
        self.assertEqual({row.id for row in self.rows()}, {"1", "4", "5"})

    def test_unverified_go_in_their_turn(self) -> None:
        """
        A file that nobody has verified may be as wanted as any other: what counts is when it was used last.
        """
        for used_at, left in ((NOW - 1, {"1": 30, "3": 60}), (NOW + 1, {"2": 40, "3": 60})):
            store = self.started(capacity=100)
            self.fill(store, "1", 30)
            self.done(store.stop())
            self.put_file(self.assets / "2", b"x" * 40)
            os.utime(self.assets / "2", (used_at, used_at))
            store = self.started(capacity=100)
            self.clock.advance(10)
            self.fill(store, "3", 60)
            self.assertEqual(self.files(self.assets), left)
            for object_id in left:
                self.done(store.remove(object_id))
            self.done(store.stop())
            self.clock.advance(-self.clock.seconds() + NOW)

    def test_no_room(self) -> None:
        """
        What cannot fit evicts nothing; what is reserved and what is read are not room.
        """
        store = self.started(capacity=100)
        self.fill(store, "1", 30)
        self.failed(store.allocate(data_object("9", 101)), NoRoom)
        filling = self.done(store.allocate(data_object("2", 40)))
        self.failed(store.allocate(data_object("9", 61)), NoRoom)
        reader = self.done(store.open("1"))
        self.failed(store.allocate(data_object("9", 31)), NoRoom)
        self.assertEqual((self.files(self.assets), store.used, store.reserved), ({"1": 30}, 30, 40))
        self.done(store.remove("1"))
        self.failed(store.allocate(data_object("9", 31)), NoRoom)
        reader.close()
        self.done(filling.discard())
        self.fill(store, "9", 100)
        self.done(store.stop())

    def test_no_room_keeps_what_there_is(self) -> None:
        """
        A partial file that cannot be gone on with for want of room is still there.
        """
        store = self.started(capacity=100)
        partial = self.done(store.allocate(data_object("7", 60)))
        self.write(partial, 0, 20)
        self.done(partial.suspend([(0, 20)]))
        other = self.done(store.allocate(data_object("8", 50)))
        self.failed(store.allocate(data_object("7", 60)), NoRoom)
        self.assertEqual((store.used, store.reserved), (20, 50))
        self.done(other.discard())
        resumed = self.done(store.allocate(data_object("7", 60)))
        self.assertEqual(resumed.extents, ((0, 20),))
        self.done(resumed.discard())
        self.done(store.stop())

    def test_empty_objects_need_no_room(self) -> None:
        """
        A full store takes an object without bytes.
        """
        store = self.started(capacity=30)
        self.fill(store, "1", 30)
        self.fill(store, "2", 0)
        self.assertEqual(store.object_count, 2)
        self.done(store.stop())

    def test_other_object_of_the_same_id(self) -> None:
        """
        A partial file of another size or hash is not gone on with.
        """
        store = self.started()
        known = data_object("7", 60)
        for other in (evolve(known, size=61), evolve(known, content_hash=hash_of(b"other"))):
            partial = self.done(store.allocate(known))
            self.write(partial, 0, 20)
            self.done(partial.suspend([(0, 20)]))
            allocation = self.done(store.allocate(other))
            self.assertEqual((allocation.extents, self.files(self.partial)), ((), {"7": 0}))
            self.assertEqual((store.used, store.reserved), (0, other.size))
            self.done(allocation.discard())
        self.done(store.stop())
        self.assertEqual(self.rows(), [])

    def test_adopted(self) -> None:
        """
        A complete file that the index does not know becomes a download that has all its bytes, to be verified.
        """
        self.put_file(self.assets / "7", payload("7", 60))
        store = self.started(capacity=60)
        self.assertIsNone(store.get("7"))
        self.failed(store.open("7"), LookupError)
        allocation = self.done(store.allocate(data_object("7", 60)))
        self.assertEqual((allocation.extents, store.used, store.reserved), (((0, 60),), 60, 0))
        self.assertEqual((self.files(self.assets), self.files(self.partial)), ({}, {"7": 60}))
        self.assertEqual(os.pread(allocation.fd, 99, 0), payload("7", 60))
        self.assertEqual(store.unverified, {})
        self.done(allocation.commit(None))
        self.assertEqual(self.read(store, "7"), payload("7", 60))
        self.done(store.stop())

    def test_adopted_of_another_size(self) -> None:
        """
        One that cannot be the object is deleted.
        """
        self.put_file(self.assets / "7", b"x" * 40)
        self.put_file(self.assets / "8", b"")
        store = self.started(capacity=60)
        for object_id, size in (("7", 60), ("8", 0)):
            allocation = self.done(store.allocate(data_object(object_id, size)))
            self.assertEqual((allocation.extents, store.used, store.reserved), ((), 0, size))
            self.done(allocation.discard())
        self.assertEqual(self.files(self.assets), {})
        self.done(store.stop())

    def test_vanished(self) -> None:
        """
        When what there was has vanished, the object is fetched from its beginning.
        """
        self.put_file(self.assets / "7", payload("7", 60))
        store = self.started()
        (self.assets / "7").unlink()
        allocation = self.done(store.allocate(data_object("7", 60)))
        self.assertEqual((allocation.extents, store.used, store.reserved), ((), 0, 60))
        self.assertEqual(self.rows(), [], "a node killed now would believe the row of the old file")
        self.write(allocation, 0, 20)
        self.done(allocation.suspend([(0, 20)]))
        (self.partial / "7").write_bytes(b"short")
        allocation = self.done(store.allocate(data_object("7", 60)))
        self.assertEqual((allocation.extents, store.used, store.reserved), ((), 0, 60))
        self.assertEqual(self.rows(), [])
        self.done(allocation.discard())
        self.done(store.stop())
        self.assertEqual(self.rows(), [])

    def test_refused(self) -> None:
        """
        When the file cannot be opened, the space is given back, and what there was is still there.
        """
        self.put_file(self.assets / "7", payload("7", 60))
        store = self.started(capacity=100)
        partial = self.done(store.allocate(data_object("8", 40)))
        self.write(partial, 0, 20)
        self.done(partial.suspend([(0, 20)]))

        def open_refused(*args: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        restore = self.patch(os, "open", open_refused).restore
        for object_id, size in (("7", 60), ("8", 40), ("9", 20)):
            error = self.failed(store.allocate(data_object(object_id, size)), DiskFailed)
            self.assertIn("No space left on device", str(error))
            self.assertEqual((store.used, store.reserved), (80, 0))
        restore()
        self.assertEqual([row.id for row in self.rows()], ["8"])
        resumed = self.done(store.allocate(data_object("8", 40)))
        self.assertEqual(resumed.extents, ((0, 20),))
        self.done(resumed.discard())
        adopted = self.done(store.allocate(data_object("7", 60)))
        self.assertEqual(adopted.extents, ((0, 60),))
        self.done(adopted.commit(None))
        self.done(store.stop())

    def test_victims_that_cannot_be_deleted(self) -> None:
        """
        No room is made, nothing is given out, and the victims are served as before.
        """
        store = self.started(capacity=100)
        self.fill(store, "1", 60)
        self.fill(store, "2", 40)

        def unlink(path: str) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        restore = self.patch(os, "unlink", unlink).restore
        self.failed(store.allocate(data_object("9", 100)), DiskFailed)
        restore()
        self.assertEqual((store.used, store.reserved, store.object_count), (100, 0, 2))
        self.assertEqual(self.read(store, "1"), payload("1", 60))
        self.fill(store, "9", 100)
        self.done(store.stop())

    def test_some_victims_cannot_be_deleted(self) -> None:
        """
        Those that could be are gone, and the others are counted.
        """
        store = self.started(capacity=100)
        self.fill(store, "1", 60)
        self.fill(store, "2", 40)
        real = os.unlink

        def unlink(path: str) -> None:
            if path.endswith("/1"):
                raise PermissionError(errno.EACCES, "Permission denied")
            real(path)

        self.patch(os, "unlink", unlink)
        self.failed(store.allocate(data_object("9", 100)), DiskFailed)
        self.assertEqual((store.used, store.reserved, store.object_count), (60, 0, 1))
        self.done(store.stop())
        self.assertEqual([row.id for row in self.rows()], ["1"])
