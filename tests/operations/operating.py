"""
An operator of a node in memory, and what he is told by the parts that are not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from distributor.model import Fault, FaultKind, Listing, StorageNode
from distributor.operations import Door, Operations
from distributor.web import errors
from distributor.web.gate import Gate
from distributor.web.operator_errors import Refused
from tests.operations.operated import CONTENT, HeldObject, Operated
from tests.stored import in_thread
from tests.web.openapi import Document

DOCUMENT = Document("operator-openapi.json")

SIZE = len(CONTENT)
STATUS: Mapping[str, object] = {
    "id": "a-node",
    "objectsInCache": 1,
    "storageLimit": 2,
    "storageUsed": 3,
    "uptime": 4,
    "downloadsInProgress": 5,
}
BUCKETS: Mapping[str, object] = {"bucketIds": ["0:1"]}
PART = HeldObject("1", SIZE, "a hash", None, "partial", ((5, 10),), 1.0, 2.0)
FAULT = Fault("7", "http://a/", "4", FaultKind.EARLY_END, "10", "5", 5, 12.5)


@frozen
class Row:
    """
    A row of the configuration.
    """

    key: str
    value: object
    origin: str


class KnowingCatalogue:
    """
    A catalogue that looks objects up where a node does.
    """

    def __init__(self, operated: Operated) -> None:
        self._operated = operated
        self.said: list[tuple[str, object]] = []

    async def lookup(self, object_id: str) -> Listing:
        return await self._operated.lookup(object_id)

    def explain(self, object_id: str) -> Mapping[str, object]:
        return {"ours": True, "why": f"{object_id} is in bucket 0:1", "ageS": 1.5}

    def status(self) -> Mapping[str, object]:
        return {"height": 100}

    def set_worker(self, worker_id: int) -> None:
        self.said.append(("worker", worker_id))

    def set_buckets(self, buckets: Sequence[str] | None) -> None:
        self.said.append(("buckets", buckets))


class RankedStorageNodes:
    """
    Storage nodes of which nothing was learnt.
    """

    def _row(self, endpoint: str, rank: int) -> dict[str, object]:
        return {
            "endpoint": endpoint,
            "buckets": ["0"],
            "rank": rank,
            "timeToFirstByteMs": None,
            "bytesPerSecond": None,
            "failures": 0,
            "breaker": "closed",
            "retryInS": None,
            "lastError": None,
            "version": None,
            "ignoresRanges": False,
            "lies": 0,
        }

    def ranking(self) -> list[dict[str, object]]:
        return [self._row("http://a/", 1), self._row("http://b/", 2)]

    def explain(self, nodes: Iterable[StorageNode]) -> list[dict[str, object]]:
        return [self._row(node.endpoint, rank) for rank, node in enumerate(nodes, 1)]


class OperationsCase(SynchronousTestCase):
    """
    A node, and its operator.
    """

    def setUp(self) -> None:
        self.operated = Operated(self)
        self.door = Door(Gate(10))
        self.catalogue = KnowingCatalogue(self.operated)
        self.shutdowns = 0
        self.operations = self.make()
        self.addCleanup(lambda: self.done(self.operations.stop()))
        self.operated.start()
        self.door.ready()

    def make(self, **changed: Any) -> Operations:
        parts: dict[str, Any] = {
            "door": self.door,
            "store": self.operated.store,
            "downloads": self.operated.downloads,
            "node": self.operated,
            "catalogue": self.catalogue,
            "scope": self.catalogue,
            "storage_nodes": RankedStorageNodes(),
            "settings": [Row("publicApi.port", 3334, "default"), Row("id", "a-node", "config.yml")],
            "status": lambda: STATUS,
            "buckets": lambda: BUCKETS,
            "shutdown": self.shut_down,
            "clock": self.operated.clock,
            "in_thread": in_thread,
            "readers": lambda object_id: 2,
            **changed,
        }
        return Operations(**parts)

    def shut_down(self) -> None:
        self.shutdowns += 1

    def done(self, coroutine: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def described(self, answer: Mapping[str, object], schema: str) -> Mapping[str, Any]:
        """
        C{answer}, which is what the document says.
        """
        DOCUMENT.validator(DOCUMENT.components["schemas"][schema]).validate(json.loads(json.dumps(answer)))
        return answer

    def assert_refused(self, error: errors.ApiError, f: Any, *args: object, message: str = "") -> None:
        with self.assertRaises(Refused) as caught:
            result = f(*args)
            if not isinstance(result, dict) and result is not None:
                self.done_or_raise(result)
        self.assertEqual((caught.exception.error.status, caught.exception.error.type), (error.status, error.type))
        self.assertIn(message, caught.exception.error.message)

    def done_or_raise(self, coroutine: Any) -> None:
        found: list[Any] = []
        Deferred.fromCoroutine(coroutine).addBoth(found.append)
        [result] = found
        if hasattr(result, "raiseException"):
            result.raiseException()
