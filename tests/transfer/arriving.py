"""
Storage nodes whose every answer, and every byte of it, comes when the test says so.
"""

from __future__ import annotations

from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IProtocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.resource import Resource

from distributor.model import ByteRange, Fault, StorageNode
from distributor.sources import Agents, Body, SourceError, StorageNodes


class Answer:
    """
    One request, and the answer to it.

    @ivar content: the object, as this node has it.
    """

    def __init__(self, node: StorageNode, wanted: ByteRange, content: bytes) -> None:
        self.node = node
        self.wanted = wanted
        self.head: Deferred[ByteRange] = Deferred()
        self.content = content
        self._transport = StringTransport()
        self._protocol: IProtocol | None = None
        self._left = wanted

    def deliverBody(self, protocol: IProtocol) -> None:
        self._protocol = protocol
        protocol.makeConnection(self._transport)

    def accept(self, *, whole: bool = False) -> None:
        """
        Let the head come.

        @param whole: C{Range} is ignored.
        """
        self._left = ByteRange(0, len(self.content)) if whole else self.wanted
        self.head.callback(self._left)

    def refuse(self, *, timed_out: bool = False) -> None:
        """
        Let there be no usable answer.
        """
        self.head.errback(SourceError("refused", timed_out=timed_out))

    def give(self, length: int) -> None:
        """
        Let so many bytes come, and the end of the answer with the last.
        """
        assert self._protocol is not None
        start = self._left.start
        stop = min(start + length, self._left.stop)
        ends = stop == self._left.stop
        if not ends:
            self._left = ByteRange(stop, self._left.stop)
        self._protocol.dataReceived(self.content[start:stop])
        if ends:
            self._protocol.connectionLost(Failure(ResponseDone()))

    def give_all(self) -> None:
        """
        Let all that is left come.
        """
        self.give(len(self._left))

    def break_off(self) -> None:
        """
        Let the connection be lost.
        """
        assert self._protocol is not None
        self._protocol.connectionLost(Failure(ConnectionLost()))

    @property
    def paused(self) -> bool:
        """
        Whether the connection is.
        """
        return self._transport.producerState == "paused"

    @property
    def dropped(self) -> bool:
        """
        Whether the connection has been closed from this side, or the request been taken back.
        """
        return bool(self._transport.disconnecting) or (self._protocol is None and self.head.called)


class ArrivingNodes(StorageNodes):
    """
    The client of storage nodes as it is, but that requests go nowhere.

    @ivar answers: of every request, in order.
    @ivar prepared: the URLs for which a connection was to be ready, and whether the operator named them.
    @ivar taken: how many places are taken.
    @ivar reported: the evidence against them.
    """

    def __init__(self, clock: Clock, content: bytes, timeout_s: float, at_once: int = 100) -> None:
        nowhere = RequestTraversalAgent(Resource())
        self.reported: list[Fault] = []
        self.prepared: list[tuple[bytes, bool]] = []
        agents = Agents(nowhere, nowhere, lambda *prepared: self.prepared.append(prepared))
        super().__init__(agents, clock, "distributor/test", timeout_s, at_once, self.reported.append)
        self._content = content
        self.answers: list[Answer] = []
        self.taken = 0

    async def take_place(self) -> None:
        await super().take_place()
        self.taken += 1

    def take_spare_place(self) -> bool:
        taken = super().take_spare_place()
        self.taken += taken
        return taken

    def leave_place(self) -> None:
        super().leave_place()
        self.taken -= 1

    async def fetch(self, node: StorageNode, object_id: str, size: int, wanted: ByteRange) -> Body:
        answer = Answer(node, wanted, self._content)
        self.answers.append(answer)
        body = await answer.head
        return Body(body.start, body.stop, None, answer)

    @property
    def asked(self) -> list[tuple[str, int, int]]:
        """
        Which node was asked for which bytes.
        """
        return [(answer.node.id, answer.wanted.start, answer.wanted.stop) for answer in self.answers]
