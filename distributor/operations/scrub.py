"""
Verifying again what is on the disk: disks lose bits, and nobody tells.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from enum import Enum
from typing import Any

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from distributor.cache import Entry
from distributor.model import ContentHash, DiskFailed, Hasher, InThread, IReader
from distributor.operations.parts import HeldState, Store
from distributor.web.operator_errors import VERIFYING, Refused

#: How fast unless told otherwise, in bytes per second: a terabyte in five hours, and half of what an old disk gives is
#: left for viewers.
USUAL_RATE = 64 * 1024 * 1024

#: How much is read and hashed in one go of a thread, in bytes: some milliseconds.
STEP = 4 * 1024 * 1024

#: How many rows of the index are looked at in one go.
PAGE = 500

_COMPLETE: tuple[HeldState, ...] = ("complete",)

#: How many bad objects are remembered: more than these, and the disk is to be replaced.
MOST_BAD = 1000


class ScrubState(Enum):
    """
    How far a scrub is. The words are those of the API.
    """

    IDLE = "idle"
    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"


@frozen
class Bad:
    """
    An object that is not what it was.

    @ivar got: the content hash of what is there; or why it cannot be read.
    @ivar removed: whether it could be deleted.
    @ivar at: seconds since 1970.
    """

    object_id: str
    expected: str
    got: str
    removed: bool
    at: float

    def shown(self) -> dict[str, object]:
        """
        As the API says it.
        """
        return {
            "objectId": self.object_id,
            "expected": self.expected,
            "got": self.got,
            "removed": self.removed,
            "at": self.at,
        }


class Scrub:
    """
    Reads every complete object, once, and hashes it; one that is wrong is deleted, so that the next reader gets a right
    one from a storage node. Nothing of this makes an object look wanted.
    """

    _log = Logger()

    def __init__(self, store: Store, clock: IReactorTime, in_thread: InThread) -> None:
        self._store = store
        self._clock = clock
        self._in_thread = in_thread
        self._running: Deferred[None] | None = None
        self._pause: Deferred[None] | None = None
        self._reset(ScrubState.IDLE, USUAL_RATE)

    def _reset(self, state: ScrubState, rate: int) -> None:
        self._state = state
        self._rate = rate
        self._checked = self._total = self._bytes = self._total_bytes = self._bad_count = 0
        self._bad: list[Bad] = []

    def start(self, rate: int | None) -> None:
        """
        Begin anew.

        @param rate: bytes per second; L{None}: as usual.
        @raise Refused: one is running.
        """
        if self._running is not None:
            raise Refused(VERIFYING)
        self._reset(ScrubState.RUNNING, USUAL_RATE if rate is None else rate)
        self._log.info("verifying all objects, at {rate} bytes per second", rate=self._rate)
        running = self._running = Deferred.fromCoroutine(self._run())
        running.addBoth(self._ended)

    def _ended(self, result: object) -> None:
        self._running = None
        self._log.info(
            "verifying: {state}; {checked} of {total} objects, {bad} bad",
            state=self._state.value,
            checked=self._checked,
            total=self._total,
            bad=self._bad_count,
        )

    def stop(self) -> None:
        """
        Leave off, if one is running; it ends when what a thread does at present is done.
        """
        if self._state is ScrubState.RUNNING:
            self._state = ScrubState.STOPPED
        if self._pause is not None:
            self._pause.cancel()

    async def end(self) -> None:
        """
        Leave off, and return when no thread uses a file any more.
        """
        self.stop()
        if self._running is not None:
            ended: Deferred[None] = Deferred()
            self._running.addCallback(lambda _: ended.callback(None))
            await ended

    async def _run(self) -> None:
        try:
            async for _, size in self._objects():
                self._total += 1
                self._total_bytes += size
            async for object_id, size in self._objects():
                began = self._bytes
                await self._check(object_id)
                if self._state is not ScrubState.RUNNING:
                    return
                self._checked += 1
                # What has been deleted meanwhile, or could not be read, counts as done.
                self._bytes = began + size
        except Exception:
            self._log.failure("verifying")
            self._state = ScrubState.FAILED
        else:
            if self._state is ScrubState.RUNNING:
                self._state = ScrubState.DONE

    async def _objects(self) -> AsyncIterator[tuple[str, int]]:
        """
        Ids and sizes of what is complete, page by page: there may be hundreds of thousands.
        """
        after: str | None = None
        while self._state is ScrubState.RUNNING:
            page = await self._store.page(after, PAGE, _COMPLETE)
            for held in page:
                if self._state is ScrubState.RUNNING:
                    yield held.object_id, held.size
            if len(page) < PAGE:
                return
            after = page[-1].object_id

    async def _check(self, object_id: str) -> None:
        entry = self._store.get(object_id)
        if entry is None:
            return
        try:
            reader = await self._store.open(object_id)
        except LookupError:
            return
        except DiskFailed as error:
            await self._found_bad(object_id, entry, str(error))
            return
        expected = ContentHash.parse(entry.content_hash)
        hasher = expected.hasher()
        try:
            whole = await self._take_in(hasher, reader, entry.size)
        except OSError as error:
            await self._found_bad(object_id, entry, f"cannot be read: {error.strerror or error}")
            return
        finally:
            reader.close()
        if whole and hasher.digest() != expected.digest:
            await self._found_bad(object_id, entry, str(ContentHash(expected.code, hasher.digest())))

    async def _take_in(self, hasher: Hasher, reader: IReader, size: int) -> bool:
        """
        @return: whether all of it was read; if not, somebody has said stop.
        @raise OSError: it cannot be read.
        """
        offset = 0
        while offset < size:
            # At a low rate the steps are small, so that there is no burst in a second.
            step = min(STEP, size - offset, self._rate)
            began_s = self._clock.seconds()
            await self._in_thread(_hash_step, hasher, reader.fd, offset, step)
            offset += step
            self._bytes += step
            await self._wait(began_s + step / self._rate - self._clock.seconds())
            if self._state is not ScrubState.RUNNING:
                return False
        return True

    async def _wait(self, seconds: float) -> None:
        """
        Wait so long, or until somebody says stop.
        """
        if seconds <= 0 or self._state is not ScrubState.RUNNING:
            return
        self._pause = deferLater(self._clock, seconds)
        try:
            await self._pause
        except CancelledError:
            pass
        finally:
            self._pause = None

    async def _found_bad(self, object_id: str, entry: Entry, got: str) -> None:
        if self._store.get(object_id) is not entry:
            # It has been evicted meanwhile, and maybe fetched anew.
            return
        self._log.error(
            "object {id} on the disk is not what it was: expected {expected}, got {got}",
            id=object_id,
            expected=entry.content_hash,
            got=got,
        )
        removed = True
        try:
            await self._store.remove(object_id, "its bytes were not what they had been")
        except DiskFailed as error:
            removed = False
            self._log.error("object {id} is bad, and cannot be deleted: {error}", id=object_id, error=error)
        self._bad_count += 1
        if len(self._bad) < MOST_BAD:
            self._bad.append(Bad(object_id, entry.content_hash, got, removed, self._clock.seconds()))

    def bad(self, object_id: str) -> Bad | None:
        """
        What the last scrub has found of an object, if it was bad.
        """
        return next((bad for bad in self._bad if bad.object_id == object_id), None)

    def shown(self) -> dict[str, Any]:
        """
        How far it is, as the API says it.
        """
        running = self._state is ScrubState.RUNNING
        left = self._total_bytes - self._bytes
        return {
            "state": self._state.value,
            "checked": self._checked,
            "total": self._total,
            "bytes": self._bytes,
            "totalBytes": self._total_bytes,
            "bytesPerSecond": self._rate,
            "secondsLeft": round(left / self._rate, 1) if running and self._total else None,
            "badCount": self._bad_count,
            "bad": [bad.shown() for bad in self._bad],
        }


def _hash_step(hasher: Hasher, fd: int, offset: int, length: int) -> None:
    """
    Blocks.

    @raise OSError: it cannot be read.
    """
    while length:
        data = os.pread(fd, length, offset)
        if not data:
            raise OSError(f"the file ends at {offset}")
        hasher.update(data)
        offset += len(data)
        length -= len(data)
