"""
The HTTP server of the operator's API.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.http import Request as HTTPRequest
from twisted.web.server import Request, Site

from distributor.web.front import Front
from distributor.web.operator_api import OperatorApi, error_answer
from distributor.web.operator_errors import METHOD_NOT_ALLOWED
from distributor.web.operator_request import LARGEST_BODY

#: The largest head of a request, in bytes: its token holds the body, and base64 makes four of three.
LARGEST_HEAD = 2 * LARGEST_BODY

#: A client that sends more than this many bytes of a body does not listen, and is cut off.
_LARGEST_NUISANCE = 16 * LARGEST_BODY


class _Request(Request):
    """
    Keeps no more of a body than may be looked at.

    @ivar overfull: whether there was more.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)  # type: ignore[no-untyped-call]
        self._came = 0
        self.overfull = False

    def handleContentChunk(self, data: bytes) -> None:
        self._came += len(data)
        if self._came <= LARGEST_BODY:
            super().handleContentChunk(data)  # type: ignore[no-untyped-call]
            return
        self.overfull = True
        if self._came > _LARGEST_NUISANCE:
            self.channel.transport.abortConnection()  # type: ignore[union-attr]


class _Channel(HTTPChannel):
    """
    A connection that its site knows of.
    """

    site: OperatorSite
    MAX_LENGTH = LARGEST_HEAD
    totalHeadersSize = LARGEST_HEAD

    def connectionMade(self) -> None:
        super().connectionMade()  # type: ignore[no-untyped-call]
        self.site.channels.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self.site.channel_lost(self)


class OperatorSite(Site):
    """
    The HTTP server of the operator's API.

    @ivar channels: the connections that are open.
    """

    noisy = False
    protocol = _Channel  # type: ignore[assignment]

    def __init__(self, api: OperatorApi, **options: Any) -> None:
        front = Front(api.app, METHOD_NOT_ALLOWED, error_answer)
        super().__init__(front, requestFactory=_Request, parsePOSTFormSubmission=False, **options)  # type: ignore[no-untyped-call]
        self.displayTracebacks = False
        self.channels: set[_Channel] = set()
        self._waiting: list[Deferred[None]] = []

    def channel_lost(self, channel: _Channel) -> None:
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
        End all connections. Fires when they have ended: when all that was written to them has gone out.
        """
        for channel in list(self.channels):
            channel.loseConnection()  # type: ignore[no-untyped-call]
        if not self.channels:
            return succeed(None)
        waiter: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiter)
        return waiter

    def cut(self) -> None:
        """
        End all connections at once.
        """
        for channel in list(self.channels):
            channel.transport.abortConnection()  # type: ignore[union-attr]

    def acceptableProtocols(self) -> list[bytes]:
        """
        HTTP/1.1 alone: C{protocol} speaks nothing else.
        """
        return [b"http/1.1"]

    def log(self, request: HTTPRequest) -> None:
        """
        What the operator does is logged where it is done.
        """
