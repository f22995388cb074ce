"""
Tests for L{distributor.transfer.verification}.
"""

from __future__ import annotations

import errno
import os
from unittest import mock

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

from distributor.cache import Store
from distributor.model import DataObject, DistributorError, Listing, ObjectNotDistributed, ObjectNotFound
from distributor.transfer import Checked, Verification, adopt, verification
from tests.cache.stores import IN_THREAD, NOW, StoreCase, data_object, hash_of, payload

SIZE = 1000


class VerificationTests(StoreCase):
    """
    L{Verification} and L{adopt}.
    """

    def setUp(self) -> None:
        super().setUp()
        self.unlisted: dict[str, DistributorError] = {}
        self.objects: dict[str, DataObject] = {}
        self.wrong: list[str] = []
        self.told: list[Checked] = []
        self.addCleanup(self.assert_nothing_open)
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    async def lookup(self, object_id: str) -> Listing:
        """
        The catalogue.
        """
        if object_id in self.unlisted:
            raise self.unlisted[object_id]
        return Listing(self.objects.get(object_id, data_object(object_id, SIZE)), ())

    def leave_file(self, object_id: str, content: bytes | None = None, used_at: float = NOW - 10) -> None:
        """
        Have a file that no index knows.
        """
        self.put_file(self.assets / object_id, payload(object_id, SIZE) if content is None else content)
        os.utime(self.assets / object_id, (used_at, used_at))

    def opened(self) -> Store:
        """
        A store that is stopped when the test ends.
        """
        store = self.started(100_000)
        self.addCleanup(lambda: self.done(store.stop()))
        return store

    def verification(self, store: Store, clock: Clock | None = None) -> Verification:
        """
        One that notes what it is told.
        """
        return Verification(
            store,
            self.lookup,
            clock or self.clock,
            IN_THREAD,
            self.told.append,
            lambda listing: self.wrong.append(listing.object.id),
        )

    def run_all(self, store: Store) -> Checked:
        """
        Verify all there is.
        """
        verification = self.verification(store)
        self.done(verification.run(store.complete_files()))
        return verification.progress

    def test_right(self) -> None:
        """
        A file that is right is served from then on, in this life and the next, without having been moved.
        """
        self.leave_file("7")
        inode = (self.assets / "7").stat().st_ino
        store = self.opened()
        progress = self.run_all(store)
        expected = Checked(state="done", checked=1, total=1, bytes=SIZE, total_bytes=SIZE)
        self.assertEqual((progress, self.wrong), (expected, []))
        self.assertEqual(self.read(store, "7"), payload("7", SIZE))
        self.assertEqual((store.unverified, store.used, (self.assets / "7").stat().st_ino), ({}, SIZE, inode))
        store = self.restarted(store, 100_000)
        self.assertEqual((store.object_count, store.unverified), (1, {}))
        self.done(store.stop())

    def test_wrong(self) -> None:
        """
        A file that is wrong, or of a wrong length, is deleted, and somebody is told what should be there.
        """
        self.leave_file("7", b"x" * SIZE)
        self.leave_file("8", b"x" * (SIZE - 1))
        self.leave_file("9")
        store = self.opened()
        progress = self.run_all(store)
        self.assertEqual((sorted(progress.bad), sorted(self.wrong)), (["7", "8"], ["7", "8"]))
        self.assertEqual((progress.checked, progress.bytes, progress.left_alone), (3, 3 * SIZE - 1, 0))
        self.assertEqual(self.files(self.assets), {"9": SIZE})
        eviction = store.last_eviction("7")
        assert eviction is not None
        self.assertEqual(eviction.reason, "its bytes were wrong")

    def test_empty(self) -> None:
        """
        An object may have no bytes at all.
        """
        self.leave_file("7", b"")
        self.objects["7"] = data_object("7", 0)
        store = self.opened()
        self.assertEqual(self.run_all(store).bad, ())
        self.assertIsNotNone(store.get("7"))

    def test_not_listed(self) -> None:
        """
        A file that is not this node's, or nobody's, is left alone, however many there are.
        """
        for number in range(100):
            self.leave_file(str(number))
            self.unlisted[str(number)] = ObjectNotFound() if number % 2 else ObjectNotDistributed()
        self.leave_file("100")
        store = self.opened()
        verification = self.verification(store)
        done = self.later(verification.run(store.complete_files()))
        # The reactor has its turn before they are through.
        self.assertNoResult(done)
        self.clock.advance(0)
        self.successResultOf(done)
        progress = verification.progress
        self.assertEqual((progress.checked, progress.left_alone, progress.bad), (101, 100, ()))
        self.assertEqual((len(store.unverified), store.object_count), (100, 1))

    def test_no_use_of_it(self) -> None:
        """
        Being verified does not make a file more wanted than it was.
        """
        for object_id, age in (("7", 30), ("8", 20), ("9", 10)):
            self.leave_file(object_id, used_at=NOW - age)
        store = self.opened()
        verification = self.verification(store)
        self.done(verification.run(["9", "7"]))
        self.assertEqual(store.object_ids(), ["7", "8", "9"])
        store = self.restarted(store, 100_000)
        self.assertEqual(store.object_ids(), ["7", "8", "9"])
        self.done(store.stop())

    def test_media_type(self) -> None:
        """
        The first bytes tell it; else the catalogue, else what is known of the file.
        """
        image = b"\x89PNG\r\n\x1a\n" + bytes(SIZE)
        self.leave_file("7", image)
        self.leave_file("8")
        self.leave_file("9")
        self.objects["7"] = DataObject("7", len(image), hash_of(image), "text/vtt")
        self.objects["8"] = data_object("8", SIZE, "text/vtt")
        store = self.opened()
        self.run_all(store)
        types = [store.known_type(object_id) for object_id in "789"]
        self.assertEqual(types, ["image/png", "text/vtt", "application/octet-stream"])

    def test_again(self) -> None:
        """
        What was verified once is verified again, by its own hash: the catalogue is not asked. What has gone bad since
        is deleted.
        """
        store = self.opened()
        for object_id in "78":
            self.fill(store, object_id, SIZE)
            self.unlisted[object_id] = ObjectNotFound()
        (self.assets / "8").write_bytes(payload("8", SIZE)[:-1] + b"!")
        progress = self.run_all(store)
        self.assertEqual((progress.bad, progress.checked, progress.left_alone), (("8",), 2, 0))
        self.assertEqual((self.files(self.assets), self.wrong), ({"7": SIZE}, []))
        self.assertIsNone(store.get("8"))

    def test_replaced_meanwhile(self) -> None:
        """
        What was wrong, and has been replaced before that was known, stays.
        """
        self.patch(verification, "STEP", 100)
        store = self.opened()
        self.fill(store, "7", SIZE)
        (self.assets / "7").write_bytes(b"x" * SIZE)
        checking = self.verification(store)
        done = self.later(checking.run(["7"], 1000.0))
        self.done(store.remove("7"))
        self.fill(store, "7", SIZE)
        self.clock.advance(1)
        self.successResultOf(done)
        self.assertEqual(checking.progress.bad, ())
        self.assertEqual(self.read(store, "7"), payload("7", SIZE))

    def test_gone(self) -> None:
        """
        What is not there any more when it has its turn is passed over.
        """
        self.leave_file("7")
        store = self.opened()
        self.fill(store, "8", SIZE)
        (self.assets / "7").unlink()
        (self.assets / "8").unlink()
        progress = self.done(self.checked(store, ["7", "8", "9"]))
        self.assertEqual((progress.checked, progress.left_alone, progress.bad), (3, 3, ()))

    async def checked(self, store: Store, files: list[str]) -> Checked:
        verification = self.verification(store)
        await verification.run(files)
        return verification.progress

    def test_disk_refuses(self) -> None:
        """
        A file that cannot be read has not been proved wrong.
        """
        self.leave_file("7")
        store = self.opened()
        self.fill(store, "8", SIZE)

        def pread(fd: int, length: int, offset: int) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

        with mock.patch.object(os, "pread", pread):
            progress = self.run_all(store)
        self.assertEqual((progress.left_alone, progress.bad), (2, ()))
        self.assertEqual(self.files(self.assets), {"7": SIZE, "8": SIZE})

    def test_adopted_meanwhile(self) -> None:
        """
        Of a file that somebody has asked for meanwhile, nothing more is read; it is theirs.
        """
        self.patch(verification, "STEP", 100)
        self.leave_file("7")
        store = self.opened()
        checking = self.verification(store)
        done = self.later(checking.run(store.complete_files(), 100.0))
        allocation = self.done(store.allocate(data_object("7", SIZE)))
        self.clock.advance(1)
        self.successResultOf(done)
        self.assertLessEqual(max(progress.bytes for progress in self.told[:-2]), 200)
        self.assertEqual(checking.progress.left_alone, 1)
        self.done(allocation.commit(None))
        self.assertEqual(self.read(store, "7"), payload("7", SIZE))

    def test_rate(self) -> None:
        """
        It is no faster than it may be, and tells how far it is.
        """
        self.patch(verification, "STEP", 100)
        self.leave_file("7")
        self.leave_file("8")
        store = self.opened()
        began_at = self.clock.seconds()
        done = self.later(self.checked(store, store.complete_files()))
        self.successResultOf(done)
        self.assertEqual(self.clock.seconds(), began_at)
        self.told.clear()
        checking = self.verification(store)
        done_again = self.later(checking.run(store.complete_files(), 200.0))
        while not done_again.called:
            self.clock.advance(0.25)
        self.assertEqual(self.clock.seconds() - began_at, 2 * SIZE / 200.0)
        shown = [progress.bytes for progress in self.told]
        self.assertEqual((shown, set(shown)), (sorted(shown), set(range(0, 2 * SIZE + 1, 100))))

    def test_started_and_stopped(self) -> None:
        """
        One runs at a time, until it ends or is stopped; then another may.
        """
        self.patch(verification, "STEP", 100)
        self.leave_file("7")
        store = self.opened()
        checking = self.verification(store)
        self.assertEqual(checking.progress.state, "idle")
        checking.stop()
        self.assertTrue(checking.start(store.complete_files(), 100.0))
        self.assertFalse(checking.start(store.complete_files()))
        self.assertEqual(checking.progress.state, "running")
        checking.stop()
        self.assertEqual((checking.progress.state, checking.progress.bytes), ("idle", 100))
        self.assertTrue(checking.start(store.complete_files()))
        self.assertEqual(checking.progress.state, "done")
        self.assertIsNotNone(store.get("7"))

    def test_cancelled(self) -> None:
        """
        Who waits for it can leave off as well.
        """
        self.patch(verification, "STEP", 100)
        self.leave_file("7")
        store = self.opened()
        done = self.later(adopt(store, self.lookup, self.clock, IN_THREAD, self.told.append, 100.0))
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertEqual(store.unverified, {"7": SIZE})

    def test_adopt(self) -> None:
        """
        All unverified files are verified, and nothing else is looked at.
        """
        store = self.opened()
        self.fill(store, "6", SIZE)
        self.done(store.stop())
        self.leave_file("7")
        self.leave_file("8", b"x" * SIZE)
        store = self.opened()
        progress = self.done(adopt(store, self.lookup, self.clock, IN_THREAD, self.told.append))
        self.assertEqual(progress, Checked(state="done", checked=2, total=2, bytes=2000, total_bytes=2000, bad=("8",)))
        self.assertEqual(self.told[-1], progress)
        self.assertEqual((store.object_count, store.unverified), (2, {}))
