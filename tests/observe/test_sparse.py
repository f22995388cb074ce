"""
Tests for L{distributor.observe.sparse}.
"""

from __future__ import annotations

from typing import cast

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from distributor.observe.sparse import INTERVAL_S, Sparse


class SparseTests(SynchronousTestCase):
    """
    The first trouble of a kind is told of at once, what follows is counted.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[str] = []
        self.levels: set[object] = set()
        self.sparse = Sparse(self.clock, Logger("test", observer=cast(ILogObserver, self.remember)))

    def remember(self, event: LogEvent) -> None:
        self.told.append(formatEvent(event))
        self.levels.add(event["log_level"])

    def test_first(self) -> None:
        """
        It is told of at once, as an error, with its values.
        """
        self.sparse.error("object {id}: {error}", id="7", error=OSError(5, "broken"))
        self.assertEqual(self.told, ["object 7: [Errno 5] broken"])
        self.assertEqual(self.levels, {LogLevel.error})

    def test_once_a_minute(self) -> None:
        """
        However often it comes, and about whatever object, there is one line a minute, with a count of those before.
        """
        for second in range(150):
            self.sparse.error("object {id}", id=second)
            self.clock.advance(1)
        self.assertEqual(
            self.told,
            [
                "object 0",
                "object 60 (and 59 more since the last time)",
                "object 120 (and 59 more since the last time)",
            ],
        )

    def test_interval(self) -> None:
        """
        The minute is a whole one, from the line before.
        """
        self.sparse.error("broken")
        self.clock.advance(INTERVAL_S - 0.5)
        self.sparse.error("broken")
        self.assertEqual(len(self.told), 1)
        self.clock.advance(0.5)
        self.sparse.error("broken")
        self.assertEqual(len(self.told), 2)
        self.clock.advance(INTERVAL_S - 0.5)
        self.sparse.error("broken")
        self.assertEqual(len(self.told), 2)

    def test_nothing_in_between(self) -> None:
        """
        Where nothing was passed over, nothing is said of it.
        """
        for _ in range(2):
            self.sparse.error("broken")
            self.clock.advance(INTERVAL_S)
        self.assertEqual(self.told, ["broken", "broken"])

    def test_kinds(self) -> None:
        """
        Each kind of trouble has a minute of its own, whatever it is about.
        """
        self.sparse.error("full: {id}", id=1)
        self.clock.advance(30)
        self.sparse.error("broken: {id}", id=1)
        self.sparse.error("full: {id}", id=2)
        self.clock.advance(30)
        self.sparse.error("broken: {id}", id=2)
        self.sparse.error("full: {id}", id=3)
        self.assertEqual(self.told, ["full: 1", "broken: 1", "full: 3 (and 1 more since the last time)"])

    def test_nothing_is_left(self) -> None:
        """
        No call waits for the minute to be over.
        """
        self.sparse.error("broken")
        self.assertEqual(self.clock.getDelayedCalls(), [])
