"""
A node that starts over a large store: how soon it answers from it, how long others wait meanwhile, and what it takes.

Three starts of each round: over an index of all files; over the same with inodes and index dropped from memory, where
the system lets us; and the first start over the folder of Argus, with files that no index knows and a C{cache.json}.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
from itertools import islice
from pathlib import Path
from time import monotonic, sleep, time

from base58 import b58encode
from blake3 import blake3

from benchmarks.processes import MIB, CannotMeasure, Usage, directory
from benchmarks.report import Figures, Row, machine, show, write_results
from benchmarks.servers import distributor
from distributor.cache import check_index

#: Files are sparse: what they occupy on the disk is next to nothing, whatever their size.
SIZE = 64 * 1024

#: Where ids begin; real ones are of this length.
FIRST_ID = 1_000_000

#: What is asked for: neither the first nor the last of the index.
WANTED = FIRST_ID + 4711
TARGET = f"/api/v1/asset/{WANTED}"

#: For how long hits are asked for once there was one, in seconds; and how often.
WATCHED_S = 10.0
PAUSE_S = 0.005

TYPES = ("video/mp4", "image/webp", "video/webm", "text/vtt")

ROWS = (
    Row("until the first hit, s", "firstHitS", target=2, digits=2),
    Row("hits that failed", "failed", target=0, digits=0),
    Row("memory after it, MiB", "residentMiB", target=250),
    Row("... at its peak, MiB", "peakMiB", target=250),
    Row("a hit meanwhile, ms: median", "hitMedianMs", digits=2),
    Row("... 99th percentile", "hitP99Ms", digits=2),
    Row("... worst", "hitMostMs"),
    Row("processor time, s", "cpuS"),
)


def make_store(data: Path, count: int, rows: int) -> None:
    """
    C{count} complete objects of zeros, of which the index knows the first C{rows}, and the one that is asked for.
    """
    assets, state = data / "assets", data / "state"
    assets.mkdir(parents=True)
    state.mkdir()
    for number in range(FIRST_ID, FIRST_ID + count):
        fd = os.open(f"{assets}/{number}", os.O_WRONLY | os.O_CREAT, 0o644)
        os.ftruncate(fd, SIZE)
        os.close(fd)
    check_index(state / "index.sqlite3")
    known = {*range(FIRST_ID, FIRST_ID + rows), WANTED}
    now = time()
    with sqlite3.connect(state / "index.sqlite3") as connection:
        connection.executemany(
            "INSERT INTO object (id, size, content_hash, type, state, extents, added_at, last_access, hits)"
            " VALUES (?, ?, ?, ?, 'complete', '[]', ?, ?, ?)",
            ((str(each), SIZE, _hash(each), TYPES[each % 4], now, now - each % 10**5, each % 9) for each in known),
        )
    connection.close()


def _hash(number: int) -> str:
    # Of no consequence: what the index says has been verified is not verified again.
    return b58encode(b"\x1e\x20" + blake3(str(number).encode("ascii")).digest()).decode("ascii")


def make_cache_json(data: Path, entries: int) -> None:
    """
    What Argus would leave, with more entries than there are files.
    """
    at = int(time() * 1000)
    numbers = range(FIRST_ID, FIRST_ID + entries)
    with (data / "state" / "cache.json").open("w", encoding="ascii") as file:
        file.write('{"lruCacheGroups":[')
        for group in range(24):
            entry = ",".join(
                f'["{each}",{{"sizeKB":{SIZE // 1024},"popularity":{each % 50 + 1},"lastAccessTime":{at - each}}}]'
                for each in islice(numbers, group, None, 24)
            )
            file.write(f"{',' if group else ''}[{entry}]")
        types = ",".join(f'["{each}","{TYPES[each % 4]}"]' for each in numbers)
        file.write(f'],"mimeTypeByObjectId":[{types}]}}')


def drop_caches() -> bool:
    """
    Let the system forget all files: true if it did.
    """
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3", encoding="ascii")
    except OSError:
        return False
    return True


def measure(here: Path) -> Figures:
    """
    One start, and the end of it.
    """
    manifest = here / "manifest.yml"
    manifest.write_text("storageNodes: []\nobjects: {}\n", encoding="utf-8")
    began = monotonic()
    with distributor(here, manifest, TARGET) as node:
        first_s = monotonic() - began
        took: list[float] = []
        failed = 0
        while (at := monotonic()) < began + first_s + WATCHED_S:
            failed += node.get(TARGET) != (200, bytes(SIZE))
            took.append(1000 * (monotonic() - at))
            sleep(PAUSE_S)
        usage = Usage.of(node)
    took.sort()
    return {
        "firstHitS": first_s,
        "failed": failed,
        "residentMiB": usage.resident / MIB,
        "peakMiB": usage.peak / MIB,
        "hitMedianMs": took[len(took) // 2],
        "hitP99Ms": took[len(took) * 99 // 100],
        "hitMostMs": took[-1],
        "cpuS": usage.cpu_s,
    }


def main() -> int:
    """
    @return: the exit status: 1 where a target was missed.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=200_000, help="files in the store")
    parser.add_argument("--cache-json", type=int, default=1_000_000, help="entries in that file")
    parser.add_argument("--rounds", type=int, default=3, help="of each start")
    parser.add_argument("--output", type=Path, help="a file for every figure, JSON")
    arguments = parser.parse_args()
    where = machine()
    rounds: dict[str, list[Figures]] = {"indexed": [], "indexed, cold disk": [], "first start": []}
    with directory() as indexed:
        make_store(indexed / "data", arguments.objects, arguments.objects)
        for number in range(arguments.rounds):
            print(f"round {number + 1}", file=sys.stderr)
            rounds["indexed"].append(measure(indexed))
            if drop_caches():
                rounds["indexed, cold disk"].append(measure(indexed))
            with directory() as argus:
                make_store(argus / "data", arguments.objects, 0)
                make_cache_json(argus / "data", arguments.cache_json)
                rounds["first start"].append(measure(argus))
    if not rounds["indexed, cold disk"]:
        print("the system does not let us drop its caches", file=sys.stderr)
        del rounds["indexed, cold disk"]
    if arguments.output is not None:
        settings = {"objects": arguments.objects, "size": SIZE, "cacheJsonEntries": arguments.cache_json}
        write_results(arguments.output, where, settings, rounds)
    # No server is measured beside the node: each start has a table of its own.
    reached = [show(ROWS, {name: figures}) for name, figures in rounds.items()]
    return 0 if all(reached) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CannotMeasure as error:
        sys.exit(str(error))
