"""
When the plan of a download is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: For those who come within so many seconds, it is asked together: they may share a segment.
_INSTANT_S = 0.005

#: So many of those have all that can be done for them at once, before anything else: a player asks for the end of a
#: film, where its index is, and for a place in it. With more of them, the last ones would wait for that.
FEW = 2


class Planning:
    """
    Asks once for all the facts that change in a turn of the reactor; or, where somebody waits for it, before the next.
    """

    def __init__(self, clock: IReactorTime, ask: Callable[[], None]) -> None:
        self._clock = clock
        self._ask = ask
        self._next: IDelayedCall | None = None
        self._prompt_at = -inf
        self._prompted = 0

    def soon(self) -> None:
        """
        Facts have changed.
        """
        if self._next is None:
            self._next = self._clock.callLater(0, self._now)

    def promptly(self) -> None:
        """
        The same, and somebody has come who has nothing: now, for the first L{FEW} of those who come at one instant,
        as their requests need not wait for all that happens in this turn.
        """
        now = self._clock.seconds()
        if now - self._prompt_at >= _INSTANT_S:
            self._prompt_at, self._prompted = now, 0
        if self._prompted >= FEW:
            self.soon()
        else:
            self._prompted += 1
            self._now()

    def stop(self) -> None:
        """
        Nothing that has changed so far is of interest any more.
        """
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._next = None

    def _now(self) -> None:
        self.stop()
        self._ask()
