"""
Real TCP connections over loopback, and a reactor that turns when the test says so: no waiting, no timing.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.interfaces import IAddress, IProtocol
from twisted.internet.tcp import Server
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

#: What the kernel holds for one connection is about this; the least that Linux allows would be slow.
BUFFER = 32 * 1024

#: Loopback delivers at once; a machine that is busy may take longer, and a test that has hung takes this.
PATIENCE_S = 5.0


class Turns(MemoryReactorClock):
    """
    A reactor whose clock stands still, and whose descriptors are looked at one turn at a time.
    """

    def turn(self) -> bool:
        """
        Call what is due, and let each descriptor that is ready read or write once.

        @return: whether any was ready.
        """
        self.advance(0)
        readers, writers = self.getReaders(), self.getWriters()
        if not readers and not writers:
            return False
        readable, writable, _ = select.select(readers, writers, [], 0)
        for transport in readable:
            if transport in self.getReaders():
                self._lose(transport, transport.doRead())
        for transport in writable:
            if transport in self.getWriters():
                self._lose(transport, transport.doWrite())
        self.advance(0)
        return bool(readable or writable)

    def _lose(self, transport: Any, reason: BaseException | None) -> None:
        # What any of Twisted's reactors does with what doRead and doWrite return.
        if reason is not None:
            self.removeReader(transport)
            self.removeWriter(transport)
            transport.connectionLost(Failure(reason))

    def settle(self, turns: int = 1000) -> None:
        """
        Turn until nothing is ready.
        """
        for _ in range(turns):
            if not self.turn():
                return
        raise AssertionError("it never settles")


class Line:
    """
    A connection between a client, which is a plain socket, and a protocol.

    @ivar transport: the protocol's end.
    @ivar received: what the client has read.
    @ivar ended: how the connection has ended for the client: C{"closed"}, C{"reset"}, or not yet.
    """

    def __init__(
        self, case: SynchronousTestCase, reactor: Turns, build: Callable[[IAddress], IProtocol | None]
    ) -> None:
        """
        @param build: makes the protocol, as a factory's C{buildProtocol} does.
        """
        self.reactor = reactor
        self._client, ours = _connected()
        case.addCleanup(self._client.close)
        self.received = b""
        self.ended: str | None = None
        protocol = build(cast(IAddress, None))
        assert protocol is not None
        self.transport: Any = Server(ours, protocol, ours.getpeername(), cast(Any, None), 0, cast(Any, reactor))
        self.transport.repstr = "<a line>"
        protocol.makeConnection(self.transport)
        case.addCleanup(self._end)

    def _end(self) -> None:
        self.hang_up()
        self.reactor.settle()
        assert self.transport.disconnected, "the connection is still open"

    def send(self, data: bytes) -> None:
        """
        The client sends; the protocol has got it when this returns, unless it does not want to read.
        """
        self._client.sendall(data)
        if self.transport in self.reactor.getReaders():
            select.select([self.transport], [], [], PATIENCE_S)
        self.reactor.turn()

    def take(self, at_most: int) -> bytes:
        """
        The client reads what is there by now, and no more than C{at_most} bytes.
        """
        data = b""
        try:
            while len(data) < at_most and self.ended is None:
                piece = self._client.recv(at_most - len(data))
                if not piece:
                    self.ended = "closed"
                data += piece
        except BlockingIOError:
            pass
        except ConnectionResetError:
            self.ended = "reset"
        self.received += data
        return data

    def take_some(self, at_most: int) -> bytes:
        """
        The same, but the client waits, while the reactor turns, until there is something.
        """
        while not (data := self.take(at_most)) and self.ended is None:
            ready = select.select([self._client, *self.reactor.getReaders()], self.reactor.getWriters(), [], PATIENCE_S)
            assert ready[0] or ready[1], f"nothing more than {len(self.received)} bytes comes"
            self.reactor.turn()
        return data

    def take_until(self, enough: Callable[[], bool]) -> None:
        """
        The client reads, and the reactor turns, until C{enough}.
        """
        while not enough():
            if not self.reactor.turn() and not enough():
                self.take_some(1024 * 1024)

    def take_to_the_end(self) -> None:
        """
        The client reads until the connection ends.
        """
        self.take_until(lambda: self.ended is not None)

    def shut_down(self) -> None:
        """
        The client will send nothing more; it still reads.
        """
        self._client.shutdown(socket.SHUT_WR)

    def hang_up(self, *, reset: bool = False) -> None:
        """
        The client goes away.
        """
        if reset:
            self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._client.close()


def _connected() -> tuple[socket.socket, socket.socket]:
    """
    Both ends of a connection with small buffers.
    """
    with socket.socket() as listener:
        # What is accepted inherits them.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        client.connect(listener.getsockname())
        ours, _ = listener.accept()
    client.setblocking(False)
    return client, ours
