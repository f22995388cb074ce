"""
Which of the objects on the disk, and on their way there, are other nodes' to distribute by now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

#: How many objects are judged before the reactor has its turn again: about a millisecond's worth.
_AT_ONCE = 2000


class Ownership:
    """
    Judges all objects anew whenever what this node distributes has changed.

    @ivar departed: the ids of those that have left.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        ids: Callable[[], Iterable[str]],
        serves: Callable[[str], bool | None],
        moved: Callable[[list[str], list[str]], None],
    ) -> None:
        """
        @param ids: of what is on the disk, or on its way there.
        @param serves: whether an object is ours; L{None} where that is not known, and then it stays what it was.
        @param moved: is told the ids of those that have left since the last time, and of those that have come back.
        """
        self._clock = clock
        self._ids = ids
        self._serves = serves
        self._moved = moved
        self._reviewing: Deferred[None] | None = None
        self._again = False
        self.departed: set[str] = set()

    def __contains__(self, object_id: object) -> bool:
        """
        Whether an object has left.
        """
        return object_id in self.departed

    def review(self) -> None:
        """
        Judge all anew, soon.
        """
        self._again = True
        if self._reviewing is None:
            reviewing = Deferred.fromCoroutine(self._review())
            reviewing.addErrback(self._failed)
            # With nothing to judge, it is over already.
            self._reviewing = None if reviewing.called else reviewing

    def stop(self) -> None:
        """
        Leave off.
        """
        self._again = False
        if self._reviewing is not None:
            self._reviewing.cancel()

    def _failed(self, failure: Failure) -> None:
        self._reviewing = None
        if not failure.check(CancelledError):
            self._log.failure("judging which objects are ours", failure)

    async def _review(self) -> None:
        while self._again:
            self._again = False
            departed: set[str] = set()
            for number, object_id in enumerate(self._ids()):
                if number % _AT_ONCE == 0:
                    await deferLater(self._clock, 0)
                ours = self._serves(object_id)
                if ours is False or (ours is None and object_id in self.departed):
                    departed.add(object_id)
            left, back = departed - self.departed, self.departed - departed
            self.departed = departed
            if left or back:
                self._log.info(
                    "{left} objects here are other nodes' by now, and {back} are ours again",
                    left=len(left),
                    back=len(back),
                )
                self._moved(sorted(left), sorted(back))
        self._reviewing = None
