"""
Tests for L{distributor.transfer.segment}: pausing, holding, bounding and stopping, in the middle of an answer.
"""

from __future__ import annotations

from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IProtocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone
from twisted.web.resource import Resource

from distributor.model import ByteRange, Fault, FaultKind, StorageNode
from distributor.sources import Agents, Body, StorageNodes
from distributor.transfer.segment import Segment
from tests.transfer.segment_sink import Sink
from tests.upstream import TIMEOUT_S

WHOLE = ByteRange(0, 100)


class Arriving(StorageNodes):
    """
    Stands for storage nodes: an answer whose bytes come when the test says so.
    """

    def __init__(self, clock: Clock) -> None:
        nowhere = RequestTraversalAgent(Resource())
        self.reported: list[Fault] = []
        agents = Agents(nowhere, nowhere)
        super().__init__(agents, clock, "distributor/test", TIMEOUT_S, 1, self.reported.append)
        self.transport = StringTransport()
        self.protocol: IProtocol | None = None
        self.head: Deferred[None] | None = None
        self.body: ByteRange | None = None

    @property
    def places(self) -> int:
        """
        How many are left.
        """
        return self._places.tokens

    async def fetch(self, node: StorageNode, object_id: str, size: int, wanted: ByteRange) -> Body:
        if self.head is not None:
            await self.head
        self.transport = StringTransport()
        body = self.body or wanted
        return Body(body.start, body.stop, None, self)

    def deliverBody(self, protocol: IProtocol) -> None:
        self.protocol = protocol
        protocol.makeConnection(self.transport)

    def arrive(self, data: bytes) -> None:
        """
        Let bytes come.
        """
        assert self.protocol is not None
        self.protocol.dataReceived(data)


