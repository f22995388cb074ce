"""
Tests for L{distributor.catalogue.object_ids}, against sets.
"""

from __future__ import annotations

from array import array
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.catalogue import object_ids
from distributor.catalogue.object_ids import ObjectIds

# Few, so that they meet often; and the ends of what fits.
NUMBERS = st.sets(st.integers(0, 40) | st.integers(2**64 - 20, 2**64 - 1))


def of(numbers: set[int]) -> ObjectIds:
    """
    A set of ids.
    """
    return ObjectIds.of(map(str, numbers))


def numbers(ids: ObjectIds) -> list[int]:
    """
    The ids as they are kept.
    """
    return list(map(int, ids))


class ObjectIdsTests(SynchronousTestCase):
    """
    The arithmetic of sets.
    """

    @given(NUMBERS, NUMBERS, st.integers(1, 5))
    def test_arithmetic(self, a: set[int], b: set[int], run: int) -> None:
        """
        Difference, union and intersection are those of sets, however many are compared at once.
        """
        with mock.patch.object(object_ids, "_RUN", run):
            self.assertEqual(numbers(of(a) - of(b)), sorted(a - b))
            self.assertEqual(numbers(of(a) | of(b)), sorted(a | b))
            self.assertEqual(numbers(of(a) & of(b)), sorted(a & b))
            self.assertEqual(of(a) == of(b), a == b)
            self.assertEqual(len(of(a)), len(a))

    @given(NUMBERS, st.integers(0, 2**70))
    def test_contains(self, a: set[int], number: int) -> None:
        """
        An id is in a set, or is not.
        """
        for each in (*a, number, *(one + 1 for one in a)):
            self.assertEqual(str(each) in of(a), each in a)

    def test_many_alike(self) -> None:
        """
        Two large sets that differ in a few places are told apart exactly.
        """
        a = set(range(0, 60_000, 2))
        b = (a | {7, 30_001, 70_001}) - {100, 40_000, 59_998}
        self.assertEqual(numbers(of(a) - of(b)), [100, 40_000, 59_998])
        self.assertEqual(numbers(of(b) - of(a)), [7, 30_001, 70_001])

    def test_of_numbers(self) -> None:
        """
        Several lists become one, in which each id is once.
        """
        self.assertEqual(list(ObjectIds.of_numbers(array("Q", [1, 3, 3]), array("Q", [1, 2]))), ["1", "2", "3"])
        self.assertEqual(list(ObjectIds.of_numbers()), [])

    def test_beyond_64_bits(self) -> None:
        """
        An id of 20 digits that does not fit into 64 bits is none of the chain's.
        """
        self.assertEqual(list(ObjectIds.of(["99999999999999999999", "18446744073709551615"])), ["18446744073709551615"])

    def test_other_things(self) -> None:
        """
        A set of ids is not equal to anything else.
        """
        self.assertNotEqual(of({1}), {1})
