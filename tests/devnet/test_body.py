"""
Tests for L{distributor.devnet.body}, through a real HTTP channel.
"""

from __future__ import annotations

import os
from pathlib import Path

from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from distributor.devnet.body import CHUNK, SETTLE_S
from distributor.devnet.faults import Cut, Drip, Ending, Fault
from distributor.devnet.media_file import MediaFile
from distributor.devnet.storage_node import StorageNode
from tests.devnet.connection import Connection, Received

ROOM = 64 * 1024
SIZE = 1_000_003
# Prime, so that no chunk looks like another.
CONTENT = (os.urandom(65_521) * (SIZE // 65_521 + 1))[:SIZE]


class BodyTests(SynchronousTestCase):
    """
    The bytes of a file, on their way to one reader.
    """

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.path.write_bytes(CONTENT)
        self.clock = Clock()
        self.node = StorageNode({"7": MediaFile.at(self.path)}, self.clock)
        self.before = self.open_files()

    def open_files(self) -> int:
        return len(os.listdir("/proc/self/fd"))

    def get(self, node: StorageNode, room: int | None = ROOM, **headers: str) -> Connection:
        connection = Connection(node.site(), room)
        connection.send("/api/v1/files/7", **headers)
        return connection

    def cut(self, after: int, ending: Ending) -> Connection:
        self.node.faults.always = Fault(cut=Cut(after, ending))
        return self.get(self.node, room=None)

    def assert_over(self, connection: Connection) -> None:
        """
        The file is closed already, and once the connection is, nothing is left to happen.
        """
        self.assertEqual(self.open_files(), self.before)
        connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_slow_reader_holds_the_file_back(self) -> None:
        """
        No more is read than the transport has room for and one chunk, until the reader takes what is there.
        """
        connection = self.get(self.node)
        self.assertTrue(verifyObject(IPushProducer, connection.protocol._channel._requestProducer))
        self.assertLessEqual(self.node.requests[0].sent, ROOM + CHUNK)
        while connection.transport.drain():
            self.assertLessEqual(connection.transport.largest, ROOM + CHUNK + 1024)
        self.assertEqual(Received.parse(connection.transport.taken).body, CONTENT)
        self.assertTrue(self.node.requests[0].finished)
        self.assert_over(connection)

    def test_reader_that_leaves_ends_the_reading(self) -> None:
        """
        The file is closed, once, though the channel tells of it twice.
        """
        connection = self.get(self.node)
        connection.lose()
        self.assertEqual(self.open_files(), self.before)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertFalse(self.node.requests[0].finished)

    def test_rate_is_kept(self) -> None:
        """
        A quarter of a second at one megabyte a second brings a quarter of a megabyte.
        """
        node = StorageNode(self.node.files, self.clock, rate=1_000_000)
        connection = self.get(node, room=None)
        self.clock.pump([0.01] * 25)
        body = Received.parse(connection.transport.value()).body
        self.assertLessEqual(abs(len(body) - 250_000), 10_001)
        self.assertTrue(CONTENT.startswith(body))
        connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_rate_is_shared_by_connections(self) -> None:
        """
        Two readers get half of it each, and the one that stays gets all.
        """
        node = StorageNode(self.node.files, self.clock, rate=1_000_000)
        one, other = self.get(node, room=None), self.get(node, room=None)
        self.clock.pump([0.01] * 20)
        for served in node.requests:
            self.assertLessEqual(abs(served.sent - 100_000), 10_001)
        other.lose()
        self.clock.pump([0.01] * 20)
        self.assertLessEqual(abs(node.requests[0].sent - 300_000), 10_001)
        one.lose()

    def test_paused_reader_takes_nothing_of_the_rate(self) -> None:
        """
        It leaves its part to the others, and gets its own when it is back.
        """
        node = StorageNode(self.node.files, self.clock, rate=10_000_000)
        stuck = self.get(node)
        self.clock.pump([0.01] * 5)
        held = node.requests[0].sent
        self.assertLessEqual(held, ROOM + CHUNK)
        self.clock.pump([0.01] * 50)
        self.assertEqual(node.requests[0].sent, held)
        stuck.transport.drain()
        self.clock.pump([0.01] * 5)
        self.assertGreater(node.requests[0].sent, held)
        stuck.lose()

    def test_pause_while_waiting_for_the_rate_is_kept(self) -> None:
        """
        A turn that was asked for before the pause does not come after it.
        """
        node = StorageNode(self.node.files, self.clock, rate=10_000_000)
        connection = self.get(node, room=None)
        producer = connection.transport.producer
        assert producer is not None
        producer.pauseProducing()
        self.clock.pump([0.01] * 5)
        self.assertEqual(node.requests[0].sent, 0)
        producer.resumeProducing()
        self.clock.pump([0.01] * 5)
        self.assertGreater(node.requests[0].sent, 0)
        connection.lose()

    def drip(self, stop: int | None, room: int | None = None, cut: Cut | None = None) -> Connection:
        self.node.faults.always = Fault(drip=Drip(10, 0.5, stop), cut=cut)
        return self.get(self.node, room)

    def test_drops_come_one_by_one(self) -> None:
        """
        The head at once, then a few bytes at a time, for as long as anybody listens.
        """
        connection = self.drip(None)
        self.assertEqual(Received.parse(connection.transport.value()).body, b"")
        self.clock.pump([0.5] * 3)
        self.assertEqual(Received.parse(connection.transport.value()).body, CONTENT[:30])
        self.assertEqual(self.node.requests[0].sent, 30)
        connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.open_files(), self.before)

    def test_drops_may_be_over_before_the_body_is(self) -> None:
        """
        What follows comes as usual.
        """
        connection = self.drip(25)
        self.clock.pump([0.5] * 2)
        self.assertEqual(self.node.requests[0].sent, 20)
        self.clock.advance(0.5)
        self.assertEqual(Received.parse(connection.transport.value()).body, CONTENT)
        self.assert_over(connection)

    def test_drops_can_be_cut(self) -> None:
        """
        Where the cut is, which need not be at the end of a drop.
        """
        connection = self.drip(None, cut=Cut(25, Ending.CLOSE))
        self.clock.pump([0.5] * 5)
        self.assertEqual(Received.parse(connection.transport.value()).body, CONTENT[:25])
        self.assert_over(connection)

    def test_no_drop_comes_while_the_reader_pauses(self) -> None:
        """
        And one by one again afterwards.
        """
        connection = self.drip(None)
        producer = connection.transport.producer
        assert producer is not None
        producer.pauseProducing()
        self.clock.pump([0.5] * 3)
        self.assertEqual(self.node.requests[0].sent, 0)
        producer.resumeProducing()
        self.clock.advance(0.5)
        self.assertEqual(self.node.requests[0].sent, 10)
        connection.lose()

    def test_file_that_shrinks_cuts_the_answer(self) -> None:
        """
        Rather than looping, or looking whole.
        """
        connection = self.get(self.node)
        os.truncate(self.path, 100)
        connection.transport.drain()
        self.assertTrue(connection.transport.disconnected)
        self.assertFalse(self.node.requests[0].finished)
        connection.lose()
        self.assertEqual(self.open_files(), self.before)

    def test_cut_with_fin_stops_at_the_byte(self) -> None:
        """
        In order, short of Content-Length.
        """
        connection = self.cut(70_000, Ending.CLOSE)
        received = Received.parse(connection.transport.value())
        self.assertEqual((received.status, received.headers["content-length"]), (200, str(SIZE)))
        self.assertEqual(received.body, CONTENT[:70_000])
        self.assertTrue(connection.transport.disconnecting)
        self.assertFalse(connection.transport.disconnected)
        self.assert_over(connection)

    def test_cut_with_reset_comes_after_the_bytes(self) -> None:
        """
        Which have a moment to arrive.
        """
        connection = self.cut(70_000, Ending.RESET)
        self.assertEqual(Received.parse(connection.transport.value()).body, CONTENT[:70_000])
        self.assertFalse(connection.transport.disconnected)
        self.clock.advance(SETTLE_S)
        self.assertTrue(connection.transport.disconnected)
        self.assert_over(connection)

    def test_reader_may_leave_before_the_reset(self) -> None:
        """
        Then there is nothing to reset.
        """
        connection = self.cut(10, Ending.RESET)
        connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.open_files(), self.before)

    def test_stall_keeps_the_connection_and_sends_no_more(self) -> None:
        """
        For ever, or until the reader leaves.
        """
        connection = self.cut(70_000, Ending.STALL)
        self.clock.advance(100_000)
        self.assertEqual(Received.parse(connection.transport.value()).body, CONTENT[:70_000])
        self.assertFalse(connection.transport.disconnecting)
        connection.lose()
        self.assertEqual(self.open_files(), self.before)

    def test_cut_before_the_first_byte_sends_the_head(self) -> None:
        """
        So that a reader knows the length, and has nothing of it.
        """
        connection = self.cut(0, Ending.CLOSE)
        received = Received.parse(connection.transport.value())
        self.assertEqual((received.headers["content-length"], received.body), (str(SIZE), b""))
        self.assertTrue(connection.transport.disconnecting)
        self.assert_over(connection)

    def test_cut_beyond_the_end_is_none(self) -> None:
        """
        An answer that is over cannot be cut.
        """
        connection = self.cut(SIZE, Ending.RESET)
        self.assertTrue(self.node.requests[0].finished)
        self.assertFalse(connection.transport.disconnecting)
        self.assert_over(connection)
