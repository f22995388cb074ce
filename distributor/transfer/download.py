"""
The filling of one object's file, shared by all who read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from attrs import frozen
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from distributor.cache import Allocation, OpenFile, Store
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
    SourcesFailed,
    StorageNode,
)
from distributor.observe import Sparse
from distributor.sources import StorageNodes
from distributor.transfer.copies import Copies
from distributor.transfer.disk_writer import READ_BACK, DiskWriter, Filler
from distributor.transfer.extents import Extents
from distributor.transfer.fetch import Fetch
from distributor.transfer.media_type import SNIFFED, media_type
from distributor.transfer.plan import Reading
from distributor.transfer.reader import DownloadReader, Waiters

#: Bytes that wait for the disk: above the first, segments are held; below the second, they go on. A few MiB keep a disk
#: busy, and are all the memory that a download takes, however fast its storage nodes are.
HIGH_WATER = 4 * 1024 * 1024
LOW_WATER = 1024 * 1024

#: How far the index may be behind the file, so that a node which was killed fetches little again.
RECORD_EVERY_BYTES = 64 * 1024 * 1024
RECORD_EVERY_S = 5.0

_MIB = 1024 * 1024

#: How fast a file that nobody waits for is verified, in bytes per second: a terabyte in five hours, and half of what an
#: old disk gives is left for viewers.
UNATTENDED_RATE = 64 * 1024 * 1024


class State(Enum):
    """
    Each state goes only to one below it, but that what is C{CHECKED} again may be found wrong again.
    """

    QUEUED = "queued"
    #: A copy comes, and readers have what is there of it.
    FILLING = "filling"
    #: A copy was wrong, another one comes, and readers wait.
    REPLACING = "replacing"
    VERIFIED = "verified"
    ENDED = "ended"


@frozen(kw_only=True, str=False)
class Progress:
    """
    How far a download is.

    @ivar present: bytes in the file.
    @ivar rate: bytes per second, lately.
    @ivar sources: the storage nodes that bring it at present.
    @ivar seconds_left: at this rate; L{None} if nothing comes.
    """

    id: str
    state: str
    size: int
    present: int
    rate: float
    readers: int
    sources: tuple[str, ...]
    seconds_left: float | None

    def __str__(self) -> str:
        percent = 100 * self.present // self.size if self.size else 100
        left = "" if self.seconds_left is None else f", {self.seconds_left:.0f} s left"
        return (
            f"object {self.id} {self.state}: {percent} % of {self.size / _MIB:.1f} MiB at {self.rate / _MIB:.1f} MiB/s"
            f"{left}; {self.readers} readers, {len(self.sources)} storage nodes"
        )


class Download:
    """
    Owns what brings one object, the disk writer and the allocation, from the first reader to the store.

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
        self._fetch: Fetch | None = None
        self._copies = Copies(listing.storage_nodes)
        self._writer: DiskWriter | None = None
        self._filler: Filler | None = None
        self._file: OpenFile | None = None
        self._filled: Deferred[None] = Deferred()
        self._waiters = Waiters(clock, self._ready, lambda reader: reader.error or self.error)
        self._readers: dict[DownloadReader, None] = {}
        self._source_type: str | None = None
        self._sniffed_type: str | None = None
        self._next_read_back: IDelayedCall | None = None
        self._recording = DeferredLock()
        self._recorded_bytes = 0
        self._recorded_at = clock.seconds()
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
        return self._writer.extents if self._writer is not None else Extents()

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
        return self._sniffed_type or self.object.type

    def available(self, offset: int) -> int:
        """
        How many bytes can be read at C{offset} without a gap. The last byte of the object is there only once the hash
        of the whole has been found right.
        """
        if self._state is State.REPLACING or isinstance(self.error, ContentMismatch):
            return 0
        stop = self.extents.stop_at(offset)
        if self._state is not State.VERIFIED:
            stop = min(stop, self.size - 1)
        return max(0, stop - offset)

    def wait(self, reader: DownloadReader, offset: int) -> Deferred[None]:
        """
        Fires when there is something to read at C{offset}, and the media type is known; at the end of the object, when
        the whole of it has been verified.
        """
        waiting = self._waiters.wait(reader, offset)
        if self._fetch is not None and not waiting.called:
            self._fetch.plan_soon()
        return waiting

    def _ready(self, offset: int) -> bool:
        if self._sniffed_type is None and (self.object.type is None or self._head_comes()):
            return False
        return self.available(offset) > 0 or (offset >= self.size and self._state is State.VERIFIED)

    def _head_comes(self) -> bool:
        """
        Whether the first bytes, which tell the media type, are here or on their way.
        """
        assert self._fetch is not None
        there = self._fetch.arrived.stop_at(0)
        return there >= min(SNIFFED, self.size) or self._fetch.brings(there)

    def reader(self, ranges: Sequence[ByteRange] | None = None) -> DownloadReader:
        """
        One more reader.

        @param ranges: what it is going to read; by default all.
        """
        if ranges is None:
            ranges = (ByteRange(0, self.size),) if self.size else ()
        reader = DownloadReader(self, ranges)
        self._readers[reader] = None
        self._place(reader)
        return reader

    def _place(self, reader: DownloadReader) -> None:
        """
        Give a reader the file, and see to what it wants, as soon as there is one.
        """
        if self._file is None or self._fetch is None:
            return
        reader.attach(self._file)
        # It may have to be verified first, and that was nobody's concern before.
        if self._writer is not None:
            self._writer.run()
        reader.external = self._state is State.FILLING and self._fetch.begins_with_a_seek(reader.offset)
        self._fetch.plan_soon()

    @property
    def reader_count(self) -> int:
        """
        How many read it, or wait to.
        """
        return len(self._readers)

    def progress(self) -> Progress:
        """
        How far it is.
        """
        present = len(self.extents)
        segments = list(self._fetch.segments.values()) if self._fetch is not None else []
        rate = sum(segment.rate or 0.0 for segment in segments)
        return Progress(
            id=self.object.id,
            state=self._state.value,
            size=self.size,
            present=present,
            rate=rate,
            readers=len(self._readers),
            sources=tuple(dict.fromkeys(segment.node.endpoint for segment in segments)),
            seconds_left=(self.size - present) / rate if rate else None,
        )

    def reader_left(self, reader: DownloadReader) -> None:
        """
        The download goes on all the same, but has one less to please.
        """
        del self._readers[reader]
        if self._fetch is not None:
            self._fetch.plan_soon()

    # The life of a download, step by step.

    async def run(self) -> None:
        """
        From a place in the store to its end, however that comes. What goes wrong on the way is told to the readers.
        """
        allocation = None
        if self.error is None:
            try:
                allocation = await self._store.allocate(self.object)
            except (NoRoom, DiskFailed) as error:
                self._fail(error)
            else:
                self._begin(allocation)
        try:
            await self._filled
        except DistributorError as error:
            if allocation is not None:
                await self._settle()
                await self._leave(allocation, error)
        else:
            assert allocation is not None
            await self._settle()
            await self._keep(allocation)

    def _begin(self, allocation: Allocation) -> None:
        self._allocation = allocation
        there = Extents(allocation.extents)
        self._recorded_bytes = len(there)
        self._filler = Filler(allocation.fd, self.size, self.object.content_hash.hasher())
        self._writer = DiskWriter(
            self._filler, there, self._in_thread, self._progressed, self._fail, self._store.make_space
        )
        self._fetch = self._fetch_from(self.listing.storage_nodes, there)
        self._file = allocation.file
        if self._state is State.QUEUED:
            self._state = State.FILLING
            for reader in self._readers:
                self._place(reader)
            # A file that was adopted or resumed has a prefix to hash before anything comes.
            self._progressed()

    def _fetch_from(self, sources: Sequence[StorageNode], there: Extents) -> Fetch:
        return Fetch(self.object, sources, self._nodes, self._clock, there, self, self._patience_s)

    async def _settle(self) -> None:
        """
        Wait until nothing uses the file any more but readers.
        """
        assert self._writer is not None and self._fetch is not None
        self._fetch.stop()
        if self._next_read_back is not None:
            self._next_read_back.cancel()
        await self._writer.close()
        await self._recording.acquire()

    async def _keep(self, allocation: Allocation) -> None:
        try:
            await allocation.commit(self._sniffed_type)
        except DiskFailed as error:
            self._trouble.error("object {id} cannot be kept: {error}", id=self.object.id, error=error)
            await self._leave(allocation, error)

    async def _leave(self, allocation: Allocation, error: DistributorError) -> None:
        try:
            if isinstance(error, (ContentMismatch, DiskFailed)):
                await allocation.discard()
            else:
                await allocation.suspend(self.extents.runs, len(self._readers))
        except DiskFailed as another:
            self._trouble.error("the file of object {id} cannot be put away: {error}", id=self.object.id, error=another)

    def stop(self) -> None:
        """
        Leave off: what has arrived is kept for another time.
        """
        self._fail(Overloaded("shutting down"))

    def _fail(self, error: DistributorError) -> None:
        if self._state in (State.VERIFIED, State.ENDED):
            return
        if self._state is State.REPLACING:
            # Nothing in the file is known to be right.
            error = ContentMismatch(f"object {self.object.id} does not have its hash")
        self._state = State.ENDED
        self.error = error
        if isinstance(error, (NoRoom, DiskFailed)):
            self._trouble.error("object {id} is passed through: {error}", id=self.object.id, error=error)
        else:
            self._log.warn("download of object {id} left off: {error}", id=self.object.id, error=error)
        self._waiters.wake()
        self._filled.errback(error)

    # What comes, and what follows from it.

    def readings(self) -> list[Reading]:
        """
        What readers want; whatever is wanted of a copy that replaces another is its beginning.
        """
        if self._state is not State.FILLING:
            return []
        wanted = dict.fromkeys(reading for reader in self._readers if (reading := reader.reading) is not None)
        if wanted and self._sniffed_type is None and self.object.type is None:
            # They need the first bytes, too.
            wanted[Reading(0, min(SNIFFED, self.size))] = None
        return list(wanted)

    def answered(self, type: str | None) -> None:
        """
        A storage node says so of the media type.
        """
        self._source_type = self._source_type or type

    def received(self, offset: int, data: bytes) -> None:
        """
        Bytes that were missing have come.
        """
        assert self._writer is not None and self._fetch is not None
        self._writer.write(offset, data)
        if self._writer.queued > HIGH_WATER:
            self._fetch.hold()

    def fetch_failed(self, error: SourcesFailed) -> None:
        """
        No storage node goes on.
        """
        if self._state is State.REPLACING:
            self._replace()
        else:
            self._fail(error)

    def _progressed(self) -> None:
        """
        More is in the file, or more of it has been hashed.
        """
        if self._state not in (State.FILLING, State.REPLACING):
            return
        assert self._writer is not None and self._filler is not None and self._fetch is not None
        if self._state is State.FILLING:
            self._allocation.grew(len(self.extents))
        if self._writer.queued <= LOW_WATER:
            self._fetch.release()
        if self._sniffed_type is None and self._filler.head is not None:
            self._sniffed_type = media_type(self._filler.head, self.object.type, self._source_type)
        if self._writer.hashed == self.size:
            self._check(self._filler.digest())
        else:
            self._read_back()
            self._record()
            self._fetch.plan_soon()
        self._waiters.wake()

    def _read_back(self) -> None:
        """
        Hash what is in the file and has not been hashed when it came; for nobody, only so fast.
        """
        assert self._writer is not None and self._fetch is not None
        if self._readers or len(self._fetch.arrived) < self.size:
            self._writer.run()
        elif self._next_read_back is None:
            self._next_read_back = self._clock.callLater(READ_BACK / UNATTENDED_RATE, self._read_back_now)

    def _read_back_now(self) -> None:
        self._next_read_back = None
        assert self._writer is not None
        self._writer.run()

    def _check(self, digest: bytes) -> None:
        assert self._filler is not None and self._fetch is not None
        if digest != self.object.content_hash.digest:
            self._replace()
            return
        if self._state is State.REPLACING:
            self._copies.tell_apart(self._filler.differences, self._blame)
            for reader in self._readers:
                if reader.may_have_read.overlaps(self._filler.differences):
                    reader.fail(ContentMismatch(f"object {self.object.id}: bytes that were sent were wrong"))
        self._state = State.VERIFIED
        self._filled.callback(None)

    def _replace(self) -> None:
        """
        What is in the file is wrong: have another copy, from one storage node alone.
        """
        assert self._writer is not None and self._fetch is not None
        self._fetch.stop()
        self._log.error(
            "object {id} does not have its hash {hash}; it came from {nodes}",
            id=self.object.id,
            hash=str(self.object.content_hash),
            nodes=", ".join(sorted({segment.node.endpoint for segment in self._fetch.history})) or "the disk",
        )
        # Of no bytes there is only one copy.
        source = self._copies.next(self._fetch.history, self._blame) if self.size else None
        if source is None:
            self._fail(ContentMismatch(f"object {self.object.id} does not have its hash"))
            return
        self._state = State.REPLACING
        self._sniffed_type = None
        self._writer.start_over(self.object.content_hash.hasher())
        self._fetch = self._fetch_from([source], Extents())
        self._fetch.plan_soon()

    def _blame(self, node: StorageNode) -> None:
        self._log.error(
            "storage node {node} gave wrong bytes of object {id}, {times} times by now",
            node=node.endpoint,
            id=self.object.id,
            times=self._nodes.lied(node),
        )

    def _record(self) -> None:
        """
        Let the index know what is in the file, now and then.
        """
        if self._state is not State.FILLING:
            return
        grown = len(self.extents) - self._recorded_bytes
        now = self._clock.seconds()
        due = grown >= RECORD_EVERY_BYTES or (grown and now - self._recorded_at >= RECORD_EVERY_S)
        if due and not self._recording.locked:
            self._recorded_bytes += grown
            self._recorded_at = now
            recorded = self._recording.run(
                Deferred.fromCoroutine, self._allocation.record(self.extents.runs, len(self._readers))
            )
            recorded.addErrback(
                lambda failure: self._log.failure("recording the extents of object {id}", failure, id=self.object.id)
            )
