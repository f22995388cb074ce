"""
Complete objects, answered from the disk: what every process of a node does by itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol as TypingProtocol

from distributor.cache import Entry, OpenFiles, StoredReader
from distributor.model import (
    ByteRange,
    CacheState,
    ContentHash,
    DataObject,
    DiskFailed,
    DistributorError,
    InThread,
    IReader,
    NoRoom,
)
from distributor.node.opened import Found, Opened
from distributor.observe import Sparse
from distributor.transfer import IDownloadReader, Passage


class Stored(TypingProtocol):
    """
    What is known of complete objects.

    @ivar files: those that are open.
    """

    files: OpenFiles

    def get(self, object_id: str) -> Entry | None:
        """
        A complete and verified object.
        """

    def touch(self, object_id: str) -> None:
        """
        An object is being read.
        """

    async def open(self, object_id: str) -> IReader:
        """
        Open a complete object for reading. May be cancelled.

        @raise LookupError: it is not, or no longer, there.
        @raise DiskFailed: it is there, and cannot be opened.
        """


class Shelf(ABC):
    """
    What requests are answered from; where an object is not there, its subclasses know what to do.

    @ivar downloads_here: whether what is being downloaded is known here: see L{coming}.
    @ivar in_thread: for what blocks.
    @ivar trouble: where a failing disk is told of.
    @ivar negative_ttl_s: for how long it may be remembered that an object is not here; whole seconds.
    """

    downloads_here = False

    def __init__(
        self, store: Stored, in_thread: InThread, trouble: Sparse, largest_cached: int | None, negative_ttl_s: int
    ) -> None:
        """
        @param largest_cached: larger objects are passed through; in bytes.
        """
        self.negative_ttl_s = negative_ttl_s
        self._stored = store
        self._largest_cached = largest_cached
        self.in_thread = in_thread
        self.trouble = trouble

    @abstractmethod
    async def find(self, object_id: str) -> Found:
        """
        What there is to know of an object without opening it.

        @raise ObjectNotFound: there is no such object.
        @raise ObjectNotDistributed: others distribute it.
        @raise ObjectNotAccepted: it has not been uploaded yet.
        @raise CatalogueUnavailable: nothing is known of it, and the catalogue cannot say.
        """

    @abstractmethod
    async def open(self, found: Found, ranges: Sequence[ByteRange]) -> Opened:
        """
        Start, or join, whatever gives the bytes of an object. The caller closes what it gets.

        @param ranges: what is going to be read, in this order.
        @raise Overloaded: too many downloads wait already.
        """

    @abstractmethod
    async def wait(self, reader: IReader, offset: int) -> None:
        """
        Wait for a reader's first byte.

        @raise Overloaded: it has taken too long.
        """

    @abstractmethod
    async def passage(self, found: Found, wanted: ByteRange, reader: IReader | None) -> Passage:
        """
        C{wanted} from a storage node, its first byte ready.

        @param reader: what has given the bytes before C{wanted}, if they are still to be read there.
        @raise DistributorError: no storage node has it.
        """

    def stored(self, object_id: str) -> Entry | None:
        """
        A complete object, to be served from the disk.
        """
        return self._stored.get(object_id)

    def found(self, object_id: str, entry: Entry) -> Found:
        """
        What there is to know of a complete object.
        """
        known = DataObject(object_id, entry.size, ContentHash.parse(entry.content_hash), entry.type)
        return Found(known, CacheState.HIT, entry.type)

    def keeps(self, object: DataObject) -> bool:
        """
        Whether an object goes to the store, and is not passed through for its size.
        """
        return self._largest_cached is None or object.size <= self._largest_cached

    def lend(self, object_id: str) -> int | None:
        """
        The descriptor of a complete object, if its file is open already: for this very moment alone.
        """
        return self._stored.files.lend(object_id)

    def touch(self, object_id: str) -> None:
        """
        A complete object has been read.
        """
        self._stored.touch(object_id)

    def open_now(self, object_id: str, size: int) -> IReader | None:
        """
        The reader of a complete object, if its file is open already. The caller closes it.
        """
        file = self._stored.files.open_now(object_id)
        if file is None:
            return None
        self._stored.touch(object_id)
        return StoredReader(file, size)

    def coming(self, object_id: str) -> Found | None:
        """
        What there is to know of an object that is being downloaded, where that is known here.
        """
        return None

    def join(self, object_id: str, wanted: ByteRange) -> IDownloadReader | None:
        """
        A reader of a download, if there is one that is known here. The caller closes it.
        """
        return None

    def join_now(self, object_id: str, wanted: ByteRange) -> IDownloadReader | None:
        """
        The same, if that has what C{wanted} begins with.
        """
        return None

    def without(self, found: Found, error: DistributorError) -> Opened:
        """
        What is left to somebody who has waited for a download in vain: storage nodes, where the disk is all that is
        wrong. The caller closes what it gets.

        @raise DistributorError: C{error}, where it is something else.
        """
        if isinstance(error, (NoRoom, DiskFailed)):
            return Opened(self, found, CacheState.MISS, None, None)
        raise error

    @abstractmethod
    def look(self) -> None:
        """
        Take what storage nodes have answered meanwhile.
        """

    async def open_stored(self, found: Found) -> Opened | None:
        """
        Open a complete object; L{None} if it is not there, or cannot be opened. The caller closes what it gets.
        """
        object_id = found.object.id
        entry = self.stored(object_id)
        if entry is None:
            return None
        try:
            reader = await self._stored.open(object_id)
        except (LookupError, DiskFailed) as error:
            self.trouble.error("object {id} cannot be opened: {error}", id=object_id, error=error)
            return None
        self._stored.touch(object_id)
        return Opened(self, found, CacheState.HIT, reader, entry.type)

    def opened(self, found: Found, reader: IReader) -> Opened:
        """
        An object that is being read, with the storage nodes behind it.
        """
        return Opened(self, found, found.cache, reader, found.type)

    def unreadable(self, object_id: str, error: Exception) -> None:
        """
        The file of a complete object could not be read.
        """
        self._stored.files.distrust(object_id)
        self.trouble.error("object {id} cannot be read: {error}", id=object_id, error=error)
