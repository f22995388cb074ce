"""
Tests for L{distributor.observe.access}.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import LogEvent, Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from distributor.observe import AccessLog


class AccessLogTests(SynchronousTestCase):
    """
    L{AccessLog}.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.events: list[LogEvent] = []
        self.access = AccessLog(self.clock, Logger("access", observer=self.events.append))  # type: ignore[arg-type]
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def note(self, id: str) -> None:
        """
        An answer is over.
        """
        self.access.note("192.0.2.7", "GET", "/api/v1/asset/7", 206, 1234, 0.0126, id)

    @property
    def texts(self) -> list[str]:
        """
        What has been logged.
        """
        return [formatEvent(event) for event in self.events]

    def test_quiet(self) -> None:
        """
        On a quiet node each line comes at once, and its event has the parts.
        """
        for number in range(3):
            self.note(f"id-{number}")
            self.assertEqual(self.texts[-1], f"192.0.2.7 GET /api/v1/asset/7 206 1234 B 0.013 s id-{number}")
            self.assertEqual((self.events[-1]["status"], self.events[-1]["sent"]), (206, 1234))
            self.clock.advance(10)

    def test_busy(self) -> None:
        """
        On a busy one the lines of a moment come together, each as it would have been; none is missing.
        """
        for number in range(10):
            self.note(f"id-{number}")
        self.assertEqual(len(self.events), 1)
        self.clock.advance(1)
        [first, others] = self.texts
        self.assertEqual(
            [first, *others.split("\n")],
            [f"192.0.2.7 GET /api/v1/asset/7 206 1234 B 0.013 s id-{number}" for number in range(10)],
        )
        self.assertEqual(self.events[1]["count"], 9)
        self.note("later")
        self.assertEqual(len(self.events), 2, "it is still busy")
        self.clock.pump([1, 1])
        self.assertIn("later", self.texts[2])
        self.note("quiet again")
        self.assertIn("quiet again", self.texts[3])
        self.access.flush()

    def test_many(self) -> None:
        """
        An event does not grow without limit.
        """
        for number in range(5000):
            self.note(str(number))
        self.access.flush()
        counts = [event["count"] for event in self.events[1:]]
        self.assertEqual(sum(counts), 4999)
        self.assertLessEqual(max(counts), 2000)

    def test_end(self) -> None:
        """
        In the end, what there is is logged, and nothing is waited for.
        """
        self.note("a")
        self.note("b")
        self.access.flush()
        self.assertEqual(len(self.events), 2)
        self.access.flush()
        self.assertEqual(len(self.events), 2)
