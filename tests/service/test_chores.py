"""
Tests for L{distributor.service.chores}.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from distributor.service.chores import Chores


class Broken(Exception):
    """
    What a chore fails with.
    """


class ChoresTests(SynchronousTestCase):
    """
    What is done again and again.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.chores = Chores(self.clock)
        self.done: list[float] = []

    def pass_time(self, seconds: int) -> None:
        self.clock.pump([1] * seconds)

    def test_each_has_its_interval(self) -> None:
        """
        The first time comes after the first interval; after the end, none does.
        """
        self.chores.every(2, "this", lambda: self.done.append(self.clock.seconds()))
        self.chores.every(3, "that", lambda: self.done.append(-self.clock.seconds()))
        self.pass_time(6)
        self.assertEqual(sorted(self.done), [-6, -3, 2, 4, 6])
        self.chores.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_that_takes_long(self) -> None:
        """
        It is not begun again before it is over.
        """
        waiting: Deferred[None] = Deferred()

        async def slow() -> None:
            self.done.append(self.clock.seconds())
            await waiting

        self.chores.every(1, "this", slow)
        self.pass_time(5)
        self.assertEqual(self.done, [1])
        waiting.callback(None)
        self.pass_time(1)
        self.assertEqual(self.done, [1, 6])
        self.chores.stop()

    def test_one_that_fails(self) -> None:
        """
        It is logged, and done again when its time comes.
        """

        def broken() -> None:
            self.done.append(self.clock.seconds())
            raise Broken

        self.chores.every(1, "this", broken)
        self.pass_time(3)
        self.assertEqual(len(self.flushLoggedErrors(Broken)), 3)
        self.assertEqual(self.done, [1, 2, 3])
        self.chores.stop()
