"""
What a benchmark found: as a table for people, and as a file.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import inf
from pathlib import Path

from attrs import frozen

Figures = Mapping[str, float | None]


@frozen
class Row:
    """
    One line of the table.

    @ivar key: under which the figure is, in what was measured.
    @ivar target: the most that the node may have, where a limit was set.
    @ivar typical: whether that is of the median; else of each round.
    """

    title: str
    key: str
    target: float | None = None
    typical: bool = False
    digits: int = 1


def machine() -> dict[str, object]:
    """
    Where and when this runs.
    """
    cpu = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    memory = Path("/proc/meminfo").read_text(encoding="utf-8").split()
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "processor": next((line.split(":")[1].strip() for line in cpu.splitlines() if "model name" in line), "unknown"),
        "cores": os.cpu_count(),
        "memoryMiB": int(memory[memory.index("MemTotal:") + 1]) // 1024,
        "kernel": f"{platform.system()} {platform.release()}",
        # One that somebody has built for himself may be a quarter slower than the distribution's.
        "python": f"{platform.python_version()}, {'of the system' if sys.base_prefix == '/usr' else 'built apart'}",
        # What others did on it, in the minute before.
        "load": os.getloadavg()[0],
    }


def version(*command: str) -> str:
    """
    The first line that a program says of itself.
    """
    said = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return (said.stdout + said.stderr).splitlines()[0]


def middle(values: Sequence[float]) -> float:
    """
    The median.
    """
    return statistics.median(values)


def write_results(
    path: Path,
    where: Mapping[str, object],
    settings: Mapping[str, object],
    rounds: Mapping[str, Sequence[Figures]],
) -> None:
    """
    Keep every figure of every round.

    @param where: what L{machine} said at the start.
    """
    written = {"machine": where, "settings": settings, "rounds": rounds}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")


def show(rows: Sequence[Row], rounds: Mapping[str, Sequence[Figures]]) -> bool:
    """
    Print two tables: the medians of all rounds, with the least and the most behind them; and the node's medians divided
    by those of each peer.

    @param rounds: the figures of each server; the node comes first.
    @return: whether the node has reached all its targets.
    """
    node, *peers = rounds
    values = {
        name: {row.key: [value for one in rounds[name] if (value := one.get(row.key)) is not None] for row in rows}
        for name in rounds
    }
    missed = [row for row in rows if row.target is not None and _counts(row, values[node][row.key]) > row.target]
    targets = ["" if row.target is None else f"{row.target:g}{' MISSED' if row in missed else ''}" for row in rows]
    table(
        ["", *rounds, "target"],
        [
            [row.title, *(_cell(values[name][row.key], row.digits) for name in rounds), target]
            for row, target in zip(rows, targets, strict=True)
        ],
    )
    if peers:
        ratios = [
            [row.title, *(_ratio(values[node][row.key], values[peer][row.key]) for peer in peers)] for row in rows
        ]
        table(["", *(f"{node} / {peer}" for peer in peers)], ratios)
    return not missed


def _counts(row: Row, values: Sequence[float]) -> float:
    """
    What is compared with the target of a row.
    """
    if not values:
        return inf
    return middle(values) if row.typical else max(values)


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """
    A simple table of reStructuredText.
    """
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    rule = " ".join("=" * width for width in widths)
    for line in (rule, head, rule, *lines, rule):
        print(line if isinstance(line, str) else " ".join(map(str.ljust, line, widths)).rstrip())
    print()


def _cell(values: Sequence[float], digits: int) -> str:
    if not values:
        return "-"
    median, least, most = (f"{value:.{digits}f}" for value in (middle(values), min(values), max(values)))
    return median if least == most else f"{median} ({least} to {most})"


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    if not ours or not theirs or not middle(theirs):
        return "-"
    return f"{middle(ours) / middle(theirs):.2f}"
