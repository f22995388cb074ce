"""
Tests for L{distributor.catalogue.dialect} in both generations' words: against their schemas, and against recorded
answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from graphql import GraphQLSchema, build_schema, execute_sync, parse, validate
from twisted.trial.unittest import SynchronousTestCase

from distributor.catalogue.dialect import Dialect
from distributor.catalogue.facts import (
    DistributionBucket,
    Generation,
    ObjectFacts,
    Question,
    State,
    StorageNodesPage,
)
from distributor.catalogue.hydra import HYDRA
from distributor.catalogue.reading import WrongShape
from distributor.catalogue.squid import SQUID, VERSION
from distributor.model import StorageNode
from tests.catalogue.recorded_answers import DIALECTS, question, read, recorded


def schema(generation: Generation) -> GraphQLSchema:
    """
    What a query node of a generation can be asked.
    """
    written = files("distributor.devnet").joinpath(f"{generation.value}.graphql").read_text(encoding="utf-8")
    return build_schema(written)


def records() -> Iterator[tuple[Dialect, Question[Any], dict[str, Any]]]:
    """
    All recorded answers, with what they answer.
    """
    for dialect in DIALECTS:
        for operation, found in recorded(dialect.generation).items():
            for record in found:
                yield dialect, question(dialect, operation, record["asked"]), record


class SchemaTests(SynchronousTestCase):
    """
    Each question, put to a schema.
    """

    def test_valid(self) -> None:
        """
        Each generation understands the questions in its own words, and its recorded answers are what the schema gives
        for them: no field more, none less, each of its type.
        """
        schemas = {dialect.generation: schema(dialect.generation) for dialect in DIALECTS}
        operations = set()
        for dialect, asked, record in records():
            document = parse(asked.text)
            errors = validate(schemas[dialect.generation], document)
            if record.get("status") == 400:
                # Implementations of GraphQL differ in their quotation marks alone.
                told = [error.message.replace("'", '"') for error in errors]
                self.assertEqual(told, [error["message"] for error in record["answer"]["errors"]])
                continue
            self.assertEqual(errors, [], asked.name)
            result = execute_sync(
                schemas[dialect.generation],
                document,
                record["answer"]["data"],
                variable_values=dict(asked.variables),
                operation_name=asked.name,
            )
            self.assertEqual(result.formatted, record["answer"])
            operations.add((dialect.generation, asked.name))
        self.assertEqual(len(operations), 7 + 5)

    def test_words_of_the_other(self) -> None:
        """
        Where there is a join type, or none, the other generation's words are refused: the schemas are not the same.
        """
        for dialect, other in ((SQUID, HYDRA), (HYDRA, SQUID)):
            for asked in (dialect.object("7"), dialect.bags(["0:1"]), dialect.active_storage_nodes(None)):
                self.assertNotEqual(validate(schema(other.generation), parse(asked.text)), [])

    def test_limits(self) -> None:
        """
        Each list of many is asked for with a limit, as some servers end it after 50 otherwise.
        """
        for dialect in DIALECTS:
            ids = list(map(str, range(1000)))
            self.assertEqual(dialect.bags(ids).variables["limit"], 1000)
            self.assertEqual(dialect.objects(ids).variables["limit"], 1000)
            self.assertEqual(dialect.buckets_of_worker(3).variables["limit"], 1000)


class AnswerTests(SynchronousTestCase):
    """
    What the recorded answers come to, which is the same in both generations.
    """

    def test_object(self) -> None:
        """
        An object has the storage nodes of the active buckets that have an endpoint, its distribution buckets with
        their active operators, and the media type of its subtitle.
        """
        for dialect in DIALECTS:
            facts = read(dialect.generation, "DataObject", 0)
            self.assertIsInstance(facts, ObjectFacts)
            known = facts.object
            self.assertEqual((known.id, known.size, known.type, known.accepted), ("5601", 10, "text/vtt", True))
            self.assertTrue(str(known.content_hash).startswith("gW"))
            self.assertEqual(facts.bag_id, "dynamic:channel:7692")
            self.assertEqual(
                facts.storage_nodes,
                (
                    StorageNode("0", "https://storage-0.example/storage/", trusted=False),
                    StorageNode("8", "http://storage-8.example:3333", trusted=False),
                ),
            )
            self.assertEqual(facts.buckets, (DistributionBucket("0:1", (3,)), DistributionBucket("1:0", ())))
            self.assertEqual(facts.ignored, ())

    def test_object_that_was_not_uploaded(self) -> None:
        """
        Such an object is known; a size beyond what JavaScript can count is exact.
        """
        for dialect in DIALECTS:
            facts = read(dialect.generation, "DataObject", 1)
            self.assertEqual((facts.object.accepted, facts.object.size), (False, 9007199254740993))
            self.assertEqual((facts.object.type, facts.storage_nodes, facts.buckets), (None, (), ()))

    def test_no_object(self) -> None:
        """
        No object is an answer, too.
        """
        for dialect in DIALECTS:
            self.assertIsNone(read(dialect.generation, "DataObject", 2))

    def test_distribution(self) -> None:
        """
        Buckets of a worker, bags of buckets, objects of bags.
        """
        for dialect in DIALECTS:
            generation = dialect.generation
            self.assertEqual(read(generation, "BucketsOfWorker"), ("0:1", "2:4"))
            self.assertEqual(read(generation, "Bags"), {"0:1": ["dynamic:channel:7692", "static:council"], "2:4": []})
            self.assertEqual(sorted(read(generation, "Objects")), [5600, 5601, 5602])

    def test_storage_nodes(self) -> None:
        """
        All in one page, or in several.
        """
        first = StorageNode("0", "https://storage-0.example/storage/")
        second = StorageNode("8", "http://storage-8.example:3333")
        self.assertEqual(read(Generation.SQUID, "StorageNodes"), StorageNodesPage((first, second), None))
        cursor = "WyJpZCIsIjgiXQ=="
        self.assertEqual(read(Generation.HYDRA, "StorageNodes", 0), StorageNodesPage((first, second), cursor))
        self.assertEqual(read(Generation.HYDRA, "StorageNodes", 1), StorageNodesPage((), None))

    def test_state(self) -> None:
        """
        Only the newer generation says how it is.
        """
        self.assertEqual(read(Generation.SQUID, "State"), State("2.1.0", 9876543))
        self.assertEqual(read(Generation.SQUID, "Generation"), "2.1.0")
        self.assertIsNone(HYDRA.state)
        assert SQUID.state is not None
        nothing = {"squidVersion": None, "squidStatus": None}
        self.assertEqual(SQUID.state.read(nothing), State(None, None))
        versions: tuple[object, ...] = ({"version": 2}, [], {})
        for wrong in ({}, *({"squidVersion": version} for version in versions)):
            self.assertRaises(WrongShape, VERSION.read, wrong)

    def test_more_than_was_asked_for(self) -> None:
        """
        A server that does not heed conditions gives us no buckets, bags or objects that are not ours.
        """
        for dialect in DIALECTS:
            joined = dialect is SQUID
            bags = [{"bag": {"id": "b"}}] if joined else [{"id": "b"}]
            buckets = {"distributionBuckets": [{"id": each, "bags": bags} for each in ("0:0", "0:1")]}
            self.assertEqual(dialect.bags(["0:1"]).read(buckets), {"0:1": ["b"]})
            found = {"storageBags": [{"id": "a", "objects": [{"id": "1"}]}, {"id": "b", "objects": [{"id": "2"}]}]}
            self.assertEqual(list(dialect.objects(["b"]).read(found)), [2])
            workers = [("0:0", 3, "INVITED"), ("0:1", 3, "ACTIVE"), ("0:2", 4, "ACTIVE")]
            operators = [{"id": id, "operators": [{"workerId": w, "status": s}]} for id, w, s in workers]
            self.assertEqual(dialect.buckets_of_worker(3).read({"distributionBuckets": operators}), ("0:1",))

    def test_lists_that_were_cut(self) -> None:
        """
        A list as long as its limit may be a part only, and is not taken for the whole.
        """
        for dialect in DIALECTS:
            operators = [{"id": f"0:{n}", "operators": []} for n in range(1000)]
            self.assertRaises(WrongShape, dialect.buckets_of_worker(3).read, {"distributionBuckets": operators})
            self.assertEqual(dialect.buckets_of_worker(3).read({"distributionBuckets": operators[1:]}), ())
        nodes = [{"id": str(n), "operatorMetadata": None} for n in range(1000)]
        self.assertRaises(WrongShape, SQUID.active_storage_nodes(None).read, {"storageBuckets": nodes})
