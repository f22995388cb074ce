"""
The operator's API for tests: real HTTP and real tokens, over operations that are made up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from distributor.observe import Sparse
from distributor.web.operator_api import OperatorApi
from distributor.web.operator_site import OperatorSite
from distributor.web.token import Tokens, sign
from tests.web.node_in_memory import Answer, Visit

SECRET = "a secret that is long enough to please everybody"
NOW = 1_700_000_000.0

EVICTED: Mapping[str, object] = {"objectId": "7", "freed": 10}


class MadeUpOperations:
    """
    Answers what a test wants, and remembers what it was asked.

    @ivar answers: by the name of a method; an exception is raised, a Deferred awaited.
    @ivar asked: the name of each method that was called, and its arguments.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, tuple[object, ...]]] = []

    def _answer(self, name: str, *args: object) -> Any:
        self.asked.append((name, args))
        answer = self.answers.get(name, {})
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _answer_later(self, name: str, *args: object) -> Any:
        answer = self._answer(name, *args)
        return await answer if isinstance(answer, Deferred) else answer

    def status(self) -> Any:
        return self._answer("status")

    def buckets(self) -> Any:
        return self._answer("buckets")

    def downloads(self) -> Any:
        return self._answer("downloads")

    def config(self) -> Any:
        return self._answer("config")

    def storage_nodes(self) -> Any:
        return self._answer("storage_nodes")

    async def faults(self, limit: int) -> Any:
        return await self._answer_later("faults", limit)

    async def objects(self, after: str | None, limit: int) -> Any:
        return await self._answer_later("objects", after, limit)

    async def explain(self, object_id: str) -> Any:
        return await self._answer_later("explain", object_id)

    async def evict(self, object_id: str) -> Any:
        return await self._answer_later("evict", object_id)

    async def prefetch(self, object_ids: Sequence[str]) -> Any:
        return await self._answer_later("prefetch", object_ids)

    def prefetching(self) -> Any:
        return self._answer("prefetching")

    def stop_prefetching(self) -> Any:
        return self._answer("stop_prefetching")

    def verify(self, rate: int | None) -> Any:
        return self._answer("verify", rate)

    def verification(self) -> Any:
        return self._answer("verification")

    def stop_verifying(self) -> Any:
        return self._answer("stop_verifying")

    async def save_cache_state(self) -> Any:
        return await self._answer_later("save_cache_state")

    def set_worker(self, worker_id: int) -> None:
        self._answer("set_worker", worker_id)

    def set_buckets(self, buckets: tuple[str, ...] | None) -> None:
        self._answer("set_buckets", buckets)

    def stop_api(self) -> None:
        self._answer("stop_api")

    def start_api(self) -> None:
        self._answer("start_api")

    def shutdown(self) -> None:
        self._answer("shutdown")


class MadeUpMetrics:
    """
    One metric.
    """

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def text(self) -> bytes:
        return b"up 1.0\n"


class OperatorInMemory:
    """
    An operator's API, and one who holds its secret.
    """

    def __init__(self, case: SynchronousTestCase) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.operations = MadeUpOperations()
        self.tokens = Tokens(SECRET)
        trouble = Sparse(self.clock, Logger())
        api = OperatorApi(self.operations, self.tokens, MadeUpMetrics(), self.clock.seconds, trouble)
        self.site = OperatorSite(api, timeout=None, reactor=self.clock)
        self._signed = 0
        case.addCleanup(lambda: case.assertEqual(self.clock.getDelayedCalls(), []))

    def settle(self) -> None:
        """
        Let what is due happen.
        """
        self.clock.advance(0)

    def visit(self) -> Visit:
        """
        A client comes.
        """
        return Visit(self)  # type: ignore[arg-type]

    def authorization(self, method: str, target: str, body: Mapping[str, object]) -> str:
        """
        The header field of a request that the operator has signed.
        """
        self._signed += 1
        token = sign(SECRET, target, body, self.clock.seconds(), method=method, id=str(self._signed))
        return f"Authorization: Bearer {token}"

    def send(self, visit: Visit, method: str, target: str, body: Mapping[str, object] | None = None) -> None:
        """
        Send a signed request.
        """
        content = b"" if body is None else json.dumps(body).encode("ascii")
        fields = [self.authorization(method, target, body or {}), f"Content-Length: {len(content)}"]
        if content:
            fields.append("Content-Type: application/json")
        self.send_raw(visit, method, target, *fields, content=content)

    def send_raw(self, visit: Visit, method: str, target: str, *fields: str, content: bytes = b"") -> None:
        """
        Send any request.
        """
        visit.put(target, *fields, method=method)
        if content and visit.wire.protocol is not None:
            visit.wire.protocol.dataReceived(content)
        self.settle()

    def ask(self, method: str, target: str, body: Mapping[str, object] | None = None) -> Answer:
        """
        The answer to a signed request.
        """
        visit = self.visit()
        self.send(visit, method, target, body)
        return visit.answer

    def ask_raw(self, method: str, target: str, *fields: str, content: bytes = b"") -> Answer:
        """
        The answer to any request.
        """
        visit = self.visit()
        self.send_raw(visit, method, target, *fields, content=content)
        return visit.answer
