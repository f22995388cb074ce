"""
Tests for L{distributor.transfer.extents}, against a set of offsets.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.transfer.extents import Extents, Run

END = 40

runs = st.tuples(st.integers(0, END), st.integers(0, END)).map(lambda ends: (min(ends), max(ends)))
several = st.lists(runs, max_size=12)


def bytes_of(some: list[Run]) -> set[int]:
    return {offset for start, stop in some for offset in range(start, stop)}


class ExtentsTests(SynchronousTestCase):
    """
    Extents behave as the set of the offsets in them.
    """

    @given(several)
    def test_union(self, added: list[Run]) -> None:
        """
        What was added is there, and nothing else, in sorted runs that do not touch.
        """
        extents = Extents.of(added)
        self.assertEqual(bytes_of(list(extents.runs)), bytes_of(added))
        self.assertEqual(len(extents), len(bytes_of(added)))
        for (_, stop), (start, _) in zip(extents.runs, extents.runs[1:], strict=False):
            self.assertLess(stop, start)

    @given(several, st.integers(0, END))
    def test_stop_at(self, added: list[Run], offset: int) -> None:
        """
        C{stop_at} is the first offset from C{offset} on that is missing.
        """
        present = bytes_of(added)
        expected = offset
        while expected in present:
            expected += 1
        self.assertEqual(Extents.of(added).stop_at(offset), expected)

    @given(several, runs)
    def test_holes(self, added: list[Run], window: Run) -> None:
        """
        The holes of a window are what it misses, in order, and each is as long as can be.
        """
        extents = Extents.of(added)
        holes = list(extents.holes(*window))
        self.assertEqual(bytes_of(holes), bytes_of([window]) - bytes_of(added))
        self.assertEqual(holes, list(Extents.of(holes).runs))

    def test_refuses_what_is_not_sorted(self) -> None:
        """
        Runs that overlap, touch, are empty or out of order are a mistake of the caller.
        """
        for wrong in [((0, 2), (1, 3)), ((0, 2), (2, 3)), ((1, 1),), ((5, 6), (0, 1)), ((-1, 2),)]:
            self.assertRaises(ValueError, Extents, wrong)

    @given(several, several)
    def test_overlaps(self, added: list[Run], others: list[Run]) -> None:
        """
        Two overlap where a byte is in both, whichever is asked.
        """
        one, other = Extents.of(added), Extents.of(others)
        expected = not bytes_of(added).isdisjoint(bytes_of(others))
        self.assertEqual((one.overlaps(other), other.overlaps(one)), (expected, expected))

    def test_neighbours_do_not_overlap(self) -> None:
        """
        Those that touch have no byte in common, and nothing overlaps with nothing.
        """
        self.assertFalse(Extents(((0, 5), (9, 12))).overlaps(Extents(((5, 9), (12, 13)))))
        self.assertFalse(Extents(((0, 5),)).overlaps(Extents()))
        self.assertFalse(Extents().overlaps(Extents(((0, 5),))))
