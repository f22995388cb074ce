"""
The HTTP server of the public API: the connections, and what stands before Klein on each of them.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from klein import KleinRenderable
from twisted.internet.defer import Deferred, succeed
from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from distributor.web import errors
from distributor.web.channel import Channel
from distributor.web.fast.channel import FastChannel
from distributor.web.fast.hits import Hits
from distributor.web.headers import SERVER
from distributor.web.public_api import PublicApi, error_answer

# RFC 9112 §3.2.2: clients of proxies send it, and a server has to accept it.
_ABSOLUTE_FORM = re.compile(rb"https?://([^/?]*)", re.IGNORECASE)

_HOST = re.compile(rb"(?:[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


class Front(Resource):
    """
    Stands before Klein, and answers what Klein and Werkzeug would fail at.
    """

    isLeaf = True

    def __init__(self, api: PublicApi) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._klein = api.app.resource()

    def render(self, request: Request) -> KleinRenderable:
        request.setHeader(b"server", SERVER.encode("ascii"))
        # Werkzeug takes "get" for GET, where RFC 9110 §9.1 tells them apart.
        if not request.method.isalpha() or not request.method.isupper():
            return error_answer(request, errors.METHOD_NOT_ALLOWED)
        absolute = _ABSOLUTE_FORM.match(request.path)
        if absolute is not None:
            request.requestHeaders.setRawHeaders(b"Host", [absolute[1]])
            request.path = request.path[absolute.end() :] or b"/"
            request.postpath = [unquote_to_bytes(segment) for segment in request.path[1:].split(b"/")]
        try:
            unquote_to_bytes(request.path).decode("utf-8")
        except UnicodeDecodeError:
            return error_answer(request, errors.ROUTE_NOT_FOUND)
        if not _HOST.fullmatch(request.getHeader(b"host") or b""):
            # No answer depends on the name by which a client knows this node, but Werkzeug refuses odd ones.
            request.requestHeaders.setRawHeaders(b"Host", [b"localhost"])
        return self._klein.render(request)


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
        super().__init__(Front(api), **options)  # type: ignore[no-untyped-call]
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