class FlowTests(SynchronousTestCase):
    """
    Pausing, resuming and stopping in the middle.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.nodes = Arriving(self.clock)
        self.addCleanup(lambda: self.assertEqual((self.clock.getDelayedCalls(), self.nodes.places), ([], 1)))

    def segment(self, sink: Sink, wanted: ByteRange = WHOLE, arrive: int = 10) -> Segment:
        """
        One of whose bytes ten have come.
        """
        address = StorageNode("0", "http://node0.example/")
        segment = Segment(self.nodes, address, "7", 100, wanted, sink, self.clock)
        segment.start()
        if arrive:
            self.nodes.arrive(bytes(arrive))
        return segment

    def test_pause(self) -> None:
        """
        While it is paused the connection is too, and the node's silence is not held against it.
        """
        sink = Sink()
        segment = self.segment(sink)
        segment.pause()
        self.assertEqual(self.nodes.transport.producerState, "paused")
        self.clock.advance(10 * TIMEOUT_S)
        self.assertEqual(sink.ends, [])
        segment.stop()

    def test_resume(self) -> None:
        """
        When it goes on, so does the connection, and from then on silence counts.
        """
        sink = Sink()
        segment = self.segment(sink)
        segment.pause()
        self.clock.advance(10 * TIMEOUT_S)
        segment.resume()
        self.assertEqual(self.nodes.transport.producerState, "producing")
        self.nodes.arrive(bytes(10))
        self.assertEqual(len(sink.data), 20)
        self.clock.advance(TIMEOUT_S)
        self.assertEqual(len(sink.ends), 1)

    def test_paused_from_within_the_first_bytes(self) -> None:
        """
        What a response had buffered comes although the sink has paused; the connection is paused after it all the same.
        """
        sink = Sink("pause")
        segment = self.segment(sink)
        self.nodes.transport.resumeProducing()
        self.nodes.arrive(bytes(10))
        self.assertEqual((len(sink.data), self.nodes.transport.producerState), (20, "paused"))
        segment.stop()

    def test_stop_from_within(self) -> None:
        """
        A segment that its sink stops drops the connection, gives nothing more, and does not tell of its end.
        """
        sink = Sink("stop")
        self.segment(sink)
        self.nodes.arrive(bytes(10))
        assert self.nodes.protocol is not None
        self.nodes.protocol.connectionLost(Failure(ConnectionLost()))
        self.assertEqual((len(sink.data), sink.ends, self.nodes.transport.disconnecting), (10, [], True))

    def test_stopped_is_not_failed(self) -> None:
        """
        A node of which bytes have come when it is stopped did what it could; of one that had no time for any, that
        tells nothing.
        """
        for arrive, failures in ((0, 1), (10, 0)):
            address = StorageNode("0", "http://node0.example/")
            self.nodes.standings.failed(address, "refused")
            self.segment(Sink(), arrive=arrive).stop()
            self.assertEqual(self.nodes.standings.of(address).breaker.failures, failures)

    def test_bytes_behind_the_end(self) -> None:
        """
        More bytes than the answer's head promised are an error, and none of them is taken.
        """
        sink = Sink()
        self.segment(sink)
        self.nodes.arrive(bytes(91))
        self.assertEqual((len(sink.data), [str(end) for end in sink.ends]), (10, ["1 bytes too many"]))
        [evidence] = self.nodes.reported
        self.assertEqual((evidence.kind, evidence.expected, evidence.got), (FaultKind.WRONG_LENGTH, "100", "101"))

    def test_a_connection_that_was_read_to_its_end_stays_open(self) -> None:
        """
        The connection of an answer that came whole is left for the next request.
        """
        sink = Sink()
        self.segment(sink)
        self.nodes.arrive(bytes(90))
        assert self.nodes.protocol is not None
        self.nodes.protocol.connectionLost(Failure(ResponseDone()))
        self.assertEqual((sink.ends, self.nodes.transport.disconnecting), ([None], False))

    def test_bound(self) -> None:
        """
        A bound segment brings nothing from there on: it ends well there, and the connection is dropped.
        """
        sink = Sink()
        segment = self.segment(sink)
        segment.bound(30)
        self.assertEqual((segment.stop_offset, sink.ends), (30, []))
        self.nodes.arrive(bytes(50))
        self.assertEqual((len(sink.data), sink.ends, self.nodes.transport.disconnecting), (30, [None], True))
        self.nodes.arrive(bytes(10))
        self.assertEqual((len(sink.data), len(sink.ends)), (30, 1))

    def test_bound_where_it_is(self) -> None:
        """
        Where all of that has come already, it ends at once; twice is harmless, and so is a bound behind its end.
        """
        sink = Sink()
        segment = self.segment(sink)
        segment.bound(200)
        self.assertEqual((segment.stop_offset, sink.ends), (100, []))
        segment.bound(10)
        segment.bound(10)
        self.assertEqual((sink.ends, self.nodes.transport.disconnecting), ([None], True))

    def test_bound_while_it_is_asked_for(self) -> None:
        """
        It can be bound before the answer comes.
        """
        sink = Sink()
        head: Deferred[None] = Deferred()
        self.nodes.head = head
        segment = self.segment(sink, arrive=0)
        segment.bound(20)
        head.callback(None)
        self.nodes.arrive(bytes(50))
        self.assertEqual((len(sink.data), sink.ends), (20, [None]))

    def test_extend(self) -> None:
        """
        An answer that has more than was asked for can be had to its end.
        """
        sink = Sink()
        self.nodes.body = ByteRange(0, 100)
        segment = self.segment(sink, ByteRange(0, 20))
        segment.extend()
        self.nodes.arrive(bytes(90))
        assert self.nodes.protocol is not None
        self.nodes.protocol.connectionLost(Failure(ResponseDone()))
        self.assertEqual((len(sink.data), sink.ends), (100, [None]))

    def test_more_than_was_asked_for(self) -> None:
        """
        Else it is cut where it was to end.
        """
        sink = Sink()
        self.nodes.body = ByteRange(0, 100)
        self.segment(sink, ByteRange(0, 20))
        self.nodes.arrive(bytes(90))
        self.assertEqual((len(sink.data), sink.ends, self.nodes.transport.disconnecting), (20, [None], True))

    def test_whole(self) -> None:
        """
        It is known of an answer whether it is the whole object, while it lasts.
        """
        for wanted, body, expected in (
            (ByteRange(0, 100), ByteRange(0, 100), True),
            (ByteRange(50, 60), ByteRange(0, 100), True),
            (ByteRange(0, 60), ByteRange(0, 60), False),
            (ByteRange(50, 100), ByteRange(50, 100), False),
        ):
            self.nodes.body = body
            segment = self.segment(Sink(), wanted, arrive=5)
            self.assertEqual(segment.is_whole, expected)
            segment.pause()
            self.assertEqual(segment.is_whole, expected)
            segment.stop()
            self.assertFalse(segment.is_whole)

    def test_hold_and_pause(self) -> None:
        """
        What is held and paused goes on only when both have been taken back, in whatever order.
        """
        for first, second in (("release", "resume"), ("resume", "release")):
            segment = self.segment(Sink())
            segment.pause()
            segment.hold()
            segment.pause()
            segment.hold()
            getattr(segment, first)()
            self.assertEqual(self.nodes.transport.producerState, "paused")
            getattr(segment, second)()
            self.assertEqual(self.nodes.transport.producerState, "producing")
            segment.stop()

    def test_held_before_the_answer(self) -> None:
        """
        An answer to a segment that is held or paused meanwhile comes only as far as its connection has it already, and
        the node's silence is not held against it.
        """
        for still, go_on in (("hold", "release"), ("pause", "resume")):
            sink = Sink()
            self.nodes.head = Deferred()
            segment = self.segment(sink, arrive=0)
            getattr(segment, still)()
            self.nodes.head.callback(None)
            self.nodes.head = None
            self.nodes.arrive(bytes(10))
            self.assertEqual(self.nodes.transport.producerState, "paused")
            self.clock.advance(10 * TIMEOUT_S)
            self.assertEqual((len(sink.data), sink.ends), (10, []))
            getattr(segment, go_on)()
            self.assertEqual(self.nodes.transport.producerState, "producing")
            self.clock.advance(TIMEOUT_S)
            self.assertEqual(len(sink.ends), 1)

    def test_how_long_it_is_paused(self) -> None:
        """
        A pause has its time; a hold is none of the plan's business.
        """
        segment = self.segment(Sink())
        segment.hold()
        self.assertIsNone(segment.paused_s)
        segment.pause()
        self.clock.advance(3)
        segment.pause()
        self.clock.advance(3)
        self.assertEqual(segment.paused_s, 6)
        segment.resume()
        self.assertIsNone(segment.paused_s)
        segment.stop()

    def test_rate(self) -> None:
        """
        The rate is what comes lately; there is none for a while after its beginning and after a pause.
        """
        segment = self.segment(Sink(), arrive=0)
        self.assertIsNone(segment.rate)
        for _ in range(4):
            self.clock.advance(1)
            self.nodes.arrive(bytes(10))
        self.clock.advance(1)
        assert segment.rate is not None
        self.assertTrue(5 <= segment.rate <= 10, segment.rate)
        segment.pause()
        self.assertIsNone(segment.rate)
        self.clock.advance(100)
        segment.resume()
        self.assertIsNone(segment.rate)
        self.clock.advance(1)
        self.assertEqual(segment.rate, 0.0)
        segment.stop()

    def test_nothing_after_its_end(self) -> None:
        """
        Once it has ended, whatever is done to it does nothing.
        """
        sink = Sink()
        segment = self.segment(sink)
        self.nodes.arrive(bytes(90))
        segment.bound(5)
        for name in ("pause", "hold", "resume", "release", "stop", "stop"):
            getattr(segment, name)()
        assert self.nodes.protocol is not None
        self.nodes.protocol.connectionLost(Failure(ConnectionLost()))
        self.clock.advance(100)
        self.assertEqual((len(sink.data), sink.ends), (100, [None]))
