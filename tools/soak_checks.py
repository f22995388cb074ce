"""
What a soak concludes from what it has seen. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from attrs import asdict, field, frozen

from tools.soak_facts import Descriptors, Disk

MIB = 1024 * 1024

#: The first part of the samples is left out: caches fill, and code is loaded.
_WARM_UP = 0.2

#: In the second half, the median of resident memory may be larger by a tenth and so much; in bytes.
RSS_FACTOR, RSS_SLACK = 1.10, 8 * MIB

#: What a sparse file may take on disk beyond the bytes that were written: the block at each end of each of its extents.
_PER_PARTIAL = 64 * 1024

#: What in a log is an error that nobody has foreseen.
_SIGNS = ("Traceback (most recent call last)", "Unhandled", "#critical]")


@frozen
class Check:
    """
    One thing that was to be so.
    """

    name: str
    well: bool
    detail: str


@frozen(kw_only=True)
class DistributorFacts:
    """
    What was seen of a distributor.

    @ivar before: its open files before the clients came, and C{after}: after they had gone.
    @ivar downloads: in progress at the end.
    @ivar used: bytes, as it counts itself.
    @ivar rss: bytes of memory, every second.
    @ivar ends: how often it ended by itself, and how.
    @ivar log: all that it has said.
    """

    name: str
    before: Descriptors
    after: Descriptors
    downloads: int
    used: int
    disk: Disk
    rss: Sequence[int]
    ends: Sequence[str] = ()
    log: str = field(default="", repr=False)


def check_clients(tally: Mapping[str, Any], clients: int) -> list[Check]:
    """
    What the clients have seen.

    @param tally: the members of L{Tally<tools.soak_wishes.Tally>}.
    """
    outcomes = tally["outcomes"]
    complaints = "; ".join([each for each in tally["complaints"] if each.startswith("wrong")][:5])
    return [
        Check("no wrong byte, no answer that should not be", outcomes["wrong"] == 0, complaints or "none"),
        Check("no client left waiting for ever", outcomes["stuck"] == 0, f"{outcomes['stuck']} stuck"),
        # A node that refuses everything does nothing wrong, and is not wanted.
        Check(
            "clients are served",
            outcomes["right"] >= clients and outcomes["right"] > outcomes["refused"] + outcomes["cut"],
            ", ".join(f"{number} {name}" for name, number in outcomes.items() if number),
        ),
    ]


def check_distributor(facts: DistributorFacts) -> list[Check]:
    """
    What became of a distributor.
    """
    after, before = facts.after, facts.before
    tolerance = _PER_PARTIAL * facts.disk.partials
    on_disk = facts.disk.complete + facts.disk.partial
    errors = unforeseen(facts.log)
    checks = [
        Check("still the same process", not facts.ends, "; ".join(facts.ends) or "yes"),
        Check("no unhandled error in its log", not errors, "; ".join(errors[:3]) or "none"),
        Check(
            "no descriptor leaked",
            (after.served, after.objects, after.lost) == (0, 0, 0) and after.others <= before.others,
            f"{_told(before)}; then {_told(after)}",
        ),
        Check("no download left", facts.downloads == 0, str(facts.downloads)),
        Check(
            "every byte on disk accounted for",
            abs(on_disk - facts.used) <= tolerance,
            f"{facts.used} counted; {facts.disk.complete} in whole objects, {facts.disk.partial} in "
            f"{facts.disk.partials} unfinished",
        ),
        check_memory(facts.rss),
    ]
    return [Check(f"{facts.name}: {each.name}", each.well, each.detail) for each in checks]


def _told(found: Descriptors) -> str:
    return ", ".join(f"{number} {name}" for name, number in asdict(found).items() if number)


def check_memory(rss: Sequence[int]) -> Check:
    """
    Whether memory is flat.
    """
    name = f"memory flat: the second half at most {RSS_FACTOR - 1:.0%} and {RSS_SLACK // MIB} MiB above the first"
    warm = rss[int(len(rss) * _WARM_UP) :]
    if len(warm) < 4:
        return Check(name, False, f"{len(rss)} samples are too few")
    first, second = median(warm[: len(warm) // 2]), median(warm[len(warm) // 2 :])
    detail = f"{first / MIB:.1f} MiB, then {second / MIB:.1f}; at most {max(rss) / MIB:.1f}"
    return Check(name, second <= first * RSS_FACTOR + RSS_SLACK, detail)


def unforeseen(log: str) -> list[str]:
    """
    The lines of a log that tell of an error nobody had foreseen, each with the one before it.
    """
    lines = log.splitlines()
    return [
        " / ".join(lines[max(0, number - 1) : number + 1])
        for number, line in enumerate(lines)
        if any(sign in line for sign in _SIGNS)
    ]


def report(checks: Sequence[Check], more: Sequence[str]) -> str:
    """
    For people to read.
    """
    lines = [f"{'ok  ' if each.well else 'FAIL'}  {each.name}: {each.detail}" for each in checks]
    failed = sum(not each.well for each in checks)
    return "\n".join([*more, "", *lines, "", f"{len(checks) - failed} checks passed, {failed} failed"])
