"""
Tests for L{distributor.cache.allocation}.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from distributor.cache import Allocation, Entry
from distributor.cache.allocation import TRANSITIONS, Event, State
from distributor.model import DiskFailed
from tests.cache.stores import Jobs, StoreCase, data_object, payload


class AllocationTests(StoreCase):
    """
    L{Allocation}, as a store gives it.
    """

    def setUp(self) -> None:
        super().setUp()
        self.store = self.started()

    def allocated(self, size: int = 100, written: int = 0, object_id: str = "7") -> Allocation:
        allocation = self.done(self.store.allocate(data_object(object_id, size, "video/mp4")))
        self.write(allocation, 0, written)
        allocation.grew(written)
        return allocation

    def refuse(self, name: str, code: int = errno.EIO) -> Callable[[], None]:
        """
        Make a system call fail until the returned function is called.
        """

        def call(*args: object, **kwargs: object) -> None:
            raise OSError(code, os.strerror(code))

        restore: Callable[[], None] = self.patch(os, name, call).restore
        return restore

    def assert_accounts(self, used: int, reserved: int) -> None:
        self.assertEqual((self.store.used, self.store.reserved), (used, reserved))

    def test_fresh(self) -> None:
        """
        A new object has an empty file, all its space, and no extents.
        """
        allocation = self.allocated()
        self.assertEqual((allocation.extents, allocation.object.id), ((), "7"))
        self.assertEqual(allocation.fd, allocation.file.fd)
        self.assertEqual(self.files(self.partial), {"7": 0})
        self.assertFalse(os.get_inheritable(allocation.fd))
        self.assert_accounts(0, 100)
        self.assertIsNone(self.store.get("7"))
        self.done(allocation.discard())

    def test_grew(self) -> None:
        """
        What is written moves from reserved to used; and back, where it has to be written again.
        """
        allocation = self.allocated()
        allocation.grew(60)
        self.assert_accounts(60, 40)
        allocation.grew(0)
        self.assert_accounts(0, 100)
        for senseless in (-1, 101):
            self.assertRaises(ValueError, allocation.grew, senseless)
        self.done(allocation.discard())
        allocation.grew(50)
        self.assert_accounts(0, 0)

    def test_commit(self) -> None:
        """
        A committed file is complete, served, and found again after a start.
        """
        allocation = self.allocated(written=100)
        entry = self.done(allocation.commit("image/png"))
        self.assertEqual(entry, Entry(100, str(data_object("7", 100).content_hash), "image/png"))
        self.assertEqual(self.store.get("7"), entry)
        self.assertEqual((self.files(self.assets), self.files(self.partial)), ({"7": 100}, {}))
        self.assert_accounts(100, 0)
        self.assert_nothing_open()
        self.store = self.restarted(self.store)
        self.assertEqual(self.store.get("7"), entry)
        self.assert_accounts(100, 0)
        self.assertEqual(self.read(self.store, "7"), payload("7", 100))

    def test_commit_empty(self) -> None:
        """
        An empty object is an object.
        """
        self.done(self.allocated(size=0).commit(None))
        self.assertEqual(self.read(self.store, "7"), b"")
        self.store = self.restarted(self.store)
        self.assertEqual(self.read(self.store, "7"), b"")

    def test_commit_short(self) -> None:
        """
        A file that does not have the size of its object does not become one.
        """
        allocation = self.allocated(written=99)
        self.failed(allocation.commit(None), DiskFailed)
        self.assertIsNone(self.store.get("7"))
        self.done(allocation.discard())
        self.assert_accounts(0, 0)

    def test_commit_refused(self) -> None:
        """
        When the disk refuses, the allocation is still there to be discarded; but not to be committed, since the kernel
        tells of lost pages only once.
        """
        for call in ("fdatasync", "rename"):
            allocation = self.allocated(written=100)
            restore = self.refuse(call)
            error = self.failed(allocation.commit(None), DiskFailed)
            self.assertIsInstance(error.__cause__, OSError)
            restore()
            self.assert_accounts(100, 0)
            self.assertIsNone(self.store.get("7"))
            self.assertIs(self.failed(allocation.commit(None), DiskFailed), error)
            self.done(allocation.discard())
            self.assert_accounts(0, 0)
            self.assertEqual((self.files(self.assets), self.files(self.partial)), ({}, {}))

    def test_record(self) -> None:
        """
        What was recorded is there for a node that has been killed.
        """
        allocation = self.allocated(written=60)
        self.done(allocation.record([(0, 50)]))
        allocation.grew(70)
        self.write(allocation, 60, 70)
        self.store = self.started()
        self.assert_accounts(50, 0)
        allocation.file.release()
        resumed = self.allocated(written=50)
        self.assertEqual(resumed.extents, ((0, 50),))
        self.done(resumed.discard())

    def test_record_refused(self) -> None:
        """
        What the disk has not taken is not recorded, and not trusted later either.
        """
        allocation = self.allocated(written=60)
        restore = self.refuse("fdatasync")
        self.failed(allocation.record([(0, 60)]), DiskFailed)
        restore()
        self.failed(allocation.record([(0, 60)]), DiskFailed)
        self.failed(allocation.suspend([(0, 60)]), DiskFailed)
        self.assert_accounts(0, 0)
        self.assertEqual(self.files(self.partial), {})

    def test_suspend(self) -> None:
        """
        A suspended file takes what is in it, and is gone on with, now or after a start.
        """
        self.done(self.allocated(written=60).suspend([(0, 20), (30, 60)]))
        self.assert_nothing_open()
        for again in (False, True):
            if again:
                self.store = self.restarted(self.store)
            self.assert_accounts(50, 0)
            self.assertIsNone(self.store.get("7"))
            allocation = self.done(self.store.allocate(data_object("7", 100)))
            self.assertEqual(allocation.extents, ((0, 20), (30, 60)))
            self.assert_accounts(50, 50)
            self.assertEqual(os.pread(allocation.fd, 20, 0), payload("7", 100)[:20])
            self.done(allocation.suspend(allocation.extents))
        self.assert_accounts(50, 0)

    def test_suspend_nothing(self) -> None:
        """
        Without a byte there is nothing to keep.
        """
        self.done(self.allocated(written=60).suspend(()))
        self.assert_accounts(0, 0)
        self.assertEqual(self.files(self.partial), {})

    def test_suspend_refused(self) -> None:
        """
        When the disk refuses, the file is discarded; its owner may say so too.
        """
        allocation = self.allocated(written=60)
        restore = self.refuse("fdatasync", errno.ENOSPC)
        error = self.failed(allocation.suspend([(0, 60)]), DiskFailed)
        self.assertIn("No space left on device", str(error))
        restore()
        self.assert_accounts(0, 0)
        self.assertEqual(self.files(self.partial), {})
        self.done(allocation.discard())
        self.done(self.allocated().discard())

    def test_discard(self) -> None:
        """
        A discarded file leaves nothing.
        """
        allocation = self.allocated(written=60)
        self.done(allocation.record([(0, 60)]))
        self.done(allocation.discard())
        self.assert_accounts(0, 0)
        self.assertEqual((self.files(self.partial), self.rows()), ({}, []))
        self.assert_nothing_open()
        self.store = self.restarted(self.store)
        again = self.allocated()
        self.assertEqual(again.extents, ())
        self.done(again.discard())

    def test_discard_refused(self) -> None:
        """
        A file that cannot be deleted is counted, but nothing in it is used; it goes when the object is wanted again.
        """
        allocation = self.allocated(written=60)
        restore = self.refuse("unlink", errno.EACCES)
        self.failed(allocation.discard(), DiskFailed)
        self.assert_accounts(60, 0)
        self.failed(self.store.allocate(data_object("7", 100)), DiskFailed)
        self.assert_accounts(60, 0)
        restore()
        again = self.allocated()
        self.assertEqual(again.extents, ())
        self.assert_accounts(0, 100)
        self.done(again.discard())
        self.assert_accounts(0, 0)
        self.assert_nothing_open()

    def test_readers_keep_the_file(self) -> None:
        """
        Whatever becomes of the allocation, a reader goes on reading what it has; a discarded file counts until then.
        """

        async def commit(allocation: Allocation) -> None:
            self.write(allocation, 60, 100)
            allocation.grew(100)
            await allocation.commit(None)

        ends: list[tuple[Callable[[Allocation], object], int, int]] = [
            (lambda each: self.done(each.discard()), 60, 0),
            (lambda each: self.done(each.suspend([(0, 60)])), 60, 60),
            (lambda each: self.done(commit(each)), 100, 100),
        ]
        for end, while_read, afterwards in ends:
            allocation = self.allocated(written=60)
            allocation.file.acquire()
            end(allocation)
            self.assert_accounts(while_read, 0)
            self.assertEqual(os.pread(allocation.fd, 60, 0), payload("7", 100)[:60])
            allocation.file.release()
            self.assert_accounts(afterwards, 0)
            self.assert_nothing_open()

    def test_committed_file_is_shared(self) -> None:
        """
        Those who read it since before it was complete, and those who come later, have one descriptor.
        """
        allocation = self.allocated(written=100)
        allocation.file.acquire()
        self.done(allocation.commit(None))
        reader = self.done(self.store.open("7"))
        self.assertEqual(reader.fd, allocation.fd)
        allocation.file.release()
        self.assertEqual(os.pread(reader.fd, 999, 0), payload("7", 100))
        reader.close()
        self.assert_nothing_open()

    def test_discarded_and_allocated_again(self) -> None:
        """
        The readers of a discarded file are not disturbed by the next one.
        """
        old = self.allocated(written=60)
        old.file.acquire()
        self.done(old.discard())
        new = self.allocated(written=10)
        self.assert_accounts(70, 90)
        self.assertEqual(os.pread(old.fd, 99, 0), payload("7", 100)[:60])
        old.file.release()
        self.assert_accounts(10, 90)
        self.done(new.discard())
        self.assert_accounts(0, 0)

    def test_suspended_and_resumed_with_readers(self) -> None:
        """
        A suspended file that is still open is gone on with as it is.
        """
        old = self.allocated(written=60)
        old.file.acquire()
        self.done(old.suspend([(0, 60)]))
        new = self.done(self.store.allocate(data_object("7", 100)))
        self.assertEqual((new.fd, new.extents), (old.fd, ((0, 60),)))
        old.file.release()
        self.write(new, 60, 100)
        self.done(new.commit(None))
        self.assertEqual(self.read(self.store, "7"), payload("7", 100))
        self.store.files.close_spare()
        self.assert_nothing_open()

    def test_after_the_end(self) -> None:
        """
        What is asked of an allocation that has ended raises, naming the object and how it ended.
        """

        def ended(end: str) -> Allocation:
            allocation = self.allocated(written=100)
            self.done(
                {"commit": lambda: allocation.commit(None), "suspend": lambda: allocation.suspend([(0, 100)])}[end]()
            )
            return allocation

        for end, name in (("suspend", "suspended"), ("commit", "committed")):
            allocation = ended(end)
            for again in (
                allocation.record(()),
                allocation.commit(None),
                allocation.suspend([(0, 1)]),
                allocation.discard(),
            ):
                error = self.failed(again, RuntimeError)
                self.assertIn(f"{name} of object 7", str(error))
        self.assert_accounts(100, 0)

    def test_transitions(self) -> None:
        """
        Every state that is not an end can reach each of the ends that its name allows, and an end has no way out.
        """
        ends = {State.COMMITTED, State.SUSPENDED, State.DISCARDED}
        left = {(state, event) for state, event in TRANSITIONS if state in ends}
        self.assertEqual(left, {(State.DISCARDED, Event.DISCARD)})
        reached = {State.OPEN}
        while (more := reached | {to for (state, _), to in TRANSITIONS.items() if state in reached}) != reached:
            reached = more
        self.assertEqual(reached, set(State))

    def test_record_overtaken_by_the_end(self) -> None:
        """
        A record whose C{fdatasync} takes longer than the allocation lives writes no row, and its descriptor stays open
        until then.
        """
        jobs = Jobs()
        self.done(self.store.stop())
        self.store = self.make_store(in_thread=jobs)
        self.ran(jobs, self.store.start())
        allocation = self.ran(jobs, self.store.allocate(data_object("7", 100)))
        self.write(allocation, 0, 60)
        recording = self.later(allocation.record([(0, 60)]))
        discarding = self.later(allocation.discard())
        jobs.run("_unlink")
        self.successResultOf(discarding)
        self.assertTrue(os.fstat(allocation.fd))
        jobs.run_all()
        self.successResultOf(recording)
        self.assert_nothing_open()
        self.done(self.store.stop())
        self.assertEqual(self.rows(), [])
