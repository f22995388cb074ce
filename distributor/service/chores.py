"""
What a node does again and again while it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure


class Chores:
    """
    Each has its interval. One that fails is logged, and done again when its time comes.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._calls: list[LoopingCall] = []

    def every(self, seconds: float, name: str, chore: Callable[[], Any]) -> None:
        """
        Do C{chore} from now on, first in C{seconds}. Where it gives a Deferred or a coroutine, the next time
        comes after that has fired.

        @param name: what the log calls it.
        """

        def failed(failure: Failure) -> None:
            self._log.failure("{chore} failed", failure, chore=name)

        call = LoopingCall(lambda: maybeDeferred(chore).addErrback(failed))
        call.clock = self._clock
        self._calls.append(call)
        call.start(seconds, now=False).addErrback(failed)

    def stop(self) -> None:
        """
        Begin nothing any more.
        """
        calls, self._calls = self._calls, []
        for call in calls:
            call.stop()
