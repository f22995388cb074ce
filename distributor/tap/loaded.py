"""
What a process has loaded when it begins to run, and is going to keep.
"""

from __future__ import annotations

import gc
from collections.abc import Callable

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from distributor.tap.huge_pages import collapse

_log = Logger("distributor")

#: When there are so many objects more than before, of those that can hold others, the new ones are looked through for
#: garbage. Python's 700 had come together just when two readers had a storage node asked, and the second waited a fifth
#: of a millisecond more.
_NEW = 10_000

#: After more than so many times, those that were new then are looked through once more, with the next: 50,000. With
#: Python's 10 it would be 120,000 at once.
_TIMES = 3


class Loaded(Service):
    """
    Makes what is always there cost less. It is put into huge pages; and the garbage collector leaves it alone: to go
    through it takes more than 20 ms, in which nobody is answered, and finds nothing.
    """

    def __init__(self, in_thread: Callable[[Callable[[], None]], Deferred[None]]) -> None:
        """
        @param in_thread: C{deferToThread}.
        """
        self._in_thread = in_thread
        self._done: Deferred[None] = succeed(None)
        self._thresholds = gc.get_threshold()

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        gc.collect()
        gc.freeze()
        gc.set_threshold(_NEW, _TIMES)
        # Threads begin when the reactor runs, and by then twistd is the process that it will be.
        self._done = self._in_thread(collapse)
        self._done.addErrback(lambda failure: _log.failure("Memory stays in small pages", failure))

    def stopService(self) -> Deferred[None]:
        super().stopService()  # type: ignore[no-untyped-call]
        gc.set_threshold(*self._thresholds)
        return self._done
