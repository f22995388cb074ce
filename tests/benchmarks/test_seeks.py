"""
Tests for L{benchmarks.seeks} and L{benchmarks.seek_scenarios}: when seeks come, and how first bytes are compared.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.report import Figures
from benchmarks.seek_scenarios import SCENARIOS, Scenario
from benchmarks.seeks import beside_direct

times = st.floats(0.1, 1000)


def figures(*pairs: tuple[float, float]) -> list[Figures]:
    """
    First bytes of a server, and of the storage node itself at the same moment.
    """
    return [{"firstMeanMs": ours, "directMs": direct} for ours, direct in pairs]


class PhaseTests(SynchronousTestCase):
    """
    L{benchmarks.seek_scenarios.Scenario.phase}.
    """

    @given(st.sampled_from(SCENARIOS), st.integers(1, 12))
    def test_evenly_spread(self, scenario: Scenario, rounds: int) -> None:
        """
        The measurements of a run come at even distances from one turn of the storage node's to the next.
        """
        turns = range(1 + scenario.more)
        phases = sorted(scenario.phase(turn, number, rounds) for turn in turns for number in range(rounds))
        for place, phase in enumerate(phases):
            self.assertAlmostEqual(phase, (place + 0.5) / len(phases))


class BesideDirectTests(SynchronousTestCase):
    """
    L{beside_direct}.
    """

    @given(st.lists(times, min_size=2), st.floats(0.5, 3))
    def test_always_the_same_ratio(self, direct: list[float], ratio: float) -> None:
        """
        Where each takes so many times as long, so do all, and nothing is left to chance.
        """
        found = beside_direct(figures(*((ratio * each, each) for each in direct)))
        for key in ("firstDirect", "firstDirectMost"):
            self.assertLess(abs((found[key] or 0.0) - ratio), 1e-6)

    def test_of_the_sums(self) -> None:
        """
        A seek that came just before a turn, and has much added to little, counts for what it took.
        """
        found = beside_direct(figures((2, 1), (10, 10), (12, 10)))
        self.assertAlmostEqual(found["firstDirect"] or 0.0, 24 / 21)

    def test_scattered(self) -> None:
        """
        By how much the sum may be wrong follows from how single ones differ, and is less with many.
        """
        few = beside_direct(figures((1, 2), (3, 2)))
        many = beside_direct(figures(*(50 * [(1, 2), (3, 2)])))
        self.assertEqual((few["firstDirect"], many["firstDirect"]), (1, 1))
        # Standard deviations of 2 ** 0.5 and about 1, over the root of how many there are, of 2 ms.
        self.assertAlmostEqual(few["firstDirectMost"] or 0.0, 2)
        self.assertAlmostEqual(many["firstDirectMost"] or 0.0, 1.1, 2)

    def test_too_few(self) -> None:
        """
        One alone tells nothing, nor do figures that were not compared.
        """
        self.assertEqual(beside_direct([*figures((1, 1)), {"firstMeanMs": 1.0}]), {})
