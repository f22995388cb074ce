"""
The command line of the operator: what it is asked, and what it does when something goes wrong.
"""

from __future__ import annotations

from typing import IO, Any

import click

from distributor import __version__
from distributor.cli import argus, doing, looking
from distributor.cli.words import text
from distributor.model import DistributorError

#: What a shell takes for the end by ctrl-C: 128 and the number of the signal.
INTERRUPTED = 130


class Trouble(click.ClickException):
    """
    What the operator asked for has not been done. One line for each problem on stderr, exit status 1.
    """

    def show(self, file: IO[Any] | None = None) -> None:
        for line in self.message.splitlines():
            click.echo(f"distributor: {text(line)}", file, err=file is None)


class Program(click.Group):
    """
    Exit status 0: done; 1: not; 2: not understood; 130: interrupted.
    """

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except DistributorError as error:
            raise Trouble(str(error)) from None
        except KeyboardInterrupt:
            # So that the prompt does not stand behind the ^C.
            click.echo(err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="distributor", message="%(prog)s %(version)s")
def main() -> None:
    """
    Look after a distributor node while it runs, through its operator's API.

    The address and the secret come from the configuration that the node was started with; it needs operatorApi.port.
    To start a node: twistd distributor.
    """


for command in (*looking.COMMANDS, *doing.COMMANDS, *argus.COMMANDS):
    main.add_command(command)
