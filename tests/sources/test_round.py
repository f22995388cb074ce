"""
Tests for L{distributor.sources.round}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from distributor.model import SourcesFailed, SourcesTimedOut, StorageNode
from distributor.sources import Round

A, B = StorageNode("a", "http://a.example/"), StorageNode("b", "http://b.example/")


class RoundTests(SynchronousTestCase):
    """
    Who is asked next, and when it is over.
    """

    def test_order(self) -> None:
        """
        The first node is asked until it fails, then the next.
        """
        round = Round([A, B])
        self.assertEqual([round.choose(), round.choose()], [A, A])
        round.failed(A, "reset")
        self.assertEqual(round.choose(), B)

    def test_a_whole_round_without_a_byte(self) -> None:
        """
        When each has failed and nothing came, that is the end, with each one's reason.
        """
        round = Round([A, B])
        round.failed(A, "reset")
        round.failed(B, "silent", timed_out=True)
        error = self.assertRaises(SourcesFailed, round.choose)
        self.assertNotIsInstance(error, SourcesTimedOut)
        self.assertEqual(str(error), "http://a.example/: reset; http://b.example/: silent")

    def test_all_by_time_out(self) -> None:
        """
        When each has failed by time-out, the end says so.
        """
        round = Round([A, B])
        round.failed(A, "silent", timed_out=True)
        round.failed(B, "silent", timed_out=True)
        self.assertRaises(SourcesTimedOut, round.choose)

    def test_progress_earns_another_round(self) -> None:
        """
        A single node that breaks off again and again is asked again for as long as it gives something each time.
        """
        round = Round([A])
        for _ in range(3):
            self.assertEqual(round.choose(), A)
            round.progressed()
            round.failed(A, "reset")
        self.assertEqual(round.choose(), A)
        round.failed(A, "reset")
        self.assertRaises(SourcesFailed, round.choose)

    def test_nobody_has_it(self) -> None:
        """
        An object without storage nodes cannot be had.
        """
        self.assertRaises(SourcesFailed, Round([]).choose)
