"""
The processes that benchmarks start, and what those cost: memory and processor time.

Each listens on a loopback port that was free, keeps its files in a directory that it is given, and is ended by its
process id.
"""

from __future__ import annotations

import os
import resource
import socket
import subprocess
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from types import TracebackType
from typing import Self

from attrs import frozen

ROOT = Path(__file__).resolve().parents[1]
LOOPBACK = "127.0.0.1"

#: Long enough for a start, or an end, on a machine that does other things; what takes longer hangs.
PATIENCE_S = 30.0

MIB = 1024 * 1024

#: How often a server that starts is asked whether it serves yet, in seconds: what it takes is known as well as that.
_ASKED_EVERY_S = 0.01

# What would make a node behave otherwise than its arguments say; with the last, it would compile itself at each start.
_NOT_INHERITED = ("CONFIG_PATH", "CACHE_DIRECTORY", "STATE_DIRECTORY", "NOTIFY_SOCKET", "PYTHONDONTWRITEBYTECODE")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class CannotMeasure(Exception):
    """The benchmark cannot go on: the message is for whoever runs it."""


def need_descriptors(number: int) -> None:
    """
    Make sure that this process, and what it starts, can open so many files.

    @raise CannotMeasure: the hard limit is lower.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < number:
        raise CannotMeasure(
            f"{number} open files are needed, and {hard} allowed: raise the limit (ulimit -Hn {number})"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def directory() -> Iterator[Path]:
    """
    An empty directory, for a while.
    """
    with TemporaryDirectory(prefix="bench-") as path:
        yield Path(path)


def free_port() -> int:
    """
    A TCP port that nobody listens on.
    """
    with socket.create_server((LOOPBACK, 0)) as taken:
        return int(taken.getsockname()[1])


class Server:
    """
    A process that serves HTTP, its children included. Used as a context manager: at the end of it, it is gone.

    @ivar port: where it listens.
    @ivar tls_port: where it listens for TLS.
    @ivar started_s: how long it took until it served, in seconds, from before C{exec} on.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str | Path],
        port: int,
        directory: Path,
        ready: str = "/",
        tls_port: int | None = None,
    ) -> None:
        """
        @param directory: where it runs; what it says goes to C{output.log} there.
        @param ready: a target that it answers once it serves, with whatever status but 503.
        @raise CannotMeasure: it does not come up.
        """
        self.name = name
        self.port = port
        self.tls_port = tls_port
        self._log = directory / "output.log"
        began = monotonic()
        inherited = {key: value for key, value in os.environ.items() if key not in _NOT_INHERITED}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                list(map(str, arguments)),
                cwd=directory,
                env={**inherited, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait_until(ready)
        except BaseException:
            self.stop()
            raise
        self.started_s = monotonic() - began

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def address(self) -> tuple[str, int]:
        """
        What to connect to.
        """
        return (LOOPBACK, self.port)

    def get(self, target: str) -> tuple[int, bytes]:
        """
        The status and the body of a small answer.

        @raise OSError: it does not answer.
        """
        connection = HTTPConnection(LOOPBACK, self.port, timeout=PATIENCE_S)
        try:
            connection.request("GET", target, headers={"Connection": "close"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except HTTPException as error:
            raise OSError(f"{self.name} answers badly: {error!r}") from error
        finally:
            connection.close()

    def _wait_until(self, ready: str) -> None:
        deadline = monotonic() + PATIENCE_S
        while self._process.poll() is None and monotonic() < deadline:
            try:
                if self.get(ready)[0] != 503:
                    return
            except OSError:
                pass
            sleep(_ASKED_EVERY_S)
        raise CannotMeasure(f"{self.name} does not serve:\n{self.said()[-2000:]}")

    def said(self) -> str:
        """
        What it has written to its standard output and standard error so far.
        """
        return self._log.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        """
        End it, and wait until it has ended.
        """
        self._process.terminate()
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            # Children that a killed master leaves behind are still known by their ids.
            for pid in reversed(self.pids()):
                os.kill(pid, 9)
            self._process.wait()

    def pin(self, processors: Collection[int]) -> None:
        """
        Let it run nowhere else from now on.
        """
        for pid in self.pids():
            for task in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(task.name), processors)

    def pids(self) -> list[int]:
        """
        The process and those that it has started.
        """
        found = [self._process.pid]
        for pid in found:
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                found += map(int, children.read_text(encoding="ascii").split())
        return found


@frozen
class Usage:
    """
    What a server's processes have used, together.

    @ivar resident: bytes of memory, what they share counted in each.
    @ivar proportional: the same, what n processes share counted as an n-th of it in each (C{Pss}). Falls when another
        process begins to use the same libraries.
    @ivar anonymous: of that, what is of no file: heaps and stacks.
    @ivar peak: the most of it since L{forget_peaks}; of several processes, the sum of what each had at its own time.
    @ivar cpu_s: processor time, user and system.
    """

    resident: int
    peak: int
    cpu_s: float
    proportional: int
    anonymous: int

    @classmethod
    def of(cls, server: Server) -> Usage:
        """
        Read it.
        """
        resident = peak = proportional = anonymous = 0
        cpu_s = 0.0
        for pid in server.pids():
            try:
                status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
                times = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                # nginx has a process that looks through the cache and then ends.
                continue
            rss = _kib(rollup, "Rss:")
            resident += rss
            proportional += _kib(rollup, "Pss:")
            anonymous += _kib(rollup, "Pss_Anon:")
            peak += max(rss, _kib(status, "VmHWM:"))
            cpu_s += (int(times[11]) + int(times[12])) / _TICKS_PER_S
        return cls(resident, peak, cpu_s, proportional, anonymous)


def _kib(text: str, name: str) -> int:
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(name)) * 1024


def forget_peaks(server: Server) -> None:
    """
    Begin to measure L{Usage.peak} anew.
    """
    for pid in server.pids():
        # proc(5): 5 resets the high-water mark of resident memory.
        Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


def socket_buffers() -> int:
    """
    What the system holds for all TCP connections of the machine, in bytes; it is in no process's memory. Pages of files
    that wait to be sent count here, though they are in the page cache anyway.
    """
    lines = Path("/proc/net/sockstat").read_text(encoding="ascii").splitlines()
    fields = next(line for line in lines if line.startswith("TCP:")).split()
    return int(fields[fields.index("mem") + 1]) * resource.getpagesize()
