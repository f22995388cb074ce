"""
Tests for L{distributor.transfer.backlog}: what a node does for nobody after its start.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from distributor.cache import Store
from distributor.devnet import Cut, Ending, Fault
from distributor.model import (
    ByteRange,
    CatalogueUnavailable,
    DistributorError,
    Listing,
    ObjectNotDistributed,
    ObjectNotFound,
    Overloaded,
)
from distributor.observe import Sparse
from distributor.transfer import Backlog, DownloadReader, Downloads
from distributor.transfer.filling import UNATTENDED_RATE
from distributor.transfer.patience import FIRST_DELAY_S, LONGEST_DELAY_S
from distributor.transfer.verification import STEP
from tests.stored import in_thread, started_store
from tests.upstream import Upstream, payload

CONTENT = payload(300_000)
PATIENCE_S = 60.0


class BacklogTests(SynchronousTestCase):
    """
    Interrupted downloads first, then files that nobody has verified.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.directory = Path(self.mktemp())
        (self.directory / "assets").mkdir(parents=True)
        self.upstream = Upstream(self, self.clock, CONTENT)
        [self.node] = self.upstream.nodes
        for object_id in "123":
            self.node.files[object_id] = self.node.files["7"]
        self.unknown: dict[str, DistributorError] = {}
        self.lookups: list[str] = []
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def adopt(self, object_id: str, content: bytes = CONTENT) -> None:
        """
        Have a complete file that the store will not know.
        """
        (self.directory / "assets" / object_id).write_bytes(content)

    async def lookup(self, object_id: str) -> Listing:
        """
        As the node does.
        """
        self.lookups.append(object_id)
        if object_id in self.unknown:
            raise self.unknown[object_id]
        return self.listing(object_id)

    def listing(self, object_id: str) -> Listing:
        """
        Each object has the same bytes.
        """
        return evolve(self.upstream.listing, object=evolve(self.upstream.listing.object, id=object_id))

    def open(self) -> tuple[Store, Downloads]:
        """
        A node that has just started.
        """
        store = started_store(self, self.clock, directory=self.directory)
        trouble = Sparse(self.clock, Logger())
        downloads = Downloads(
            store,
            self.upstream.client,
            self.clock,
            in_thread,
            trouble,
            at_once=10,
            queue_length=10,
            patience_s=PATIENCE_S,
        )
        return store, downloads

    def start(self) -> Deferred[None]:
        """
        Start a node, and let it catch up as far as it does by itself.
        """
        self.store, self.downloads = self.open()
        done = Deferred.fromCoroutine(Backlog(self.store, self.downloads, self.lookup, self.clock, in_thread).run())
        self.flush()
        return done

    def flush(self) -> None:
        """
        Let everything happen that takes next to no time.
        """
        for _ in range(10):
            self.upstream.flush(20)
            self.clock.advance(len(CONTENT) / UNATTENDED_RATE)

    def stop(self) -> None:
        """
        Stop the node.
        """
        self.successResultOf(Deferred.fromCoroutine(self.downloads.stop()))
        self.successResultOf(Deferred.fromCoroutine(self.store.stop()))

    def interrupt(self, object_id: str, *, read: bool, stop_at: int = 100_000) -> None:
        """
        Be a node that was stopped while it downloaded an object.

        @param read: somebody read it.
        """
        self.node.faults.by_object[object_id] = Fault(cut=Cut(stop_at, Ending.STALL))
        self.store, self.downloads = self.open()
        reader = self.downloads.start(self.listing(object_id), ())
        self.flush()
        if not read:
            reader.close()
        self.stop()
        if read:
            reader.close()
        self.node.faults.by_object.clear()

    def asked(self) -> list[tuple[str, str | None]]:
        """
        What storage nodes were asked for since the last time.
        """
        asked = [(request.object_id, request.range_header) for request in self.node.requests]
        self.node.requests.clear()
        return asked

    def test_goes_on_with_what_was_read(self) -> None:
        """
        An object that somebody waited for is fetched to its end, with nothing of what is there; one that nobody waited
        for is left until somebody does.
        """
        self.interrupt("1", read=True)
        self.interrupt("2", read=False)
        self.asked()
        self.successResultOf(self.start())
        self.assertEqual(self.asked(), [("1", "bytes=100000-299999")])
        self.assertEqual([self.store.get(each) is not None for each in "12"], [True, False])
        self.stop()

    def test_all_at_once(self) -> None:
        """
        One that makes no headway holds up neither the others nor what is to be verified.
        """
        self.interrupt("1", read=True)
        self.interrupt("2", read=True)
        self.adopt("3")
        self.asked()
        self.node.faults.by_object["1"] = Fault(hang=True)
        self.successResultOf(self.start())
        self.assertEqual(self.asked(), [("1", "bytes=100000-299999"), ("2", "bytes=100000-299999")])
        self.assertEqual([self.store.get(each) is not None for each in "123"], [False, True, True])
        self.stop()

    def test_verifies(self) -> None:
        """
        Files that nobody has verified are, without a storage node; one that is wrong is fetched.
        """
        self.adopt("1")
        self.adopt("2", b"x" + CONTENT[1:])
        self.adopt("3")
        self.successResultOf(self.start())
        self.assertEqual(self.asked(), [("2", None)])
        self.assertEqual([self.store.get(each) is not None for each in "123"], [True] * 3)
        self.assertEqual((self.directory / "assets" / "2").read_bytes(), CONTENT)
        self.stop()

    def large(self) -> None:
        """
        An object that takes five steps to verify.
        """
        self.upstream = Upstream(self, self.clock, payload(4 * STEP + 1))
        [self.node] = self.upstream.nodes
        self.node.files["1"] = self.node.files["2"] = self.node.files["7"]

    def test_takes_its_time(self) -> None:
        """
        Verifying is no faster than the rate for what nobody waits for, and one file after another. It is no download.
        """
        self.large()
        for object_id in "12":
            self.adopt(object_id, self.upstream.content)
        began_at = self.clock.seconds()
        done = self.start()
        seen = set()
        while not done.called:
            self.assertEqual(len(self.downloads), 0)
            seen.add(sum(self.store.get(each) is not None for each in "12"))
            self.clock.advance(STEP / UNATTENDED_RATE / 4)
        took_s = self.clock.seconds() - began_at
        late_s = took_s - 2 * len(self.upstream.content) / UNATTENDED_RATE
        self.assertTrue(0 <= late_s < STEP / UNATTENDED_RATE, late_s)
        self.assertEqual((seen, self.asked()), ({0, 1}, []))
        self.stop()

    def test_stopped_while_it_verifies(self) -> None:
        """
        What it was at when the node was stopped is verified after the next start.
        """
        self.large()
        self.adopt("1", self.upstream.content)
        done = self.start()
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.stop()
        again = self.start()
        self.clock.pump([STEP / UNATTENDED_RATE] * 5)
        self.successResultOf(again)
        self.assertIsNotNone(self.store.get("1"))
        self.assertEqual(self.asked(), [])
        self.stop()

    def test_a_reader_overtakes(self) -> None:
        """
        For a reader, the file that is being verified is read as fast as can be.
        """
        self.large()
        self.adopt("1", self.upstream.content)
        done = self.start()
        reader = self.downloads.start(self.listing("1"), (ByteRange(0, len(self.upstream.content)),))
        for _ in range(10):
            self.upstream.flush(20)
        self.assertNoResult(done)
        self.assertEqual(reader.available(0), len(self.upstream.content))
        reader.close()
        self.clock.advance(STEP / UNATTENDED_RATE)
        self.successResultOf(done)
        self.assertIsNotNone(self.store.get("1"))
        self.assertEqual(self.asked(), [])
        self.stop()

    def test_a_request_was_first(self) -> None:
        """
        What somebody has asked for meanwhile is not begun twice.
        """
        self.adopt("1")
        waiting: Deferred[None] = Deferred()

        async def slow(object_id: str) -> Listing:
            await waiting
            return self.listing(object_id)

        for finished in (False, True):
            self.store, self.downloads = self.open()
            done = Deferred.fromCoroutine(Backlog(self.store, self.downloads, slow, self.clock, in_thread).run())
            self.downloads.start(self.listing("1"), ()).close()
            if finished:
                self.flush()
            waiting.callback(None)
            self.flush()
            self.successResultOf(done)
            self.assertIsNotNone(self.store.get("1"))
            self.stop()
            (self.directory / "state" / "index.sqlite3").unlink()
            waiting = Deferred()
        self.assertEqual(self.asked(), [])

    def test_not_listed(self) -> None:
        """
        A file of which the catalogue knows nothing is left alone, and so is another node's; the rest is verified.
        """
        for object_id in "123":
            self.adopt(object_id)
        self.unknown = {"1": ObjectNotFound("1"), "2": ObjectNotDistributed("2")}
        self.successResultOf(self.start())
        self.assertEqual(sorted(self.lookups), ["1", "2", "3"])
        self.assertEqual((set(self.store.unverified), self.store.get("3") is not None), ({"1", "2"}, True))
        self.stop()

    def test_catalogue_away(self) -> None:
        """
        Without a catalogue it waits for it, longer each time, and then does all of it.
        """
        for object_id, read in (("1", False), ("2", True)):
            self.adopt("1")
            if read:
                self.interrupt(object_id, read=True)
            self.unknown = {each: CatalogueUnavailable() for each in "12"}
            self.lookups.clear()
            done = self.start()
            self.clock.advance(FIRST_DELAY_S)
            self.assertEqual(self.lookups, [object_id] * 2)
            self.clock.advance(FIRST_DELAY_S)
            self.assertEqual(self.lookups, [object_id] * 2)
            self.unknown.clear()
            self.clock.advance(FIRST_DELAY_S)
            self.flush()
            self.successResultOf(done)
            self.assertIsNotNone(self.store.get(object_id))
            self.stop()

    def test_too_much_to_do(self) -> None:
        """
        Where too many downloads wait already, it comes later.
        """
        self.interrupt("1", read=True)
        start, refused = Downloads.start, 2

        def refuse(downloads: Downloads, listing: Listing, ranges: Sequence[ByteRange]) -> DownloadReader:
            nonlocal refused
            if refused:
                refused -= 1
                raise Overloaded("too many")
            return start(downloads, listing, ranges)

        self.patch(Downloads, "start", refuse)
        done = self.start()
        self.clock.advance(LONGEST_DELAY_S)
        self.assertNoResult(done)
        self.clock.advance(LONGEST_DELAY_S)
        self.flush()
        self.successResultOf(done)
        self.assertIsNotNone(self.store.get("1"))
        self.stop()

    def test_storage_nodes_away(self) -> None:
        """
        A download that cannot go on leaves what there is, and the next request goes on from there.
        """
        self.interrupt("1", read=True)
        self.node.faults.always = Fault(status=503)
        self.successResultOf(self.start())
        for _ in range(round(2 * PATIENCE_S)):
            self.clock.advance(1)
            self.flush()
        self.assertEqual(len(self.downloads), 0)
        self.node.faults.always = Fault()
        self.asked()
        self.downloads.start(self.listing("1"), ()).close()
        self.flush()
        self.assertEqual(self.asked(), [("1", "bytes=100000-299999")])
        self.stop()
