"""
A whole service for tests, from its start to its end, without threads, sockets or waiting.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from attrs import evolve
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.internet.task import deferLater
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Site
from zope.interface import implementer

from distributor.cache import Disk, disk
from distributor.cache.disk import File, Listing
from distributor.catalogue import parse_manifest
from distributor.config import Config, Directories, Limits, standalone_config
from distributor.devnet import Cut, Ending, Fault
from distributor.service import Distributor, distributor, parts
from distributor.sources import Agents
from tests.upstream import TIMEOUT_S, Upstream, payload
from tests.web.node_in_memory import ASSET, Answer, Visit

CONTENT = payload(300_000)
CAME = 100_000
STALL = Fault(cut=Cut(CAME, Ending.STALL))
DRAIN_S = 30.0


class Reactor(MemoryReactorClock):
    """
    The reactor, as far as the service needs it.
    """

    def callFromThread(self, f: Callable[..., object], *args: object, **kwargs: object) -> None:
        f(*args, **kwargs)


class Pool:
    """
    A thread pool that works at once, unless it is told to wait.

    @ivar waiting: jobs that have not been done, where it waits.
    """

    waits = False
    waiting: list[Callable[[], None]] = []  # noqa: RUF012

    def __init__(self, minthreads: int = 5, maxthreads: int = 20, name: str | None = None) -> None:
        self.name = name
        self.running = False

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        assert self.running
        self.running = False

    def callInThreadWithCallback(
        self, told: Callable[[bool, object], object], f: Callable[..., object], *args: object, **kwargs: object
    ) -> None:
        assert self.running, f"a job for {self.name}, which does not run"

        def work() -> None:
            try:
                result = f(*args, **kwargs)
            except Exception:
                told(False, Failure())
            else:
                told(True, result)

        if Pool.waits:
            Pool.waiting.append(work)
        else:
            work()


@implementer(IStreamServerEndpoint)
class Endpoint:
    """
    Where the node listens: nowhere.

    @ivar site: the node's server, once it listens.
    """

    def __init__(self, refuses: Exception | None = None) -> None:
        self._refuses = refuses
        self.site: Site | None = None
        self.listens = 0
        self.stopped = False

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        if self._refuses is not None:
            return fail(self._refuses)
        assert isinstance(protocolFactory, Site)
        self.site = protocolFactory
        self.listens += 1
        return succeed(cast(IListeningPort, self))

    def stopListening(self) -> Deferred[None]:
        self.stopped = True
        return succeed(None)


class InMemory:
    """
    Stands for connections: there are none to close.
    """

    def __init__(self, agents: Agents) -> None:
        self.agents = agents

    async def close(self) -> None:
        pass


class ServiceCase(SynchronousTestCase):
    """
    A service over a storage node that has object 7.
    """

    def setUp(self) -> None:
        self.clock = Reactor()
        self.upstream = Upstream(self, cast(Any, self.clock), CONTENT)
        self.faults = self.upstream.nodes[0].faults
        self.directory = Path(self.mktemp()).absolute()
        self.assets = self.directory / "assets"
        self.endpoint = Endpoint()
        self.told: list[str] = []
        self.announced: list[list[IListeningPort]] = []
        self.given_up: list[str] = []
        self.written = self.manifest()
        self.pools: list[Pool] = []
        self.patch(Pool, "waits", False)
        self.patch(Pool, "waiting", [])
        self.patch(parts, "ThreadPool", self.pool)
        self.patch(parts, "Connections", lambda *_, **named: InMemory(self.upstream.agents))
        self.patch(distributor, "notify", lambda message, environ: self.told.append(message))

    def pool(self, *args: Any, **options: Any) -> Pool:
        pool = Pool(*args, **options)
        self.pools.append(pool)
        return pool

    def manifest(self, **more: object) -> str:
        """
        The text of a manifest with object 7.
        """
        object = self.upstream.listing.object
        described = {"size": object.size, "hash": str(object.content_hash), **more}
        return json.dumps(
            {"storageNodes": [{"id": "0", "endpoint": "http://node0.example/"}], "objects": {"7": described}}
        )

    def config(self, limits: dict[str, Any] | None = None, **more: Any) -> Config:
        config = standalone_config()
        changed: Limits = evolve(
            config.limits, **{"outbound_requests_timeout_s": TIMEOUT_S, "drain_timeout_s": DRAIN_S, **(limits or {})}
        )
        return evolve(config, id="a-node", limits=changed, **more)

    def make(self, config: Config | None = None, *endpoints: Endpoint) -> Distributor:
        """
        A service that has not been started.
        """
        return Distributor(
            self.clock,
            config or self.config(),
            Directories(assets=self.assets, cache_state=self.directory / "state"),
            lambda: parse_manifest(self.written, "manifest.yml"),
            [cast(IStreamServerEndpoint, each) for each in endpoints or (self.endpoint,)],
            lambda origin: f"the page at {origin}",
            "default-src 'none'",
            {},
            self.announced.append,
            self.given_up.append,
        )

    def slow_disk(self) -> None:
        """
        Twenty files that nobody has asked for, at each of which it takes a second to look.
        """
        self.assets.mkdir(parents=True)
        for number in range(100, 120):
            (self.assets / str(number)).write_bytes(b"left")
        self.patch(disk, "BATCH", 1)
        read = Disk.read

        async def slow(disk: Disk, listing: Listing) -> list[File]:
            await deferLater(cast(Any, self.clock), 1.0)
            return await read(disk, listing)

        self.patch(Disk, "read", slow)

    def started(self, config: Config | None = None) -> Distributor:
        """
        One that serves.
        """
        node = self.make(config)
        node.privilegedStartService()
        node.startService()
        self.settle()
        return node

    def stopped(self, node: Distributor) -> None:
        """
        Stop one whose clients are all served.
        """
        done = node.stopService()
        self.settle()
        self.successResultOf(done)
        self.assert_over(node)

    def assert_over(self, node: Distributor) -> None:
        """
        It holds nothing any more but what it holds until the process ends.
        """
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual([pool.running for pool in self.pools], [False] * len(self.pools))
        self.assertTrue(self.endpoint.stopped)
        self.assertEqual([path.name for path in (self.directory / "state").glob("*-wal")], [], "the index is open")
        node._parts.lock.release()

    def settle(self) -> None:
        self.upstream.flush(40)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.settle()

    @property
    def site(self) -> Site:
        assert self.endpoint.site is not None, "it does not listen"
        return self.endpoint.site

    def visit(self, room: int | None = None) -> Visit:
        """
        A client comes.
        """
        return Visit(cast(Any, self), room)

    def ask(self, target: str = ASSET, *fields: str, method: str = "GET") -> Answer:
        """
        The answer to a client, who then goes.
        """
        visit = self.visit()
        visit.send(target, *fields, method=method)
        answer = visit.answer
        visit.lose()
        return answer
