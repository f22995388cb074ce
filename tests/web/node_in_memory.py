"""
A whole node for the tests of its front door: real HTTP, a real store, storage nodes in memory, and neither threads nor
sockets.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, frozen
from twisted.internet.address import IPv4Address
from twisted.internet.defer import maybeDeferred
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from distributor.devnet import MediaFile
from distributor.model import InThread, Listing, ObjectNotFound
from distributor.node import Node
from distributor.observe import AccessLog, Sparse
from distributor.observe.tally import Tally
from distributor.transfer import Downloads
from distributor.web.asset import Assets
from distributor.web.fast.hits import Hits
from distributor.web.forwarded import Proxies
from distributor.web.gate import Gate
from distributor.web.public_api import PublicApi
from distributor.web.site import PublicSite
from tests.stored import in_thread, started_store
from tests.upstream import Upstream

#: Storage nodes are not tried again: how that goes is shown in tests.transfer.test_download.
NO_PATIENCE_S = 0.0

ASSET = "/api/v1/asset/7"
STATUS: Mapping[str, object] = {"id": "a-node", "objectsInCache": 3}
BUCKETS: Mapping[str, object] = {"bucketIds": [0, "0:1"]}
PAGE = "<!doctype html><title>Ä page at {origin}</title>"
POLICY = "default-src 'none'"


def page(origin: str) -> str:
    """
    The page for people.
    """
    return PAGE.format(origin=origin)


@frozen
class Answer:
    """
    One answer, as far as it has come.

    @ivar fields: names in lower case.
    @ivar whole: whether all of its body has come; L{False} where only the end of the connection could tell.
    """

    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes
    whole: bool

    def __getitem__(self, name: str) -> str:
        """
        The one value of a field.
        """
        [value] = [value for each, value in self.fields if each == name.lower()]
        return value

    def __contains__(self, name: str) -> bool:
        return any(each == name.lower() for each, _ in self.fields)

    def without(self, *names: str) -> dict[str, str]:
        """
        All fields but some, each of which comes once.
        """
        assert len(dict(self.fields)) == len(self.fields), f"a field comes twice: {self.fields}"
        return {name: value for name, value in self.fields if name not in names}


def answers(received: bytes, methods: list[str]) -> list[Answer]:
    """
    The answers on a connection, to requests with C{methods}; the last may be incomplete.
    """
    found = []
    for method in methods:
        head, blank, received = received.partition(b"\r\n\r\n")
        if not blank:
            break
        first, *lines = head.decode("ascii").split("\r\n")
        status = int(first.split()[1])
        fields = tuple((name.lower(), value) for name, _, value in (line.partition(": ") for line in lines))
        lengths = {int(value) for name, value in fields if name == "content-length"}
        if method == "HEAD" or status in (204, 304):
            lengths = {0}
        length = lengths.pop() if lengths else None
        body, received = received[:length], received[len(received) if length is None else length :]
        found.append(Answer(status, fields, body, length is not None and len(body) == length))
    assert not received, f"more than was asked for: {received[:80]!r}"
    return found


class Wire(StringTransport):
    """
    The node's end of a connection, which ends as real ones do: after what was written, or at once; then it stops its
    producer, and only then tells its protocol.

    @ivar ended: how the connection has ended for the client: C{"closed"}, C{"cut"}, or not yet.
    """

    def __init__(self, clock: Clock, room: int | None) -> None:
        """
        @param room: how much is buffered before the producer is paused. As TLS does, this tells it once, until it may
            go on; a client that has no C{room} takes everything at once.
        """
        super().__init__()
        self._clock = clock
        self._room = room
        self._full = False
        self.protocol: Any = None
        self.received = b""
        self.most = 0
        self.ended: str | None = None

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "192.0.2.7", 4321)

    def write(self, data: bytes) -> None:
        if self.disconnected or self.ended is not None:
            return
        super().write(data)
        self._written()

    def writeSequence(self, data: list[bytes]) -> None:
        self.write(b"".join(data))

    def _written(self) -> None:
        if self._room is None:
            self.take()
        elif not self._full and len(self.value()) > self._room:
            self._full = True
            if self.producer is not None:
                self.producer.pauseProducing()

    def take(self) -> None:
        """
        The client takes all there is.
        """
        self.most = max(self.most, len(self.value()))
        self.received += self.value()
        self.clear()
        if self.disconnecting:
            self._end_soon("closed")
        elif self._full:
            self._full = False
            if self.producer is not None:
                self.producer.resumeProducing()

    def loseConnection(self) -> None:
        super().loseConnection()
        if not self.value():
            self._end_soon("closed")

    def abortConnection(self) -> None:
        # As with a real one, this is not the orderly end that is called disconnecting.
        self.disconnected = True
        self._end_soon("cut")

    def _end_soon(self, how: str) -> None:
        if self.ended is None:
            self.ended = how
            self._clock.callLater(0, self._lose, ConnectionAborted() if how == "cut" else ConnectionDone())

    def lose(self) -> None:
        """
        The client has gone.
        """
        self._lose(ConnectionDone())

    def _lose(self, reason: Exception) -> None:
        protocol, self.protocol = self.protocol, None
        if protocol is None:
            return
        self.ended = self.ended or "left"
        self.connected = False
        producer, self.producer = self.producer, None
        if producer is not None:
            producer.stopProducing()
        protocol.connectionLost(Failure(reason))

    # As with a real one, what comes after the end is no matter.

    def unregisterProducer(self) -> None:
        self.producer = None

    def pauseProducing(self) -> None:
        pass

    def resumeProducing(self) -> None:
        pass


class Visit:
    """
    One connection of a client.
    """

    def __init__(self, node: NodeInMemory, room: int | None = None) -> None:
        self._node = node
        self._methods: list[str] = []
        self.wire = Wire(node.clock, room)
        self.wire.protocol = node.site.buildProtocol(self.wire.getPeer())
        self.wire.protocol.makeConnection(self.wire)

    def send(self, target: str | bytes, *fields: str | bytes, method: str = "GET", host: bytes = b"node") -> None:
        """
        Send a request, and let the node get on with it as far as it can.

        @param fields: whole lines.
        """
        self.put(target, *fields, method=method, host=host)
        self._node.settle()

    def put(self, target: str | bytes, *fields: str | bytes, method: str = "GET", host: bytes = b"node") -> None:
        """
        Send a request, and let nothing happen but what happens at once.
        """
        path = target.encode("ascii") if isinstance(target, str) else target
        lines = [b"%s %s HTTP/1.1" % (method.encode("ascii"), path), b"Host: " + host]
        lines += [field.encode("latin-1") if isinstance(field, str) else field for field in fields]
        self._methods.append(method)
        assert self.wire.protocol is not None, "the connection has ended"
        self.wire.protocol.dataReceived(b"\r\n".join([*lines, b"", b""]))

    @property
    def answers(self) -> list[Answer]:
        """
        What has come so far.
        """
        return answers(self.wire.received, self._methods)

    @property
    def answer(self) -> Answer:
        """
        The only answer, as far as it has come.
        """
        [answer] = self.answers
        return answer

    def lose(self) -> None:
        """
        The client goes away.
        """
        self.wire.lose()
        self._node.settle()


class ListedCatalogue:
    """
    Knows what it is told.

    @ivar listings: by object id; an exception is raised.
    @ivar asked: the ids that were looked up.
    """

    negative_ttl_s = 12

    def __init__(self) -> None:
        self.listings: dict[str, Listing | Exception] = {}
        self.asked: list[str] = []

    async def lookup(self, object_id: str) -> Listing:
        self.asked.append(object_id)
        listing = self.listings.get(object_id, ObjectNotFound(object_id))
        if isinstance(listing, Exception):
            raise listing
        return listing


class NodeInMemory:
    """
    A node that distributes object 7, which C{upstream} has.
    """

    def __init__(
        self,
        case: SynchronousTestCase,
        content: bytes,
        *,
        storage_nodes: int = 1,
        capacity: int = 10**9,
        largest_cached: int | None = None,
        most_answers: int = 100,
        at_once: int = 10,
        queue_length: int = 10,
        in_thread: InThread = in_thread,
        fast: bool = True,
    ) -> None:
        """
        @param fast: whether hits are answered the short way.
        """
        self.case = case
        self.clock = Clock()
        self.directory = Path(case.mktemp())
        self.upstream = Upstream(case, self.clock, content, storage_nodes)
        self.catalogue = ListedCatalogue()
        self.catalogue.listings["7"] = self.upstream.listing
        self.store = started_store(case, self.clock, capacity, self.directory)
        trouble = Sparse(self.clock, Logger("distributor.trouble"))
        self.downloads = Downloads(
            self.store, self.upstream.client, self.clock, in_thread, trouble, at_once, queue_length, NO_PATIENCE_S
        )
        self.node = Node(
            self.store,
            self.downloads,
            self.catalogue,
            self.upstream.client,
            self.clock,
            in_thread,
            trouble,
            largest_cached=largest_cached,
            patience_s=60.0,
            most_passages=2,
        )
        self.gate = Gate(most_answers)
        self.tally = Tally()
        self.ready = True
        self.access = AccessLog(self.clock, Logger("distributor.access"))
        self.assets = Assets(self.node, self.gate, self.clock, Proxies([]), self.tally, self.access)
        self.api = PublicApi(
            self.assets,
            lambda: STATUS,
            lambda: BUCKETS,
            None,
            lambda: self.ready,
            page,
            POLICY,
        )
        self.site = PublicSite(self.api, Hits(self.assets) if fast else None, timeout=None, reactor=self.clock)
        self._visits: list[Visit] = []
        case.addCleanup(self._end)

    def _end(self) -> None:
        for visit in self._visits:
            visit.lose()
        stopped = maybeDeferred(self.downloads.stop)
        self.access.flush()
        self.settle()
        self.case.successResultOf(stopped)
        self.case.successResultOf(self.gate.empty())
        self.case.assertEqual(self.clock.getDelayedCalls(), [])
        books = self.store.used, self.store.reserved
        files = [path for path in self.directory.glob("assets/**/*") if path.is_file() and path.name != "lock"]
        self.case.assertEqual(books, (sum(path.stat().st_size for path in files), 0), "the store's books are wrong")

    def settle(self) -> None:
        """
        Let bytes and calls that are due pass, until nothing moves any more.
        """
        self.upstream.flush(40)

    def visit(self, room: int | None = None) -> Visit:
        """
        A client comes.
        """
        visit = Visit(self, room)
        self._visits.append(visit)
        return visit

    def ask(
        self, target: str | bytes = ASSET, *fields: str | bytes, method: str = "GET", host: bytes = b"node"
    ) -> Answer:
        """
        The answer to a request on a connection of its own.
        """
        visit = self.visit()
        visit.send(target, *fields, method=method, host=host)
        return visit.answer

    def list(self, object_id: str, content: bytes, *, type: str | None = None) -> Listing:
        """
        Have one more object, at the first storage node.
        """
        path = Path(self.case.mktemp())
        path.write_bytes(content)
        self.upstream.nodes[0].files[object_id] = MediaFile.at(path)
        listing = listing_of(self.upstream, object_id, content, type=type)
        self.catalogue.listings[object_id] = listing
        return listing


def listing_of(upstream: Upstream, object_id: str, content: bytes, *, type: str | None = None) -> Listing:
    """
    What the catalogue says of an object that has C{content}.
    """
    listing = upstream.listing_of(content, type=type)
    return evolve(listing, object=evolve(listing.object, id=object_id, size=len(content)))
