"""
Nodes as real processes, for integration tests::

    class CurlTests(ProcessTestCase):
        def test_whole(self) -> None:
            storage = StorageNodeProcess.start(self, media, rate=1 << 20)
            node = Node.start(self, manifest=storage.manifest, config={"limits": {"storage": "1G"}})
            run("curl", node.url + "/api/v1/asset/1")

A process is ready when C{start} returns, listens on a port of the loopback interface that was free, and is stopped when
the test ends, which fails then if it did not end well or logged a traceback. What a test waits for is what a process
logs: nothing sleeps, nothing waits for ever, and when a test fails the logs are printed.

Tests that need the reactor inherit from L{ProcessTestCase} and then C{TestCase}; starting and stopping block.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from threading import Condition, Thread
from time import monotonic
from typing import Any, ClassVar

from twisted.python.components import proxyForInterface
from twisted.trial.itrial import IReporter
from twisted.trial.unittest import SynchronousTestCase

import distributor

ROOT = Path(distributor.__file__).parents[1]

#: Long enough for a machine that does ten other things; what takes longer hangs.
PATIENCE_S = 60.0

LOOPBACK = "tcp:0:interface=127.0.0.1"

# What would make a node behave otherwise than its arguments say.
_NOT_INHERITED = ("CONFIG_PATH", "CACHE_DIRECTORY", "STATE_DIRECTORY", "NOTIFY_SOCKET", "PYTHONPATH")
_TRACEBACK = "Traceback (most recent call last)"


class _Watched(proxyForInterface(IReporter)):  # type: ignore[misc]
    """
    Passes results on, and notes whether a test failed.
    """

    failed = False

    def addError(self, test: object, error: object) -> None:
        self.failed = True
        super().addError(test, error)

    def addFailure(self, test: object, fail: object) -> None:
        self.failed = True
        super().addFailure(test, fail)


class ProcessTestCase(SynchronousTestCase):
    """
    A test that starts processes.

    @ivar processes: all that were started, those that have ended included.
    """

    processes: list[Process]

    def run(self, result: Any) -> None:  # type: ignore[override]
        """
        Run the test; when it fails, print what the processes logged.
        """
        self.processes = []
        watched = _Watched(result)
        super().run(watched)
        if watched.failed:
            for process in self.processes:
                sys.stdout.write(f"\n--- {process} ---\n{process.log()}\n")
            sys.stdout.flush()

    def directory(self) -> Path:
        """
        A new, empty directory.
        """
        path = Path(self.mktemp()).absolute()
        path.mkdir()
        return path


def command(*arguments: str | Path) -> list[str]:
    """
    C{twistd ARGUMENTS} in the foreground, with the code of this checkout.
    """
    twistd = "from twisted.scripts.twistd import run; run()"
    return [sys.executable, "-c", twistd, "-n", "--pidfile=", *map(str, arguments)]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """
    The environment of a process, without what would configure a node.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    return {**inherited, "PYTHONPATH": str(ROOT), **(more or {})}


