"""
What a node imports to start; see "Start and memory" in C{docs/performance.rst}.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import distributor

ROOT = Path(distributor.__file__).parents[1]

#: What only the operator's API, metrics, the command line and the development network need.
_SELDOM = ("click", "graphql", "jwt", "prometheus_client", "rich")


class StartTests(SynchronousTestCase):
    """
    What C{twistd} imports for C{twistd distributor}.
    """

    def test_what_few_need(self) -> None:
        """
        What most nodes have no use for is not imported at the start, which it would make longer by a third.
        """
        script = f"import sys, distributor.tap; print(sorted(set({_SELDOM!r}) & set(sys.modules)))"
        said = subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        self.assertEqual(said.strip(), "[]")
