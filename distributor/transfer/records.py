"""
What the index is told of a file while it is being filled, so that a node which was killed can go on from there.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from distributor.cache import Allocation
from distributor.model import DiskFailed
from distributor.transfer.extents import Extents

#: How far the index may be behind the file, so that a node which was killed fetches little again.
RECORD_EVERY_BYTES = 64 * 1024 * 1024
RECORD_EVERY_S = 5.0


class Records:
    """
    Keeps the books of one allocation: how much is in its file; and, now and then, what.
    """

    _log = Logger()

    def __init__(
        self,
        allocation: Allocation,
        clock: IReactorTime,
        extents: Callable[[], Extents],
        readers: Callable[[], int],
        again: Callable[[], None],
        failed: Callable[[DiskFailed], None],
    ) -> None:
        """
        @param extents: what is in the file.
        @param readers: how many wait for the rest.
        @param again: is called after a while in which nothing more has come: L{progressed} may be due.
        @param failed: is told that the disk refuses.
        """
        self._allocation = allocation
        self._clock = clock
        self._extents = extents
        self._readers = readers
        self._again = again
        self._failed = failed
        self._recording = DeferredLock()
        self._recorded_bytes = sum(stop - start for start, stop in allocation.extents)
        self._recorded_at = clock.seconds()
        self._next: IDelayedCall | None = None

    def progressed(self) -> None:
        """
        More may be in the file.
        """
        extents = self._extents()
        present = len(extents)
        self._allocation.grew(present)
        now = self._clock.seconds()
        grown = present - self._recorded_bytes
        due = grown >= RECORD_EVERY_BYTES or (grown and now - self._recorded_at >= RECORD_EVERY_S)
        if due and not self._recording.locked:
            self._recorded_bytes = present
            self._recorded_at = now
            recorded = self._recording.run(
                Deferred.fromCoroutine, self._allocation.record(extents.runs, self._readers())
            )
            recorded.addErrback(self._not_recorded)
        elif grown and self._next is None:
            # It may be long before more comes.
            self._next = self._clock.callLater(RECORD_EVERY_S, self._look_again)

    def _look_again(self) -> None:
        self._next = None
        self._again()

    def _not_recorded(self, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, DiskFailed):
            # What has not reached the disk once is not going to be kept.
            self._failed(error)
        else:
            self._log.failure("recording the extents of object {id}", failure, id=self._allocation.object.id)

    async def close(self) -> None:
        """
        Return when nothing is recorded any more.
        """
        if self._next is not None:
            self._next.cancel()
            self._next = None
        await self._recording.acquire()
