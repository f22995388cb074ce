"""
What the node answers, as tables and lists for people. Pure: an answer in, something that rich can draw out.

The answers are read with patience, see L{distributor.cli.words}: what is not there is a dash. Texts become L{Text}, so
that nothing in them is taken for markup.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from attrs import field, frozen
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from distributor.cli import words
from distributor.cli.client import Answer

Row = Mapping[str, Any]

_BOLD = "bold"
#: What an operator should look at.
_TROUBLE = "bold red"
_BREAKER_STYLES = {"closed": "", "open": _TROUBLE, "half-open": "yellow"}


def rows(answer: Answer, name: str) -> list[Row]:
    """
    The objects of a list in an answer; whatever else is there is left out.
    """
    found = answer.get(name)
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


@frozen
class Column:
    """
    One of a table.

    @ivar cell: what there is to say of a row.
    @ivar justify: where it stands.
    @ivar may_break: whether it may be broken into lines.
    """

    heading: str
    cell: Callable[[Row], str | Text]
    justify: Literal["left", "right"] = "left"
    may_break: bool = field(default=False, kw_only=True)


def table(columns: Sequence[Column], found: Iterable[Row]) -> Table:
    """
    A table without lines, which can be read through a pipe.
    """
    made = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style=_BOLD)
    for column in columns:
        made.add_column(Text(column.heading), justify=column.justify, no_wrap=not column.may_break, overflow="fold")
    for row in found:
        made.add_row(*(_text(column.cell(row)) for column in columns))
    return made


def _text(said: str | Text) -> Text:
    return Text(said) if isinstance(said, str) else said


def _of(key: str, show: Callable[[object], str] = words.text) -> Callable[[Row], str]:
    """
    A cell that shows one field of a row.
    """
    return lambda row: show(row.get(key))


def facts(pairs: Iterable[tuple[str, str | Text]]) -> RenderableType:
    """
    Names and what there is to say of each, below one another.
    """
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(min_width=13, max_width=30, overflow="fold")
    grid.add_column(overflow="fold")
    for name, said in pairs:
        grid.add_row(Text(name), _text(said))
    return grid


def told(answer: Row, now: float, *, nested: bool = True) -> list[tuple[str, str | Text]]:
    """
    Facts with names of their own, for what this program need not know: a name says of itself what it measures. What
    the node does not know is left out.

    @param nested: whether objects within are told in the same way; those within these are shown as they are.
    """
    found: list[tuple[str, str | Text]] = []
    for key, value in answer.items():
        split = _split(key)
        if value is None:
            continue
        if isinstance(value, dict) and nested:
            found += [(f"{_joined(split)} {name}", said) for name, said in told(value, now, nested=False)]
        elif split[-1] == "s" and words.number(value) is not None:
            found.append((_joined(split[:-1]), words.duration(value)))
        elif split[-1] == "at" and words.number(value) is not None:
            found.append((_joined(split), words.ago(value, now)))
        elif split[-1] in ("size", "bytes"):
            found.append((_joined(split), words.size(value)))
        elif isinstance(value, list) and all(isinstance(each, str | int) for each in value):
            found.append((_joined(split), ", ".join(map(words.text, value)) or "none"))
        else:
            found.append((_joined(split), words.text(value)))
    return found


def _split(key: str) -> list[str]:
    """
    The words of a name, be they joined by capitals or by underscores.
    """
    spaced = "".join(f" {each.lower()}" if each.isupper() else each for each in words.text(key).replace("_", " "))
    return spaced.split() or [words.NOTHING]


def _joined(split: Sequence[str]) -> str:
    return " ".join(split)


_STATUS_KEYS = (
    *("id", "version", "uptime", "publicApi", "objectsInCache"),
    *("storageUsed", "storageLimit", "downloadsInProgress"),
)


def status(answer: Answer, now: float) -> RenderableType:
    """
    How a node does.
    """
    used, limit = answer.get("storageUsed"), answer.get("storageLimit")
    up = words.duration(answer.get("uptime"))
    public = words.text(answer.get("publicApi"))
    pairs: list[tuple[str, str | Text]] = [
        ("node", f"{words.text(answer.get('id'))}, version {words.text(answer.get('version'))}, up {up}"),
        ("public API", Text(public, style="" if public in ("running", words.NOTHING) else _TROUBLE)),
        ("objects", words.count(answer.get("objectsInCache"))),
        ("storage", f"{words.size(used)} of {words.size(limit)} ({words.share(used, limit)})"),
        ("downloads", words.count(answer.get("downloadsInProgress"))),
    ]
    return facts(pairs + told({key: value for key, value in answer.items() if key not in _STATUS_KEYS}, now))


def listed(value: object) -> str:
    """
    The texts of a list, on one line.
    """
    return ", ".join(map(words.text, value)) or words.NOTHING if isinstance(value, list) else words.NOTHING


def _share_present(row: Row) -> str:
    return words.share(row.get("present"), row.get("size"))


_DOWNLOADS = (
    Column("object", _of("objectId"), "right"),
    Column("state", _of("state")),
    Column("there", _share_present, "right"),
    Column("of", _of("size", words.size), "right"),
    Column("rate", _of("bytesPerSecond", words.rate), "right"),
    Column("time left", _of("secondsLeft", words.duration), "right"),
    Column("readers", _of("readers", words.count), "right"),
)
_MORE_DOWNLOADS = (Column("storage nodes", _of("storageNodes", listed), may_break=True),)


def downloads(answer: Answer, wide: bool) -> RenderableType:
    """
    What is coming.

    @param wide: whether there is room for much more than 80 columns.
    """
    found = rows(answer, "downloads")
    if not found:
        return Text("nothing is being downloaded")
    return table(_DOWNLOADS + _MORE_DOWNLOADS if wide else _DOWNLOADS, found)


_MORE_OBJECTS = (Column("added", _of("addedAt", words.moment)), Column("content hash", _of("contentHash")))


def _objects(now: float) -> tuple[Column, ...]:
    return (
        Column("object", _of("objectId"), "right"),
        Column("state", _of("state")),
        Column("there", _share_present, "right"),
        Column("of", _of("size", words.size), "right"),
        Column("last asked for", _of("lastAccess", partial(words.ago, now=now)), "right"),
        Column("hits", _of("hits", words.count), "right"),
        Column("type", _of("type"), may_break=True),
    )


def objects(answer: Answer, wide: bool, now: float, *, headed: bool = True) -> RenderableType:
    """
    A page of what is in the index.

    @param headed: whether it is the first page, and so needs the names of the columns.
    """
    found = rows(answer, "objects")
    if not found:
        return Text("no objects" if headed else "no more objects")
    made = table(_objects(now) + _MORE_OBJECTS if wide else _objects(now), found)
    made.show_header = headed
    # A page knows nothing of the widths of the one before; these suffice for most.
    for column, width in zip(made.columns, (6, 11, 5, 10, 14, 5), strict=False):
        column.min_width = width
    return made


def _breaker(row: Row) -> Text:
    breaker = words.text(row.get("breaker"))
    return Text(breaker, style=_BREAKER_STYLES.get(breaker, ""))


_STORAGE_NODES = (
    Column("rank", _of("rank", words.count), "right"),
    Column("storage node", _of("endpoint"), may_break=True),
    Column("first byte", _of("timeToFirstByteMs", words.milliseconds), "right"),
    Column("rate", _of("bytesPerSecond", words.rate), "right"),
    Column("failures", _of("failures", words.count), "right"),
    Column("breaker", _breaker),
)


def storage_nodes(answer: Answer) -> RenderableType:
    """
    The storage nodes, the best one first, and what is to be said of some.
    """
    found = rows(answer, "storageNodes")
    if not found:
        return Text("no storage nodes")
    remarks = [_remark(row, each) for row in found for each in _remarks(row)]
    return Group(table(_STORAGE_NODES, found), *(["", *remarks] if remarks else []))


def _remark(row: Row, said: Text) -> RenderableType:
    return facts([(f"rank {words.count(row.get('rank'))}", said)])


def _remarks(row: Row) -> list[Text]:
    """
    What there is to say of a storage node beyond its figures.
    """
    said = []
    buckets, version = listed(row.get("buckets")), words.text(row.get("version"))
    if words.NOTHING not in (buckets, version):
        said.append(Text(f"buckets {buckets}; version {version}"))
    elif buckets != words.NOTHING or version != words.NOTHING:
        said.append(Text(f"buckets {buckets}" if version == words.NOTHING else f"version {version}"))
    retry_in_s = words.number(row.get("retryInS"))
    if row.get("breaker") != "closed" and retry_in_s is not None:
        said.append(Text(f"is left alone for {words.duration(retry_in_s)}", style=_TROUBLE))
    if row.get("lastError") is not None:
        said.append(Text(f"last error: {words.text(row.get('lastError'))}"))
    if row.get("ignoresRanges") is True:
        said.append(Text("ignores ranges: sends the whole of an object, whatever it is asked for"))
    lies = words.number(row.get("lies"))
    if lies:
        said.append(Text(f"times it sent wrong bytes: {words.count(lies)}; see storage-nodes --faults", style=_TROUBLE))
    return said


def _kind(row: Row) -> str:
    return words.text(row.get("kind")).replace("_", " ")


_FAULTS = (
    Column("at", _of("at", words.moment)),
    Column("object", _of("objectId"), "right"),
    Column("fault", _kind),
    Column("bytes", _of("bytes", words.size), "right"),
    Column("storage node", _of("endpoint"), may_break=True),
)
_MORE_FAULTS = (Column("bucket", _of("bucket")), Column("expected", _of("expected")), Column("got", _of("got")))


def faults(answer: Answer, wide: bool) -> RenderableType:
    """
    The evidence against storage nodes.
    """
    found = rows(answer, "faults")
    if not found:
        return Text("no faults on record")
    return table(_FAULTS + _MORE_FAULTS if wide else _FAULTS, found)


_SETTINGS = (
    Column("key", _of("key")),
    Column("value", _of("value"), may_break=True),
    Column("from", _of("origin"), may_break=True),
)


def settings(answer: Answer) -> RenderableType:
    """
    The configuration in force.
    """
    return table(_SETTINGS, rows(answer, "config"))


def prefetched(answer: Answer) -> RenderableType:
    """
    What has become of the objects that were to be fetched.
    """
    lines = []
    for row in rows(answer, "objects"):
        state, message = words.text(row.get("state")), row.get("message")
        said = f"object {words.text(row.get('objectId'))}: {state}"
        bad = state in ("unknown", "refused")
        lines.append(Text(said if message is None else f"{said}: {words.text(message)}", style=_TROUBLE if bad else ""))
    return Group(*lines)


def bad_count(answer: Answer) -> int:
    """
    How many bad objects a scrub has found: a node lists only so many of them.
    """
    counted = words.number(answer.get("badCount"))
    return len(rows(answer, "bad")) if counted is None else int(counted)


def verified(answer: Answer) -> RenderableType:
    """
    How far a scrub is, and what it has found.
    """
    checked, total = words.count(answer.get("checked")), words.count(answer.get("total"))
    amounts = f"{words.size(answer.get('bytes'))} of {words.size(answer.get('totalBytes'))}"
    lines = [
        Text(f"{words.text(answer.get('state'))}: {checked} of {total} objects, {amounts}, {bad_count(answer)} bad")
    ]
    for row in rows(answer, "bad"):
        what = "removed" if row.get("removed") is True else "not removed"
        lines.append(
            Text(
                f"object {words.text(row.get('objectId'))} is bad, {what}: expected {words.text(row.get('expected'))}, "
                f"got {words.text(row.get('got'))}",
                style=_TROUBLE,
            )
        )
    return Group(*lines)


def evicted(answer: Answer) -> RenderableType:
    """
    What the deletion of an object has brought.
    """
    return Text(f"object {words.text(answer.get('objectId'))}: {words.size(answer.get('freed'))} freed")
