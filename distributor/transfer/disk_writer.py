"""
Bytes from the network to the file of a download, and their hash, in threads.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import chain

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from distributor.model import DiskFailed, Hasher, InThread
from distributor.transfer.extents import Extents
from distributor.transfer.media_type import SNIFFED

Chunk = tuple[int, bytes]

#: What one job reads back for the hash, at most: so that a job is short, and its thread soon free for another object.
READ_BACK = 8 * 1024 * 1024
_READ_SIZE = 1024 * 1024

#: A job that writes so much, in bytes, is worth its change of threads.
ENOUGH = 1024 * 1024

#: For how long less than that waits for more, in seconds. Those who wait for a first byte have it meanwhile: a thread
#: that starts would take its share of the interpreter from them.
_LINGER_S = 0.001

#: Linux takes no more of them at once (IOV_MAX).
_MOST_PIECES = 1024

#: Two bytes that differ within so many are taken for one difference.
_COMPARED = 4096


class Filler:
    """
    The blocking half: used by one thread at a time, and never by the reactor's.

    @ivar head: the first bytes of the object, as many as tell its media type, once they are there.
    @ivar differences: where another copy has turned out to differ from what was in the file before.
    """

    def __init__(self, fd: int | None, size: int, hasher: Hasher) -> None:
        """
        @param fd: of the file; L{None} where that is still to be made. See L{DiskWriter.open}.
        """
        self._fd = -1 if fd is None else fd
        self._hasher = hasher
        self._hashed = 0
        self._head_length = min(SNIFFED, size)
        self._comparing = False
        self.head: bytes | None = None if size else b""
        self.differences = Extents()

    @property
    def opened(self) -> bool:
        """
        Whether there is a file.
        """
        return self._fd >= 0

    def open(self, fd: int) -> None:
        """
        There is one now.
        """
        self._fd = fd

    def fill(self, chunks: Sequence[Chunk], prefix: int) -> int:
        """
        Write C{chunks}, then take the hash on towards C{prefix}: where the first hole is, once they are written.

        Bytes that arrive in order are hashed from memory; those that came early are read back.

        @return: how much of the file, from its start, the hash has taken in; in bytes.
        @raise OSError: the disk refused.
        """
        chunks = sorted(chunks, key=_offset)
        if self._comparing:
            for offset, data in chunks:
                self._compare(offset, data)
        for offset, pieces in _in_a_row(chunks):
            _write_all(self._fd, offset, pieces)
        for offset, data in chunks:
            if offset <= self._hashed < offset + len(data):
                self._hasher.update(memoryview(data)[self._hashed - offset :] if offset < self._hashed else data)
                self._hashed = offset + len(data)
        enough = min(prefix, self._hashed + READ_BACK)
        while self._hashed < enough:
            data = os.pread(self._fd, min(_READ_SIZE, enough - self._hashed), self._hashed)
            if not data:
                raise OSError(f"file ends at {self._hashed}, before {prefix}")
            self._hasher.update(data)
            self._hashed += len(data)
        if self.head is None and self._hashed >= self._head_length:
            self.head = os.pread(self._fd, self._head_length, 0)
        return self._hashed

    def start_over(self, hasher: Hasher) -> None:
        """
        What comes from now on is another copy: it is hashed from its beginning, and compared with the one before.
        """
        self._hasher = hasher
        self._hashed = 0
        self._comparing = True
        self.head = None

    def _compare(self, offset: int, data: bytes) -> None:
        before = os.pread(self._fd, len(data), offset)
        if before == data:
            return
        for start in range(0, len(data), _COMPARED):
            old, new = before[start : start + _COMPARED], data[start : start + _COMPARED]
            if old != new:
                first, last = _ends(old.ljust(len(new), b"\0"), new)
                self.differences = self.differences.add(offset + start + first, offset + start + last + 1)

    def digest(self) -> bytes:
        """
        The hash of what has been taken in.
        """
        return self._hasher.digest()


def _ends(old: bytes, new: bytes) -> tuple[int, int]:
    """
    The first and the last place at which two strings of one length differ. Most that differ do so near both ends.
    """
    places = range(len(new))
    first = next((at for at in places if old[at] != new[at]), 0)
    return first, next((at for at in reversed(places) if old[at] != new[at]), len(new) - 1)


def _offset(chunk: Chunk) -> int:
    return chunk[0]


def _in_a_row(chunks: Iterable[Chunk]) -> Iterator[tuple[int, list[bytes]]]:
    """
    Those of sorted chunks that follow one upon the other, together, with the offset of the first.
    """
    start = stop = -1
    pieces: list[bytes] = []
    for offset, data in chunks:
        if offset != stop or len(pieces) == _MOST_PIECES:
            if pieces:
                yield start, pieces
            start, pieces = offset, []
        pieces.append(data)
        stop = offset + len(data)
    if pieces:
        yield start, pieces


def _write_all(fd: int, offset: int, pieces: list[bytes]) -> None:
    views = [memoryview(piece) for piece in pieces]
    while views:
        written = os.pwritev(fd, views, offset)
        offset += written
        while views and written >= len(views[0]):
            written -= len(views.pop(0))
        if written:
            views[0] = views[0][written:]


class DiskWriter:
    """
    The reactor's half: a queue of chunks, of which one job at a time is in a thread.

    What comes while a job runs goes into the next one, so batches grow as the disk gets slower.

    @ivar extents: what is in the file.
    @ivar queued: bytes that have arrived and are not in the file yet.
    @ivar hashed: how many bytes of the file, from the first, have been hashed.
    """

    _log = Logger()

    def __init__(
        self,
        filler: Filler,
        extents: Extents,
        clock: IReactorTime,
        in_thread: InThread,
        progressed: Callable[[], None],
        failed: Callable[[DiskFailed], None],
        make_space: Callable[[int], Awaitable[bool]],
    ) -> None:
        """
        @param progressed: is told when more is in the file, or has been hashed; where more of what is there has to be
            hashed, it says when, by L{run}.
        @param failed: is told once, when the disk refuses.
        @param make_space: frees so many bytes of a full disk, if it can.
        """
        self._filler = filler
        self.extents = extents
        self._clock = clock
        self._in_thread = in_thread
        self._progressed = progressed
        self._failed = failed
        self._make_space = make_space
        self._queue: list[Chunk] = []
        # What the job that runs is writing.
        self._batch: list[Chunk] = []
        self._waiting = 0
        self._next_start: IDelayedCall | None = None
        self._hurried = False
        self._busy = False
        self._closed = False
        self._next_hasher: Hasher | None = None
        self._waiting_for_idle: list[Deferred[None]] = []
        self.queued = 0
        self.hashed = 0

    def open(self, fd: int) -> None:
        """
        There is a file now: what has come is written.
        """
        self._filler.open(fd)
        self._consider()

    def write(self, offset: int, data: bytes) -> None:
        """
        Take C{data}, which is not to change.
        """
        if self._closed:
            return
        self._queue.append((offset, data))
        self._waiting += len(data)
        self.queued += len(data)
        self._consider()

    def hurry(self) -> None:
        """
        Nothing more is going to come, so there is nothing to wait for.
        """
        self._hurried = True
        if self._next_start is not None:
            self._next_start.reset(0)

    def early(self, offset: int, length: int) -> bytes:
        """
        Up to C{length} bytes at C{offset} that have come, and are not in the file yet, as far as is known.
        """
        for start, data in chain(self._queue, self._batch):
            if start <= offset < start + len(data):
                return data[offset - start : offset - start + max(0, length)]
        return b""

    @property
    def behind(self) -> bool:
        """
        Whether no job runs, and there is something to hash that is in the file.
        """
        return not self._busy and not self._closed and self.hashed < self.extents.stop_at(0)

    def run(self) -> None:
        """
        Start a job, if L{behind}.
        """
        if self.behind:
            self._start()

    def _consider(self) -> None:
        """
        Start a job if there is enough to write, or soon.
        """
        if self._busy or self._closed or not self._queue or not self._filler.opened:
            return
        if self._waiting >= ENOUGH:
            self._start()
        elif self._next_start is None:
            self._next_start = self._clock.callLater(0 if self._hurried else _LINGER_S, self._start_now)

    def _start_now(self) -> None:
        self._next_start = None
        self._start()

    def _forget_queue(self) -> None:
        self._queue = []
        self._waiting = 0
        if self._next_start is not None:
            self._next_start.cancel()
            self._next_start = None

    def _start(self) -> None:
        batch = self._batch = self._queue
        self._forget_queue()
        extents = self.extents
        for offset, pieces in _in_a_row(batch):
            extents = extents.add(offset, offset + sum(map(len, pieces)))
        self._busy = True
        job = Deferred.fromCoroutine(self._fill(batch, extents.stop_at(0)))
        job.addCallbacks(self._wrote, self._refused, callbackArgs=(extents,))
        job.addErrback(lambda failure: self._log.failure("telling of what was written", failure))

    async def _fill(self, batch: list[Chunk], prefix: int) -> int:
        while True:
            try:
                return await self._in_thread(self._filler.fill, batch, prefix)
            except OSError as error:
                needed = sum(len(data) for _, data in batch)
                if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not await self._make_space(needed):
                    raise

    def start_over(self, hasher: Hasher) -> None:
        """
        Take another copy of the object, over the one that is in the file; of which what is queued is forgotten.
        """
        self._forget_queue()
        self._hurried = False
        self.queued = 0
        self.extents = Extents()
        self.hashed = 0
        if self._busy:
            self._next_hasher = hasher
        else:
            self._filler.start_over(hasher)

    def _wrote(self, hashed: int, extents: Extents) -> None:
        if self._next_hasher is None:
            # Who waits for the last job goes on with what it has done.
            self.extents = extents
            self.hashed = hashed
        self._job_ended()
        if self._next_hasher is not None:
            # What has just been written is of the copy before.
            self._filler.start_over(self._next_hasher)
            self._next_hasher = None
            self._consider()
            return
        if not self._closed:
            # The next job runs in its thread while the reactor tells the readers of this one.
            self._consider()
            self._progressed()

    def _refused(self, failure: Failure) -> None:
        self._closed = True
        self._forget_queue()
        self._job_ended()
        error = DiskFailed(f"writing: {failure.getErrorMessage()}")
        error.__cause__ = failure.value
        self._failed(error)

    def _job_ended(self) -> None:
        self._busy = False
        self._batch = []
        self.queued = self._waiting
        if self._closed:
            self._write_the_rest()

    def close(self) -> Deferred[None]:
        """
        Take nothing more. Fires when what has come is in the file, and no job uses that any longer.
        """
        self._closed = True
        done: Deferred[None] = Deferred()
        self._waiting_for_idle.append(done)
        if not self._busy:
            self._write_the_rest()
        return done

    def _write_the_rest(self) -> None:
        # Of a copy that was to replace another, nothing is kept.
        if self._queue and self._filler.opened and self._next_hasher is None:
            self._start()
            return
        self._forget_queue()
        waiting, self._waiting_for_idle = self._waiting_for_idle, []
        for waiter in waiting:
            waiter.callback(None)
