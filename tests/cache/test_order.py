"""
Tests for L{distributor.cache.order}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.cache.items import Unverified
from distributor.cache.order import batches, by_last_access, merged, used


class OrderTests(SynchronousTestCase):
    """
    L{used}, L{by_last_access}, L{merged} and L{batches}.
    """

    @given(st.lists(st.integers(0, 9)), st.integers(1, 5), st.integers(1, 5))
    def test_as_one_sort(self, times: list[int], run: int, batch: int) -> None:
        """
        Sorted in runs that are merged, all come as one stable sort would have them.
        """
        items = {str(number): Unverified(1, float(at)) for number, at in enumerate(times)}
        runs = [by_last_access(used([*some, "gone"], items)) for some in batches(items, run)]
        found = list(batches(merged(runs), batch))
        self.assertTrue(all(len(each) == batch for each in found[:-1]))
        expected = [object_id for object_id, item in sorted(items.items(), key=lambda pair: pair[1].last_access)]
        self.assertEqual([object_id for each in found for object_id in each], expected)
