"""
Tests for L{distributor.delivery.pump.SendfilePump}: connections that end, and answers that are given up.
"""

from __future__ import annotations

import os

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost

from tests.delivery.readers import Cache, Threads, payload
from tests.delivery.test_sendfile import SendfileCase


class DisconnectionTests(SendfileCase):
    """
    The connection ends, or the answer is given up, in whatever state.
    """

    def assert_gone(self, done: Deferred[None]) -> None:
        """
        The pump has ended, once, and has left the dead connection alone.
        """
        self.failureResultOf(done, ConnectionLost)
        self.assertEqual(self.channel.events[-1], "lost")
        self.assertNotIn("resume", self.channel.events)
        self.assertIsNone(self.transport.producer)
        self.assertEqual((self.reactor.getReaders(), self.reactor.getWriters()), ([], []))

    def test_while_it_flows(self) -> None:
        """
        The reader hangs up with bytes on their way.
        """
        running, done = self.pump()
        self.fill(running)
        self.line.hang_up(reset=True)
        self.reactor.settle()
        self.assert_gone(done)
        came = running.offset
        running.resumeProducing()
        self.assertEqual(running.offset, came)

    def test_while_it_waits(self) -> None:
        """
        The reader hangs up when there is nothing to send: the wait is given up, and bytes that arrive later go nowhere.
        """
        self.reader.arrive(10)
        running, done = self.pump()
        self.reactor.settle()
        self.line.hang_up()
        self.reactor.settle()
        self.assert_gone(done)
        self.assertEqual(self.reader.cancelled, 1)
        self.reader.arrive(20)
        self.assertEqual(running.offset, 10)

    def test_while_it_is_cold(self) -> None:
        """
        The reader hangs up while a thread reads: by the time that it is done, socket and file may be gone.
        """
        self.patch(os, "preadv", Cache().preadv)
        threads = Threads()
        running, done = self.pump(in_thread=threads)
        self.reactor.settle()
        self.line.hang_up()
        self.reactor.settle()
        self.assert_gone(done)
        self.reader.close()
        threads.run()
        self.assertEqual((running.offset, threads.cancelled), (0, 1))

    def test_while_the_head_goes_out(self) -> None:
        """
        The reader hangs up before it has got the whole head.
        """
        self.transport.write(payload(3_000_000))
        running, done = self.pump()
        self.reactor.settle()
        self.assertEqual(running.offset, 0)
        self.line.hang_up(reset=True)
        self.reactor.settle()
        self.failureResultOf(done, ConnectionLost)
        self.assertEqual(self.channel.events, ["pause", "lost"])

    def test_before_it_begins(self) -> None:
        """
        The reader has hung up already.
        """
        self.line.hang_up()
        self.reactor.settle()
        # Its handle is gone with the connection.
        self.transport.getHandle = lambda: self.line._client
        _, done = self.pump()
        self.failureResultOf(done, ConnectionLost)
        self.assertIsNone(self.transport.producer)

    def test_cut(self) -> None:
        """
        A connection that this side cuts ends the pump in the same way.
        """
        running, done = self.pump()
        self.fill(running)
        self.transport.abortConnection()
        came = running.offset
        self.reactor.settle()
        self.assert_gone(done)
        self.assertEqual(running.offset, came)

    def test_cancelled(self) -> None:
        """
        Cancelling stops a pump that flows, one that waits, and one whose file is cold; the connection is given back.
        """
        running, done = self.pump()
        self.fill(running)
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assert_given_back()
        came = running.offset
        self.line.take(200_000)
        self.reactor.settle()
        self.assertEqual(running.offset, came)

        self.reader.arrive(10)
        _, done = self.pump()
        self.reactor.settle()
        self.line.take_until(lambda: self.reader.waiting)
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertEqual(self.reader.cancelled, 1)
        self.assert_given_back()

        threads = Threads()
        self.patch(os, "preadv", Cache().preadv)
        _, done = self.pump(in_thread=threads)
        self.line.take_until(lambda: bool(threads.jobs))
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertEqual(threads.cancelled, 1)
        self.assert_given_back()

    def test_ends_once(self) -> None:
        """
        Whatever is called after the end, nothing happens: the transport keeps its producer.
        """
        running, done = self.pump(0, 10)
        self.reactor.settle()
        self.successResultOf(done)
        events = list(self.channel.events)
        running.stopProducing()
        running.resumeProducing()
        self.assertEqual(self.channel.events, events)
        self.assert_given_back()
        self.assertEqual(self.sent, [10])
