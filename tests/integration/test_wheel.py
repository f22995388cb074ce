"""
The package as it is installed: a wheel in an empty virtual environment, with no checkout near.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import distributor

ROOT = Path(distributor.__file__).parents[1]

#: What a wheel is made of; anything else in the checkout must not matter.
SOURCES = ("pyproject.toml", "setup.cfg", "MANIFEST.in", "README.rst", "distributor", "twisted")


def run(*command: str | Path, directory: Path) -> str:
    """
    Run a command without this process's Python settings.

    @return: what it wrote to either stream.
    @raise AssertionError: it failed.
    """
    environ = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "CONFIG_PATH")}
    result = subprocess.run(
        command, cwd=directory, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if result.returncode != 0:
        raise AssertionError(f"{command}: exit status {result.returncode}\n{result.stdout}")
    return result.stdout


class WheelTests(SynchronousTestCase):
    """
    A wheel built from a copy of the sources.
    """

    def setUp(self) -> None:
        # Outside of trial's directory, which may lie in the checkout.
        self.directory = Path(tempfile.mkdtemp(prefix="distributor-wheel-"))
        self.addCleanup(shutil.rmtree, self.directory)
        sources = self.directory / "sources"
        sources.mkdir()
        for name in SOURCES:
            if (ROOT / name).is_dir():
                shutil.copytree(
                    ROOT / name, sources / name, ignore=shutil.ignore_patterns("__pycache__", "dropin.cache")
                )
            else:
                shutil.copy(ROOT / name, sources / name)
        # Not isolated: the setuptools of requirements-dev.lock builds it, so that nothing is downloaded for that.
        build = ("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", self.directory, sources)
        run(sys.executable, "-m", "pip", *build, directory=self.directory)
        shutil.rmtree(sources)
        [self.wheel] = self.directory.glob("*.whl")

    def test_contents(self) -> None:
        """
        It holds every file of the package, the plugin, and nothing of the tests.
        """
        with zipfile.ZipFile(self.wheel) as archive:
            names = {name for name in archive.namelist() if ".dist-info/" not in name}
        package = {
            str(path.relative_to(ROOT))
            for path in (ROOT / "distributor").rglob("*")
            if path.is_file() and not re.search(r"/(__pycache__|\.[^/]*)/", str(path.relative_to(ROOT)))
        }
        self.assertEqual(names, package | {"twisted/plugins/distributor_plugin.py"})

    def test_installs(self) -> None:
        """
        In an empty environment it brings along what it needs, at versions that the lock allows, and twistd finds both
        plugins, and a shell the operator's command; the removal takes nothing of Twisted with it.
        """
        python = self.directory / "venv" / "bin" / "python"
        twistd = python.with_name("twistd")
        pip = (python, "-m", "pip", "--disable-pip-version-check", "--quiet")
        run(sys.executable, "-m", "venv", python.parents[1], directory=self.directory)
        run(*pip, "install", "-c", ROOT / "requirements.lock", self.wheel, directory=self.directory)
        run(*pip, "check", directory=self.directory)
        plugins = run(twistd, "--help", directory=self.directory)
        self.assertIn("storage-node", plugins)
        self.assertIn("--config", run(twistd, "distributor", "--help", directory=self.directory))
        self.assertIn("--media", run(twistd, "storage-node", "--help", directory=self.directory))
        operator = python.with_name("distributor")
        self.assertIn("storage-nodes", run(operator, "--help", directory=self.directory))
        self.assertIn("--watch", run(python, "-m", "distributor", "downloads", "--help", directory=self.directory))
        shown = run(python, "-c", "import distributor; print(distributor.__file__)", directory=self.directory)
        self.assertTrue(shown.startswith(str(python.parents[1])), shown)
        run(*pip, "uninstall", "--yes", "distributor", directory=self.directory)
        self.assertNotIn("storage-node", run(twistd, "--help", directory=self.directory))
        self.assertFalse(operator.exists())
