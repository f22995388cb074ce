"""
Tests for L{distributor.node.ownership}.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from distributor.node.ownership import Ownership


class OwnershipTests(SynchronousTestCase):
    """
    Objects that leave this node, and come back.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.ids = [str(number) for number in range(5000)]
        self.theirs: set[str] = set()
        self.known = True
        self.told: list[tuple[list[str], list[str]]] = []
        self.asked = 0
        self.changes_at = -1
        self.ownership = Ownership(
            self.clock, lambda: self.ids, self.serves, lambda left, back: self.told.append((left, back))
        )

    def serves(self, object_id: str) -> bool | None:
        self.asked += 1
        if self.asked == self.changes_at:
            self.theirs = {"7"}
            self.ownership.review()
        return object_id not in self.theirs if self.known else None

    def review(self) -> None:
        self.ownership.review()
        self.clock.pump([0] * 10)

    def test_left_and_back(self) -> None:
        """
        Those that have left are known and told of, and so are those that come back.
        """
        self.theirs = {"7", "4999"}
        self.review()
        self.assertEqual(self.ownership.departed, {"7", "4999"})
        self.theirs = {"7", "8"}
        self.review()
        self.assertEqual(self.ownership.departed, {"7", "8"})
        self.review()
        self.assertEqual(self.told, [(["4999", "7"], []), (["8"], ["4999"])])

    def test_nothing_there_at_first(self) -> None:
        """
        What comes after there was nothing to judge is judged all the same.
        """
        ids, self.ids = self.ids, []
        self.review()
        self.ids, self.theirs = ids, {"7"}
        self.review()
        self.assertEqual(self.ownership.departed, {"7"})

    def test_in_steps(self) -> None:
        """
        The reactor has its turn between a few thousand and the next.
        """
        turns: list[int] = []
        call_later = self.clock.callLater

        def counted(delay: float, f: Callable[..., object], *args: object) -> IDelayedCall:
            turns.append(self.asked)
            return call_later(delay, f, *args)

        self.patch(self.clock, "callLater", counted)
        self.review()
        self.assertEqual(turns, [0, 2000, 4000])

    def test_changed_meanwhile(self) -> None:
        """
        What changes while all are judged is not missed.
        """
        self.changes_at = 3000
        self.review()
        self.assertEqual(self.ownership.departed, {"7"})
        self.assertEqual(self.asked, 10_000)

    def test_unknown(self) -> None:
        """
        Of what nothing is known all stays as it was.
        """
        self.theirs = {"7"}
        self.review()
        self.known = False
        self.review()
        self.assertEqual(self.ownership.departed, {"7"})

    def test_stopped(self) -> None:
        """
        In the end nothing is left to be done.
        """
        self.ownership.review()
        self.ownership.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.ownership.stop()
