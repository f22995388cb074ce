"""
When a storage node that fails again and again is left alone.
"""

from __future__ import annotations

from enum import Enum

from attrs import evolve, frozen

#: So many failures in a row are no accident.
THRESHOLD = 3

#: For how long a node is left alone then, in seconds; doubled with each failure up to the second. One that restarts is
#: back soon; one that is gone is asked a dozen times an hour.
FIRST_DELAY_S = 2.0
LONGEST_DELAY_S = 300.0


class BreakerState(Enum):
    """
    What a breaker makes of its node.
    """

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@frozen
class Breaker:
    """
    What is held against a storage node; told the time, and without a clock of its own.

    Closed, its node is asked; open, only if nobody else is left; half-open, it is tried once, and left alone again
    until it is known how that went, or for as long as before.

    @ivar failures: in a row.
    @ivar until: until when it is open, in seconds.
    """

    failures: int = 0
    until: float = 0.0

    def state(self, now: float) -> BreakerState:
        """
        Where it is.
        """
        if self.failures < THRESHOLD:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self.until else BreakerState.HALF_OPEN

    def retry_in_s(self, now: float) -> float | None:
        """
        After how many seconds it is tried again; L{None} where nothing is in the way.
        """
        return self.until - now if self.state(now) is BreakerState.OPEN else None

    def asked(self, now: float) -> Breaker:
        """
        A request is made of the node.
        """
        return evolve(self, until=now + self._delay_s) if self.state(now) is BreakerState.HALF_OPEN else self

    def failed(self, now: float) -> Breaker:
        """
        The node has failed.
        """
        more = Breaker(self.failures + 1)
        return evolve(more, until=now + more._delay_s) if more.failures >= THRESHOLD else more

    def succeeded(self) -> Breaker:
        """
        The node has brought what it was asked for.
        """
        return Breaker()

    @property
    def _delay_s(self) -> float:
        # Not a power of any number: a float has an end.
        return min(FIRST_DELAY_S * (1 << min(self.failures - THRESHOLD, 16)), LONGEST_DELAY_S)
