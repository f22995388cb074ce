"""
Tests for L{distributor.operations.operations}.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from distributor.cache.inventory import Partial
from distributor.model import CatalogueUnavailable, DiskFailed, Fault, FaultKind, Listing, StorageNode
from distributor.operations import Door, Operations
from distributor.web import errors, operator_errors
from distributor.web.gate import Gate
from distributor.web.operator_errors import Refused
from tests.operations.operated import CONTENT, Operated
from tests.stored import in_thread
from tests.web.test_operator_openapi import DOCUMENT, validator

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
        validator(DOCUMENT["components"]["schemas"][schema]).validate(json.loads(json.dumps(answer)))
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


class SeeingTests(OperationsCase):
    """
    What there is.
    """

    def test_status(self) -> None:
        """
        The public status, and more.
        """
        status = self.described(self.operations.status(), "Status")
        self.assertEqual({name: status[name] for name in STATUS}, STATUS)
        self.assertEqual((status["publicApi"], status["queryNode"]), ("running", {"height": 100}))
        self.operations.stop_api()
        self.assertEqual(self.operations.status()["publicApi"], "stopped")

    def test_buckets(self) -> None:
        """
        The public buckets.
        """
        self.assertEqual(self.described(self.operations.buckets(), "Buckets"), BUCKETS)

    def test_config(self) -> None:
        """
        Each row of the configuration, in its order.
        """
        rows = self.described(self.operations.config(), "Config")["config"]
        self.assertEqual(rows[0], {"key": "publicApi.port", "value": 3334, "origin": "default"})
        self.assertEqual(rows[1]["key"], "id")

    def test_downloads(self) -> None:
        """
        What is coming, and how far it is.
        """
        self.assertEqual(self.described(self.operations.downloads(), "Downloads"), {"downloads": []})
        reader = self.operated.read("7")
        [download] = self.described(self.operations.downloads(), "Downloads")["downloads"]
        self.assertEqual((download["objectId"], download["state"], download["readers"]), ("7", "filling", 1))
        reader.close()

    def test_storage_nodes(self) -> None:
        """
        As they are ranked.
        """
        nodes = self.described(self.operations.storage_nodes(), "StorageNodes")["storageNodes"]
        self.assertEqual([node["endpoint"] for node in nodes], ["http://a/", "http://b/"])

    def test_faults(self) -> None:
        """
        The evidence, as much as is wanted.
        """
        self.operated.store.given_faults = [FAULT] * 3
        faults = self.described(self.done(self.operations.faults(2)), "Faults")["faults"]
        self.assertEqual(len(faults), 2)
        self.assertEqual(
            faults[0],
            {
                "objectId": "7",
                "endpoint": "http://a/",
                "bucket": "4",
                "kind": "early_end",
                "expected": "10",
                "got": "5",
                "bytes": 5,
                "at": 12.5,
            },
        )

    def test_objects(self) -> None:
        """
        The index, page by page, to its end.
        """
        self.operated.have("3", "1", "2")
        found, after = [], None
        for _ in range(10):
            page = self.described(self.done(self.operations.objects(after, 2)), "Objects")
            found += [each["objectId"] for each in page["objects"]]
            after = page["next"]
            if after is None:
                break
        self.assertEqual(found, ["1", "2", "3"])
        [one] = self.done(self.operations.objects("2", 2))["objects"]
        self.assertEqual((one["state"], one["size"], one["present"], one["hits"]), ("complete", SIZE, SIZE, 0))

    def test_objects_that_come(self) -> None:
        """
        Of an object that is coming, the download knows better than the index.
        """
        self.operated.have("1")
        rows = self.done(self.operated.store.page(None, 10))
        partial = [
            type(row)(row.id, row.size, row.content_hash, row.type, "partial", ((0, 5),), 1.0, 2.0) for row in rows
        ]

        async def page(after: str | None, limit: int) -> Any:
            return partial

        self.patch(self.operated.store, "page", page)
        [one] = self.done(self.operations.objects(None, 10))["objects"]
        self.assertEqual((one["state"], one["present"]), ("partial", 5))
        self.done(self.operated.store.real.remove("1"))
        reader = self.operated.read("1")
        [one] = self.described(self.done(self.operations.objects(None, 10)), "Objects")["objects"]
        self.assertEqual((one["state"], one["present"]), ("downloading", 0))
        reader.close()

    def test_index_refuses(self) -> None:
        """
        Where the index cannot be read, the operator is told why.
        """
        self.operated.store.trouble = DiskFailed("index: disk I/O error")
        self.assert_refused(operator_errors.DISK_FAILED, self.operations.objects, None, 10, message="disk I/O error")

    def test_explain(self) -> None:
        """
        All there is to say: from the catalogue, the storage nodes, the store, a download, the last verification.
        """
        self.operated.have("1")
        self.operated.store.evictions["1"] = 9.5
        self.operated.store.readers["1"] = 2
        told = self.described(self.done(self.operations.explain("1")), "Explanation")
        self.assertEqual((told["state"], told["readers"], told["lastEviction"]), ("complete", 2, 9.5))
        self.assertEqual((told["distributedHere"], told["why"]), (True, "1 is in bucket 0:1"))
        self.assertEqual(told["catalogue"]["ageS"], 1.5)
        self.assertEqual([node["endpoint"] for node in told["storageNodes"]], ["http://node0.example/"])
        reader = self.operated.read("2")
        told = self.described(self.done(self.operations.explain("2")), "Explanation")
        self.assertEqual((told["state"], told["readers"]), ("downloading", 1))
        reader.close()
        self.operated.store.partials["3"] = Partial(SIZE, "x", None, ((5, 10),), 0.0)
        told = self.described(self.done(self.operations.explain("3")), "Explanation")
        self.assertEqual((told["state"], told["extents"]), ("partial", [[5, 10]]))

    def test_explain_without_catalogue(self) -> None:
        """
        A catalogue that is down says so, and the rest is told all the same.
        """
        self.operated.have("1")
        self.operated.troubles["1"] = CatalogueUnavailable()
        told = self.described(self.done(self.operations.explain("1")), "Explanation")
        self.assertEqual((told["state"], told["storageNodes"]), ("complete", []))
        self.assertEqual(told["catalogue"]["error"], "the catalogue cannot be reached")
        told = self.described(self.done(self.operations.explain("10")), "Explanation")
        self.assertEqual((told["state"], told["size"]), ("absent", None))
        self.assertEqual(told["catalogue"]["error"], "the catalogue does not know it")


class ObjectsTests(OperationsCase):
    """
    What is done with objects.
    """

    def test_evict(self) -> None:
        """
        An object is deleted, and its bytes are free.
        """
        self.operated.have("1", "2")
        answer = self.described(self.done(self.operations.evict("1")), "Evicted")
        self.assertEqual(answer, {"objectId": "1", "freed": SIZE})
        self.assertEqual(self.operated.store.real.used, SIZE)
        self.assert_refused(operator_errors.NOT_HERE, self.operations.evict, "1")

    def test_evict_what_is_not_whole(self) -> None:
        """
        So is a part of one, and a file that nobody has verified.
        """
        (self.operated.directory / "assets" / "5").write_bytes(b"12345")
        self.done(self.operated.store.real.start())
        self.assertEqual(self.done(self.operations.evict("5"))["freed"], 5)
        self.assertFalse(self.operated.path("5").exists())
        self.operated.store.partials["6"] = Partial(100, "x", None, ((5, 10),), 0.0)

        async def remove(object_id: str) -> bool:
            return True

        self.patch(self.operated.store, "remove", remove)
        self.assertEqual(self.done(self.operations.evict("6"))["freed"], 5)

    def test_evict_what_comes(self) -> None:
        """
        What is being downloaded stays.
        """
        reader = self.operated.read("7")
        self.assert_refused(operator_errors.DOWNLOADING, self.operations.evict, "7")
        self.operated.settle()
        reader.close()
        self.assertEqual(self.done(self.operations.evict("7"))["freed"], SIZE)

    def test_evict_in_vain(self) -> None:
        """
        A disk that refuses is what the operator wants to know about.
        """
        self.operated.have("1")

        async def refuse(object_id: str) -> bool:
            raise DiskFailed("deleting object 1: Read-only file system")

        self.patch(self.operated.store, "remove", refuse)
        self.assert_refused(operator_errors.DISK_FAILED, self.operations.evict, "1", message="Read-only")

    def test_prefetch(self) -> None:
        """
        Objects are fetched, and how far that is can be seen.
        """
        answer = self.described(self.done(self.operations.prefetch(["7", "10"])), "Prefetched")
        self.assertEqual([each["state"] for each in answer["objects"]], ["started", "unknown"])
        self.assertEqual(self.described(self.operations.prefetching(), "Prefetching")["running"], ["7"])
        self.operated.settle()
        self.assertEqual(self.described(self.operations.stop_prefetching(), "Prefetching")["done"], 1)

    def test_verify(self) -> None:
        """
        Objects are verified, and that can be left off.
        """
        self.operated.have("1")
        self.described(self.operations.verification(), "Verification")
        answer = self.described(self.operations.verify(1000), "Verification")
        self.assertEqual((answer["state"], answer["total"]), ("running", 1))
        self.assert_refused(operator_errors.VERIFYING, self.operations.verify, None)
        self.assertEqual(self.described(self.operations.stop_verifying(), "Verification")["state"], "stopped")

    def test_bad(self) -> None:
        """
        What was found bad stands in the explanation.
        """
        self.operated.have("1")
        with self.operated.path("1").open("r+b") as file:
            file.write(b"other bytes")
        self.operations.verify(None)
        self.operated.settle()
        [bad] = self.described(self.operations.verification(), "Verification")["bad"]
        told = self.described(self.done(self.operations.explain("1")), "Explanation")
        self.assertEqual((told["state"], told["foundBad"]), ("absent", bad))


class NodeTests(OperationsCase):
    """
    What is done with the node.
    """

    def test_scope(self) -> None:
        """
        The catalogue is told who the node is, and what it distributes.
        """
        self.operations.set_worker(3)
        self.operations.set_buckets(("0:1",))
        self.operations.set_buckets(None)
        self.assertEqual(self.catalogue.said, [("worker", 3), ("buckets", ("0:1",)), ("buckets", None)])

    def test_no_scope(self) -> None:
        """
        Where there is nothing that knows of workers, there is nothing to be told.
        """
        operations = self.make(scope=None)
        self.assert_refused(operator_errors.NO_QUERY_NODE, operations.set_worker, 3)
        self.assert_refused(operator_errors.NO_QUERY_NODE, operations.set_buckets, None)

    def test_api(self) -> None:
        """
        The public API is stopped and started, each once.
        """
        self.assert_refused(operator_errors.ALREADY_STARTED, self.operations.start_api)
        self.operations.stop_api()
        self.assert_refused(operator_errors.ALREADY_STOPPED, self.operations.stop_api)
        self.operations.start_api()
        self.operated.have("1")
        self.operations.stop_api()
        self.assertEqual(self.done(self.operations.evict("1"))["freed"], SIZE)

    def test_shutdown(self) -> None:
        """
        The node ends once that has been answered; and once.
        """
        self.operations.shutdown()
        self.assertEqual(self.shutdowns, 0)
        self.assert_refused(operator_errors.SHUTTING_DOWN, self.operations.shutdown)
        self.operated.clock.advance(0)
        self.assertEqual(self.shutdowns, 1)

    def test_starting(self) -> None:
        """
        Before the index has been read, what needs it waits; the rest does not.
        """
        self.door = Door(Gate(10))
        self.operations = self.make()
        for f, args in self.needing_the_store():
            self.assert_refused(errors.STARTING, f, *args)
        self.operations.status()
        self.operations.storage_nodes()
        self.operations.shutdown()
        self.operated.clock.advance(0)

    def test_ending(self) -> None:
        """
        At the end, nothing is begun any more.
        """
        self.door.shut()
        for f, args in self.needing_the_store():
            self.assert_refused(operator_errors.SHUTTING_DOWN, f, *args)
        self.assert_refused(operator_errors.SHUTTING_DOWN, self.operations.shutdown)
        self.assertEqual(self.shutdowns, 0)

    def needing_the_store(self) -> list[tuple[Any, tuple[object, ...]]]:
        return [
            (self.operations.objects, (None, 10)),
            (self.operations.faults, (10,)),
            (self.operations.explain, ("1",)),
            (self.operations.evict, ("1",)),
            (self.operations.prefetch, (["1"],)),
            (self.operations.verify, (None,)),
        ]

    def test_stop(self) -> None:
        """
        The end leaves nothing running.
        """
        self.operated.have("1")
        self.operations.verify(1)
        self.done(self.operations.prefetch(["7"]))
        self.done(self.operations.stop())
        self.assertEqual(self.operations.verification()["state"], "stopped")
        self.assertEqual(self.operations.prefetching()["running"], [])
        self.assert_refused(operator_errors.SHUTTING_DOWN, self.operations.verify, None)
