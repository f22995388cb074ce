"""
A request for an asset, and the way back to who made it: what an answer needs of the machinery of HTTP, whichever it is.
"""

from __future__ import annotations

from typing import Protocol as TypingProtocol

from twisted.internet.interfaces import IConsumer
from twisted.web.http import RESPONSES, Request

from distributor.delivery import Channel
from distributor.web.asset_request import field_value
from distributor.web.channel import shown
from distributor.web.headers import Headers

# Those that Twisted does not know.
_PHRASES = {421: b"Misdirected Request", 429: b"Too Many Requests"}


def phrase(status: int) -> bytes:
    """
    The reason phrase of a status.
    """
    return _PHRASES.get(status) or RESPONSES[status]


def write_head(request: Request, status: int, headers: Headers) -> None:
    """
    Send the status line and the header fields.
    """
    request.setResponseCode(status, phrase(status))
    for name, value in headers:
        request.responseHeaders.addRawHeader(name, value)
    request.write(b"")


class Exchange(TypingProtocol):
    """
    One request, and its answer as far as it has been sent.
    """

    @property
    def method(self) -> str:
        """C{GET} or C{HEAD}."""

    @property
    def target(self) -> str:
        """As it was sent, for people."""

    @property
    def query(self) -> bytes:
        """What follows the C{?} in it, undecoded."""

    @property
    def peer(self) -> str:
        """Who has connected."""

    @property
    def channel(self) -> Channel:
        """The connection."""

    @property
    def consumer(self) -> IConsumer:
        """What takes the body; nothing goes out of what answers a HEAD."""

    @property
    def status(self) -> int:
        """Of the answer."""

    @property
    def headed(self) -> bool:
        """Whether the head has been sent."""

    @property
    def sent(self) -> int:
        """How many bytes of the body have been."""

    def field(self, name: str) -> str | None:
        """The value of a header field of the request, as L{field_value} has it."""

    def write_head(self, status: int, headers: Headers, *, more: bool) -> None:
        """
        Send the head of the answer.

        @param more: a body follows at once.
        """

    def count(self, length: int) -> None:
        """So many bytes of the body have gone past the consumer."""

    def end_connection(self) -> None:
        """This is the last answer on its connection; to be said before its head is sent."""

    def abort(self) -> None:
        """Cut the connection: what was sent must not look whole."""


class RequestExchange:
    """
    What came through L{HTTPChannel<twisted.web.http.HTTPChannel>}, and goes back that way.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self.method = request.method.decode("ascii")
        self.target = request.uri.decode("ascii", "backslashreplace")
        self.query = request.uri.partition(b"?")[2]
        self.peer = shown(request.getClientAddress())
        self.consumer: IConsumer = request

    @property
    def channel(self) -> Channel:
        """
        The connection.
        """
        channel: Channel = self._request.channel
        return channel

    @property
    def status(self) -> int:
        """
        Of the answer.
        """
        return self._request.code

    @property
    def headed(self) -> bool:
        """
        Whether the head has been sent.
        """
        return bool(self._request.startedWriting)

    @property
    def sent(self) -> int:
        """
        How many bytes of the body have been.
        """
        return self._request.sentLength

    def field(self, name: str) -> str | None:
        """
        The value of a header field of the request.
        """
        return field_value(self._request.requestHeaders.getRawHeaders(name.encode("ascii")))

    def write_head(self, status: int, headers: Headers, *, more: bool) -> None:
        """
        Send the head of the answer.
        """
        write_head(self._request, status, headers)

    def count(self, length: int) -> None:
        """
        So many bytes of the body have gone past the request.
        """
        self._request.sentLength += length

    def end_connection(self) -> None:
        """
        This is the last answer on its connection.
        """
        self._request.responseHeaders.setRawHeaders("Connection", ["close"])
        # Twisted heeds that field in requests alone.
        self._request.channel.persistent = False

    def abort(self) -> None:
        """
        Cut the connection.
        """
        self._request.transport.abortConnection()  # type: ignore[union-attr]
