"""
Requests for the same that come at one instant.
"""

from __future__ import annotations

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from distributor.web.fast.head import PlainHead

#: For how long one waits for another at most, in seconds. Where a storage node takes longer, there is time enough to
#: make ready for all of them.
LONGEST_S = 0.005

_Key = tuple[str, str, str | None]


@define(eq=False)
class _Crowd:
    began: float
    end: IDelayedCall
    followers: list[Deferred[float]] = field(factory=list)


class Crowds:
    """
    Lets those who ask for the same follow the first of them. What a storage node sends for it is more urgent than that
    all of them make ready to wait; and once it is there, nobody needs to.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._crowds: dict[_Key, _Crowd] = {}

    def lead(self, plain: PlainHead) -> None:
        """
        Begin with a request that others may follow.
        """
        key = _key(plain)
        if key not in self._crowds:
            end = self._clock.callLater(LONGEST_S, self._let_go, key)
            self._crowds[key] = _Crowd(self._clock.seconds(), end)

    def follow(self, plain: PlainHead) -> Deferred[float] | None:
        """
        @return: fires when it is time to begin, with how long that has taken, in seconds; may be cancelled. L{None}:
            nobody leads.
        """
        crowd = self._crowds.get(_key(plain))
        if crowd is None:
            return None
        waiting: Deferred[float] = Deferred(crowd.followers.remove)
        crowd.followers.append(waiting)
        return waiting

    def let_go(self, plain: PlainHead) -> None:
        """
        Who leads has had something, or has gone: let the others begin.
        """
        key = _key(plain)
        crowd = self._crowds.get(key)
        if crowd is not None:
            crowd.end.cancel()
            self._let_go(key)

    def _let_go(self, key: _Key) -> None:
        crowd = self._crowds.pop(key)
        waited_s = self._clock.seconds() - crowd.began
        while crowd.followers:
            crowd.followers.pop(0).callback(waited_s)


def _key(plain: PlainHead) -> _Key:
    return plain.method, plain.object_id, plain.fields.get("Range")
