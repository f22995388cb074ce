"""
Tests for L{distributor.config.locations}.
"""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from distributor.config import Directories, directories
from tests.config.test_load import BASE, minimal, parse


class DirectoriesTests(SynchronousTestCase):
    """
    Where things are kept.
    """

    def test_directories(self) -> None:
        """
        The file goes before what systemd made, of which the first counts, and that before the data directory.
        """
        data = Path("/data")
        systemd = {"CACHE_DIRECTORY": "/var/cache/a:/var/cache/b", "STATE_DIRECTORY": "/var/lib/a"}
        silent = parse(minimal(""))
        self.assertEqual(
            directories(silent, {"CACHE_DIRECTORY": ""}, data),
            Directories(assets=data / "assets", cache_state=data / "state"),
        )
        self.assertEqual(
            directories(silent, systemd, data),
            Directories(assets=Path("/var/cache/a"), cache_state=Path("/var/lib/a")),
        )
        self.assertEqual(
            directories(silent, {"STATE_DIRECTORY": "/s"}, data).origins,
            {"directories.assets": "--data-dir", "directories.cacheState": "$STATE_DIRECTORY"},
        )
        half = parse(minimal("directories: {assets: kept}"))
        self.assertEqual(
            directories(half, systemd, data), Directories(assets=BASE / "kept", cache_state=Path("/var/lib/a"))
        )
        self.assertEqual(directories(half, systemd, data).origins, {"directories.cacheState": "$STATE_DIRECTORY"})
