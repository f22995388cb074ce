"""
What is in the cache: how many answers per second, and what each costs in processor time, beside nginx, Varnish,
C{static.File} and a plain Klein route.

One process of each, loopback, C{wrk} with one thread and 32 connections; rounds of all in turn.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep

from attrs import frozen

from benchmarks.processes import LOOPBACK, MIB, CannotMeasure, Server, Usage, directory, free_port, need_descriptors
from benchmarks.report import Figures, machine, middle, version, write_results
from benchmarks.servers import distributor, storage_node, varnish

_BUSY = 32
_IDLE = 1000

#: Sizes of the objects, by id.
OBJECTS: Mapping[str, int] = {"1": 1024, "2": 10 * 1024, "3": 100 * 1024, "4": MIB, "5": 256 * MIB}

NODE = "distributor"
KLEIN = "Klein route"

#: The configurations of which the best counts, each of them bad somewhere.
NGINX: Mapping[str, str] = {
    f"nginx nopush {nopush} chunk {chunk}": f"tcp_nopush {nopush}; sendfile_max_chunk {chunk};"
    for nopush in ("on", "off")
    for chunk in ("512k", "2m")
}

_NGINX_CONF = """
daemon off;
pid nginx.pid;
error_log stderr warn;
{user}
worker_processes 1;
worker_rlimit_nofile {descriptors};
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    sendfile on;
    keepalive_requests 1000000000;
    default_type application/octet-stream;
    {options}
    server {{
        listen {host}:{port} backlog=1024;
        location /api/v1/asset/ {{ alias {media}/; }}
    }}
}}
"""

# wrk's own summary rounds; a script's does not.
_DONE = """
done = function(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format("RESULT %d %d %d %d %d\\n", summary.requests, summary.duration, summary.bytes,
        errors.connect + errors.read + errors.write + errors.timeout + errors.status, latency:percentile(99)))
end
"""

_RANGES = """
math.randomseed({seed})
request = function()
    local start = math.random(0, {size} - {length} - 1)
    return wrk.format("GET", nil, {{["Range"] = string.format("bytes=%d-%d", start, start + {length} - 1)}})
