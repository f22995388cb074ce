"""
Tests for L{distributor.sources.storage_node}, against a storage node in memory.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from distributor.devnet import Fault
from distributor.model import ByteRange, StorageNode
from distributor.sources import Body, SourceError
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
        self.assertEqual(len(self.upstream.requests), 3)

    def test_wrong_length(self) -> None:
        """
        A length other than the object's is noticed before a byte is taken.
        """
        self.assertEqual(self.refused(Fault(content_length=999)), "Content-Length 999 for 1000 bytes")

    def test_wrong_content_range(self) -> None:
        """
        So is a C{Content-Range} that is not what was asked for, or not of this object, or none.
        """
        for value in ("bytes 11-19/1000", "bytes 10-19/999", "bytes 10-19", "items 10-19/1000", "bytes 10-19/1000, x"):
            self.refused(Fault(content_range=value), 10, 20)

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
            fetched = self.upstream.client.fetch(StorageNode("0", endpoint), "7", 1000, ByteRange(0, 1000))
            result = Deferred.fromCoroutine(fetched)
            self.upstream.flush()
            self.assertEqual(self.successResultOf(result).stop, 1000)

    def test_nonsense_endpoint(self) -> None:
        """
        An endpoint that is no URL is a failure of that node, not of the program.
        """
        for endpoint in ("", "nonsense", "http://", "http://[::1", "ftp://a/"):
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
        self.client.remember_ignoring_ranges(self.one)
        renamed = StorageNode("x", self.one.endpoint)
        self.assertEqual([self.client.ignores_ranges(each) for each in (self.one, renamed, self.other)], [1, 1, 0])

    def test_lies(self) -> None:
        """
        Lies are counted, and one is enough to be distrusted.
        """
        self.assertFalse(self.client.distrusts(self.one))
        self.assertEqual([self.client.lied(self.one) for _ in range(3)], [1, 2, 3])
        self.assertEqual(self.client.lied(self.other), 1)
        self.assertTrue(self.client.distrusts(StorageNode("x", self.one.endpoint)))

    def test_rates(self) -> None:
        """
        Of rates the last one counts; the best of several nodes is that of those of which one is known.
        """
        self.assertIsNone(self.client.best_rate(self.upstream.addresses))
        self.client.note_rate(self.one, 100.0)
        self.client.note_rate(self.one, 50.0)
        self.assertEqual(self.client.best_rate(self.upstream.addresses), 50.0)
        self.assertIsNone(self.client.best_rate([self.other]))
        self.client.note_rate(self.other, 70.0)
        self.assertEqual(self.client.best_rate(self.upstream.addresses), 70.0)
        self.assertIsNone(self.client.best_rate([]))

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
