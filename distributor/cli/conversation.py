"""
What all commands share: the options that say which node is meant, and where answers go.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import click
from attrs import field, frozen
from rich.console import Console, RenderableType

from distributor.cli.bars import Display, Lines, Moving, Nowhere
from distributor.cli.client import Answer, Client
from distributor.cli.target import SECRET_VARIABLE, Asked, find_target

P = ParamSpec("P")

#: What is written for programs and files is not broken into lines: more than any row has.
_UNBROKEN = 100_000

#: From this many columns on, tables have those that are not needed every day.
_WIDE = 180


@frozen(kw_only=True)
class Surroundings:
    """
    What a command finds around it; tests give it others.

    @ivar seconds: the time, in seconds since 1970.
    @ivar pause: waits so many seconds.
    """

    environ: Mapping[str, str] = field(factory=lambda: os.environ)
    cwd: Path = field(factory=Path.cwd)
    seconds: Callable[[], float] = time.time
    pause: Callable[[float], object] = time.sleep


class Conversation:
    """
    A node to ask, and somebody to tell.

    @ivar as_json: whether standard output is for programs.
    """

    def __init__(self, client: Client, around: Surroundings, *, as_json: bool) -> None:
        self.client = client
        self.as_json = as_json
        self.seconds = around.seconds
        self.pause = around.pause
        # Who forces colours into a pipe does not want it to move.
        self._is_terminal = sys.stdout.isatty()
        # Nothing is guessed about what the texts mean: no markup, no colours for what looks like a number.
        plain = {"highlight": False, "markup": False, "emoji": False}
        self.console = Console(**plain, width=None if self._is_terminal else _UNBROKEN)  # type: ignore[arg-type]

    @property
    def wide(self) -> bool:
        """
        Whether there is room for more than the usual columns.
        """
        return self.console.width >= _WIDE

    def tell(self, answer: Answer, view: Callable[[], RenderableType]) -> None:
        """
        Show an answer: as it is to programs, each on a line of its own, and through C{view} to people.
        """
        if self.as_json:
            click.echo(json.dumps(answer))
        else:
            self.show(view())

    def show(self, shown: RenderableType) -> None:
        """
        Show something to people.
        """
        if self.console.is_terminal:
            self.console.print(shown)
            return
        with self.console.capture() as capture:
            self.console.print(shown)
        for line in capture.get().splitlines():
            click.echo(line.rstrip())

    def display(self) -> Display:
        """
        Where bars are shown.
        """
        if self.as_json:
            return Nowhere()
        if self._is_terminal and not self.console.is_dumb_terminal:
            return Moving(self.console)
        return Lines(self.console)


def _options(*config_names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    options = (
        click.option(
            *config_names,
            "config",
            metavar="FILE",
            help="Configuration of the node; else $CONFIG_PATH, else ./config.yml.",
        ),
        click.option("-u", "--url", metavar="URL", help="The operator's API, else what the configuration says."),
        click.option(
            "-s", "--secret", help=f"What to sign with, else ${SECRET_VARIABLE}, else what the configuration says."
        ),
        click.option("--secret-file", metavar="FILE", help="A file with the secret; - is the standard input."),
        click.option("--json", "as_json", is_flag=True, help="Print the answers of the API, one a line."),
    )

    def add(function: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            function = option(function)
        return function

    return add


def asks_node(
    function: Callable[Concatenate[Conversation, P], None], *, config_names: tuple[str, ...] = ("-c", "--config")
) -> Callable[..., None]:
    """
    Give a command the options that all share, and a L{Conversation}.
    """

    @_options(*config_names)
    @click.pass_context
    @wraps(function)
    def command(context: click.Context, /, *args: Any, **options: Any) -> None:
        around = context.find_object(Surroundings) or Surroundings()
        asked = Asked(**{name: options.pop(name) for name in ("config", "url", "secret", "secret_file")})
        as_json = options.pop("as_json")
        client = Client(find_target(asked, around.environ, around.cwd), around.seconds)
        function(Conversation(client, around, as_json=as_json), *args, **options)

    return command
