"""
How an object that is to be filled gets its space and its file.
"""

from __future__ import annotations

from distributor.cache.allocation import Allocation, Parts
from distributor.cache.database import Row, Run
from distributor.cache.departures import Departures
from distributor.cache.items import Item, Partial, Unverified
from distributor.cache.open_file import OpenFile
from distributor.model import DataObject, DiskFailed, NoRoom


class Allocator:
    """
    Gives each object one allocation at a time.
    """

    def __init__(self, parts: Parts, departures: Departures) -> None:
        self._parts = parts
        self._disk = parts.disk
        self._files = parts.files
        self._inventory = parts.inventory
        self._ledger = parts.ledger
        self._seconds = parts.seconds
        self._departures = departures
        self._allocated: set[str] = set()

    def __contains__(self, object_id: object) -> bool:
        """
        Whether an object has an allocation.
        """
        return object_id in self._allocated

    async def allocate(self, object: DataObject) -> Allocation:
        """
        See L{distributor.cache.Store.allocate}.
        """
        object_id = object.id
        if object_id in self._allocated:
            raise RuntimeError(f"object {object_id} has an allocation already")
        self._allocated.add(object_id)
        try:
            await self._departures.departure(object_id)
            if self._inventory.get(object_id) is not None:
                raise RuntimeError(f"object {object_id} is complete")
            return await self._allocate(object)
        except BaseException:
            self._allocated.discard(object_id)
            raise

    async def _allocate(self, object: DataObject) -> Allocation:
        # No await before everything is claimed: another allocation may want the same bytes.
        previous = self._inventory.take(object.id)
        try:
            leaving = self._departures.spare(object.size)
        except NoRoom:
            if previous is not None:
                self._inventory.keep(object.id, previous)
            raise
        useless: dict[str, Item] = {}
        if previous is not None and not _goes_on(previous, object):
            self._inventory.leave(previous.occupied)
            useless[object.id] = previous
            previous = None
        written = previous.occupied if previous is not None else 0
        self._inventory.reserve(object.size, written)
        try:
            await self._departures.delete(leaving, f"object {object.id} needed its room", for_room=True)
            await self._departures.delete(useless, "it was not what the catalogue lists")
            file, extents = await self._open_to_fill(object, previous)
        except BaseException:
            self._inventory.release(object.size, written)
            if previous is not None:
                self._inventory.keep(object.id, previous)
            raise
        self._inventory.grew(sum(stop - start for start, stop in extents) - written)
        added_at = previous.added_at if isinstance(previous, Partial) else self._seconds()
        return Allocation(object, extents, file, added_at, self._parts, self._allocated.discard)

    async def _open_to_fill(self, object: DataObject, previous: Item | None) -> tuple[OpenFile, tuple[Run, ...]]:
        fd = None
        extents: tuple[Run, ...] = ()
        if isinstance(previous, Partial):
            file = self._files.get(object.id)
            if file is not None:
                # Readers have kept it.
                file.acquire()
                return file, previous.extents
            extents = previous.extents
            fd = await self._disk.resume(object.id, extents[-1][1])
        elif isinstance(previous, Unverified):
            extents = ((0, object.size),)
            fd = await self._adopt(object, extents)
        if fd is None:
            if previous is not None:
                # It has vanished; and a row about it must not speak of the fresh one.
                await self._ledger.delete([object.id])
            extents = ()
            fd = await self._disk.create(object.id)
        return self._files.add(object.id, fd), extents

    async def _adopt(self, object: DataObject, extents: tuple[Run, ...]) -> int | None:
        """
        Make an unverified file an unfinished one that has all its bytes.

        Row before name, here: an unfinished file without a row would be deleted at the next start, and somebody's
        terabytes with it.
        """
        now = self._seconds()
        hash = str(object.content_hash)
        row = Row(object.id, object.size, hash, object.type, "partial", extents, now, now)
        try:
            if not await self._ledger.put(row):
                raise DiskFailed(f"object {object.id} cannot be adopted: the index refuses")
            return await self._disk.adopt(object.id, object.size)
        except DiskFailed:
            await self._ledger.delete([object.id])
            raise


def _goes_on(previous: Item, object: DataObject) -> bool:
    """
    Whether what there is of an object can be gone on with.
    """
    if isinstance(previous, Unverified):
        # An empty one has no extents to begin with.
        return previous.size == object.size > 0
    if isinstance(previous, Partial):
        same = previous.size == object.size and previous.content_hash == str(object.content_hash)
        return same and previous.extents != ()
    return False
