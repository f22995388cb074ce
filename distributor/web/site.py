"""
The HTTP server of the public API.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.web.http import Request as HTTPRequest
from twisted.web.server import Site

from distributor.web.channel import Channel
from distributor.web.errors import METHOD_NOT_ALLOWED
from distributor.web.fast.channel import FastChannel
from distributor.web.fast.hits import Hits
from distributor.web.front import Front
from distributor.web.public_api import PublicApi, error_answer


class PublicSite(Site):
    """
    The HTTP server of the public API.

    @ivar channels: the connections that are open.
    """

    noisy = False

    def __init__(self, api: PublicApi, hits: Hits | None, **options: object) -> None:
        """
        @param hits: what is answered the short way, if anything is.
        """
        super().__init__(Front(api.app, METHOD_NOT_ALLOWED, error_answer), **options)  # type: ignore[no-untyped-call]
        self._hits = hits
        self.protocol = self._channel  # type: ignore[assignment]
        self.displayTracebacks = False
        self.channels: set[Channel] = set()
        self._waiting: list[Deferred[None]] = []

    def _channel(self) -> Channel:
        if self._hits is None:
            return Channel()  # type: ignore[no-untyped-call]
        channel = FastChannel()
        channel.hits = self._hits
        return channel

    def channel_made(self, channel: Channel) -> None:
        """
        A connection has begun.
        """
        self.channels.add(channel)

    def channel_lost(self, channel: Channel) -> None:
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
        Fires when no connection is open.
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
        Assets log their own end, with the request's id; the rest is not worth a line.
        """
