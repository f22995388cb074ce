"""
What fills a file: the network, the disk and the hash, held together.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Protocol as TypingProtocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from distributor.model import (
    ContentMismatch,
    DiskFailed,
    DistributorError,
    InThread,
    Listing,
    SourcesFailed,
    StorageNode,
)
from distributor.sources import StorageNodes
from distributor.transfer.copies import Copies
from distributor.transfer.disk_writer import READ_BACK, DiskWriter, Filler
from distributor.transfer.extents import Extents
from distributor.transfer.fetch import Fetch
from distributor.transfer.media_type import SNIFFED, media_type
from distributor.transfer.plan import Reading

#: Bytes that wait for the disk: above the first, segments are held; below the second, they go on. A few MiB keep a disk
#: busy, and are all the memory that a download takes, however fast its storage nodes are.
HIGH_WATER = 4 * 1024 * 1024
LOW_WATER = 1024 * 1024

#: How fast a file that nobody waits for is verified, in bytes per second: a terabyte in five hours, and half of what an
#: old disk gives is left for viewers.
UNATTENDED_RATE = 64 * 1024 * 1024


class Owner(TypingProtocol):
    """
    Whom a filling serves.
    """

    @property
    def is_read(self) -> bool:
        """Whether there is a reader."""

    def readings(self) -> list[Reading]:
        """What readers want, those who came first first."""

    def arrived(self) -> None:
        """More has come that is not in the file yet."""

    def progressed(self) -> None:
        """More is in the file, or more is known of it."""

    def verified(self, differences: Extents) -> None:
        """
        The file is the object. Comes once, and nothing after it.

        @param differences: where it is not what readers may have had from it before.
        """

    def failed(self, error: DistributorError) -> None:
        """It cannot be had. Comes once, and nothing after it."""


class Filling:
    """
    Owns what brings the bytes of one object, writes them, and verifies them; also another copy of them, if need be.

    @ivar media_type: what the first bytes tell, once they are there.
    @ivar replacing: a copy was wrong, and another one comes: nothing of the file may be read.
    """

    _log = Logger()

    def __init__(
        self,
        listing: Listing,
        there: Extents,
        fd: int | None,
        nodes: StorageNodes,
        clock: IReactorTime,
        in_thread: InThread,
        make_space: Callable[[int], Awaitable[bool]],
        patience_s: float,
        owner: Owner,
    ) -> None:
        """
        @param there: what is in the file already.
        @param fd: of the file; L{None}, where L{open} will tell.
        @param make_space: frees so many bytes of a full disk, if it can.
        @param patience_s: for how long storage nodes are tried again in the middle of an object.
        """
        self._listing = listing
        self._object = listing.object
        self._nodes = nodes
        self._clock = clock
        self._patience_s = patience_s
        self._owner = owner
        self._over = False
        self._source_type: str | None = None
        self._next_read_back: IDelayedCall | None = None
        self._copies = Copies(listing.storage_nodes, inherited=bool(there.runs))
        self._filler = Filler(fd, self._object.size, self._object.content_hash.hasher())
        self._writer = DiskWriter(
            self._filler, there, clock, in_thread, self._progressed, self._disk_failed, make_space
        )
        self._fetch = self._fetch_from(listing.storage_nodes, there)
        self.media_type: str | None = None
        self.replacing = False

    def start(self) -> None:
        """
        Begin: with what is there already, if anything.
        """
        self._progressed()
        if not self._over:
            self._fetch.plan_promptly()

    def open(self, fd: int) -> None:
        """
        There is a file now, with nothing in it.
        """
        self._writer.open(fd)

    async def close(self) -> None:
        """
        Stop, and return when nothing is going to write to the file any more.
        """
        self._over = True
        self._fetch.stop()
        if self._next_read_back is not None:
            self._next_read_back.cancel()
            self._next_read_back = None
        await self._writer.close()

    # What the owner wants to know.

    @property
    def extents(self) -> Extents:
        """
        What is in the file.
        """
        return self._writer.extents

    def early(self, offset: int, length: int) -> bytes:
        """
        Up to C{length} bytes at C{offset} that have come, and are not in the file yet.
        """
        # Of all of an object, it is known in a moment whether it is right: something small that is wrong is better not
        # begun with.
        arrived = self._fetch.arrived
        if self.replacing or arrived.stop_at(0) == self._object.size or arrived.stop_at(offset) == offset:
            return b""
        return self._writer.early(offset, length)

    @property
    def rate(self) -> float:
        """
        Bytes per second lately, from all storage nodes together.
        """
        return sum(segment.rate or 0.0 for segment in self._fetch.segments.values())

    @property
    def sources(self) -> tuple[str, ...]:
        """
        The endpoints of the storage nodes that bring something at present.
        """
        return tuple(dict.fromkeys(segment.node.endpoint for segment in self._fetch.segments.values()))

    @property
    def head_comes(self) -> bool:
        """
        Whether the first bytes, which tell the media type, are here or on their way.
        """
        there = self._fetch.arrived.stop_at(0)
        return there >= min(SNIFFED, self._object.size) or self._fetch.brings(there)

    def begins_with_a_seek(self, offset: int) -> bool:
        """
        Whether an answer that begins at C{offset} needs a request of its own.
        """
        return not self.replacing and self._fetch.begins_with_a_seek(offset)

    def readers_changed(self, *, seeks: bool = False) -> None:
        """
        A reader has come, waits, or has left.

        @param seeks: it has come, and begins with a seek.
        """
        if not self._over:
            if self._writer.behind and self._owner.is_read:
                # What is there may have to be hashed first, and that was nobody's concern before.
                self._writer.run()
            if seeks:
                self._fetch.plan_promptly()
            else:
                self._fetch.plan_soon()

    # What the network tells.

    def _fetch_from(self, sources: Sequence[StorageNode], there: Extents) -> Fetch:
        return Fetch(self._object, sources, self._nodes, self._clock, there, self, self._patience_s)

    def readings(self) -> list[Reading]:
        """
        What readers want; of a copy that replaces another, nobody wants anything before it is whole.
        """
        if self.replacing:
            return []
        readings = self._owner.readings()
        if readings and self.media_type is None and self._object.type is None:
            # They need the first bytes, too.
            readings.append(Reading(0, min(SNIFFED, self._object.size)))
        arrived, size = self._fetch.arrived, self._object.size
        if any(arrived.stop_at(each.offset) == size for each in readings):
            # The last byte is withheld until the whole is verified: who waits for that waits for all that is missing.
            readings.append(Reading(arrived.stop_at(0), size))
        return readings

    def answered(self, type: str | None) -> None:
        """
        A storage node says so of the media type.
        """
        self._source_type = self._source_type or type

    def received(self, offset: int, data: bytes) -> None:
        """
        Bytes that were missing have come.
        """
        if offset == 0 and len(data) >= min(SNIFFED, self._object.size):
            self._learn_type(data[:SNIFFED])
        self._writer.write(offset, data)
        if len(self._fetch.arrived) == self._object.size:
            self._writer.hurry()
        if self._writer.queued > HIGH_WATER:
            self._fetch.hold()

    def arrived(self) -> None:
        """
        Those are all for now.
        """
        if not self._over:
            self._owner.arrived()

    def _learn_type(self, head: bytes) -> None:
        if self.media_type is None:
            self.media_type = media_type(head, self._object.type, self._source_type)

    def planned(self) -> None:
        """
        Other segments may run than before: perhaps nothing brings any more what a reader waits for to know the type.
        """
        if self.media_type is None and not self._over:
            self._owner.progressed()

    def fetch_failed(self, error: SourcesFailed) -> None:
        """
        No storage node goes on.
        """
        if self.replacing:
            # Of what has come of this copy nobody knows whether it is right.
            self._take_next({})
        else:
            self._fail(error)

    # What the disk tells.

    def _disk_failed(self, error: DiskFailed) -> None:
        self._fail(error)

    def _progressed(self) -> None:
        if self._over:
            return
        if self._writer.queued <= LOW_WATER:
            self._fetch.release()
        if self._filler.head is not None:
            self._learn_type(self._filler.head)
        if self._writer.hashed == self._object.size:
            self._check(self._filler.digest())
        else:
            self._read_back()
            self._owner.progressed()
            self._fetch.plan_soon()

    def _read_back(self) -> None:
        """
        Hash what is in the file and was not hashed when it came; for nobody, only so fast.
        """
        if len(self._fetch.arrived) < self._object.size or self._owner.is_read:
            self._writer.run()
        elif self._next_read_back is None:
            length = min(READ_BACK, self._object.size - self._writer.hashed)
            self._next_read_back = self._clock.callLater(length / UNATTENDED_RATE, self._read_back_now)

    def _read_back_now(self) -> None:
        self._next_read_back = None
        self._writer.run()

    # Right or wrong.

    def _check(self, digest: bytes) -> None:
        if digest != self._object.content_hash.digest:
            self._replace(digest)
            return
        self._over = True
        if self.replacing:
            # Who had which part in the first copy is known; but there is no hash that would be one node's.
            self._copies.tell_apart(self._filler.differences, partial(self._blame, None))
            self.replacing = False
        self._owner.verified(self._filler.differences)

    def _replace(self, digest: bytes) -> None:
        """
        What is in the file is wrong: have another copy, from one storage node alone.
        """
        self._log.error(
            "object {id} does not have its hash {hash}; it came from {nodes}",
            id=self._object.id,
            hash=str(self._object.content_hash),
            nodes=", ".join(sorted(node.endpoint for node in self._fetch.brought)) or "the disk",
        )
        self._take_next(self._fetch.brought, digest)

    def _take_next(self, brought: Mapping[StorageNode, Extents], digest: bytes | None = None) -> None:
        self._fetch.stop()
        # Of no bytes there is only one copy.
        source = self._copies.next(brought, partial(self._blame, digest)) if self._object.size else None
        if source is None:
            self._fail(ContentMismatch(f"object {self._object.id} does not have its hash"))
            return
        self.replacing = True
        self.media_type = None
        self._writer.start_over(self._object.content_hash.hasher())
        self._fetch = self._fetch_from([source], Extents())
        self._fetch.plan_soon()
        self._owner.progressed()

    def _blame(self, digest: bytes | None, node: StorageNode, part: Extents) -> None:
        """
        @param digest: of the whole that C{node} gave, if it gave all of one.
        """
        self._log.error(
            "storage node {node} gave wrong bytes of object {id}, {times} times by now",
            node=node.endpoint,
            id=self._object.id,
            times=self._nodes.standings.lied(node),
        )
        self._nodes.report_hash(node, self._object, digest, len(part))

    def _fail(self, error: DistributorError) -> None:
        if not self._over:
            self._over = True
            self._owner.failed(error)
