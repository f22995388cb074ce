"""
Tests for L{distributor.catalogue.query_node}: of which generation a query node is.
"""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from distributor.catalogue.facts import Generation, ObjectFacts
from distributor.catalogue.graphql import Bounds, Endpoint, QueryFailed, Trouble
from distributor.catalogue.query_node import QueryNode
from distributor.model import InThread
from tests.catalogue.query_nodes import URL, Chain, Held, QueryNodeInMemory, refuse, send


class QueryNodeTests(SynchronousTestCase):
    """
    A query node at a URL of which nothing else is known.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def at(self, generation: Generation, told: Generation | None = None) -> None:
        """
        Bring up a query node.
        """
        self.memory = QueryNodeInMemory(Chain(objects={"7": "b"}), generation)
        in_thread = cast(InThread, maybeDeferred)
        self.node = QueryNode(Endpoint(self.memory, URL, self.clock, in_thread, "x"), self.clock, 5.0, told)

    def ask(self) -> Deferred[Any]:
        return Deferred.fromCoroutine(self.node.ask(lambda dialect: dialect.object("7"), Bounds(10_000, 5.0)))

    def test_each_generation(self) -> None:
        """
        A query node is asked once of which generation it is, and then in its words.
        """
        for generation, version in ((Generation.SQUID, "test"), (Generation.HYDRA, None)):
            self.at(generation)
            for _ in range(3):
                self.assertIsInstance(self.successResultOf(self.ask()), ObjectFacts)
            self.assertEqual(self.memory.operations, ["Generation", *["DataObject"] * 3])
            assert self.node.dialect is not None
            self.assertEqual((self.node.dialect.generation, self.node.version), (generation, version))

    def test_told(self) -> None:
        """
        It is not asked where the operator has said so.
        """
        for generation in Generation:
            self.at(generation, generation)
            self.successResultOf(self.ask())
            self.assertEqual(self.memory.operations, ["DataObject"])

    def test_asked_once_for_many(self) -> None:
        """
        Many who come at once share the question.
        """
        self.at(Generation.HYDRA)
        held = Held(self.memory)
        self.memory.fault = held
        asked = [self.ask() for _ in range(5)]
        self.assertEqual(len(held.requests), 1)
        held.let_go()
        for each in asked:
            self.memory.flush()
            self.successResultOf(each)
        self.assertEqual(self.memory.operations, ["Generation", *["DataObject"] * 5])

    def test_undetermined(self) -> None:
        """
        Whatever else may go wrong does not make it one or the other; it is asked again the next time.
        """
        self.at(Generation.SQUID)
        refused = 'Cannot query field "squidVersion" on type "Query".'
        for fault, trouble in (
            (refuse("Too many requests"), Trouble.REFUSED),
            (refuse("oh", data={"squidVersion": None}), Trouble.REFUSED),
            (refuse(refused, status=429), Trouble.STATUS),
            (send(404, b"<html>"), Trouble.STATUS),
            (send(200, b"<html>"), Trouble.NOT_JSON),
            (send(200, {"data": {}}), Trouble.SHAPE),
        ):
            self.memory.fault = fault
            error = self.failureResultOf(self.ask(), QueryFailed).value
            self.assertEqual(error.trouble, trouble)
            self.assertIsNone(self.node.dialect)
            assert self.node.failure is not None
            self.assertIn(trouble.value, self.node.failure.reason)
        self.memory.fault = None
        self.successResultOf(self.ask())
        assert self.node.dialect is not None
        self.assertEqual(self.node.dialect.generation, Generation.SQUID)

    def test_another_moves_in(self) -> None:
        """
        When a query node is replaced by one of the other generation, that is noticed.
        """
        self.at(Generation.HYDRA)
        self.successResultOf(self.ask())
        self.memory.generation = Generation.SQUID
        error = self.failureResultOf(self.ask(), QueryFailed).value
        self.assertTrue(error.misunderstood)
        self.successResultOf(self.ask())
        self.assertEqual(self.memory.operations[-2:], ["Generation", "DataObject"])

    def test_refusal_of_one_that_was_named(self) -> None:
        """
        Where the operator has said of which generation it is, that is not doubted.
        """
        self.at(Generation.SQUID, Generation.HYDRA)
        self.failureResultOf(self.ask(), QueryFailed)
        self.failureResultOf(self.ask(), QueryFailed)
        self.assertEqual(self.memory.operations, ["DataObject", "DataObject"])

    def test_times(self) -> None:
        """
        It is known when the query node last answered, and when and how it last failed.
        """
        self.at(Generation.SQUID)
        self.clock.advance(10)
        self.successResultOf(self.ask())
        self.clock.advance(10)
        self.memory.fault = refuse("oh")
        self.failureResultOf(self.ask(), QueryFailed)
        assert self.node.failure is not None
        self.assertEqual((self.node.succeeded_at, self.node.failure.at), (10, 20))
        self.assertEqual(self.node.failure.reason, "GraphQL errors: 'oh'")
