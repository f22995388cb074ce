"""
A network of real processes: query nodes whose chain goes on while a test runs, and storage nodes that tell what they
were asked; all seen by a node that may connect to loopback addresses.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlsplit

from attrs import evolve

from distributor.devnet.answers import Generation
from distributor.devnet.network import Bag, DistributionBucket, Network, Operator, StorageBucket
from distributor.model import BLAKE3_256, ContentHash, DataObject
from tests.integration.client import get
from tests.integration.media import folder
from tests.integration.process import PATIENCE_S, Node, Process, ProcessTestCase, StorageNodeProcess

#: The worker who runs the bucket that the nodes here distribute.
WORKER_ID = 3

#: That bucket, and one of somebody else's.
OURS, OTHERS = "0:0", "0:1"


def put_json(url: str, value: object) -> None:
    """
    Tell a node of the network something.
    """
    parts = urlsplit(url)
    with closing(HTTPConnection(parts.netloc, timeout=PATIENCE_S)) as connection:
        connection.request("PUT", parts.path, json.dumps(value))
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()


def eventually(case: ProcessTestCase, right: Callable[[], object], what: str) -> None:
    """
    Wait for what no log tells.
    """
    deadline = monotonic() + PATIENCE_S
    while not right():
        case.assertLess(monotonic(), deadline, what)
        sleep(0.02)


def data_object(object_id: str, content: bytes, type: str | None = None, *, accepted: bool = True) -> DataObject:
    """
    An object as the chain knows it.
    """
    hasher = ContentHash(BLAKE3_256, bytes(32)).hasher()
    hasher.update(content)
    return DataObject(object_id, len(content), ContentHash(BLAKE3_256, hasher.digest()), type, accepted)


def chain(endpoints: Sequence[str], bags: Mapping[str, Sequence[DataObject]], **more: Any) -> Network:
    """
    Objects by distribution bucket, of each of which there is one bag, which all storage nodes have.
    """
    storage = tuple(StorageBucket(str(number), endpoint) for number, endpoint in enumerate(endpoints))
    stored = tuple(bucket.id for bucket in storage)
    workers = {OURS: (Operator(WORKER_ID),), OTHERS: (Operator(WORKER_ID, active=False), Operator(WORKER_ID + 1))}
    return Network(
        tuple(Bag(f"dynamic:channel:{bucket}", tuple(objects), stored, (bucket,)) for bucket, objects in bags.items()),
        storage,
        tuple(DistributionBucket(bucket, workers.get(bucket, ())) for bucket in bags),
        **more,
    )


class QueryNodeProcess(Process):
    """
    C{python -m distributor.devnet.query_node}.
    """

    good_ends = (0, -signal.SIGTERM)
    command = staticmethod(lambda *arguments: [sys.executable, *map(str, arguments)])

    @classmethod
    def start(
        cls, case: ProcessTestCase, network: Network, generation: Generation = Generation.SQUID, *, port: int = 0
    ) -> QueryNodeProcess:
        """
        Start one, and wait until it listens.

        @param port: 0 takes any that is free.
        """
        cwd = case.directory()
        path = cwd / "network.json"
        path.write_text(json.dumps(network.document()), encoding="utf-8")
        module: list[str | Path] = ["-m", "distributor.devnet.query_node", path]
        node = cls(case, [*module, "--generation", generation.value, "--port", str(port)], None, cwd)
        node.network = network
        node.wait_for("Query node ")
        return node

    network: Network

    @property
    def url(self) -> str:
        """
        Where queries go.
        """
        return self.wait_for(r"at (http://\S+)$")[1]

    @property
    def port(self) -> int:
        """
        Its TCP port.
        """
        port = urlsplit(self.url).port
        assert port is not None
        return port

    def become(self, network: Network) -> None:
        """
        Let the chain go on.
        """
        self.network = network
        put_json(f"http://127.0.0.1:{self.port}/network", network.document())

    def redistribute(self, bags: Mapping[str, Sequence[DataObject]]) -> None:
        """
        Let these be the objects of all buckets.
        """
        found = chain([], bags)
        stored = tuple(bucket.id for bucket in self.network.storage_buckets)
        self.become(evolve(self.network, bags=tuple(evolve(bag, storage_buckets=stored) for bag in found.bags)))

    def misbehave(self, **fault: object) -> None:
        """
        Do something wrong with each answer; without an argument, no more.
        """
        put_json(f"http://127.0.0.1:{self.port}/fault", fault)

    def asked(self, case: ProcessTestCase, operation: str | None = None) -> list[dict[str, Any]]:
        """
        What it was asked.

        @param operation: only for this.
        """
        told = json.loads(get(case, f"http://127.0.0.1:{self.port}/queries")[2])["asked"]
        return [each for each in told if operation in (None, each["operation"])]

    def asked_for(self, case: ProcessTestCase, object_id: str) -> int:
        """
        How often it was asked for one object.
        """
        return [each["variables"] for each in self.asked(case, "DataObject")].count({"id": object_id})


class NetworkTestCase(ProcessTestCase):
    """
    A storage node, a query node, and nodes that know nothing but where the query node is.

    @ivar contents: what the storage node has, by object id; C{self.objects} is the same as the chain has it.
    """

    def begin(
        self,
        contents: Mapping[str, bytes],
        others: Sequence[str] = (),
        generation: Generation = Generation.SQUID,
        rate: int | None = None,
    ) -> None:
        """
        Start a storage node and a query node.

        @param others: the ids of what is somebody else's to distribute.
        """
        self.contents = dict(contents)
        self.objects = {id: data_object(id, content) for id, content in contents.items()}
        self.storage = StorageNodeProcess.start(self, folder(self, contents), rate=rate)
        ours = [item for id, item in self.objects.items() if id not in others]
        bags = {OURS: ours, OTHERS: [self.objects[id] for id in others]}
        self.query_node = QueryNodeProcess.start(self, chain([self.storage.url], bags), generation)

    def redistribute(self, *others: str) -> None:
        """
        Let these, and no more, be somebody else's to distribute.
        """
        ours = [item for id, item in self.objects.items() if id not in others]
        self.query_node.redistribute({OURS: ours, OTHERS: [self.objects[id] for id in others]})

    def config(self, ttl_s: int = 60, **more: Any) -> dict[str, Any]:
        """
        The configuration of a node.

        @param ttl_s: for how long answers of the query node hold.
        @param more: more of it; C{limits} and C{endpoints} are added to what is there.
        """
        return {
            "workerId": WORKER_ID,
            "sources": {"allowPrivateAddresses": True},
            **more,
            "endpoints": more.get("endpoints") or {"queryNode": self.query_node.url},
            "limits": {
                "storage": "1G",
                "queryNodeCacheTTL": ttl_s,
                "dataObjectSourceByObjectIdTTL": ttl_s,
                **more.get("limits", {}),
            },
        }

    def start_node(
        self, data_dir: Path | None = None, args: Sequence[str | Path] = (), ttl_s: int = 60, **more: Any
    ) -> Node:
        """
        Start a node.
        """
        self.node = Node.start(self, config=self.config(ttl_s, **more), data_dir=data_dir, args=args)
        return self.node

    def asset(self, object_id: str) -> str:
        """
        Where an object is at the node.
        """
        return f"{self.node.url}/api/v1/assets/{object_id}"

    def status_of(self, object_id: str) -> int:
        """
        How the node answers for an object.
        """
        return get(self, self.asset(object_id))[0]

    def assert_served(self, object_id: str, cache: str | None = None) -> None:
        """
        The node gives an object.

        @param cache: what C{X-Cache} has to be.
        """
        code, answer, body = get(self, self.asset(object_id))
        self.assertEqual(code, 200, body[:200])
        self.assertTrue(body == self.contents[object_id], f"other bytes than those of object {object_id}")
        if cache is not None:
            self.assertEqual(answer.headers["X-Cache"], cache)

    def assert_refused(self, object_id: str, status: int, type: str, message: str) -> None:
        """
        The node answers with this error.
        """
        code, answer, body = get(self, self.asset(object_id))
        self.assertEqual((code, json.loads(body)), (status, {"type": type, "message": message}))
        self.assertEqual(answer.headers["Content-Type"], "application/json")

    def requests_of(self, storage: StorageNodeProcess) -> list[dict[str, Any]]:
        """
        What a storage node was asked.
        """
        told: list[dict[str, Any]] = json.loads(get(self, f"{storage.url}/requests")[2])
        return told
