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

#: What an answer depends on, beside the object.
_HEEDED = ("Range", "If-Match", "If-None-Match", "If-Range")

_Key = tuple[str | None, ...]


@define(eq=False)
class _Crowd:
    """
    @ivar followers: when each has come.
    """

    end: IDelayedCall
    followers: dict[Deferred[float], float] = field(factory=dict)


class Crowds:
    """
    Lets those who ask for the same follow the first of them. What a storage node sends for it is more urgent than that
    all of them make ready to wait; and once it is there, nobody needs to.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._crowds: dict[_Key, _Crowd] = {}

    def __len__(self) -> int:
        """
        How many are led.
        """
        return len(self._crowds)

    def lead(self, plain: PlainHead) -> None:
        """
        Begin with a request that others may follow.
        """
        key = _key(plain)
        if key not in self._crowds:
            self._crowds[key] = _Crowd(self._clock.callLater(LONGEST_S, self._let_go, key))

    def follow(self, plain: PlainHead) -> Deferred[float] | None:
        """
        @return: fires when it is time to begin, with how long that has taken, in seconds; may be cancelled. L{None}:
            nobody leads.
        """
        crowd = self._crowds.get(_key(plain))
        if crowd is None:
            return None
        waiting: Deferred[float] = Deferred(crowd.followers.__delitem__)
        crowd.followers[waiting] = self._clock.seconds()
        return waiting

    def let_go(self, plain: PlainHead) -> None:
        """
        One who has asked for this has had something of it, or has gone: let those begin who follow.
        """
        self._end(_key(plain))

    def let_all_go(self) -> None:
        """
        Let everybody begin.
        """
        for key in list(self._crowds):
            self._end(key)

    def _end(self, key: _Key) -> None:
        crowd = self._crowds.get(key)
        if crowd is not None:
            crowd.end.cancel()
            self._let_go(key)

    def _let_go(self, key: _Key) -> None:
        followers = self._crowds.pop(key).followers
        now = self._clock.seconds()
        for waiting, came in list(followers.items()):
            # One may take another with it.
            if followers.pop(waiting, None) is not None:
                waiting.callback(now - came)


def _key(plain: PlainHead) -> _Key:
    return plain.method, plain.object_id, *map(plain.fields.get, _HEEDED)
