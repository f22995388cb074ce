"""
What the programs of this package have in common: options, and how a process says that it cannot go on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.error import CannotListenError
from twisted.logger import ILogObserver, Logger
from twisted.python import usage

from distributor.model import DistributorError
from distributor.service import CannotStart, why

_log = Logger("distributor")


class ProgramOptions(usage.Options):
    """
    Options whose errors are one line on stderr, and exit status 1.
    """

    program: str

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        try:
            super().parseOptions(options)  # type: ignore[no-untyped-call]
        except usage.UsageError as error:
            raise CannotStart(f"{self.program}: {error}") from None


def check_port(port: int | None) -> None:
    if port is not None and not 0 <= port <= 65535:
        raise usage.UsageError(f"--port {port}: a TCP port is between 0 and 65535")


class Services(MultiService):
    """
    All that twistd runs. It says on stderr why that cannot be started: by then, twistd has put the log in its place.
    """

    def __init__(self, program: str, log: ILogObserver | None = None) -> None:
        """
        @param log: what twistd is to log to; L{None}: as its own options say.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self._program = program
        self._log = log

    def setServiceParent(self, parent: Any) -> None:
        # The application is nowhere else to be had before twistd asks it what to log to.
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]
        if self._log is not None:
            parent.setComponent(ILogObserver, self._log)

    def privilegedStartService(self) -> None:
        try:
            super().privilegedStartService()  # type: ignore[no-untyped-call]
        except (CannotListenError, DistributorError, OSError) as error:
            reason = f"{self._program}: {why(error)}"
            if sys.stderr is not sys.__stderr__:
                _say(reason)
            raise CannotStart(reason) from None


def _say(reason: str) -> None:
    """
    Write a line to the real stderr.
    """
    if sys.__stderr__ is not None:
        sys.__stderr__.write(f"{reason}\n")
        sys.__stderr__.flush()


def give_up(reactor: Any, reason: str) -> None:
    """
    End a process whose reactor runs already, with exit status 1: twistd has no other way to say that it failed.
    """
    _say(reason)
    _log.critical("{reason}", reason=reason)
    reactor.addSystemEventTrigger("after", "shutdown", os._exit, 1)
    reactor.stop()
