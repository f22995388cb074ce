"""
The commands that change something.
"""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.text import Text

from distributor.cli import bars, views
from distributor.cli.arguments import OBJECT_ID, RATE
from distributor.cli.client import Answer, Refused
from distributor.cli.conversation import Conversation, asks_node
from distributor.cli.prefetching import Prefetching, batches

#: How often to look how far something is, in seconds.
INTERVAL_S = 1.0

#: Errors that say nothing of the other objects.
_OF_ONE_OBJECT = ("object_not_found", "object_downloading")


@click.command()
@click.argument("object_ids", type=OBJECT_ID, metavar="ID...", nargs=-1)
@click.option("--wait/--no-wait", default=True, help="Wait until all have come, with progress bars; or only ask.")
@click.option("--cancel", is_flag=True, help="Instead: begin none of those that wait for their turn.")
@asks_node
def prefetch(conversation: Conversation, object_ids: Sequence[str], wait: bool, cancel: bool) -> None:
    """
    Fetch objects before anybody asks for them.

    Ctrl-C ends the waiting; the node goes on. Exit status 1: some of them will not come.
    """
    if cancel == bool(object_ids):
        raise click.UsageError("give the ids of data objects, or --cancel")
    if cancel:
        answer = conversation.client.delete("/prefetch")
        conversation.tell(answer, lambda: Text("none of those that waited will be begun"))
        return
    asked = Prefetching.of(object_ids)
    if wait:
        asked.looked(conversation.client.get("/prefetch"))
    for batch in batches(asked.pending):
        asked.took(conversation.client.post("/prefetch", {"objects": batch}))
    if wait:
        _follow(conversation, asked)
    conversation.tell(asked.answer(), lambda: views.prefetched(asked.answer()))
    if asked.failed:
        raise click.exceptions.Exit(1)


def _follow(conversation: Conversation, asked: Prefetching) -> None:
    """
    Wait until it is known of each object what becomes of it.
    """
    client = conversation.client
    with conversation.display() as display:
        while asked.pending:
            display.show(asked.bars(client.get("/downloads")))
            conversation.pause(INTERVAL_S)
            answer = client.get("/prefetch")
            asked.looked(answer)
            if batch := asked.to_ask(answer):
                asked.took(client.post("/prefetch", {"objects": batch}))
        display.show(asked.bars({}))


@click.command()
@click.argument("object_ids", type=OBJECT_ID, metavar="ID...", nargs=-1, required=True)
@asks_node
def evict(conversation: Conversation, object_ids: Sequence[str]) -> None:
    """
    Delete what there is of objects. Who reads them at present goes on.

    One that cannot be deleted does not keep the others; then the exit status is 1.
    """
    refused = []
    for object_id in object_ids:
        try:
            answer = conversation.client.delete(f"/objects/{object_id}")
        except Refused as error:
            if error.type not in _OF_ONE_OBJECT:
                raise
            refused.append(f"object {object_id}: {error}")
        else:
            conversation.tell(answer, lambda answer=answer: views.evicted(answer))  # type: ignore[misc]
    for line in refused:
        click.echo(f"distributor: {line}", err=True)
    if refused:
        raise click.exceptions.Exit(1)


@click.command()
@click.option("--rate", type=RATE, metavar="RATE", help="How fast to read, at most: 50M is 50 MiB a second.")
@click.option("--wait/--no-wait", default=True, help="Wait for the end, with a progress bar; or only begin.")
@click.option("--status", "only", flag_value="status", help="Instead: how far it is, or what the last one has found.")
@click.option("--stop", "only", flag_value="stop", help="Instead: leave off.")
@asks_node
def verify(conversation: Conversation, rate: int | None, wait: bool, only: str | None) -> None:
    """
    Read all complete objects, and hash them again. What is bad is deleted, and will be fetched anew.

    Ctrl-C stops it. Exit status 1: something was bad, or it did not come to its end.
    """
    client = conversation.client
    if only is not None:
        if rate is not None:
            raise click.UsageError(f"--rate is not for --{only}")
        answer = client.get("/verify") if only == "status" else client.delete("/verify")
        conversation.tell(answer, lambda: views.verified(answer))
        return
    answer = client.post("/verify", {} if rate is None else {"bytesPerSecond": rate})
    if wait:
        try:
            answer = _to_the_end(conversation, answer)
        except KeyboardInterrupt:
            stopped = client.delete("/verify")
            conversation.tell(stopped, lambda: views.verified(stopped))
            raise
    conversation.tell(answer, lambda: views.verified(answer))
    if wait and (answer.get("state") != "done" or views.bad_count(answer)):
        raise click.exceptions.Exit(1)


def _to_the_end(conversation: Conversation, answer: Answer) -> Answer:
    """
    Wait while objects are verified.

    @return: the last answer.
    """
    with conversation.display() as display:
        while answer.get("state") == "running":
            display.show([bars.of_verification(answer)])
            conversation.pause(INTERVAL_S)
            answer = conversation.client.get("/verify")
        display.show([bars.of_verification(answer)])
    return answer


def _say(conversation: Conversation, path: str, said: str, body: dict[str, object] | None = None) -> None:
    """
    Tell the node something that it answers with nothing.
    """
    conversation.tell(conversation.client.post(path, body), lambda: Text(said))


@click.command("save-cache-state")
@asks_node
def save_cache_state(conversation: Conversation) -> None:
    """Write the cache.json that Argus reads."""
    answer = conversation.client.post("/save-cache-state", {})
    said = "cache.json is written" if answer.get("written") else "nothing has changed since cache.json was written"
    conversation.tell(answer, lambda: Text(said))


def stop_api(conversation: Conversation) -> None:
    """Serve nobody any more; answers in progress go on."""
    _say(conversation, "/stop-api", "the public API is stopped: viewers get 503")


def start_api(conversation: Conversation) -> None:
    """Serve everybody again."""
    _say(conversation, "/start-api", "the public API is open")


def shutdown(conversation: Conversation) -> None:
    """
    End the node, once answers in progress have ended.

    It waits for these for limits.drainTimeoutSec, at most.
    """
    _say(conversation, "/shutdown", "the node is shutting down")


def set_worker(conversation: Conversation, worker_id: int) -> None:
    """Be another worker, until the node's next start."""
    _say(conversation, "/set-worker", f"the node is worker {worker_id} until its next start", {"workerId": worker_id})


def set_buckets(conversation: Conversation, bucket_ids: Sequence[str], everything: bool) -> None:
    """Distribute other buckets, until the node's next start."""
    if everything == bool(bucket_ids):
        raise click.UsageError("give the ids of buckets, or --all for all of the worker")
    named = "all buckets of its worker" if everything else ", ".join(bucket_ids)
    body: dict[str, object] = {} if everything else {"buckets": list(bucket_ids)}
    _say(conversation, "/set-buckets", f"the node distributes {named} until its next start", body)


_WORKER = click.argument("worker_id", type=click.IntRange(0), metavar="N")
_BUCKETS = click.argument("bucket_ids", metavar="BUCKET...", nargs=-1)
_ALL = click.option("-a", "--all", "everything", is_flag=True, help="All buckets of the worker.")

COMMANDS = (
    prefetch,
    evict,
    verify,
    save_cache_state,
    click.command("stop-api")(asks_node(stop_api)),
    click.command("start-api")(asks_node(start_api)),
    click.command("shutdown")(asks_node(shutdown)),
    click.command("set-worker")(_WORKER(asks_node(set_worker))),
    click.command("set-buckets")(_BUCKETS(_ALL(asks_node(set_buckets)))),
)
