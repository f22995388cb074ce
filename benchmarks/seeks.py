"""
Readers of a cold object who want different parts of it, over a slow storage node.

How much the storage node sends, how long the first byte takes, whether the bytes are right, whether it is a hit later.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from threading import Thread
from time import monotonic, sleep

from attrs import frozen

from benchmarks.processes import MIB, CannotMeasure, Server, Usage, directory, forget_peaks
from benchmarks.readers import Reader, read_all
from benchmarks.report import Figures, Row, machine, middle, show, version, write_results
from benchmarks.servers import storage_node
from benchmarks.shared_download import Start, candidates

#: What a seek is asked for.
_PART = MIB

#: How many seeks it takes to tell how long one takes, where a storage node gives out bytes every 10 ms; what each of
#: them is asked for; and how far they are from each other, in seconds.
_MANY = 16
_LITTLE = 64 * 1024
_APART_S = 0.3

#: The same, of twos, a MiB each. They are so far from each other, in seconds, that the storage node is done with two
#: when the next two come; and up to two of its turns further, at random.
_PAIRS = 10
_PAIRS_APART_S = 0.6
_PAIRS_SPREAD_S = 0.02

#: How long a storage node has to be silent until a fill is over, in seconds.
_SILENCE_S = 1.0

#: After which a storage node answers at once again, in seconds: it gives out bytes a hundred times a second.
_REST_S = 0.1


@frozen
class Wanted:
    """
    @ivar after_s: when to ask, from the start of the round.
    @ivar seek: whether it is one of those whose first byte is reported.
    """

    start: int
    stop: int
    after_s: float = 0.0
    seek: bool = True


def whole_crowd(size: int) -> list[Wanted]:
    """
    32 readers of the whole, at one instant.
    """
    return [Wanted(0, size) for _ in range(32)]


def whole_and_seeks(size: int) -> list[Wanted]:
    """
    One reader of the whole; half a second later, one of the last MiB and one of the middle MiB.
    """
    middle_start = size // 2
    return [
        Wanted(0, size, seek=False),
        Wanted(size - _PART, size, 0.5),
        Wanted(middle_start, middle_start + _PART, 0.5),
    ]


def whole_and_many_seeks(size: int) -> list[Wanted]:
    """
    One reader of the whole; and one after another, at moments that have nothing to do with a storage node's turns,
    readers of a little from where nothing has come yet.
    """
    moments = random.Random(7)
    seeks = []
    for number in range(_MANY):
        start = size - (number + 1) * _PART
        seeks.append(Wanted(start, start + _LITTLE, 0.5 + (number + moments.random()) * _APART_S))
    return [Wanted(0, size, seek=False), *seeks]


def whole_and_many_pairs(size: int) -> list[Wanted]:
    """
    One reader of the whole; and one after another, two at one instant, of a MiB near the end and one near the middle,
    which is what a player asks for where nothing has come yet.
    """
    moments = random.Random(11)
    seeks = []
    for number in range(_PAIRS):
        after_s = 0.5 + number * _PAIRS_APART_S + moments.random() * _PAIRS_SPREAD_S
        places = size - (number + 1) * _PART, size // 2 + 2 * number * _PART
        seeks.extend(Wanted(start, start + _PART, after_s) for start in places)
    return [Wanted(0, size, seek=False), *seeks]


def random_ranges(size: int) -> list[Wanted]:
    """
    32 readers of a MiB each, from anywhere.
    """
    places = random.Random(4)
    starts = [places.randrange(size - _PART) for _ in range(32)]
    return [Wanted(start, start + _PART) for start in starts]


@frozen
class Scenario:
    """
    @ivar wanted: who reads what, of an object of that size.
    @ivar most_sent: what the storage node may send in all, as a multiple of the object's size.
    @ivar slowest_seek: how long a first byte may take, as a multiple of what the storage node itself takes; L{None}
        where that is not asked.
    @ivar delay_ms: how long the storage node is silent before each answer, as one across a continent.
    @ivar times: how often in each round. What takes a few milliseconds is told by luck as much as by the server.
    """

    title: str
    wanted: Callable[[int], list[Wanted]]
    most_sent: float
    slowest_seek: float | None = None
    delay_ms: int = 0
    times: int = 1

    @property
    def rows(self) -> tuple[Row, ...]:
        """
        What is reported.
        """
        return (
            Row("readers that got less, or something wrong", "failed", target=0, digits=0),
            Row("sent / distinct bytes wanted, when the last reader was done", "sentWanted", digits=2),
            Row("sent / object, when all was quiet", "sentObject", target=self.most_sent, digits=3),
            Row("asked of the storage node again by a later reader / object", "again", digits=2),
            Row("first byte, median ms", "firstMedianMs", digits=1),
            Row("first byte, last reader ms", "firstMostMs", digits=1),
            Row("first byte, mean ms", "firstMeanMs", digits=1),
            Row("mean first byte / that of the storage node itself", "firstDirect", target=self.slowest_seek, digits=2),
            Row("last reader done, s", "done", digits=2),
            Row("peak memory growth, MiB", "memoryMiB", target=32),
        )


SCENARIOS = (
    Scenario("32 readers of the whole", whole_crowd, 1.02, times=3),
    Scenario("a whole reader, and two seeks after 0.5 s", whole_and_seeks, 1.1, 1.2),
    Scenario("a whole reader, and 16 seeks one after another", whole_and_many_seeks, 1.1, 1.2),
    Scenario("a whole reader, and ten times two seeks at one instant", whole_and_many_pairs, 1.1, 1.2, times=3),
    Scenario(
        "16 seeks one after another, of a storage node that takes 20 ms to answer",
        whole_and_many_seeks,
        1.1,
        1.2,
        delay_ms=20,
    ),
    Scenario("32 random ranges of 1 MiB", random_ranges, 1.1),
)


def _sent(storage: Server) -> int:
    return int(json.loads(storage.get("/api/v1/status")[1])["bytesSent"])


def _quiet(storage: Server, timeout_s: float) -> int:
    """
    What the storage node has sent once it sends nothing more.
    """
    deadline = monotonic() + timeout_s
    sent, since = _sent(storage), monotonic()
    while monotonic() < deadline and monotonic() - since < _SILENCE_S:
        sleep(0.1)
        now = _sent(storage)
        if now != sent:
            sent, since = now, monotonic()
    return sent


def _read(
    wanted: Sequence[Wanted], server: Server, expected: bytes, timeout_s: float, target: str = "/api/v1/asset/1"
) -> list[Reader]:
    """
    Let each ask at its time.
    """
    readers: list[Reader] = []

    def ask_together(several: Sequence[Wanted]) -> None:
        sleep(several[0].after_s)
        asking = [Reader(server.address, target, expected, each.start, each.stop) for each in several]
        readers.extend(asking)
        read_all(asking, timeout_s)

    moments = dict.fromkeys(each.after_s for each in wanted)
    threads = [
        Thread(target=ask_together, args=([each for each in wanted if each.after_s == moment],)) for moment in moments
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return readers


def _first_bytes(readers: Sequence[Reader], wanted: Sequence[Wanted], timeout_s: float) -> list[float]:
    """
    How long those whose first byte is reported waited for it.
    """
    seeks = {(each.start, each.stop) for each in wanted if each.seek}
    return [reader.first_byte_s or timeout_s for reader in readers if (reader.start, reader.stop) in seeks]


def direct(scenario: Scenario, media: Path, expected: bytes, rate: int, timeout_s: float) -> float:
    """
    The first byte where the same readers ask the storage node itself: the mean, in seconds.
    """
    wanted = scenario.wanted(len(expected))
    with directory() as storage_directory, storage_node(storage_directory, media, rate, scenario.delay_ms) as storage:
        readers = _read(wanted, storage, expected, timeout_s, "/api/v1/files/1")
    return mean(_first_bytes(readers, wanted, timeout_s))


def measure(
    start: Start, scenario: Scenario, media: Path, expected: bytes, first: bytes, rate: int, timeout_s: float
) -> Figures:
    """
    One round of one scenario with one server.

    @param first: another object, which somebody has asked for before.
    """
    wanted = scenario.wanted(len(expected))
    distinct = len({place for each in wanted for place in range(each.start // 1024, each.stop // 1024)}) * 1024
    with (
        directory() as storage_directory,
        directory() as server_directory,
        storage_node(storage_directory, media, rate, scenario.delay_ms) as storage,
        start(server_directory, storage, storage_directory) as server,
    ):
        # What is measured is a server that runs, and not its first request.
        _read([Wanted(0, len(first))], server, first, timeout_s, "/api/v1/asset/2")
        # Nor what the storage node has left to give after that.
        sleep(_REST_S)
        forget_peaks(server)
        memory_before = Usage.of(server)
        before = _sent(storage)
        began = monotonic()
        readers = _read(wanted, server, expected, timeout_s)
        done_s = monotonic() - began
        sent = _sent(storage) - before
        filled = _quiet(storage, timeout_s) - before
        memory_after = Usage.of(server)
        [later] = _read([Wanted(0, len(expected))], server, expected, timeout_s)
        again = _quiet(storage, timeout_s) - before - filled
    errors = [reader.error for reader in [*readers, later] if reader.error is not None]
    for error in sorted(set(errors))[:5]:
        print(f"  {errors.count(error)} readers: {error}", file=sys.stderr)
    first = _first_bytes(readers, wanted, timeout_s)
    return {
        "failed": len(errors),
        "sentWanted": sent / distinct,
        "sentObject": filled / len(expected),
        "again": again / len(expected),
        "firstMedianMs": 1000 * middle(first),
        "firstMostMs": 1000 * max(first),
        "firstMeanMs": 1000 * mean(first),
        "done": done_s,
        "memoryMiB": (memory_after.peak - memory_before.resident) / MIB,
    }


def main() -> int:
    """
    @return: the exit status: 1 where a target was missed.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=64, help="of the object, MiB")
    parser.add_argument("--rate", type=int, default=8, help="of the storage node, MiB/s")
    parser.add_argument("--rounds", type=int, default=3, help="of each server, in turn")
    parser.add_argument("--timeout", type=float, default=120, help="of one round, s")
    parser.add_argument("--only", action="append", help="measure this server; may be repeated")
    parser.add_argument("--output", type=Path, help="a file for every figure, JSON")
    arguments = parser.parse_args()
    where = machine()
    servers = {
        name: start for name, start in candidates().items() if arguments.only in (None, []) or name in arguments.only
    }
    found: dict[str, dict[str, list[Figures]]] = {each.title: {name: [] for name in servers} for each in SCENARIOS}
    expected, first = os.urandom(arguments.size * MIB), os.urandom(64 * 1024)
    rate = arguments.rate * MIB
    with directory() as media:
        (media / "1").write_bytes(expected)
        (media / "2").write_bytes(first)
        for number in range(arguments.rounds):
            for scenario in SCENARIOS:
                for _ in range(scenario.times):
                    direct_ms = None
                    if scenario.slowest_seek is not None:
                        direct_ms = 1000 * direct(scenario, media, expected, rate, arguments.timeout)
                    for name, start in servers.items():
                        figures = dict(measure(start, scenario, media, expected, first, rate, arguments.timeout))
                        if direct_ms is not None:
                            figures["firstDirect"] = (figures["firstMeanMs"] or 0.0) / direct_ms
                            figures["directMs"] = direct_ms
                        found[scenario.title][name].append(figures)
                        print(f"round {number + 1}, {scenario.title}, {name}: {figures['done']:.1f} s", file=sys.stderr)
    versions = {"nginx": version("nginx", "-v")} if "nginx" in servers else {}
    if "Varnish" in servers:
        versions["Varnish"] = version("varnishd", "-V")
    reached = True
    for scenario in SCENARIOS:
        print(f"{scenario.title}\n")
        reached = show(scenario.rows, found[scenario.title]) and reached
    if arguments.output is not None:
        settings = {"sizeMiB": arguments.size, "rateMiBPerS": arguments.rate, "versions": versions}
        flat = {f"{title}: {name}": figures for title, rounds in found.items() for name, figures in rounds.items()}
        write_results(arguments.output, where, settings, flat)
    return 0 if reached else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CannotMeasure as error:
        sys.exit(str(error))
