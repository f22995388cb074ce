"""
Tests for L{distributor.catalogue.delays}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.catalogue.delays import Delay


class DelayTests(SynchronousTestCase):
    """
    How long a query node is left alone.
    """

    def test_growth(self) -> None:
        """
        Each failure after a delay doubles it, up to the longest; a success ends it.
        """
        delay, now, waited = Delay(1.0, 10.0), 100.0, []
        for _ in range(6):
            delay = delay.failed(now)
            waited.append(delay.until - now)
            now = delay.until
        self.assertEqual(waited, [1.0, 2.0, 4.0, 8.0, 10.0, 10.0])
        self.assertEqual(delay.succeeded(), Delay(1.0, 10.0))
        self.assertFalse(delay.succeeded().holds(0.0))

    def test_failures_at_once(self) -> None:
        """
        Fifty questions that were on their way when it failed are one failure.
        """
        delay = Delay(1.0, 10.0).failed(100.0)
        for _ in range(50):
            delay = delay.failed(100.5)
        self.assertEqual((delay.failures, delay.until), (1, 101.0))

    @given(st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=2000))
    def test_bounds(self, events: list[tuple[float, bool]]) -> None:
        """
        Whatever happens, a delay is never longer than the longest, and holds only after a failure.
        """
        delay, now = Delay(1.0, 10.0), 0.0
        for later, fails in events:
            now += later
            delay = delay.failed(now) if fails else delay.succeeded()
            self.assertLessEqual(delay.until - now, 10.0 + 1e-9)
            self.assertEqual(delay.holds(now), fails)

    def test_for_ever(self) -> None:
        """
        A query node that never comes back is no trouble to arithmetic.
        """
        delay = Delay(1.0, 10.0, failures=10**6).failed(5.0)
        self.assertEqual(delay.until, 15.0)
