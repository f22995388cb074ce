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
        self._later: list[Deferred[None]] = []
        self.crowds = Crowds(clock)

    def join(self, plain: PlainHead) -> tuple[Decided, IReader] | None:
        """
        What to answer to a head, and with which reader, where an object is being downloaded, and what the answer begins
        with has come. The caller closes the reader.
        """
        found = self._node.coming(plain.object_id)
        if found is None or found.cache is not CacheState.PENDING or plain.method != "GET":
            return None
        decided = self._last
        # The same head as before, or an equal one that came at the same instant.
        if decided is not None and decided.plain is plain and decided.prepared.is_for(found):
            assert decided.wanted is not None
            reader = self._node.join_now(plain.object_id, decided.wanted)
            return None if reader is None else (decided, reader)
        asked = asset_request(plain.method, plain.object_id, plain.fields.get, b"", str)
        ranges = select(asked, found.object.size, entity_tag(found.object.content_hash)).ranges
        reader = self._node.join_now(plain.object_id, ranges[0]) if len(ranges) == 1 else None
        if reader is None:
            return None
        decided = self._last = self._prepare(found).decide(plain, asked, plain.length)
        assert decided is not None
        return decided, reader

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
        if not self._later:
            self._clock.callLater(0, self._turn)
        waiting: Deferred[None] = Deferred()
        self._later.append(waiting)
        return waiting

    def _turn(self) -> None:
        later, self._later = self._later, []
        for waiting in later:
            waiting.callback(None)
