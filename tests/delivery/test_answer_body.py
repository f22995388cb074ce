"""
Tests for L{distributor.delivery.answer_body}, and through it for what a pump does to an HTTP connection: the real
server of Twisted, over real TCP connections and in memory.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IAddress, IConsumer
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from distributor.delivery import deliver, pump
from distributor.delivery.pump import ReadingPump, SendfilePump
from distributor.model import ByteRange, DiskFailed, DistributorError, IReader, NoRoom, SourcesFailed
from distributor.transfer import Passage
from tests.delivery.readers import ScriptedReader, payload
from tests.delivery.sockets import Line, Turns

CONTENT = payload(700_000)
WHOLE = (ByteRange(0, len(CONTENT)),)

Pieces = Sequence[bytes | ByteRange]


class GivenPassage:
    """
    Stands for bytes from a storage node: they are there at once.
    """

    def __init__(self, content: bytes, error: Exception | None) -> None:
        self._content = content
        self._error = error

    def send_to(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._content)
        done: Deferred[None] = succeed(None)
        return done if self._error is None else done.addCallback(lambda _: Failure(self._error))


class GivenSource:
    """
    Where the bytes of one answer come from, for tests.

    @ivar asked: what was wanted from storage nodes.
    @ivar failures: why the file did not do.
    """

    def __init__(
        self, reader: IReader | None, refuses: Exception | None = None, fails: Exception | None = None
    ) -> None:
        """
        @param refuses: why no storage node can be asked.
        @param fails: what happens after the bytes of a passage.
        """
        self.reader = reader
        self.asked: list[ByteRange] = []
        self.failures: list[DistributorError] = []
        self._refuses = refuses
        self._fails = fails

    def reading_failed(self, error: DistributorError) -> None:
        self.failures.append(error)

    async def passage(self, wanted: ByteRange) -> Passage:
        self.asked.append(wanted)
        if self._refuses is not None:
            raise self._refuses
        return cast(Passage, GivenPassage(CONTENT[wanted.start : wanted.stop], self._fails))


class Answering(Resource):
    """
    Answers each request with the next of its bodies, and remembers how that went.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[tuple[Pieces, GivenSource]] = []
        self.results: list[Deferred[None]] = []
        self.requests: list[Request] = []
        self.events: list[str] = []

    def render_GET(self, request: Request) -> int:
        pieces, source = self.bodies.pop(0)
        length = sum(len(piece) for piece in pieces)
        request.setHeader(b"Content-Length", b"%d" % length)
        request.write(b"")
        self.requests.append(request)
        sent = Deferred.fromCoroutine(deliver(request, pieces, source, maybeDeferred))
        self.results.append(sent)
        request.notifyFinish().addErrback(lambda _: self.events.append("gone"))
        sent.addCallbacks(lambda _: request.finish(), self._failed)
        return cast(int, NOT_DONE_YET)

    def _failed(self, failure: Failure) -> Failure:
        self.events.append(failure.type.__name__)
        return failure


class AnswerCase(SynchronousTestCase):
    """
    A server that answers with what the test says.
    """

    def setUp(self) -> None:
        self.reactor = Turns()
        self.answering = Answering()
        self.site = Site(self.answering, reactor=self.reactor)  # type: ignore[no-untyped-call]
        self.reader = ScriptedReader(self, CONTENT)
        self.addCleanup(lambda: self.assertFalse(self.reader.waiting))

    def build(self, _: object) -> Any:
        return self.site.buildProtocol(cast(IAddress, None))

    def line(self) -> Line:
        """
        A connection over TCP.
        """
        return Line(self, self.reactor, self.build)

    def will_answer(self, pieces: Pieces = WHOLE, source: GivenSource | None = None) -> GivenSource:
        """
        Say how the next request is answered: by default, with the whole object from the file.
        """
        source = source or GivenSource(self.reader)
        self.answering.bodies.append((pieces, source))
        return source


