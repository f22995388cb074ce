"""
What C{python -X importtime} says, by package.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence

from benchmarks.report import middle

STANDARD_LIBRARY = "standard library"

# Microseconds of its own, with what it imports, and the name, indented by its depth. The first line is the heading.
_LINE = re.compile(r"^import time: +(\d+) \| +\d+ \| +(\S+)$", re.MULTILINE)


def own_times(said: str) -> dict[str, float]:
    """
    How long each module took to import, what it imports itself left out, in milliseconds, by its name.

    @param said: what the interpreter wrote to standard error; other lines between are passed over.
    """
    times: Counter[str] = Counter()
    for microseconds, name in _LINE.findall(said):
        # One that fails, and is tried again, has two lines.
        times[name] += int(microseconds)
    return {name: microseconds / 1000 for name, microseconds in times.items()}


def by_package(times: Mapping[str, float]) -> dict[str, float]:
    """
    The sums of the modules of each package; those of the standard library are one.
    """
    sums: dict[str, float] = {}
    for name, milliseconds in times.items():
        top = name.partition(".")[0]
        package = STANDARD_LIBRARY if top in sys.stdlib_module_names else top
        sums[package] = sums.get(package, 0.0) + milliseconds
    return sums


def dearest(rounds: Sequence[Mapping[str, float]], number: int) -> list[str]:
    """
    The packages that took longest, by their medians, the longest first.
    """
    packages = {package for one in rounds for package in one}
    medians = {package: middle([one.get(package, 0.0) for one in rounds]) for package in packages}
    return sorted(medians, key=lambda package: (-medians[package], package))[:number]
