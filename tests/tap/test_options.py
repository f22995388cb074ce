"""
Tests for L{distributor.tap}: its options. What becomes of them in a real process is in C{tests/integration}.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from distributor import __version__
from distributor.service import CannotStart
from distributor.tap import Options, StorageNode


class OptionsCase(SynchronousTestCase):
    """
    Command lines.
    """

    kind: type[usage.Options]

    def parse(self, *arguments: str) -> Any:
        options = self.kind()
        options.parseOptions([*arguments])
        return options

    def refused(self, *arguments: str) -> str:
        """
        The one line that a wrong command line gets, on the way to exit status 1.
        """
        error = self.assertRaises(CannotStart, self.parse, *arguments)
        self.assertIsInstance(error, SystemExit)
        line = str(error)
        self.assertEqual(error.code, line)
        self.assertNotIn("\n", line)
        return line

    def printed(self, *arguments: str) -> str:
        """
        What options that only print something print, on the way to exit status 0.
        """
        with mock.patch("sys.stdout", io.StringIO()) as out:
            error = self.assertRaises(SystemExit, self.parse, *arguments)
        self.assertIn(error.code, (0, None))
        return out.getvalue()


class DistributorOptionsTests(OptionsCase):
    """
    C{twistd distributor}.
    """

    kind = Options

    def test_defaults(self) -> None:
        """
        Nothing has to be said.
        """
        options = self.parse()
        self.assertEqual(
            (options["port"], options["listen"], options["config"], options["data-dir"]), (None, [], None, "local")
        )

    def test_long_and_short(self) -> None:
        """
        Each option has two spellings.
        """
        for arguments in (
            ("--port", "80", "--config", "a.yml", "--data-dir", "b"),
            ("--port=80", "--config=a.yml", "--data-dir=b"),
            ("-p", "80", "-c", "a.yml", "-d", "b"),
        ):
            options = self.parse(*arguments)
            self.assertEqual((options["port"], options["config"], options["data-dir"]), (80, "a.yml", "b"))

    def test_listen(self) -> None:
        """
        Endpoints are kept as they are, in their order.
        """
        first, second, third = "tcp:3334:interface=127.0.0.1", r"unix:/run/a\:b.sock", "ssl:443:privateKey=k.pem"
        options = self.parse("--listen", first, "-l", second, f"--listen={third}")
        self.assertEqual(options["listen"], [first, second, third])
        # Options of one command line are not those of another.
        self.assertEqual(self.parse()["listen"], [])

    def test_port_or_listen(self) -> None:
        """
        Both at once would contradict each other, even with port 0.
        """
        for port in ("80", "0"):
            line = self.refused("--port", port, "--listen", "tcp:80")
            self.assertEqual(line, "distributor: --port and --listen exclude each other")

    @given(st.integers(-(10**6), 10**6))
    def test_port_range(self, port: int) -> None:
        """
        A port is what TCP takes for one; 0 is any.
        """
        if 0 <= port <= 65535:
            self.assertEqual(self.parse(f"--port={port}")["port"], port)
        else:
            self.assertIn(f"--port {port}", self.refused(f"--port={port}"))

    def test_wrong(self) -> None:
        """
        What is wrong is said in one line that names the program.
        """
        for arguments in (
            ("--port", "eighty"),
            ("--port", ""),
            ("--port",),
            ("--listen",),
            ("--prot", "80"),
            ("-x",),
            ("--config",),
            ("--data-dir",),
            ("stray",),
        ):
            self.assertTrue(self.refused(*arguments).startswith("distributor: "), arguments)

    def test_help(self) -> None:
        """
        The help names every option.
        """
        text = self.printed("--help")
        for name in ("--port", "--listen", "--config", "--data-dir", "--check-config", "--version", "--help"):
            self.assertIn(name, text)

    def configuration(self, text: str) -> str:
        """
        The path of a file that says C{text}.
        """
        path = Path(self.mktemp())
        path.write_text(f"id: x\ncatalogue: {{manifest: m.yml}}\n{text}")
        return str(path.absolute())

    def test_check_config(self) -> None:
        """
        The configuration is printed with what goes before it: the environment, and before that the options.
        """
        path = self.configuration("port: 80\nlimits: {drainTimeoutSec: 7}\nkeys: [//Alice]")
        self.patch(os, "environ", {"JOYSTREAM_DISTRIBUTOR__LIMITS__DRAIN_TIMEOUT_SEC": "8", "STATE_DIRECTORY": "/s"})
        printed = self.printed("--check-config", "-c", path, "-p", "81", "--data-dir", "/data")
        lines = [line.split() for line in printed.splitlines()]
        for line in (
            ["id", "x", path],
            ["publicApi.port", "81", "--port"],
            ["limits.drainTimeoutSec", "8", "$JOYSTREAM_DISTRIBUTOR__LIMITS__DRAIN_TIMEOUT_SEC"],
            ["directories.assets", "/data/assets", "--data-dir"],
            ["directories.cacheState", "/s", "$STATE_DIRECTORY"],
            ["keys", "(hidden)", path],
            ["note:", "without", "an", "effect", "here:", "keys"],
        ):
            self.assertIn(line, lines)

    def test_check_config_wrong(self) -> None:
        """
        What is wrong with it is said on the way to exit status 1, all of it, and nothing is printed.
        """
        path = self.configuration("port: -1\nprt: 80")
        with mock.patch("sys.stdout", io.StringIO()) as out:
            error = self.assertRaises(CannotStart, self.parse, "--check-config", "-c", path)
        self.assertRegex(str(error.code), r"\Adistributor: .*: port: must be .*\n.*: prt: unknown key, .*\Z")
        self.assertEqual(out.getvalue(), "")

    def test_version(self) -> None:
        """
        The version is this program's, not Twisted's.
        """
        self.assertEqual(self.printed("--version"), f"distributor {__version__}\n")

    def test_touches_nothing(self) -> None:
        """
        Reading options makes no file and looks for none.
        """
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        before = os.getcwd()
        os.chdir(directory)
        self.addCleanup(os.chdir, before)
        self.parse("--config", "missing.yml", "--data-dir", "elsewhere")
        self.assertEqual(list(directory.iterdir()), [])


class StorageNodeOptionsTests(OptionsCase):
    """
    C{twistd storage-node}.
    """

    kind = StorageNode.Options

    def test_defaults(self) -> None:
        """
        Only the folder has to be named; it is served on loopback, as fast as can be.
        """
        options = self.parse("--media", "films")
        self.assertEqual(
            {name: options[name] for name in ("media", "port", "interface", "rate", "delay", "manifest")},
            {"media": "films", "port": 3333, "interface": "127.0.0.1", "rate": None, "delay": 0, "manifest": None},
        )

    def test_all(self) -> None:
        """
        All of it can be said.
        """
        arguments = ("-m", "films", "-p", "80", "-i", "::1", "-r", "1000", "--manifest", "out.yml")
        options = self.parse(*arguments)
        self.assertEqual(
            {name: options[name] for name in ("media", "port", "interface", "rate", "manifest")},
            {"media": "films", "port": 80, "interface": "::1", "rate": 1000, "manifest": "out.yml"},
        )

    def test_no_folder(self) -> None:
        """
        Without a folder there is nothing to serve.
        """
        self.assertEqual(self.refused(), "storage-node: --media DIR is required")

    def test_wrong(self) -> None:
        """
        What is wrong is said in one line that names the program.
        """
        for arguments in (
            ("--rate", "0"),
            ("--rate", "-5"),
            ("--rate", "fast"),
            ("--delay", "-1"),
            ("--port", "x"),
            ("--port", "-1"),
            ("--port", "65536"),
            ("--manifest",),
            ("--unknown",),
        ):
            line = self.refused("--media", "films", *arguments)
            self.assertTrue(line.startswith("storage-node: "), line)

    def test_help(self) -> None:
        """
        The help says what it is for.
        """
        text = self.printed("--help")
        for name in ("--media", "--port", "--rate", "--delay", "--manifest", "--interface"):
            self.assertIn(name, text)
        self.assertIn("development", text)
