"""
Tests for L{distributor.devnet.query_node}: a query node over HTTP, in memory.
"""

from __future__ import annotations

import json
from typing import Any

from attrs import evolve
from treq.testing import StubTreq
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseFailed

from distributor.devnet.answers import Generation
from distributor.devnet.query_faults import QueryFault
from distributor.devnet.query_node import QueryNode
from tests.devnet.sample_network import NETWORK

_URL = "http://127.0.0.1/"
_OBJECT = 'query One { storageDataObjectByUniqueInput(where: {id: "3"}) { id } }'
_FOUND = {"data": {"storageDataObjectByUniqueInput": {"id": "3"}}}


class QueryNodeTests(SynchronousTestCase):
    """
    Queries over HTTP, healthy and not.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.node = QueryNode(NETWORK, Generation.SQUID, self.clock)
        self.client: Any = StubTreq(self.node.resource())

    def post(self, **body: Any) -> Deferred[Any]:
        """
        Send a query; the answer's status and text.
        """
        answered: Deferred[Any] = self.client.post(_URL + "graphql", json=body)
        answered.addCallback(lambda response: response.text().addCallback(lambda text: (response.code, text)))
        self.client.flush()
        return answered

    def post_raw(self, body: bytes, type: str) -> int:
        """
        Send a body; the answer's status.
        """
        answered = self.client.post(_URL + "graphql", data=body, headers={"Content-Type": type})
        self.client.flush()
        code: int = self.successResultOf(answered).code
        return code

    def ask(self, query: str = _OBJECT, **more: Any) -> tuple[int, Any]:
        status, text = self.successResultOf(self.post(query=query, **more))
        return status, json.loads(text)

    def test_answer(self) -> None:
        """
        A query is answered with 200, and remembered with its variables.
        """
        query = "query One($id: String!) { storageDataObjectByUniqueInput(where: {id: $id}) { id } }"
        self.assertEqual(self.ask(query, variables={"id": "3"}, operationName="One"), (200, _FOUND))
        [asked] = self.node.requests
        self.assertEqual((asked.operation, asked.variables, asked.status), ("One", {"id": "3"}, 200))

    def test_wrong_queries(self) -> None:
        """
        What a real query node would refuse is refused: a text that is no GraphQL, a field or an argument that does not
        exist, a variable of another type. Nothing comes of it but errors.
        """
        for query in (
            "{",
            "{ storageDataObjects { id } }",
            "{ storageBags(where: {id_like: 1}) { id } }",
            "query ($id: ID!) { storageDataObjectByUniqueInput(where: {id: $id}) { id } }",
            "{ storageBags { storageBuckets { id nodeEndpoint } } }",
        ):
            status, answer = self.ask(query)
            self.assertEqual((status, list(answer)), (400, ["errors"]), query)

    def test_missing_variable(self) -> None:
        """
        A query that is right, without the variable that it needs, is an error in a 200.
        """
        status, answer = self.ask(
            "query ($id: String!) { storageDataObjectByUniqueInput(where: {id: $id}) { id } }", variables={}
        )
        self.assertEqual((status, answer["data"]), (200, None))
        self.assertIn("$id", answer["errors"][0]["message"])

    def test_no_query(self) -> None:
        """
        A body that holds no query is 400, and no request that counts.
        """
        for body in (b"", b"[]", b"{}", b'{"query": 1}', b'{"query": "{a}", "variables": []}', b"\xff"):
            self.assertEqual(self.post_raw(body, "application/json"), 400, body)
        self.assertEqual(len(self.node.requests), 0)

    def test_content_type(self) -> None:
        """
        A query that does not say that it is JSON is 400; a parameter beside that does no harm.
        """
        body = json.dumps({"query": _OBJECT}).encode("ascii")
        for type in ("", "text/plain", "application/x-www-form-urlencoded"):
            self.assertEqual(self.post_raw(body, type), 400, type)
        self.assertEqual(self.post_raw(body, "Application/JSON; charset=utf-8"), 200)

    def test_status(self) -> None:
        """
        C{status} answers with a page, as a reverse proxy would.
        """
        self.node.fault = QueryFault(status=502)
        status, text = self.successResultOf(self.post(query=_OBJECT))
        self.assertEqual(status, 502)
        self.assertIn("<html>", text)

    def test_not_json(self) -> None:
        """
        C{text} stands in the place of JSON.
        """
        self.node.fault = QueryFault(text="Be right back")
        self.assertEqual(self.successResultOf(self.post(query=_OBJECT)), (200, "Be right back"))

    def test_partial_data(self) -> None:
        """
        A broken field that may be null is null, beside C{errors}.
        """
        self.node.fault = QueryFault(broken={"operatorMetadata"})
        status, answer = self.ask("{ storageBuckets(limit: 1) { id operatorMetadata { nodeEndpoint } } }")
        self.assertEqual((status, answer["data"]), (200, {"storageBuckets": [{"id": "0", "operatorMetadata": None}]}))
        self.assertEqual(len(answer["errors"]), 1)

    def test_errors(self) -> None:
        """
        A broken field that may not be null takes all data with it.
        """
        self.node.fault = QueryFault(broken={"storageBags"})
        status, answer = self.ask("{ storageBags { id } }")
        self.assertEqual((status, answer["data"], len(answer["errors"])), (200, None, 1))

    def test_huge(self) -> None:
        """
        C{padding} makes an answer long, and leaves it what it is.
        """
        self.node.fault = QueryFault(padding=1_000_000)
        status, text = self.successResultOf(self.post(query=_OBJECT))
        self.assertGreater(len(text), 1_000_000)
        self.assertEqual((status, json.loads(text)), (200, _FOUND))

    def test_slow(self) -> None:
        """
        C{delay_s} passes before the answer; when the asker gives up, nothing is left.
        """
        self.node.fault = QueryFault(delay_s=3)
        answered = self.post(query=_OBJECT)
        self.clock.advance(2.9)
        self.client.flush()
        self.assertNoResult(answered)
        self.clock.advance(0.1)
        self.client.flush()
        self.assertEqual(self.successResultOf(answered)[0], 200)

    def test_hang(self) -> None:
        """
        C{hang} never answers.
        """
        self.node.fault = QueryFault(hang=True)
        answered = self.post(query=_OBJECT)
        self.clock.advance(1000)
        self.client.flush()
        self.assertNoResult(answered)
        self.assertEqual([asked.status for asked in self.node.requests], [None])

    def test_drop(self) -> None:
        """
        C{drop} cuts the connection without an answer.
        """
        self.node.fault = QueryFault(drop=True)
        self.failureResultOf(self.post(query=_OBJECT), ResponseFailed)

    def test_lag(self) -> None:
        """
        A node that lags behind does not know what is newer than its height.
        """
        self.node.height = 89
        self.assertEqual(self.ask(), (200, {"data": {"storageDataObjectByUniqueInput": None}}))
        self.assertEqual(self.ask("{ squidStatus { height } }")[1], {"data": {"squidStatus": {"height": 89}}})
        self.node.height = None
        self.assertEqual(self.ask(), (200, _FOUND))

    def test_next_faults(self) -> None:
        """
        They come first, once each, and then it is as it was.
        """
        self.node.next_faults.extend([QueryFault(status=500), QueryFault(status=503)])
        self.assertEqual([self.successResultOf(self.post(query=_OBJECT))[0] for _ in range(3)], [500, 503, 200])

    def put(self, path: str, body: Any) -> int:
        """
        Tell it something from outside; the answer's status.
        """
        answered = self.client.put(_URL + path, json=body)
        self.client.flush()
        code: int = self.successResultOf(answered).code
        return code

    def test_fault_from_outside(self) -> None:
        """
        C{PUT /fault} sets the fault, C{{}} heals it, and what is none is refused.
        """
        self.assertEqual(self.put("fault", {"status": 500}), 200)
        self.assertEqual(self.successResultOf(self.post(query=_OBJECT))[0], 500)
        self.assertEqual(self.put("fault", {}), 200)
        self.assertEqual(self.ask(), (200, _FOUND))
        for body in ({"delay_s": -1}, {"unknown": 1}, "healthy"):
            self.assertEqual(self.put("fault", body), 400, body)

    def test_network_from_outside(self) -> None:
        """
        C{PUT /network} puts another network in the place of this one, and what is none is refused.
        """
        self.assertEqual(self.put("network", evolve(NETWORK, bags=()).document()), 200)
        self.assertEqual(self.ask(), (200, {"data": {"storageDataObjectByUniqueInput": None}}))
        wrong: list[object] = [{}, [], {**NETWORK.document(), "bags": [{}]}, {**NETWORK.document(), "bags": 1}]
        for body in wrong:
            self.assertEqual(self.put("network", body), 400, body)
        self.assertEqual(self.put("network", NETWORK.document()), 200)
        self.assertEqual(self.ask(), (200, _FOUND))

    def test_asked(self) -> None:
        """
        C{GET /queries} counts the queries, and tells each.
        """
        self.ask()
        self.ask("query Bag($id: [String!]) { storageBags(where: {id_in: $id}) { id } }", variables={"id": []})
        told = self.client.get(_URL + "queries")
        self.client.flush()
        one: dict[str, object] = {"operation": None, "variables": {}, "status": 200}
        self.assertEqual(
            self.successResultOf(self.successResultOf(told).json()),
            {"queries": 2, "asked": [one, {**one, "variables": {"id": []}}]},
        )
