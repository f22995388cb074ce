"""
Tests for L{distributor.catalogue.query_node_catalogue}.
"""

from __future__ import annotations

import json
from typing import cast

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from distributor.catalogue import Generation, QueryNodeCatalogue, Selection
from distributor.model import CatalogueUnavailable, InThread, Listing, ObjectNotFound
from tests.catalogue.catalogue_contract import CatalogueTestsMixin
from tests.catalogue.query_nodes import URL, Chain, Held, QueryNodeInMemory, hang, refuse, send

SOURCE_TTL_S, CACHE_TTL_S = 60.0, 100.0


def chain() -> Chain:
    """
    What the contract asks for.
    """
    return Chain(
        objects={"1": "a", "2": "b", "3": "a"},
        distributed={"0:0": ["a"], "0:1": ["b"]},
        operators={"0:0": [(3, "ACTIVE")], "0:1": [(4, "ACTIVE")]},
        stored={"0": "http://storage.example/"},
        not_accepted={"3"},
    )


class QueryNodeTestCase(SynchronousTestCase):
    """
    A catalogue and its query node.
    """

    generation = Generation.SQUID

    def setUp(self) -> None:
        self.clock = Clock()
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))
        self.changes = 0
        self.memory = QueryNodeInMemory(chain(), self.generation)
        self.node = QueryNodeCatalogue(
            self.memory,
            URL,
            self.clock,
            cast(InThread, maybeDeferred),
            "distributor/test",
            timeout_s=5.0,
            source_ttl_s=SOURCE_TTL_S,
            cache_ttl_s=CACHE_TTL_S,
            selection=Selection(("0:0",), 3),
            changed=self.changed,
        )

    def changed(self) -> None:
        self.changes += 1

    def start(self, presumed: tuple[str, ...] = ()) -> None:
        """
        Begin, until the test is over.
        """
        self.node.start(presumed)
        self.addCleanup(lambda: self.successResultOf(self.node.stop()))

    def lookup(self, object_id: str) -> Deferred[Listing]:
        return Deferred.fromCoroutine(self.node.lookup(object_id))

    def lookups(self) -> int:
        """
        How often objects were asked for.
        """
        return self.memory.operations.count("DataObject")


class SquidContractTests(CatalogueTestsMixin, QueryNodeTestCase):
    """
    The catalogue of a query node of the current generation is a catalogue.
    """

    def catalogue(self) -> QueryNodeCatalogue:
        self.start()
        return self.node


class HydraContractTests(SquidContractTests):
    """
    So is that of one of the older generation.
    """

    generation = Generation.HYDRA


