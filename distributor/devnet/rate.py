"""
One rate in bytes per second, shared by every answer of a storage node.
"""

from __future__ import annotations

from collections.abc import Callable
from math import floor

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: Bytes are given out this often, at multiples of it: shorter costs wake-ups, longer makes the flow lumpy (16 MiB/s is
#: 168 KB a time). While nothing is saved up, who measures can tell from the time of day how long it is until the next
#: turn.
TICK_S = 0.01

#: Part of it, within which a moment and a multiple are the same.
_SAME = 1e-4

#: What may be saved up while every answer is held back by its reader: enough for the pause that a full socket buffer
#: makes, and so little that no reader sees a burst.
IDLE_CREDIT_S = 0.05

#: A share smaller than this would cost more in headers and system calls than it carries.
LEAST_SHARE = 4096

#: The most that one turn gives, so that answers take turns.
MOST_SHARE = 64 * 1024

#: Sends at most so many bytes now, and says how many it sent.
Turn = Callable[[int], int]


def _positive(instance: object, attribute: object, value: int) -> None:
    if value <= 0:
        raise ValueError(f"a rate of {value} bytes per second never sends anything")


@define(eq=False)
class SharedRate:
    """
    A token bucket that its users wait for in turn.

    @ivar bytes_per_s: for all users together; may be changed at any time.
    """

    _clock: IReactorTime
    bytes_per_s: int = field(validator=_positive)
    _credit: float = field(init=False, default=0.0)
    _counted_until: float = field(init=False)
    # A dict is a queue that a waiter can leave from the middle.
    _waiting: dict[Turn, None] = field(init=False, factory=dict)
    _tick: IDelayedCall | None = field(init=False, default=None)
    _giving: bool = field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self._counted_until = self._clock.seconds()

    def ask(self, turn: Turn) -> None:
        """
        Call C{turn} once, when there is something to give; never from within this call. Who wants more asks again, and
        comes after the others.
        """
        if not self._waiting and not self._giving:
            self._count()
            self._credit = min(self._credit, IDLE_CREDIT_S * self.bytes_per_s)
        self._waiting[turn] = None
        if self._tick is None and not self._giving:
            # An answer comes back as soon as its socket is empty, many times a tick when the rate is high.
            due = self._credit >= min(MOST_SHARE, TICK_S * self.bytes_per_s)
            self._tick = self._clock.callLater(0 if due else self._until_next_s(), self._give)

    def leave(self, turn: Turn) -> None:
        """
        C{turn} is not wanted any more. Harmless when it was not waiting.
        """
        self._waiting.pop(turn, None)
        if not self._waiting and self._tick is not None:
            self._tick.cancel()
            self._tick = None

    def _count(self) -> None:
        now = self._clock.seconds()
        self._credit += (now - self._counted_until) * self.bytes_per_s
        self._counted_until = now

    def _give(self) -> None:
        self._tick = None
        # Somebody has been waiting since the last count; where the reactor was late, that is not their loss: no limit.
        self._count()
        self._giving = True
        try:
            while self._waiting and self._credit >= 1:
                share = min(max(int(self._credit) // len(self._waiting), LEAST_SHARE), MOST_SHARE, int(self._credit))
                turn = next(iter(self._waiting))
                del self._waiting[turn]
                self._credit -= turn(share)
        finally:
            self._giving = False
            if self._waiting:
                self._tick = self._clock.callLater(self._until_next_s(), self._give)

    def _until_next_s(self) -> float:
        now = self._clock.seconds()
        # Half a microsecond early: floats that stand for the same multiple differ by less, and it is not to come twice.
        return (floor(now / TICK_S + _SAME) + 1 - _SAME / 2) * TICK_S - now
