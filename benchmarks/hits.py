"""
What is in the cache: how many answers per second, and what each costs in processor time, beside nginx, Varnish,
C{static.File} and a plain Klein route.

Loopback, C{wrk} with one thread and 32 connections; rounds of all in turn. With one process each, every server has one
processor, and C{wrk} has the others: Varnish's many threads would take them all.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.cases import CASES, IDLE, KLEIN, NODE, OBJECTS, Case
from benchmarks.hit_servers import servers
from benchmarks.processes import CannotMeasure, Server, directory, need_descriptors
from benchmarks.ratios import Ratio, best, ratio
from benchmarks.report import Figures, machine, middle, table, version, write_results
from benchmarks.wrk import run_heads, run_wrk

# By what the node does better than the Klein route, at least; and no worse than Varnish.
_OF_KLEIN = 10.0
_OF_VARNISH = 1.0


def detail(case: Case, found: Mapping[str, Sequence[Figures]]) -> None:
    """
    Print the medians of one case.
    """
    print(f"\n{case.title}")
    for name, rounds in found.items():
        each = {key: [one[key] or 0.0 for one in rounds] for key in rounds[0]}
        rate = each["perSecond"]
        print(
            f"  {name:<26}{middle(rate):>10.0f}/s  ({min(rate):.0f} to {max(rate):.0f})"
            f"{middle(each['MiBPerSecond']):>9.0f} MiB/s{middle(each['cpuMicroseconds']):>9.1f} us"
            f"{middle(each['p99Milliseconds']):>8.1f} ms{sum(each['errors']):>6.0f} errors"
        )


def summary(case: Case, found: Mapping[str, Sequence[Figures]]) -> tuple[list[str], bool]:
    """
    A line of the table, and whether the node has reached all that was set.
    """
    peer = best(found)
    reached = True

    def cell(with_: str | None, key: str, least: float | None = None, most: float | None = None) -> str:
        nonlocal reached
        if with_ is None or with_ not in found or not middle([one[key] or 0.0 for one in found[with_]]):
            # Not there, or not up to it.
            return "-"
        value: Ratio = ratio(found[NODE], found[with_], key)
        missed = (least is not None and value.median < least) or (most is not None and value.median > most)
        reached = reached and not missed
        aim = least if least is not None else most
        return f"{value}{'' if aim is None else f' [{aim:g}]'}{' MISSED' if missed else ''}"

    # Behind a client that waits for each answer, answers for each second of processor time are the throughput.
    line = [case.title, cell(peer, "perSecond", case.target), cell(peer, "cpuMicroseconds", most=case.cost)]
    line.append(cell("Varnish", "perSecond", _OF_VARNISH if case.cost is not None and case.ranges else None))
    line.append(cell("static.File", "perSecond"))
    line.append(cell(KLEIN, "perSecond", _OF_KLEIN if case.title == "10 KiB" else None))
    line.append("-" if peer is None else peer.removeprefix("nginx "))
    return line, reached


def run(server: Server, case: Case, seconds: int, scratch: Path) -> Figures:
    """
    One round of one case with one server.
    """
    return run_heads(server, case, seconds) if case.heads else run_wrk(server, case, seconds, scratch)


def main() -> int:
    """
    @return: the exit status: 1 where a target was missed.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of each server, in turn")
    parser.add_argument("--seconds", type=int, default=2, help="of each round")
    parser.add_argument("--workers", type=int, default=1, help="processes of the node, and of nginx")
    parser.add_argument("--anywhere", action="store_true", help="do not limit single processes to one processor")
    parser.add_argument("--quick", action="store_true", help="few cases")
    parser.add_argument("--only", action="append", help="measure these beside the node; a part of the name")
    parser.add_argument("--case", action="append", help="measure these cases; a part of the title")
    parser.add_argument("--output", type=Path, help="a file for every figure, JSON")
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        raise CannotMeasure("wrk is needed; Debian has it in: wrk nginx-light varnish")
    where = machine()
    need_descriptors(2 * IDLE + 200)

    def wanted(name: str) -> bool:
        return not arguments.only or any(part in name for part in arguments.only)

    several = arguments.workers > 1
    pinned = not several and not arguments.anywhere
    cases = [
        case
        for case in CASES
        if (not arguments.case or any(part in case.title for part in arguments.case))
        and (case.quick or not arguments.quick)
        and (case.several or not several)
    ]
    found: dict[str, dict[str, list[Figures]]] = {case.title: {} for case in cases}
    with directory() as media, directory() as scratch:
        for object_id, size in OBJECTS.items():
            (media / object_id).write_bytes(os.urandom(size))
        with servers(media, wanted, arguments.workers, pinned=pinned) as started:
            for case in cases:
                able = {name: server for name, server in started.items() if case.fits(server)}
                for _ in range(arguments.rounds):
                    for name, server in able.items():
                        figures = run(server, case, arguments.seconds, scratch)
                        found[case.title].setdefault(name, []).append(figures)
                detail(case, found[case.title])
    lines, reached = zip(*(summary(case, found[case.title]) for case in cases), strict=True)
    print("\nThe node divided by each peer, median (least to most of the rounds) [aim]:\n")
    table(["", "best nginx", "processor time", "Varnish", "static.File", KLEIN, "which nginx"], list(lines))
    if arguments.output is not None:
        versions = {"wrk": version("wrk", "-v")}
        for program, option in (("nginx", "-v"), ("varnishd", "-V")):
            if shutil.which(program):
                versions[program] = version(program, option)
        settings = {"seconds": arguments.seconds, "workers": arguments.workers, "oneProcessor": pinned}
        flat = {f"{title}: {name}": rounds for title, by_name in found.items() for name, rounds in by_name.items()}
        write_results(arguments.output, where, {**settings, "versions": versions}, flat)
    return 0 if all(reached) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CannotMeasure as error:
        sys.exit(str(error))
