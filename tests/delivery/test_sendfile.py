"""
Tests for L{distributor.delivery.pump.SendfilePump}, over real TCP connections and a reactor that is turned by hand.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from distributor.delivery import direct, pump
from distributor.delivery.pump import SendfilePump
from distributor.model import FIRST_STEP, DiskFailed, InThread
from tests.delivery.readers import Cache, ScriptedReader, Threads, payload
from tests.delivery.sockets import Line, Turns
from tests.stored import in_thread

#: Much more than the kernel's buffers take.
CONTENT = payload(2_000_000)
HEAD = b"the head of the answer\r\n\r\n"


@implementer(IPushProducer)
class Channel(Protocol):
    """
    Has the place of the HTTP channel: its transport's producer, before a pump and after it.

    @ivar events: what the transport, and the pump, have told it.
    """

    def __init__(self) -> None:
        self.events: list[str] = []

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.registerProducer(self, True)  # type: ignore[attr-defined]

    def pauseProducing(self) -> None:
        self.events.append("pause")

    def resumeProducing(self) -> None:
        self.events.append("resume")

    def stopProducing(self) -> None:
        self.events.append("stop")

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        self.events.append("lost")


class SendfileCase(SynchronousTestCase):
    """
    A connection whose protocol is a L{Channel}.
    """

    def setUp(self) -> None:
        self.reactor = Turns()
        self.channel = Channel()
        self.line = Line(self, self.reactor, lambda _: self.channel)
        self.transport = self.line.transport
        self.reader = ScriptedReader(self, CONTENT)
        self.sent: list[int] = []
        self.addCleanup(lambda: self.assertEqual(self.reactor.getDelayedCalls(), []))
        self.addCleanup(lambda: self.assertFalse(self.reader.waiting))

    def pump(
        self,
        start: int = 0,
        stop: int = len(CONTENT),
        in_thread: InThread = in_thread,
        reader: ScriptedReader | None = None,
        first: int = FIRST_STEP,
    ) -> tuple[SendfilePump, Deferred[None]]:
        """
        One that runs.
        """
        running = SendfilePump(
            reader or self.reader, start, stop, in_thread, self.channel, self.transport, self.sent.append, first
        )
        return running, running.run()

    def assert_given_back(self) -> None:
        """
        The transport belongs to the channel, which has been told to go on if it had been taken from it.
        """
        self.assertIs(self.transport.producer, self.channel)
        self.assertTrue(self.transport.streamingProducer)
        self.assertIn(self.channel.events[-1:], ([], ["resume"]))

    def fill(self, running: SendfilePump) -> None:
        """
        Send until the kernel takes nothing more.
        """
        self.reactor.settle()
        assert 0 < running.offset < len(CONTENT)


class SendfilePumpTests(SendfileCase):
    """
    A pump sends its run over a plain connection, and gives the connection back.
    """

    def test_interface(self) -> None:
        """
        It is a pull producer: the transport asks it for more.
        """
        verifyObject(
            IPullProducer,
            SendfilePump(self.reader, 0, 1, in_thread, self.channel, self.transport, self.sent.append),
        )

    def test_all_of_it(self) -> None:
        """
        All bytes come, behind what was written before; what went out is told, and the connection is given back.
        """
        self.transport.write(HEAD)
        _, done = self.pump()
        self.assertEqual(self.sent, [], "the head was overtaken")
        self.line.take_until(lambda: done.called)
        self.successResultOf(done)
        self.line.take_until(lambda: len(self.line.received) >= len(HEAD + CONTENT))
        self.assertTrue(self.line.received == HEAD + CONTENT)
        self.assertEqual(sum(self.sent), len(CONTENT))
        self.assert_given_back()
        self.assertIsNone(self.line.ended)

    def test_large_head(self) -> None:
        """
        A head that the socket cannot take at once is not overtaken either.
        """
        head = payload(1_000_000, seed=2)
        self.transport.write(head)
        self.assertEqual(self.channel.events, ["pause"])
        _, done = self.pump(0, 10)
        self.reactor.settle()
        self.assertEqual(self.sent, [])
        self.line.take_until(lambda: len(self.line.received) == len(head) + 10)
        self.successResultOf(done)
        self.assertTrue(self.line.received == head + CONTENT[:10])
        # It was told to pause, and would never have been told of the opposite.
        self.assertEqual(self.channel.events[-1], "resume")
        self.assert_given_back()

    def test_at_once(self) -> None:
        """
        What the socket takes goes out without a turn of the reactor, and the transport is left to the channel.
        """
        _, done = self.pump(5, 5000)
        self.successResultOf(done)
        self.assertEqual((self.sent, self.channel.events), ([4995], []))
        self.assert_given_back()
        self.line.take_until(lambda: len(self.line.received) == 4995)
        self.assertTrue(self.line.received == CONTENT[5:5000])

    def test_first_turn(self) -> None:
        """
        What goes out at once is little, for the sake of others who have waited for the same, or as much as is said; in
        its next turn a reader has all that its socket takes.
        """
        for first in (FIRST_STEP, 2 * FIRST_STEP):
            del self.sent[:]
            _, done = self.pump(0, 100_000, first=first)
            self.assertEqual(self.sent, [first])
            self.line.take_until(lambda done=done: done.called)  # type: ignore[misc]
            self.successResultOf(done)
        self.line.take_until(lambda: len(self.line.received) == 200_000)
        self.assertTrue(self.line.received == CONTENT[:100_000] * 2)

    def test_first_bytes_that_arrive_late(self) -> None:
        """
        Nor is it held to that little once it has waited for bytes to come.
        """
        self.reader.arrive(FIRST_STEP - 10)
        _, done = self.pump(0, 100_000)
        self.reader.arrive(100_000)
        self.assertEqual(self.sent[0], FIRST_STEP - 10)
        self.assertGreater(self.sent[1], 10)
        self.line.take_until(lambda: done.called)
        self.successResultOf(done)

    def test_one_packet(self) -> None:
        """
        A head waits for the first bytes of the body, to leave with them; but neither waits for bytes that may take long
        to come.
        """

        def held() -> int:
            return int(self.transport.getHandle().getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK))

        self.reader.arrive(10)
        self.transport.write(HEAD)
        _, done = self.pump(0, 20)
        self.assertTrue(held())
        self.line.take_until(lambda: self.reader.waiting)
        self.assertFalse(held())
        self.reader.arrive(20)
        self.successResultOf(done)
        self.transport.write(HEAD)
        _, done = self.pump(0, 20)
        self.assertTrue(held())
        self.line.take_until(lambda: done.called)
        self.assertFalse(held())

    def test_runs_one_after_another(self) -> None:
        """
        What is written between two runs stands between them.
        """
        for start in (5, 1_000_000):
            self.transport.write(HEAD)
            _, done = self.pump(start, start + 500_000)
            self.line.take_until(lambda done=done: done.called)  # type: ignore[misc]
            self.successResultOf(done)
        self.transport.write(b"the end")
        expected = HEAD + CONTENT[5:500_005] + HEAD + CONTENT[1_000_000:1_500_000] + b"the end"
        self.line.take_until(lambda: len(self.line.received) >= len(expected))
        self.assertTrue(self.line.received == expected)

    def test_slow_reader(self) -> None:
        """
        A reader that takes little is sent little, and costs no memory; it gets the right bytes.
        """
        running, done = self.pump()
        self.fill(running)
        while not done.called:
            before = running.offset
            self.line.take_some(10_000)
            self.reactor.settle()
            self.assertLessEqual(running.offset - before, 1_000_000)
            self.assertEqual((self.transport.dataBuffer, self.transport._tempDataLen), (b"", 0))
        self.successResultOf(done)
        self.line.take_until(lambda: len(self.line.received) == len(CONTENT))
        self.assertTrue(self.line.received == CONTENT)

    def test_bytes_that_arrive(self) -> None:
        """
        Bytes go out as they arrive; while none do, the reactor has nothing to do.
        """
        self.reader.arrive(0)
        _, done = self.pump(100, 70_000)
        for there in (101, 5000, 70_000):
            self.reactor.settle()
            self.assertEqual(self.reactor.getWriters(), [])
            self.assertNoResult(done)
            self.reader.arrive(there)
            self.line.take_until(lambda there=there: len(self.line.received) == there - 100)  # type: ignore[misc]
        self.successResultOf(done)
        self.assertTrue(self.line.received == CONTENT[100:70_000])
        self.assertEqual(self.reader.waits, [100, 101, 5000])
        self.assert_given_back()

    def test_early(self) -> None:
        """
        What is on its way to the file goes out at once, and only then is there something to wait for.
        """
        for length in (10, FIRST_STEP):
            del self.sent[:]
            before = len(self.line.received)
            self.reader = ScriptedReader(self, CONTENT, 0)
            self.reader.passing = 100, CONTENT[100:70_000]
            _, done = self.pump(100, 100 + length)
            self.assertEqual(self.sent, [length])
            self.line.take_until(lambda done=done: done.called)  # type: ignore[misc]
            self.successResultOf(done)
            self.line.take_until(lambda there=before + length: len(self.line.received) == there)  # type: ignore[misc]
            self.assertTrue(self.line.received[before:] == CONTENT[100 : 100 + length])
            self.assertEqual(self.reader.waits, [])
            self.assert_given_back()

    def test_early_into_a_full_socket(self) -> None:
        """
        What the socket does not take of it goes before all that follows, however much of that is there by then.
        """
        filled = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                filled += self.transport.getHandle().send(bytes(1000))
        self.reader = ScriptedReader(self, CONTENT, 0)
        self.reader.passing = 0, CONTENT[:10_000]
        self.patch(self.reader, "available", lambda offset: 20_000 - offset if offset >= 10_000 else 0)

        def none_taken(transport: Connection, data: bytes) -> None:
            direct.write_now(transport, data)
            # The other side goes on just then.
            self.line.take_some(filled)

        self.patch(pump, "write_now", none_taken)
        _, done = self.pump(0, 20_000)
        self.assertEqual((self.transport._tempDataLen, self.sent), (10_000, [10_000]))
        self.line.take_until(lambda: done.called)
        self.successResultOf(done)
        self.line.take_until(lambda: len(self.line.received) == filled + 20_000)
        self.assertTrue(self.line.received[filled:] == CONTENT[:20_000])

    def test_cold_behind_what_is_early(self) -> None:
        """
        What is in the file behind it may be there for long, and is looked at before it is sent.
        """
        cache = Cache()
        self.patch(os, "preadv", cache.preadv)
        threads = Threads()
        self.reader = ScriptedReader(self, CONTENT, 0)
        self.reader.passing = 0, CONTENT[:5000]
        self.patch(self.reader, "available", lambda offset: 100_000 - offset if offset >= 5000 else 0)
        _, done = self.pump(0, 100_000, in_thread=threads)
        self.assertEqual((self.sent, cache.asked, len(threads.jobs)), ([5000], [5000], 1))
        done.cancel()
        self.failureResultOf(done, CancelledError)

    def test_asked_while_it_waits(self) -> None:
        """
        A transport that asks again while the pump waits does not make it wait twice.
        """
        self.reader.arrive(10)
        running, done = self.pump()
        self.reactor.settle()
        running.resumeProducing()
        self.assertEqual(self.reader.waits, [10])
        self.assertEqual(running.offset, 10)
        done.cancel()
        self.failureResultOf(done, CancelledError)

    def test_turns(self) -> None:
        """
        However fast its reader is, a pump gives the others their turn.
        """
        self.patch(SendfilePump, "quota", 4000)
        self.patch(SendfilePump, "window", 1000)
        _, done = self.pump(0, 12_500)
        sent = [sum(self.sent)]
        while not done.called:
            before = sum(self.sent)
            self.reactor.turn()
            sent.append(sum(self.sent) - before)
        self.assertEqual([each for each in sent if each], [4000, 4000, 4000, 500])
        self.successResultOf(done)

    def test_reader_fails(self) -> None:
        """
        The reader's failure ends the pump, which knows how far it came; the connection is still good.
        """
        for there in (0, 1500):
            self.reader = ScriptedReader(self, CONTENT, there)
            running, done = self.pump()
            self.reactor.settle()
            error = DiskFailed("full")
            self.reader.fail(error)
            self.assertIs(self.failureResultOf(done).value, error)
            self.assertEqual(running.offset, there)
            self.assert_given_back()
        self.transport.write(b"and the rest")
        self.line.take_until(lambda: self.line.received == CONTENT[:1500] + b"and the rest")

    def test_file_shrinks(self) -> None:
        """
        A file that is shorter than it should be is the disk's failure, and no endless loop.
        """
        for left in (0, 1500):
            self.reader = ScriptedReader(self, CONTENT)
            os.truncate(self.reader.path, left)
            running, done = self.pump()
            self.reactor.settle()
            self.failureResultOf(done, DiskFailed)
            self.assertEqual(running.offset, left)
            self.assert_given_back()

    def test_whose_fault(self) -> None:
        """
        Errors of the network are the reader's end; the others are the disk's, for which there is a remedy.
        """
        network = (
            errno.EPIPE,
            errno.ECONNRESET,
            errno.ECONNABORTED,
            errno.ETIMEDOUT,
            errno.ENOTCONN,
            errno.EHOSTUNREACH,
            errno.ENETUNREACH,
            errno.ENETDOWN,
        )
        for number in (*network, errno.EIO, errno.ENOMEM, errno.ESTALE, errno.EINVAL):

            def refuse(*_: object, number: int = number) -> int:
                raise OSError(number, os.strerror(number))

            self.patch(os, "sendfile", refuse)
            _, done = self.pump()
            self.reactor.settle()
            expected = ConnectionLost if number in network else DiskFailed
            self.assertIsInstance(self.failureResultOf(done).value, expected, os.strerror(number))
            self.assert_given_back()
