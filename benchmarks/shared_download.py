"""
A thousand readers of one object that is not there yet, at one instant, over a storage node of limited rate.

How much is asked of the storage node, who gets the whole object and the right bytes, what it costs in memory and time.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic

from benchmarks.processes import MIB, CannotMeasure, Server, Usage, directory, forget_peaks, need_descriptors
from benchmarks.readers import Reader, read_all
from benchmarks.report import Figures, Row, machine, middle, show, version, write_results
from benchmarks.servers import distributor, installed, nginx_cache, storage_node, varnish

#: Starts a server in a directory, in front of a storage node whose own directory is the last argument.
Start = Callable[[Path, Server, Path], Server]

ROWS = (
    Row("readers that got less, or something wrong", "failed", target=0, digits=0),
    Row("asked of the storage node / size", "askedRatio", target=1.0, digits=3),
    Row("requests to the storage node", "requests", target=1, digits=0),
    Row("peak memory growth, MiB", "memoryMiB", target=64),
    Row("first byte, median s", "firstByteMedian", digits=3),
    Row("first byte, last reader s", "firstByteMost", digits=3),
    Row("whole object, median s", "wholeMedian"),
    Row("whole object, last reader s", "wholeMost"),
    Row("processor time, s", "cpu"),
)


def measure(start: Start, media: Path, expected: bytes, readers: int, rate: int, timeout_s: float) -> Figures:
    """
    One round with one server.
    """
    with (
        directory() as storage_directory,
        directory() as server_directory,
        storage_node(storage_directory, media, rate) as storage,
        start(server_directory, storage, storage_directory) as server,
    ):
        asked_before = _asked(storage)
        forget_peaks(server)
        before = Usage.of(server)
        began = monotonic()
        crowd = [Reader(server.address, "/api/v1/asset/1", expected) for _ in range(readers)]
        read_all(crowd, timeout_s)
        took_s = monotonic() - began
        after = Usage.of(server)
        asked = {key: value - asked_before[key] for key, value in _asked(storage).items()}
    errors = [reader.error for reader in crowd if reader.error is not None]
    for error in sorted(set(errors))[:5]:
        print(f"  {errors.count(error)} readers: {error}", file=sys.stderr)
    first = [reader.first_byte_s for reader in crowd if reader.first_byte_s is not None] or [timeout_s]
    whole = [reader.whole_s for reader in crowd if reader.whole_s is not None] or [timeout_s]
    return {
        "failed": len(errors),
        "askedRatio": asked["bytesAsked"] / len(expected),
        "requests": asked["requests"],
        "memoryMiB": (after.peak - before.resident) / MIB,
        "memoryBeforeMiB": before.resident / MIB,
        "firstByteMedian": middle(first),
        "firstByteMost": max(first),
        "wholeMedian": middle(whole),
        "wholeMost": max(whole),
        "cpu": after.cpu_s - before.cpu_s,
        "took": took_s,
    }


def _asked(storage: Server) -> Mapping[str, int]:
    status = json.loads(storage.get("/api/v1/status")[1])
    return {key: status[key] for key in ("requests", "bytesAsked")}


def candidates() -> dict[str, Start]:
    """
    The node, and the peers that are installed.
    """
    there = installed("nginx", "varnishd")
    found: dict[str, Start] = {
        "distributor": lambda here, storage, beside: distributor(here, beside / "manifest.yml"),
    }
    if "nginx" in there:
        found["nginx"] = lambda here, storage, _: nginx_cache(here, storage, slices=False)
        found["nginx slice 1m"] = lambda here, storage, _: nginx_cache(here, storage, slices=True)
    if "varnishd" in there:
        found["Varnish"] = lambda here, storage, _: varnish(here, storage)
    return found


def main() -> int:
    """
    @return: the exit status: 1 where a target was missed.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", type=int, default=1000)
    parser.add_argument("--size", type=int, default=64, help="of the object, MiB")
    parser.add_argument("--rate", type=int, default=16, help="of the storage node, MiB/s")
    parser.add_argument("--rounds", type=int, default=3, help="of each server, in turn")
    parser.add_argument("--timeout", type=float, default=300, help="of one round, s")
    parser.add_argument("--only", action="append", help="measure this one; may be repeated")
    parser.add_argument("--output", type=Path, help="a file for every figure, JSON")
    arguments = parser.parse_args()
    where = machine()
    need_descriptors(3 * arguments.readers + 100)
    measured = {
        name: start for name, start in candidates().items() if arguments.only in (None, []) or name in arguments.only
    }
    rounds: dict[str, list[Figures]] = {name: [] for name in measured}
    expected = os.urandom(arguments.size * MIB)
    with directory() as media:
        (media / "1").write_bytes(expected)
        for number in range(arguments.rounds):
            for name, start in measured.items():
                figures = measure(start, media, expected, arguments.readers, arguments.rate * MIB, arguments.timeout)
                rounds[name].append(figures)
                print(f"round {number + 1}, {name}: {figures['took']:.1f} s", file=sys.stderr)
    if arguments.output is not None:
        settings = {"readers": arguments.readers, "sizeMiB": arguments.size, "rateMiBPerS": arguments.rate}
        versions = {"nginx": version("nginx", "-v")} if "nginx" in rounds else {}
        if "Varnish" in rounds:
            versions["Varnish"] = version("varnishd", "-V")
        write_results(arguments.output, where, {**settings, "versions": versions}, rounds)
    return 0 if show(ROWS, rounds) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CannotMeasure as error:
        sys.exit(str(error))
