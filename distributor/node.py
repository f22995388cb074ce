"""
What a request is answered from: the store, else a download in progress, else the catalogue and the storage nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from typing import Protocol as TypingProtocol

from attrs import evolve, frozen
from twisted.internet.defer import Deferred, DeferredSemaphore, TimeoutError
from twisted.internet.interfaces import IReactorTime

from distributor.cache import Store
from distributor.model import (
    ByteRange,
    CacheState,
    ContentHash,
    ContentMismatch,
    DataObject,
    DiskFailed,
    DistributorError,
    Hasher,
    InThread,
    IReader,
    Listing,
    NoRoom,
    ObjectNotAccepted,
    ObjectNotDistributed,
    Overloaded,
)
from distributor.observe import Sparse
from distributor.sources import StorageNodes
from distributor.transfer import DownloadReader, Downloads, HashLine, Passage, feed
from distributor.transfer.media_type import media_type


class Catalogue(TypingProtocol):
    """
    What the node asks of a catalogue.
    """

    async def lookup(self, object_id: str) -> Listing:
        """
        @raise ObjectNotFound: there is no such object.
        @raise CatalogueUnavailable: it cannot say.
        """


@frozen
class Found:
    """
    What is known of an object before anything is opened for it.

    @ivar type: its media type, if the node can tell yet.
    @ivar listing: what the catalogue said, if it was asked.
    @ivar catalogue_s: how long that took.
    """

    object: DataObject
    cache: CacheState
    type: str | None
    listing: Listing | None = None
    catalogue_s: float | None = None


class Opened:
    """
    Where the bytes of one answer come from: a file, for as long as it will do; behind that, storage nodes.

    @ivar reader: the file; L{None} where the object is passed through.
    @ivar joined: somebody else's GET has started the download.
    """

    def __init__(
        self,
        node: Node,
        found: Found,
        cache: CacheState,
        reader: IReader | None,
        type: str | None,
        *,
        joined: bool = False,
    ) -> None:
        self._node = node
        self._found = found
        self._type = type
        self._passage: Passage | None = None
        self._prepared: ByteRange | None = None
        self.object = found.object
        self.cache = cache
        self.reader = reader
        self.joined = joined

    @property
    def external(self) -> bool:
        """
        Whether a storage node is asked for just what this answer begins with.
        """
        return self.reader is None or (isinstance(self.reader, DownloadReader) and self.reader.external)

    @property
    def type(self) -> str:
        """
        The media type; final once L{begin} has returned.
        """
        if self._passage is not None and self.reader is None:
            return self._passage.media_type
        if isinstance(self.reader, DownloadReader):
            assert self.reader.media_type is not None
            return self.reader.media_type
        return self._type or media_type(b"", self._found.type, None)

    async def begin(self, wanted: ByteRange | None) -> None:
        """
        Return when the first byte of C{wanted} can be sent; without C{wanted}, when the object, an empty one, is known
        to be right.

        @raise DistributorError: it cannot be had.
        """
        if self.reader is not None:
            try:
                await self._node.wait(self.reader, wanted.start if wanted is not None else 0)
            except (NoRoom, DiskFailed):
                self._leave_reader()
        if self.reader is not None:
            return
        if wanted is not None:
            self._prepared = wanted
            self._passage = await self._node.passage(self._found, wanted, None)
        elif self.object.content_hash.hasher().digest() != self.object.content_hash.digest:
            raise ContentMismatch(f"object {self.object.id} does not have its hash")

    def _leave_reader(self) -> None:
        assert self.reader is not None
        self.reader.close()
        self.reader = None
        # What the download was, it is not for this answer.
        self.cache = CacheState.MISS
        self.joined = False

    def reading_failed(self, error: DistributorError) -> None:
        """
        The file will not do for all that was wanted. A download tells of its own trouble.
        """
        if self.cache is CacheState.HIT:
            self._node.trouble.error("object {id} cannot be read: {error}", id=self.object.id, error=error)

    async def passage(self, wanted: ByteRange) -> Passage:
        """
        C{wanted} from a storage node, its first byte ready.

        @raise DistributorError: none has it.
        """
        if self._passage is not None:
            if self._prepared == wanted:
                self._prepared = None
                return self._passage
            self._passage.close()
        self._passage = await self._node.passage(self._found, wanted, self.reader)
        if self.reader is not None:
            # It has given what it can; and on a full disk, others need the space of its file.
            self._leave_reader()
        return self._passage

    def close(self) -> None:
        """
        The answer is over.
        """
        if self.reader is not None:
            self.reader.close()
        if self._passage is not None:
            self._passage.close()


class Node:
    """
    Brings the store, the downloads, the catalogue and the storage nodes together.
    """

    def __init__(
        self,
        store: Store,
        downloads: Downloads,
        catalogue: Catalogue,
        storage_nodes: StorageNodes,
        clock: IReactorTime,
        in_thread: InThread,
        trouble: Sparse,
        *,
        largest_cached: int | None,
        patience_s: float,
        most_passages: int,
    ) -> None:
        """
        @param trouble: where a failing disk is told of.
        @param largest_cached: larger objects are passed through; in bytes.
        @param patience_s: for how long a reader waits for its first byte.
        @param most_passages: how many answers may be passed through at once. Each keeps a connection for as long as its
            viewer takes, and downloads must not wait for that.
        """
        self._store = store
        self._downloads = downloads
        self._catalogue = catalogue
        self._storage_nodes = storage_nodes
        self._clock = clock
        self.in_thread = in_thread
        self._largest_cached = largest_cached
        self._patience_s = patience_s
        self._passing = DeferredSemaphore(most_passages)
        self.trouble = trouble

    async def find(self, object_id: str) -> Found:
        """
        What there is to know of an object without opening it.

        @raise ObjectNotFound: there is no such object.
        @raise ObjectNotDistributed: others distribute it.
        @raise ObjectNotAccepted: it has not been uploaded yet.
        @raise CatalogueUnavailable: nothing is known of it, and the catalogue cannot say.
        """
        entry = self._store.get(object_id)
        if entry is not None:
            known = DataObject(object_id, entry.size, ContentHash.parse(entry.content_hash), entry.type)
            return Found(known, CacheState.HIT, entry.type)
        download = self._downloads.get(object_id)
        if download is not None and download.error is None:
            return Found(download.object, download.cache_state, download.media_type, download.listing)
        began = self._clock.seconds()
        listing = await self.lookup(object_id)
        took_s = self._clock.seconds() - began
        return Found(listing.object, self._cold_state(listing.object), listing.object.type, listing, took_s)

    def _cold_state(self, object: DataObject) -> CacheState:
        """
        C{PENDING} for a file that another program has left here, as all that is to be done is to verify it.
        """
        adoptable = self._store.unverified.get(object.id) == object.size
        return CacheState.PENDING if adoptable else CacheState.MISS

    async def lookup(self, object_id: str) -> Listing:
        """
        What the catalogue says of an object that this node is to serve.

        @raise DistributorError: it is not there, not ours, or not known.
        """
        listing = await self._catalogue.lookup(object_id)
        if not listing.distributed_here:
            raise ObjectNotDistributed(object_id)
        if not listing.object.accepted:
            raise ObjectNotAccepted(object_id)
        return listing

    def keeps(self, object: DataObject) -> bool:
        """
        Whether an object goes to the store, and is not passed through for its size.
        """
        return self._largest_cached is None or object.size <= self._largest_cached

    async def open(self, found: Found, ranges: Sequence[ByteRange]) -> Opened:
        """
        Start, or join, whatever gives the bytes of an object. The caller closes what it gets.

        @param ranges: what is going to be read, in this order.

        @raise Overloaded: too many downloads wait already.
        """
        object_id = found.object.id
        while True:
            opened = await self._open_stored(found)
            if opened is not None:
                return opened
            download = self._downloads.get(object_id)
            if download is not None:
                if download.error is None:
                    return Opened(self, found, download.cache_state, download.reader(ranges), None, joined=True)
                # It has failed and is putting its file away; the next one can go on from what there is.
                await self._downloads.over(download)
            elif found.listing is None:
                found = evolve(found, listing=await self.lookup(object_id))
            else:
                return self._fetch(found, found.listing, ranges)

    def _fetch(self, found: Found, listing: Listing, ranges: Sequence[ByteRange]) -> Opened:
        unreadable = self._store.get(found.object.id) is not None
        if unreadable or not self.keeps(found.object):
            return Opened(self, found, CacheState.MISS, None, None)
        state = self._cold_state(found.object)
        return Opened(self, found, state, self._downloads.start(listing, ranges), None)

    async def _open_stored(self, found: Found) -> Opened | None:
        object_id = found.object.id
        entry = self._store.get(object_id)
        if entry is None:
            return None
        try:
            reader = await self._store.open(object_id)
        except (LookupError, DiskFailed) as error:
            self.trouble.error("object {id} cannot be opened: {error}", id=object_id, error=error)
            return None
        self._store.touch(object_id)
        return Opened(self, found, CacheState.HIT, reader, entry.type)

    async def wait(self, reader: IReader, offset: int) -> None:
        """
        Wait for a reader's first byte.

        @raise Overloaded: it has taken too long.
        """
        await self._in_time(reader.wait(offset))

    async def passage(self, found: Found, wanted: ByteRange, reader: IReader | None) -> Passage:
        """
        C{wanted} from a storage node, its first byte ready.

        @param reader: what has given the bytes before C{wanted}, if they are still to be read there.
        @raise DistributorError: no storage node has it.
        """
        listing = found.listing or await self.lookup(found.object.id)
        hasher = None
        if wanted.stop == found.object.size:
            hasher = found.object.content_hash.hasher()
            if wanted.start and not await self._take_in(hasher, reader, wanted.start):
                hasher = None
        hash_line = HashLine(hasher, self.in_thread) if hasher is not None else None
        await self._in_time(self._passing.acquire())
        passage = Passage(
            listing, wanted, self._storage_nodes, self._clock, hash_line, self._patience_s, self._passing.release
        )
        try:
            await self._in_time(passage.ready())
        except BaseException:
            passage.close()
            raise
        return passage

    async def _in_time(self, waiting: Deferred[Any]) -> None:
        """
        @raise Overloaded: it has taken too long.
        """
        try:
            await waiting.addTimeout(self._patience_s, self._clock)
        except TimeoutError as error:
            raise Overloaded(f"no byte within {self._patience_s:g} s") from error

    async def _take_in(self, hasher: Hasher, reader: IReader | None, stop: int) -> bool:
        """
        Feed C{hasher} with the first C{stop} bytes of C{reader}, if they are there.
        """
        if reader is None or reader.available(0) < stop:
            return False
        try:
            await self.in_thread(feed, hasher, reader.fd, stop)
        except OSError:
            return False
        return True
