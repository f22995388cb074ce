"""
Answers that are passed through: from a storage node to one reader.
"""

from __future__ import annotations

from twisted.internet.defer import DeferredSemaphore
from twisted.internet.interfaces import IReactorTime

from distributor.model import ByteRange, Hasher, InThread, IReader, Listing
from distributor.node.deadlines import Deadlines
from distributor.sources import StorageNodes
from distributor.transfer import HashLine, Passage, feed


class Passages:
    """
    So many at once.

    @ivar deadlines: the patience of those who wait for a first byte.
    """

    def __init__(
        self, storage_nodes: StorageNodes, clock: IReactorTime, in_thread: InThread, patience_s: float, most: int
    ) -> None:
        """
        @param patience_s: for how long a reader waits for its first byte.
        @param most: how many answers may be passed through at once. Each keeps a connection for as long as its viewer
            takes, and downloads must not wait for that.
        """
        self._storage_nodes = storage_nodes
        self._clock = clock
        self._in_thread = in_thread
        self._patience_s = patience_s
        self.deadlines = Deadlines(clock, patience_s)
        self._places = DeferredSemaphore(most)

    async def passage(self, listing: Listing, wanted: ByteRange, reader: IReader | None) -> Passage:
        """
        C{wanted} from a storage node, its first byte ready.

        @param reader: what has given the bytes before C{wanted}, if they are still to be read there.
        @raise DistributorError: no storage node has it.
        """
        hasher = None
        if wanted.stop == listing.object.size:
            hasher = listing.object.content_hash.hasher()
            if wanted.start and not await self._take_in(hasher, reader, wanted.start):
                hasher = None
        hash_line = HashLine(hasher, self._in_thread) if hasher is not None else None
        await self.deadlines.in_time(self._places.acquire())
        passage = Passage(
            listing, wanted, self._storage_nodes, self._clock, hash_line, self._patience_s, self._places.release
        )
        try:
            await self.deadlines.in_time(passage.ready())
        except BaseException:
            passage.close()
            raise
        return passage

    async def _take_in(self, hasher: Hasher, reader: IReader | None, stop: int) -> bool:
        """
        Feed C{hasher} with the first C{stop} bytes of C{reader}, if they are there.
        """
        if reader is None:
            return False
        early_at, early = reader.had_early
        there = reader.available(0)
        try:
            if there >= stop:
                await self._in_thread(feed, hasher, reader.fd, stop)
            elif early and there >= early_at and early_at + len(early) == stop:
                # The disk has failed before it had them.
                if early_at:
                    await self._in_thread(feed, hasher, reader.fd, early_at)
                await self._in_thread(hasher.update, early)
            else:
                return False
        except OSError:
            return False
        return True
