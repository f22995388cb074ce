"""
What is known of an object, and where the bytes of one answer come from.
"""

from __future__ import annotations

from typing import Protocol as TypingProtocol

from attrs import frozen

from distributor.model import (
    ByteRange,
    CacheState,
    ContentMismatch,
    DataObject,
    DiskFailed,
    DistributorError,
    IReader,
    Listing,
    NoRoom,
)
from distributor.transfer import IDownloadReader, Passage
from distributor.transfer.media_type import media_type


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


class Supply(TypingProtocol):
    """
    What an answer needs of a node.
    """

    def unreadable(self, object_id: str, error: Exception) -> None:
        """
        The file of a complete object could not be read.
        """

    async def wait(self, reader: IReader, offset: int) -> None:
        """
        Wait for a reader's first byte.

        @raise Overloaded: it has taken too long.
        """

    async def passage(self, found: Found, wanted: ByteRange, reader: IReader | None) -> Passage:
        """
        C{wanted} from a storage node, its first byte ready.

        @param reader: what has given the bytes before C{wanted}, if they are still to be read there.
        @raise DistributorError: no storage node has it.
        """


class Opened:
    """
    Where the bytes of one answer come from: a file, for as long as it will do; behind that, storage nodes.

    @ivar reader: the file; L{None} where the object is passed through.
    @ivar joined: somebody else's GET has started the download.
    """

    def __init__(
        self,
        node: Supply,
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
        return self.reader is None or (IDownloadReader.providedBy(self.reader) and self.reader.external)

    @property
    def type(self) -> str:
        """
        The media type; final once L{begin} has returned.
        """
        if self._passage is not None and self.reader is None:
            return self._passage.media_type
        if IDownloadReader.providedBy(self.reader):
            known: str | None = self.reader.media_type
            assert known is not None
            return known
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
            self._node.unreadable(self.object.id, error)

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
