"""
Processes that are played.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IProcessProtocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure


class PlayedProcess:
    """
    The parent's side of a process.

    @ivar signals: those that were sent.
    """

    def __init__(self, protocol: Any, pid: int, play: Play) -> None:
        self.protocol = protocol
        self.pid: int | None = pid
        self.signals: list[int] = []
        self._play = play

    def signalProcess(self, number: int) -> None:
        if self.pid is None:
            raise ProcessExitedAlready()
        self.signals.append(number)
        self._play(self, number)

    def say(self, data: bytes, fd: int = 1) -> None:
        """
        It writes something.
        """
        self.protocol.childDataReceived(fd, data)

    def end(self, status: int = 0, number: int | None = None) -> None:
        """
        It ends.

        @param number: of the signal that ended it.
        """
        self.pid = None
        reason = ProcessDone(status) if status == 0 and number is None else ProcessTerminated(status, number)
        self.protocol.processEnded(Failure(reason))


#: What a process does when it has been started (L{None}), and at a signal (its number).
Play = Callable[[PlayedProcess, int | None], object]


class PlayingReactor(Clock):
    """
    Time, and processes that do what the test says.
    """

    def __init__(self, play: Play = lambda process, signal: None) -> None:
        super().__init__()
        self.processes: list[PlayedProcess] = []
        self.commands: list[Sequence[str]] = []
        self._play = play

    def spawnProcess(
        self,
        protocol: IProcessProtocol,
        executable: str,
        args: Sequence[str],
        env: Mapping[str, str],
        childFDs: Mapping[int, str],
    ) -> PlayedProcess:
        process = PlayedProcess(protocol, 100 + len(self.processes), self._play)
        self.commands.append(args)
        self.processes.append(process)
        process.protocol.makeConnection(process)
        self._play(process, None)
        return process
