"""
Time-outs of one length, for many who wait.
"""

from __future__ import annotations

from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from distributor.model import Overloaded

_T = TypeVar("_T")


class Deadlines:
    """
    The patience of those who wait for a first byte, or for leave to ask for one. Who comes first is the first to lose
    it, so that one delayed call does for all, however many come at once.
    """

    def __init__(self, clock: IReactorTime, patience_s: float) -> None:
        """
        @param patience_s: for how long somebody waits.
        """
        self._clock = clock
        self._patience_s = patience_s
        # By what they wait for, in the order in which they have come: when each gives up.
        self._waiting: dict[Deferred[Any], float] = {}
        self._next: IDelayedCall | None = None

    async def in_time(self, waiting: Deferred[_T]) -> _T:
        """
        Wait for a first byte.

        @raise Overloaded: it has taken too long.
        """
        self._waiting[waiting] = self._clock.seconds() + self._patience_s
        if self._next is None:
            self._next = self._clock.callLater(self._patience_s, self._give_up)
        try:
            return await waiting
        except CancelledError as error:
            if waiting in self._waiting:
                raise
            raise Overloaded(f"no byte within {self._patience_s:g} s") from error
        finally:
            self._waiting.pop(waiting, None)
            if not self._waiting and self._next is not None and self._next.active():
                self._next.cancel()
                self._next = None

    def _give_up(self) -> None:
        # It is still set while they are told: who comes meanwhile is not the next to give up.
        try:
            self._tell(self._clock.seconds())
        finally:
            self._next = None
            if self._waiting:
                left_s = next(iter(self._waiting.values())) - self._clock.seconds()
                self._next = self._clock.callLater(max(0.0, left_s), self._give_up)

    def _tell(self, now: float) -> None:
        for waiting, until in list(self._waiting.items()):
            if until > now:
                break
            # Those before it may have taken it with them, and then this does nothing.
            self._waiting.pop(waiting, None)
            waiting.cancel()
