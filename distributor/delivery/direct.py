"""
Plain sockets, past the transports that Twisted has put before them: this is the one place that looks into those.
"""

from __future__ import annotations

import socket
from contextlib import suppress

from twisted.internet.tcp import Connection


def plain_connection(transport: object) -> Connection | None:
    """
    C{transport}, if what is written to its socket is what the client reads: not with TLS, and not in memory.
    """
    return transport if isinstance(transport, Connection) and not transport.TLS else None


def drained(transport: Connection) -> bool:
    """
    Whether all that was written to a transport has gone to its socket, so that what is sent there is next.
    """
    # No public way tells. A pull producer is asked only then, but that takes a turn of the reactor.
    return not transport.dataBuffer and not transport._tempDataLen


def write_now(transport: Connection, data: bytes | bytearray, *, more: bool = False) -> None:
    """
    Write, without waiting for the reactor where the socket has room.

    @param more: what follows at once, and may share a packet with C{data}, goes to the socket, too.
    """
    sent = 0
    if transport.connected and drained(transport):
        # It may be full; or broken, which the transport will find, and tell its protocol.
        with suppress(OSError):
            sent = transport.getHandle().send(data, socket.MSG_MORE if more else 0)
    if sent < len(data):
        transport.write(bytes(memoryview(data)[sent:]))


def hold(transport: Connection) -> None:
    """
    Let packets that are not full wait for what comes next, until L{release}; for 200 ms at most.
    """
    _cork(transport, 1)


def release(transport: Connection) -> None:
    """
    Let out what waits because of L{hold}, or of C{more}.
    """
    _cork(transport, 0)


def _cork(transport: Connection, value: int) -> None:
    handle = transport.getHandle()
    # Other sockets have no packets.
    if handle.family in (socket.AF_INET, socket.AF_INET6):
        handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, value)
