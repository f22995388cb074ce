"""
Tests for L{distributor.catalogue.lookups}.
"""

from __future__ import annotations

from typing import Any, cast

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from distributor.catalogue.facts import Generation, ObjectFacts, Unusable
from distributor.catalogue.graphql import Endpoint
from distributor.catalogue.lookups import Entry, Lookups, Times, learned
from distributor.catalogue.query_node import QueryNode
from distributor.model import CatalogueUnavailable, ContentHash, DataObject, InThread
from tests.catalogue.query_nodes import HASH, URL, Chain, Held, QueryNodeInMemory, hang, refuse, send

TIMES = Times(source=60.0, negative=10.0, other=30.0)
FACTS = ObjectFacts(DataObject("7", 6, ContentHash.parse(HASH)), "b", (), ())
PENDING = evolve(FACTS, object=evolve(FACTS.object, accepted=False))


class LearnedTests(SynchronousTestCase):
    """
    What is kept of an answer.
    """

    def test_new(self) -> None:
        """
        What is new is kept for as long as its kind holds.
        """
        held = ((FACTS, 60.0), (PENDING, 10.0), (None, 10.0), (Unusable("x"), 30.0))
        for found, holds_s in held:
            self.assertEqual(learned(None, found, 5.0, TIMES, False), Entry(found, 5.0, 5.0 + holds_s))

    def test_gone_twice(self) -> None:
        """
        An object that is known is gone when the query node has said so twice; or it was a copy that lags.
        """
        known = Entry(FACTS, 0.0, 60.0)
        doubted = learned(known, None, 70.0, TIMES, False)
        self.assertEqual(doubted, Entry(FACTS, 0.0, 80.0, doubted=True))
        self.assertEqual(learned(doubted, None, 80.0, TIMES, False), Entry(None, 80.0, 90.0))
        self.assertEqual(learned(doubted, FACTS, 80.0, TIMES, False), Entry(FACTS, 80.0, 140.0))

    def test_gone_while_behind(self) -> None:
        """
        A query node that is behind may say so as often as it likes.
        """
        entry = Entry(FACTS, 0.0, 60.0)
        for now in range(100, 200, 10):
            entry = learned(entry, None, float(now), TIMES, True)
        self.assertEqual((entry.facts, entry.at), (FACTS, 0.0))

    def test_accepted_before(self) -> None:
        """
        An object that was uploaded stays uploaded.
        """
        self.assertEqual(learned(Entry(FACTS, 0.0, 60.0), PENDING, 70.0, TIMES, False).facts, FACTS)

    def test_no_sense(self) -> None:
        """
        What makes no sense does not replace what does.
        """
        self.assertEqual(learned(Entry(FACTS, 0.0, 60.0), Unusable("x"), 70.0, TIMES, False), Entry(FACTS, 0.0, 80.0))

    @given(st.lists(st.tuples(st.sampled_from([FACTS, PENDING, None, Unusable("x")]), st.booleans())))
    def test_never_lost(self, answers: list[tuple[Any, bool]]) -> None:
        """
        Whatever is answered, what is known is lost only by two answers in a row that there is no such object.
        """
        entry: Entry | None = None
        for number, (found, behind) in enumerate(answers):
            before, entry = entry, learned(entry, found, float(number), TIMES, behind)
            self.assertGreater(entry.expires, number)
            if before is not None and isinstance(before.facts, ObjectFacts) and entry.facts is None:
                self.assertEqual([each for each, _ in answers[number - 1 : number + 1]], [None, None])
                self.assertFalse(behind)


