"""
Tests for L{distributor.cache.eviction}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.cache.eviction import victims

sizes = st.integers(0, 20)
candidate_lists = st.lists(sizes, max_size=12).map(lambda each: [(str(n), size) for n, size in enumerate(each)])
busy_sets = st.sets(st.integers(0, 11).map(str))
needs = st.integers(-5, 120)


class VictimsTests(SynchronousTestCase):
    """
    L{victims}.
    """

    def test_the_least_recent_goes(self) -> None:
        """
        The first of those that are given goes, if it suffices.
        """
        self.assertEqual(victims(5, [("7", 5), ("8", 5)], ()), ["7"])

    def test_small_ones_stay_when_a_large_one_goes(self) -> None:
        """
        What turns out not to be needed is spared.
        """
        self.assertEqual(victims(100, [("1", 10), ("2", 20), ("3", 500), ("4", 1)], ()), ["3"])

    def test_what_is_read_stays(self) -> None:
        """
        Deleting a file that is open would free nothing.
        """
        self.assertEqual(victims(5, [("7", 5), ("8", 5)], {"7"}), ["8"])
        self.assertIsNone(victims(6, [("7", 5), ("8", 5)], {"7"}))

    def test_looks_no_further_than_it_has_to(self) -> None:
        """
        There may be hundreds of thousands of candidates.
        """
        candidates = iter([("1", 5), ("2", 5), ("3", 5), ("4", 5)])
        self.assertEqual(victims(10, candidates, ()), ["1", "2"])
        self.assertEqual(next(candidates)[0], "4")

    @given(needs, candidate_lists, busy_sets)
    def test_makes_room_or_leaves_all(self, needed: int, candidates: list[tuple[str, int]], busy: set[str]) -> None:
        """
        What is chosen suffices, and nothing is chosen when all that may go would not.
        """
        size = dict(candidates)
        chosen = victims(needed, candidates, busy)
        evictable = sum(each for object_id, each in candidates if object_id not in busy)
        self.assertEqual(chosen is None, evictable < needed)
        if chosen is not None:
            self.assertGreaterEqual(sum(size[object_id] for object_id in chosen), needed)

    @given(needs, candidate_lists, busy_sets)
    def test_nothing_goes_in_vain(self, needed: int, candidates: list[tuple[str, int]], busy: set[str]) -> None:
        """
        None of the chosen could stay, none is read, and they are in the order of the candidates.
        """
        size = dict(candidates)
        chosen = victims(needed, candidates, busy) or []
        total = sum(size[object_id] for object_id in chosen)
        for object_id in chosen:
            self.assertLess(total - size[object_id], needed)
            self.assertNotIn(object_id, busy)
        self.assertEqual(chosen, sorted(set(chosen), key=int))

    @given(needs, candidate_lists, busy_sets)
    def test_the_recent_ones_are_last(self, needed: int, candidates: list[tuple[str, int]], busy: set[str]) -> None:
        """
        The last victim is the first candidate at which those up to it suffice.
        """
        chosen = victims(needed, candidates, busy)
        if chosen:
            before = [
                size for object_id, size in candidates if object_id not in busy and int(object_id) < int(chosen[-1])
            ]
            self.assertLess(sum(before), needed)
