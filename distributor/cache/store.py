"""
The store: which objects are on disk, and who may write the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from distributor.cache.allocation import Allocation, Parts
from distributor.cache.disk import Disk
from distributor.cache.eviction import victims
from distributor.cache.index import Index, Row, Run
from distributor.cache.inventory import Entry, Inventory, Item, Partial, Unverified
from distributor.cache.ledger import Ledger
from distributor.cache.open_file import MOST_SPARE, OpenFile, OpenFiles, StoredReader
from distributor.cache.reconcile import reconcile
from distributor.model import DataObject, DiskFailed, InThread, IReader, NoRoom


class Store:
    """
    Complete and unfinished objects on disk. The index is read whole by L{start}; L{get} then costs a look into memory.

    Of an id there is at any time one at most: a complete object, an unfinished one, an unverified file, an allocation.

    @ivar files: those that are open.
    """

    _log = Logger()

    def __init__(
        self, assets: Path, index: Index, capacity: int, in_thread: InThread, seconds: Callable[[], float]
    ) -> None:
        """
        @param capacity: how many bytes the files may take.
        @param in_thread: for everything but the index.
        @param seconds: the time, in seconds since 1970.
        """
        self._index = index
        self._in_thread = in_thread
        disk = Disk(assets, in_thread)
        self._parts = Parts(disk, OpenFiles(disk, MOST_SPARE), Inventory(capacity), Ledger(index), seconds)
        self._disk = disk
        self.files = self._parts.files
        self._inventory = self._parts.inventory
        self._ledger = self._parts.ledger
        self._seconds = seconds
        self._allocated: set[str] = set()
        # Files that are being deleted, each with those who wait for the end of it.
        self._leaving: dict[str, list[Deferred[None]]] = {}

    @property
    def object_count(self) -> int:
        """
        How many complete, verified objects there are.
        """
        return self._inventory.entry_count

    @property
    def capacity(self) -> int:
        """
        How many bytes the files may take.
        """
        return self._inventory.capacity

    @property
    def used(self) -> int:
        """
        How many bytes the files take: complete ones, verified or not, by their size; unfinished ones by what has been
        written of them; deleted ones that somebody still reads.
        """
        return self._inventory.used

    @property
    def reserved(self) -> int:
        """
        How many more bytes the allocations may write.
        """
        return self._inventory.reserved

    @property
    def unverified(self) -> Mapping[str, int]:
        """
        The sizes of complete files which the index does not know, by id. They are served once L{allocate} has been
        asked for them, and what it gives has been verified and committed.
        """
        return self._inventory.unverified

    def interrupted(self) -> list[str]:
        """
        The ids of unfinished objects for the rest of which somebody waited, and of those that have only to be verified.
        """
        return self._inventory.interrupted()

    async def start(self) -> None:
        """
        Read the index and the directories, and bring them together.

        @raise DiskFailed: they cannot be read.
        @raise DistributorError: the index is of an unknown version.
        """
        await self._index.open()
        rows = await self._index.load()
        stock = await self._disk.scan()
        if stock.strange:
            some = ", ".join(stock.strange[:3])
            self._log.warn("{count} files are not the store's: {some} ...", count=len(stock.strange), some=some)
        found = await self._in_thread(reconcile, rows, stock)
        del rows
        for object_id, error in (await self._disk.unlink_partial(found.useless_partials)).items():
            self._log.error("unfinished object {id} cannot be deleted: {error}", id=object_id, error=error)
        for object_id, error in (await self._disk.shorten_partial(found.overlong_partials)).items():
            self._log.error("unfinished object {id} cannot be shortened: {error}", id=object_id, error=error)
        await self._ledger.delete(found.stale_rows)
        for object_id, item in found.items.items():
            self._inventory.keep(object_id, item)
        self._log.info(
            "{entries} objects, {partials} unfinished, {unverified} to be verified: {used} of {capacity} bytes",
            entries=self._inventory.entry_count,
            partials=self._inventory.partial_count,
            unverified=len(self._inventory.unverified),
            used=self.used,
            capacity=self.capacity,
        )
        try:
            await self._delete(self._spare(0))
        except DiskFailed as error:
            self._log.error("the store is larger than it may be: {error}", error=error)

    async def stop(self) -> None:
        """
        Save access marks, and close the index.
        """
        await self.flush()
        self.files.close_spare()
        await self._index.close()

    # Complete objects.

    def get(self, object_id: str) -> Entry | None:
        """
        A complete and verified object.
        """
        return self._inventory.get(object_id)

    def complete(self) -> list[str]:
        """
        The ids of all complete objects.
        """
        return self._inventory.complete()

    def watch(self, changed: Callable[[str], object]) -> None:
        """
        Have C{changed} called with the id of each complete object that comes or goes.
        """
        self._inventory.watch(changed)

    def unwatch(self, changed: Callable[[str], object]) -> None:
        """
        The opposite.
        """
        self._inventory.unwatch(changed)

    def touch(self, object_id: str, times: int = 1) -> None:
        """
        An object is being read, or has been, so often: it is the last to be evicted from now on. One that is not there
        is no matter.
        """
        if self._inventory.touch(object_id):
            self._ledger.touch(object_id, self._seconds(), times)

    async def flush(self) -> None:
        """
        Write access marks to the index. Never fails: what cannot be written now is written with the next.
        """
        await self._ledger.flush()

    async def open(self, object_id: str) -> IReader:
        """
        Open a complete object for reading. May be cancelled.

        @raise LookupError: it is not, or no longer, there; L{get} knows that from now on.
        @raise DiskFailed: it is there, and cannot be opened.
        """
        entry = self._inventory.get(object_id)
        if entry is None:
            raise LookupError(f"object {object_id} is not in the store")
        try:
            return StoredReader(await self.files.open(object_id, entry.size), entry.size)
        except LookupError as error:
            if self._inventory.get(object_id) is entry:
                self._log.error("object {id} is lost: {error}", id=object_id, error=error)
                # On its own: the caller may be cancelled, and the next allocation waits for it.
                removed = Deferred.fromCoroutine(self.remove(object_id))
                removed.addErrback(lambda failure: self._log.failure("removing object {id}", failure, id=object_id))
            raise

    async def remove(self, object_id: str) -> bool:
        """
        Delete what there is of an object, unless it is being filled. Not to be cancelled.

        @return: whether there was anything.
        @raise DiskFailed: it cannot be deleted, and is still there.
        """
        return await self._evict([object_id])

    # Making room.

    def _take(self, object_ids: Iterable[str]) -> dict[str, Item]:
        """
        From now on nobody can get at what there is of C{object_ids}. To be followed by L{_delete} at once.
        """
        taken = {}
        for object_id in object_ids:
            item = self._inventory.take(object_id)
            if item is not None:
                self._inventory.leave(item.occupied)
                taken[object_id] = item
        return taken

    def _spare(self, size: int) -> dict[str, Item]:
        """
        Take what has to go to make room for C{size} bytes.

        @raise NoRoom: that much cannot be made; nothing has been taken.
        """
        needed = size - self._inventory.room
        if needed <= 0:
            return {}
        chosen = None
        if needed <= self._inventory.kept:
            chosen = victims(needed, self._inventory.candidates(), self.files)
        if chosen is None:
            raise NoRoom(f"{size} bytes, with {self.used} used and {self.reserved} reserved of {self.capacity}")
        return self._take(chosen)

    async def _delete(self, leaving: Mapping[str, Item]) -> None:
        """
        Delete files, then rows: a row without a file is dropped at the next start, while a file without a row would
        have to be verified.

        @param leaving: what L{_take} gave.
        @raise DiskFailed: some could not be deleted, and are back where they were.
        """
        if not leaving:
            return
        for object_id in leaving:
            self._leaving[object_id] = []
        try:
            failed = await self._unlink(leaving)
            await self._ledger.delete([object_id for object_id in leaving if object_id not in failed])
        finally:
            for object_id in leaving:
                for waiter in self._leaving.pop(object_id):
                    waiter.callback(None)
        for object_id, error in failed.items():
            raise DiskFailed(f"deleting object {object_id}: {error}") from error

    async def _unlink(self, leaving: Mapping[str, Item]) -> dict[str, Exception]:
        partial = {object_id for object_id, item in leaving.items() if isinstance(item, Partial)}
        failed: dict[str, Exception] = {}
        try:
            if partial:
                failed.update(await self._disk.unlink_partial(partial))
            if len(partial) < len(leaving):
                failed.update(await self._disk.unlink_complete(leaving.keys() - partial))
        finally:
            for object_id, item in leaving.items():
                self._inventory.leave(-item.occupied)
                if object_id in failed:
                    self._inventory.keep(object_id, item)
                else:
                    self._hold_while_read(object_id, item.occupied)
        return failed

    def _hold_while_read(self, object_id: str, occupied: int) -> None:
        file = self.files.forget(object_id)
        if file is not None:
            self._inventory.hold(occupied)
            file.unused.addCallback(lambda _: self._inventory.hold(-occupied))

    async def make_space(self, size: int) -> bool:
        """
        The disk is full, whatever the books say: evict as much as C{size} bytes, or as there is.

        @return: whether anything has been evicted.
        """
        wanted = min(size, self._inventory.kept)
        chosen = None
        while wanted and chosen is None:
            chosen = victims(wanted, self._inventory.candidates(), self.files)
            wanted //= 2
        try:
            return await self._evict(chosen or ())
        except DiskFailed as error:
            self._log.error("no space can be made: {error}", error=error)
            return False

    async def _evict(self, object_ids: Iterable[str]) -> bool:
        leaving = self._take(object_ids)
        await self._delete(leaving)
        return bool(leaving)

    # Filling.

    async def allocate(self, object: DataObject) -> Allocation:
        """
        Reserve the space of a whole object and open its file: one to go on with, where there is such, or a fresh one.

        What is evicted for it: unverified files, then what was least recently wanted; never what is being read, as that
        would not make room at once, nor what is being filled. Not to be cancelled.

        @raise NoRoom: it does not fit, even so; nothing has been evicted.
        @raise DiskFailed: the file cannot be opened, or what should be evicted cannot be deleted.
        @raise RuntimeError: the object has an allocation already, or is complete.
        """
        object_id = object.id
        if object_id in self._allocated:
            raise RuntimeError(f"object {object_id} has an allocation already")
        self._allocated.add(object_id)
        try:
            await self._departure(object_id)
            if self.get(object_id) is not None:
                raise RuntimeError(f"object {object_id} is complete")
            return await self._allocate(object)
        except BaseException:
            self._allocated.discard(object_id)
            raise

    async def _departure(self, object_id: str) -> None:
        """
        Wait until no file of this id is being deleted: the one that comes has the same path.
        """
        while object_id in self._leaving:
            gone: Deferred[None] = Deferred()
            self._leaving[object_id].append(gone)
            await gone

    async def _allocate(self, object: DataObject) -> Allocation:
        # No await before everything is claimed: another allocation may want the same bytes.
        previous = self._inventory.take(object.id)
        try:
            leaving = self._spare(object.size)
        except NoRoom:
            if previous is not None:
                self._inventory.keep(object.id, previous)
            raise
        if previous is not None and not _goes_on(previous, object):
            self._inventory.leave(previous.occupied)
            leaving[object.id] = previous
            previous = None
        written = previous.occupied if previous is not None else 0
        self._inventory.reserve(object.size, written)
        try:
            await self._delete(leaving)
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
            file = self.files.get(object.id)
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
        return self.files.add(object.id, fd), extents

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
