"""
Tests for L{distributor.sources.standings}.
"""

from __future__ import annotations

import json

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from distributor.model import StorageNode
from distributor.sources.breaker import FIRST_DELAY_S, THRESHOLD
from distributor.sources.standings import LATELY_S, Standings

A, B, C = (StorageNode(name, f"http://{name}.example/") for name in "abc")
TIMEOUT_S = 10.0
MIB = 1024 * 1024


class StandingsCase(SynchronousTestCase):
    """
    What is known of three storage nodes.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.standings = Standings(self.clock, TIMEOUT_S)

    def know(self, node: StorageNode, first_byte_s: float, rate: float = 10 * MIB) -> None:
        """
        It has done so.
        """
        self.standings.asked(node)
        self.standings.answered(node, first_byte_s)
        self.standings.note_rate(node, rate)
        self.standings.succeeded(node)

    def fail(self, node: StorageNode, times: int = THRESHOLD) -> None:  # type: ignore[override]
        """
        It has failed so often in a row.
        """
        for _ in range(times):
            self.standings.failed(node, "refused")

    def best(self, *nodes: StorageNode, first: bool = True, ranged: bool = False) -> str:
        """
        Who is asked.
        """
        return self.standings.best(nodes or (A, B, C), first=first, ranged=ranged).id


class ChoiceTests(StandingsCase):
    """
    Whom to ask.
    """

    def test_each_has_a_turn(self) -> None:
        """
        Nodes that have never been asked are, one after another; then the best is.
        """
        asked = []
        for first_byte_s in (0.3, 0.1, 0.2, 0.1, 0.1):
            asked.append(self.best())
            self.know(StorageNode(asked[-1], f"http://{asked[-1]}.example/"), first_byte_s)
        self.assertEqual(asked, ["a", "b", "c", "b", "b"])

    def test_now_and_then(self) -> None:
        """
        A node that has been passed over for long has a turn again; one in the middle of an object is not counted.
        """
        self.know(A, 0.1)
        self.know(B, 0.12)
        for _ in range(1000):
            self.assertEqual(self.best(A, B, first=False), "a")
        asked = [self.best(A, B) for _ in range(100)]
        self.assertEqual(asked[:16], ["a"] * 16)
        self.assertIn("b", asked)

    def test_a_node_that_fails(self) -> None:
        """
        It is asked when nobody else is left, and tried after a while.
        """
        self.know(A, 0.1)
        self.know(B, 5.0)
        self.fail(A)
        self.assertEqual([self.best(A, B, first=False), self.best(A)], ["b", "a"])
        self.clock.advance(FIRST_DELAY_S)
        self.assertEqual(self.best(A, B, first=False), "a")
        self.standings.asked(A)
        self.assertEqual(self.best(A, B, first=False), "b")

    def test_a_node_without_the_object(self) -> None:
        """
        That it does not have an object makes a node no worse for others than that it may not have them either.
        """
        for _ in range(10):
            self.standings.failed(A, "status 404", well=True)
        [told] = self.standings.explain([A])
        self.assertEqual((told["failures"], told["breaker"]), (10, "closed"))

    def test_the_gravest_reason(self) -> None:
        """
        Liars come last; before them those that would send what is not wanted, and before them those that fail.
        """
        self.standings.lied(A)
        self.standings.remember_ignoring_ranges(B)
        self.fail(C)
        self.assertEqual([self.best(ranged=True), self.best(A, B, ranged=True), self.best()], ["c", "b", "b"])

    def test_second(self) -> None:
        """
        Beside one that does not answer, nobody is asked against whom anything is held.
        """
        second = self.standings.second
        self.know(A, 0.2)
        self.know(B, 0.1)
        self.assertEqual(second([A, B, C], ranged=True), B)
        self.standings.remember_ignoring_ranges(B)
        self.assertEqual([second([A, B], ranged=ranged) for ranged in (True, False)], [A, B])
        self.standings.lied(A)
        self.fail(C)
        self.assertEqual([second(nodes, ranged=True) for nodes in ([A, B, C], [])], [None, None])
        self.assertIsNone(second([B], ranged=False, crawled=[B]))

    def test_usual_time(self) -> None:
        """
        What is usual is known for each.
        """
        self.know(A, 1.5)
        self.assertGreater(self.standings.usual_s(A), 1.5)
        self.assertEqual(self.standings.usual_s(B), 1.0)


class MemoryTests(StandingsCase):
    """
    What is remembered of each, by its endpoint.
    """

    def test_by_endpoint(self) -> None:
        """
        A node under several ids, with and without a slash, is one.
        """
        self.standings.lied(A)
        self.assertTrue(self.standings.distrusts(StorageNode("x", "http://a.example")))
        self.assertEqual(self.standings.explain([A])[0]["buckets"], ["a", "x"])

    def test_rates_are_compared_for_a_while(self) -> None:
        """
        What a node gave a while ago, or before it failed, is no measure for others; but still counts for its rank.
        """
        self.know(A, 0.1, 100.0)
        self.clock.advance(LATELY_S)
        self.assertEqual(self.standings.best_rate([A]), 100.0)
        self.clock.advance(0.1)
        self.assertIsNone(self.standings.best_rate([A]))
        self.standings.note_rate(A, 100.0)
        self.standings.forget_rate(A)
        self.assertIsNone(self.standings.best_rate([A]))
        self.assertEqual(self.standings.explain([A])[0]["bytesPerSecond"], 100)

    def test_bounded(self) -> None:
        """
        However many endpoints third parties write, not more than so many are remembered, and those seen last are.
        """
        for n in range(3000):
            self.standings.of(StorageNode(str(n), f"http://{n}.example/"))
            self.standings.of(A)
        endpoints = [standing.node.endpoint for standing in self.standings]
        self.assertEqual((len(endpoints), endpoints[-2:]), (1000, ["http://2999.example/", A.endpoint]))

    def test_long_reasons(self) -> None:
        """
        Of what went wrong, so much is kept as an operator reads.
        """
        self.standings.failed(A, "x" * 10_000)
        self.assertEqual(len(self.standings.of(A).last_error or ""), 300)


class TellingTests(StandingsCase):
    """
    What the operator is told.
    """

    def test_nothing_known(self) -> None:
        """
        Of nobody, nothing; of one that was only listed, that it is.
        """
        self.assertEqual(self.standings.ranking(), [])
        [told] = self.standings.explain([A])
        self.assertEqual(
            told,
            {
                "endpoint": "http://a.example/",
                "buckets": ["a"],
                "rank": 1,
                "timeToFirstByteMs": None,
                "bytesPerSecond": None,
                "failures": 0,
                "breaker": "closed",
                "retryInS": None,
                "lastError": None,
                "version": None,
                "ignoresRanges": False,
                "lies": 0,
            },
        )

    def test_ranking(self) -> None:
        """
        All are told of in the order in which they would be asked, as JSON.
        """
        self.know(A, 0.5, MIB)
        self.know(B, 0.1234, 10 * MIB)
        self.know(C, 0.1)
        self.fail(C, THRESHOLD + 1)
        self.clock.advance(1.0)
        self.standings.lied(A)
        told = json.loads(json.dumps(self.standings.ranking()))
        self.assertEqual(
            [(each["rank"], each["endpoint"]) for each in told], [(1, B.endpoint), (2, C.endpoint), (3, A.endpoint)]
        )
        self.assertEqual((told[0]["timeToFirstByteMs"], told[0]["bytesPerSecond"]), (123.4, 10 * MIB))
        self.assertEqual((told[1]["breaker"], told[1]["retryInS"], told[1]["failures"]), ("open", 3.0, 4))
        self.assertEqual((told[1]["lastError"], told[2]["lies"]), ("refused", 1))
        self.clock.advance(3.0)
        self.assertEqual([each["breaker"] for each in self.standings.explain([C])], ["half-open"])

    def test_explain(self) -> None:
        """
        The rank is that among those of whom it is asked.
        """
        self.know(A, 0.1)
        self.know(B, 0.2)
        self.know(C, 0.3)
        self.assertEqual([each["endpoint"] for each in self.standings.explain([C, B])], [B.endpoint, C.endpoint])
