"""
What a node takes that has next to nothing to do: until it serves, at rest, and for each connection that is idle, or
whose client does not read.

Memory at rest is C{Pss}: what several processes share, such as the interpreter's own code, counts in parts. What a
connection takes is what the anonymous memory of the processes (C{Pss_Anon}) has grown by, divided by the number of
connections; one has come before, and has had what the first of its kind brings along. What the system holds in socket
buffers is in no process's memory, and stands apart.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from time import sleep

from benchmarks.cached_servers import Serving, cached, static
from benchmarks.import_times import by_package, dearest, own_times
from benchmarks.processes import (
    MIB,
    PATIENCE_S,
    CannotMeasure,
    Server,
    Usage,
    directory,
    need_descriptors,
    socket_buffers,
)
from benchmarks.readers import Reader
from benchmarks.report import Figures, Row, machine, middle, show, version, write_results
from benchmarks.servers import distributor, installed, nginx_static, storage_node

NODE = "distributor"
SMALL, LARGE = "1", "2"
SMALL_SIZE = 10 * 1024

#: Packages that the table shows.
_PACKAGES = 10

#: What is in memory so long after something has happened stays there, in seconds.
_SETTLED_S = 1.0

#: What a reader takes before it stops, in bytes: the head is among them.
_FIRST_BYTES = 4096

#: What its own system takes in for a reader that does not read, in bytes: little, so that the server has the rest.
_RECEIVE_BUFFER = 64 * 1024

#: Of the storage node of a download that is to be pending all the while, bytes per second: a reader of 64 MiB would
#: have half a minute to wait.
_SLOW = 2 * MIB

#: A node with these limits keeps nothing of what is large, and asks for it once for each reader, which by default half
#: of 300 may be.
_NOTHING_KEPT: Mapping[str, object] = {"maxCachedItemSize": "1M", "maxConcurrentOutboundConnections": 1000}

#: How often a server is started in a round: a start is short, and others run on the machine.
_STARTS = 5

#: Starts a server in an empty directory; with nothing to serve, or with the objects of a folder, the last argument.
Start = Callable[[Path, Path], Server]


def each_kib(before: int, after: int, number: int) -> float:
    """
    What one of C{number} has taken, in KiB, of what has grown from C{before} to C{after} bytes.
    """
    return (after - before) / number / 1024


def common_rows(idle: int, readers: int) -> list[Row]:
    """
    The table of the node and its peer.
    """
    return [
        Row("from exec until it serves, s", "startS", digits=3),
        Row("... processor time, s", "startCpuS", digits=2),
        Row("memory at rest (Pss), MiB", "restMiB"),
        Row("... what is shared counted whole (Rss), MiB", "restRssMiB"),
        Row(f"each of {idle} idle connections, KiB", "idleKiB"),
        Row(f"each of {readers} stalled readers of a hit, KiB", "hitKiB"),
        Row("... in the system's socket buffers, KiB", "hitSocketKiB", digits=0),
    ]


def node_rows(readers: int, packages: Sequence[str]) -> list[Row]:
    """
    The table of the node alone.

    @param packages: those whose times of import are shown.
    """
    return [
        Row(f"each of {readers} stalled readers of a pending download, KiB", "pendingKiB"),
        Row("... in the system's socket buffers, KiB", "pendingSocketKiB", digits=0),
        Row(f"each of {readers} stalled readers of what is passed through, KiB", "passedKiB"),
        Row("... in the system's socket buffers, KiB", "passedSocketKiB", digits=0),
        Row("modules imported", "modules", digits=0),
        Row("all imports, with -X importtime, ms", "importMs", digits=0),
        *(Row(f"... of which {package}", _import_key(package), digits=0) for package in packages),
    ]


def _import_key(package: str) -> str:
    return f"import {package}"


def starts(start: Start, media: Path) -> Figures:
    """
    How long a server takes to start, the median of a few, and what the last has used once it has.
    """
    took = []
    for _ in range(_STARTS):
        with directory() as here, start(here, media) as server:
            took.append(server.started_s)
            sleep(_SETTLED_S)
            usage = Usage.of(server)
    return {
        "startS": middle(took),
        "startCpuS": usage.cpu_s,
        "restMiB": usage.proportional / MIB,
        "restRssMiB": usage.resident / MIB,
    }


def imports() -> dict[str, float]:
    """
    What a node imports until it serves, in milliseconds, by module: of a few starts, the one in the middle.
    """
    found = []
    for _ in range(_STARTS):
        with directory() as here, bare(here, python=("-X", "importtime")) as node:
            found.append(own_times(node.said()))
    times = sorted(found, key=lambda times: sum(times.values()))[_STARTS // 2]
    if not times:
        raise CannotMeasure("the interpreter does not say what it imports")
    return times


def idle_connections(server: Server, number: int) -> Figures:
    """
    Connections on which there has been one answer.
    """
    with ExitStack() as stack:

        def connect() -> None:
            connection = HTTPConnection(*server.address, timeout=PATIENCE_S)
            stack.callback(connection.close)
            connection.request("GET", f"/api/v1/asset/{SMALL}")
            answer = connection.getresponse()
            length = len(answer.read())
            if answer.status != 200 or length != SMALL_SIZE or answer.will_close:
                raise CannotMeasure(f"{server.name} answers {answer.status} with {length} bytes, or does not stay")

        connect()
        sleep(_SETTLED_S)
        before = Usage.of(server).anonymous
        for _ in range(number):
            connect()
        sleep(_SETTLED_S)
        after = Usage.of(server).anonymous
    return {"idleConnections": number, "idleKiB": each_kib(before, after, number)}


def stalled_readers(server: Server, expected: bytes, number: int, kind: str) -> Figures:
    """
    Readers of the large object that have its first bytes and read no more.

    @param kind: what the names of the figures begin with.
    """
    with ExitStack() as stack:

        def connect() -> None:
            reader = Reader(server.address, f"/api/v1/asset/{LARGE}", expected, receive_buffer=_RECEIVE_BUFFER)
            stack.callback(reader.close)
            _read_first(reader)
            if reader.error is not None:
                raise CannotMeasure(f"a reader of {server.name}: {reader.error}")

        connect()
        sleep(_SETTLED_S)
        before, buffers = Usage.of(server).anonymous, socket_buffers()
        for _ in range(number):
            connect()
        sleep(_SETTLED_S)
        after, buffers_after = Usage.of(server).anonymous, socket_buffers()
        _check(server, kind)
    return {
        f"{kind}Readers": number,
        f"{kind}KiB": each_kib(before, after, number),
        f"{kind}SocketKiB": each_kib(buffers, buffers_after, number),
    }


def _read_first(reader: Reader) -> None:
    reader.socket.settimeout(PATIENCE_S)
    reader.ask()
    buffer = memoryview(bytearray(_FIRST_BYTES))
    while reader.first_byte_s is None and not reader.over:
        reader.receive(buffer)


def _check(server: Server, kind: str) -> None:
    """
    What was meant to be measured is what has been.
    """
    if server.name != NODE:
        return
    status = json.loads(server.get("/api/v1/status")[1])
    found = (status["downloadsInProgress"], status["objectsInCache"])
    # The small object is in the cache where all is there, and nowhere else.
    if found != {"hit": (0, 2), "pending": (1, 0), "passed": (0, 0)}[kind]:
        raise CannotMeasure(f"{kind}: {found[0]} downloads are in progress, and {found[1]} objects in the cache")


def bare(here: Path, python: Sequence[str] = ()) -> Server:
    """
    A node that has no objects.

    @param python: options of the interpreter.
    """
    manifest = here / "manifest.yml"
    manifest.write_text("storageNodes: []\nobjects: {}\n", encoding="utf-8")
    return distributor(here, manifest, python=python)


@contextmanager
def empty(media: Path, rate: int | None = None, limits: Mapping[str, object] | None = None) -> Iterator[Server]:
    """
    A node that has nothing yet, in front of a storage node.

    @param rate: of the storage node, bytes per second.
    """
    with (
        directory() as beside,
        directory() as here,
        storage_node(beside, media, rate),
        distributor(here, beside / "manifest.yml", limits=limits) as node,
    ):
        yield node


def measure(start: Start, serving: Serving, media: Path, expected: bytes, idle: int, readers: int) -> Figures:
    """
    One round of what the node and its peer have in common.
    """
    found = starts(start, media)
    with serving(media) as server:
        found = {**found, **idle_connections(server, idle)}
    with serving(media) as server:
        return {**found, **stalled_readers(server, expected, readers, "hit")}


def measure_node(media: Path, expected: bytes, readers: int) -> tuple[Figures, Mapping[str, float]]:
    """
    One round of what is the node's alone.

    @return: the figures, and the times of import by package.
    """
    modules = imports()
    with empty(media, _SLOW) as node:
        pending = stalled_readers(node, expected, readers, "pending")
    with empty(media, limits=_NOTHING_KEPT) as node:
        passed = stalled_readers(node, expected, readers, "passed")
    packages = by_package(modules)
    each = {_import_key(package): milliseconds for package, milliseconds in packages.items()}
    return {"importMs": sum(packages.values()), "modules": len(modules), **each, **pending, **passed}, packages


def main() -> int:
    """
    @return: the exit status: 0, as no target was set.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--idle", type=int, default=1000, help="idle connections")
    parser.add_argument("--readers", type=int, default=200, help="those that do not read")
    parser.add_argument("--size", type=int, default=64, help="of the object that they do not read, MiB")
    parser.add_argument("--rounds", type=int, default=3, help="of each server, in turn")
    parser.add_argument("--quick", action="store_true", help="one round, with a tenth of the connections")
    parser.add_argument("--output", type=Path, help="a file for every figure, JSON")
    arguments = parser.parse_args()
    idle, readers, number_of_rounds = arguments.idle, arguments.readers, arguments.rounds
    if arguments.quick:
        idle, readers, number_of_rounds = max(1, idle // 10), max(1, readers // 10), 1
    where = machine()
    need_descriptors(3 * max(idle, readers) + 100)
    measured: dict[str, tuple[Start, Serving]] = {NODE: (lambda here, _: bare(here), cached)}
    if "nginx" in installed("nginx"):
        measured["nginx static"] = (nginx_static, static)
    rounds: dict[str, list[Figures]] = {name: [] for name in measured}
    times: list[Mapping[str, float]] = []
    expected = os.urandom(arguments.size * MIB)
    with directory() as media:
        (media / SMALL).write_bytes(os.urandom(SMALL_SIZE))
        (media / LARGE).write_bytes(expected)
        for number in range(number_of_rounds):
            for name, (start, serving) in measured.items():
                print(f"round {number + 1}, {name}", file=sys.stderr)
                figures = measure(start, serving, media, expected, idle, readers)
                if name == NODE:
                    more, packages = measure_node(media, expected, readers)
                    figures = {**figures, **more}
                    times.append(packages)
                rounds[name].append(figures)
    if arguments.output is not None:
        settings = {"idleConnections": idle, "stalledReaders": readers, "sizeMiB": arguments.size, "starts": _STARTS}
        versions = {"nginx": version("nginx", "-v")} if len(measured) > 1 else {}
        write_results(arguments.output, where, {**settings, "versions": versions}, rounds)
    show(common_rows(idle, readers), rounds)
    show(node_rows(readers, dearest(times, _PACKAGES)), {NODE: rounds[NODE]})
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CannotMeasure as error:
        sys.exit(str(error))
