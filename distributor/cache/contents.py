"""
What there is in a store, told: an object at a time, a page of them, or all of them for Argus.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterable, Iterator
from contextlib import aclosing
from heapq import merge, nsmallest
from typing import Literal

from attrs import frozen
from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger

from distributor.cache.allocation import Parts
from distributor.cache.argus import ArgusState
from distributor.cache.cache_json import Use, Writer, group_of
from distributor.cache.database import Row, Run
from distributor.cache.disk import BATCH
from distributor.cache.index import ALL, Index
from distributor.cache.items import Unverified
from distributor.cache.order import RUN, batches
from distributor.model import DiskFailed, InThread

FactState = Literal["complete", "partial", "unverified"]

#: What takes so long is not done again before so many times that have passed: one per cent of the time.
_REST_FACTOR = 100

_USES = (
    "SELECT id, size, hits, last_access FROM object WHERE state = 'complete' ORDER BY group_of(size, hits), last_access"
)
_TYPES = "SELECT id, type FROM object WHERE state = 'complete' AND type IS NOT NULL"


#: The place of a file in Argus's list, which is its group and when it was used last; then its id, size and hits. Tuples
#: of such values are nothing to the garbage collector.
_Placed = tuple[int, float, str, int, int]


@frozen
class Facts:
    """
    What there is of an object.

    @ivar size: of the whole, in bytes.
    @ivar content_hash: a base58 multihash; nothing is known of the one of an unverified file.
    @ivar type: the media type, if it is known.
    @ivar state: C{partial} as well for one that is being filled.
    @ivar extents: the runs C{(start, stop)} that are there; as far as has been recorded, while it is being filled.
    @ivar added_at: seconds since 1970, as C{last_access}.
    @ivar hits: how often it was read; of a partial one, how many were reading it.
    """

    object_id: str
    size: int
    content_hash: str | None
    type: str | None
    state: FactState
    extents: tuple[Run, ...]
    added_at: float | None
    last_access: float
    hits: int

    @property
    def present(self) -> int:
        """
        Bytes that are there.
        """
        return sum(stop - start for start, stop in self.extents)


class Contents:
    """
    Reads the index for what is not in memory.
    """

    _log = Logger("distributor.cache.store")

    def __init__(self, parts: Parts, index: Index, argus: ArgusState | None, in_thread: InThread) -> None:
        """
        @param argus: what is written for Argus.
        """
        self._inventory = parts.inventory
        self._ledger = parts.ledger
        self._seconds = parts.seconds
        self._index = index
        self._argus = argus
        self._in_thread = in_thread
        self._saving = DeferredLock()
        # When nothing has changed since the last time, it is not done again.
        self._saved_changes: int | None = None
        self._saved_at = 0.0
        self._saving_took_s = 0.0

    # For people.

    async def facts(self, object_id: str) -> Facts | None:
        """
        What there is of an object; L{None} for nothing.

        @raise DiskFailed: the index refuses.
        """
        item = self._inventory.items.get(object_id)
        if isinstance(item, Unverified):
            return _of_file(object_id, item)
        row = await self._index.row(object_id)
        return _of_row(self._ledger.mark(row)) if row is not None else None

    async def page(self, after: str | None, limit: int, states: Collection[FactState]) -> list[Facts]:
        """
        Objects in the order of the numbers that their ids are.

        @param after: the last id of the page before.
        @param states: which to show.
        @raise DiskFailed: the index refuses.
        """
        found: dict[str, Facts] = {}
        if "unverified" in states and self._inventory.unverified:
            for object_id in await self._in_thread(_next_ids, list(self._inventory.unverified), after, limit):
                file = self._inventory.unverified_item(object_id)
                if file is not None:
                    found[object_id] = _of_file(object_id, file)
        known = [state for state in ALL if state in states]
        if known:
            for row in await self._index.page(after, limit, known):
                found[row.id] = _of_row(self._ledger.mark(row))
        return sorted(found.values(), key=lambda facts: _number(facts.object_id))[:limit]

    # For Argus.

    async def save(self, *, due: bool) -> bool:
        """
        Write a C{cache.json} of all complete files, verified or not. Nothing is written when nothing has changed since
        the last time.

        @param due: write it only if the last time is long ago, compared to what it took.
        @return: whether it has been written.
        @raise DiskFailed: it cannot be; what is there stays.
        """
        return await self._saving.run(Deferred.fromCoroutine, self._save(due))

    async def _save(self, due: bool) -> bool:
        began, changes = self._seconds(), self._inventory.changes
        if self._argus is None or changes == self._saved_changes:
            return False
        if due and began < self._saved_at + _REST_FACTOR * self._saving_took_s:
            return False
        await self._ledger.flush()
        if self._ledger.owes:
            # Argus would delete the files that are not in its list.
            raise DiskFailed("the index does not know all files")
        async with aclosing(self._pieces()) as pieces:
            await self._argus.write(pieces)
        self._saved_changes = changes
        self._saved_at = self._seconds()
        self._saving_took_s = self._saved_at - began
        return True

    async def _pieces(self) -> AsyncGenerator[str, None]:
        writer = Writer()
        files = list(self._inventory.unverified)
        runs = [await self._in_thread(sorted, self._uses(run)) for run in batches(files, RUN)]
        others = _Others(merge(*runs))

        def mixed(rows: list[tuple[str, int, int, float]]) -> str:
            return writer.uses(others.among([Use(*row) for row in rows]))

        async with aclosing(self._index.select(_USES, mixed, [group_of])) as texts:
            async for text in texts:
                yield text
        rest = batches(others, BATCH)
        while batch := await self._in_thread(next, rest, None):
            yield writer.uses(batch)
        async with aclosing(self._index.select(_TYPES, writer.types)) as texts:
            async for text in texts:
                yield text
        for some in batches(files, BATCH):
            items = ((object_id, self._inventory.unverified_item(object_id)) for object_id in some)
            yield writer.types((each, item.type) for each, item in items if item is not None and item.type is not None)
        yield writer.end()

    def _uses(self, object_ids: Iterable[str]) -> list[_Placed]:
        items = ((object_id, self._inventory.unverified_item(object_id)) for object_id in object_ids)
        return [
            (group_of(item.size, item.hits), item.last_access, object_id, item.size, item.hits)
            for object_id, item in items
            if item is not None
        ]


def _number(object_id: str) -> tuple[int, str]:
    # Ids have no leading zeros.
    return len(object_id), object_id


def _of_file(object_id: str, item: Unverified) -> Facts:
    extents = ((0, item.size),) if item.size else ()
    return Facts(object_id, item.size, None, item.type, "unverified", extents, None, item.last_access, item.hits)


def _of_row(row: Row) -> Facts:
    extents = row.extents
    if row.state == "complete" and row.size:
        extents = ((0, row.size),)
    return Facts(
        row.id, row.size, row.content_hash, row.type, row.state, extents, row.added_at, row.last_access, row.hits
    )


def _next_ids(object_ids: Iterable[str], after: str | None, limit: int) -> list[str]:
    first = _number(after or "")
    return nsmallest(limit, (each for each in object_ids if _number(each) > first), key=_number)


class _Others:
    """
    Files that have a place among those that come in batches.
    """

    def __init__(self, placed: Iterator[_Placed]) -> None:
        """
        @param placed: in their order.
        """
        self._placed = placed
        self._next = next(placed, None)

    def __iter__(self) -> Iterator[Use]:
        while self._next is not None:
            yield self._take(self._next)

    def _take(self, placed: _Placed) -> Use:
        self._next = next(self._placed, None)
        _, last_access, object_id, size, hits = placed
        return Use(object_id, size, hits, last_access)

    def among(self, uses: Iterable[Use]) -> Iterator[Use]:
        """
        C{uses}, and those that have their place before or among them.
        """
        for use in uses:
            place = group_of(use.size, use.hits), use.last_access
            while self._next is not None and self._next[:2] <= place:
                yield self._take(self._next)
            yield use
