"""
An HTTP server, Twisted's own, whose answers are delivered as the test says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IConsumer
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from distributor.delivery import deliver
from distributor.model import ByteRange, DistributorError, IReader
from distributor.transfer import Passage
from tests.delivery.readers import ScriptedReader, payload
from tests.delivery.sockets import Line, Turns
from tests.stored import in_thread

CONTENT = payload(700_000)
WHOLE = (ByteRange(0, len(CONTENT)),)

Pieces = Sequence[bytes | ByteRange]


class GivenPassage:
    """
    Stands for bytes from a storage node: they are there at once.
    """

    def __init__(self, content: bytes, error: Exception | None) -> None:
        self._content = content
        self._error = error

    def send_to(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._content)
        done: Deferred[None] = succeed(None)
        return done if self._error is None else done.addCallback(lambda _: Failure(self._error))


class GivenSource:
    """
    Where the bytes of one answer come from, for tests.

    @ivar asked: what was wanted from storage nodes.
    @ivar failures: why the file did not do.
    """

    def __init__(
        self, reader: IReader | None, refuses: Exception | None = None, fails: Exception | None = None
    ) -> None:
        """
        @param refuses: why no storage node can be asked.
        @param fails: what happens after the bytes of a passage.
        """
        self.reader = reader
        self.asked: list[ByteRange] = []
        self.failures: list[DistributorError] = []
        self._refuses = refuses
        self._fails = fails

    def reading_failed(self, error: DistributorError) -> None:
        self.failures.append(error)

    async def passage(self, wanted: ByteRange) -> Passage:
        self.asked.append(wanted)
        if self._refuses is not None:
            raise self._refuses
        return cast(Passage, GivenPassage(CONTENT[wanted.start : wanted.stop], self._fails))


class Answering(Resource):
    """
    Answers each request with the next of its bodies, and remembers how that went.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[tuple[Pieces, GivenSource]] = []
        self.results: list[Deferred[None]] = []
        self.requests: list[Request] = []
        self.events: list[str] = []

    def render_GET(self, request: Request) -> int:
        pieces, source = self.bodies.pop(0)
        length = sum(len(piece) for piece in pieces)
        request.setHeader(b"Content-Length", b"%d" % length)
        request.write(b"")
        self.requests.append(request)

        def count(length: int) -> None:
            request.sentLength += length

        sent = Deferred.fromCoroutine(deliver(request, request.channel, count, pieces, source, in_thread))
        self.results.append(sent)
        request.notifyFinish().addErrback(lambda _: self.events.append("gone"))
        sent.addCallbacks(lambda _: request.finish(), self._failed)
        return NOT_DONE_YET

    def _failed(self, failure: Failure) -> Failure:
        self.events.append(type(failure.value).__name__)
        return failure


class AnswerCase(SynchronousTestCase):
    """
    A server that answers with what the test says.
    """

    def setUp(self) -> None:
        self.reactor = Turns()
        self.answering = Answering()
        self.site = Site(self.answering, reactor=self.reactor)
        self.reader = ScriptedReader(self, CONTENT)
        self.addCleanup(lambda: self.assertFalse(self.reader.waiting))

    def build(self, _: object) -> Any:
        return self.site.buildProtocol(cast(IAddress, None))

    def line(self) -> Line:
        """
        A connection over TCP.
        """
        return Line(self, self.reactor, self.build)

    def will_answer(self, pieces: Pieces = WHOLE, source: GivenSource | None = None) -> GivenSource:
        """
        Say how the next request is answered: by default, with the whole object from the file.
        """
        source = source or GivenSource(self.reader)
        self.answering.bodies.append((pieces, source))
        return source


def request(path: str = "/", *fields: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: node", *fields, "", ""]).encode("ascii")


def bodies(received: bytes) -> list[bytes]:
    """
    The bodies of answers with C{Content-Length}, the last of them perhaps not whole.
    """
    found = []
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        [length] = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-l")]
        found.append(received[:length])
        received = received[length:]
    return found
