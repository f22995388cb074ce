"""
The commands that look at a node, and change nothing.
"""

from __future__ import annotations

import click

from distributor.cli import bars, views
from distributor.cli.arguments import OBJECT_ID
from distributor.cli.conversation import Conversation, Surroundings, asks_node
from distributor.cli.explanation import explanation
from distributor.cli.target import configuration
from distributor.config import directories, report

#: As many as the API gives at once.
MOST_ROWS = 1000


@click.command()
@asks_node
def status(conversation: Conversation) -> None:
    """How the node does."""
    answer = conversation.client.get("/status")
    conversation.tell(answer, lambda: views.status(answer, conversation.seconds()))


@click.command()
@click.option("--watch", is_flag=True, help="Go on until ctrl-C, with a bar for each.")
@click.option(
    "--interval", type=click.FloatRange(0.1, 3600), default=1.0, show_default=True, help="Seconds between two looks."
)
@asks_node
def downloads(conversation: Conversation, watch: bool, interval: float) -> None:
    """What is being downloaded."""
    if not watch:
        answer = conversation.client.get("/downloads")
        conversation.tell(answer, lambda: views.downloads(answer, conversation.wide))
        return
    with conversation.display() as display:
        while True:
            answer = conversation.client.get("/downloads")
            if conversation.as_json:
                conversation.tell(answer, lambda: "")
            display.show(bars.of_downloads(answer), "nothing is being downloaded")
            conversation.pause(interval)


@click.command()
@click.argument("object_id", type=OBJECT_ID, metavar="ID")
@asks_node
def explain(conversation: Conversation, object_id: str) -> None:
    """
    All there is to say of one object.

    What the catalogue knows and since when, whether it is ours and why, its storage nodes, which bytes are here, who
    reads it, whether it was verified, and when it was last evicted.
    """
    answer = conversation.client.get(f"/explain/{object_id}")
    conversation.tell(answer, lambda: explanation(answer, conversation.seconds()))


@click.command()
@click.option("--after", type=OBJECT_ID, metavar="ID", help="Begin behind this one, the last of a page before.")
@click.option("--limit", type=click.IntRange(1, MOST_ROWS), help="How many, of a page; 100 unless given.")
@click.option("--all", "everything", is_flag=True, help="Every page. With --json, each on a line of its own.")
@asks_node
def objects(conversation: Conversation, after: str | None, limit: int | None, everything: bool) -> None:
    """What is in the index."""
    if everything and limit is None:
        limit = MOST_ROWS
    headed = True
    while True:
        answer = conversation.client.get("/objects", after=after, limit=limit)
        _show_objects(conversation, answer, headed)
        following = answer.get("next")
        if not isinstance(following, str) or following == after:
            return
        if not everything:
            if not conversation.as_json:
                click.echo(f"There are more: --after {following}, or --all.", err=True)
            return
        after, headed = following, False


def _show_objects(conversation: Conversation, answer: views.Row, headed: bool) -> None:
    if conversation.as_json or headed or views.rows(answer, "objects"):
        now = conversation.seconds()
        conversation.tell(answer, lambda: views.objects(answer, conversation.wide, now, headed=headed))


@click.command("storage-nodes")
@click.option("--faults", is_flag=True, help="The evidence against them instead: each time one sent wrong bytes.")
@click.option("--limit", type=click.IntRange(1, MOST_ROWS), help="How many faults, the newest first; 100 unless given.")
@asks_node
def storage_nodes(conversation: Conversation, faults: bool, limit: int | None) -> None:
    """The storage nodes: rank, rate, failures and breaker."""
    if faults:
        answer = conversation.client.get("/storage-nodes/faults", limit=limit)
        conversation.tell(answer, lambda: views.faults(answer, conversation.wide))
        return
    if limit is not None:
        raise click.UsageError("--limit is for --faults")
    answer = conversation.client.get("/storage-nodes")
    conversation.tell(answer, lambda: views.storage_nodes(answer))


@click.command()
@asks_node
def config(conversation: Conversation) -> None:
    """The configuration in force, without secrets."""
    answer = conversation.client.get("/config")
    conversation.tell(answer, lambda: views.settings(answer))


@click.command("check-config")
@click.option(
    "-c", "--config", "option", metavar="FILE", help="The file to read; else $CONFIG_PATH, else ./config.yml."
)
@click.pass_context
def check_config(context: click.Context, option: str | None) -> None:
    """
    What a node would start with. Asks no node. The same as twistd distributor --check-config.
    """
    around = context.find_object(Surroundings) or Surroundings()
    read = configuration(option, around.environ, around.cwd)
    where = directories(read, around.environ, around.cwd / "local")
    click.echo(report(read, where), nl=False)


COMMANDS = (status, downloads, explain, objects, storage_nodes, config, check_config)
