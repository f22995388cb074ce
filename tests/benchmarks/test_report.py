"""
Tests for L{benchmarks.report} and L{benchmarks.hits}: what counts as reached.
"""

from __future__ import annotations

import sys
from io import StringIO

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.cases import CASES, KLEIN, NODE
from benchmarks.hits import summary
from benchmarks.report import Figures, Row, show


def rounds(*values: float) -> dict[str, list[Figures]]:
    """
    Those of a node, with these figures.
    """
    return {NODE: [{"x": value} for value in values]}


class ShowTests(SynchronousTestCase):
    """
    L{show}.
    """

    def setUp(self) -> None:
        self.patch(sys, "stdout", StringIO())

    def test_each_round(self) -> None:
        """
        A target is for each round, unless it is for the typical one.
        """
        self.assertTrue(show([Row("x", "x", target=2)], rounds(1, 2, 1)))
        self.assertFalse(show([Row("x", "x", target=2)], rounds(1, 3, 1)))
        self.assertTrue(show([Row("x", "x", target=2, typical=True)], rounds(1, 3, 1)))
        self.assertFalse(show([Row("x", "x", target=2, typical=True)], rounds(1, 3, 3)))

    def test_nothing_measured(self) -> None:
        """
        What was not measured was not reached.
        """
        for typical in (False, True):
            self.assertFalse(show([Row("x", "x", target=2, typical=typical)], {NODE: [{"x": None}]}))


class SummaryTests(SynchronousTestCase):
    """
    L{summary}.
    """

    def test_a_peer_that_gives_up(self) -> None:
        """
        Nothing is divided by what a peer has not done.
        """
        [case] = [each for each in CASES if each.title == "10 KiB"]
        figures: Figures = {"perSecond": 10.0, "cpuMicroseconds": 1.0}
        nothing: Figures = {"perSecond": 0.0, "cpuMicroseconds": 1.0}
        line, _ = summary(case, {NODE: [figures], KLEIN: [nothing]})
        self.assertEqual(line[5], "-")
        line, _ = summary(case, {NODE: [figures], KLEIN: [{**nothing, "perSecond": 1.0}]})
        self.assertTrue(line[5].startswith("10.00"), line)
