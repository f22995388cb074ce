"""
Tests for L{distributor.workers.remote} and L{distributor.workers.owner}, one against the other.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from unittest import mock

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.testing import StringTransport
from zope.interface.verify import verifyObject

from distributor.devnet import Cut, Ending, Fault
from distributor.model import (
    LARGEST_STEP,
    ByteRange,
    CacheState,
    CatalogueUnavailable,
    ContentMismatch,
    DiskFailed,
    ObjectNotDistributed,
    SourcesFailed,
)
from distributor.node import Found, Opened
from distributor.transfer import IDownloadReader, Passage
from tests.delivery.readers import Threads
from tests.workers.wired import CONTENT, PATIENCE_S, WiredCase

WHOLE = ByteRange(0, len(CONTENT))


class RemoteCase(WiredCase):
    """
    What an answer of a worker does, step by step.
    """

    def found(self) -> Found:
        found = Deferred.fromCoroutine(self.remote.find("7"))
        self.settle()
        return self.successResultOf(found)

    def opened(self, found: Found | None = None, ranges: Sequence[ByteRange] = (WHOLE,)) -> Opened:
        opened = Deferred.fromCoroutine(self.remote.open(found or self.found(), ranges))
        self.settle()
        result = self.successResultOf(opened)
        self.addCleanup(self.settle)
        self.addCleanup(result.close)
        return result

    def begun(self, opened: Opened, first: ByteRange = WHOLE) -> Deferred[None]:
        begun = Deferred.fromCoroutine(opened.begin(first))
        self.settle()
        return begun

    def read(self, opened: Opened, start: int = 0, stop: int = len(CONTENT)) -> bytes:
        """
        All of it, in steps.
        """
        reader = opened.reader
        assert reader is not None
        got = bytearray()
        while start < stop:
            waited = reader.wait(start)
            self.settle()
            self.successResultOf(waited)
            length = min(reader.available(start), stop - start)
            self.assertTrue(0 < length <= LARGEST_STEP)
            got += os.pread(reader.fd, length, start)
            start += length
        return bytes(got)

    def descriptors(self) -> int:
        """
        How many descriptors the process has open.
        """
        return len(os.listdir("/proc/self/fd"))


class DownloadTests(RemoteCase):
    """
    An object that is not there yet.
    """

    def test_interface(self) -> None:
        """
        What an answer reads from looks like a download's own reader.
        """
        self.hire()
        opened = self.opened()
        self.successResultOf(self.begun(opened))
        verifyObject(IDownloadReader, opened.reader)

    def test_all_of_it(self) -> None:
        """
        It is fetched by the owner, once, and read by the worker from the owner's file.
        """
        self.hire()
        found = self.found()
        self.assertEqual((found.cache, found.object), (CacheState.MISS, self.upstream.listing.object))
        opened = self.opened(found)
        self.successResultOf(self.begun(opened))
        self.assertEqual((opened.cache, opened.joined, opened.external), (CacheState.MISS, False, False))
        self.assertEqual(opened.type, "application/octet-stream")
        self.assertEqual(self.read(opened), CONTENT)
        self.assertEqual(self.upstream.ranges, [None])

    def test_two_workers_readers_share_it(self) -> None:
        """
        Another reader joins it, and is told so.
        """
        self.upstream.nodes[0].faults.always = Fault(cut=Cut(1_000_000, Ending.STALL))
        self.hire()
        first = self.opened()
        self.successResultOf(self.begun(first))
        found = self.found()
        second = self.opened(found)
        self.successResultOf(self.begun(second))
        self.assertEqual((found.cache, second.cache, second.joined), (CacheState.PENDING, CacheState.PENDING, True))
        self.assertEqual(self.read(second, 0, 900_000), CONTENT[:900_000])
        self.assertEqual(len(self.upstream.requests), 1)

    def test_a_seek(self) -> None:
        """
        What a reader waits for is asked for, and said to be.
        """
        self.upstream.nodes[0].faults.next.append(Fault(cut=Cut(100_000, Ending.STALL)))
        self.hire()
        self.successResultOf(self.begun(self.opened()))
        part = ByteRange(2_000_000, 2_001_000)
        opened = self.opened(ranges=(part,))
        self.successResultOf(self.begun(opened, part))
        self.assertTrue(opened.external)
        self.assertEqual(self.read(opened, part.start, part.stop), CONTENT[part.start : part.stop])

    def test_early(self) -> None:
        """
        What the owner has not written yet is given to a worker's reader who has had nothing; then that waits.
        """
        self.upstream.nodes[0].faults.next.append(Fault(cut=Cut(100_000, Ending.STALL)))
        self.hire()
        jobs = Threads()
        self.patch(self.downloads, "_in_thread", jobs)
        opened = self.opened()
        self.successResultOf(self.begun(opened))
        reader = opened.reader
        assert reader is not None
        self.assertEqual((reader.available(0), reader.early(0, 1000)), (0, CONTENT[:1000]))
        self.assertEqual(reader.early(1000, 1000), b"")
        waiting = reader.wait(1000)
        self.settle()
        self.assertNoResult(waiting)
        jobs.run()
        self.settle()
        self.successResultOf(waiting)
        self.assertEqual(reader.available(1000), 99_000)

    def goes_on_without_a_disk(self, elsewhere: Fault) -> Deferred[Passage]:
        """
        A reader has had a thousand bytes that never reach the owner's disk, and wants the rest.
        """
        self.upstream.nodes[0].faults.next.append(Fault(cut=Cut(100_000, Ending.STALL)))
        self.upstream.nodes[0].faults.always = elsewhere
        self.hire()
        jobs = Threads()
        self.patch(self.downloads, "_in_thread", jobs)
        opened = self.opened()
        self.successResultOf(self.begun(opened))
        assert opened.reader is not None
        self.assertEqual(opened.reader.early(0, 1000), CONTENT[:1000])
        waiting = opened.reader.wait(1000)
        with mock.patch("os.pwritev", side_effect=OSError(errno.ENOSPC, "full")):
            jobs.run()
            self.settle()
        self.failureResultOf(waiting, DiskFailed)
        passing = Deferred.fromCoroutine(opened.passage(ByteRange(1000, len(CONTENT))))
        self.settle()
        return passing

    def test_early_and_no_disk(self) -> None:
        """
        If the owner's disk has failed before it had them, the first bytes are verified with what a storage node gives.
        """
        transport = StringTransport()
        sent = self.successResultOf(self.goes_on_without_a_disk(Fault())).send_to(transport)
        self.settle()
        self.successResultOf(sent)
        self.assertEqual(transport.value(), CONTENT[1000:])

    def test_early_and_then_wrong(self) -> None:
        """
        So that what is wrong is not whole.
        """
        self.failureResultOf(self.goes_on_without_a_disk(Fault(flip_at=2_000_000)), ContentMismatch)

    def test_all_that_has_been_read_is_verified(self) -> None:
        """
        What a reader has had early, and then in several steps, is verified with what a storage node gives after it.
        """
        came = LARGEST_STEP + 500_000
        self.upstream.nodes[0].faults.next.append(Fault(cut=Cut(came, Ending.STALL)))
        self.hire()
        jobs = Threads()
        with mock.patch.object(self.downloads, "_in_thread", jobs):
            opened = self.opened()
            self.successResultOf(self.begun(opened))
        reader = opened.reader
        assert reader is not None
        self.assertEqual(reader.early(0, 1000), CONTENT[:1000])
        while jobs.jobs:
            jobs.run()
            self.settle()
        self.assertEqual(self.read(opened, 1000, came), CONTENT[1000:came])
        self.upstream.nodes[0].faults.always = Fault(flip_at=came + 100_000)
        passing = Deferred.fromCoroutine(opened.passage(ByteRange(came, len(CONTENT))))
        self.settle()
        self.failureResultOf(passing, ContentMismatch)

    def test_left_while_it_is_opened(self) -> None:
        """
        An answer whose viewer goes before the owner has said that it is open is forgotten by the owner, too.
        """
        self.upstream.nodes[0].faults.always = Fault(hang=True)
        self.hire()
        opened = Deferred.fromCoroutine(self.remote.open(self.found(), (WHOLE,)))
        opened.cancel()
        self.failureResultOf(opened, CancelledError)
        self.settle()
        [download] = self.downloads
        self.assertEqual(download.reader_count, 0)

    def test_left_while_it_waits(self) -> None:
        """
        An answer whose viewer goes is forgotten by the owner, too, and leaves no descriptor.
        """
        self.upstream.nodes[0].faults.always = Fault(hang=True)
        self.hire()
        before = self.descriptors()
        opened = self.opened()
        begun = self.begun(opened)
        [download] = self.downloads
        self.assertEqual(download.reader_count, 1)
        begun.addErrback(lambda _: None)
        begun.cancel()
        opened.close()
        self.settle()
        self.assertEqual(download.reader_count, 0)
        self.assertEqual(self.descriptors(), before + 1, "that of the download alone")

    def test_closed_while_the_file_is_on_its_way(self) -> None:
        """
        A descriptor that comes too late is closed.
        """
        self.hire()
        before = self.descriptors()
        opened = self.opened()
        begun = Deferred.fromCoroutine(opened.begin(WHOLE))
        begun.addErrback(lambda _: None)
        begun.cancel()
        opened.close()
        self.settle()
        self.assertEqual(self.descriptors(), before)

    def test_no_storage_node_has_it(self) -> None:
        """
        The worker's answer fails as the owner's would.
        """
        self.upstream.nodes[0].faults.always = Fault(status=500)
        self.hire()
        self.failureResultOf(self.begun(self.opened()), SourcesFailed)

    def test_wrong_bytes(self) -> None:
        """
        The last byte does not come.
        """
        self.upstream.nodes[0].faults.always = Fault(flip_at=5)
        self.hire()
        opened = self.opened()
        begun = self.begun(opened)
        failures = [begun] if begun.called and opened.reader is None else []
        if not failures:
            assert opened.reader is not None
            waited = opened.reader.wait(len(CONTENT) - 1)
            self.settle()
            failures.append(waited)
        begun.addErrback(lambda _: None)
        self.failureResultOf(failures[0], ContentMismatch)

    def test_unforeseen(self) -> None:
        """
        What goes wrong for one request, in a way that nobody thought of, is no matter to the others.
        """
        self.hire()
        self.patch(self.node, "find", lambda object_id: fail(RuntimeError("a bug")))
        found = Deferred.fromCoroutine(self.remote.find("7"))
        self.settle()
        self.failureResultOf(found, CatalogueUnavailable)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual((self.gone, self.serving.finished), (0, []))

    def test_the_owner_dies(self) -> None:
        """
        What depends on the owner fails; and so does what comes later.
        """
        self.upstream.nodes[0].faults.always = Fault(hang=True)
        self.hire()
        begun = self.begun(self.opened())
        self.part()
        self.failureResultOf(begun, CatalogueUnavailable)
        self.failureResultOf(Deferred.fromCoroutine(self.remote.find("8")), CatalogueUnavailable)
        self.assertEqual((self.serving.finished, self.gone), ([None], 1))
        [download] = self.downloads
        self.assertEqual(download.reader_count, 0)


class CompleteTests(RemoteCase):
    """
    An object that is there.
    """

    def setUp(self) -> None:
        super().setUp()
        self.hire()
        opened = self.opened()
        self.read(opened)
        opened.close()
        self.settle()

    def test_hit(self) -> None:
        """
        The worker answers from the disk; the owner is not asked.
        """
        asked = self.lookups
        found = self.successResultOf(Deferred.fromCoroutine(self.remote.find("7")))
        self.assertEqual((found.cache, found.listing), (CacheState.HIT, None))
        opened = self.successResultOf(Deferred.fromCoroutine(self.remote.open(found, (WHOLE,))))
        assert opened.reader is not None
        self.assertEqual(os.pread(opened.reader.fd, len(CONTENT), 0), CONTENT)
        opened.close()
        self.assertEqual(self.lookups, asked)

    def test_evicted(self) -> None:
        """
        An object that the owner evicts is none that the worker has; who reads it goes on, and its space counts until
        they have gone.
        """
        opened = self.opened()
        self.report()
        self.successResultOf(Deferred.fromCoroutine(self.store.remove("7")))
        self.settle()
        self.assertIsNone(self.mirror.get("7"))
        assert opened.reader is not None
        self.assertEqual(os.pread(opened.reader.fd, 10, 0), CONTENT[:10])
        self.assertEqual(self.store.used, len(CONTENT))
        opened.close()
        self.report()
        self.assertEqual(self.store.used, 0)

    def test_lost_meanwhile(self) -> None:
        """
        Where the file has gone without a word, the owner is asked, and fetches it again.
        """
        found = self.found()
        self.mirror.tell([("7", None)])
        self.successResultOf(Deferred.fromCoroutine(self.store.remove("7")))
        opened = self.opened(found)
        self.successResultOf(self.begun(opened))
        self.assertEqual(self.read(opened), CONTENT)
        self.assertEqual(len(self.upstream.requests), 2)

    def test_read_here_is_wanted_there(self) -> None:
        """
        What workers read is not what the owner evicts first.
        """
        touched: list[tuple[str, int]] = []
        self.patch(self.store, "touch", lambda *told: touched.append(told))
        self.opened().close()
        self.opened().close()
        self.report()
        self.report()
        self.assertEqual(touched, [("7", 2)])


class PassedThroughTests(RemoteCase):
    """
    An object that is not kept.
    """

    def setUp(self) -> None:
        super().setUp()
        self.largest_cached = 1_000_000
        self.hire()

    def test_passed_through(self) -> None:
        """
        The worker asks the storage node by itself.
        """
        opened = self.opened()
        self.assertIsNone(opened.reader)
        self.successResultOf(self.begun(opened, ByteRange(10, 20)))
        transport = StringTransport()
        passage = self.successResultOf(Deferred.fromCoroutine(opened.passage(ByteRange(10, 20))))
        self.successResultOf(passage.send_to(transport))
        self.assertEqual(transport.value(), CONTENT[10:20])
        self.assertEqual(len(self.downloads), 0)

    def test_errors_are_the_owners(self) -> None:
        """
        Why an object is not served is told as it is.
        """

        async def elsewhere(object_id: str) -> object:
            raise ObjectNotDistributed(object_id)

        self.patch(self.node, "lookup", elsewhere)
        found = Deferred.fromCoroutine(self.remote.find("9"))
        self.settle()
        self.failureResultOf(found, ObjectNotDistributed)


class PatienceTests(RemoteCase):
    """
    A storage node that says nothing.
    """

    def test_first_byte(self) -> None:
        """
        A reader waits as long as one of the owner's.
        """
        self.upstream.nodes[0].faults.always = Fault(hang=True)
        self.hire()
        begun = self.begun(self.opened())
        for _ in range(round(PATIENCE_S) + 1):
            self.clock.advance(1)
            self.settle()
        self.assertTrue(begun.called)
        begun.addErrback(lambda _: None)
