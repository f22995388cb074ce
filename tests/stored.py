"""
A store in a directory of a test's own, without threads.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from distributor.cache import Index, Store
from distributor.model import P, T


def in_thread(f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
    """
    An L{distributor.model.InThread} without threads: what is blocking is done at once.
    """
    return maybeDeferred(f, *args, **kwargs)


def started_store(
    case: SynchronousTestCase, clock: Clock, capacity: int = 10**9, directory: Path | None = None
) -> Store:
    """
    One that has been started, and is stopped when the test ends.

    @param directory: where; by default somewhere new.
    """
    where = Path(case.mktemp()) if directory is None else directory
    (where / "state").mkdir(parents=True, exist_ok=True)
    index = Index(where / "state" / "index.sqlite3", in_thread)
    store = Store(where / "assets", index, capacity, in_thread, clock.seconds)
    case.successResultOf(Deferred.fromCoroutine(store.start()))
    case.addCleanup(lambda: case.successResultOf(Deferred.fromCoroutine(store.stop())))
    return store
