"""
What this room uses of a L{twisted.web.server.Request}, with the types that it has in fact.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, ITCPTransport
from twisted.web.http_headers import Headers


class Channel(Protocol):
    """
    The connection that a request came on.
    """

    transport: ITCPTransport

    def loseConnection(self) -> None: ...


class Exchange(Protocol):
    """
    A request, and the answer to it.
    """

    channel: Channel
    method: bytes
    postpath: list[bytes]
    responseHeaders: Headers

    def getHeader(self, key: str) -> str | None: ...

    def setResponseCode(self, code: int) -> None: ...

    def setHeader(self, name: str, value: str) -> None: ...

    def write(self, data: bytes) -> None: ...

    def finish(self) -> None: ...

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None: ...

    def unregisterProducer(self) -> None: ...

    def notifyFinish(self) -> Deferred[None]: ...
