"""
Tests for L{distributor.devnet.answers}, as executed over the schemas.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from distributor.devnet.answers import Generation
from distributor.devnet.query_node import AskedQuery, Executor
from tests.devnet.sample_network import NETWORK, data_object

_ACTIVE = "StorageBucketOperatorStatusActive"


class _Asking(SynchronousTestCase):
    generation: Generation

    def setUp(self) -> None:
        self.executor = Executor(self.generation)

    def ask(self, query: str, **variables: Any) -> Any:
        """
        The C{data} of an answer without errors.
        """
        answer = self.executor.answer(NETWORK, AskedQuery(query, variables, None))
        self.assertEqual(answer.status, 200, answer.body)
        self.assertNotIn("errors", answer.body)
        return answer.body["data"]


class _Common:
    """
    What both generations answer alike.
    """

    def test_object(self: Any) -> None:
        """
        An object has the members that a distributor needs; its size is a text.
        """
        fields = (
            "{ id size ipfsHash isAccepted "
            "type { __typename ... on DataObjectTypeVideoSubtitle { subtitle { mimeType } } } }"
        )
        data = self.ask('{ a: storageDataObjectByUniqueInput(where: {id: "2"})' + fields + "}")
        self.assertEqual(
            data["a"],
            {
                "id": "2",
                "size": "2",
                "ipfsHash": str(data_object("2").content_hash),
                "isAccepted": True,
                "type": {"__typename": "DataObjectTypeVideoSubtitle", "subtitle": {"mimeType": "text/vtt"}},
            },
        )

    def test_missing_and_not_accepted(self: Any) -> None:
        """
        An id of which there is no object gives null; one that was not uploaded says so.
        """
        fields = "{ isAccepted type { __typename } }"
        one = 'storageDataObjectByUniqueInput(where: {id: "4"})' + fields
        data = self.ask("{ a:" + one + " b:" + one.replace("4", "99") + "}")
        self.assertEqual(
            data, {"a": {"isAccepted": False, "type": {"__typename": "DataObjectTypeVideoMedia"}}, "b": None}
        )

    def test_there_and_back(self: Any) -> None:
        """
        An object leads to its bag, and the bag to its objects.
        """
        data = self.ask('{ o: storageDataObjectByUniqueInput(where: {id: "1"}) { storageBag { objects { id } } } }')
        self.assertEqual(data, {"o": {"storageBag": {"objects": [{"id": "1"}, {"id": "2"}]}}})

    def test_bags(self: Any) -> None:
        """
        Bags are chosen by id, ordered, and paged.
        """
        query = "query ($ids: [%s!], $n: Int) { storageBags(where: {id_in: $ids}, orderBy: id_DESC, limit: $n) { id } }"
        query %= "String" if self.generation is Generation.SQUID else "ID"
        ids = ["dynamic:channel:1", "dynamic:channel:3", "dynamic:channel:9"]
        self.assertEqual(
            self.ask(query, ids=ids, n=10), {"storageBags": [{"id": "dynamic:channel:3"}, {"id": "dynamic:channel:1"}]}
        )
        self.assertEqual(self.ask(query, ids=ids, n=1), {"storageBags": [{"id": "dynamic:channel:3"}]})

    def test_buckets_of_a_worker(self: Any) -> None:
        """
        Worker and status must fit in the same operator.
        """
        data = self.ask(
            "query ($w: Int!) { distributionBuckets(where: {operators_some: {workerId_eq: $w, status_eq: ACTIVE}}) "
            "{ id operators { workerId status } } }",
            w=8,
        )
        self.assertEqual(
            data["distributionBuckets"], [{"id": "0:1", "operators": [{"workerId": 8, "status": "ACTIVE"}]}]
        )


class SquidTests(_Common, _Asking):
    """
    The current generation.
    """

    generation = Generation.SQUID

    def test_buckets_of_a_bag(self) -> None:
        """
        Between a bag and a bucket stands a join.
        """
        data = self.ask(
            '{ storageBags(where: {id_in: ["dynamic:channel:2"]}) { storageBuckets { storageBucket { id operatorStatus '
            "{ __typename } operatorMetadata { nodeEndpoint } } } distributionBuckets { distributionBucket { id } } } }"
        )
        [bag] = data["storageBags"]
        self.assertEqual(
            [each["storageBucket"] for each in bag["storageBuckets"]],
            [
                {
                    "id": "1",
                    "operatorStatus": {"__typename": _ACTIVE},
                    "operatorMetadata": {"nodeEndpoint": "http://127.0.0.1:2"},
                },
                {"id": "2", "operatorStatus": {"__typename": _ACTIVE}, "operatorMetadata": None},
                {
                    "id": "3",
                    "operatorStatus": {"__typename": "StorageBucketOperatorStatusInvited"},
                    "operatorMetadata": {"nodeEndpoint": "http://127.0.0.1:3/"},
                },
            ],
        )
        self.assertEqual(
            bag["distributionBuckets"],
            [{"distributionBucket": {"id": "0:0"}}, {"distributionBucket": {"id": "0:1"}}],
        )

    def test_bags_of_buckets(self) -> None:
        """
        And between a bucket and a bag.
        """
        data = self.ask('{ distributionBuckets(where: {id_in: ["0:1"]}) { bags { bag { id } } } }')
        self.assertEqual(data, {"distributionBuckets": [{"bags": [{"bag": {"id": "dynamic:channel:2"}}]}]})

    def test_active_storage_buckets(self) -> None:
        """
        Buckets are chosen by the type of their operator's status.
        """
        data = self.ask(
            "query ($type: String) { storageBuckets(where: {operatorStatus: {isTypeOf_eq: $type}}) { id } }",
            type=_ACTIVE,
        )
        self.assertEqual([each["id"] for each in data["storageBuckets"]], ["0", "1", "2"])

    def test_version_and_height(self) -> None:
        """
        A squid tells what it is, and how far it has come.
        """
        data = self.ask("{ squidVersion { version } squidStatus { height } }")
        self.assertEqual(data, {"squidVersion": {"version": "devnet"}, "squidStatus": {"height": 100}})


class HydraTests(_Common, _Asking):
    """
    The older generation.
    """

    generation = Generation.HYDRA

    def test_plain_lists(self) -> None:
        """
        There are no joins.
        """
        data = self.ask(
            '{ storageBags(where: {id_in: ["dynamic:channel:1"]}) { storageBuckets { id } distributionBuckets '
            "{ id bags { id } } } }"
        )
        [bag] = data["storageBags"]
        self.assertEqual(bag["storageBuckets"], [{"id": "0"}, {"id": "1"}])
        bags = [{"id": "dynamic:channel:1"}, {"id": "dynamic:channel:2"}]
        self.assertEqual(bag["distributionBuckets"], [{"id": "0:0", "bags": bags}])

    def test_connection(self) -> None:
        """
        Active storage buckets are read page by page, by cursor, to the end.
        """
        query = (
            "query ($n: Int, $after: String) { storageBucketsConnection(first: $n, after: $after, where: "
            '{operatorStatus_json: {isTypeOf_eq: "' + _ACTIVE + '"}}) { totalCount edges { node { id } } '
            "pageInfo { hasNextPage endCursor } } }"
        )
        pages = []
        after = None
        while True:
            page = self.ask(query, n=2, after=after)["storageBucketsConnection"]
            self.assertEqual(page["totalCount"], 3)
            pages.append([edge["node"]["id"] for edge in page["edges"]])
            if not page["pageInfo"]["hasNextPage"]:
                break
            after = page["pageInfo"]["endCursor"]
        self.assertEqual(pages, [["0", "1"], ["2"]])

    def test_no_squid(self) -> None:
        """
        To ask for a squid's version is an error: that tells the generations apart.
        """
        answer = self.executor.answer(NETWORK, AskedQuery("{ squidVersion { version } }", {}, None))
        self.assertEqual(answer.status, 400)
        self.assertIn("squidVersion", answer.body["errors"][0]["message"])
