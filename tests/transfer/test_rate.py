"""
Tests for L{distributor.transfer.rate}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.transfer.rate import SHORTEST_S, WINDOW_S, Rate


class RateTests(SynchronousTestCase):
    """
    Bytes per second, lately.
    """

    def test_too_new(self) -> None:
        """
        For a moment there is nothing to say; then there is, even if nothing came.
        """
        rate = Rate(100.0)
        self.assertIsNone(rate.lately(100.0 + SHORTEST_S / 2))
        self.assertEqual(rate.lately(100.0 + 2 * SHORTEST_S), 0.0)

    def test_steady(self) -> None:
        """
        What comes evenly has its rate, from soon on and for ever.
        """
        rate = Rate(0.0)
        for step in range(1, 1000):
            rate.add(step / 64, 1000)
            if step > 16:
                found = rate.lately(step / 64)
                assert found is not None
                self.assertTrue(0.9 * 64_000 <= found <= 1.1 * 64_000, found)
        self.assertEqual(rate.total, 999_000)

    def test_forgets(self) -> None:
        """
        What came before is forgotten, when more comes and when nothing does.
        """
        rate = Rate(0.0)
        for step in range(100):
            rate.add(step / 10, 1_000_000)
        for step in range(100, 200):
            rate.add(step / 10, 1000)
        found = rate.lately(20.0)
        assert found is not None
        self.assertTrue(9_000 <= found <= 11_000, found)
        self.assertEqual(rate.lately(100.0), 0.0)

    def test_a_burst_is_soon_over(self) -> None:
        """
        Nor does it count for long what came all at once.
        """
        rate = Rate(0.0)
        rate.add(0.0, 1_000_000)
        self.assertEqual([rate.lately(seconds) for seconds in (0.05, 1.0, 2.5)], [None, 1_000_000.0, 0.0])

    @given(st.lists(st.tuples(st.floats(0.0, 10.0), st.integers(1, 10**9)), min_size=1, max_size=30))
    def test_bounds(self, chunks: list[tuple[float, int]]) -> None:
        """
        However lumpy it is: once it can be told it can always be told, and it is between nothing and everything.
        """
        rate, now = Rate(0.0), 0.0
        for pause, length in chunks:
            now += pause
            rate.add(now, length)
            found = rate.lately(now)
            self.assertEqual(found is None, now < SHORTEST_S)
            if found is not None:
                self.assertTrue(0 <= found <= rate.total / SHORTEST_S)

    def test_memory(self) -> None:
        """
        However many chunks come, few marks are kept.
        """
        rate = Rate(0.0)
        for step in range(100_000):
            rate.add(step / 10_000, 1)
        self.assertLessEqual(len(rate._marks), WINDOW_S / SHORTEST_S + 2)
