"""
Tests for L{distributor.sources.storage_node}, against a storage node in memory.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IAgent, IResponse
from zope.interface import implementer

from distributor.devnet import Fault
from distributor.model import ByteRange, FaultKind, StorageNode
from distributor.model import Fault as Evidence
from distributor.sources import Agents, Body, SourceError, StorageNodes
from tests.upstream import AT_ONCE, TIMEOUT_S, Upstream, payload

CONTENT = payload(1000)


class FetchTests(SynchronousTestCase):
    """
    What is asked, and which answers are usable.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.upstream = Upstream(self, self.clock, CONTENT)

    def fetch(self, start: int = 0, stop: int = len(CONTENT)) -> Deferred[Body]:
        """
        Ask for a run of the object.
        """
        [address] = self.upstream.addresses
        fetched = self.upstream.client.fetch(address, "7", len(CONTENT), ByteRange(start, stop))
        result = Deferred.fromCoroutine(fetched)
        self.upstream.flush()
        return result

    def refused(self, fault: Fault, start: int = 0, stop: int = len(CONTENT)) -> str:
        """
        Why the answer of a node with C{fault} is not usable.
        """
        self.upstream.nodes[0].faults.always = fault
        error = self.failureResultOf(self.fetch(start, stop), SourceError).value
        self.assertIsInstance(error, SourceError)
        return str(error)

    def test_whole(self) -> None:
        """
        The whole object is asked for without C{Range}, unpacked, with this program's name.
        """
        body = self.successResultOf(self.fetch())
        self.assertEqual((body.start, body.stop, self.upstream.ranges), (0, 1000, [None]))
        [headers] = self.upstream.sent_headers
        self.assertEqual(headers.getRawHeaders("User-Agent"), ["distributor/test"])
        self.assertEqual(headers.getRawHeaders("Accept-Encoding"), ["identity"])

    def test_range(self) -> None:
        """
        A part is asked for by its offsets.
        """
        body = self.successResultOf(self.fetch(10, 20))
        self.assertEqual((body.start, body.stop, self.upstream.ranges), (10, 20, ["bytes=10-19"]))

    def test_range_ignored(self) -> None:
        """
        A 200 to a request with C{Range} is the object from its start.
        """
        self.upstream.nodes[0].faults.always = Fault(ignore_range=True)
        body = self.successResultOf(self.fetch(10, 20))
        self.assertEqual((body.start, body.stop), (0, 1000))

    def test_statuses(self) -> None:
        """
        Whatever is neither 200 nor 206 is a failure of that node; a redirect is not followed.
        """
        self.assertEqual(self.refused(Fault(status=404)), "status 404")
        self.assertEqual(self.refused(Fault(status=500)), "status 500")
        self.assertEqual(self.refused(Fault(redirect="http://node0.example/api/v1/files/7")), "status 302")
        self.assertEqual((len(self.upstream.requests), self.upstream.reported), (3, []))

    def test_well(self) -> None:
        """
        A node without the object is well; one that answers with any other status is not.
        """
        for status, well in ((404, True), (410, True), (403, False), (500, False), (503, False)):
            self.upstream.nodes[0].faults.always = Fault(status=status)
            self.assertEqual(self.failureResultOf(self.fetch(), SourceError).value.well, well)

    def test_wrong_length(self) -> None:
        """
        A length other than the object's is noticed before a byte is taken.
        """
        self.assertEqual(self.refused(Fault(content_length=999)), "Content-Length 999 for 1000 bytes")
        self.assertEqual(self.reported, [("wrong_length", "1000", "999")])

    @property
    def reported(self) -> list[tuple[str, str, str]]:
        """
        The evidence against the node: what was wrong, what was expected, and what came.
        """
        return [(fault.kind.value, fault.expected, fault.got) for fault in self.upstream.reported]

    def test_evidence(self) -> None:
        """
        What is reported names the object, the node and its bucket, and the time.
        """
        self.clock.advance(1_700_000_000.0)
        self.refused(Fault(content_length=999))
        expected = Evidence(
            "7", "http://node0.example/", "0", FaultKind.WRONG_LENGTH, "1000", "999", 0, 1_700_000_000.0
        )
        self.assertEqual(self.upstream.reported, [expected])

    def test_wrong_content_range(self) -> None:
        """
        So is a C{Content-Range} that is not what was asked for, or not of this object, or none.
        """
        for value in ("bytes 11-19/1000", "bytes 10-19/999", "bytes 10-19", "items 10-19/1000", "bytes 10-19/1000, x"):
            self.refused(Fault(content_range=value), 10, 20)
        self.assertEqual(self.reported, [("wrong_length", "1000", "999")])

    def test_unknown_size_in_content_range(self) -> None:
        """
        A node need not say how large the object is (RFC 9110 §14.4).
        """
        self.upstream.nodes[0].faults.always = Fault(content_range="bytes 10-19/*")
        self.successResultOf(self.fetch(10, 20))

    def test_packed(self) -> None:
        """
        What is packed although nobody asked for it is a failure, and is not unpacked in silence.
        """
        self.assertIn("Content-Encoding gzip", self.refused(Fault(gzip=True)))

    def test_silence(self) -> None:
        """
        A node that does not answer is given up after the time-out, and not before.
        """
        self.upstream.nodes[0].faults.always = Fault(hang=True)
        asked = self.fetch()
        self.clock.advance(TIMEOUT_S - 0.1)
        self.assertNoResult(asked)
        self.clock.advance(0.2)
        error = self.failureResultOf(asked, SourceError).value
        self.assertTrue(error.timed_out)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_refused_connection(self) -> None:
        """
        A node that is not there is a failure like any other, and not a time-out.
        """
        self.upstream.unplug(0)
        error = self.failureResultOf(self.fetch(), SourceError).value
        self.assertFalse(error.timed_out)

    def test_endpoint_with_and_without_slash(self) -> None:
        """
        Whether an endpoint ends with a slash makes no difference.
        """
        for endpoint in ("http://node0.example", "http://node0.example/", "http://node0.example//"):
            fetched = self.upstream.client.fetch(StorageNode("0", endpoint, True), "7", 1000, ByteRange(0, 1000))
            result = Deferred.fromCoroutine(fetched)
            self.upstream.flush()
            self.assertEqual(self.successResultOf(result).stop, 1000)

    def test_trusted_or_checked(self) -> None:
        """
        Only nodes that the operator named are asked by way of connections that may go anywhere.
        """
        asked: list[str] = []

        @implementer(IAgent)
        class Remembering:
            def __init__(self, name: str) -> None:
                self._name = name

            def request(self, *request: object) -> Deferred[IResponse]:
                asked.append(self._name)
                return fail(ConnectionRefusedError())

        client = StorageNodes(Agents(Remembering("trusted"), Remembering("checked")), self.clock, "x", TIMEOUT_S, 1)
        for trusted in (True, False):
            node = StorageNode("0", "http://a.example/", trusted)
            fetched = Deferred.fromCoroutine(client.fetch(node, "7", 1000, ByteRange(0, 1000)))
            self.failureResultOf(fetched, SourceError)
        self.assertEqual(asked, ["trusted", "checked"])

    def test_nonsense_endpoint(self) -> None:
        """
        An endpoint that is no URL is a failure of that node, not of the program.
        """
        for endpoint in ("", "nonsense", "http://", "http://[::1", "ftp://a/", "http://a:0/"):
            fetched = self.upstream.client.fetch(StorageNode("0", endpoint), "7", 1000, ByteRange(0, 1000))
            self.failureResultOf(Deferred.fromCoroutine(fetched), SourceError)


