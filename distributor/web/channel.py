"""
The connections of the public API, as far as they are Twisted's.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from socket import IPPROTO_TCP, TCP_USER_TIMEOUT

from twisted.internet.interfaces import IAddress, IPushProducer

from distributor.web.server import KnownChannel

#: A client that takes nothing for so long, in seconds, is not going to: the kernel ends the connection (tcp(7)), whose
#: place others want. One that is slow takes something; a player that was paused asks for the rest when it goes on.
_STUCK_S = 120


def shown(address: IAddress) -> str:
    """
    A client's address as people write it; over a UNIX socket there is none.
    """
    return getattr(address, "host", None) or "-"


class Channel(KnownChannel):
    """
    Tells a producer which comes when there is no room. Twisted's leaves that to the transport, and one with TLS speaks
    when its buffer gets full, but not again while it is: behind pipelined requests, or between two ranges, a whole
    object would go into the buffer.

    @ivar full: whether more should not be written now.
    """

    full = False

    def connectionMade(self) -> None:
        super().connectionMade()
        # In memory, and behind a UNIX socket, there is nothing to be set.
        with suppress(AttributeError, OSError):
            self.transport.getHandle().setsockopt(IPPROTO_TCP, TCP_USER_TIMEOUT, _STUCK_S * 1000)  # type: ignore[union-attr]

    @cached_property
    def peer(self) -> str:
        """
        The address of the client, for people.
        """
        return shown(self.getPeer())  # type: ignore[no-untyped-call]

    def pauseProducing(self) -> None:
        self.full = True
        super().pauseProducing()  # type: ignore[no-untyped-call]

    def resumeProducing(self) -> None:
        self.full = False
        super().resumeProducing()  # type: ignore[no-untyped-call]

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        super().registerProducer(producer, streaming)  # type: ignore[no-untyped-call]
        if self.full:
            producer.pauseProducing()
