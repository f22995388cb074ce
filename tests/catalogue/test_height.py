"""
Tests for L{distributor.catalogue.height}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from distributor.catalogue.height import STANDS_STILL_S, Height


class HeightTests(SynchronousTestCase):
    """
    A query node and the chain.
    """

    def test_growing(self) -> None:
        """
        A height that grows is fine.
        """
        height = Height().seen(100, 1.0).seen(110, 60.0)
        self.assertEqual(height, Height(110, 110, 60.0))
        self.assertFalse(height.behind)
        self.assertFalse(height.stands_still(60.0 + STANDS_STILL_S - 1))

    def test_standing_still(self) -> None:
        """
        One that does not grow for long stands still, also when it goes up and down below its highest.
        """
        height = Height().seen(100, 1.0).seen(100, 60.0).seen(95, 120.0).seen(100, 200.0)
        self.assertFalse(height.stands_still(STANDS_STILL_S))
        self.assertTrue(height.stands_still(1.0 + STANDS_STILL_S))
        self.assertFalse(height.seen(101, 1.0 + STANDS_STILL_S).stands_still(1.0 + STANDS_STILL_S))

    def test_falling_back(self) -> None:
        """
        One that has fallen back by more than copies differ is behind, until it has caught up.
        """
        height = Height().seen(100, 1.0)
        self.assertFalse(height.seen(90, 2.0).behind)
        behind = height.seen(89, 2.0)
        self.assertTrue(behind.behind)
        self.assertEqual((behind.last, behind.highest), (89, 100))
        self.assertFalse(behind.seen(95, 3.0).behind)

    def test_unknown(self) -> None:
        """
        Nothing is said of a query node that says nothing.
        """
        height = Height().seen(None, 1.0)
        self.assertEqual((height.behind, height.stands_still(10**6)), (False, False))
        height = Height().seen(100, 1.0).seen(None, 2.0)
        self.assertEqual((height.behind, height.stands_still(10**6), height.highest), (False, False, 100))
