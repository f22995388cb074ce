"""
Commands, run as an operator would, against the operator's API of a node that is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from distributor.cli import main
from distributor.cli.conversation import Surroundings
from tests.cli.operator_api import NOW, SECRET, fake_api


class CommandTestCase(SynchronousTestCase):
    """
    Runs commands against a L{FakeApi}.

    @ivar pauses: how long the command has waited, pause by pause.
    @ivar interrupt_after: at which pause ctrl-C is pressed.
    """

    def setUp(self) -> None:
        self.api = fake_api(self)
        self.pauses: list[float] = []
        self.interrupt_after: int | None = None

    def pause(self, seconds: float) -> None:
        """
        Wait, for no time.
        """
        self.pauses.append(seconds)
        if len(self.pauses) == self.interrupt_after:
            raise KeyboardInterrupt

    def run_alone(self, *arguments: str, environ: Mapping[str, str] | None = None, cwd: Path = Path()) -> Result:
        """
        Run a command with these arguments and no others.
        """
        around = Surroundings(environ=environ or {}, cwd=cwd, seconds=lambda: NOW, pause=self.pause)
        result = CliRunner().invoke(main, arguments, obj=around)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def run_command(self, *arguments: str) -> Result:
        """
        Run a command that is told where to ask.
        """
        return self.run_alone(*arguments, "--url", self.api.url, "--secret", SECRET)

    def assert_said(self, result: Result, *lines: str) -> None:
        """
        It has done what it was told, and said this on standard output, and nothing else.
        """
        self.assertEqual(self.api.unsigned, [])
        self.assertEqual(
            (result.stdout, result.stderr, result.exit_code), ("".join(f"{each}\n" for each in lines), "", 0)
        )

    def assert_failed(self, result: Result, message: str, status: int = 1) -> None:
        """
        It has said one line on standard error, and nothing else.
        """
        self.assertEqual((result.stderr, result.stdout, result.exit_code), (f"distributor: {message}\n", "", status))
