"""
What the short way needs for objects that are on their way.
"""

from __future__ import annotations

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from distributor.model import ByteRange, CacheState, DataObject, IReader
from distributor.node import Found, Shelf
from distributor.transfer import IDownloadReader
from distributor.web.answer import Selection, select
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
        self._prepared: dict[tuple[str, bool], Prepared] = {}
        self._last: Decided | None = None
        self._selected_last: tuple[PlainHead, DataObject, Selection] | None = None
        self._later: list[Deferred[None]] = []
        self.crowds = Crowds(clock)

    def join(self, plain: PlainHead) -> tuple[Decided, IReader] | None:
        """
        What to answer to a head, and with which reader, where an object is being downloaded, and what the answer begins
        with has come. The caller closes the reader.
        """
        found = self._found(plain)
        if found is None:
            return None
        decided = self._last
        # The same head as before, or an equal one that came at the same instant.
        if decided is not None and decided.plain is plain and decided.prepared.is_for(found):
            assert decided.wanted is not None
            reader = self._node.join_now(plain.object_id, decided.wanted)
            return None if reader is None else (decided, reader)
        wanted = self._wanted(plain, found)
        reader = self._node.join_now(plain.object_id, wanted) if wanted is not None else None
        if reader is None:
            return None
        decided = self._last = self._decide(plain, found, external=False)
        return decided, reader

    def wait(self, plain: PlainHead) -> tuple[Decided, IDownloadReader] | None:
        """
        The same, where that has not come yet: the reader is to be waited for, and L{settled} tells what to answer then.
        Where it seeks, a storage node has been asked when this returns.
        """
        found = self._found(plain)
        wanted = self._wanted(plain, found) if found is not None else None
        reader = self._node.join(plain.object_id, wanted) if wanted is not None else None
        if found is None or reader is None:
            return None
        return self._decide(plain, found, external=reader.external), reader

    def settled(self, decided: Decided, reader: IDownloadReader) -> Decided:
        """
        What to answer, now that the type is known, and who has been asked.

        @param decided: as L{wait} has it.
        """
        prepared = decided.prepared
        found = prepared.found
        if reader.media_type == found.type and reader.external is prepared.external:
            return decided
        return self._decide(decided.plain, evolve(found, type=reader.media_type), external=reader.external)

    def _found(self, plain: PlainHead) -> Found | None:
        """
        What is asked for, if it is being downloaded, and asked for as can be answered here.
        """
        found = self._node.coming(plain.object_id)
        return found if found is not None and found.cache is CacheState.PENDING and plain.method == "GET" else None

    def _selected(self, plain: PlainHead, object: DataObject) -> Selection:
        # One head is looked at up to three times until it is answered.
        last = self._selected_last
        if last is None or last[0] is not plain or last[1] is not object:
            asked = asset_request(plain.method, plain.object_id, plain.fields.get, b"", str)
            last = plain, object, select(asked, object.size, entity_tag(object.content_hash))
            self._selected_last = last
        return last[2]

    def _wanted(self, plain: PlainHead, found: Found) -> ByteRange | None:
        """
        The bytes that are sent; L{None} where that is not one run of them.
        """
        ranges = self._selected(plain, found.object).ranges
        return ranges[0] if len(ranges) == 1 else None

    def _decide(self, plain: PlainHead, found: Found, *, external: bool) -> Decided:
        """
        @param external: see L{Prepared}.
        """
        # In the order of the last use.
        key = found.object.id, external
        prepared = self._prepared.pop(key, None)
        if prepared is None or not prepared.is_for(found):
            prepared = Prepared(found, None, external=external)
            if len(self._prepared) >= _MOST_PREPARED:
                del self._prepared[next(iter(self._prepared))]
        self._prepared[key] = prepared
        decided = prepared.decide_selected(plain, self._selected(plain, found.object), plain.length)
        assert decided is not None
        return decided

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
        crowds = self.crowds
        return crowds.follow(plain) if crowds and self._node.coming(plain.object_id) is not None else None

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
