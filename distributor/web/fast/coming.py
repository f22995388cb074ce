"""
What the short way needs for objects that are on their way.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from distributor.model import CacheState, IReader
from distributor.node import Found, Shelf
from distributor.web.answer import select
from distributor.web.asset_request import asset_request
from distributor.web.fast.crowds import Crowds
from distributor.web.fast.head import PlainHead
from distributor.web.fast.prepared import Decided, Prepared
from distributor.web.headers import entity_tag

#: Objects of which something is remembered, about two kilobytes each.
_MOST_PREPARED = 64


class Coming:
    """
    Shared by all connections.

    @ivar crowds: who waits for whom.
    """

    def __init__(self, node: Shelf, clock: IReactorTime) -> None:
        self._node = node
        self._clock = clock
        self._prepared: dict[str, Prepared] = {}
        self._last: Decided | None = None
        # The bytes of the head for which that is, in the turn of the reactor in which it is still so for sure.
        self._now: bytes | None = None
        self._turning = False
        self._later: list[Deferred[None]] = []
        self.crowds = Crowds(clock)

    def again(self, data: bytes) -> PlainHead | None:
        """
        The head that C{data} is, where one that is the same in each byte has been answered in this turn of the reactor.
        """
        return self._last.plain if self._last is not None and data == self._now else None

    def join(self, plain: PlainHead, data: bytes) -> tuple[Decided, IReader] | None:
        """
        What to answer to a head, and with which reader, where an object is being downloaded, and what the answer begins
        with has come. The caller closes the reader.

        @param data: what has come of requests, the head first.
        """
        decided = self._last
        if decided is not None and data == self._now:
            return self._join_as(decided)
        found = self._node.coming(plain.object_id)
        if found is None or found.cache is not CacheState.PENDING or plain.method != "GET":
            return None
        if decided is None or decided.plain is not plain or not decided.prepared.is_for(found):
            return self._join_anew(plain, found, data)
        # The same head as before, or an equal one that came lately.
        joined = self._join_as(decided)
        if joined is not None:
            self._remember(decided, data)
        return joined

    def _join_as(self, decided: Decided) -> tuple[Decided, IReader] | None:
        assert decided.wanted is not None
        reader = self._node.join_now(decided.plain.object_id, decided.wanted)
        return None if reader is None else (decided, reader)

    def _join_anew(self, plain: PlainHead, found: Found, data: bytes) -> tuple[Decided, IReader] | None:
        asked = asset_request(plain.method, plain.object_id, plain.fields.get, b"", str)
        ranges = select(asked, found.object.size, entity_tag(found.object.content_hash)).ranges
        reader = self._node.join_now(plain.object_id, ranges[0]) if len(ranges) == 1 else None
        if reader is None:
            return None
        decided = self._prepare(found).decide(plain, asked, plain.length)
        assert decided is not None
        self._remember(decided, data)
        return decided, reader

    def _remember(self, decided: Decided, data: bytes) -> None:
        self._last, self._now = decided, data
        self._turn_soon()

    def _prepare(self, found: Found) -> Prepared:
        # In the order of the last use.
        prepared = self._prepared.pop(found.object.id, None)
        if prepared is None or not prepared.is_for(found):
            prepared = Prepared(found, None)
            if len(self._prepared) >= _MOST_PREPARED:
                del self._prepared[next(iter(self._prepared))]
        self._prepared[found.object.id] = prepared
        return prepared

    def lead(self, plain: PlainHead) -> None:
        """
        As L{Crowds.lead}, where others could follow.
        """
        if plain.method == "GET" and self._node.downloads_here:
            self.crowds.lead(plain)

    def follow(self, plain: PlainHead) -> Deferred[float] | None:
        """
        As L{Crowds.follow}, where an object is being downloaded: what else there is to be waited for is nothing that
        one could have for all.
        """
        return None if self._node.coming(plain.object_id) is None else self.crowds.follow(plain)

    def next_turn(self) -> Deferred[None]:
        """
        Fires when those who come in this turn of the reactor have had their first bytes. May be cancelled.
        """
        self._turn_soon()
        waiting: Deferred[None] = Deferred()
        self._later.append(waiting)
        return waiting

    def _turn_soon(self) -> None:
        if not self._turning:
            self._turning = True
            self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        self._turning = False
        self._now = None
        later, self._later = self._later, []
        for waiting in later:
            waiting.callback(None)