class LearningTests(SynchronousTestCase):
    """
    What is remembered of each storage node, by its endpoint.
    """

    def setUp(self) -> None:
        self.upstream = Upstream(self, Clock(), CONTENT, count=2)
        self.client = self.upstream.client
        self.one, self.other = self.upstream.addresses

    def test_ranges(self) -> None:
        """
        Who has ignored C{Range} is known for it, under whatever id.
        """
        self.client.standings.remember_ignoring_ranges(self.one)
        renamed = StorageNode("x", self.one.endpoint)
        self.assertEqual(
            [self.client.standings.ignores_ranges(each) for each in (self.one, renamed, self.other)], [1, 1, 0]
        )

    def test_lies(self) -> None:
        """
        Lies are counted, and one is enough to be distrusted.
        """
        self.assertFalse(self.client.standings.distrusts(self.one))
        self.assertEqual([self.client.standings.lied(self.one) for _ in range(3)], [1, 2, 3])
        self.assertEqual(self.client.standings.lied(self.other), 1)
        self.assertTrue(self.client.standings.distrusts(StorageNode("x", self.one.endpoint)))

    def test_rates(self) -> None:
        """
        Of rates the last one counts; the best of several nodes is that of those of which one is known.
        """
        self.assertIsNone(self.client.standings.best_rate(self.upstream.addresses))
        self.client.standings.note_rate(self.one, 100.0)
        self.client.standings.note_rate(self.one, 50.0)
        self.assertEqual(self.client.standings.best_rate(self.upstream.addresses), 50.0)
        self.assertIsNone(self.client.standings.best_rate([self.other]))
        self.client.standings.note_rate(self.other, 70.0)
        self.assertEqual(self.client.standings.best_rate(self.upstream.addresses), 70.0)
        self.assertIsNone(self.client.standings.best_rate([]))

    def test_spare_places(self) -> None:
        """
        A request that can be done without is made only where nobody waits for a place, and one at a time of so few.
        """
        self.assertTrue(self.client.take_spare_place())
        self.assertFalse(self.client.take_spare_place())
        taken = [Deferred.fromCoroutine(self.client.take_place()) for _ in range(AT_ONCE)]
        self.assertEqual([place.called for place in taken], [True] * (AT_ONCE - 1) + [False])
        self.client.leave_spare_place()
        self.assertTrue(taken[-1].called)
        self.assertFalse(self.client.take_spare_place())
        self.client.leave_place()
        self.assertTrue(self.client.take_spare_place())

    def test_places(self) -> None:
        """
        So many requests are made at once, and the next when one of them is over, in the order in which they came.
        """
        taken = [Deferred.fromCoroutine(self.client.take_place()) for _ in range(AT_ONCE + 3)]
        self.assertEqual([place.called for place in taken], [True] * AT_ONCE + [False] * 3)
        taken[AT_ONCE].cancel()
        self.failureResultOf(taken[AT_ONCE], CancelledError)
        self.client.leave_place()
        self.assertEqual([place.called for place in taken[AT_ONCE + 1 :]], [True, False])