class QueryNodeCatalogueTests(QueryNodeTestCase):
    """
    A node on the network.
    """

    def test_one_question_for_each_object(self) -> None:
        """
        A thousand requests for a hundred cold objects, those that there are and those that there are not, are a hundred
        questions in all the time that the answers hold; and the generation was asked for once.
        """
        self.memory.chain.objects.update({str(number): "a" for number in range(10, 60)})
        held = Held(self.memory)
        self.memory.fault_of["DataObject"] = held
        asked = [(n, self.lookup(str(n))) for _ in range(5) for n in range(10, 110)]
        for _ in range(100):
            held.let_go()
            self.clock.advance(0)
        self.assertEqual(self.lookups(), 100)
        for number, each in asked + [(n, self.lookup(str(n))) for _ in range(5) for n in range(10, 110)]:
            if number < 60:
                self.assertEqual(self.successResultOf(each).object.id, str(number))
            else:
                self.failureResultOf(each, ObjectNotFound)
        self.assertEqual((self.lookups(), self.memory.operations.count("Generation")), (100, 1))

    def test_absence(self) -> None:
        """
        That an object is not there is remembered for as long as others are told to, and no longer.
        """
        self.assertEqual(self.node.negative_ttl_s, 15)
        self.assertEqual([QueryNodeCatalogue.negative_ttl_of(ttl_s) for ttl_s in (60, 15, 1.5, 0.5)], [15, 15, 1, 0])
        for before_s, lookups in ((0, 1), (14, 1), (1, 2)):
            self.clock.advance(before_s)
            self.failureResultOf(self.lookup("60"), ObjectNotFound)
            self.assertEqual(self.lookups(), lookups)

    def test_what_is_no_id(self) -> None:
        """
        The query node is not asked for what cannot be there.
        """
        for object_id in ("", "x", "007"):
            self.failureResultOf(self.lookup(object_id), ObjectNotFound)
        self.assertEqual(self.memory.asked, [])

    def test_query_node_down_at_the_start(self) -> None:
        """
        A node starts without its query node, says that it does not know, and recovers alone.
        """
        self.memory.up = False
        self.start(("1",))
        self.assertIsNone(self.node.serves("1"))
        self.failureResultOf(self.lookup("1"), CatalogueUnavailable)
        self.memory.up = True
        self.clock.advance(2)
        self.assertEqual([self.node.serves("1"), self.node.serves("2")], [True, False])
        # Which is news for lookups, too.
        self.assertTrue(self.successResultOf(self.lookup("1")).distributed_here)

    def test_query_node_goes_down(self) -> None:
        """
        What was known stays known.
        """
        self.start()
        self.successResultOf(self.lookup("1"))
        self.memory.up = False
        for _ in range(100):
            self.clock.advance(60)
        self.assertTrue(self.node.serves("1"))
        self.assertTrue(self.successResultOf(self.lookup("1")).distributed_here)
        self.failureResultOf(self.lookup("2"), CatalogueUnavailable)

    def test_leaving_a_bucket(self) -> None:
        """
        An object that leaves our buckets is not ours from the next refresh on, though it was looked up just before.
        """
        self.memory.chain.objects.update({str(number): "a" for number in range(10, 60)})
        self.start()
        self.clock.advance(CACHE_TTL_S - 1)
        self.assertTrue(self.successResultOf(self.lookup("10")).distributed_here)
        self.memory.chain.objects["10"] = "b"
        before = self.changes
        self.clock.advance(1)
        self.assertEqual(self.changes, before + 1)
        self.assertFalse(self.node.serves("10"))
        self.assertFalse(self.successResultOf(self.lookup("10")).distributed_here)
        self.assertIn("0:0", str(self.node.explain("10")["why"]))

    def test_no_sense(self) -> None:
        """
        Of an object that makes no sense, nothing can be said.
        """
        bag = {"id": "b", "storageBuckets": [], "distributionBuckets": []}
        spoiled = {"id": "1", "size": "-6", "ipfsHash": "?", "isAccepted": True, "type": None, "storageBag": bag}
        self.memory.fault_of["DataObject"] = send(200, {"data": {"storageDataObjectByUniqueInput": spoiled}})
        error = self.failureResultOf(self.lookup("1"), CatalogueUnavailable).value
        self.assertIn("size", str(error))
        self.assertEqual(self.node.explain("1")["state"], "unusable")

    def test_status(self) -> None:
        """
        How the query node is can be told, before and after it has answered.
        """
        before = self.node.status()
        self.assertEqual((before["url"], before["generation"], before["lastSuccessAgeS"]), (URL, None, None))
        self.start()
        self.clock.advance(7)
        status = self.node.status()
        expected = {
            "url": URL,
            "generation": "squid",
            "version": "test",
            "height": 1000,
            "highestHeight": 1000,
            "behind": False,
            "heightAgeS": 7.0,
            "lastSuccessAgeS": 7.0,
            "lastError": None,
            "lastErrorAgeS": None,
            "lastRefreshAgeS": 7.0,
            "buckets": ["0:0"],
            "objectsDistributed": 2,
            "objectsHeldBack": 0,
            "lookupsRemembered": 0,
        }
        self.assertEqual(status, expected)
        self.memory.fault = refuse("oh")
        self.failureResultOf(self.lookup("1"), CatalogueUnavailable)
        self.memory.fault = None
        self.memory.chain.height = 10
        self.clock.advance(CACHE_TTL_S)
        status = self.node.status()
        self.assertEqual((status["height"], status["highestHeight"], status["behind"]), (10, 1000, True))
        self.assertEqual((status["lastError"], status["lastErrorAgeS"]), ("GraphQL errors: 'oh'", CACHE_TTL_S))

    def test_explanations_without_knowledge(self) -> None:
        """
        What is not known is told, too, and why nothing is asked at present.
        """
        unknown = self.node.explain("1")
        self.assertEqual((unknown["state"], unknown["ours"]), ("not asked for lately", None))
        self.assertIn("not known yet", str(unknown["why"]))
        self.memory.up = False
        self.failureResultOf(self.lookup("1"), CatalogueUnavailable)
        self.assertIn("unreachable", str(self.node.explain("1")["lastError"]))
        self.memory.up = True
        self.start()
        self.clock.advance(2)
        self.assertIn("the last refresh had it", str(self.node.explain("1")["why"]))
        self.assertIn("the last refresh did not have it", str(self.node.explain("2")["why"]))
        self.successResultOf(self.lookup("3"))
        self.clock.advance(16)
        explained = json.loads(json.dumps(self.node.explain("3")))
        self.assertEqual((explained["ageS"], explained["stale"], explained["refreshAgeS"]), (16.0, True, 18.0))
        self.failureResultOf(self.lookup("4"), ObjectNotFound)
        self.assertEqual(self.node.explain("4")["state"], "not found")
        self.node.set_buckets(None)
        self.assertIn("worker 3", str(self.node.explain("1")["why"]))
        self.node.set_worker(None)
        self.assertIn("everything", str(self.node.explain("1")["why"]))

    def test_bucket_ids_of_a_worker(self) -> None:
        """
        Without a list, the buckets are those that were found; with one, they are as they are written.
        """
        self.node.set_buckets(None)
        self.assertEqual(self.node.bucket_ids, ())
        self.start()
        self.assertEqual(self.node.bucket_ids, ("0:0",))
        self.node.set_buckets((7, "0:1"))
        self.assertEqual(self.node.bucket_ids, (7, "0:1"))

    def test_refresh(self) -> None:
        """
        An operator can have it refreshed.
        """
        self.start()
        self.memory.chain.objects["9"] = "a"
        self.assertTrue(self.successResultOf(self.node.refresh()))
        self.assertTrue(self.node.serves("9"))

    def test_stop(self) -> None:
        """
        Stopping gives up whatever is on its way.
        """
        self.start()
        self.memory.fault = hang
        asked = self.lookup("1")
        self.successResultOf(self.node.stop())
        self.failureResultOf(asked, CatalogueUnavailable)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_at_the_first_question(self) -> None:
        """
        So it does with the question for the generation.
        """
        self.memory.fault = hang
        self.node.start()
        asked = self.lookup("1")
        self.successResultOf(self.node.stop())
        self.failureResultOf(asked, CatalogueUnavailable)
        self.assertEqual(self.clock.getDelayedCalls(), [])
