"""
Tests for L{distributor.delivery.answer_body} over real TCP connections: what delivery does to a connection, and what it
leaves of it for the next request.
"""

from __future__ import annotations

import os

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionLost

from distributor.delivery.pump import ReadingPump
from distributor.model import ByteRange, DiskFailed
from tests.delivery.answering import CONTENT, AnswerCase, bodies, request


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
