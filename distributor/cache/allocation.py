"""
The place of an object that is being filled: its space, its file, and how it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from sys import intern

from attrs import frozen

from distributor.cache.database import Row, RowState, Run
from distributor.cache.disk import Disk
from distributor.cache.inventory import Inventory
from distributor.cache.items import Entry, Partial
from distributor.cache.ledger import Ledger
from distributor.cache.open_file import OpenFile, OpenFiles
from distributor.model import DataObject, DiskFailed


@frozen
class Parts:
    """
    What a store is made of.
    """

    disk: Disk
    files: OpenFiles
    inventory: Inventory
    ledger: Ledger
    seconds: Callable[[], float]


class State(Enum):
    """
    How far an allocation has come.
    """

    OPEN = "open"
    COMMITTING = "committing"
    COMMITTED = "committed"
    SUSPENDING = "suspending"
    SUSPENDED = "suspended"
    DISCARDING = "discarding"
    DISCARDED = "discarded"


class Event(Enum):
    """
    What is asked of an allocation, and how that turns out.
    """

    RECORD = "record"
    COMMIT = "commit"
    SUSPEND = "suspend"
    DISCARD = "discard"
    DONE = "done"
    FAILED = "failed"


#: What is not here is a mistake of the caller.
TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.OPEN, Event.RECORD): State.OPEN,
    (State.OPEN, Event.COMMIT): State.COMMITTING,
    (State.COMMITTING, Event.DONE): State.COMMITTED,
    # The file is where it was; what remains is to discard it.
    (State.COMMITTING, Event.FAILED): State.OPEN,
    (State.OPEN, Event.SUSPEND): State.SUSPENDING,
    (State.SUSPENDING, Event.DONE): State.SUSPENDED,
    # What may not be on the disk cannot be gone on from.
    (State.SUSPENDING, Event.FAILED): State.DISCARDING,
    (State.OPEN, Event.DISCARD): State.DISCARDING,
    (State.DISCARDING, Event.DONE): State.DISCARDED,
    # A suspension that failed has discarded already what its caller may discard for that very reason.
    (State.DISCARDED, Event.DISCARD): State.DISCARDED,
}


class Allocation:
    """
    Owned by the one who fills the file, who ends it by L{commit}, L{suspend} or L{discard}, and waits for that, without
    cancelling. After an end the other methods raise L{RuntimeError}.

    @ivar object: what is to be filled.
    @ivar extents: the runs that are in the file at the beginning; to be verified like all the rest.
    @ivar file: for readers, who may keep it for as long as they like.
    """

    def __init__(
        self,
        object: DataObject,
        extents: tuple[Run, ...],
        file: OpenFile,
        added_at: float,
        parts: Parts,
        ended: Callable[[str], None],
    ) -> None:
        """
        @param file: of which this is to be a user.
        @param ended: is told when the object may be allocated again.
        """
        self._added_at = added_at
        self._disk = parts.disk
        self._files = parts.files
        self._inventory = parts.inventory
        self._ledger = parts.ledger
        self._seconds = parts.seconds
        self._ended = ended
        self._state = State.OPEN
        self._lost: DiskFailed | None = None
        self._written = sum(stop - start for start, stop in extents)
        self.object = object
        self.extents = extents
        self.file = file

    def __repr__(self) -> str:
        return f"<Allocation {self._state.value} of object {self.object.id}>"

    @property
    def fd(self) -> int:
        """
        The descriptor of the file, for reading and writing at explicit offsets.
        """
        return self.file.fd

    def _go(self, event: Event) -> None:
        try:
            self._state = TRANSITIONS[self._state, event]
        except KeyError:
            raise RuntimeError(f"{self!r}: {event.value} makes no sense now") from None

    def grew(self, written: int) -> None:
        """
        Say how many bytes of the object are in the file by now. Without effect once the allocation is ending.
        """
        if not 0 <= written <= self.object.size:
            raise ValueError(f"{written} bytes of {self.object.size}")
        if self._state is State.OPEN:
            self._inventory.grew(written - self._written)
            self._written = written

    async def _sync(self) -> None:
        """
        Bring what has been written to the disk.
        """
        if self._lost is not None:
            raise self._lost
        # It must not be closed under the feet of the thread.
        self.file.acquire()
        try:
            await self._disk.sync(self.fd, self.object.id)
        except DiskFailed as error:
            # The kernel tells of pages that it has lost only once: the next fdatasync would succeed.
            self._lost = error
            raise
        finally:
            self.file.release()

    def _row(self, state: RowState, runs: Sequence[Run], type: str | None, readers: int = 0) -> Row:
        size, content_hash = self.object.size, str(self.object.content_hash)
        now = self._seconds()
        return Row(self.object.id, size, content_hash, type, state, tuple(runs), self._added_at, now, readers)

    async def record(self, runs: Sequence[Run], readers: int = 0) -> None:
        """
        Let a node that is killed go on from C{runs}, which have been written.

        @param readers: how many wait for the rest.
        @raise DiskFailed: they cannot be brought to the disk. The allocation can only be discarded then.
        """
        self._go(Event.RECORD)
        await self._sync()
        # A row that comes after the end would undo it.
        if self._state is State.OPEN:
            await self._ledger.put(self._row("partial", runs, self.object.type, readers))

    async def commit(self, type: str | None) -> Entry:
        """
        The file is whole, and its hash has been verified: it becomes part of the store.

        The order is: bytes, name, row. A node killed before the name has an unfinished file; killed before the row, a
        complete file of which nothing is known, and which is verified again. A row that came before the name could not
        make it serve a wrong byte either, but would cost the file. No C{fsync} of the directory: where a power failure
        takes back the name and not the row, the row has no file, and is dropped.

        @param type: the media type, if it is known.
        @raise DiskFailed: the file cannot be kept. The allocation can only be discarded then.
        """
        self._go(Event.COMMIT)
        try:
            if self._lost is not None:
                raise self._lost
            await self._disk.finish(self.fd, self.object.id, self.object.size)
        except DiskFailed as error:
            self._lost = error
            self._go(Event.FAILED)
            raise
        row = self._row("complete", (), type)
        entry = Entry(row.size, row.content_hash, intern(type) if type is not None else None, row.last_access)
        self._inventory.release(self.object.size, self._written)
        self._inventory.keep(self.object.id, entry)
        # When the index refuses, the object is there all the same, until the node ends.
        await self._ledger.put(row)
        self._end()
        return entry

    async def suspend(self, runs: Sequence[Run], readers: int = 0) -> None:
        """
        Leave off for now. The file is kept, to go on from C{runs} another time, unless its space is needed; without
        runs there is nothing to keep.

        @param readers: how many wait for the rest.
        @raise DiskFailed: they cannot be brought to the disk; the file has been discarded.
        """
        if not runs:
            await self.discard()
            return
        self._go(Event.SUSPEND)
        try:
            await self._sync()
        except DiskFailed:
            self._go(Event.FAILED)
            await self._discard()
            raise
        row = self._row("partial", runs, self.object.type, readers)
        partial = Partial(
            row.size,
            row.content_hash,
            row.type,
            row.extents,
            row.added_at,
            readers=readers,
            last_access=row.last_access,
        )
        self._inventory.release(self.object.size, self._written)
        self._inventory.keep(self.object.id, partial)
        await self._ledger.put(row)
        self._end()

    async def discard(self) -> None:
        """
        Give the space back, as soon as the last reader has closed the file.

        @raise DiskFailed: the file cannot be deleted. The allocation has ended all the same; the file is counted, and
            deleting it is tried again when the space, or the object, is wanted.
        """
        if self._state is State.DISCARDED:
            return
        self._go(Event.DISCARD)
        await self._discard()

    async def _discard(self) -> None:
        object_id, written = self.object.id, self._written
        try:
            failed = await self._disk.unlink_partial([object_id])
            error = failed.get(object_id)
            if error is not None:
                raise DiskFailed(f"deleting object {object_id}: {error.strerror}") from error
        except DiskFailed:
            useless = Partial(self.object.size, str(self.object.content_hash), None, (), self._added_at, written)
            self._inventory.release(self.object.size, written)
            self._inventory.keep(object_id, useless)
            self._end()
            raise
        self._files.forget(object_id)
        self._inventory.release(self.object.size, written)
        self._inventory.hold(written)
        self.file.unused.addCallback(lambda _: self._inventory.hold(-written))
        await self._ledger.delete([object_id])
        self._end()

    def _end(self) -> None:
        self._go(Event.DONE)
        self._ended(self.object.id)
        self.file.release()
