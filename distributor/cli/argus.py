"""
The commands as Argus spells them, for scripts that were written for it. They are not in the help.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from distributor.cli import doing
from distributor.cli.conversation import Conversation, asks_node


def _command(
    name: str, function: Callable[..., None], *options: Callable[[Callable[..., None]], Callable[..., None]]
) -> click.Command:
    made = asks_node(function, config_names=("-c", "--configPath", "--config"))
    # It asks before some commands, and this answers it; nothing is asked here.
    made = click.option("-y", "--yes", is_flag=True, expose_value=False, help="Has no effect.")(made)
    for option in reversed(options):
        made = option(made)
    return click.command(name, hidden=True)(made)


def _set_buckets(conversation: Conversation, first: tuple[str, ...], bucket_ids: tuple[str, ...], **more: Any) -> None:
    """Distribute other buckets, until the node's next start."""
    # One -B may have several ids behind it: those after the first arrive as arguments.
    doing.set_buckets(conversation, (*first, *bucket_ids), **more)


COMMANDS = (
    _command("node:stop-public-api", doing.stop_api),
    _command("node:start-public-api", doing.start_api),
    _command("node:shutdown", doing.shutdown),
    _command(
        "node:set-worker",
        doing.set_worker,
        click.option("-w", "--workerId", "worker_id", type=click.IntRange(0), required=True, help="The worker."),
    ),
    _command(
        "node:set-buckets",
        _set_buckets,
        click.option("-B", "--bucketIds", "first", multiple=True, metavar="BUCKET...", help="The buckets."),
        click.argument("bucket_ids", metavar="", nargs=-1),
        click.option("-a", "--all", "everything", is_flag=True, help="All buckets of the worker."),
    ),
)
