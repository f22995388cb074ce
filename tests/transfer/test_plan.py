"""
Tests for L{distributor.transfer.plan}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.transfer.extents import Extents, Run
from distributor.transfer.plan import Start, plan

SIZE = 60
runs = st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)).map(lambda ends: (min(ends), max(ends)))


class PlanTests(SynchronousTestCase):
    """
    The plan fills the first hole, with one segment at a time.
    """

    @given(st.lists(runs, max_size=8))
    def test_first_hole(self, present: list[Run]) -> None:
        """
        With nothing running, the whole of the first hole is asked for, and nothing that is there.
        """
        extents = Extents.of(present)
        self.assertEqual(plan(SIZE, extents, ()), [Start(*hole) for hole in list(extents.holes(0, SIZE))[:1]])

    @given(st.lists(runs, max_size=8))
    def test_one_at_a_time(self, present: list[Run]) -> None:
        """
        While a segment runs, no other is started.
        """
        self.assertEqual(plan(SIZE, Extents.of(present), [(0, SIZE)]), [])

    @given(st.lists(st.integers(1, SIZE), min_size=1, max_size=30))
    def test_everything_is_asked_for_once(self, delivered: list[int]) -> None:
        """
        Segments that break off anywhere leave no byte that is asked for again after it came, and none that is not.
        """
        extents, came = Extents(), 0
        for length in delivered * SIZE:
            starts = plan(SIZE, extents, ())
            if not starts:
                break
            [start] = starts
            stop = min(start.offset + length, start.stop)
            self.assertEqual(list(extents.holes(start.offset, stop)), [(start.offset, stop)])
            extents = extents.add(start.offset, stop)
            came += stop - start.offset
        self.assertEqual((extents.runs, came), (((0, SIZE),), SIZE))
