"""
A worker's node: complete objects from the disk, all else by way of the owner.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionClosed
from twisted.logger import Logger
from twisted.protocols.amp import AMP, AmpError, Command
from twisted.python.failure import Failure
from zope.interface import implementer

from distributor.model import (
    ByteRange,
    CacheState,
    CatalogueUnavailable,
    InThread,
    IReader,
)
from distributor.node import Found, Opened, Passages, Shelf
from distributor.observe import Sparse
from distributor.transfer import IDownloadReader, Passage
from distributor.workers.mirror import Mirror
from distributor.workers.wire import Cancel, Close, File, Find, Listed, Open, Wait, dump_ranges, load_found


async def ask(owner: AMP, command: type[Command], **arguments: object) -> dict[str, object]:
    """
    @raise DistributorError: what the owner says; or it is gone.
    """
    try:
        answer: dict[str, object] = await owner.callRemote(command, **arguments)
    except (ConnectionClosed, AmpError) as error:
        raise CatalogueUnavailable("the process that has the downloads is gone") from error
    return answer


class RemoteNode(Shelf):
    """
    What a request to a worker is answered from.
    """

    _log = Logger()

    def __init__(
        self,
        mirror: Mirror,
        owner: AMP,
        passages: Passages,
        in_thread: InThread,
        trouble: Sparse,
        *,
        largest_cached: int | None,
        negative_ttl_s: int,
    ) -> None:
        """
        @param largest_cached: larger objects are passed through; in bytes.
        @param negative_ttl_s: that of the owner's catalogue.
        """
        super().__init__(mirror, in_thread, trouble, largest_cached, negative_ttl_s)
        self._owner = owner
        self._passages = passages

    async def find(self, object_id: str) -> Found:
        """
        What there is to know of an object without opening it.

        @raise DistributorError: as L{distributor.node.Node.find}.
        """
        entry = self.stored(object_id)
        if entry is not None:
            return self.found(object_id, entry)
        answer = await ask(self._owner, Find, object_id=object_id)
        return load_found(answer["found"])  # type: ignore[arg-type]

    async def open(self, found: Found, ranges: Sequence[ByteRange]) -> Opened:
        """
        Start, or join, whatever gives the bytes of an object. The caller closes what it gets.

        @param ranges: what is going to be read, in this order.
        @raise DistributorError: as L{distributor.node.Node.open}.
        """
        opened = await self.open_stored(found)
        if opened is not None:
            return opened
        answer = await self._ask_to_open(found, ranges)
        cache, joined = CacheState(answer["cache"]), bool(answer["joined"])
        reader = self._reader(found, answer)
        return Opened(self, found, cache, reader, found.type, joined=joined)

    def look(self) -> None:
        """
        Nothing that comes here is anybody's but who waits for it.
        """

    def _ask_to_open(self, found: Found, ranges: Sequence[ByteRange]) -> Deferred[dict[str, object]]:
        """
        May be cancelled: what the owner opens all the same is closed when it says so.
        """
        asked = Deferred.fromCoroutine(ask(self._owner, Open, object_id=found.object.id, ranges=dump_ranges(ranges)))
        waiting: Deferred[dict[str, object]] = Deferred()

        def answered(result: dict[str, object] | Failure) -> None:
            if not waiting.called:
                waiting.callback(result)
            elif not isinstance(result, Failure):
                reader = self._reader(found, result)
                if reader is not None:
                    reader.close()

        asked.addBoth(answered)
        asked.addErrback(lambda failure: self._log.failure("telling of what has been opened", failure))
        return waiting

    def _reader(self, found: Found, answer: Mapping[str, object]) -> RemoteReader | None:
        number = answer["reader"]
        assert isinstance(number, int)
        return None if number < 0 else RemoteReader(self._owner, number, found.object.size, self.in_thread)

    async def wait(self, reader: IReader, offset: int) -> None:
        """
        Wait for a reader's first byte.

        @raise Overloaded: it has taken too long.
        """
        await self._passages.deadlines.in_time(reader.wait(offset))

    async def passage(self, found: Found, wanted: ByteRange, reader: IReader | None) -> Passage:
        """
        C{wanted} from a storage node, its first byte ready.

        @raise DistributorError: no storage node has it.
        """
        listing = found.listing
        if listing is None:
            answer = await ask(self._owner, Listed, object_id=found.object.id)
            listing = load_found(answer["found"]).listing  # type: ignore[arg-type]
            assert listing is not None
        return await self._passages.passage(listing, wanted, reader)


@implementer(IDownloadReader)
class RemoteReader:
    """
    One answer's view of a download of the owner's, or of whatever else the owner reads for it.

    @ivar external: as L{IDownloadReader} has it.
    @ivar media_type: the same.
    """

    _log = Logger()

    def __init__(self, owner: AMP, number: int, size: int, in_thread: InThread) -> None:
        """
        @param number: by which the owner knows it.
        """
        self._owner = owner
        self._number = number
        self._in_thread = in_thread
        self._granted = (0, 0)
        self._early = b""
        self.had_early = (0, b"")
        self._fd: int | None = None
        self._waiting: Deferred[None] | None = None
        self._closed = False
        self.size = size
        self.external = False
        self.media_type: str | None = None

    @property
    def fd(self) -> int:
        """
        The file; there is one when something is available.
        """
        assert self._fd is not None, "nothing is available yet"
        return self._fd

    def available(self, offset: int) -> int:
        start, stop = self._granted
        return stop - offset if not self._closed and start <= offset < stop else 0

    def early(self, offset: int, length: int) -> bytes:
        # What came with the last answer is of the offset that was asked about.
        data, self._early = self._early[:length], b""
        if data:
            self.had_early = offset, data
        return data

    def wait(self, offset: int) -> Deferred[None]:
        assert self._waiting is None, "one wait at a time"
        if self.available(offset):
            return succeed(None)
        asked = Deferred.fromCoroutine(self._wait(offset))
        # Each waits for itself: giving up must not lose a descriptor that is on its way.
        waiting: Deferred[None] = Deferred(lambda _: self._give_up())
        self._waiting = waiting

        def answered(result: Failure | None) -> None:
            self._waiting = None
            if self._closed:
                self._close_file()
            if not waiting.called:
                waiting.callback(result)

        asked.addBoth(answered)
        asked.addErrback(lambda failure: self._log.failure("telling of what may be read", failure))
        return waiting

    async def _wait(self, offset: int) -> None:
        answer = await ask(self._owner, Wait, reader=self._number, offset=offset)
        granted = answer["granted"]
        assert isinstance(granted, int)
        if granted and self._fd is None:
            self._fd = (await ask(self._owner, File, reader=self._number))["file"]  # type: ignore[assignment]
        self.external = bool(answer["external"])
        self.media_type = str(answer["type"])
        if granted:
            self._grant(offset, offset + granted)
        self._early = answer["early"]  # type: ignore[assignment]

    def _grant(self, start: int, stop: int) -> None:
        # All that has been read in one go stays so: the hash of a passage that goes on from there begins with it.
        early_at, early = self.had_early
        before, reached = (early_at, early_at + len(early)) if early else self._granted
        self._granted = (before if reached == start else start), stop
        self.had_early = (0, b"")

    def _give_up(self) -> None:
        self._tell(Cancel)

    def _tell(self, command: type[Command]) -> None:
        told = self._owner.callRemote(command, reader=self._number)
        told.addErrback(lambda failure: failure.trap(ConnectionClosed, AmpError))

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._waiting is None:
            self._close_file()
        else:
            # Its answer closes the rest.
            self._waiting.cancel()

    def _close_file(self) -> None:
        self._tell(Close)
        fd, self._fd = self._fd, None
        if fd is not None:
            closed = self._in_thread(os.close, fd)
            closed.addErrback(lambda failure: self._log.failure("closing a file", failure))
