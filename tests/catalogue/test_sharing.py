"""
Tests for L{distributor.catalogue.sharing}.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from distributor.catalogue.sharing import Shared
from distributor.model import CatalogueUnavailable


class SharedTests(SynchronousTestCase):
    """
    Several who want the same.
    """

    def setUp(self) -> None:
        self.shared: Shared[str, int] = Shared()
        self.started: list[Deferred[int]] = []

    async def work(self) -> int:
        """
        Work that takes a while.
        """
        self.started.append(Deferred())
        return await self.started[-1]

    def ask(self, key: str = "a") -> Deferred[int]:
        return self.shared.ask(key, self.work)

    def test_once(self) -> None:
        """
        The work is done once for all who ask while it is in progress, and anew for who comes later.
        """
        asked = [self.ask(), self.ask()]
        other = self.ask("b")
        self.assertEqual((len(self.started), len(self.shared), "a" in self.shared), (2, 2, True))
        self.started[0].callback(7)
        self.assertEqual(list(map(self.successResultOf, asked)), [7, 7])
        self.assertNoResult(other)
        self.assertNotIn("a", self.shared)
        self.ask()
        self.assertEqual(len(self.started), 3)

    def test_at_once(self) -> None:
        """
        Work may be done as soon as it is begun.
        """

        async def done() -> int:
            return 7

        self.assertEqual(self.successResultOf(self.shared.ask("a", done)), 7)
        self.assertEqual(len(self.shared), 0)

    def test_failure(self) -> None:
        """
        All are told of a failure.
        """
        asked = [self.ask(), self.ask()]
        self.started[0].errback(CatalogueUnavailable())
        for each in asked:
            self.failureResultOf(each, CatalogueUnavailable)

    def test_leaving(self) -> None:
        """
        One may leave without a word to the others; the work goes on even when nobody is left.
        """
        first, second = self.ask(), self.ask()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertNoResult(second)
        second.cancel()
        self.failureResultOf(second, CancelledError)
        third = self.ask()
        self.assertEqual(len(self.started), 1)
        self.started[0].callback(7)
        self.assertEqual(self.successResultOf(third), 7)

    def test_leaving_while_others_are_told(self) -> None:
        """
        Whoever is told may make another leave, who then is not told; nor is anybody left out.
        """
        asked = [self.ask() for _ in range(4)]

        def leave(result: int) -> int:
            asked[1].cancel()
            return result

        asked[0].addCallback(leave)
        self.started[0].callback(7)
        self.failureResultOf(asked[1], CancelledError)
        self.assertEqual([self.successResultOf(asked[each]) for each in (0, 2, 3)], [7, 7, 7])

    def test_trouble_that_nobody_hears(self) -> None:
        """
        When nobody is left, a failure that is expected is forgotten, and another is logged.
        """
        for error in (CatalogueUnavailable(), CancelledError()):
            self.ask().addErrback(lambda _: None).cancel()
            self.started[-1].errback(error)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.ask().addErrback(lambda _: None).cancel()
        self.started[-1].errback(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_cancel(self) -> None:
        """
        All work can be given up.
        """
        asked = [self.ask("a"), self.ask("b")]
        self.shared.cancel()
        for each in asked:
            self.failureResultOf(each, CancelledError)
        self.assertEqual(len(self.shared), 0)
