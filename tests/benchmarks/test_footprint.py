"""
Tests for L{benchmarks.footprint}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.footprint import common_rows, each_kib, node_rows


class EachTests(SynchronousTestCase):
    """
    What one of many takes.
    """

    def test_share(self) -> None:
        """
        The growth is divided by their number, and told in KiB.
        """
        self.assertEqual(each_kib(1_000_000, 1_000_000 + 1000 * 1536, 1000), 1.5)

    def test_less(self) -> None:
        """
        Memory that has been given back meanwhile is not hidden.
        """
        self.assertEqual(each_kib(4096, 2048, 2), -1.0)


class RowsTests(SynchronousTestCase):
    """
    The tables.
    """

    def test_numbers(self) -> None:
        """
        What is told of one connection says how many it was computed from.
        """
        titles = {row.key: row.title for row in [*common_rows(1000, 200), *node_rows(200, [])]}
        self.assertIn(" 1000 ", titles["idleKiB"])
        for key in ("hitKiB", "pendingKiB", "passedKiB"):
            self.assertIn(" 200 ", titles[key])

    def test_packages(self) -> None:
        """
        Each package that is to be shown has a line, in the order in which they are given.
        """
        keys = [row.key for row in node_rows(200, ["twisted", "klein"])]
        self.assertEqual(keys[-2:], ["import twisted", "import klein"])
