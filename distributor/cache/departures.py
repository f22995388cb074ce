"""
Files on their way out: which have to go, what becomes of them, and why it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from distributor.cache.allocation import Parts
from distributor.cache.eviction import victims
from distributor.cache.items import Item, Partial, Unverified
from distributor.model import DiskFailed, NoRoom

#: Of how many evictions is known why they were: enough for somebody who asks what has just happened.
_REMEMBERED = 1000


@frozen
class Eviction:
    """
    That something was deleted.

    @ivar reason: in words for the operator.
    @ivar at: seconds since 1970.
    """

    reason: str
    at: float


class Departures:
    """
    Each file that goes is taken from the inventory first, so that nobody gets at it any more, and then deleted.
    """

    _log = Logger("distributor.cache.store")

    def __init__(self, parts: Parts, made_room: Callable[[int], object]) -> None:
        """
        @param made_room: is told of the bytes of each object that has been deleted to make room.
        """
        self._disk = parts.disk
        self._files = parts.files
        self._inventory = parts.inventory
        self._ledger = parts.ledger
        self._seconds = parts.seconds
        self._made_room = made_room
        # Files that are being deleted, each with those who wait for the end of it.
        self._leaving: dict[str, list[Deferred[None]]] = {}
        # The oldest first.
        self._evictions: dict[str, Eviction] = {}

    def last(self, object_id: str) -> Eviction | None:
        """
        When and why an object was deleted the last time, if it was not long ago.
        """
        return self._evictions.get(object_id)

    def take(self, object_ids: Iterable[str]) -> dict[str, Item]:
        """
        From now on nobody can get at what there is of C{object_ids}. To be followed by L{delete} at once.
        """
        taken = {}
        for object_id in object_ids:
            item = self._inventory.take(object_id)
            if item is not None:
                self._inventory.leave(item.occupied)
                taken[object_id] = item
        return taken

    def spare(self, size: int) -> dict[str, Item]:
        """
        Take what has to go to make room for C{size} bytes.

        @raise NoRoom: that much cannot be made; nothing has been taken.
        """
        needed = size - self._inventory.room
        if needed <= 0:
            return {}
        chosen = None
        if needed <= self._inventory.kept:
            chosen = victims(needed, self._inventory.candidates(), self._files)
        if chosen is None:
            used, reserved, capacity = self._inventory.used, self._inventory.reserved, self._inventory.capacity
            raise NoRoom(f"{size} bytes, with {used} used and {reserved} reserved of {capacity}")
        return self.take(chosen)

    async def delete(self, leaving: Mapping[str, Item], reason: str, *, for_room: bool = False) -> None:
        """
        Delete files, then rows: a row without a file is dropped at the next start, while a file without a row would
        have to be verified.

        @param leaving: what L{take} gave.
        @param for_room: they are not to blame: something else needs the room.
        @raise DiskFailed: some could not be deleted, and are back where they were.
        """
        if not leaving:
            return
        for object_id in leaving:
            self._leaving[object_id] = []
        try:
            failed = await self._unlink(leaving, reason)
            gone = [object_id for object_id in leaving if object_id not in failed]
            if for_room:
                for object_id in gone:
                    self._made_room(leaving[object_id].occupied)
            await self._ledger.delete(gone)
        finally:
            for object_id in leaving:
                for waiter in self._leaving.pop(object_id):
                    waiter.callback(None)
        for object_id, error in failed.items():
            raise DiskFailed(f"deleting object {object_id}: {error}") from error

    async def _unlink(self, leaving: Mapping[str, Item], reason: str) -> dict[str, Exception]:
        partial = {object_id for object_id, item in leaving.items() if isinstance(item, Partial)}
        failed: dict[str, Exception] = {}
        succeeded = False
        try:
            if partial:
                failed.update(await self._disk.unlink_partial(partial))
            if len(partial) < len(leaving):
                failed.update(await self._disk.unlink_complete(leaving.keys() - partial))
            succeeded = True
        finally:
            for object_id, item in leaving.items():
                self._inventory.leave(-item.occupied)
                if object_id in failed or not succeeded:
                    self._inventory.keep(object_id, item)
                else:
                    self.hold_while_read(object_id, item.occupied)
                    self._inventory.own([object_id])
                    self._remember(object_id, reason)
        return failed

    def hold_while_read(self, object_id: str, occupied: int) -> None:
        """
        The file of an object has gone: nobody gets at it any more, and it takes its space until the last reader goes.
        """
        file = self._files.forget(object_id)
        if file is not None:
            self._inventory.hold(occupied)
            file.unused.addCallback(lambda _: self._inventory.hold(-occupied))

    def _remember(self, object_id: str, reason: str) -> None:
        self._evictions.pop(object_id, None)
        self._evictions[object_id] = Eviction(reason, self._seconds())
        if len(self._evictions) > _REMEMBERED:
            del self._evictions[next(iter(self._evictions))]

    async def evict(self, object_ids: Iterable[str], reason: str, *, for_room: bool = False) -> bool:
        """
        Delete what there is of C{object_ids}.

        @param for_room: see L{delete}.
        @return: whether there was anything.
        @raise DiskFailed: some could not be deleted, and are still there.
        """
        leaving = self.take(object_ids)
        await self.delete(leaving, reason, for_room=for_room)
        return bool(leaving)

    async def make_space(self, size: int) -> bool:
        """
        The disk is full, whatever the books say: evict as much as C{size} bytes, or as there is.

        @return: whether anything has been evicted.
        """
        wanted = min(size, self._inventory.kept)
        chosen = None
        while wanted and chosen is None:
            chosen = victims(wanted, self._inventory.candidates(), self._files)
            wanted //= 2
        try:
            return await self.evict(chosen or (), "the disk was full", for_room=True)
        except DiskFailed as error:
            self._log.error("no space can be made: {error}", error=error)
            return False

    async def shrink(self) -> None:
        """
        Evict what is more than the capacity, which may have been lowered since the last start. Never fails.

        Unless there are files that have not been verified. Those may be the terabytes of another program under a limit
        that has just been mistyped, so none of them goes merely because the node has been started: they go like all
        others, by their last access, once a download needs the room.
        """
        excess = -self._inventory.room
        if excess <= 0:
            return
        if self._inventory.unverified:
            self._log.warn(
                "the store has {excess} bytes more than limits.storage allows; since some of its files have not been"
                " verified, it is the next download that will evict them, verified or not, by their last access",
                excess=excess,
            )
            return
        try:
            await self.delete(self.spare(0), "the store was larger than it may be", for_room=True)
        except DiskFailed as error:
            self._log.error("the store is larger than it may be: {error}", error=error)

    async def clean_up(self, limit: int) -> int:
        """
        Delete some of what other nodes distribute by now, and nobody reads. Files that have not been verified stay:
        they are another program's, and nobody has proved them wrong.

        @return: how many have been deleted.
        @raise DiskFailed: some could not be deleted, and are still there.
        """
        items = self._inventory.items
        deletable = (
            object_id
            for object_id in self._inventory.disowned
            if object_id not in self._files and not isinstance(items.get(object_id, _NOTHING), Unverified)
        )
        leaving = self.take(list(islice(deletable, limit)))
        await self.delete(leaving, "other nodes distribute it")
        return len(leaving)

    async def departure(self, object_id: str) -> None:
        """
        Wait until no file of this id is being deleted: the one that comes has the same path.
        """
        while object_id in self._leaving:
            gone: Deferred[None] = Deferred()
            self._leaving[object_id].append(gone)
            await gone


#: What is not in the store is passed over like an unverified file.
_NOTHING = Unverified(0)
