"""
What the tests of delivery read from: a file whose bytes arrive when the test says so, and threads that wait.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from distributor.model import IReader, P, T


def payload(size: int, seed: int = 1) -> bytes:
    """
    Bytes that never repeat, so that one in the wrong place is noticed.
    """
    return random.Random(seed).randbytes(size)


@implementer(IReader)
class ScriptedReader:
    """
    A reader that says what it is told to, and objects to being misused.

    @ivar passing: bytes that are not in the file yet, and the offset at which they may be had once.
    @ivar waits: the offsets at which somebody has waited.
    @ivar cancelled: how many waits were given up.
    """

    def __init__(self, case: SynchronousTestCase, content: bytes, there: int | None = None) -> None:
        """
        @param there: how many bytes can be read from the beginning; all of them, if nothing is said.
        """
        self.path = Path(case.mktemp())
        self.path.write_bytes(content)
        self._fd = os.open(self.path, os.O_RDONLY)
        case.addCleanup(os.close, self._fd)
        self._case = case
        self._there = len(content) if there is None else there
        self._waiting: tuple[int, Deferred[None]] | None = None
        self._error: Exception | None = None
        self.size = len(content)
        self.passing = self.had_early = (0, b"")
        self.closed = False
        self.waits: list[int] = []
        self.cancelled = 0

    @property
    def fd(self) -> int:
        assert not self.closed, "the descriptor was used after close()"
        return self._fd

    @property
    def waiting(self) -> bool:
        """
        Whether somebody waits.
        """
        return self._waiting is not None

    def available(self, offset: int) -> int:
        assert not self.closed, "asked after close()"
        return max(0, self._there - offset)

    def early(self, offset: int, length: int) -> bytes:
        assert not self.available(offset), "there is a file to read"
        at, data = self.passing
        if at != offset:
            return b""
        self.passing = (0, b"")
        return data[:length]

    def wait(self, offset: int) -> Deferred[None]:
        assert not self.closed, "asked after close()"
        assert self._waiting is None, "one wait at a time"
        self.waits.append(offset)
        waiting: Deferred[None] = Deferred(self._given_up)
        self._waiting = offset, waiting
        self._look()
        return waiting

    def _given_up(self, waiting: Deferred[None]) -> None:
        self.cancelled += 1
        self._waiting = None

    def _look(self) -> None:
        if self._waiting is None:
            return
        offset, waiting = self._waiting
        if self.available(offset):
            self._waiting = None
            waiting.callback(None)
        elif self._error is not None:
            self._waiting = None
            waiting.errback(self._error)

    def arrive(self, there: int) -> None:
        """
        More bytes are there.
        """
        self._there = there
        self._look()

    def fail(self, error: Exception) -> None:
        """
        Nothing more will come.
        """
        self._error = error
        self._look()

    def close(self) -> None:
        self._case.assertFalse(self.waiting, "closed under somebody who waits")
        self.closed = True


class Threads:
    """
    Threads that are all busy: a job runs when the test says so.

    @ivar jobs: those that have not run, each as the function and its arguments.
    """

    def __init__(self) -> None:
        self.jobs: list[tuple[Callable[..., object], tuple[object, ...]]] = []
        self._waiting: list[Callable[[], None]] = []
        self.cancelled = 0

    def __call__(self, f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        done: Deferred[T] = Deferred(self._given_up)

        def run() -> None:
            # As with real threads, nobody may be left who wants to know.
            maybeDeferred(f, *args, **kwargs).addBoth(lambda result: None if done.called else done.callback(result))

        self.jobs.append((f, args))
        self._waiting.append(run)
        return done

    def _given_up(self, done: Deferred[T]) -> None:
        self.cancelled += 1

    def run(self) -> None:
        """
        Let the oldest job go.
        """
        self.jobs.pop(0)
        self._waiting.pop(0)()


class Cache:
    """
    Stands for C{os.preadv}: a page cache in which nothing is until a test says so.

    @ivar asked: the offsets that somebody wanted from it.
    """

    def __init__(self, fails_with: OSError | None = None) -> None:
        self.stop = 0
        self.asked: list[int] = []
        self._fails_with = fails_with or BlockingIOError(errno.EAGAIN, "not in the cache")

    def preadv(self, fd: int, buffers: Sequence[bytearray], offset: int, flags: int) -> int:
        assert flags == os.RWF_NOWAIT, "a read that may wait for the disk"
        self.asked.append(offset)
        if offset >= self.stop:
            raise self._fails_with
        data = os.pread(fd, min(len(buffers[0]), self.stop - offset), offset)
        buffers[0][: len(data)] = data
        return len(data)
