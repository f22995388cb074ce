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
        self.build()
        self.addCleanup(lambda: self.successResultOf(Deferred.fromCoroutine(self.downloads.stop())))

    def build(self, queue_length: int = 1) -> None:
        """
        Two at once.
        """
        self.downloads = Downloads(
            self.store,
            self.upstream.client,
            self.clock,
            in_thread,
            Sparse(self.clock, Logger()),
            at_once=2,
            queue_length=queue_length,
            patience_s=60.0,
        )

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

    def hang(self, *object_ids: str) -> None:
        """
        Storage nodes say nothing of these.
        """
        for object_id in object_ids:
            self.upstream.nodes[0].faults.by_object[object_id] = Fault(hang=True)

    def test_queue(self) -> None:
        """
        Those that somebody waits for come first, the oldest of them first; then the others, the oldest first.
        """
        self.build(queue_length=10)
        self.hang(*"123456")
        readers = {object_id: self.downloads.start(self.listing(object_id), ()) for object_id in "123456"}
        readers["3"].close()
        readers["5"].close()
        order: list[str] = []
        for object_id in "124635":
            self.assertEqual(len(self.asked()), len(order) + 2 if len(order) < 5 else 6)
            order.append(object_id)
            download = self.downloads.get(object_id)
            assert download is not None
            download.stop()
        self.assertEqual(self.asked(), list("124635"))

    def test_a_reader_joins_the_queue(self) -> None:
        """
        Who joins a download that nobody waited for brings it forward.
        """
        self.build(queue_length=10)
        self.hang(*"1234")
        readers = {object_id: self.downloads.start(self.listing(object_id), ()) for object_id in "1234"}
        readers["3"].close()
        readers["4"].close()
        joined = self.downloads.get("4")
        assert joined is not None
        reader = joined.reader()
        self.asked()
        first = self.downloads.get("1")
        assert first is not None
        first.stop()
        self.assertEqual(self.asked(), ["1", "2", "4"])
        reader.close()

    def test_in_order(self) -> None:
        """
        They are listed in the order in which they were started.
        """
        self.build(queue_length=10)
        self.hang(*"951")
        for object_id in "951":
            self.downloads.start(self.listing(object_id), ())
        self.assertEqual([download.object.id for download in self.downloads], list("951"))

    def test_progress(self) -> None:
        """
        Each knows how far it is, who reads it, and where it comes from.
        """
        self.upstream.nodes[0].faults.by_object["1"] = Fault(cut=Cut(50_000, Ending.STALL))
        self.hang("2")
        for object_id in "123":
            self.downloads.start(self.listing(object_id), ())
        first = self.downloads.get("1")
        assert first is not None
        first.reader()
        self.asked()
        self.clock.advance(2 - self.clock.seconds())
        one, two, three = (download.progress() for download in self.downloads)
        self.assertEqual((one.id, one.state, one.size, one.present, one.readers), ("1", "filling", 100_000, 50_000, 2))
        self.assertEqual((one.sources, one.rate, one.seconds_left), (("http://node0.example/",), 25_000, 2.0))
        self.assertEqual((two.state, two.present, two.rate, two.seconds_left), ("filling", 0, 0, None))
        self.assertEqual((three.state, three.present, three.sources), ("queued", 0, ()))
        self.assertEqual(
            str(one),
            "object 1 filling: 50 % of 0.1 MiB at 0.0 MiB/s, 2 s left; 2 readers, 1 storage nodes",
        )
