"""
The readers of a download: each waits for itself, and is told when its bytes are there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol as TypingProtocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import Attribute, implementer

from distributor.cache import OpenFile
from distributor.model import LARGEST_STEP, ByteRange, DistributorError, IReader
from distributor.transfer.extents import Extents
from distributor.transfer.plan import Reading
from distributor.transfer.planning import FEW

#: A pass over the waiting readers is followed by a rest as long as it took, so that a thousand readers of one download
#: leave half of the reactor's time to everything else; but never longer than this, in seconds.
_LONGEST_REST_S = 0.1

#: Nor does anybody else notice one shorter than this, while the reactor would make a whole millisecond of it.
_SHORTEST_REST_S = 0.001


#: Who waits, and for which offset.
_Waiting = dict[Deferred[None], tuple["DownloadReader", int]]


class Waiters:
    """
    Those who wait for an offset, each with a Deferred of its own. Who has had nothing yet comes before who goes on.
    """

    def __init__(
        self,
        clock: IReactorTime,
        ready: Callable[[DownloadReader, int], bool],
        error: Callable[[DownloadReader], DistributorError | None],
    ) -> None:
        """
        @param ready: whether there is something for a reader at an offset.
        @param error: why nothing more will come for a reader, if so.
        """
        self._clock = clock
        self._ready = ready
        self._error = error
        self._beginning: _Waiting = {}
        self._going_on: _Waiting = {}
        self._all = False
        self._next_pass: IDelayedCall | None = None
        self._rest_s = 0.0

    def wait(self, reader: DownloadReader, offset: int) -> Deferred[None]:
        """
        Fires once C{reader} is ready at C{offset}, or fails with the error.
        """
        waiter: Deferred[None] = Deferred(self._cancelled)
        if not self._tell(waiter, reader, offset):
            waiting = self._going_on if reader.begun else self._beginning
            waiting[waiter] = reader, offset
        return waiter

    def _cancelled(self, waiter: Deferred[None]) -> None:
        self._beginning.pop(waiter, None)
        self._going_on.pop(waiter, None)

    def _tell(self, waiter: Deferred[None], reader: DownloadReader, offset: int) -> bool:
        if reader.error is None and self._ready(reader, offset):
            waiter.callback(None)
        elif (error := self._error(reader)) is not None:
            waiter.errback(error)
        else:
            return False
        return True

    def wake(self) -> None:
        """
        Look soon who can go on: once, however often this is called meanwhile.
        """
        if self._beginning or self._going_on:
            self._all = True
            self._pass_soon()

    def wake_beginners(self) -> None:
        """
        The same, for those who have had nothing yet; and at once, where they are L{FEW}, for who of them seeks, and
        would otherwise wait for what has come for others.
        """
        if len(self._beginning) > FEW:
            self._pass_soon()
            return
        for waiter, (reader, offset) in list(self._beginning.items()):
            if not reader.external:
                self._pass_soon()
            elif waiter in self._beginning:
                self._look_at(self._beginning, waiter, reader, offset)

    def _look_at(self, waiting: _Waiting, waiter: Deferred[None], reader: DownloadReader, offset: int) -> None:
        # Who is told may wait again before this returns.
        del waiting[waiter]
        if not self._tell(waiter, reader, offset):
            waiting[waiter] = reader, offset

    def _pass_soon(self) -> None:
        if self._next_pass is None:
            self._next_pass = self._clock.callLater(self._rest_s, self._pass)

    def _pass(self) -> None:
        self._next_pass = None
        all, self._all = self._all, False
        began = self._clock.seconds()
        for waiting in (self._beginning, self._going_on) if all else (self._beginning,):
            # A waiter that is told may wait again, or make others leave, before the next one's turn.
            for waiter, (reader, offset) in list(waiting.items()):
                if waiter in waiting:
                    self._look_at(waiting, waiter, reader, offset)
        took_s = self._clock.seconds() - began
        self._rest_s = min(took_s, _LONGEST_REST_S) if took_s >= _SHORTEST_REST_S else 0.0


class Fill(TypingProtocol):
    """
    What a reader needs of its download.
    """

    @property
    def size(self) -> int: ...

    @property
    def media_type(self) -> str | None: ...

    def available(self, offset: int) -> int: ...

    def early(self, offset: int, length: int) -> bytes: ...

    def wait(self, reader: DownloadReader, offset: int) -> Deferred[None]: ...

    def reader_left(self, reader: DownloadReader) -> None: ...


class IDownloadReader(IReader):
    """
    One answer's view of a download in progress.
    """

    external = Attribute("A storage node has to be asked for just what it begins with.")
    media_type = Attribute("Known when C{wait} has fired.")


@implementer(IDownloadReader)
class DownloadReader:
    """
    One answer's view of a download. It stays whole when the download ends: the file is its own as much as the store's.

    @ivar offset: of the next byte that it reads.
    @ivar external: a storage node has to be asked for just what it begins with.
    @ivar error: why this reader gets nothing more, whatever becomes of the others.
    @ivar begun: it has been given something.
    @ivar had_early: as L{IReader} has it.
    """

    def __init__(self, fill: Fill, ranges: Sequence[ByteRange]) -> None:
        """
        @param ranges: what it is going to read, in this order.
        """
        self._fill = fill
        self._ranges = tuple(ranges)
        # How far in each of them bytes may have been read.
        self._reached = {wanted: wanted.start for wanted in ranges}
        self.error: DistributorError | None = None
        self.external = False
        self.begun = False
        self.had_early = (0, b"")
        self._file: OpenFile | None = None
        self._closed = False
        self._waiting: Deferred[None] | None = None
        self.size = fill.size
        self.offset = ranges[0].start if ranges else 0

    def attach(self, file: OpenFile) -> None:
        """
        There is a file now.
        """
        if not self._closed:
            file.acquire()
            self._file = file

    @property
    def fd(self) -> int:
        """
        The file; there is one when something is available.
        """
        assert self._file is not None, "nothing is available yet"
        fd: int = self._file.fd
        return fd

    @property
    def media_type(self) -> str | None:
        """
        Known when C{wait} has fired.
        """
        return self._fill.media_type

    @property
    def wants_anything(self) -> bool:
        """
        Whether it was opened to read something.
        """
        return bool(self._ranges)

    @property
    def reading(self) -> Reading | None:
        """
        What it reads next.
        """
        # They do not overlap, and need not be in order of offsets.
        for wanted in self._ranges:
            if wanted.start <= self.offset < wanted.stop:
                return Reading(self.offset, wanted.stop)
        return None

    @property
    def may_have_read(self) -> Extents:
        """
        The bytes that may have gone out.
        """
        return Extents.of((wanted.start, reached) for wanted, reached in self._reached.items())

    def fail(self, error: DistributorError) -> None:
        """
        This reader alone gets nothing more, as it has been given bytes that were wrong.
        """
        self.error = error

    def available(self, offset: int) -> int:
        if self._closed or self.error is not None:
            return 0
        self.offset = offset
        length = self._fill.available(offset)
        if length:
            self._give(offset, min(length, LARGEST_STEP))
            at, data = self.had_early
            if data and self._fill.available(at) >= len(data):
                self.had_early = (0, b"")
        return length

    def early(self, offset: int, length: int) -> bytes:
        if self._closed or self.error is not None or self.begun:
            return b""
        data = self._fill.early(offset, length)
        if data:
            self.had_early = offset, data
            self._give(offset, len(data))
        return data

    def _give(self, offset: int, length: int) -> None:
        self.begun = True
        for wanted in self._ranges:
            if wanted.start <= offset < wanted.stop:
                self._reached[wanted] = min(offset + length, wanted.stop)

    def wait(self, offset: int) -> Deferred[None]:
        assert self._waiting is None, "one wait at a time"
        self.offset = offset
        waiting = self._fill.wait(self, offset)
        if not waiting.called:
            self._waiting = waiting
            waiting.addBoth(self._waited)
        return waiting

    def _waited(self, result: object) -> object:
        self._waiting = None
        return result

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._waiting is not None:
            self._waiting.cancel()
        if self._file is not None:
            self._file.release()
        self._fill.reader_left(self)
