"""
Tests for L{distributor.delivery.direct}: what it knows of Twisted's transports, and nobody else may.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from unittest import mock

from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from distributor.delivery import direct
from distributor.delivery.direct import drained, hold, plain_connection, release, send_now, write_now
from tests.delivery.readers import Cache, payload
from tests.delivery.sockets import Line, Turns

#: Much more than the kernel's buffers take.
MUCH = payload(2_000_000)


class DirectCase(SynchronousTestCase):
    """
    A real connection, whose transport is Twisted's.
    """

    def setUp(self) -> None:
        self.reactor = Turns()
        self.line = Line(self, self.reactor, lambda _: Protocol())
        self.transport = self.line.transport


class WriteTests(DirectCase):
    """
    What is written, now and later.
    """

    def test_plain(self) -> None:
        """
        A connection with TLS, or in memory, is none whose socket may be written to.
        """
        self.assertIs(plain_connection(self.transport), self.transport)
        self.transport.TLS = True
        self.assertIsNone(plain_connection(self.transport))
        self.assertIsNone(plain_connection(StringTransport()))

    def test_drained(self) -> None:
        """
        Twisted's transport says whether something waits in it: after a write, and while its socket takes no more. Where
        this fails, Twisted keeps what waits elsewhere, and L{drained} has to look there.
        """
        self.assertTrue(drained(self.transport))
        self.transport.write(b"x")
        self.assertFalse(drained(self.transport))
        self.reactor.settle()
        self.assertTrue(drained(self.transport))
        self.transport.write(MUCH)
        self.reactor.settle()
        self.assertFalse(drained(self.transport))
        self.line.take_until(lambda: len(self.line.received) == 1 + len(MUCH))
        self.reactor.settle()
        self.assertTrue(drained(self.transport))

    def test_at_once(self) -> None:
        """
        What the socket takes needs no turn of the reactor.
        """
        write_now(self.transport, b"first", more=True)
        write_now(self.transport, memoryview(b", second"))
        self.assertEqual(self.reactor.getWriters(), [])
        self.line.take_until(lambda: self.line.received == b"first, second")

    def test_order(self) -> None:
        """
        Nothing overtakes what the socket would not take, or what was written in the ordinary way.
        """
        self.transport.write(b"ordinary")
        write_now(self.transport, MUCH)
        self.reactor.settle()
        write_now(self.transport, b"the end")
        expected = b"ordinary" + MUCH + b"the end"
        self.line.take_until(lambda: len(self.line.received) == len(expected))
        self.assertTrue(self.line.received == expected)

    def test_partly(self) -> None:
        """
        The socket takes a part, and the transport the rest.
        """
        write_now(self.transport, MUCH)
        self.assertFalse(drained(self.transport))
        write_now(self.transport, b"the end")
        self.line.take_until(lambda: len(self.line.received) == len(MUCH) + 7)
        self.assertTrue(self.line.received == MUCH + b"the end")

    def test_gone(self) -> None:
        """
        A client that has gone is the transport's to find; nothing raises.
        """
        self.line.hang_up(reset=True)
        write_now(self.transport, b"x")
        write_now(self.transport, b"x")
        self.reactor.settle()
        write_now(self.transport, b"x")

    def test_held(self) -> None:
        """
        Packets are held and released; a socket that has none is left alone.
        """

        def held() -> int:
            return int(self.transport.getHandle().getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK))

        hold(self.transport)
        self.assertTrue(held())
        release(self.transport)
        self.assertFalse(held())
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        self.patch(self.transport, "getHandle", lambda: ours)
        hold(self.transport)


class SendNowTests(DirectCase):
    """
    L{send_now}.
    """

    def setUp(self) -> None:
        super().setUp()
        self.path = Path(self.mktemp())
        self.path.write_bytes(MUCH)
        self.fd = os.open(self.path, os.O_RDONLY)
        self.addCleanup(os.close, self.fd)

    def test_what_the_socket_takes(self) -> None:
        """
        It sends as much as the socket takes, and says how far that is.
        """
        self.assertEqual(send_now(self.transport, self.fd, 10, 5000, 10), 5000)
        reached = send_now(self.transport, self.fd, 5000, len(MUCH), 5000)
        self.assertLess(reached, len(MUCH))
        self.assertEqual(send_now(self.transport, self.fd, reached, len(MUCH), reached), reached)
        self.line.take_until(lambda: len(self.line.received) == reached - 10)
        self.assertTrue(self.line.received == MUCH[10:reached])

    def test_quota(self) -> None:
        """
        Others have their turn.
        """
        self.patch(direct, "QUOTA", 3000)
        self.assertEqual(send_now(self.transport, self.fd, 0, len(MUCH), 0), 3000)

    def test_cold(self) -> None:
        """
        What is not in memory is not sent, but for what the caller knows of.
        """
        with mock.patch("os.preadv", Cache().preadv):
            self.assertEqual(send_now(self.transport, self.fd, 0, 1000, 0), 0)
            self.assertEqual(send_now(self.transport, self.fd, 0, 1000, 1000), 1000)

    def test_shorter(self) -> None:
        """
        A file that is shorter than it should be ends it.
        """
        os.truncate(self.path, 1000)
        self.assertEqual(send_now(self.transport, self.fd, 0, 5000, 5000), 1000)
        self.assertEqual(send_now(self.transport, self.fd, 1000, 5000, 5000), 1000)

    def test_nobody_there(self) -> None:
        """
        A client that has gone is for the pump to find.
        """
        self.line.hang_up(reset=True)
        # Not by name: trial takes a "suppress" of a module for its own.
        with contextlib.suppress(OSError):
            self.transport.getHandle().send(b"x")
        self.assertEqual(send_now(self.transport, self.fd, 0, 5000, 5000), 0)
