"""
The store: which objects are on disk, and who may write the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from distributor.cache.allocation import Allocation, Parts
from distributor.cache.allocator import Allocator
from distributor.cache.argus import ArgusState
from distributor.cache.contents import Contents, Facts, FactState
from distributor.cache.departures import Departures, Eviction
from distributor.cache.disk import Disk
from distributor.cache.index import Index
from distributor.cache.inventory import Inventory
from distributor.cache.items import Entry
from distributor.cache.ledger import Ledger
from distributor.cache.open_file import MOST_SPARE, OpenFiles, StoredReader
from distributor.cache.survey import Survey
from distributor.cache.unverified import UnverifiedFiles
from distributor.model import DataObject, Fault, InThread, IReader, NoRoom


class Store:
    """
    Complete and unfinished objects on disk. The index is read whole by L{start}; L{get} then costs a look into memory.
    What changes files waits until all of them have been looked at, after L{start} has returned.

    Of an id there is at any time one at most: a complete object, an unfinished one, an unverified file, an allocation.

    @ivar files: those that are open.
    """

    _log = Logger()

    def __init__(
        self,
        assets: Path,
        index: Index,
        capacity: int,
        in_thread: InThread,
        seconds: Callable[[], float],
        argus: ArgusState | None = None,
        settled: Callable[[], object] = lambda: None,
        made_room: Callable[[int], object] = lambda size: None,
    ) -> None:
        """
        @param capacity: how many bytes the files may take.
        @param in_thread: for everything but the index.
        @param seconds: the time, in seconds since 1970.
        @param argus: where Argus keeps, and expects, what it knows of the files.
        @param settled: is called now and then during a start, when much has come that is going to stay. C{gc.freeze}
            keeps the garbage collector from going through it all, which holds everything up for a tenth of a second.
        @param made_room: is told of the bytes of each object that has been deleted to make room.
        """
        self._index = index
        disk = Disk(assets, in_thread)
        self._parts = Parts(disk, OpenFiles(disk, MOST_SPARE), Inventory(capacity), Ledger(index), seconds)
        self.files = self._parts.files
        self._inventory = self._parts.inventory
        self._ledger = self._parts.ledger
        self._seconds = seconds
        self._departures = Departures(self._parts, made_room)
        self._survey = Survey(self._parts, self._departures, index, argus, in_thread, settled)
        self._allocator = Allocator(self._parts, self._departures)
        self._unverified = UnverifiedFiles(self._parts)
        self._contents = Contents(self._parts, index, argus, in_thread)

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
        Read the index. What it says can be served from then on; the files are looked at meanwhile.

        @raise DiskFailed: it, or the directory, cannot be read.
        @raise DistributorError: the index is of an unknown version.
        """
        await self._index.open()
        await self._survey.load()
        self._survey.begin()

    def surveyed(self) -> Deferred[None]:
        """
        Fires when all files have been looked at and put in order: L{unverified} is known, and what had to wait goes on.
        May be cancelled.
        """
        return self._survey.over()

    def leave_off(self) -> None:
        """
        The node is about to stop: do not look at files any more. Nothing can be allocated after that.
        """
        self._survey.leave_off()

    async def stop(self) -> None:
        """
        Save access marks, and close the index.
        """
        self.leave_off()
        await self.surveyed()
        await self.flush()
        self.files.close_spare()
        await self._index.close()

    # Complete objects.

    def get(self, object_id: str) -> Entry | None:
        """
        A complete and verified object.
        """
        return self._inventory.get(object_id)

    def known_type(self, object_id: str) -> str | None:
        """
        The media type of what there is of an object, whether it has been verified or not; if it is known.
        """
        item = self._inventory.items.get(object_id)
        return item.type if item is not None else None

    def complete(self) -> list[str]:
        """
        The ids of all complete objects.
        """
        return self._inventory.complete()

    def object_ids(self) -> list[str]:
        """
        The ids of all there is, whole or not, verified or not.
        """
        return list(self._inventory.items)

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
        now = self._seconds()
        if self._inventory.touch(object_id, now):
            self._ledger.touch(object_id, now, times)

    # What there is, for people and for Argus.

    async def facts(self, object_id: str) -> Facts | None:
        """
        What there is of an object; L{None} for nothing.

        @raise DiskFailed: the index refuses.
        """
        return await self._contents.facts(object_id)

    async def page(
        self, after: str | None, limit: int, states: Collection[FactState] = ("complete", "partial", "unverified")
    ) -> list[Facts]:
        """
        Objects in the order of the numbers that their ids are.

        @param after: the last id of the page before.
        @param limit: how many at most; fewer are the last.
        @raise DiskFailed: the index refuses.
        """
        return await self._contents.page(after, limit, states)

    def last_eviction(self, object_id: str) -> Eviction | None:
        """
        When and why an object was deleted the last time, if that is still known.
        """
        return self._departures.last(object_id)

    async def save_for_argus(self, *, due: bool = False) -> bool:
        """
        Write a C{cache.json} of all complete files, unless nothing has changed since the last time. To be done before
        L{stop}.

        @param due: write it only if the last time is long ago, compared to what it took.
        @return: whether it has been written. It is not before all files are known, and what the file that is there
            says of them: Argus deletes what is not in its list.
        @raise DiskFailed: it cannot be; what is there stays.
        """
        return self._survey.finished and await self._contents.save(due=due)

    # Evidence.

    def record_fault(self, fault: Fault) -> None:
        """
        Keep evidence against a storage node. It is in the index after the next L{flush}.
        """
        self._ledger.record_fault(fault)

    async def faults(self, limit: int) -> list[Fault]:
        """
        The newest faults, the newest first.

        @raise DiskFailed: the index refuses.
        """
        return await self._ledger.faults(limit)

    async def flush(self) -> None:
        """
        Write access marks and evidence to the index. Never fails: what cannot be written now is with the next.
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
                removed = Deferred.fromCoroutine(self._lose(object_id, entry))
                removed.addErrback(lambda failure: self._log.failure("removing object {id}", failure, id=object_id))
            raise

    # Files that nobody has verified.

    async def open_unverified(self, object_id: str) -> IReader:
        """
        Open an unverified file, to verify it where it is.

        @raise DiskFailed: it cannot be opened, or has vanished.
        """
        return await self._unverified.open(object_id)

    async def confirm(self, object: DataObject, type: str | None) -> bool:
        """
        An unverified file has been found to be C{object}: it is complete from now on.

        @param type: the media type, if it is known.
        @return: whether it is; not so if it has been adopted, or evicted, meanwhile.
        """
        return await self._unverified.confirm(object, type)

    def complete_files(self) -> list[str]:
        """
        The ids of complete files, verified or not.
        """
        return self._inventory.complete_files()

    def occupied(self, object_ids: Iterable[str]) -> int:
        """
        The bytes of those of C{object_ids} that are there. There may be many: it may be called in a thread.
        """
        return self._inventory.occupied(object_ids)

    # What goes.

    async def _lose(self, object_id: str, entry: Entry) -> None:
        await self._survey.looked()
        if self._inventory.get(object_id) is entry:
            await self._departures.evict([object_id], "its file was lost")

    async def remove(self, object_id: str, reason: str = "by request") -> bool:
        """
        Delete what there is of an object, unless it is being filled. Not to be cancelled.

        @param reason: in words, for L{last_eviction}.
        @return: whether there was anything.
        @raise DiskFailed: it cannot be deleted, and is still there.
        """
        await self._survey.looked()
        return await self._departures.evict([object_id], reason)

    async def make_space(self, size: int) -> bool:
        """
        The disk is full, whatever the books say: evict as much as C{size} bytes, or as there is.

        @return: whether anything has been evicted.
        """
        return await self._in_order() and await self._departures.make_space(size)

    async def _in_order(self) -> bool:
        """
        Wait until it is known what goes first; that is not so on a node that has been stopped before.
        """
        await self.surveyed()
        return self._survey.finished or not self._survey.left_off

    # What other nodes distribute.

    def disown(self, object_ids: Iterable[str]) -> None:
        """
        Other nodes distribute C{object_ids} by now: what there is of them is the first to be evicted. Those of which
        there is nothing are no matter.
        """
        items = self._inventory.items
        self._inventory.disown(each for each in object_ids if each in items or each in self._allocator)

    def own(self, object_ids: Iterable[str]) -> None:
        """
        They are this node's after all.
        """
        self._inventory.own(object_ids)

    async def clean_up(self, limit: int) -> int:
        """
        Delete some of what has been disowned, and nobody reads. Files that have not been verified stay until their
        space is needed. Not to be cancelled.

        @return: how many have been deleted, C{limit} at most.
        @raise DiskFailed: some could not be deleted, and are still there.
        """
        await self.surveyed()
        return await self._departures.clean_up(limit)

    # Filling.

    def has_room_for_new(self, object: DataObject) -> bool:
        """
        Whether there is nothing yet of an object, and nothing has to go for it: L{allocate} has only to make a file.
        """
        there = object.id in self._inventory.items or object.id in self._allocator
        return self._survey.complete and not there and object.size <= self._inventory.room

    async def allocate(self, object: DataObject) -> Allocation:
        """
        Reserve the space of a whole object and open its file: one to go on with, where there is such, or a fresh one.

        What is evicted for it: what other nodes distribute, then what was least recently wanted, verified or not; never
        what is being read, as that would not make room at once, nor what is being filled. Not to be cancelled.

        @raise NoRoom: it does not fit, even so; nothing has been evicted.
        @raise DiskFailed: the file cannot be opened, or what should be evicted cannot be deleted.
        @raise RuntimeError: the object has an allocation already, or is complete.
        """
        await self._survey.looked()
        if not self._survey.complete:
            raise NoRoom("not all files have been looked at")
        if object.size > self._inventory.room and not await self._in_order():
            raise NoRoom("it is not known what should go for it")
        return await self._allocator.allocate(object)