class LookupsTests(SynchronousTestCase):
    """
    One object after another.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))
        objects = {str(number): "b" for number in range(100)}
        self.memory = QueryNodeInMemory(Chain(objects=objects, distributed={"0:0": ["b"]}))
        endpoint = Endpoint(self.memory, URL, self.clock, cast(InThread, maybeDeferred), "x")
        node = QueryNode(endpoint, self.clock, 5.0, Generation.SQUID)
        self.behind = False
        self.lookups = Lookups(node, self.clock, TIMES, 5.0, lambda: self.behind, most_remembered=50)

    def get(self, object_id: str = "7") -> Deferred[Entry]:
        return Deferred.fromCoroutine(self.lookups.get(object_id))

    def known(self, object_id: str = "7") -> ObjectFacts:
        """
        What is known of an object.
        """
        facts = self.successResultOf(self.get(object_id)).facts
        assert isinstance(facts, ObjectFacts)
        return facts

    def unknown(self, object_id: str = "7") -> str:
        """
        Why nothing is known of it.
        """
        return str(self.failureResultOf(self.get(object_id), CatalogueUnavailable).value)

    @property
    def asked(self) -> int:
        """
        How many questions have arrived, or could not.
        """
        return len(self.memory.asked)

    def test_time_to_live(self) -> None:
        """
        An object is asked for once, and again when its time is over.
        """
        for _ in range(3):
            self.assertEqual(self.known().object.id, "7")
        self.assertEqual(self.asked, 1)
        self.clock.advance(59.9)
        self.known()
        self.assertEqual(self.asked, 1)
        self.clock.advance(0.1)
        self.known()
        self.assertEqual(self.asked, 2)

    def test_negative(self) -> None:
        """
        So is one that there is not, for a shorter time: it may be about to be uploaded.
        """
        for _ in range(3):
            self.assertIsNone(self.successResultOf(self.get("777")).facts)
        self.assertEqual(self.asked, 1)
        self.memory.chain.objects["777"] = "b"
        self.clock.advance(10)
        self.assertEqual(self.known("777").object.id, "777")

    def test_upload(self) -> None:
        """
        And so is one that has not been uploaded yet.
        """
        self.memory.chain.not_accepted.add("7")
        self.assertFalse(self.known().object.accepted)
        self.memory.chain.not_accepted.clear()
        self.clock.advance(10)
        self.assertTrue(self.known().object.accepted)

    def test_one_question(self) -> None:
        """
        All who ask for an object at the same time share one question; each may leave on its own.
        """
        held = Held(self.memory)
        self.memory.fault = held
        asked = [self.get() for _ in range(10)]
        other = self.get("8")
        asked[3].cancel()
        self.failureResultOf(asked[3], CancelledError)
        held.let_go()
        for each in (*asked[:3], *asked[4:], other):
            self.assertIsInstance(self.successResultOf(each).facts, ObjectFacts)
        self.assertEqual(self.asked, 2)

    def test_all_have_left(self) -> None:
        """
        When nobody waits any more, the answer is remembered all the same.
        """
        held = Held(self.memory)
        self.memory.fault = held
        asked = self.get()
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        held.let_go()
        self.known()
        self.assertEqual(self.asked, 1)

    def test_old_answers(self) -> None:
        """
        While the query node is down, what is known holds on; that there is no such object, or not yet, does not.
        """
        self.memory.chain.not_accepted.add("8")
        self.known("7")
        self.known("8")
        self.successResultOf(self.get("777"))
        self.memory.up = False
        self.clock.advance(3600)
        self.assertEqual(self.known("7").object.id, "7")
        for object_id in ("8", "777", "9"):
            self.assertIn("unreachable", self.unknown(object_id))

    def test_growing_delays(self) -> None:
        """
        A query node that is down is left alone for longer and longer, whoever asks for what; meanwhile there is an
        answer at once.
        """
        self.memory.up = False
        questions = []
        for second in range(60):
            before = self.asked
            self.unknown(str(second))
            self.unknown("7")
            if self.asked > before:
                questions.append(second)
            self.clock.advance(1)
        self.assertEqual(questions, [0, 1, 3, 7, 15, 31])

    def test_recovery(self) -> None:
        """
        It is asked again when its delay is over, or when it has answered something else.
        """
        self.memory.up = False
        for _ in range(4):
            self.unknown()
            self.clock.advance(8)
        self.unknown()
        self.memory.up = True
        self.unknown()
        self.lookups.recovered()
        self.known()

    def test_many_fail_at_once(self) -> None:
        """
        Twenty questions that fail together are one failure.
        """
        self.memory.fault = hang
        asked = [self.get(str(number)) for number in range(20)]
        self.clock.advance(5)
        for each in asked:
            self.failureResultOf(each, CatalogueUnavailable)
        self.memory.fault = None
        self.clock.advance(1)
        self.known()

    def test_failure_of_one(self) -> None:
        """
        An object of which the query node cannot speak is left alone, and no other is.
        """
        self.memory.fault = refuse("Cannot return null for non-nullable field StorageBag.id.")
        self.unknown("7")
        self.memory.fault = None
        self.known("8")
        self.assertIn("non-nullable", self.unknown("7"))
        self.assertEqual(self.asked, 2)
        self.assertIn("non-nullable", self.lookups.trouble("7") or "")
        self.assertIsNone(self.lookups.trouble("8"))
        self.clock.advance(1)
        self.known("7")
        self.assertIsNone(self.lookups.trouble("7"))

    def test_failures_of_each(self) -> None:
        """
        A query node that cannot speak of any object is left alone.
        """
        self.memory.fault = refuse("The database is away")
        for number in range(10):
            self.unknown(str(number))
        self.assertEqual(self.asked, 3)

    def test_failures_of_some(self) -> None:
        """
        One that cannot speak of some objects, and can of others in between, is not.
        """
        for number in range(10):
            self.memory.fault = refuse("oh")
            self.unknown(str(number))
            self.memory.fault = None
            self.known(str(50 + number))
        self.assertEqual(self.asked, 20)

    def test_delays_of_one(self) -> None:
        """
        The delays of one object grow, too.
        """
        self.memory.fault = refuse("oh")
        questions = []
        for second in range(16):
            before = self.asked
            self.unknown("7")
            if self.asked > before:
                questions.append(second)
            self.lookups.recovered()
            self.memory.fault = None
            self.known(str(20 + second))
            self.memory.fault = refuse("oh")
            self.clock.advance(1)
        self.assertEqual(questions, [0, 1, 3, 7, 15])

    def test_no_sense(self) -> None:
        """
        An object of which what is said makes no sense is not asked for again at once.
        """
        bag = {"id": "b", "storageBuckets": [], "distributionBuckets": []}
        spoiled = {"id": "7", "size": "6", "ipfsHash": "?", "isAccepted": True, "type": None, "storageBag": bag}
        self.memory.fault = send(200, {"data": {"storageDataObjectByUniqueInput": spoiled}})
        for _ in range(3):
            self.assertIsInstance(self.successResultOf(self.get()).facts, Unusable)
        self.assertEqual(self.asked, 1)

    def test_places(self) -> None:
        """
        Only so many questions are on their way at once. When the query node turns out to be down, those behind them
        are not put any more; and who comes when too many wait is told to come again.
        """
        self.memory.fault = hang
        objects = [self.get(str(number)) for number in range(1000)]
        self.assertEqual(self.asked, 32)
        self.assertIn("1000 objects", self.unknown("1000"))
        self.clock.advance(5)
        self.clock.pump([0] * 1000)
        for each in objects:
            self.failureResultOf(each, CatalogueUnavailable)
        self.assertEqual(self.asked, 32)
        self.memory.fault = None
        self.clock.advance(1)
        self.known()

    def test_memory(self) -> None:
        """
        Of what there is and of what there is not, as much is remembered as may be: ids that stand for nothing push
        nothing else out.
        """
        self.known("7")
        for number in range(1000, 1100):
            self.successResultOf(self.get(str(number)))
        self.assertEqual(len(self.lookups), 51)
        self.known("7")
        self.assertEqual(self.asked, 101)
        for number in range(20, 70):
            self.known(str(number))
        self.assertEqual(len(self.lookups), 100)
        self.assertIsNone(self.lookups.peek("7"))

    def test_shared_values(self) -> None:
        """
        The storage nodes and buckets of many objects are kept once.
        """
        first, second = self.known("7"), self.known("8")
        self.assertIs(first.storage_nodes, second.storage_nodes)
        self.assertIs(first.buckets, second.buckets)

    def test_behind(self) -> None:
        """
        A query node that is behind makes no object unknown that is known.
        """
        self.known()
        self.behind = True
        self.memory.chain.objects.clear()
        for _ in range(3):
            self.clock.advance(60)
            self.known()
        self.behind = False
        self.clock.advance(60)
        self.assertIsNone(self.successResultOf(self.get()).facts)
        self.assertIsNone(self.lookups.peek("7") and self.lookups.peek("7").facts)  # type: ignore[union-attr]

    def test_cancel(self) -> None:
        """
        All questions can be given up.
        """
        self.memory.fault = hang
        asked = [self.get("7"), self.get("8")]
        self.lookups.cancel()
        for each in asked:
            self.failureResultOf(each, CatalogueUnavailable)
        self.assertEqual(len(self.memory.asked), 2)
