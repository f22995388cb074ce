"""
One piece of work for all who ask for the same.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from distributor.model import DistributorError

K = TypeVar("K")
T = TypeVar("T")


class Shared(Generic[K, T]):
    """
    Work in progress, by what it is for. Each who asks has a Deferred of their own; the work goes on when all have left,
    since its result is worth having.
    """

    _log = Logger()

    def __init__(self) -> None:
        self._waiting: dict[K, list[Deferred[T]]] = {}
        self._working: dict[K, Deferred[T]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, key: K) -> bool:
        return key in self._waiting

    def ask(self, key: K, work: Callable[[], Coroutine[Any, Any, T]]) -> Deferred[T]:
        """
        Wait for the result of the work for C{key}, which is started unless it is in progress.
        """
        joined = self._waiting.get(key)
        waiters = self._waiting[key] = [] if joined is None else joined
        mine: Deferred[T] = Deferred(waiters.remove)
        waiters.append(mine)
        if joined is not None:
            return mine
        working = Deferred.fromCoroutine(work())
        self._working[key] = working
        working.addBoth(self._done, key)
        return mine

    def _done(self, result: T | Failure, key: K) -> None:
        del self._working[key]
        waiters = self._waiting.pop(key)
        if isinstance(result, Failure) and not waiters and not result.check(DistributorError, CancelledError):
            self._log.failure("work that nobody waits for any more", result)
        # Whoever is called back may make others leave.
        while waiters:
            waiter = waiters.pop(0)
            if isinstance(result, Failure):
                waiter.errback(result)
            else:
                waiter.callback(result)

    def cancel(self) -> None:
        """
        Give all of it up.
        """
        for working in list(self._working.values()):
            working.cancel()
