"""
A thousand slow readers of an object that is on disk, each somewhere else in it, and a fast reader beside them.

What the slow ones cost in memory, and how long the fast one waits for its first byte: alone, while they arrive all at
one instant, and once they are there.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from time import monotonic, sleep

from benchmarks.cached_servers import Serving, cached, static
from benchmarks.processes import (
    MIB,
    PATIENCE_S,
    CannotMeasure,
    Server,
    Usage,
    directory,
    forget_peaks,
    need_descriptors,
    socket_buffers,
)
from benchmarks.readers import FastReader, Reader, SlowCrowd
from benchmarks.report import Figures, Row, machine, middle, show, version, write_results
from benchmarks.servers import installed

TARGET = "/api/v1/asset/1"

#: What the fast reader asks for each time, in bytes: a piece of a video.
FAST_LENGTH = 1 * MIB

#: How long the fast reader is alone at first, in seconds.
ALONE_S = 5.0

#: How often a slow reader reads: a little at a time.
PIECES_PER_S = 8

#: What a slow reader's own system takes in for it, in bytes; the default would be a minute of its reading.
RECEIVE_BUFFER = 64 * 1024

ROWS = (
    Row("slow readers that got less, or something wrong", "failed", target=0, digits=0),
    Row("peak memory growth, MiB", "memoryMiB", target=32),
    Row("the system's socket buffers, MiB", "socketBuffersMiB", digits=0),
    Row("each slow reader gets, KiB/s", "slowKiBPerS"),
    Row("until all of them have a first byte, s", "arrivedS", digits=2),
    Row("fast reader's first byte, ms: alone, median", "aloneMedianMs", digits=2),
    Row("... while they arrive, worst", "arrivingMostMs"),
    Row("... beside them, median", "besideMedianMs", target=50, digits=2),
    Row("... beside them, worst", "besideMostMs", target=50),
    Row("processor beside them, %", "cpuPercent"),
)


def measure(serving: Serving, media: Path, expected: bytes, readers: int, rate: int, beside_s: float) -> Figures:
    """
    One round with one server.

    @param rate: of each slow reader, bytes per second.
    @param beside_s: how long the fast reader stays once all the slow ones are there.
    """
    with serving(media) as server:
        fast = FastReader(server.address, TARGET, media / "1", FAST_LENGTH)
        sleep(ALONE_S)
        forget_peaks(server)
        buffers = socket_buffers()
        before, arriving_at = Usage.of(server), monotonic()
        crowd = SlowCrowd(_readers(server, expected, readers), rate, PIECES_PER_S)
        while crowd.reading < readers and monotonic() < arriving_at + PATIENCE_S:
            crowd.read_until(monotonic() + 0.1)
        there, arrived_at, received = Usage.of(server), monotonic(), crowd.received
        crowd.read_until(arrived_at + beside_s)
        after, took_s, received = Usage.of(server), monotonic() - arrived_at, crowd.received - received
        buffers = socket_buffers() - buffers
        tries = fast.stop()
        crowd.close()
    print(f"  the slow readers' client was late by {crowd.late_s:.3f} s at most", file=sys.stderr)
    alone, arriving, beside = (
        [1000 * one.first_byte_s for one in tries if start <= one.began < stop]
        for start, stop in ((0, arriving_at), (arriving_at, arrived_at), (arrived_at, arrived_at + took_s))
    )
    return {
        "failed": sum(reader.error is not None or reader.first_byte_s is None for reader in crowd.readers),
        "memoryMiB": (after.peak - before.resident) / MIB,
        "memoryBeforeMiB": before.resident / MIB,
        "socketBuffersMiB": buffers / MIB,
        "slowKiBPerS": received / took_s / readers / 1024,
        "arrivedS": arrived_at - arriving_at,
        "aloneMedianMs": middle(alone),
        "aloneMostMs": max(alone),
        "arrivingMostMs": max(arriving, default=None),
        "besideTries": len(beside),
        "besideMedianMs": middle(beside),
        "besideMostMs": max(beside),
        "cpuPercent": 100 * (after.cpu_s - there.cpu_s) / took_s,
    }


def _readers(server: Server, expected: bytes, number: int) -> list[Reader]:
    # Each of them has a quarter of the object before it, at least: none comes to its end.
    step = 3 * len(expected) // 4 // number
    return [
        Reader(server.address, TARGET, expected, step * place, receive_buffer=RECEIVE_BUFFER) for place in range(number)
    ]


def candidates() -> dict[str, Serving]:
    """
    The node, and the peer if it is installed.
    """
    found: dict[str, Serving] = {"distributor": cached}
    if "nginx" in installed("nginx"):
        found["nginx static"] = static
    return found


def main() -> int:
    """
    @return: the exit status: 1 where a target was missed.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", type=int, default=1000, help="slow ones")
    parser.add_argument("--size", type=int, default=256, help="of the object, MiB")
    parser.add_argument("--rate", type=int, default=64, help="of each slow reader, KiB/s")
    parser.add_argument("--duration", type=float, default=20, help="of the fast reader beside them, s")
    parser.add_argument("--rounds", type=int, default=3, help="of each server, in turn")
    parser.add_argument("--output", type=Path, help="a file for every figure, JSON")
    arguments = parser.parse_args()
    where = machine()
    need_descriptors(3 * arguments.readers + 100)
    measured = candidates()
    rounds: dict[str, list[Figures]] = {name: [] for name in measured}
    expected = os.urandom(arguments.size * MIB)
    with directory() as media:
        (media / "1").write_bytes(expected)
        for number in range(arguments.rounds):
            for name, serving in measured.items():
                print(f"round {number + 1}, {name}", file=sys.stderr)
                rounds[name].append(
                    measure(serving, media, expected, arguments.readers, arguments.rate * 1024, arguments.duration)
                )
    if arguments.output is not None:
        settings = {"readers": arguments.readers, "sizeMiB": arguments.size, "rateKiBPerS": arguments.rate}
        versions = {"nginx": version("nginx", "-v")} if len(measured) > 1 else {}
        write_results(arguments.output, where, {**settings, "versions": versions}, rounds)
    return 0 if show(ROWS, rounds) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CannotMeasure as error:
        sys.exit(str(error))
