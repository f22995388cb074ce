"""
Tests for L{distributor.catalogue.distribution}.
"""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from distributor.catalogue.distribution import Distribution
from distributor.catalogue.facts import DistributionBucket, Generation
from distributor.catalogue.gathering import Gatherer
from distributor.catalogue.graphql import Endpoint
from distributor.catalogue.height import STANDS_STILL_S
from distributor.catalogue.interface import Selection
from distributor.catalogue.query_node import QueryNode
from distributor.model import InThread
from tests.catalogue.query_nodes import URL, Chain, Held, QueryNodeInMemory, hang, refuse, send

INTERVAL_S = 100.0
OURS = Selection(("0:0",))


def bucket(id: str, *workers: int) -> DistributionBucket:
    """
    A bucket, with its active operators.
    """
    return DistributionBucket(id, workers)


class DistributionTests(SynchronousTestCase):
    """
    A hundred objects in one bucket, one in another.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))
        self.events: list[dict[str, Any]] = []
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.changes = 0
        self.answers = 0
        self.memory = QueryNodeInMemory(
            Chain(
                objects={str(number): "a" for number in range(100)} | {"500": "b"},
                distributed={"0:0": ["a"], "0:1": ["b"]},
                operators={"0:0": [(3, "ACTIVE")], "0:1": [(4, "ACTIVE")]},
                stored={},
                height=None,
            )
        )
        self.use(OURS)

    def use(self, selection: Selection) -> None:
        """
        Make what is tested.
        """
        in_thread = cast(InThread, maybeDeferred)
        node = QueryNode(Endpoint(self.memory, URL, self.clock, in_thread, "x"), self.clock, 5.0, Generation.SQUID)
        gatherer = Gatherer(node, self.clock, in_thread)
        self.distribution = Distribution(
            gatherer, self.clock, in_thread, INTERVAL_S, selection, self.changed, self.answered
        )

    def changed(self) -> None:
        self.changes += 1

    def answered(self) -> None:
        self.answers += 1

    def start(self, presumed: tuple[str, ...] = ()) -> None:
        """
        Begin, until the test is over.
        """
        self.distribution.start(presumed)
        self.addCleanup(lambda: self.successResultOf(self.distribution.stop()))

    def warnings(self) -> list[str]:
        """
        What was warned of since the last time.
        """
        found = [event["log_format"] for event in self.events if event["log_level"] >= LogLevel.warn]
        self.events.clear()
        return found

    def lose(self, stop: int) -> None:
        """
        Only the first objects remain.
        """
        for number in range(stop, 100):
            self.memory.chain.objects.pop(str(number), None)

    def test_serves(self) -> None:
        """
        It is not known what is ours before the first refresh; after it, it is.
        """
        self.assertIsNone(self.distribution.serves("7"))
        self.assertIsNone(self.distribution.object_count)
        self.start()
        self.assertEqual([self.distribution.serves(each) for each in ("7", "500", "9999")], [True, False, False])
        self.assertEqual((self.distribution.object_count, self.changes, self.answers), (100, 1, 1))

    def test_worker(self) -> None:
        """
        A worker's buckets are those that have it as an active operator.
        """
        self.use(Selection(None, 4))
        self.start()
        self.assertEqual([self.distribution.serves(each) for each in ("7", "500")], [False, True])

    def test_everything(self) -> None:
        """
        A node without buckets or a worker distributes everything, and need not ask what that is; but it asks how the
        query node is, and tells of its answers.
        """
        self.use(Selection())
        self.assertTrue(self.distribution.serves("7"))
        self.start()
        self.assertTrue(self.distribution.serves("9999"))
        self.assertEqual(self.memory.operations, ["State", "StorageNodes"])
        self.assertEqual(self.answers, 1)

    def test_regularly(self) -> None:
        """
        What is ours is asked for at regular times, and L{changed} is called when it has changed.
        """
        self.start()
        self.memory.chain.objects["600"] = "a"
        self.clock.advance(INTERVAL_S - 1)
        self.assertFalse(self.distribution.serves("600"))
        self.clock.advance(1)
        self.assertTrue(self.distribution.serves("600"))
        self.assertEqual(self.changes, 2)
        self.clock.advance(INTERVAL_S)
        self.assertEqual((self.changes, self.answers), (2, 3))
        del self.memory.chain.objects["600"]
        self.clock.advance(INTERVAL_S)
        self.assertFalse(self.distribution.serves("600"))
        self.assertEqual(self.changes, 3)

    def test_down_at_first(self) -> None:
        """
        A query node that is down at the start is asked again, less and less often, and one warning is given; when it
        is up, all is well.
        """
        self.memory.up = False
        self.start()
        asked = []
        for second in range(1, 200):
            before = len(self.memory.asked)
            self.clock.advance(1)
            if len(self.memory.asked) > before:
                asked.append(second)
        self.assertEqual(asked, [2, 6, 14, 30, 62, 122, 182])
        self.assertIsNone(self.distribution.serves("7"))
        self.assertEqual(len(self.warnings()), 1)
        self.memory.up = True
        self.clock.advance(60)
        self.assertTrue(self.distribution.serves("7"))
        self.assertIn("The query node answers again.", [event["log_format"] for event in self.events])

    def test_failed_refresh(self) -> None:
        """
        A refresh that fails, at whichever question, changes nothing.
        """
        for operation in ("State", "Bags", "Objects"):
            self.use(OURS)
            self.start()
            self.memory.fault_of[operation] = hang if operation == "State" else refuse("oh")
            self.changes = 0
            for _ in range(5):
                self.clock.advance(INTERVAL_S + 60)
            self.assertTrue(self.distribution.serves("7"))
            self.assertEqual((self.changes, self.distribution.object_count), (0, 100))
            self.memory.fault_of.clear()
            self.successResultOf(self.distribution.stop())

    def test_storage_nodes_that_cannot_be_had(self) -> None:
        """
        That the storage nodes cannot be listed is no failure of what is ours.
        """
        self.memory.chain.stored = {"0": "http://a/"}
        self.start()
        self.assertEqual(len(self.distribution.storage_nodes), 1)
        for object_id, fault in (("600", refuse("oh")), ("601", send(500, b""))):
            self.memory.fault_of["StorageNodes"] = fault
            self.memory.chain.objects[object_id] = "a"
            self.clock.advance(INTERVAL_S)
            self.assertTrue(self.distribution.serves(object_id))
            self.assertEqual(len(self.distribution.storage_nodes), 1)

    def test_everything_while_the_query_node_is_down(self) -> None:
        """
        Where nothing else is asked, that is how it shows that the query node is down.
        """
        self.use(Selection())
        self.memory.fault_of["StorageNodes"] = send(500, b"")
        self.start()
        self.assertEqual((self.answers, len(self.warnings())), (0, 1))

    def test_large_loss(self) -> None:
        """
        A large loss is held back, with a warning, until the next two refreshes agree.
        """
        self.start()
        self.lose(50)
        for _ in range(2):
            self.clock.advance(INTERVAL_S)
            self.assertTrue(self.distribution.serves("70"))
            self.assertEqual(self.distribution.held_back, 50)
            [warning] = self.warnings()
            self.assertIn("held back", warning)
            self.assertEqual(self.changes, 1)
        self.clock.advance(INTERVAL_S)
        self.assertEqual([self.distribution.serves(each) for each in ("7", "70")], [True, False])
        self.assertEqual((self.changes, self.distribution.held_back, len(self.warnings())), (2, 0, 1))

    def test_presumed(self) -> None:
        """
        What the store has is presumed to be ours: a query node that is empty at the start does not empty it.
        """
        self.memory.chain.objects.clear()
        self.start(("1", "2", "3"))
        for _ in range(2):
            self.assertEqual([self.distribution.serves(each) for each in ("2", "4")], [True, False])
            self.clock.advance(INTERVAL_S)
        self.assertFalse(self.distribution.serves("2"))

    def test_other_buckets(self) -> None:
        """
        Other buckets are asked for at once, and what is not in them is not ours as soon as there is an answer.
        """
        self.start()
        self.distribution.select(Selection(("0:1",)))
        self.assertEqual([self.distribution.serves(each) for each in ("7", "500")], [False, True])
        self.assertEqual(self.changes, 2)
        self.distribution.select(Selection(("0:1",)))
        self.assertEqual(self.changes, 2)

    def test_other_buckets_while_the_query_node_is_down(self) -> None:
        """
        Until there is an answer, it is not known what is ours.
        """
        self.start()
        self.memory.up = False
        self.distribution.select(Selection(None, 4))
        self.assertIsNone(self.distribution.serves("500"))
        self.memory.up = True
        self.clock.advance(2)
        self.assertEqual([self.distribution.serves(each) for each in ("7", "500")], [False, True])

    def test_a_slip_of_the_pen(self) -> None:
        """
        Buckets that there are not are warned of, and do not make all else not ours at once.
        """
        self.start()
        self.warnings()
        self.distribution.select(Selection(("9:9", 7)))
        self.assertTrue(self.distribution.serves("7"))
        [unknown] = [event for event in self.events if "does not know" in event["log_format"]]
        self.assertEqual(unknown["buckets"], "7, 9:9")
        self.distribution.select(OURS)
        self.assertTrue(self.distribution.serves("7"))

    def test_other_buckets_in_the_middle(self) -> None:
        """
        A refresh that is in progress is given up for one of the other buckets, and its answer has no effect.
        """
        held = Held(self.memory)
        self.memory.fault_of["Objects"] = held
        self.start()
        self.distribution.select(Selection(("0:1",)))
        self.assertIsNone(self.distribution.serves("7"))
        # The question of the first was given up, the other's is on its way.
        self.assertEqual([request._disconnected for request in held.requests], [True, False])
        held.let_go()
        self.assertEqual([self.distribution.serves(each) for each in ("7", "500")], [False, True])
        self.assertEqual(self.warnings(), [])

    def test_refresh(self) -> None:
        """
        It can be asked for at once, by several, and they are told how it went.
        """
        self.start()
        held = Held(self.memory)
        self.memory.fault_of["State"] = held
        self.memory.chain.objects["600"] = "a"
        first = self.distribution.refresh()
        # The refresh in progress may have missed what these know of.
        later = [self.distribution.refresh() for _ in range(3)]
        later[1].cancel()
        self.failureResultOf(later[1])
        self.assertNoResult(first)
        held.let_go()
        self.assertTrue(self.successResultOf(first))
        self.assertTrue(self.distribution.serves("600"))
        self.assertEqual([self.successResultOf(each) for each in (later[0], later[2])], [True, True])
        self.assertEqual(self.answers, 3)
        self.memory.up = False
        self.assertFalse(self.successResultOf(self.distribution.refresh()))

    def test_stop(self) -> None:
        """
        It stops at once, between refreshes and in the middle of one; who waits is told that it came to nothing.
        """
        self.distribution.start()
        self.successResultOf(self.distribution.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.use(OURS)
        self.memory.fault = hang
        self.distribution.start()
        waiting = self.distribution.refresh()
        self.successResultOf(self.distribution.stop())
        self.assertFalse(self.successResultOf(waiting))
        self.assertEqual(self.warnings(), [])

    def test_stop_without_start(self) -> None:
        """
        What was never started is stopped.
        """
        self.successResultOf(self.distribution.stop())

    def test_judge(self) -> None:
        """
        Of what a lookup and a refresh say of an object, the later counts.
        """
        ours, others = [bucket("0:0", 3)], [bucket("0:1", 4)]
        self.assertTrue(self.distribution.judge("7", ours, 0.0))
        self.assertFalse(self.distribution.judge("7", others, 0.0))
        self.clock.advance(10)
        self.start()
        self.assertTrue(self.distribution.judge("7", others, 5.0))
        self.assertFalse(self.distribution.judge("500", ours, 5.0))
        self.assertFalse(self.distribution.judge("7", others, 15.0))
        self.assertTrue(self.distribution.judge("500", ours, 15.0))

    def test_uploaded_since(self) -> None:
        """
        An object that was uploaded after the last refresh, and looked up, is ours, before and after the next; one that
        the next does not have any more is not, and that is a change.
        """
        self.start()
        self.clock.advance(10)
        self.assertFalse(self.distribution.serves("600"))
        for object_id in ("600", "601"):
            self.assertTrue(self.distribution.judge(object_id, [bucket("0:0")], self.clock.seconds()))
            self.assertTrue(self.distribution.serves(object_id))
        self.memory.chain.objects["600"] = "a"
        self.clock.advance(INTERVAL_S)
        self.assertEqual([self.distribution.serves(each) for each in ("600", "601")], [True, False])
        self.assertTrue(self.distribution.judge("602", [bucket("0:0")], self.clock.seconds()))
        before = self.changes
        self.clock.advance(INTERVAL_S)
        self.assertFalse(self.distribution.serves("602"))
        self.assertEqual(self.changes, before + 1)

    def test_looked_up_during_a_refresh(self) -> None:
        """
        What was looked up while a refresh was in progress may be newer than what that knows.
        """
        self.start()
        held = Held(self.memory)
        self.memory.fault_of["State"] = held
        self.clock.advance(INTERVAL_S)
        self.clock.advance(1)
        self.assertTrue(self.distribution.judge("600", [bucket("0:0")], self.clock.seconds()))
        held.let_go()
        self.assertTrue(self.distribution.serves("600"))

    def test_looked_up_before_other_buckets(self) -> None:
        """
        What was looked up to be in our buckets says nothing of other buckets.
        """
        self.start()
        self.assertTrue(self.distribution.judge("600", [bucket("0:0")], self.clock.seconds()))
        self.distribution.select(Selection(("0:1",)))
        self.assertFalse(self.distribution.serves("600"))

    def test_judge_by_worker(self) -> None:
        """
        An object is ours when our worker is an active operator of one of its buckets.
        """
        self.use(Selection(None, 3))
        self.assertTrue(self.distribution.judge("7", [bucket("0:1"), bucket("0:0", 2, 3)], 0.0))
        self.assertFalse(self.distribution.judge("7", [bucket("0:0", 4)], 0.0))
        self.assertFalse(self.distribution.judge("7", [], 0.0))
        self.use(Selection())
        self.assertTrue(self.distribution.judge("7", [], 0.0))

    def test_falling_back(self) -> None:
        """
        While the query node is behind what it knew, nothing is given up; there is one warning.
        """
        self.memory.chain.height = 1000
        self.start()
        self.warnings()
        self.memory.chain.height = 10
        self.lose(95)
        for _ in range(2):
            self.clock.advance(INTERVAL_S)
        self.assertTrue(self.distribution.serves("99"))
        [warning] = self.warnings()
        self.assertIn("fallen back", warning)
        self.memory.chain.height = 1001
        self.clock.advance(INTERVAL_S)
        self.assertFalse(self.distribution.serves("99"))

    def test_standing_still(self) -> None:
        """
        A query node that does not keep up with the chain is warned of once.
        """
        self.memory.chain.height = 1000
        self.start()
        self.warnings()
        for _ in range(2 * int(STANDS_STILL_S / INTERVAL_S)):
            self.clock.advance(INTERVAL_S)
        [warning] = self.warnings()
        self.assertIn("has been at block", warning)

    def test_trouble_of_our_own(self) -> None:
        """
        Whatever goes wrong here is logged, and it is tried again.
        """
        self.patch(self.distribution, "_changed", lambda: 1 // 0)
        self.start()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(self.distribution.serves("7"))
        self.patch(self.distribution, "_gatherer", None)
        self.clock.advance(INTERVAL_S)
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
        self.clock.advance(2)
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)

    def test_cancelled_waiter_in_progress(self) -> None:
        """
        Who leaves while the refresh is in progress is not told.
        """
        self.start()
        held = Held(self.memory)
        self.memory.fault_of["State"] = held
        waiting: Deferred[bool] = self.distribution.refresh()
        waiting.cancel()
        self.failureResultOf(waiting)
        held.let_go()
        self.assertEqual(self.answers, 2)
