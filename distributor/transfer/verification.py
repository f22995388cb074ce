"""
Files in the store against their hashes, where they are: those that have been verified once, and those that never were.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

from attrs import evolve, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from distributor.cache import Store
from distributor.model import ContentHash, DiskFailed, DistributorError, Hasher, InThread, Listing
from distributor.transfer.media_type import SNIFFED, media_type
from distributor.transfer.patience import PatientLookup

#: What one job hashes, in bytes: a few milliseconds, on a disk that keeps up.
STEP = 8 * 1024 * 1024
_READ_SIZE = 1024 * 1024

#: How many of the bad ones are named.
_NAMED = 1000

#: After so many files that are left alone at once, others have a turn.
_TURN = 20


@frozen(kw_only=True)
class Checked:
    """
    How far a verification is.

    @ivar checked: how many files it is done with.
    @ivar total: of how many.
    @ivar bytes: how many bytes have been hashed, or passed over.
    @ivar total_bytes: of how many.
    @ivar bad: ids of files that were wrong, and have been deleted; the first of them.
    @ivar left_alone: how many files could not be checked: nobody lists them, or the disk refused.
    """

    state: Literal["idle", "running", "done"] = "idle"
    checked: int = 0
    total: int = 0
    bytes: int = 0
    total_bytes: int = 0
    bad: tuple[str, ...] = ()
    left_alone: int = 0


class Verification:
    """
    One file after another is hashed, no faster than is allowed. One that is wrong is deleted; one that is right, and
    was not verified before, is served from then on, and keeps its place in the order of eviction: being verified is no
    use of it.

    @ivar progress: how far it is.
    """

    _log = Logger()

    def __init__(
        self,
        store: Store,
        lookup: Callable[[str], Awaitable[Listing]],
        clock: IReactorTime,
        in_thread: InThread,
        told: Callable[[Checked], object] = lambda progress: None,
        found_wrong: Callable[[Listing], object] = lambda listing: None,
    ) -> None:
        """
        @param lookup: gives the listing of an object that this node distributes.
        @param told: is told of progress.
        @param found_wrong: is told what should have been in the place of a file that nobody had verified.
        """
        self._store = store
        self._lookup = PatientLookup(lookup, clock)
        self._clock = clock
        self._in_thread = in_thread
        self._told = told
        self._found_wrong = found_wrong
        self._running: Deferred[None] | None = None
        self._rate: float | None = None
        self._began_at = 0.0
        self._hashed = 0
        self.progress = Checked()

    def start(self, object_ids: Sequence[str], bytes_per_second: float | None = None) -> bool:
        """
        Begin, unless it runs already.

        @return: whether it has begun.
        """
        if self._running is not None:
            return False
        self._running = Deferred.fromCoroutine(self.run(object_ids, bytes_per_second))
        self._running.addErrback(self._failed)
        self._running.addCallback(self._ended)
        return True

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._log.failure("verifying", failure)

    def _ended(self, _: object) -> None:
        self._running = None

    def stop(self) -> None:
        """
        Leave off. Of no effect if it does not run.
        """
        if self._running is not None:
            self._running.cancel()

    async def run(self, object_ids: Sequence[str], bytes_per_second: float | None = None) -> None:
        """
        Check the files of C{object_ids}. May be cancelled.
        """
        self.progress = Checked(state="running", total=len(object_ids))
        passed = 0
        try:
            self._tell(total_bytes=await self._in_thread(self._store.occupied, object_ids))
            self._rate = bytes_per_second
            self._began_at = self._clock.seconds()
            self._hashed = 0
            for number, object_id in enumerate(object_ids, 1):
                size = self._store.occupied([object_id])
                if not await self._check(object_id):
                    self._tell(left_alone=self.progress.left_alone + 1)
                    if self.progress.left_alone % _TURN == 0:
                        await deferLater(self._clock, 0)
                passed += size
                self._tell(checked=number, bytes=passed)
        except BaseException:
            self._tell(state="idle")
            raise
        self._tell(state="done")

    def _tell(self, **changes: Any) -> None:
        self.progress = evolve(self.progress, **changes)
        self._told(self.progress)

    async def _check(self, object_id: str) -> bool:
        """
        @return: whether it is known now what the file is worth.
        """
        try:
            if self._store.get(object_id) is not None:
                return await self._check_again(object_id)
            if object_id in self._store.unverified:
                return await self._check_first(object_id)
        except (DiskFailed, OSError) as error:
            self._log.error("object {id} cannot be verified: {error}", id=object_id, error=error)
        except DistributorError:
            # It may be listed again one day: the file stays until its space is wanted. There may be many.
            pass
        return False

    async def _check_again(self, object_id: str) -> bool:
        entry = self._store.get(object_id)
        assert entry is not None
        try:
            reader = await self._store.open(object_id)
        except LookupError:
            # The store sees to that.
            return False
        expected = ContentHash.parse(entry.content_hash)
        try:
            digest = await self._digest(reader.fd, entry.size, expected.hasher(), lambda: True)
        finally:
            reader.close()
        if digest != expected.digest and self._store.get(object_id) is entry:
            await self._remove(object_id, entry.content_hash)
        return True

    async def _check_first(self, object_id: str) -> bool:
        listing = await self._lookup(object_id)
        object = listing.object
        unverified = self._store.unverified
        head = digest = None
        if unverified.get(object_id) == object.size:
            reader = await self._store.open_unverified(object_id)
            try:
                head = await self._in_thread(os.pread, reader.fd, SNIFFED, 0)
                # A reader who comes meanwhile has it verified faster, elsewhere.
                digest = await self._digest(
                    reader.fd, object.size, object.content_hash.hasher(), lambda: object_id in unverified
                )
            finally:
                reader.close()
        if object_id not in unverified:
            return False
        if head is not None and digest == object.content_hash.digest:
            return await self._store.confirm(object, media_type(head, object.type, self._store.known_type(object_id)))
        await self._remove(object_id, str(object.content_hash))
        self._found_wrong(listing)
        return True

    async def _digest(self, fd: int, size: int, hasher: Hasher, wanted: Callable[[], bool]) -> bytes | None:
        """
        @param wanted: whether to go on.
        """
        before = self.progress.bytes
        offset = 0
        while offset < size:
            length = await self._in_thread(_hash_step, fd, offset, min(STEP, size - offset), hasher)
            if not length or not wanted():
                return None
            offset += length
            self._hashed += length
            self._tell(bytes=before + offset)
            await self._pause()
        return hasher.digest()

    async def _pause(self) -> None:
        if self._rate is not None:
            early_s = self._began_at + self._hashed / self._rate - self._clock.seconds()
            if early_s > 0:
                await deferLater(self._clock, early_s)

    async def _remove(self, object_id: str, content_hash: str) -> None:
        self._log.error("object {id} does not have its hash {hash}, and is deleted", id=object_id, hash=content_hash)
        await self._store.remove(object_id, "its bytes were wrong")
        if len(self.progress.bad) < _NAMED:
            self._tell(bad=(*self.progress.bad, object_id))


def _hash_step(fd: int, offset: int, length: int, hasher: Hasher) -> int:
    """
    @return: how many bytes there were, at least one unless the file ends here.
    """
    done = 0
    while done < length:
        data = os.pread(fd, min(_READ_SIZE, length - done), offset + done)
        if not data:
            break
        hasher.update(data)
        done += len(data)
    return done


async def adopt(
    store: Store,
    lookup: Callable[[str], Awaitable[Listing]],
    clock: IReactorTime,
    in_thread: InThread,
    told: Callable[[Checked], object],
    bytes_per_second: float | None = None,
) -> Checked:
    """
    Verify all files that nobody has verified yet. May be cancelled.

    @param lookup: gives the listing of an object that this node distributes.
    @param told: is told of progress.
    @return: how it ended.
    """
    await store.surveyed()
    verification = Verification(store, lookup, clock, in_thread, told)
    await verification.run(list(store.unverified), bytes_per_second)
    return verification.progress