def run_to_end(
    case: ProcessTestCase, *arguments: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """
    Run C{twistd -n ARGUMENTS}, which is expected to end by itself: a wrong option, a port in use.

    @param cwd: an empty directory unless given.
    @raise subprocess.TimeoutExpired: it did not end.
    """
    return subprocess.run(
        command(*arguments),
        cwd=cwd or case.directory(),
        env=environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


class Process:
    """
    A process of twistd's, from its start on; or another one, whose class says by C{command} how it is started.

    @cvar good_ends: the exit statuses, as C{Popen} gives them, with which L{stop} is content.
    @ivar pid: for measuring; signals go through L{signal}.
    @ivar traceback_expected: set it where the test provokes a traceback.
    """

    good_ends: ClassVar[tuple[int, ...]] = (0,)
    command = staticmethod(command)

    def __init__(
        self, case: ProcessTestCase, arguments: Sequence[str | Path], env: Mapping[str, str] | None, cwd: Path
    ) -> None:
        self._case = case
        self._name = " ".join(map(str, arguments))
        self._log = ""
        self._ended = False
        self._changed = Condition()
        self._waited_for = False
        self._failed = False
        self.traceback_expected = False
        self._process = subprocess.Popen(
            self.command(*arguments),
            cwd=cwd,
            env=environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.pid = self._process.pid
        self._thread = Thread(target=self._read, name=f"log of {self.pid}", daemon=True)
        self._thread.start()
        case.processes.append(self)
        case.addCleanup(self._clean_up)

    def __str__(self) -> str:
        return f"{self._name} (process {self.pid})"

    def _read(self) -> None:
        # Always in a thread: a full pipe would stop the process in the middle of whatever is tested.
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for line in stream:
                with self._changed:
                    self._log += line.decode("utf-8", "replace")
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def log(self) -> str:
        """
        All that it has written so far, to either stream.
        """
        with self._changed:
            return self._log

    def wait_for(self, pattern: str, start: int = 0, timeout_s: float = PATIENCE_S) -> re.Match[str]:
        """
        Wait until C{pattern} is found in its log.

        @param pattern: a regular expression; C{^} and C{$} match at lines.
        @param start: look from this position of the log on, such as C{len(process.log())} before an action.
        @raise AssertionError: it ended without, or takes too long.
        """
        expression = re.compile(pattern, re.MULTILINE)
        deadline = monotonic() + timeout_s
        with self._changed:
            while (found := expression.search(self._log, start)) is None:
                if self._ended:
                    raise self._failure(f"ended before it logged {pattern!r}")
                if not self._changed.wait(deadline - monotonic()):
                    raise self._failure(f"did not log {pattern!r} in {timeout_s:g} s")
        return found

    def signal(self, number: int) -> None:
        """
        Send it a signal.
        """
        self._process.send_signal(number)

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """
        Wait until it ends.

        @return: its exit status; negative: the signal that ended it.
        @raise AssertionError: it takes too long.
        """
        # Its end of the pipe closes with it.
        with self._changed:
            if not self._changed.wait_for(lambda: self._ended, timeout_s):
                raise self._failure(f"did not end in {timeout_s:g} s")
        self._waited_for = True
        self._thread.join()
        return self._process.wait()

    def stop(self, timeout_s: float = PATIENCE_S) -> None:
        """
        Stop it with SIGTERM, and wait for its end.

        @raise AssertionError: it takes too long, ends badly, or had logged a traceback.
        """
        self.signal(signal.SIGTERM)
        status = self.wait(timeout_s)
        if status not in self.good_ends:
            raise self._failure(f"ended with status {status}")

    def kill(self) -> None:
        """
        C{kill -9}, and wait for its end.
        """
        self.signal(signal.SIGKILL)
        self.wait()

    def _clean_up(self) -> None:
        try:
            if self._failed:
                return
            if not self._waited_for:
                if self._process.poll() is not None:
                    raise self._failure(f"ended by itself, with status {self.wait()}")
                self.stop()
            if not self.traceback_expected and _TRACEBACK in self.log():
                raise self._failure("logged a traceback")
        finally:
            if self._process.poll() is None:
                self._process.kill()
            self.wait()

    def _failure(self, what: str) -> AssertionError:
        # Once is enough: what follows from it need not be told, too.
        self._failed = True
        return self._case.failureException(f"{self} {what}")


class Node(Process):
    """
    C{twistd distributor}.

    @ivar data_dir: its C{--data-dir}; hand it to another node, once this one has ended, to restart it.
    """

    data_dir: Path
    _scheme = "http"

    @classmethod
    def start(
        cls,
        case: ProcessTestCase,
        *,
        manifest: Path | None = None,
        config: Mapping[str, Any] | None = None,
        data_dir: Path | None = None,
        listen: str = LOOPBACK,
        args: Sequence[str | Path] = (),
        env: Mapping[str, str] | None = None,
    ) -> Node:
        """
        Start a node, and wait until it serves. With neither C{manifest} nor C{config}, it is the standalone demo.

        @param manifest: what C{catalogue.manifest} is to be.
        @param config: the configuration, nested as in the file; an C{id} is added where it has none.
        @param listen: the endpoint of the public API.
        @param args: further options.
        @param env: further environment variables.
        """
        cwd = case.directory()
        data_dir = data_dir or cwd / "data"
        options: list[str | Path] = ["--listen", listen, "--data-dir", data_dir, *args]
        if manifest is not None or config is not None:
            written: dict[str, Any] = {"id": "test-node", **(config or {})}
            if manifest is not None:
                written["catalogue"] = {**written.get("catalogue", {}), "manifest": str(manifest)}
            path = cwd / "distributor.yml"
            # YAML takes all of JSON.
            path.write_text(json.dumps(written), encoding="utf-8")
            options += ["--config", path]
        node = cls(case, ["distributor", *options], env, cwd)
        node.data_dir = data_dir
        node._scheme = "https" if listen.startswith("ssl:") else "http"
        node.wait_for(r"Serving at ")
        return node

    @property
    def port(self) -> int:
        """
        The TCP port of the first endpoint that has one.
        """
        return int(self.wait_for(r"Serving at IPv[46]Address\(.*port=(\d+)\)")[1])

    @property
    def url(self) -> str:
        """
        The origin, without a slash at its end: C{http://127.0.0.1:PORT}.
        """
        return f"{self._scheme}://127.0.0.1:{self.port}"


class StorageNodeProcess(Process):
    """
    C{twistd storage-node}.

    @ivar manifest: the manifest of what it serves, for a L{Node}.
    """

    # It leaves signals to twistd, which ends by the signal that it got.
    good_ends = (0, -signal.SIGTERM)
    manifest: Path

    @classmethod
    def start(
        cls, case: ProcessTestCase, media: Path, *, rate: int | None = None, port: int = 0, args: Sequence[str] = ()
    ) -> StorageNodeProcess:
        """
        Start a storage node over a folder of files named by their ids, such as C{7.mp4}, and wait until it serves.

        @param rate: bytes per second in all.
        @param port: 0 takes any that is free.
        """
        cwd = case.directory()
        manifest = cwd / "manifest.yml"
        options: list[str | Path] = ["--media", media.absolute(), "--port", str(port), "--manifest", manifest, *args]
        if rate is not None:
            options += ["--rate", str(rate)]
        node = cls(case, ["storage-node", *options], None, cwd)
        node.manifest = manifest
        # That line comes before the reactor runs, and signals are not handled until then; an answer comes after.
        with closing(HTTPConnection("127.0.0.1", node.port, timeout=PATIENCE_S)) as connection:
            connection.request("GET", "/")
            connection.getresponse().read()
        return node

    @property
    def url(self) -> str:
        """
        The endpoint, without a slash at its end.
        """
        return self.wait_for(r"at (http://\S+)/api/v1/files/")[1]

    @property
    def port(self) -> int:
        """
        Its TCP port.
        """
        return int(self.url.rpartition(":")[2])
