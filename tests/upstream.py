"""
Storage nodes in memory, for tests: the real client, the real server, and no socket between them.
"""

from __future__ import annotations

import random
from math import inf
from pathlib import Path
from urllib.parse import urlsplit

from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from distributor.devnet import MediaFile, ServedRequest, StorageNode
from distributor.model import BLAKE3_256, ContentHash, DataObject, Fault, Listing
from distributor.model import StorageNode as StorageNodeAddress
from distributor.sources import Agents, StorageNodes

TIMEOUT_S = 5.0
AT_ONCE = 3

#: What is put off for no longer than this, in seconds, comes with what is due.
MOMENT_S = 0.001


def payload(size: int, seed: int = 1) -> bytes:
    """
    Bytes that never repeat, so that one in the wrong place is noticed.
    """
    return random.Random(seed).randbytes(size)


@implementer(IAgent)
class _ByHost:
    """
    An agent for several storage nodes, each under a host name of its own.
    """

    def __init__(self) -> None:
        self.agents: dict[str, RequestTraversalAgent] = {}
        self.sent_headers: list[Headers] = []

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        assert headers is not None
        self.sent_headers.append(headers)
        agent = self.agents.get(urlsplit(uri.decode("ascii")).hostname or "")
        if agent is None:
            return fail(ConnectionRefusedError())
        answer: Deferred[IResponse] = agent.request(method, uri, headers, bodyProducer)
        return answer


class Upstream:
    """
    Some storage nodes, all of which store one object.

    @ivar nodes: what the object's listing names, in this order.
    @ivar sent_headers: of each request that was made.
    @ivar reported: the evidence against them.
    """

    def __init__(self, case: SynchronousTestCase, clock: Clock, content: bytes, count: int = 1) -> None:
        self.clock = clock
        self.content = content
        path = Path(case.mktemp())
        path.write_bytes(content)
        self._agent = _ByHost()
        self.sent_headers = self._agent.sent_headers
        self.nodes = [StorageNode({"7": MediaFile.at(path)}, clock) for _ in range(count)]
        for index, node in enumerate(self.nodes):
            self._agent.agents[f"node{index}.example"] = RequestTraversalAgent(node.resource())
        self.addresses = tuple(StorageNodeAddress(str(i), f"http://node{i}.example/", True) for i in range(count))
        self.reported: list[Fault] = []
        self.agents = Agents(self._agent, self._agent)
        self.client = StorageNodes(self.agents, clock, "distributor/test", TIMEOUT_S, AT_ONCE, self.reported.append)
        self.listing = self.listing_of(content)

    def listing_of(self, content: bytes, *, type: str | None = None) -> Listing:
        """
        The listing of the object if its content were C{content}.
        """
        file = MediaFile.at(self.nodes[0].files["7"].path)
        hasher = ContentHash(BLAKE3_256, bytes(32)).hasher()
        hasher.update(content)
        content_hash = ContentHash(BLAKE3_256, hasher.digest())
        return Listing(DataObject("7", file.size, content_hash, type), self.addresses)

    def flush(self, turns: int = 200) -> None:
        """
        Let bytes and calls that are due pass, until nothing moves any more.
        """
        for _ in range(turns):
            self.pump()
            soon = min((call.getTime() for call in self.clock.getDelayedCalls()), default=inf) - self.clock.seconds()
            self.clock.advance(soon if 0 < soon < 2 * MOMENT_S else 0)

    def pump(self) -> None:
        """
        Let those bytes pass that are on their way.
        """
        for agent in self._agent.agents.values():
            agent.flush()

    def unplug(self, index: int) -> None:
        """
        From now on, node C{index} refuses connections.
        """
        del self._agent.agents[f"node{index}.example"]

    @property
    def requests(self) -> list[ServedRequest]:
        """
        What all of the nodes were asked for.
        """
        return [request for node in self.nodes for request in node.requests]

    @property
    def ranges(self) -> list[str | None]:
        """
        The C{Range} of each of those requests.
        """
        return [request.range_header for request in self.requests]
