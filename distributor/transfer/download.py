"""
The filling of one object's file, shared by all who read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from distributor.cache import Allocation, Store
from distributor.model import (
    ByteRange,
    CacheState,
    ContentMismatch,
    DiskFailed,
    DistributorError,
    InThread,
    Listing,
    NoRoom,
    Overloaded,
)
from distributor.observe import Sparse
from distributor.sources import StorageNodes
from distributor.transfer.extents import Extents
from distributor.transfer.filling import Filling
from distributor.transfer.plan import Reading
from distributor.transfer.progress import Progress
from distributor.transfer.reader import DownloadReader, Waiters
from distributor.transfer.records import Records


class State(Enum):
    """
    Each state goes only to one below it.
    """

    QUEUED = "queued"
    FILLING = "filling"
    VERIFIED = "verified"
    ENDED = "ended"


class Download:
    """
    Owns the filling and the allocation of one object, from the first reader to the store; and tells readers.

    @ivar error: why no more bytes will come.
    """

    _log = Logger()

    def __init__(
        self,
        listing: Listing,
        store: Store,
        nodes: StorageNodes,
        clock: IReactorTime,
        in_thread: InThread,
        trouble: Sparse,
        patience_s: float,
    ) -> None:
        """
        @param trouble: where a failing disk is told of.
        @param patience_s: for how long storage nodes are tried again in the middle of an object.
        """
        self.listing = listing
        self.object = listing.object
        self._store = store
        self._nodes = nodes
        self._clock = clock
        self._in_thread = in_thread
        self._trouble = trouble
        self._patience_s = patience_s
        self._state = State.QUEUED
        self._filling: Filling | None = None
        self._allocation: Allocation | None = None
        self._filled: Deferred[None] = Deferred()
        self._waiters = Waiters(
            clock,
            lambda reader, offset: self.ready(offset, begun=reader.begun),
            lambda reader: reader.error or self.error,
        )
        self._readers: dict[DownloadReader, None] = {}
        self._readers_at_the_end = 0
        self._records: Records | None = None
        self.size = listing.object.size
        self.error: DistributorError | None = None

    def __repr__(self) -> str:
        return f"<Download {self._state.value} {self.object.id} {len(self.extents)}/{self.object.size}>"

    # What readers see.

    @property
    def extents(self) -> Extents:
        """
        What is in the file.
        """
        if self._filling is not None:
            return self._filling.extents
        return Extents(self._allocation.extents) if self._allocation is not None else Extents()

    @property
    def cache_state(self) -> CacheState:
        """
        C{PENDING}, until the whole is on disk and its hash has been found right.
        """
        return CacheState.HIT if self._state is State.VERIFIED else CacheState.PENDING

    @property
    def media_type(self) -> str | None:
        """
        What the first bytes tell; as long as they are not there, what the catalogue says, if it does.
        """
        sniffed = self._filling.media_type if self._filling is not None else None
        return sniffed or self.object.type

    def available(self, offset: int) -> int:
        """
        How many bytes can be read at C{offset} without a gap. The last byte of the object is there only once the hash
        of the whole has been found right.
        """
        if self._filling is None or self._filling.replacing or isinstance(self.error, ContentMismatch):
            return 0
        stop = self._filling.extents.stop_at(offset)
        if self._state is not State.VERIFIED:
            stop = min(stop, self.size - 1)
        return max(0, stop - offset)

    def early(self, offset: int, length: int) -> bytes:
        """
        Up to C{length} bytes at C{offset} that are not in the file yet, but have come; never the last of the object.
        """
        if self._filling is None or self._state is not State.FILLING:
            return b""
        return self._filling.early(offset, min(length, self.size - 1 - offset))

    def wait(self, reader: DownloadReader, offset: int) -> Deferred[None]:
        """
        Fires when there is something to read at C{offset}, or something for a reader who has had nothing, and the media
        type is known; at the end of the object, when the whole of it has been verified.
        """
        waiting = self._waiters.wait(reader, offset)
        # Of one who has come and had nothing, the filling has been told.
        if self._filling is not None and not waiting.called and reader.begun:
            self._filling.readers_changed()
        return waiting

    def ready(self, offset: int, *, begun: bool = False) -> bool:
        """
        Whether L{wait} would have nothing to wait for.

        @param begun: the reader has been given something already.
        """
        if self._filling is None:
            return False
        if self._filling.media_type is None and (self.object.type is None or self._filling.head_comes):
            return False
        if self.available(offset) > 0 or (offset >= self.size and self._state is State.VERIFIED):
            return True
        return not begun and self.early(offset, 1) != b""

    def reader(self, ranges: Sequence[ByteRange] | None = None) -> DownloadReader:
        """
        One more reader.

        @param ranges: what it is going to read; by default all.
        """
        if ranges is None:
            ranges = (ByteRange(0, self.size),) if self.size else ()
        reader = DownloadReader(self, ranges)
        self._readers[reader] = None
        if self._allocation is not None:
            reader.attach(self._allocation.file)
        if self._filling is not None:
            reader.external = self._state is State.FILLING and self._filling.begins_with_a_seek(reader.offset)
            self._filling.readers_changed(seeks=reader.external)
        return reader

    def reader_left(self, reader: DownloadReader) -> None:
        """
        The download goes on all the same, but has one less to please.
        """
        del self._readers[reader]
        if self._filling is not None:
            self._filling.readers_changed()

    @property
    def reader_count(self) -> int:
        """
        How many read it, or wait to.
        """
        return len(self._readers)

    def note_readers(self) -> None:
        """
        Nothing more will come for those who read it now, and they are about to leave: after the next start, it is to be
        gone on with for their sake.
        """
        self._readers_at_the_end = max(self._readers_at_the_end, len(self._readers))

    def progress(self) -> Progress:
        """
        How far it is.
        """
        present = len(self.extents)
        rate = self._filling.rate if self._filling is not None else 0.0
        return Progress(
            id=self.object.id,
            state="replacing" if self._filling is not None and self._filling.replacing else self._state.value,
            size=self.size,
            present=present,
            rate=rate,
            readers=len(self._readers),
            sources=self._filling.sources if self._filling is not None else (),
            seconds_left=(self.size - present) / rate if rate else None,
        )

    # The life of a download, step by step.

    async def run(self) -> None:
        """
        From a place in the store to its end, however that comes. What goes wrong on the way is told to the readers.
        """
        allocation = None
        if self.error is None:
            try:
                if self.size and self._store.has_room_for_new(self.object):
                    # The network need not wait until a disk has made a file.
                    self._fill(Extents(), None)
                allocation = await self._store.allocate(self.object)
            except (NoRoom, DiskFailed) as error:
                self._fail(error)
            except BaseException:
                await self._settle()
                raise
            else:
                self._begin(allocation)
        try:
            await self._filled
        except DistributorError as error:
            await self._settle()
            if allocation is not None:
                await self._leave(allocation, error)
        else:
            assert allocation is not None
            await self._settle()
            await self._keep(allocation)

    def _begin(self, allocation: Allocation) -> None:
        """
        There is a file.
        """
        self._allocation = allocation
        self._records = Records(
            allocation, self._clock, lambda: self.extents, lambda: len(self._readers), self.progressed, self._fail
        )
        for reader in self._readers:
            reader.attach(allocation.file)
        if self._filling is not None:
            self._filling.open(allocation.fd)
        elif self._state is State.QUEUED:
            self._fill(Extents(allocation.extents), allocation.fd)

    def _fill(self, there: Extents, fd: int | None) -> None:
        self._state = State.FILLING
        self._filling = Filling(
            self.listing,
            there,
            fd,
            self._nodes,
            self._clock,
            self._in_thread,
            self._store.make_space,
            self._patience_s,
            self,
        )
        for reader in self._readers:
            reader.external = self._filling.begins_with_a_seek(reader.offset)
        self._filling.start()

    async def _settle(self) -> None:
        """
        Wait until nothing uses the file any more but readers.
        """
        if self._filling is not None:
            await self._filling.close()
        if self._records is not None:
            await self._records.close()

    async def _keep(self, allocation: Allocation) -> None:
        try:
            await allocation.commit(self._filling.media_type if self._filling is not None else None)
        except DiskFailed as error:
            self._trouble.error("object {id} cannot be kept: {error}", id=self.object.id, error=error)
            await self._leave(allocation, error)

    async def _leave(self, allocation: Allocation, error: DistributorError) -> None:
        try:
            if isinstance(error, (ContentMismatch, DiskFailed)):
                await allocation.discard()
            else:
                await allocation.suspend(self.extents.runs, self._readers_at_the_end)
        except DiskFailed as another:
            self._trouble.error("the file of object {id} cannot be put away: {error}", id=self.object.id, error=another)

    def stop(self) -> None:
        """
        Leave off: what has arrived is kept for another time.
        """
        self._fail(Overloaded("shutting down"))

    def abandon(self, error: DistributorError) -> None:
        """
        Something has gone wrong that nobody has thought of, and L{run} is over: tell the readers at least.
        """
        self._filled.addErrback(lambda _: None)
        self._fail(error)

    def _fail(self, error: DistributorError) -> None:
        if self._state in (State.VERIFIED, State.ENDED):
            return
        if self._filling is not None and self._filling.replacing:
            # Nothing in the file is known to be right.
            error = ContentMismatch(f"object {self.object.id} does not have its hash")
        self._state = State.ENDED
        self.error = error
        self.note_readers()
        if isinstance(error, (NoRoom, DiskFailed)):
            self._trouble.error("object {id} is passed through: {error}", id=self.object.id, error=error)
        else:
            self._log.warn("download of object {id} left off: {error}", id=self.object.id, error=error)
        self._waiters.wake()
        self._filled.errback(error)

    # What the filling tells, and asks.

    @property
    def is_read(self) -> bool:
        """
        Whether there is a reader who wants anything: a prefetch does not.
        """
        return any(reader.wants_anything for reader in self._readers)

    def readings(self) -> list[Reading]:
        """
        What readers want, those who came first first.
        """
        readings = (reader.reading for reader in self._readers)
        return list(dict.fromkeys(reading for reading in readings if reading is not None))

    def arrived(self) -> None:
        """
        More has come that is not in the file yet.
        """
        self._waiters.wake_beginners()

    def progressed(self) -> None:
        """
        More is in the file, or more is known of it.
        """
        if self._state is State.FILLING:
            if self._records is not None and self._filling is not None and not self._filling.replacing:
                self._records.progressed()
            self._waiters.wake()

    def verified(self, differences: Extents) -> None:
        """
        The file is the object.
        """
        if self._state is not State.FILLING:
            return
        assert self._allocation is not None
        self._allocation.grew(self.size)
        for reader in self._readers:
            if reader.may_have_read.overlaps(differences):
                reader.fail(ContentMismatch(f"object {self.object.id}: bytes that were sent were wrong"))
        self._state = State.VERIFIED
        self._waiters.wake()
        self._filled.callback(None)

    def failed(self, error: DistributorError) -> None:
        """
        The object cannot be had.
        """
        self._fail(error)
