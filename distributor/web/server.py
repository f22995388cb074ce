"""
An HTTP server that knows its connections, so that it can end them.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.http import Request as HTTPRequest
from twisted.web.server import Site


class KnownChannel(HTTPChannel):
    """
    A connection that its server knows of.
    """

    site: Server

    def connectionMade(self) -> None:
        super().connectionMade()  # type: ignore[no-untyped-call]
        self.site.channel_made(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self.site.channel_lost(self)

    def abort(self) -> None:
        """
        Cut the connection.
        """
        self.transport.abortConnection()  # type: ignore[union-attr]


class Server(Site):
    """
    An HTTP server all connections of which are L{KnownChannel}s.

    @ivar channels: the connections that are open.
    """

    noisy = False
    displayTracebacks = False

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[no-untyped-call]
        self.channels: set[KnownChannel] = set()
        self._waiting: list[Deferred[None]] = []

    def channel_made(self, channel: KnownChannel) -> None:
        """
        A connection has begun.
        """
        self.channels.add(channel)

    def channel_lost(self, channel: KnownChannel) -> None:
        """
        A connection has ended.
        """
        self.channels.discard(channel)
        if not self.channels:
            waiting, self._waiting = self._waiting, []
            for waiter in waiting:
                waiter.callback(None)

    def close(self) -> Deferred[None]:
        """
        End all connections, none of which may have an answer in progress. Fires when they have ended: when all that was
        written to them has gone out.
        """
        for channel in list(self.channels):
            channel.loseConnection()  # type: ignore[no-untyped-call]
        return self.empty()

    def cut(self) -> None:
        """
        End all connections at once.
        """
        for channel in list(self.channels):
            channel.abort()

    def empty(self) -> Deferred[None]:
        """
        Fires when no connection is open. May be cancelled.
        """
        if not self.channels:
            return succeed(None)
        waiter: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiter)
        return waiter

    def acceptableProtocols(self) -> list[bytes]:
        """
        HTTP/1.1 alone: C{protocol} speaks nothing else.
        """
        return [b"http/1.1"]

    def log(self, request: HTTPRequest) -> None:
        """
        Nothing: what is worth a line is logged where it is done.
        """
