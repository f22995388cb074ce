"""
Tests for L{distributor.transfer.download}: what comes before there is a file to write it to.
"""

from __future__ import annotations

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from distributor.cache.disk import Disk
from distributor.devnet import Fault
from distributor.model import ByteRange, DiskFailed, DistributorError, Overloaded, SourcesFailed
from tests.delivery.readers import Threads
from tests.stored import started_store
from tests.transfer.downloading import CONTENT, DownloadCase, read
from tests.upstream import AT_ONCE, TIMEOUT_S, Upstream, payload


class AheadTests(DownloadCase):
    """
    Downloads on a disk that takes its time to make a file.
    """

    def setUp(self) -> None:
        super().setUp()
        self.made: Deferred[None] = Deferred()
        create = Disk.create

        async def slowly(disk: Disk, object_id: str) -> int:
            await self.made
            return await create(disk, object_id)

        self.patch(Disk, "create", slowly)

    def make(self) -> None:
        """
        The disk has made the file.
        """
        self.made.callback(None)
        self.upstream.flush()

    def test_asks_meanwhile(self) -> None:
        """
        The storage node is asked at once, and what it gives is there as soon as there is a file.
        """
        download, reader = self.download()
        over = self.run_download(download)
        self.assertEqual((self.upstream.ranges, reader.available(0)), ([None], 0))
        self.make()
        self.successResultOf(over)
        self.assertTrue(read(reader) == CONTENT)
        self.assertEqual(self.upstream.ranges, [None])
        self.assertIsNotNone(self.store.get("7"))

    def test_asks_at_once(self) -> None:
        """
        The first request does not wait for whatever else happens in a turn of the reactor.
        """
        download, _ = self.download()
        over = Deferred.fromCoroutine(download.run())
        self.assertEqual(len(self.upstream.sent_headers), 1)
        self.upstream.flush()
        self.make()
        self.successResultOf(over)

    def test_seeks_meanwhile(self) -> None:
        """
        Readers that come meanwhile are seen to, and told apart from those who need no request of their own.
        """
        content = payload(4_000_000)
        self.upstream = Upstream(self, self.clock, content)
        self.stall_at(50_000)
        download, first = self.download(ranges=[ByteRange(2_000_000, 2_100_000)])
        over = self.run_download(download)
        near = download.reader([ByteRange(2_000_100, 2_000_200)])
        far = download.reader([ByteRange(3_500_000, 3_500_010)])
        self.upstream.flush()
        self.assertEqual([each.external for each in (first, near, far)], [True, False, True])
        waiting = [near.wait(2_000_100), far.wait(3_500_000)]
        self.make()
        self.assertEqual([each.called for each in waiting], [True, True])
        self.assertTrue(read(near, 2_000_100)[:100] == content[2_000_100:2_000_200])
        self.assertTrue(read(far, 3_500_000)[:10] == content[3_500_000:3_500_010])
        for reader in near, far:
            reader.close()
        self.upstream.nodes[0].faults.always = Fault()
        self.pass_time(2 * TIMEOUT_S)
        self.successResultOf(over)

    def test_no_file(self) -> None:
        """
        If the disk cannot make one, readers are told, those who have begun as well, and the storage node is left alone.
        """
        self.stall_at(50_000)
        download, reader = self.download()
        over = self.run_download(download)
        self.successResultOf(reader.wait(0))
        self.assertEqual(reader.early(0, 100), CONTENT[:100])
        waiting = reader.wait(100)
        self.made.errback(Failure(DiskFailed("no")))
        self.upstream.flush()
        self.successResultOf(over)
        self.failureResultOf(waiting, DiskFailed)
        self.assertEqual(len(self.upstream.requests), 1)

    def test_trouble(self) -> None:
        """
        Trouble that nobody has thought of leaves nothing running.
        """
        self.stall_at(50_000)
        download, _ = self.download()
        over = self.run_download(download)
        self.made.errback(Failure(RuntimeError("unforeseen")))
        self.failureResultOf(over, RuntimeError)
        self.assertEqual(self.upstream.client._places.tokens, AT_ONCE)
        download.abandon(DistributorError("unexpected trouble"))
        self.upstream.flush()

    def test_last_batch(self) -> None:
        """
        What is being written when a download is left off is kept.
        """
        jobs = Threads()
        self.made.callback(None)
        self.stall_at(50_000)
        download, _ = self.download(in_thread=jobs)
        over = self.run_download(download)
        self.assertEqual(len(jobs.jobs), 1)
        download.stop()
        self.upstream.flush()
        self.assertNoResult(over)
        jobs.run()
        self.upstream.flush()
        self.successResultOf(over)
        self.assertEqual(self.store.used, 50_000)

    def test_nobody_gives_it(self) -> None:
        """
        If no storage node has it, readers know before there is a file; which then goes again.
        """
        for node in self.upstream.nodes:
            node.faults.always = Fault(status=404)
        download, reader = self.download()
        waiting = reader.wait(0)
        over = self.run_download(download)
        self.failureResultOf(waiting, SourcesFailed)
        self.assertNoResult(over)
        self.make()
        self.successResultOf(over)

    def test_stopped(self) -> None:
        """
        One that is left off meanwhile keeps what has come, if there is a file after all, and comes to its end.
        """
        self.stall_at(50_000)
        download, reader = self.download()
        over = self.run_download(download)
        waiting = reader.wait(50_000)
        download.stop()
        self.upstream.flush()
        self.failureResultOf(waiting, Overloaded)
        self.make()
        self.successResultOf(over)
        self.assertEqual(self.store.used, 50_000)

    def test_room_to_be_made(self) -> None:
        """
        Where something has to go for it, nothing is asked for before it has gone.
        """
        self.made.callback(None)
        self.store = started_store(self, self.clock, capacity=len(CONTENT), directory=self.directory / "small")
        self.directory /= "small"
        first, reader = self.download()
        self.successResultOf(self.run_download(first))
        reader.close()
        self.made = Deferred()
        for node in self.upstream.nodes:
            node.files["8"] = node.files["7"]
        listing = self.upstream.listing
        second, reader = self.download(evolve(listing, object=evolve(listing.object, id="8")))
        over = self.run_download(second)
        self.assertEqual(len(self.upstream.requests), 1)
        self.make()
        self.successResultOf(over)
        self.assertTrue(read(reader) == CONTENT)
        self.assertEqual(len(self.upstream.requests), 2)