end
"""


@frozen
class Case:
    """
    @ivar object_id: what is asked for.
    @ivar target: the least that the node should reach of the best nginx, if a limit was set.
    @ivar script: Lua for C{wrk}; C{$ETAG} stands for the server's own tag.
    @ivar ranges: whether parts are asked for.
    @ivar idle: connections that do nothing meanwhile.
    @ivar heads: ask with HEAD, which C{wrk} cannot: it would wait for the bodies.
    @ivar beside: whether some read a large object meanwhile, and whether that is C{"warm"} or C{"cold"}.
    @ivar cost: the most processor time of the best nginx that the node may take.
    """

    title: str
    object_id: str
    target: float | None
    script: str = ""
    ranges: bool = False
    idle: int = 0
    heads: bool = False
    beside: str = ""
    cost: float | None = None


def _ranges(length: int) -> str:
    return _RANGES.format(seed=6, size=OBJECTS["5"], length=length)


CASES = (
    Case("1 KiB", "1", None),
    Case("10 KiB", "2", 0.60),
    Case("100 KiB", "3", 0.90),
    Case("1 MiB", "4", 1.0, cost=1.1),
    Case("ranges of 64 KiB", "5", 0.60, _ranges(64 * 1024), ranges=True),
    Case("ranges of 1 MiB", "5", 1.0, _ranges(MIB), ranges=True, cost=1.1),
    Case("ranges of 8 MiB", "5", 1.0, _ranges(8 * MIB), ranges=True, cost=1.1),
    Case("304", "2", 0.5, "wrk.headers[\"If-None-Match\"] = '$ETAG'\n"),
    Case("HEAD", "2", 0.5, heads=True),
    Case("new connection each, 10 KiB", "2", 0.4, 'wrk.headers["Connection"] = "close"\n'),
    Case(f"10 KiB, and {_IDLE} idle connections", "2", None, idle=_IDLE),
    Case("10 KiB, and ranges of 1 MiB that are in memory", "2", None, beside="warm"),
    Case("10 KiB, and ranges of 1 MiB that are not", "2", None, beside="cold"),
)


def nginx(directory: Path, media: Path, name: str) -> Server:
    """
    nginx with one worker that serves the folder C{media}.
    """
    port = free_port()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    text = _NGINX_CONF.format(
        user="user root;" if os.geteuid() == 0 else "",
        descriptors=hard,
        connections=min(hard // 2, 16384),
        options=NGINX[name],
        host=LOOPBACK,
        port=port,
        media=media,
    )
    (directory / "nginx.conf").write_text(text, encoding="utf-8")
    return Server(name, ["nginx", "-p", directory, "-c", "nginx.conf"], port, directory)


def peer(directory: Path, media: Path, name: str) -> Server:
    """
    One of L{benchmarks.peers}.
    """
    port = free_port()
    arguments: list[str | Path] = [sys.executable, "-m", "benchmarks.peers", name, str(port), media]
    return Server(name, arguments, port, directory)


@contextmanager
def servers(media: Path, wanted: Callable[[str], bool]) -> Iterator[dict[str, Server]]:
    """
    All that are wanted and installed, with everything in their caches.
    """
    with ExitStack() as stack:

        def new_directory() -> Path:
            return stack.enter_context(directory())

        started: dict[str, Server] = {}
        storage_directory = new_directory()
        storage = stack.enter_context(storage_node(storage_directory, media))
        started[NODE] = stack.enter_context(distributor(new_directory(), storage_directory / "manifest.yml"))
        for name in NGINX:
            if wanted(name) and shutil.which("nginx"):
                started[name] = stack.enter_context(nginx(new_directory(), media, name))
        if wanted("Varnish") and shutil.which("varnishd"):
            started["Varnish"] = stack.enter_context(varnish(new_directory(), storage))
        for name, key in (("static.File", "static"), (KLEIN, "klein")):
            if wanted(name):
                started[name] = stack.enter_context(peer(new_directory(), media, key))
        for server in started.values():
            for object_id, size in OBJECTS.items():
                for _ in range(2):
                    status, body = server.get(f"/api/v1/asset/{object_id}")
                    if status != 200 or len(body) != size:
                        raise CannotMeasure(f"{server.name} answers {status} with {len(body)} of {size} bytes")
        yield started


def etag(server: Server, object_id: str) -> str:
    """
    The tag that a server gives to an object; one that is none where it gives none.
    """
    connection = HTTPConnection(LOOPBACK, server.port, timeout=10)
    try:
        connection.request("HEAD", f"/api/v1/asset/{object_id}")
        answer = connection.getresponse()
        answer.read()
        return answer.headers.get("ETag", '"none"')
    finally:
        connection.close()


def run_heads(server: Server, case: Case, seconds: int) -> Figures:
    """
    One round of HEAD with one server.

    @return: with answers per second of the server's processor time, as this client is slower than the servers.
    """
    request = f"HEAD /api/v1/asset/{case.object_id} HTTP/1.1\r\nHost: {LOOPBACK}\r\n\r\n".encode("ascii")
    sockets = [socket.create_connection(server.address) for _ in range(_BUSY)]
    before, began, requests = Usage.of(server), monotonic(), 0
    try:
        while monotonic() - began < seconds:
            for each in sockets:
                each.sendall(request)
            for each in sockets:
                answer = each.recv(65536)
                if not (answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"\r\n\r\n")):
                    raise CannotMeasure(f"{server.name} answers HEAD with {answer[:60]!r}")
            requests += _BUSY
        after = Usage.of(server)
    finally:
        for each in sockets:
            each.close()
    cpu_s = after.cpu_s - before.cpu_s
    return {
        "perSecond": requests / max(cpu_s, 0.001),
        "MiBPerSecond": 0,
        "cpuMicroseconds": cpu_s * 1e6 / requests,
        "p99Milliseconds": 0,
        "errors": 0,
    }


@contextmanager
def _others(server: Server, scratch: Path, *, chilled: bool) -> Iterator[None]:
    """
    Some who read the large object while something else is measured.

    @param chilled: have the kernel forget it all the time.
    """
    script = scratch / "others.lua"
    script.write_text(_ranges(MIB), encoding="ascii")
    url = f"http://{LOOPBACK}:{server.port}/api/v1/asset/5"
    others = subprocess.Popen(["wrk", "-t1", "-c4", "-d3600s", "-s", str(script), url], stdout=subprocess.DEVNULL)
    over = Event()
    chilling = Thread(target=_chill, args=(server, over))
    try:
        if chilled:
            chilling.start()
        sleep(0.2)
        yield
    finally:
        over.set()
        others.terminate()
        others.wait()
        if chilled:
            chilling.join()


def _chill(server: Server, over: Event) -> None:
    while not over.wait(0.02):
        for pid in server.pids():
            for link in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    if link.readlink().name == "5":
                        fd = os.open(link.readlink(), os.O_RDONLY)
                        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                        os.close(fd)


def run_wrk(server: Server, case: Case, seconds: int, scratch: Path) -> Figures:
    """
    One round of one case with one server.
    """
    script = scratch / "case.lua"
    script.write_text(case.script.replace("$ETAG", etag(server, case.object_id)) + _DONE, encoding="ascii")
    url = f"http://{LOOPBACK}:{server.port}/api/v1/asset/{case.object_id}"
    idle = [socket.create_connection(server.address) for _ in range(case.idle)]
    with ExitStack() as stack:
        for connection in idle:
            stack.enter_context(connection)
        if case.beside:
            stack.enter_context(_others(server, scratch, chilled=case.beside == "cold"))
        before = Usage.of(server)
        command = ["wrk", "-t1", f"-c{_BUSY}", f"-d{seconds}s", "--latency", "-s", str(script), url]
        said = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=True).stdout
        after = Usage.of(server)
    result = re.search(r"^RESULT (\d+) (\d+) (\d+) (\d+) (\d+)", said, re.MULTILINE)
    if result is None:
        raise CannotMeasure(f"wrk says nothing of {server.name}:\n{said}")
    requests, microseconds, length, errors, p99 = map(int, result.groups())
    return {
        "perSecond": requests * 1e6 / microseconds,
        "MiBPerSecond": length * 1e6 / microseconds / MIB,
        "cpuMicroseconds": (after.cpu_s - before.cpu_s) * 1e6 / max(1, requests),
        "p99Milliseconds": p99 / 1000,
        "errors": errors,
    }


def _median(rounds: list[Figures], key: str) -> float:
    return middle([figure for figures in rounds if (figure := figures[key]) is not None])


def report(case: Case, found: Mapping[str, list[Figures]]) -> bool:
    """
    Print the medians of one case.

    @return: whether the node reached what was set.
    """
    rate = {name: _median(rounds, "perSecond") for name, rounds in found.items()}
    cost = {name: _median(rounds, "cpuMicroseconds") for name, rounds in found.items()}
    best = max((name for name in rate if name in NGINX), key=lambda name: rate[name], default=None)
    print(f"\n{case.title}")
    for name, rounds in found.items():
        spread = [figures["perSecond"] or 0 for figures in rounds]
        errors = sum(figures["errors"] or 0 for figures in rounds)
        print(
            f"  {name:<26}{rate[name]:>10.0f}/s  ({min(spread):.0f} to {max(spread):.0f})"
            f"{_median(rounds, 'MiBPerSecond'):>9.0f} MiB/s{cost[name]:>9.1f} us"
            f"{_median(rounds, 'p99Milliseconds'):>8.1f} ms{errors:>6.0f} errors"
            f"   {rate[NODE] / max(rate[name], 1e-9):.2f}"
        )
    if best is None:
        return True
    ratio, dearer = rate[NODE] / rate[best], cost[NODE] / cost[best] if cost[best] else 0.0
    missed = (case.target is not None and ratio < case.target) or (case.cost is not None and dearer > case.cost)
    aim = "" if case.target is None else f" of {case.target:g}{' MISSED' if missed else ''}"
    print(f"  node / {best}: {ratio:.2f}{aim}; processor time {dearer:.2f}")
    return not missed


def main() -> int:
    """
    @return: the exit status: 1 where a target was missed.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of each server, in turn")
    parser.add_argument("--seconds", type=int, default=2, help="of each round")
    parser.add_argument("--only", action="append", help="measure these beside the node; a part of the name")
    parser.add_argument("--case", action="append", help="measure these cases; a part of the title")
    parser.add_argument("--output", type=Path, help="a file for every figure, JSON")
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        raise CannotMeasure("wrk is needed; Debian has it in: wrk nginx-light varnish")
    where = machine()
    need_descriptors(2 * _IDLE + 200)

    def wanted(name: str) -> bool:
        return not arguments.only or any(part in name for part in arguments.only)

    cases = [case for case in CASES if not arguments.case or any(part in case.title for part in arguments.case)]
    found: dict[str, dict[str, list[Figures]]] = {case.title: {} for case in cases}
    with directory() as media, directory() as scratch:
        for object_id, size in OBJECTS.items():
            (media / object_id).write_bytes(os.urandom(size))
        with servers(media, wanted) as started:
            for case in cases:
                for _ in range(arguments.rounds):
                    for name, server in started.items():
                        if case.ranges and name == KLEIN:
                            # It would send the whole each time.
                            continue
                        figures = (
                            run_heads(server, case, arguments.seconds)
                            if case.heads
                            else run_wrk(server, case, arguments.seconds, scratch)
                        )
                        found[case.title].setdefault(name, []).append(figures)
    reached = [report(case, found[case.title]) for case in cases]
    if arguments.output is not None:
        versions = {"wrk": version("wrk", "-v"), "nginx": version("nginx", "-v")}
        flat = {f"{title}: {name}": rounds for title, by_name in found.items() for name, rounds in by_name.items()}
        write_results(arguments.output, where, {"seconds": arguments.seconds, "versions": versions}, flat)
    return 0 if all(reached) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CannotMeasure as error:
        sys.exit(str(error))
