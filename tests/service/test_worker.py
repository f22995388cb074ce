"""
Tests for L{distributor.service.worker}, with an owner.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from attrs import evolve
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.web.server import Site

from distributor.config import Config, Directories, Endpoints, standalone_config
from distributor.model import ObjectNotFound
from distributor.service import WorkerService, parts, worker
from distributor.workers import Crowd, Worker
from tests.service_in_memory import Endpoint, InMemory, Pool, Reactor
from tests.web.node_in_memory import ASSET, Answer, Visit
from tests.workers.wired import CONTENT, WiredCase

QUERY_NODE = Endpoints(query_node="http://query.example/graphql")


class WorkerServiceCase(WiredCase):
    """
    A whole worker, without threads and sockets, and its owner.
    """

    new_clock: Callable[[], Reactor] = Reactor

    def setUp(self) -> None:
        super().setUp()
        self.endpoint = Endpoint()
        self.patch(parts, "ThreadPool", Pool)
        self.patch(worker, "Connections", lambda *_, **named: InMemory(self.upstream.agents))
        self.ends = 0

    async def lookup(self, object_id: str) -> object:
        if object_id == "8":
            raise ObjectNotFound(object_id)
        return await super().lookup(object_id)

    def serve(self, config: Config | None = None) -> WorkerService:
        """
        One that serves.
        """
        service = WorkerService(
            self.clock,
            config or standalone_config(),
            Directories(assets=self.directory / "assets", cache_state=Path("none of a worker's")),
            3,
            [cast(IStreamServerEndpoint, self.endpoint)],
            lambda origin: f"the page at {origin}",
            "default-src 'none'",
            self.end,
        )
        service.startService()
        [(fd, _, factory)] = cast(Any, self.clock).adoptedStreamConnections
        self.assertEqual(fd, 3)
        self.employ(cast(Worker, factory.buildProtocol(None)))
        service.admit("")
        self.settle()
        return service

    def end(self) -> None:
        self.ends += 1

    @property
    def site(self) -> Site:
        assert self.endpoint.site is not None, "it does not listen"
        return self.endpoint.site

    def visit(self, room: int | None = None) -> Visit:
        """
        A client comes.
        """
        return Visit(cast(Any, self), room)

    def ask(self, target: str = ASSET) -> Answer:
        """
        The answer to a client, who then goes.
        """
        visit = self.visit()
        visit.send(target)
        answer = visit.answer
        visit.lose()
        return answer

    def stop(self, service: WorkerService) -> None:
        """
        Stop one that has nothing to wait for.
        """
        done = service.stopService()
        self.settle()
        self.successResultOf(done)


class WorkerServiceTests(WorkerServiceCase):
    """
    What a client of it gets, and what its owner.
    """

    def test_serves(self) -> None:
        """
        What its owner fetches, and then what is there.
        """
        service = self.serve()
        for cache in ("miss", "hit"):
            answer = self.ask()
            self.assertTrue(answer.whole and answer.body == CONTENT)
            self.assertEqual(answer["X-Cache"], cache)
        self.stop(service)

    def test_last_report(self) -> None:
        """
        What has happened up to its end is not lost: what it has answered, and what was read.
        """
        service = self.serve()
        self.ask()
        self.clock.advance(1)
        self.settle()
        self.counted.clear()
        touched: list[str] = []
        self.patch(self.store, "touch", lambda id, times: touched.append(id))
        visit = self.visit()
        visit.send(ASSET)
        self.assertEqual((self.counted, touched), ([], []))
        self.stop(service)
        self.assertEqual(self.counted, [{"answers hit 200": 1, "bytes sent": len(CONTENT), "first byte 0": 1}])
        self.assertEqual(touched, ["7"])
        self.assertEqual((self.owner.crowd, visit.wire.ended), (Crowd(), "closed"))

    def test_who_is_there(self) -> None:
        """
        Its owner knows how many clients it has, and how many of them it is answering.
        """
        service = self.serve()
        idle, reading = self.visit(), self.visit(room=1000)
        reading.send(ASSET)
        self.clock.advance(1)
        self.settle()
        self.assertEqual(self.owner.crowd, Crowd(answering=1, connections=2))
        for visit in (idle, reading):
            visit.lose()
        self.stop(service)

    def test_the_owner_is_gone(self) -> None:
        """
        It ends all the same.
        """
        service = self.serve()
        self.part()
        self.assertEqual(self.ends, 1)
        self.stop(service)

    def test_absence(self) -> None:
        """
        Others may remember that an object is not here for as long as if the owner had answered.
        """
        limits = standalone_config().limits
        for ttl_s, endpoints, expected in (
            (60, Endpoints(), "max-age=30"),
            (60, QUERY_NODE, "max-age=15"),
            (1.5, QUERY_NODE, "max-age=1"),
            (60, evolve(QUERY_NODE, storage_squid="http://squid.example/graphql"), "max-age=15"),
        ):
            config = evolve(
                standalone_config(), endpoints=endpoints, limits=evolve(limits, query_node_cache_ttl_s=ttl_s)
            )
            service = self.serve(config)
            answer = self.ask("/api/v1/assets/8")
            self.assertEqual((answer.status, answer["Cache-Control"]), (404, expected))
            self.stop(service)
            self.part()
            cast(Any, self.clock).adoptedStreamConnections.clear()
