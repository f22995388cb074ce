"""
Tests for L{distributor.devnet.faults}.
"""

from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.devnet.faults import HEALTHY, Cut, Drip, Ending, Fault, Faults, flipped

REFUSES, HANGS = Fault(status=500), Fault(hang=True)


class FaultsTests(SynchronousTestCase):
    """
    Which fault a request meets.
    """

    def test_by_default_all_is_well(self) -> None:
        """
        A node misbehaves only when told to.
        """
        self.assertEqual(Faults().take("7"), HEALTHY)

    def test_an_object_can_have_a_fault_of_its_own(self) -> None:
        """
        It takes the place of the node's.
        """
        faults = Faults(always=REFUSES, by_object={"7": HANGS})
        self.assertEqual([faults.take("7"), faults.take("8")], [HANGS, REFUSES])

    def test_coming_requests_meet_the_faults_that_wait_for_them(self) -> None:
        """
        Each of them once, in order; then the node is as it was.
        """
        faults = Faults(by_object={"7": HANGS}, next=deque([REFUSES, HEALTHY]))
        self.assertEqual([faults.take("7") for _ in range(3)], [REFUSES, HEALTHY, HANGS])

    def test_senseless_faults_are_refused(self) -> None:
        """
        A fault that is no error, or at no place, is a mistake in a test.
        """
        self.assertRaises(ValueError, Fault, status=200)
        self.assertRaises(ValueError, Fault, delay_s=-1)
        self.assertRaises(ValueError, Cut, -1, Ending.RESET)
        self.assertRaises(ValueError, Drip, 0, 1.0)
        self.assertRaises(ValueError, Drip, 1, 0.0)


class FlippedTests(SynchronousTestCase):
    """
    One wrong byte.
    """

    @given(st.binary(max_size=40), st.integers(0, 30), st.integers(0, 80))
    def test_exactly_the_named_byte_differs(self, data: bytes, start: int, flip_at: int) -> None:
        """
        And none, where the data does not reach it.
        """
        spoilt = flipped(data, start, flip_at)
        self.assertEqual(len(spoilt), len(data))
        different = [start + n for n, (a, b) in enumerate(zip(data, spoilt, strict=True)) if a != b]
        self.assertEqual(different, [flip_at] if start <= flip_at < start + len(data) else [])

    def test_healthy_data_is_left_alone(self) -> None:
        """
        Without a place to flip, nothing is.
        """
        self.assertEqual(flipped(b"abc", 0, None), b"abc")