def request(path: str = "/", *fields: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: node", *fields, "", ""]).encode("ascii")


def bodies(received: bytes) -> list[bytes]:
    """
    The bodies of answers with C{Content-Length}, the last of them perhaps not whole.
    """
    found = []
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        [length] = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-l")]
        found.append(received[:length])
        received = received[length:]
    return found


class OverTCPTests(AnswerCase):
    """
    Over a plain connection, the kernel copies; the connection serves the next request as if nothing had been.
    """

    def setUp(self) -> None:
        super().setUp()
        self.connection = self.line()

    def received(self, *expected: bytes) -> None:
        """
        Read until all bodies have come, and compare.
        """
        length = sum(len(body) for body in expected)
        self.connection.take_until(lambda: sum(map(len, bodies(self.connection.received))) >= length)
        self.assertTrue(bodies(self.connection.received) == [*expected])

    def test_whole(self) -> None:
        """
        The body is right, was sent by the kernel alone, and is counted.
        """
        self.patch(ReadingPump, "run", lambda _: self.fail("it was read"))
        self.will_answer()
        self.connection.send(request())
        self.received(CONTENT)
        self.successResultOf(self.answering.results[0])
        self.assertEqual(self.answering.requests[0].sentLength, len(CONTENT))

    def test_keep_alive(self) -> None:
        """
        A second and third request on the connection, each sent when the answer before has come, are answered.
        """
        for number in (1, 2, 3):
            self.will_answer()
            self.connection.send(request())
            self.received(*[CONTENT] * number)
            self.assertIsNone(self.connection.ended)

    def test_pipelining(self) -> None:
        """
        Requests that come together are answered in order, however small or large the answers.
        """
        for stop in (len(CONTENT), 1, 300_000):
            self.will_answer([ByteRange(0, stop)])
        self.connection.send(request() * 3)
        self.received(CONTENT, CONTENT[:1], CONTENT[:300_000])

    def test_many_pipelined(self) -> None:
        """
        Requests that are more than the server likes to hold, so that it stops reading for a while, are all answered.
        """
        padding = "X-Padding: " + "x" * 4000
        for number in range(12):
            self.will_answer([ByteRange(number, 100_000)])
        for _ in range(12):
            self.connection.send(request("/", padding))
        self.received(*[CONTENT[number:100_000] for number in range(12)])
        self.assertEqual(self.answering.bodies, [])

    def test_close(self) -> None:
        """
        C{Connection: close} is obeyed, behind the last byte.
        """
        self.will_answer()
        self.connection.send(request("/", "Connection: close"))
        self.connection.take_to_the_end()
        self.assertTrue(bodies(self.connection.received) == [CONTENT])
        self.assertEqual(self.connection.ended, "closed")

    def test_several_pieces(self) -> None:
        """
        Text and ranges come in order, and the next request is answered too.
        """
        pieces = (b"one:", ByteRange(5, 300_000), b"two:", ByteRange(0, 5), b"end")
        self.will_answer(pieces)
        self.will_answer([ByteRange(0, 1)])
        self.connection.send(request() * 2)
        self.received(b"one:" + CONTENT[5:300_000] + b"two:" + CONTENT[:5] + b"end", CONTENT[:1])

    def test_bytes_that_arrive(self) -> None:
        """
        An answer whose bytes arrive in steps is followed by the next request's.
        """
        self.reader.arrive(0)
        self.will_answer()
        self.will_answer([ByteRange(0, 2)])
        self.connection.send(request() * 2)
        self.reactor.settle()
        for there in (1, 100_000, len(CONTENT)):
            self.reader.arrive(there)
            self.reactor.settle()
        self.received(CONTENT, CONTENT[:2])

    def test_disk_fails(self) -> None:
        """
        When the disk fails in the middle, the rest comes from a storage node, from the first byte that is missing.
        """
        os.truncate(self.reader.path, 200_001)
        source = self.will_answer()
        self.connection.send(request())
        self.received(CONTENT)
        self.assertEqual(source.asked, [ByteRange(200_001, len(CONTENT))])
        self.assertIsInstance(source.failures.pop(), DiskFailed)
        self.assertEqual(source.failures, [])
        self.will_answer([ByteRange(0, 1)])
        self.connection.send(request())
        self.received(CONTENT, CONTENT[:1])

    def test_reader_gone(self) -> None:
        """
        When the client hangs up, delivery fails before the request is told of its end, and no storage node is asked.
        """
        source = self.will_answer()
        self.connection.send(request())
        self.reactor.settle()
        self.connection.hang_up(reset=True)
        self.reactor.settle()
        self.failureResultOf(self.answering.results[0], ConnectionLost)
        self.assertEqual(self.answering.events, ["ConnectionLost", "gone"])
        self.assertEqual(source.asked, [])

    def test_cancelled(self) -> None:
        """
        Delivery that is cancelled stops at once, and leaves the connection to its channel.
        """
        self.will_answer()
        self.connection.send(request())
        self.reactor.settle()
        [sending] = self.answering.results
        sending.cancel()
        self.failureResultOf(sending, CancelledError)
        self.assertIs(self.connection.transport.producer, self.answering.requests[0].channel)
        self.connection.take_some(10**6)
        self.reactor.settle()
        self.connection.take(10**6)
        self.assertLess(len(self.connection.received), len(CONTENT) // 2)


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

        self.patch(pump.os, "preadv", broken)
        source = self.will_answer()
        self.ask()
        self.assertTrue(bodies(self.transport.take()) == [CONTENT])
        self.assertEqual(source.asked, [ByteRange(0, len(CONTENT))])
