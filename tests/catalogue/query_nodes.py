"""
A query node in memory, for tests: GraphQL executed over our schemas, behind the real HTTP client and server.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

from attrs import define, field
from blake3 import blake3
from graphql import build_schema, graphql_sync
from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionRefusedError
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from distributor.catalogue.facts import Generation
from distributor.model import BLAKE3_256, ContentHash

URL = "http://query.example/graphql"

ACTIVE = "StorageBucketOperatorStatusActive"
HASH = str(ContentHash(BLAKE3_256, blake3(b"a film").digest()))

_SCHEMAS = {
    generation: build_schema(files("distributor.devnet").joinpath(f"{generation.value}.graphql").read_text("utf-8"))
    for generation in Generation
}

Fields = dict[str, Any]
#: Answers a request in its own way; returns whether it did.
Fault = Callable[[Any], None]


@define
class Chain:
    """
    What there is on the chain.

    @ivar objects: the bag of each object.
    @ivar distributed: the bags of each distribution bucket.
    @ivar operators: the operators of each distribution bucket: worker and status.
    @ivar stored: the endpoint of each active storage bucket; all of them store all bags.
    @ivar not_accepted: objects that have not been uploaded.
    """

    objects: dict[str, str] = field(factory=dict)
    distributed: dict[str, list[str]] = field(factory=dict)
    operators: dict[str, list[tuple[int, str]]] = field(factory=dict)
    stored: dict[str, str] = field(factory=lambda: {"0": "https://storage.example/"})
    not_accepted: set[str] = field(factory=set)
    height: int | None = 1000

    def root(self, generation: Generation) -> Fields:
        """
        The root value of a schema.
        """
        squid = generation is Generation.SQUID

        def linked(name: str, ends: list[Fields]) -> list[Fields]:
            return [{name: end} for end in ends] if squid else ends

        def storage_bucket(id: str) -> Fields:
            status, metadata = {"__typename": ACTIVE}, {"nodeEndpoint": self.stored[id]}
            return {"id": id, "operatorStatus": status, "operatorMetadata": metadata}

        def bucket(id: str) -> Fields:
            operators = [{"workerId": worker, "status": status} for worker, status in self.operators.get(id, ())]
            bags = lambda info: linked("bag", [bag(each) for each in self.distributed[id]])  # noqa: E731
            return {"id": id, "operators": operators, "bags": bags}

        def bag(id: str) -> Fields:
            mine = [bucket(each) for each, bags in self.distributed.items() if id in bags]
            return {
                "id": id,
                "objects": [{"id": each} for each, its_bag in self.objects.items() if its_bag == id],
                "storageBuckets": linked("storageBucket", list(map(storage_bucket, self.stored))),
                "distributionBuckets": linked("distributionBucket", mine),
            }

        def data_object(info: object, where: Fields) -> Fields | None:
            id = where["id"]
            if id not in self.objects:
                return None
            accepted, type = id not in self.not_accepted, {"__typename": "DataObjectTypeVideoMedia"}
            known = {"id": id, "size": "6", "ipfsHash": HASH, "isAccepted": accepted, "type": type}
            return known | {"storageBag": bag(self.objects[id])}

        def buckets(info: object, where: Fields, limit: int) -> list[Fields]:
            if "id_in" in where:
                return [bucket(id) for id in where["id_in"] if id in self.distributed][:limit]
            operator = where["operators_some"]["workerId_eq"], where["operators_some"]["status_eq"]
            return [bucket(id) for id in self.distributed if operator in self.operators.get(id, ())][:limit]

        nodes = list(map(storage_bucket, self.stored))
        page = {"edges": [{"node": node} for node in nodes], "pageInfo": {"hasNextPage": False, "endCursor": None}}
        return {
            "storageDataObjectByUniqueInput": data_object,
            "storageBags": lambda info, where, limit: [bag(id) for id in where["id_in"]][:limit],
            "distributionBuckets": buckets,
            "storageBuckets": lambda info, **_: nodes,
            "storageBucketsConnection": lambda info, **_: page,
            "squidVersion": {"version": "test"},
            "squidStatus": {"height": self.height},
        }


@define
class Asked:
    """
    A question that has come.
    """

    operation: str
    variables: Mapping[str, Any]


@implementer(IAgent)
class QueryNodeInMemory:
    """
    A query node, and the agent that leads to it.

    @ivar up: whether it can be reached.
    @ivar fault: what answers instead.
    @ivar fault_of: what answers certain operations instead.
    """

    def __init__(self, chain: Chain, generation: Generation = Generation.SQUID) -> None:
        self.chain = chain
        self.generation = generation
        self.up = True
        self.fault: Fault | None = None
        self.fault_of: dict[str, Fault] = {}
        self.asked: list[Asked] = []
        self.headers: list[Headers] = []
        resource = _Graphql(self)
        root = Resource()
        root.putChild(b"graphql", resource)
        self._agent = RequestTraversalAgent(root)

    @property
    def operations(self) -> list[str]:
        """
        What has been asked, in order.
        """
        return [asked.operation for asked in self.asked]

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        if not self.up:
            self.asked.append(Asked("(unreachable)", {}))
            return fail(ConnectionRefusedError("nobody listens"))
        assert headers is not None
        self.headers.append(headers)
        answer: Deferred[IResponse] = self._agent.request(method, uri, headers, bodyProducer)
        self._agent.flush()
        return answer

    def flush(self) -> None:
        """
        Let what was written arrive.
        """
        self._agent.flush()

    def answer(self, request: Any) -> None:
        """
        Answer a POST.
        """
        document = json.loads(request.content.read())
        self.asked.append(Asked(document["operationName"], document["variables"]))
        fault = self.fault_of.get(document["operationName"]) or self.fault
        if fault is not None:
            fault(request)
            return
        result = graphql_sync(
            _SCHEMAS[self.generation],
            document["query"],
            self.chain.root(self.generation),
            variable_values=document["variables"],
            operation_name=document["operationName"],
        )
        send(200 if result.data is not None else 400, result.formatted)(request)


class _Graphql(Resource):
    isLeaf = True

    def __init__(self, node: QueryNodeInMemory) -> None:
        super().__init__()
        self._node = node

    def render_POST(self, request: Any) -> int:
        self._node.answer(request)
        return NOT_DONE_YET


# Faults.


def send(status: int, body: object) -> Fault:
    """
    Answers with this, as JSON unless it is bytes.
    """

    def answer(request: Any) -> None:
        written = body if isinstance(body, bytes) else json.dumps(body).encode()
        request.setResponseCode(status)
        request.setHeader("Content-Length", str(len(written)))
        request.write(written)
        request.finish()

    return answer


def refuse(*messages: str, data: object = None, status: int = 200) -> Fault:
    """
    Answers with GraphQL errors, and perhaps with some data.
    """
    return send(status, {"errors": [{"message": message} for message in messages], "data": data})


def hang(request: Any) -> None:
    """
    Does not answer.
    """


class Held:
    """
    Keeps requests until they are to be answered.
    """

    def __init__(self, node: QueryNodeInMemory) -> None:
        self._node = node
        self.requests: list[Any] = []

    def __call__(self, request: Any) -> None:
        request.content.seek(0)
        self.requests.append(request)
        self._node.asked.pop()

    def let_go(self) -> None:
        """
        Answer them.
        """
        self._node.fault = None
        self._node.fault_of.clear()
        requests, self.requests = self.requests, []
        for request in requests:
            if not request._disconnected:
                self._node.answer(request)
        self._node.flush()
