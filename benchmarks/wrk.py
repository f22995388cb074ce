"""
Clients that ask one server for the same again and again: C{wrk}, and one for what C{wrk} cannot.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep

from benchmarks.cases import DONE, Case, ranges
from benchmarks.processes import LOOPBACK, MIB, CannotMeasure, Server, Usage
from benchmarks.report import Figures

_BUSY = 32


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
    script.write_text(ranges(MIB), encoding="ascii")
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
    script.write_text(case.script.replace("$ETAG", etag(server, case.object_id)) + DONE, encoding="ascii")
    address = f"https://{LOOPBACK}:{server.tls_port}" if case.tls else f"http://{LOOPBACK}:{server.port}"
    url = f"{address}/api/v1/asset/{case.object_id}"
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
