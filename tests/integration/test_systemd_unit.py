"""
C{deploy/distributor.service}, as systemd reads it.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

import distributor

UNIT = Path(distributor.__file__).parents[1] / "deploy" / "distributor.service"

#: Where README.rst installs the node; no such program is on the machine that runs the tests.
TWISTD = "/opt/distributor/.venv/bin/twistd"


def remarks(directory: Path, unit: str) -> str:
    """
    What C{systemd-analyze verify} has to say of a unit whose program is one that exists.
    """
    program = shutil.which("systemd-analyze")
    if program is None:
        raise SkipTest("systemd-analyze is not installed")
    directory.mkdir()
    path = directory / UNIT.name
    path.write_text(unit.replace(TWISTD, "/bin/true"), encoding="utf-8")
    run = subprocess.run([program, "verify", "--man=no", str(path)], capture_output=True, text=True, check=False)
    if run.returncode != 0 and not run.stderr:
        return f"exit status {run.returncode}"
    return run.stderr


class UnitTests(SynchronousTestCase):
    """
    The unit file.
    """

    def setUp(self) -> None:
        self.unit = UNIT.read_text(encoding="utf-8")
        self.directory = Path(self.mktemp())

    def test_verified(self) -> None:
        """
        systemd has no remark about it.
        """
        self.assertEqual(remarks(self.directory, self.unit), "")

    def test_verification_finds_mistakes(self) -> None:
        """
        A misspelt setting would have been remarked upon.
        """
        self.assertIn("LimitNOFILES", remarks(self.directory, self.unit.replace("LimitNOFILE=", "LimitNOFILES=")))

    def test_program(self) -> None:
        """
        It starts twistd in the foreground, without a pidfile, where the README installs it.
        """
        readme = UNIT.parents[1].joinpath("README.rst").read_text(encoding="utf-8")
        self.assertIn(f"ExecStart={TWISTD} -n --pidfile= distributor --config /etc/distributor/config.yml\n", self.unit)
        self.assertIn("python3 -m venv /opt/distributor/.venv", readme)
        self.assertIn("/etc/distributor/config.yml", readme)

    def test_waits_for_draining(self) -> None:
        """
        systemd waits longer than answers in progress may take to end, 30 seconds.
        """
        [seconds] = [
            int(line.partition("=")[2]) for line in self.unit.splitlines() if line.startswith("TimeoutStopSec=")
        ]
        self.assertGreater(seconds, 30)
