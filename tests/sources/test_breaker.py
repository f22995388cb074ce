"""
Tests for L{distributor.sources.breaker}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.sources.breaker import FIRST_DELAY_S, LONGEST_DELAY_S, THRESHOLD, Breaker, BreakerState

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


def failing(times: int, now: float = 0.0) -> Breaker:
    """
    One whose node has failed so often in a row, all at once.
    """
    breaker = Breaker()
    for _ in range(times):
        breaker = breaker.failed(now)
    return breaker


class BreakerTests(SynchronousTestCase):
    """
    When a node is left alone, and for how long.
    """

    def test_accidents(self) -> None:
        """
        A failure or two change nothing.
        """
        self.assertEqual([failing(times).state(0.0) for times in range(THRESHOLD)], [CLOSED] * THRESHOLD)

    def test_opens(self) -> None:
        """
        One failure more, and the node is left alone for a while; then it may be tried.
        """
        breaker = failing(THRESHOLD)
        states = [breaker.state(now) for now in (0.0, FIRST_DELAY_S - 0.1, FIRST_DELAY_S)]
        self.assertEqual(states, [OPEN, OPEN, HALF_OPEN])
        self.assertEqual([breaker.retry_in_s(now) for now in (0.5, FIRST_DELAY_S)], [FIRST_DELAY_S - 0.5, None])

    def test_growing_delays(self) -> None:
        """
        Each failure more doubles the delay, up to the longest.
        """
        delays = [failing(times).until for times in range(THRESHOLD, THRESHOLD + 4)]
        self.assertEqual(delays, [FIRST_DELAY_S * factor for factor in (1, 2, 4, 8)])
        self.assertEqual(failing(10_000).until, LONGEST_DELAY_S)

    def test_one_at_a_time(self) -> None:
        """
        While one request tries a node, no other one does; unless nothing becomes of that.
        """
        tried = failing(THRESHOLD).asked(100.0)
        self.assertEqual([tried.state(now) for now in (100.0, 100.0 + FIRST_DELAY_S)], [OPEN, HALF_OPEN])

    def test_closes(self) -> None:
        """
        The first success makes up for everything.
        """
        self.assertEqual(failing(THRESHOLD + 5).succeeded(), Breaker())

    def test_being_asked_changes_nothing_else(self) -> None:
        """
        One that is closed stays closed, and one that is open is not for longer, if its node is asked after all.
        """
        self.assertEqual(failing(1).asked(5.0), failing(1))
        self.assertEqual(failing(THRESHOLD).asked(1.0), failing(THRESHOLD))

    @given(st.lists(st.tuples(st.sampled_from(["asked", "failed", "succeeded"]), st.floats(0, 1000)), max_size=60))
    def test_any_life(self, events: list[tuple[str, float]]) -> None:
        """
        Whatever happens, a node is tried again within the longest delay, and one that is open has failed in a row.
        """
        breaker, now, row = Breaker(), 0.0, 0
        for event, later_s in events:
            now += later_s
            if event == "asked":
                breaker = breaker.asked(now)
            elif event == "failed":
                breaker, row = breaker.failed(now), row + 1
            else:
                breaker, row = breaker.succeeded(), 0
            self.assertEqual(breaker.state(now) is CLOSED, row < THRESHOLD)
            self.assertIsNot(breaker.state(now + LONGEST_DELAY_S), OPEN)
