"""
Tests for L{distributor.transfer.downloads}.
"""

from __future__ import annotations

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from distributor.devnet import Cut, Ending, Fault
from distributor.model import Listing, Overloaded
from distributor.observe import Sparse
from distributor.transfer import Downloads
from tests.stored import in_thread, started_store
from tests.upstream import Upstream, payload

CONTENT = payload(100_000)


class DownloadsTests(SynchronousTestCase):
    """
    So many at once, the rest in a queue.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.store = started_store(self, self.clock)
        self.upstream = Upstream(self, self.clock, CONTENT)
        [node] = self.upstream.nodes
        for number in range(10):
            node.files[str(number)] = node.files["7"]
        self.downloads = Downloads(
            self.store,
            self.upstream.client,
            self.clock,
            in_thread,
            Sparse(self.clock, Logger()),
            at_once=2,
            queue_length=1,
            patience_s=60.0,
        )
        self.addCleanup(lambda: self.successResultOf(Deferred.fromCoroutine(self.downloads.stop())))

    def listing(self, object_id: str) -> Listing:
        """
        The listing of an object with this id.
        """
        return evolve(self.upstream.listing, object=evolve(self.upstream.listing.object, id=object_id))

    def asked(self) -> list[str]:
        """
        The objects that were asked for, in order.
        """
        self.upstream.flush()
        return [request.object_id for request in self.upstream.requests]

    def test_found_while_it_lasts(self) -> None:
        """
        A download can be found by its object, from its start until the store has that.
        """
        self.downloads.start(self.listing("1"), ())
        download = self.downloads.get("1")
        assert download is not None
        self.assertEqual((download.object.id, len(self.downloads)), ("1", 1))
        over = self.downloads.over(download)
        self.assertNoResult(over)
        self.upstream.flush()
        self.successResultOf(over)
        self.assertEqual((self.downloads.get("1"), len(self.downloads)), (None, 0))
        self.assertIsNotNone(self.store.get("1"))
        self.successResultOf(self.downloads.over(download))

    def test_turns(self) -> None:
        """
        What is more than the limit waits for its turn, which comes when another one is over.
        """
        self.upstream.nodes[0].faults.by_object["1"] = Fault(cut=Cut(10, Ending.STALL))
        self.upstream.nodes[0].faults.by_object["2"] = Fault(cut=Cut(10, Ending.STALL))
        for object_id in "123":
            self.downloads.start(self.listing(object_id), ())
        self.assertEqual(self.asked(), ["1", "2"])
        first = self.downloads.get("1")
        assert first is not None
        first.stop()
        self.assertEqual(self.asked(), ["1", "2", "3"])

    def test_full_queue(self) -> None:
        """
        Beyond the queue there is a clear no.
        """
        self.upstream.nodes[0].faults.always = Fault(hang=True)
        for object_id in "123":
            self.downloads.start(self.listing(object_id), ())
        self.assertRaises(Overloaded, self.downloads.start, self.listing("4"), ())

    def test_stop(self) -> None:
        """
        Stopping ends those that run and those that wait, and lets no other begin.
        """
        self.upstream.nodes[0].faults.always = Fault(hang=True)
        readers = [self.downloads.start(self.listing(object_id), ()) for object_id in "123"]
        self.upstream.flush()
        waiting = [reader.wait(0) for reader in readers]
        self.successResultOf(Deferred.fromCoroutine(self.downloads.stop()))
        self.clock.advance(0)
        for waiter in waiting:
            self.failureResultOf(waiter, Overloaded)
        self.assertEqual(len(self.downloads), 0)
        self.assertRaises(Overloaded, self.downloads.start, self.listing("5"), ())
