"""
What the node answers, as tables and lists for people. Pure: an answer in, something that rich can draw out.

The answers are read with patience, see L{distributor.cli.words}: what is not there is a dash. Texts become L{Text}, so
that nothing in them is taken for markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from distributor.cli import words
from distributor.cli.client import Answer

Row = Mapping[str, Any]

#: The heading of a column, where its cells stand, and whether they may be broken into lines.
Column = tuple[str, Literal["left", "right"], bool]

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


def table(columns: Iterable[Column]) -> Table:
    """
    A table without lines, which can be read through a pipe.
    """
    made = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style=_BOLD)
    for heading, justify, may_break in columns:
        made.add_column(Text(heading), justify=justify, no_wrap=not may_break, overflow="fold")
    return made


def facts(pairs: Iterable[tuple[str, str | Text]]) -> RenderableType:
    """
    Names and what there is to say of each, below one another.
    """
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(min_width=13, max_width=30, overflow="fold")
    grid.add_column(overflow="fold")
    for name, said in pairs:
        grid.add_row(Text(name), Text(said) if isinstance(said, str) else said)
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


_DOWNLOADS: list[Column] = [
    ("object", "right", False),
    ("state", "left", False),
    ("there", "right", False),
    ("of", "right", False),
    ("rate", "right", False),
    ("time left", "right", False),
    ("readers", "right", False),
]
_MORE_DOWNLOADS: list[Column] = [("storage nodes", "left", True)]


def downloads(answer: Answer, wide: bool) -> RenderableType:
    """
    What is coming.

    @param wide: whether there is room for much more than 80 columns.
    """
    found = rows(answer, "downloads")
    if not found:
        return Text("nothing is being downloaded")
    made = table(_DOWNLOADS + _MORE_DOWNLOADS if wide else _DOWNLOADS)
    for row in found:
        cells = [
            words.text(row.get("objectId")),
            words.text(row.get("state")),
            words.share(row.get("present"), row.get("size")),
            words.size(row.get("size")),
            words.rate(row.get("bytesPerSecond")),
            words.duration(row.get("secondsLeft")),
            words.count(row.get("readers")),
        ]
        if wide:
            cells.append(listed(row.get("storageNodes")))
        made.add_row(*map(Text, cells))
    return made


def listed(value: object) -> str:
    """
    The texts of a list, on one line.
    """
    return ", ".join(map(words.text, value)) or words.NOTHING if isinstance(value, list) else words.NOTHING


_OBJECTS: list[Column] = [
    ("object", "right", False),
    ("state", "left", False),
    ("there", "right", False),
    ("of", "right", False),
    ("last asked for", "right", False),
    ("hits", "right", False),
    ("type", "left", True),
]
_MORE_OBJECTS: list[Column] = [("added", "left", False), ("content hash", "left", False)]


def objects(answer: Answer, wide: bool, now: float, *, headed: bool = True) -> RenderableType:
    """
    A page of what is in the index.

    @param headed: whether it is the first page, and so needs the names of the columns.
    """
    found = rows(answer, "objects")
    if not found:
        return Text("no objects" if headed else "no more objects")
    made = table(_OBJECTS + _MORE_OBJECTS if wide else _OBJECTS)
    made.show_header = headed
    # A page knows nothing of the widths of the one before; these suffice for most.
    for column, width in zip(made.columns, (6, 11, 5, 10, 14, 5), strict=False):
        column.min_width = width
    for row in found:
        cells = [
            words.text(row.get("objectId")),
            words.text(row.get("state")),
            words.share(row.get("present"), row.get("size")),
            words.size(row.get("size")),
            words.ago(row.get("lastAccess"), now),
            words.count(row.get("hits")),
            words.text(row.get("type")),
        ]
        if wide:
            cells += [words.moment(row.get("addedAt")), words.text(row.get("contentHash"))]
        made.add_row(*map(Text, cells))
    return made


_STORAGE_NODES: list[Column] = [
    ("rank", "right", False),
    ("storage node", "left", True),
    ("first byte", "right", False),
    ("rate", "right", False),
    ("failures", "right", False),
    ("breaker", "left", False),
]


def storage_nodes(answer: Answer) -> RenderableType:
    """
    The storage nodes, the best one first, and what is to be said of some.
    """
    found = rows(answer, "storageNodes")
    if not found:
        return Text("no storage nodes")
    made = table(_STORAGE_NODES)
    remarks: list[RenderableType] = []
    for row in found:
        breaker = words.text(row.get("breaker"))
        made.add_row(
            words.count(row.get("rank")),
            Text(words.text(row.get("endpoint"))),
            words.milliseconds(row.get("timeToFirstByteMs")),
            words.rate(row.get("bytesPerSecond")),
            words.count(row.get("failures")),
            Text(breaker, style=_BREAKER_STYLES.get(breaker, "")),
        )
        remarks += [_remark(row, each) for each in _remarks(row)]
    return Group(made, *(["", *remarks] if remarks else []))


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


_FAULTS: list[Column] = [
    ("at", "left", False),
    ("object", "right", False),
    ("fault", "left", False),
    ("bytes", "right", False),
    ("storage node", "left", True),
]
_MORE_FAULTS: list[Column] = [("bucket", "left", False), ("expected", "left", False), ("got", "left", False)]


def faults(answer: Answer, wide: bool) -> RenderableType:
    """
    The evidence against storage nodes.
    """
    found = rows(answer, "faults")
    if not found:
        return Text("no faults on record")
    made = table(_FAULTS + _MORE_FAULTS if wide else _FAULTS)
    for row in found:
        cells = [
            words.moment(row.get("at")),
            words.text(row.get("objectId")),
            words.text(row.get("kind")).replace("_", " "),
            words.size(row.get("bytes")),
            words.text(row.get("endpoint")),
        ]
        if wide:
            cells += [words.text(row.get(name)) for name in ("bucket", "expected", "got")]
        made.add_row(*map(Text, cells))
    return made


def settings(answer: Answer) -> RenderableType:
    """
    The configuration in force.
    """
    made = table([("key", "left", False), ("value", "left", True), ("from", "left", True)])
    for row in rows(answer, "config"):
        made.add_row(*(Text(words.text(row.get(name))) for name in ("key", "value", "origin")))
    return made


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
