"""
The processes of a devnet: each can be started, killed, stopped in its tracks, and ended, again and again.

Twisted's C{ProcessMonitor} brings back at once whatever dies; here a node stays dead until somebody revives it, and
whether it serves is read in its log.
"""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from twisted.internet.defer import Deferred, FirstError, gatherResults, succeed
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall, IProcessTransport, IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from distributor.devnet.chaos import Condition
from distributor.devnet.layout import Program

#: A distributor finishes its answers first, and has half a minute for that by default; what takes longer is killed.
END_PATIENCE_S = 40.0

#: Hears a line: the name of a program, and what it said.
Listener = Callable[[str, str], object]


class _Reactor(IReactorProcess, IReactorTime):
    """
    Both, for who reads this.
    """


class NeverReady(Exception):
    """A process ended before it served."""


class Member:
    """
    One process of the fleet, and the next one in its place.

    @ivar program: what it runs.
    @ivar spoilt: whether the node was told to do something wrong; who tells it notes that here.
    @ivar unexpected: how it ended whenever nobody had asked for that.
    """

    def __init__(
        self, reactor: _Reactor, program: Program, log: Path, environment: Mapping[str, str], heard: Listener
    ) -> None:
        """
        @param log: where everything that it says goes; what is there stays.
        @param heard: called with each line, too.
        """
        self.program = program
        self.spoilt = False
        self.unexpected: list[str] = []
        self._reactor = reactor
        self._log = log
        self._environment = dict(environment)
        self._heard = heard
        self._run: _Run | None = None
        self._frozen = False

    @property
    def condition(self) -> Condition:
        """
        How it is now.
        """
        if self._run is None:
            return Condition.DOWN
        if not self._run.ready or self._run.to_end:
            return Condition.BUSY
        if self._frozen:
            return Condition.FROZEN
        return Condition.SPOILT if self.spoilt else Condition.UP

    @property
    def pid(self) -> int | None:
        """
        Its process id while it runs.
        """
        return None if self._run is None else self._run.transport.pid

    def start(self) -> Deferred[None]:
        """
        Fires when it serves.

        @raise NeverReady: it ends before.
        """
        assert self._run is None, f"{self.program.name} runs"
        self.spoilt = self._frozen = False
        self._log.parent.mkdir(parents=True, exist_ok=True)
        run = _Run(re.compile(self.program.ready), self._log.open("ab"), self._said, self._ended)
        self._run = run
        ready = run.wait_until_ready()
        command = (sys.executable, "-c", _LAUNCH, *self.program.arguments)
        self._reactor.spawnProcess(run, command[0], command, self._environment, childFDs=_CHILD_FDS)
        return ready

    def kill(self) -> Deferred[None]:
        """
        C{kill -9}; fires when it is gone.
        """
        return self._end("KILL")

    def stop(self) -> Deferred[None]:
        """
        SIGTERM, and SIGKILL if that does not help; fires when it is gone. Also when it does not run.
        """
        run = self._run
        if run is None:
            return succeed(None)
        self.thaw()
        ended = self._end("TERM")
        later: IDelayedCall = self._reactor.callLater(END_PATIENCE_S, run.signal, "KILL")
        ended.addCallback(lambda _: later.cancel() if later.active() else None)
        return ended

    def freeze(self) -> None:
        """
        SIGSTOP: it stays where it is, and its connections stay open.
        """
        if self._run is not None:
            self._frozen = True
            self._run.signal("STOP")

    def thaw(self) -> None:
        """
        SIGCONT.
        """
        if self._run is not None and self._frozen:
            self._frozen = False
            self._run.signal("CONT")

    def _end(self, name: str) -> Deferred[None]:
        run = self._run
        if run is None:
            return succeed(None)
        run.to_end = True
        ended = run.wait_until_ended()
        run.signal(name)
        return ended

    def _said(self, line: str) -> None:
        self._heard(self.program.name, line)

    def _ended(self, run: _Run, how: str) -> None:
        self._run = None
        if not run.to_end:
            self.unexpected.append(how)
            self._heard(self.program.name, f"*** ended by itself: {how}")


# A Ctrl-C at the terminal reaches a whole process group, and ending the fleet is its owner's business: so each process
# gets a group of its own. And where the owner is killed, nobody else would end it: PR_SET_PDEATHSIG (prctl(2)) is 1.
_LAUNCH = (
    "import ctypes, os, signal, sys; os.setpgid(0, 0); ctypes.CDLL(None).prctl(1, signal.SIGKILL); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)

# Whoever reads stdin would compete for the terminal.
_CHILD_FDS = {0: "w", 1: "r", 2: "r"}


class _Run(ProcessProtocol):
    """
    One process from its start to its end.

    @ivar ready: whether it has said that it serves.
    @ivar to_end: whether somebody wants it to end.
    """

    transport: IProcessTransport

    def __init__(
        self,
        expected: re.Pattern[str],
        log: IO[bytes],
        said: Callable[[str], object],
        ended: Callable[[_Run, str], object],
    ) -> None:
        self.ready = self.to_end = False
        self._expected = expected
        self._log = log
        self._said = said
        self._ended = ended
        self._rest = {1: b"", 2: b""}
        self._wait_for_ready: list[Deferred[None]] = []
        self._wait_for_end: list[Deferred[None]] = []

    def wait_until_ready(self) -> Deferred[None]:
        waiting: Deferred[None] = Deferred()
        self._wait_for_ready.append(waiting)
        return waiting

    def wait_until_ended(self) -> Deferred[None]:
        waiting: Deferred[None] = Deferred()
        self._wait_for_end.append(waiting)
        return waiting

    def signal(self, name: str) -> None:
        """
        Send a signal by its name; nothing happens where nobody is left to hear it.
        """
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess(getattr(signal, f"SIG{name}"))

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self._log.write(data)
        self._log.flush()
        *lines, self._rest[childFD] = (self._rest[childFD] + data).split(b"\n")
        for line in lines:
            text = line.decode("utf-8", "replace")
            self._said(text)
            if not self.ready and self._expected.search(text):
                self.ready = True
                waiting, self._wait_for_ready = self._wait_for_ready, []
                for each in waiting:
                    each.callback(None)

    def processEnded(self, reason: Failure) -> None:
        self._log.close()
        how = "status 0" if reason.check(ProcessDone) else reason.getErrorMessage()
        self._ended(self, how)
        never_ready, self._wait_for_ready = self._wait_for_ready, []
        for each in never_ready:
            each.errback(NeverReady(how))
        waiting, self._wait_for_end = self._wait_for_end, []
        for each in waiting:
            each.callback(None)


class Fleet:
    """
    All of them.

    @ivar members: by name.
    """

    def __init__(self, members: Mapping[str, Member]) -> None:
        self.members = dict(members)

    def start(self) -> Deferred[None]:
        """
        Fires when all serve.

        @raise NeverReady: one of them did not; the others run.
        """
        return _all(member.start() for member in self.members.values())

    def stop(self) -> Deferred[None]:
        """
        Fires when none is left.
        """
        return _all(member.stop() for member in self.members.values())


def _all(each: Iterable[Deferred[None]]) -> Deferred[None]:
    def first(failure: Failure) -> Failure:
        error = failure.value
        assert isinstance(error, FirstError)
        return error.subFailure

    return gatherResults(each, consumeErrors=True).addCallbacks(lambda _: None, first)
