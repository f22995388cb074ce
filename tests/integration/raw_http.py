"""
Answers over real sockets, as they come: a client that neither mends nor judges anything.
"""

from __future__ import annotations

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.interfaces import IReactorTCP, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure


@frozen
class Answer:
    """
    What came of an answer until its connection ended.

    @ivar status: 0 where not even the head came.
    @ivar headers: names in lower case.
    @ivar ended: the connection ended; else the time was up.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    ended: bool = True

    @classmethod
    def parse(cls, received: bytes, ended: bool) -> Answer:
        """
        Take apart what was received.
        """
        head, separator, body = received.partition(b"\r\n\r\n")
        if not separator:
            return cls(0, {}, b"", ended)
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = (line.partition(":") for line in lines)
        return cls(int(first.split()[1]), {name.lower(): value.strip() for name, _, value in fields}, body, ended)

    @property
    def complete(self) -> bool:
        """
        As many bytes came as the head had promised.
        """
        return self.status > 0 and self.headers.get("content-length") == str(len(self.body))


class _Asking(Protocol):
    """
    One request, and all that comes of it.
    """

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._received: list[bytes] = []
        self._over = False
        self.answered: Deferred[Answer] = Deferred()

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        self._received.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.end(True)

    def end(self, ended: bool) -> None:
        if not self._over:
            self._over = True
            self.answered.callback(Answer.parse(b"".join(self._received), ended))


class Client:
    """
    Asks one server, each time on a connection of its own.
    """

    def __init__(self, reactor: IReactorTime, port: int, timeout_s: float) -> None:
        """
        @param reactor: provides C{IReactorTCP}, too.
        @param port: of the loopback interface.
        @param timeout_s: within which an answer has to be over.
        """
        tcp = IReactorTCP(reactor)
        self._endpoint = TCP4ClientEndpoint(tcp, "127.0.0.1", port)
        self._reactor = reactor
        self._timeout_s = timeout_s

    async def get(self, path: str, range_header: str | None = None) -> Answer:
        """
        One answer, whatever becomes of it.
        """
        lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close"]
        if range_header is not None:
            lines.append(f"Range: {range_header}")
        asking = _Asking("\r\n".join([*lines, "", ""]).encode("ascii"))
        await connectProtocol(self._endpoint, asking)
        late = self._reactor.callLater(self._timeout_s, asking.end, False)
        answer = await asking.answered
        if late.active():
            late.cancel()
        assert asking.transport is not None
        asking.transport.abortConnection()  # type: ignore[attr-defined]
        return answer
