"""
Tests for L{distributor.transfer.download}: a real store and real HTTP, both without threads or sockets.
"""

from __future__ import annotations

import errno
import os
from itertools import pairwise
from pathlib import Path
from unittest import mock

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from zope.interface.verify import verifyObject

from distributor.devnet import Cut, Ending, Fault
from distributor.model import (
    ByteRange,
    CacheState,
    ContentMismatch,
    DiskFailed,
    IReader,
    NoRoom,
    Overloaded,
    SourcesFailed,
    SourcesTimedOut,
)
from distributor.transfer import Download, DownloadReader
from distributor.transfer.filling import Filling
from tests.delivery.readers import Threads
from tests.stored import started_store
from tests.transfer.downloading import CONTENT, PATIENCE_S, DownloadCase, read
from tests.upstream import TIMEOUT_S, Upstream, payload


class DownloadTests(DownloadCase):
    """
    One download, and those who read it.
    """

    # What readers see.

    def test_one_request_for_all(self) -> None:
        """
        Readers that come before, while and after it fills all read the whole from one request, and the store has it.
        """
        download, first = self.download()
        second = download.reader()
        over = self.run_download(download)
        self.successResultOf(over)
        self.assertTrue(read(first) == read(second) == CONTENT)
        self.assertEqual(self.upstream.ranges, [None])
        entry = self.store.get("7")
        assert entry is not None
        self.assertEqual(
            (entry.size, entry.content_hash), (len(CONTENT), str(self.upstream.listing.object.content_hash))
        )
        second.close()

    def test_reader(self) -> None:
        """
        Its readers are readers.
        """
        download, reader = self.download()
        self.assertEqual((reader.size, reader.available(0)), (len(CONTENT), 0))
        self.run_download(download)
        verifyObject(IReader, reader)

    def test_bytes_are_there_as_they_come(self) -> None:
        """
        What has come can be read before the rest has, and a reader ahead of it waits.
        """
        self.stall_at(100_000)
        download, reader = self.download()
        ahead, behind = reader.wait(150_000), download.reader()
        over = self.run_download(download)
        self.assertTrue(read(reader) == CONTENT[:100_000])
        self.assertIsNone(self.successResultOf(behind.wait(99_999)))
        self.assertNoResult(ahead)
        self.assertEqual(download.cache_state, CacheState.PENDING)
        self.clock.advance(TIMEOUT_S)
        self.upstream.flush()
        self.assertIsNone(self.successResultOf(ahead))
        behind.close()
        self.successResultOf(over)

    def test_early(self) -> None:
        """
        Who has had nothing need not wait for the disk, nor who comes meanwhile; who has begun does.
        """
        jobs = Threads()
        self.stall_at(100_000)
        download, reader = self.download(in_thread=jobs)
        waiting = reader.wait(0)
        self.run_download(download)
        second = download.reader([ByteRange(50_000, 60_000)])
        for each, offset in ((reader, 0), (second, 50_000)):
            self.successResultOf(waiting if each is reader else each.wait(offset))
            self.assertEqual((each.available(offset), each.media_type), (0, "application/octet-stream"))
            self.assertEqual(each.early(offset, 1000), CONTENT[offset : offset + 1000])
            more = each.wait(offset + 1000)
            self.assertNoResult(more)
            more.addErrback(lambda _: None)
        beyond = download.reader().wait(100_000)
        self.assertNoResult(beyond)
        beyond.addErrback(lambda _: None)
        jobs.run()
        self.upstream.flush()
        self.assertEqual((reader.available(1000), second.available(51_000)), (99_000, 49_000))
        download.stop()
        self.upstream.flush()

    def test_the_last_byte_is_not_early(self) -> None:
        """
        The last byte of an object waits for the hash here, too.
        """
        content = payload(4_000_000)
        self.upstream = Upstream(self, self.clock, content)
        self.stall_at(50_000)
        jobs = Threads()
        download, _ = self.download(in_thread=jobs)
        over = self.run_download(download)
        reader = download.reader([ByteRange(3_999_990, 4_000_000)])
        waiting = reader.wait(3_999_990)
        self.upstream.flush()
        self.successResultOf(waiting)
        self.assertEqual(reader.early(3_999_990, 100), content[-10:-1])
        last = download.reader([ByteRange(3_999_999, 4_000_000)])
        last.wait(3_999_999).addErrback(lambda failure: failure.trap(CancelledError))
        self.upstream.flush()
        self.assertEqual(last.early(3_999_999, 1), b"")
        last.close()
        self.upstream.nodes[0].faults.always = Fault()
        while not over.called:
            self.pass_time(1)
            while jobs.jobs:
                jobs.run()
        self.successResultOf(over)

    def test_nothing_early_of_the_whole(self) -> None:
        """
        Once all of an object has come, its hash decides: what is wrong and comes at once is not even begun with.
        """
        jobs = Threads()
        download, reader = self.download(in_thread=jobs)
        waiting = reader.wait(0)
        over = self.run_download(download)
        self.assertNoResult(waiting)
        self.assertEqual(reader.early(0, 1000), b"")
        while jobs.jobs:
            jobs.run()
            self.upstream.flush()
        self.successResultOf(waiting)
        self.successResultOf(over)

    def test_the_last_byte_waits_for_the_hash(self) -> None:
        """
        As long as the object has not been verified, its last byte cannot be read, though it is in the file.
        """
        download, reader = self.download()
        seen: list[tuple[int, CacheState]] = []
        check = Filling._check

        def checking(filling: Filling, digest: bytes) -> None:
            seen.append((reader.available(0), download.cache_state))
            check(filling, digest)
            seen.append((reader.available(0), download.cache_state))

        with mock.patch.object(Filling, "_check", checking):
            self.run_download(download)
        self.assertEqual(seen, [(len(CONTENT) - 1, CacheState.PENDING), (len(CONTENT), CacheState.HIT)])

    def test_wait_at_the_end(self) -> None:
        """
        A reader that waits at the end of the object is told when it has been verified.
        """
        download, reader = self.download()
        waiting = reader.wait(len(CONTENT))
        self.run_download(download)
        self.assertIsNone(self.successResultOf(waiting))

    def test_an_empty_object(self) -> None:
        """
        An object without bytes costs no request, and is verified like any other.
        """
        self.upstream = Upstream(self, self.clock, b"")
        download, reader = self.download()
        waiting = reader.wait(0)
        self.successResultOf(self.run_download(download))
        self.assertIsNone(self.successResultOf(waiting))
        self.assertEqual((self.upstream.requests, download.cache_state), ([], CacheState.HIT))

    def test_an_empty_object_that_cannot_be(self) -> None:
        """
        An empty object with the hash of something else is nobody's to give.
        """
        self.upstream = Upstream(self, self.clock, b"")
        download, reader = self.download(self.upstream.listing_of(b"x"))
        self.successResultOf(self.run_download(download))
        self.fails(reader, 0, ContentMismatch)

    def test_media_type(self) -> None:
        """
        The first bytes tell the type; where they do not, the catalogue; where that does not, the storage node.
        """
        for content, catalogue, expected in [
            (b"\x89PNG\r\n\x1a\n" + CONTENT, "text/plain", "image/png"),
            (CONTENT, "text/vtt", "text/vtt"),
            (CONTENT, None, "application/octet-stream"),
        ]:
            self.upstream = Upstream(self, self.clock, content)
            download, reader = self.download(self.upstream.listing_of(content, type=catalogue))
            self.assertEqual(reader.media_type, catalogue)
            self.successResultOf(self.run_download(download))
            self.assertEqual(reader.media_type, expected)
            reader.close()
            self.successResultOf(Deferred.fromCoroutine(self.store.remove("7")))

    # Readers that leave.

    def test_a_reader_that_leaves_harms_nobody(self) -> None:
        """
        A wait that is cancelled concerns that reader alone; without any reader, the download goes on to its end.
        """
        download, reader = self.download()
        other = download.reader()
        waiting, other_waits = reader.wait(0), other.wait(0)
        reader.close()
        self.failureResultOf(waiting)
        other.close()
        self.failureResultOf(other_waits)
        self.successResultOf(self.run_download(download))
        self.assertIsNotNone(self.store.get("7"))

    def test_a_reader_outlives_the_object(self) -> None:
        """
        Who reads an object that is evicted meanwhile reads it to the end, and its space counts until then.
        """
        download, reader = self.download()
        self.successResultOf(self.run_download(download))
        self.successResultOf(Deferred.fromCoroutine(self.store.remove("7")))
        self.assertTrue(read(reader) == CONTENT)
        self.assertEqual(self.store.used, len(CONTENT))
        reader.close()
        reader.close()
        self.assertEqual((self.store.used, reader.available(0)), (0, 0))

    # Storage nodes that fail.

    def test_failover(self) -> None:
        """
        When a node breaks off, the next one is asked for what is missing, and for nothing else.
        """
        self.break_off_at(100_000, 0)
        download, reader = self.download()
        self.successResultOf(self.run_download(download))
        self.assertTrue(read(reader) == CONTENT)
        self.assertEqual(self.upstream.ranges, [None, "bytes=100000-299999"])

    def test_all_break_off(self) -> None:
        """
        Nodes that break off again and again still get the object through, each byte once.
        """
        self.break_off_at(70_000, 0, 1)
        download, reader = self.download()
        self.successResultOf(self.run_download(download))
        self.assertTrue(read(reader) == CONTENT)
        self.assertEqual(sum(request.sent for request in self.upstream.requests), len(CONTENT))

    def test_range_ignored_after_a_failover(self) -> None:
        """
        A node that ignores Range is of use all the same: what is there already is passed over.
        """
        self.break_off_at(100_000, 0)
        self.upstream.nodes[1].faults.always = Fault(ignore_range=True)
        download, reader = self.download()
        self.successResultOf(self.run_download(download))
        self.assertTrue(read(reader) == CONTENT)

    def test_before_the_first_byte(self) -> None:
        """
        Only when a whole round of nodes has failed are the readers told, with the reason.
        """
        for node in self.upstream.nodes:
            node.faults.always = Fault(status=404)
        download, reader = self.download()
        waiting = reader.wait(0)
        self.successResultOf(self.run_download(download))
        self.failureResultOf(waiting, SourcesFailed)
        self.assertEqual(len(self.upstream.requests), 2)

    def test_all_silent(self) -> None:
        """
        When each of them was silent, the reason is a time-out.
        """
        for node in self.upstream.nodes:
            node.faults.always = Fault(hang=True)
        download, reader = self.download()
        waiting = reader.wait(0)
        over = self.run_download(download)
        for _ in self.upstream.nodes:
            self.clock.advance(TIMEOUT_S)
            self.upstream.flush()
        self.failureResultOf(waiting, SourcesTimedOut)
        self.successResultOf(over)

    def test_what_came_is_kept(self) -> None:
        """
        When nothing goes on any more, readers have what came and are told at the hole; the next download goes on from
        there.
        """
        self.upstream.nodes[0].faults.next.append(Fault(cut=Cut(100_000, Ending.CLOSE)))
        for node in self.upstream.nodes:
            node.faults.always = Fault(status=500)
        download, reader = self.download()
        over = self.run_download(download)
        self.pass_time(PATIENCE_S + 15)
        self.successResultOf(over)
        self.assertTrue(read(reader) == CONTENT[:100_000])
        self.fails(reader, 100_000, SourcesFailed)
        self.upstream.nodes[1].faults.always = Fault()
        again, second = self.download()
        self.successResultOf(self.run_download(again))
        self.assertTrue(read(second) == CONTENT)
        self.assertEqual(self.upstream.ranges[-1], "bytes=100000-299999")

    def test_goes_on_after_a_restart(self) -> None:
        """
        So it does in the next life of the node, when the one before was stopped; the hash is that of the whole.
        """
        self.stall_at(100_000)
        download, reader = self.download()
        over = self.run_download(download)
        download.stop()
        self.successResultOf(over)
        self.fails(reader, 100_000, Overloaded)
        reader.close()
        self.successResultOf(Deferred.fromCoroutine(self.store.stop()))
        self.store = started_store(self, self.clock, directory=self.directory)
        self.upstream.nodes[0].faults.always = Fault()
        again, second = self.download()
        self.successResultOf(self.run_download(again))
        self.assertTrue(read(second) == CONTENT)
        self.assertEqual(self.upstream.ranges, [None, "bytes=100000-299999"])

    def test_recorded_while_it_fills(self) -> None:
        """
        Every few seconds the index learns what is in the file, so that a node which is killed fetches little again.
        """
        self.stall_at(100_000)
        download, _ = self.download()
        with mock.patch("distributor.transfer.records.RECORD_EVERY_BYTES", 50_000):
            over = self.run_download(download)
        killed = started_store(self, self.clock, directory=self.directory)
        allocation = self.successResultOf(Deferred.fromCoroutine(killed.allocate(self.upstream.listing.object)))
        [(start, stop)] = allocation.extents
        self.assertEqual(start, 0)
        self.assertGreaterEqual(stop, 50_000)
        self.successResultOf(Deferred.fromCoroutine(allocation.suspend(allocation.extents)))
        download.stop()
        self.successResultOf(over)

    def test_tried_again_with_growing_delay(self) -> None:
        """
        Once bytes have come, a node that is away for a while is asked again and again, ever less often; readers wait.
        """
        self.upstream = Upstream(self, self.clock, CONTENT)
        self.upstream.nodes[0].faults.next.append(Fault(cut=Cut(100_000, Ending.CLOSE)))
        self.upstream.nodes[0].faults.next.extend([Fault(status=503)] * 4)
        download, reader = self.download()
        over = self.run_download(download)
        asked_at = []
        while not over.called:
            before = len(self.upstream.requests)
            self.pass_time(0.5)
            if len(self.upstream.requests) > before:
                asked_at.append(self.clock.seconds())
        self.assertTrue(read(reader) == CONTENT)
        self.assertEqual([after - before for before, after in pairwise(asked_at)], [1.0, 2.0, 4.0])

    # Seeks.

    def test_a_seek_is_served_at_once(self) -> None:
        """
        A reader far ahead of what has come gets a request of its own, and nothing is asked for twice.
        """
        size = 2_000_000
        self.upstream = Upstream(self, self.clock, payload(size))
        self.stall_at(100_000)
        download, reader = self.download()
        over = self.run_download(download)
        self.assertFalse(reader.external)
        self.upstream.nodes[0].faults.always = Fault()
        far = download.reader([ByteRange(1_500_000, size)])
        waiting = far.wait(1_500_000)
        self.upstream.flush()
        self.assertIsNone(self.successResultOf(waiting))
        self.assertTrue(far.external)
        self.assertTrue(read(far, 1_500_000) == self.upstream.content[1_500_000:-1])
        self.assertEqual(self.upstream.ranges, [None, "bytes=1500000-1999999"])
        far.close()
        self.pass_time(TIMEOUT_S)
        self.successResultOf(over)
        self.assertTrue(read(reader) == self.upstream.content)
        self.assertEqual(self.upstream.ranges[2:], ["bytes=100000-1499999"])

    def test_bytes_that_came_early_are_part_of_the_hash(self) -> None:
        """
        An object that came in several parts, in any order, is verified as a whole.
        """
        size = 2_000_000
        self.upstream = Upstream(self, self.clock, payload(size))
        ranges = [ByteRange(start, start + 100_000) for start in (1_900_000, 600_000, 1_200_000)]
        download, last = self.download(ranges=ranges[:1])
        others = [download.reader([wanted]) for wanted in ranges[1:]]
        self.successResultOf(self.run_download(download))
        self.assertTrue(read(last) == self.upstream.content)
        self.assertEqual(sum(request.sent for request in self.upstream.requests), size)
        for other in others:
            other.close()

    def test_the_head_comes_with_a_seek(self) -> None:
        """
        Where only the first bytes can tell the media type, they are asked for beside the bytes that are wanted.
        """
        content = b"\x89PNG\r\n\x1a\n" + payload(2_000_000)
        self.upstream = Upstream(self, self.clock, content)
        download, reader = self.download(ranges=[ByteRange(1_500_000, 1_600_000)])
        waiting = reader.wait(1_500_000)
        self.successResultOf(self.run_download(download))
        self.assertIsNone(self.successResultOf(waiting))
        self.assertEqual(reader.media_type, "image/png")
        self.assertEqual(self.upstream.ranges[:2], ["bytes=1500000-2000007", "bytes=0-1048575"])

    def test_only_nodes_without_ranges(self) -> None:
        """
        Where all nodes ignore Range, a seek waits for one transfer from the beginning, and the next ones know.
        """
        size = 2_000_000
        self.upstream = Upstream(self, self.clock, payload(size))
        self.upstream.nodes[0].faults.always = Fault(ignore_range=True)
        download, reader = self.download(ranges=[ByteRange(1_500_000, size)])
        self.successResultOf(self.run_download(download))
        self.assertTrue(read(reader, 1_500_000) == self.upstream.content[1_500_000:])
        self.assertLessEqual(len(self.upstream.requests), 2)

    def test_a_node_without_ranges_beside_one_with(self) -> None:
        """
        A node that ignores Range is not asked for parts where another one honours it.
        """
        size = 2_000_000
        self.upstream = Upstream(self, self.clock, payload(size), count=2)
        self.upstream.nodes[0].faults.always = Fault(ignore_range=True)
        download, reader = self.download(ranges=[ByteRange(1_500_000, size)])
        self.successResultOf(self.run_download(download))
        self.assertTrue(read(reader, 1_500_000) == self.upstream.content[1_500_000:])
        self.assertIn("bytes=1500000-1999999", [each.range_header for each in self.upstream.nodes[1].requests])

    # Wrong bytes.

    def test_a_wrong_byte_that_nobody_got(self) -> None:
        """
        A copy that turns out wrong is replaced by one from another node, and a reader who got none of the wrong bytes
        goes on as if nothing had happened.
        """
        self.upstream.nodes[0].faults.next.append(Fault(flip_at=200_000))
        download, reader = self.download()
        self.assertEqual(reader.available(0), 0)
        self.successResultOf(self.run_download(download))
        self.assertTrue(read(reader) == CONTENT)
        self.assertEqual([len(node.requests) for node in self.upstream.nodes], [1, 1])
        distrusts = self.upstream.client.standings.distrusts
        self.assertEqual([distrusts(address) for address in self.upstream.addresses], [True, False])

    def test_a_wrong_byte_that_somebody_got(self) -> None:
        """
        Who was given a wrong byte is cut; who has read other parts goes on.
        """
        self.stall_at(250_000)
        self.upstream.nodes[0].faults.always = evolve(self.upstream.nodes[0].faults.always, flip_at=5)
        download, reader = self.download()
        over = self.run_download(download)
        self.assertEqual(len(read(reader)), 250_000)
        other = download.reader([ByteRange(100, 300_000)])
        self.assertEqual(len(read(other, 100)), 249_900)
        waiting, other_waits = reader.wait(250_000), other.wait(250_000)
        self.upstream.nodes[0].faults.always = Fault()
        self.pass_time(TIMEOUT_S)
        self.successResultOf(over)
        self.failureResultOf(waiting, ContentMismatch)
        self.assertIsNone(self.successResultOf(other_waits))
        self.assertTrue(read(other, 250_000) == CONTENT[250_000:])
        self.assertEqual(reader.available(0), 0)
        other.close()
        self.assertIsNotNone(self.store.get("7"))

    def test_the_one_who_lied_is_told_apart(self) -> None:
        """
        Of several that had a part in a wrong copy, only who brought what was wrong is distrusted.
        """
        self.upstream = Upstream(self, self.clock, CONTENT, count=3)
        self.upstream.nodes[0].faults.always = Fault(cut=Cut(100_000, Ending.CLOSE))
        self.upstream.nodes[1].faults.always = Fault(flip_at=200_000)
        download, reader = self.download()
        self.successResultOf(self.run_download(download))
        self.assertTrue(read(reader) == CONTENT)
        self.assertEqual(
            [self.upstream.client.standings.distrusts(address) for address in self.upstream.addresses],
            [False, True, False],
        )

    def test_nobody_has_a_right_copy(self) -> None:
        """
        Where each node gives a wrong copy, readers are cut, nothing is kept, and the next download begins anew.
        """
        for node in self.upstream.nodes:
            node.faults.always = Fault(flip_at=5)
        download, reader = self.download()
        at_the_end = reader.wait(len(CONTENT) - 1)
        self.successResultOf(self.run_download(download))
        self.failureResultOf(at_the_end, ContentMismatch)
        self.assertEqual((reader.available(0), self.store.get("7")), (0, None))
        reader.close()
        self.upstream.nodes[1].faults.always = Fault()
        again, second = self.download()
        self.successResultOf(self.run_download(again))
        self.assertTrue(read(second) == CONTENT)

    def test_one_node_alone_that_is_wrong(self) -> None:
        """
        A node that gave all of a wrong copy is not asked for another one; wherever the wrong byte is, it is noticed.
        """
        for position in (0, 150_000, len(CONTENT) - 1):
            self.upstream = Upstream(self, self.clock, CONTENT)
            self.upstream.nodes[0].faults.next.append(Fault(flip_at=position))
            download, reader = self.download()
            self.successResultOf(self.run_download(download))
            self.fails(reader, 0, ContentMismatch)
            self.assertEqual(len(self.upstream.requests), 1)
            reader.close()

    # Files that are there already.

    def adopted(self, content: bytes) -> tuple[Download, DownloadReader]:
        """
        A download of an object whose file another program has left in the store.
        """
        directory = Path(self.mktemp())
        (directory / "assets").mkdir(parents=True)
        (directory / "assets" / "7").write_bytes(content)
        self.directory = directory
        self.store = started_store(self, self.clock, directory=directory)
        return self.download()

    def test_adopted(self) -> None:
        """
        A complete file that nobody has verified is verified, and served, without a storage node.
        """
        download, reader = self.adopted(CONTENT)
        self.successResultOf(self.run_download(download))
        self.assertTrue(read(reader) == CONTENT)
        self.assertEqual((self.upstream.requests, download.cache_state), ([], CacheState.HIT))

    def test_adopted_and_wrong(self) -> None:
        """
        One that turns out to be wrong is replaced by what a storage node has.
        """
        download, reader = self.adopted(b"x" + CONTENT[1:])
        self.successResultOf(self.run_download(download))
        self.assertTrue(read(reader) == CONTENT)
        self.assertEqual(self.upstream.ranges, [None])

    # The disk.

    def test_no_room(self) -> None:
        """
        A store that is too small says so, and nothing is asked of a storage node.
        """
        store = started_store(self, self.clock, capacity=len(CONTENT) - 1)
        download, reader = self.download(store=store)
        waiting = reader.wait(0)
        self.successResultOf(self.run_download(download))
        self.failureResultOf(waiting, NoRoom)
        self.assertEqual(self.upstream.requests, [])

    def test_full_disk(self) -> None:
        """
        When the disk refuses more, readers have what is there and are told at the hole; the space is given back.
        """
        download, reader = self.download()

        def pwritev(fd: int, views: list[memoryview], offset: int) -> int:
            if offset >= 100_000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return os.pwrite(fd, b"".join(views)[: 100_000 - offset], offset)

        self.upstream.nodes[0].faults.next.append(Fault(cut=Cut(100_000, Ending.STALL)))
        with mock.patch.object(os, "pwritev", pwritev):
            over = self.run_download(download)
            self.pass_time(TIMEOUT_S)
            self.successResultOf(over)
        self.assertTrue(read(reader) == CONTENT[:100_000])
        self.fails(reader, 100_000, DiskFailed)
        reader.close()
        self.assertEqual(self.store.used, 0)

    def test_a_disk_that_cannot_keep_it(self) -> None:
        """
        An object that has been verified and cannot be moved into the store is still read to its end.
        """
        download, reader = self.download()
        with mock.patch.object(os, "rename", side_effect=OSError(errno.EIO, "Input/output error")):
            self.successResultOf(self.run_download(download))
        self.assertTrue(read(reader) == CONTENT)
        self.assertIsNone(self.store.get("7"))
        reader.close()

    # Stopping.

    def test_stopped_before_it_ran(self) -> None:
        """
        A download that is stopped in the queue tells its readers, and does nothing.
        """
        download, reader = self.download()
        waiting = reader.wait(0)
        download.stop()
        self.clock.advance(0)
        self.failureResultOf(waiting, Overloaded)
        self.successResultOf(self.run_download(download))
        self.assertEqual(self.upstream.requests, [])
