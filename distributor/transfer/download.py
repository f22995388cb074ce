"""
The filling of one object's file, shared by all who read it.
"""

from __future__ import annotations

from enum import Enum

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
)
from distributor.observe import Sparse
from distributor.sources import Body, Round, SourceError, StorageNodes
from distributor.transfer.disk_writer import DiskWriter, Filler
from distributor.transfer.extents import Extents
from distributor.transfer.media_type import media_type
from distributor.transfer.plan import plan
from distributor.transfer.reader import DownloadReader, Waiters
from distributor.transfer.segment import Segment

#: Bytes that wait for the disk: above the first, segments are paused; below the second, they go on. A few MiB keep
#: a disk busy, and are all the memory that a download takes, however fast its storage node is.
HIGH_WATER = 4 * 1024 * 1024
LOW_WATER = 1024 * 1024

#: How far the index may be behind the file, so that a node which was killed fetches little again.
RECORD_EVERY_BYTES = 64 * 1024 * 1024
RECORD_EVERY_S = 5.0


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
    Owns the segments, the disk writer and the allocation of one object, from the first reader to the store.

    Events change facts; what follows from them is decided by L{plan}, asked once for all the events of a turn.
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
    ) -> None:
        self.listing = listing
        self.object = listing.object
        self._store = store
        self._nodes = nodes
        self._clock = clock
        self._in_thread = in_thread
        self._trouble = trouble
        self._state = State.QUEUED
        self._round = Round(listing.storage_nodes)
        self._segments: list[Segment] = []
        self._arrived = Extents()
        self._writer: DiskWriter | None = None
        self._filler: Filler | None = None
        self._file: OpenFile | None = None
        self._filled: Deferred[None] = Deferred()
        self._waiters = Waiters(clock, self._ready, lambda: self.error)
        self._readers: set[DownloadReader] = set()
        self._next_plan: IDelayedCall | None = None
        self._source_type: str | None = None
        self._contributors: set[str] = set()
        self._recording = DeferredLock()
        self._recorded_bytes = 0
        self._recorded_at = clock.seconds()
        self.size = listing.object.size
        self.media_type: str | None = None
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

    def available(self, offset: int) -> int:
        """
        How many bytes can be read at C{offset} without a gap. The last byte of the object is there only once the hash
        of the whole has been found right.
        """
        if isinstance(self.error, ContentMismatch):
            return 0
        stop = self.extents.stop_at(offset)
        if self._state is not State.VERIFIED:
            stop = min(stop, self.size - 1)
        return max(0, stop - offset)

    def wait(self, offset: int) -> Deferred[None]:
        """
        Fires when there is something to read at C{offset}, and the media type is known; at the end of the object, when
        the whole of it has been verified.
        """
        return self._waiters.wait(offset)

    def _ready(self, offset: int) -> bool:
        if self.media_type is None:
            return False
        return self.available(offset) > 0 or (offset >= self.size and self._state is State.VERIFIED)

    def reader(self) -> DownloadReader:
        """
        One more reader.
        """
        reader = DownloadReader(self)
        self._readers.add(reader)
        if self._file is not None:
            reader.attach(self._file)
        return reader

    def reader_left(self, reader: DownloadReader) -> None:
        """
        The download goes on all the same.
        """
        self._readers.discard(reader)

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
        self._arrived = Extents(allocation.extents)
        self._recorded_bytes = len(self._arrived)
        self._filler = Filler(allocation.fd, self.size, self.object.content_hash.hasher())
        self._writer = DiskWriter(self._filler, self._arrived, self._in_thread, self._progressed, self._fail)
        self._file = allocation.file
        for reader in self._readers:
            reader.attach(allocation.file)
        if self._state is State.QUEUED:
            self._state = State.FILLING
            # A file that was adopted or resumed has a prefix to hash before anything comes.
            self._writer.run()
            self._progressed()

    async def _settle(self) -> None:
        """
        Wait until nothing uses the file any more but readers.
        """
        if self._next_plan is not None:
            self._next_plan.cancel()
            self._next_plan = None
        segments, self._segments = self._segments, []
        for segment in segments:
            segment.stop()
        assert self._writer is not None
        await self._writer.close()
        await self._recording.acquire()

    async def _keep(self, allocation: Allocation) -> None:
        try:
            await allocation.commit(self.media_type)
        except DiskFailed as error:
            self._trouble.error("object {id} cannot be kept: {error}", id=self.object.id, error=error)
            await self._leave(allocation, error)

    async def _leave(self, allocation: Allocation, error: DistributorError) -> None:
        try:
            if isinstance(error, (ContentMismatch, DiskFailed)):
                await allocation.discard()
            else:
                await allocation.suspend(self.extents.runs)
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
        self._state = State.ENDED
        self.error = error
        if isinstance(error, (NoRoom, DiskFailed)):
            self._trouble.error("object {id} is passed through: {error}", id=self.object.id, error=error)
        else:
            self._log.warn("download of object {id} left off: {error}", id=self.object.id, error=error)
        self._waiters.wake()
        self._filled.errback(error)

    # What happens, and what follows from it.

    def segment_answered(self, segment: Segment, body: Body) -> None:
        self._source_type = self._source_type or body.type

    def segment_received(self, segment: Segment, offset: int, data: bytes) -> None:
        assert self._writer is not None
        for start, stop in self._arrived.holes(offset, offset + len(data)):
            whole = stop - start == len(data)
            self._writer.write(start, data if whole else data[start - offset : stop - offset])
            self._arrived = self._arrived.add(start, stop)
            self._round.progressed()
            self._contributors.add(segment.node.endpoint)
        if self._writer.queued > HIGH_WATER:
            segment.pause()

    def segment_ended(self, segment: Segment, error: SourceError | None) -> None:
        self._segments.remove(segment)
        if error is not None:
            self._log.warn(
                "storage node {node} failed for object {id}: {error}",
                node=segment.node.endpoint,
                id=self.object.id,
                error=error,
            )
            self._round.failed(segment.node, str(error), timed_out=error.timed_out)
        self._plan_soon()

    def _progressed(self) -> None:
        """
        More is in the file, or more of it has been hashed.
        """
        if self._state is not State.FILLING:
            return
        assert self._writer is not None and self._filler is not None
        self._allocation.grew(len(self.extents))
        if self._writer.queued <= LOW_WATER:
            for segment in self._segments:
                segment.resume()
        if self.media_type is None and self._filler.head is not None:
            self.media_type = media_type(self._filler.head, self.object.type, self._source_type)
        if self._writer.hashed == self.size:
            self._check(self._filler.digest())
        else:
            self._record()
            self._plan_soon()
        self._waiters.wake()

    def _check(self, digest: bytes) -> None:
        if digest == self.object.content_hash.digest:
            self._state = State.VERIFIED
            self._filled.callback(None)
        else:
            self._log.error(
                "object {id} does not have its hash {hash}: bytes came from {nodes}",
                id=self.object.id,
                hash=str(self.object.content_hash),
                nodes=", ".join(sorted(self._contributors)) or "the disk",
            )
            self._fail(ContentMismatch(f"object {self.object.id} does not have its hash"))

    def _record(self) -> None:
        """
        Let the index know what is in the file, now and then.
        """
        grown = len(self.extents) - self._recorded_bytes
        now = self._clock.seconds()
        due = grown >= RECORD_EVERY_BYTES or (grown and now - self._recorded_at >= RECORD_EVERY_S)
        if due and not self._recording.locked:
            self._recorded_bytes += grown
            self._recorded_at = now
            recorded = self._recording.run(Deferred.fromCoroutine, self._allocation.record(self.extents.runs))
            recorded.addErrback(
                lambda failure: self._log.failure("recording the extents of object {id}", failure, id=self.object.id)
            )

    def _plan_soon(self) -> None:
        if self._next_plan is None and self._state is State.FILLING:
            self._next_plan = self._clock.callLater(0, self._act)

    def _act(self) -> None:
        self._next_plan = None
        running = [(segment.position, segment.stop_offset) for segment in self._segments]
        for start in plan(self.object.size, self._arrived, running):
            try:
                node = self._round.choose()
            except SourcesFailed as error:
                self._fail(error)
                return
            wanted = ByteRange(start.offset, start.stop)
            segment = Segment(self._nodes, node, self.object.id, self.object.size, wanted, self, self._clock)
            self._segments.append(segment)
            segment.start()
