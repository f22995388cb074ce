"""
Tests for L{distributor.catalogue.recent}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from distributor.catalogue.recent import Recent


class RecentTests(SynchronousTestCase):
    """
    A mapping of bounded size.
    """

    def test_bound(self) -> None:
        """
        What was used longest ago makes room: to get and to put is to use, to peek is not.
        """
        recent: Recent[int] = Recent(3)
        for key in "abc":
            recent.put(key, ord(key))
        self.assertEqual((recent.get("a"), recent.peek("b")), (97, 98))
        recent.put("c", 0)
        recent.put("d", 100)
        self.assertEqual([recent.peek(key) for key in "abcd"], [97, None, 0, 100])
        self.assertEqual(len(recent), 3)

    def test_drop(self) -> None:
        """
        What is dropped is gone; to drop nothing is harmless.
        """
        recent: Recent[int] = Recent(3)
        recent.put("a", 1)
        recent.drop("a")
        recent.drop("a")
        self.assertIsNone(recent.get("a"))
