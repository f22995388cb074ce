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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import ceil, sqrt
from pathlib import Path
from statistics import mean, stdev
from threading import Thread
from time import monotonic, sleep, time

from attrs import frozen

from benchmarks.processes import MIB, CannotMeasure, Server, Usage, directory, forget_peaks
from benchmarks.readers import Reader, read_all
from benchmarks.report import Figures, machine, middle, show, version, write_results
from benchmarks.seek_scenarios import LEAST_MIB, SCENARIOS, Scenario, Wanted
from benchmarks.servers import storage_node
from benchmarks.shared_download import Start, candidates
from distributor.devnet.rate import TICK_S

#: How long a storage node has to be silent until a fill is over, in seconds.
_SILENCE_S = 1.0

#: Who takes longer until a first byte, in seconds, is not asked more often.
_QUICK_S = 1.0

#: After which a storage node answers at once again, in seconds.
_REST_S = 0.1


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
    Let each ask at its time, counted from one of the storage node's turns.
    """
    readers: list[Reader] = []
    began = ceil(time() / TICK_S) * TICK_S

    def ask_together(several: Sequence[Wanted]) -> None:
        sleep(max(0.0, began + several[0].after_s - time()))
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


@frozen
class Bench:
    """
    What all rounds have in common.

    @ivar media: a folder with the object C{1}, and with C{2}, which somebody has asked for before.
    @ivar expected: the object.
    @ivar first: the other.
    @ivar rate: of the storage node, bytes per second.
    @ivar timeout_s: of one round.
    """

    media: Path
    expected: bytes
    first: bytes
    rate: int
    timeout_s: float

    def direct_ms(self, scenario: Scenario, phase: float, stay_s: float) -> float:
        """
        The first byte where the same readers ask the storage node itself: the mean.

        @raise CannotMeasure: it fails them.
        """
        wanted = scenario.wanted(len(self.expected), phase)
        with (
            directory() as storage_directory,
            storage_node(storage_directory, self.media, self.rate, scenario.delay_ms) as storage,
        ):
            readers = _read(wanted, storage, self.expected, stay_s, "/api/v1/files/1")
        if failed := _failed(readers):
            raise CannotMeasure(f"the storage node: {failed[0]}")
        return 1000 * mean(_first_bytes(readers, wanted, stay_s))

    @contextmanager
    def running(self, start: Start, scenario: Scenario) -> Iterator[tuple[Server, Server]]:
        """
        The storage node, and a server that has had its first request: that is not what is measured.
        """
        with (
            directory() as storage_directory,
            directory() as server_directory,
            storage_node(storage_directory, self.media, self.rate, scenario.delay_ms) as storage,
            start(server_directory, storage, storage_directory) as server,
        ):
            _read([Wanted(0, len(self.first))], server, self.first, self.timeout_s, "/api/v1/asset/2")
            # Nor what the storage node has left to give after that.
            sleep(_REST_S)
            yield storage, server

    def measure(self, start: Start, scenario: Scenario, phase: float) -> Figures:
        """
        One scenario with one server.
        """
        wanted = scenario.wanted(len(self.expected), phase)
        distinct = len({place for each in wanted for place in range(each.start // 1024, each.stop // 1024)}) * 1024
        with self.running(start, scenario) as (storage, server):
            forget_peaks(server)
            memory_before = Usage.of(server)
            before = _sent(storage)
            began = monotonic()
            readers = _read(wanted, server, self.expected, self.timeout_s)
            done_s = monotonic() - began
            sent = _sent(storage) - before
            filled = _quiet(storage, self.timeout_s) - before
            memory_after = Usage.of(server)
            [later] = _read([Wanted(0, len(self.expected))], server, self.expected, self.timeout_s)
            again = _quiet(storage, self.timeout_s) - before - filled
        errors = [reader.error for reader in [*readers, later] if reader.error is not None]
        for error in sorted(set(errors))[:5]:
            print(f"  {errors.count(error)} readers: {error}", file=sys.stderr)
        return {
            "failed": len(errors),
            "sentWanted": sent / distinct,
            "sentObject": filled / len(self.expected),
            "again": again / len(self.expected),
            **_of_first_bytes(_first_bytes(readers, wanted, self.timeout_s)),
            "done": done_s,
            "memoryMiB": (memory_after.peak - memory_before.resident) / MIB,
        }

    def measure_first_bytes(self, start: Start, scenario: Scenario, phase: float, stay_s: float) -> Figures:
        """
        The same, of readers who leave when they have had their first bytes.
        """
        wanted = scenario.wanted(len(self.expected), phase)
        with self.running(start, scenario) as (_, server):
            readers = _read(wanted, server, self.expected, stay_s)
        return {"failed": len(_failed(readers)), **_of_first_bytes(_first_bytes(readers, wanted, stay_s))}

    def measure_round(
        self, servers: Mapping[str, Start], scenario: Scenario, number: int, rounds: int
    ) -> Iterator[tuple[str, Figures]]:
        """
        One round of one scenario with all servers, in any order.
        """
        names = list(servers)
        for turn in range(1 + scenario.more):
            phase = scenario.phase(turn, number, rounds)
            stay_s = scenario.stay_s if turn else None
            direct: Figures = {}
            if scenario.slowest_seek is not None:
                direct = {"directMs": self.direct_ms(scenario, phase, stay_s or self.timeout_s)}
            quick = []
            for name in random.sample(names, len(names)):
                if stay_s is None:
                    figures = self.measure(servers[name], scenario, phase)
                else:
                    figures = self.measure_first_bytes(servers[name], scenario, phase, stay_s)
                if (figures["firstMostMs"] or 0.0) < 1000 * (scenario.stay_s or _QUICK_S):
                    quick.append(name)
                yield name, {**figures, **direct, "phase": phase}
            if not turn:
                names = quick


def _failed(readers: Sequence[Reader]) -> list[str]:
    """
    What went wrong for those who did not just leave.
    """
    return [reader.error for reader in readers if reader.error is not None and not reader.timed_out]


def beside_direct(figures: Sequence[Figures]) -> Figures:
    """
    The first bytes of all rounds, as a multiple of those at the storage node itself; and the same with two standard
    errors more: luck may say a few per cent in either direction, and is not to be what reaches a limit.
    """
    pairs = [(each["firstMeanMs"] or 0.0, direct) for each in figures if (direct := each.get("directMs")) is not None]
    if len(pairs) < 2:
        return {}
    direct_ms = mean(direct for _, direct in pairs)
    ratio = mean(ours for ours, _ in pairs) / direct_ms
    error = stdev(ours - ratio * direct for ours, direct in pairs) / sqrt(len(pairs)) / direct_ms
    return {"firstDirect": ratio, "firstDirectMost": ratio + 2 * error}


def _of_first_bytes(first_s: Sequence[float]) -> Figures:
    return {
        "firstMedianMs": 1000 * middle(first_s),
        "firstMostMs": 1000 * max(first_s),
        "firstMeanMs": 1000 * mean(first_s),
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
    if arguments.size < LEAST_MIB:
        parser.error(f"--size: the seeks need an object of {LEAST_MIB} MiB")
    where = machine()
    servers = {
        name: start for name, start in candidates().items() if arguments.only in (None, []) or name in arguments.only
    }
    found: dict[str, dict[str, list[Figures]]] = {each.title: {name: [] for name in servers} for each in SCENARIOS}
    expected, first = os.urandom(arguments.size * MIB), os.urandom(64 * 1024)
    with directory() as media:
        (media / "1").write_bytes(expected)
        (media / "2").write_bytes(first)
        bench = Bench(media, expected, first, arguments.rate * MIB, arguments.timeout)
        for number in range(arguments.rounds):
            for scenario in SCENARIOS:
                for name, figures in bench.measure_round(servers, scenario, number, arguments.rounds):
                    found[scenario.title][name].append(figures)
                    took_ms = figures["firstMeanMs"] or 0.0
                    print(f"round {number + 1}, {scenario.title}, {name}: {took_ms:.1f} ms", file=sys.stderr)
    versions = {"nginx": version("nginx", "-v")} if "nginx" in servers else {}
    if "Varnish" in servers:
        versions["Varnish"] = version("varnishd", "-V")
    reached = True
    for scenario in SCENARIOS:
        print(f"{scenario.title}\n")
        rounds = {name: [*figures, beside_direct(figures)] for name, figures in found[scenario.title].items()}
        reached = show(scenario.rows, rounds) and reached
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
