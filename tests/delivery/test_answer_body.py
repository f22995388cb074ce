"""
Tests for L{distributor.delivery.answer_body}, and through it for what a pump does to an HTTP connection: the real
server of Twisted, over real TCP connections and in memory.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from distributor.delivery.pump import SendfilePump
from distributor.model import ByteRange, DiskFailed, NoRoom, SourcesFailed
from tests.delivery.answering import CONTENT, AnswerCase, GivenSource, bodies, request
from tests.delivery.readers import ScriptedReader


class Memory(StringTransport):
    """
    A transport that has no socket, as TLS has none: it holds so much, then pauses its producer.
    """

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room

    def write(self, data: bytes) -> None:
        super().write(data)
        if len(self.value()) > self._room and self.producer is not None:
            self.producer.pauseProducing()

    def take(self) -> bytes:
        """
        The reader takes all there is.
        """
        data: bytes = self.value()
        self.clear()
        if self.producer is not None:
            self.producer.resumeProducing()
        return data


class InMemoryTests(AnswerCase):
    """
    Over anything else, bytes are read and written, as the transport has room for them.
    """

    def setUp(self) -> None:
        super().setUp()
        self.patch(SendfilePump, "run", lambda _: self.fail("there is no socket"))
        self.transport = Memory(64 * 1024)
        self.protocol = self.build(None)
        self.protocol.makeConnection(self.transport)
        self.addCleanup(self.protocol.connectionLost, Failure(ConnectionLost()))

    def ask(self) -> None:
        self.protocol.dataReceived(request())

    def taken(self) -> bytes:
        """
        Take until nothing more comes; the transport never holds much more than it has room for.
        """
        received = b""
        while data := self.transport.take():
            self.assertLess(len(data), 3 * 64 * 1024)
            received += data
        return received

    def test_whole(self) -> None:
        """
        The body is right, and comes as it is taken.
        """
        self.will_answer()
        self.ask()
        self.assertTrue(bodies(self.taken()) == [CONTENT])
        self.assertEqual(self.answering.requests[0].sentLength, len(CONTENT))

    def test_several_pieces(self) -> None:
        """
        Text and ranges come in order.
        """
        self.will_answer((b"one:", ByteRange(5, 300_000), b"two:", ByteRange(0, 5), b"end"))
        self.ask()
        self.assertTrue(bodies(self.taken()) == [b"one:" + CONTENT[5:300_000] + b"two:" + CONTENT[:5] + b"end"])

    def test_passed_through(self) -> None:
        """
        Without a file, each piece comes from a storage node.
        """
        source = self.will_answer([b"1", ByteRange(10, 20), b"2", ByteRange(0, 5)], GivenSource(None))
        self.ask()
        self.assertEqual(bodies(self.taken()), [b"1" + CONTENT[10:20] + b"2" + CONTENT[:5]])
        self.assertEqual(source.asked, [ByteRange(10, 20), ByteRange(0, 5)])

    def test_second_piece(self) -> None:
        """
        What the disk cannot give of one piece comes from a storage node; so does each piece that it has nothing of.
        """
        os.truncate(self.reader.path, 100)
        source = self.will_answer([ByteRange(90, 110), b"|", ByteRange(200, 210), b"|", ByteRange(0, 5)])
        self.ask()
        self.assertEqual(bodies(self.taken()), [CONTENT[90:110] + b"|" + CONTENT[200:210] + b"|" + CONTENT[:5]])
        self.assertEqual(source.asked, [ByteRange(100, 110), ByteRange(200, 210)])

    def delivered(self, break_it: Callable[[], object], source: GivenSource | None = None) -> Deferred[None]:
        """
        What becomes of an answer of which 100 bytes have come when something happens.
        """
        self.reader.arrive(100)
        self.will_answer(source=source or GivenSource(self.reader))
        self.ask()
        [result] = self.answering.results
        self.assertNoResult(result)
        break_it()
        return result

    def test_download_gives_up_the_disk(self) -> None:
        """
        A download whose disk fails, or that finds no room, is gone on without.
        """
        for error in (DiskFailed("full"), NoRoom("full")):
            self.reader = ScriptedReader(self, CONTENT)
            source = GivenSource(self.reader)
            self.answering.results.clear()
            self.successResultOf(self.delivered(lambda error=error: self.reader.fail(error), source))  # type: ignore[misc]
            self.assertEqual(source.asked, [ByteRange(100, len(CONTENT))])
            self.assertEqual(source.failures, [error])
            self.assertTrue(bodies(self.transport.take()) == [CONTENT])

    def test_other_errors(self) -> None:
        """
        Other errors are no reason to ask a storage node: the download has asked them all.
        """
        source = GivenSource(self.reader)
        result = self.delivered(lambda: self.reader.fail(SourcesFailed("all of them")), source)
        self.failureResultOf(result, SourcesFailed)
        self.assertEqual(source.asked, [])
        self.assertEqual(bodies(self.taken()), [CONTENT[:100]])

    def test_storage_node_refuses(self) -> None:
        """
        Where no storage node can help either, delivery fails with what they say.
        """
        source = GivenSource(self.reader, refuses=SourcesFailed("all of them"))
        self.failureResultOf(self.delivered(lambda: self.reader.fail(DiskFailed("full")), source), SourcesFailed)

    def test_passage_fails(self) -> None:
        """
        So it does when a passage breaks off.
        """
        source = GivenSource(self.reader, fails=SourcesFailed("all of them"))
        self.failureResultOf(self.delivered(lambda: self.reader.fail(DiskFailed("full")), source), SourcesFailed)

    def test_disk_refuses_to_be_read(self) -> None:
        """
        An error of the disk is as good a reason.
        """

        def broken(*_: object) -> int:
            raise OSError(errno.EIO, "broken")

        self.patch(os, "preadv", broken)
        source = self.will_answer()
        self.ask()
        self.assertTrue(bodies(self.transport.take()) == [CONTENT])
        self.assertEqual(source.asked, [ByteRange(0, len(CONTENT))])
