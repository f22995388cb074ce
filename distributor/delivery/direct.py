"""
Plain sockets, past the transports that Twisted has put before them: this is the one place that looks into those.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from twisted.internet.tcp import Connection

from distributor.delivery.page_cache import ColdRead, probe
from distributor.model import LARGEST_STEP

#: What one reader may send before the others have their turn, in bytes.
QUOTA = 2 * 1024 * 1024


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


def write_now(transport: Connection, data: bytes | memoryview, *, more: bool = False) -> None:
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
        transport.write(bytes(data[sent:]))


def send_now(transport: Connection, fd: int, offset: int, stop: int, warm_stop: int) -> int:
    """
    Let the kernel copy from a file to the socket of a transport that is drained: what is in the page cache, and what
    the socket takes at once, and no more than L{QUOTA}.

    @param warm_stop: up to where it is known to be there.
    @return: the offset of the next byte to send. Why it is not C{stop} is for a pump to find out.
    """
    handle = transport.getHandle().fileno()
    stop = min(stop, offset + QUOTA)
    with suppress(ColdRead, OSError):
        while offset < stop:
            step = min(stop - offset, LARGEST_STEP)
            if offset + step > warm_stop:
                probe(fd, offset, offset + step)
            sent = os.sendfile(handle, fd, offset, step)
            offset += sent
            if sent < step:
                break
    return offset


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
    # Other sockets than those of TCP have no packets, and one that is broken will be found by who sends.
    with suppress(OSError):
        transport.getHandle().setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, value)
