"""
Tests for L{distributor.cli.program}: what is on the outside of all commands.
"""

from __future__ import annotations

import time
from unittest import mock

from click.testing import CliRunner

from distributor import __version__
from distributor.cli import main
from distributor.cli.client import Client
from tests.cli import samples
from tests.cli.commands import CommandTestCase
from tests.cli.operator_api import SECRET


class ProgramTests(CommandTestCase):
    """
    L{main}.
    """

    def test_help(self) -> None:
        """
        Ours are listed, each with what it is for in one whole sentence; Argus' spellings are not.
        """
        result = self.run_alone("--help")
        listed = result.stdout.partition("Commands:\n")[2].splitlines()
        self.assertEqual({line.split()[0] for line in listed}, {name for name in main.commands if ":" not in name})
        for line in listed:
            self.assertTrue(line.endswith(".") and not line.endswith("..."), line)
        self.assertEqual(self.run_alone("-h").stdout, result.stdout)

    def test_help_of_each(self) -> None:
        """
        Each command has help, and the options that all share.
        """
        for name in main.commands:
            result = self.run_alone(name, "--help")
            self.assertEqual(result.exit_code, 0)
            if name != "check-config":
                for option in ("--config", "--url", "--secret", "--secret-file", "--json"):
                    self.assertIn(option, result.stdout, name)

    def test_version(self) -> None:
        """
        The package's.
        """
        self.assert_said(self.run_alone("--version"), f"distributor {__version__}")

    def test_wrong_usage(self) -> None:
        """
        Exit status 2, and a hint.
        """
        for arguments in (("nope",), ("status", "more"), ("status", "--nope"), ("downloads", "--interval", "0")):
            result = self.run_command(*arguments)
            self.assertEqual((result.exit_code, result.stdout), (2, ""))
            self.assertIn("--help", result.stderr)

    def test_errors(self) -> None:
        """
        One line on stderr, exit status 1, nothing on stdout, with C{--json} as well; and nothing in it speaks to the
        terminal.
        """
        self.api.answer("GET /status", {"type": "internal_error", "message": "a\x1b[31mb\r"}, status=500)
        for more in ((), ("--json",)):
            self.assert_failed(self.run_command("status", *more), r"the node answers 500: a\x1b[31mb\r")
        self.assert_failed(
            self.run_alone("status", "--secret-file", "\x1b[2J"),
            r"--secret-file: \x1b[2J: No such file or directory",
        )
        self.assert_failed(
            self.run_alone("status"), "there is no configuration file: give --config, or --url and --secret-file"
        )
        self.assert_failed(
            self.run_alone("status", "--url", "x", "--secret", SECRET),
            "--url: is not the URL of a node: expected such as http://127.0.0.1:3335",
        )

    def test_wrong_secret(self) -> None:
        """
        A node that does not know who asks.
        """
        result = self.run_alone("status", "--url", self.api.url, "--secret", "wrong" * 10)
        self.assertIn("the node answers 401: not signed (the secret must be", result.stderr)
        self.assertEqual(result.exit_code, 1)

    def test_interrupted_in_the_middle(self) -> None:
        """
        Ctrl-C while a node does not answer is 130, without a traceback.
        """
        with mock.patch.object(Client, "ask", side_effect=KeyboardInterrupt):
            result = self.run_command("status")
        self.assertEqual((result.exit_code, result.stdout, result.stderr), (130, "", "\n"))

    def test_real_surroundings(self) -> None:
        """
        Without others, a command finds those of its process.
        """
        self.api.answer("GET /status", samples.STATUS)
        self.api.now = time.time()
        result = CliRunner().invoke(main, ["status", "--url", self.api.url, "--secret", SECRET])
        self.assertEqual(result.exit_code, 0, result.output)
