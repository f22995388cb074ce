"""
All that a node knows of one object, for people. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.text import Text

from distributor.cli import views, words
from distributor.cli.client import Answer

#: How many runs of bytes are listed: a download that was sought in a lot has hundreds.
MOST_RUNS = 8

#: What stands in the catalogue's part of an answer, and is shown in a way of its own, or in another place.
_TOLD_ELSEWHERE = (
    *("error", "lastError", "object", "size", "distributionBuckets"),
    *("storageNodes", "ours", "distributedHere", "why"),
)


def explanation(answer: Answer, now: float) -> RenderableType:
    """
    What C{GET /explain/ID} says.
    """
    parts: list[RenderableType] = [
        Text(f"object {words.text(answer.get('objectId'))}", style="bold"),
        views.facts(_here(answer, now)),
        "",
        Text("catalogue", style="bold"),
        views.facts(_catalogue(answer.get("catalogue"), now)),
        "",
        views.storage_nodes(answer),
    ]
    return Group(*parts)


def _here(answer: Answer, now: float) -> list[tuple[str, str | Text]]:
    """
    What there is on this node.
    """
    size, extents = answer.get("size"), runs(answer.get("extents"))
    there = sum(stop - start for start, stop in extents)
    bad = answer.get("foundBad")
    pairs: list[tuple[str, str | Text]] = [
        ("state", words.text(answer.get("state"))),
        ("ours", _ours(answer)),
        ("there", f"{words.size(there)} of {words.size(size)} ({words.share(there, size)})"),
        ("extents", written(extents)),
        ("readers", words.count(answer.get("readers"))),
        ("verification", words.text(answer.get("verification"))),
        ("last eviction", _eviction(answer.get("lastEviction"), now)),
    ]
    if isinstance(bad, Mapping):
        found = f"{words.ago(bad.get('at'), now)}: expected {words.text(bad.get('expected'))}, "
        pairs.append(("found bad", Text(found + f"got {words.text(bad.get('got'))}", style="bold red")))
    return pairs


def _ours(answer: Answer) -> str:
    here = answer.get("distributedHere")
    said = ("yes" if here else "no") if isinstance(here, bool) else "not known"
    why = answer.get("why")
    return said if why is None else f"{said}: {words.text(why)}"


def _eviction(value: object, now: float) -> str:
    if value is None:
        return "none that is remembered"
    if not isinstance(value, Mapping):
        return words.text(value)
    when, reason = words.ago(value.get("at"), now), value.get("reason")
    return when if reason is None else f"{when}: {words.text(reason)}"


def _catalogue(value: object, now: float) -> list[tuple[str, str | Text]]:
    if not isinstance(value, Mapping):
        return [("answer", words.NOTHING)]
    object = value.get("object")
    known = {**value, **object} if isinstance(object, Mapping) else dict(value)
    pairs: list[tuple[str, str | Text]] = []
    for name, key in ("error", "error"), ("last error", "lastError"):
        if known.get(key) is not None:
            pairs.append((name, Text(words.text(known[key]), style="bold red")))
    if known.get("size") is not None:
        pairs.append(("size", f"{words.size(known['size'])} ({words.count(known['size'])} bytes)"))
    if isinstance(known.get("distributionBuckets"), list):
        buckets = [_bucket(bucket) for bucket in views.rows(known, "distributionBuckets")]
        pairs.append(("buckets", "; ".join(buckets) or "none"))
    return pairs + views.told({key: each for key, each in known.items() if key not in _TOLD_ELSEWHERE}, now)


def _bucket(bucket: Answer) -> str:
    """
    A distribution bucket and who operates it.
    """
    workers = views.listed(bucket.get("workers"))
    return words.text(bucket.get("id")) + (f" of workers {workers}" if workers != words.NOTHING else "")


def runs(value: object) -> list[tuple[int, int]]:
    """
    The runs of bytes of an answer: where each starts, and where it stops.
    """
    if not isinstance(value, list):
        return []
    pairs = [pair for pair in value if isinstance(pair, list) and len(pair) == 2]
    return [
        (start, stop)
        for start, stop in pairs
        if all(isinstance(each, int) and words.number(each) is not None for each in (start, stop)) and 0 <= start < stop
    ]


def written(extents: list[tuple[int, int]]) -> str:
    """
    Runs of bytes, in bytes; C{stop} is the first that is not there.
    """
    if not extents:
        return "none"
    shown = [f"{start}-{stop}" for start, stop in extents[:MOST_RUNS]]
    if len(extents) > MOST_RUNS:
        shown.append(f"and {len(extents) - MOST_RUNS} more")
    return ", ".join(shown)
