"""
A client's end of a connection to a storage node, in memory.
"""

from __future__ import annotations

from attrs import frozen
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.server import Site


class NarrowTransport(StringTransport):
    """
    Holds C{room} bytes; beyond that it pauses its producer, as a socket's buffer does, until it is drained.
    """

    def __init__(self, room: int | None) -> None:
        super().__init__()
        self.room = room
        self.full = False
        self.largest = 0
        self.taken = b""

    def write(self, data: bytes) -> None:
        super().write(data)
        self.largest = max(self.largest, len(self.value()))
        if self.room is not None and not self.full and len(self.value()) > self.room:
            self.full = True
            if self.producer is not None:
                self.producer.pauseProducing()

    def drain(self) -> bytes:
        """
        Take what is there; the producer may go on.
        """
        data: bytes = self.value()
        self.clear()
        self.taken += data
        if self.full:
            self.full = False
            if self.producer is not None:
                self.producer.resumeProducing()
        return data


@frozen
class Received:
    """
    One answer, as far as it has come.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    @classmethod
    def parse(cls, data: bytes) -> Received:
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("ascii").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        return cls(int(first.split()[1]), {name.lower(): value for name, value in headers.items()}, body)


class Connection:
    """
    An open connection.
    """

    def __init__(self, site: Site, room: int | None = None) -> None:
        self.transport = NarrowTransport(room)
        protocol = site.buildProtocol(self.transport.getPeer())
        assert protocol is not None
        self.protocol = protocol
        self.protocol.makeConnection(self.transport)

    def send(self, path: str, method: str = "GET", **headers: str) -> None:
        """
        Send a request. Underscores in the names of headers stand for hyphens.
        """
        lines = [f"{method} {path} HTTP/1.1", "Host: storage"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.protocol.dataReceived("\r\n".join([*lines, "", ""]).encode("utf-8"))

    def ask(self, path: str, method: str = "GET", **headers: str) -> Received:
        """
        Send a request, and take what has come of the answer at once.
        """
        self.transport.clear()
        self.send(path, method, **headers)
        return Received.parse(self.transport.value())

    def lose(self) -> None:
        """
        The client has gone: the transport stops the producer first, then tells the protocol, as real ones do.
        """
        if self.transport.producer is not None:
            self.transport.producer.stopProducing()
        self.protocol.connectionLost(Failure(ConnectionDone()))
