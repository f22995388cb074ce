"""
Tests for L{benchmarks.import_times}.
"""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.import_times import STANDARD_LIBRARY, by_package, dearest, own_times

_SAID = """\
import time: self [us] | cumulative | imported package
import time:       240 |       1240 |   twisted.web
import time:      1000 |       1000 |     json
2026-11-24T14:00:00+0000 [distributor] Serving at import time:  9 |  9 | port
import time:        60 |       1300 | twisted
"""


class OwnTimesTests(SynchronousTestCase):
    """
    What the interpreter says.
    """

    def test_own(self) -> None:
        """
        Each module has what it took itself, in milliseconds; the heading and what others have written are passed over.
        """
        self.assertEqual(own_times(_SAID), {"twisted.web": 0.24, "json": 1.0, "twisted": 0.06})

    def test_twice(self) -> None:
        """
        A module that was tried twice has both times.
        """
        line = "import time:       100 |        100 | zope.interface\n"
        self.assertEqual(own_times(2 * line), {"zope.interface": 0.2})

    def test_nothing(self) -> None:
        """
        An interpreter that says nothing of imports has none.
        """
        self.assertEqual(own_times("Serving\n"), {})

    def test_this_interpreter(self) -> None:
        """
        What this very interpreter writes is understood.
        """
        command = [sys.executable, "-I", "-S", "-X", "importtime", "-c", "import json.decoder"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        times = own_times(said)
        self.assertIn("json.decoder", times)
        self.assertAlmostEqual(by_package(times)[STANDARD_LIBRARY], sum(times.values()))


class ByPackageTests(SynchronousTestCase):
    """
    The sums of packages.
    """

    def test_sums(self) -> None:
        """
        The modules of a package are summed, and all of the standard library is one package.
        """
        times = {"twisted": 1.0, "twisted.web": 2.0, "json": 4.0, "email.parser": 8.0, "twistedly": 16.0}
        self.assertEqual(by_package(times), {"twisted": 3.0, STANDARD_LIBRARY: 12.0, "twistedly": 16.0})

    @given(st.dictionaries(st.sampled_from(["a", "a.b", "ab", "sys", "json", "json.tool"]), st.integers(0, 1000)))
    def test_nothing_is_lost(self, times: dict[str, float]) -> None:
        """
        The sums are together what the modules are.
        """
        self.assertEqual(sum(by_package(times).values()), sum(times.values()))


class DearestTests(SynchronousTestCase):
    """
    Which packages are shown.
    """

    def test_medians(self) -> None:
        """
        The median of the rounds decides, not one that was bad; and no more than asked for are shown.
        """
        rounds = [{"a": 3.0, "b": 2.0, "c": 1.0}, {"a": 3.0, "b": 90.0, "c": 1.0}, {"a": 3.0, "b": 2.0, "c": 1.0}]
        self.assertEqual(dearest(rounds, 2), ["a", "b"])

    def test_missing(self) -> None:
        """
        What is not imported in each round took no time in the others.
        """
        self.assertEqual(dearest([{"a": 9.0, "b": 1.0}, {"b": 1.0}, {"b": 1.0}], 2), ["b", "a"])

    def test_equal(self) -> None:
        """
        Those that took equally long stand in the order of their names.
        """
        self.assertEqual(dearest([{"b": 1.0, "a": 1.0}], 9), ["a", "b"])
