"""
A request of which a second one is made elsewhere, where the first is not answered in its usual time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol as TypingProtocol

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from distributor.model import StorageNode
from distributor.sources.answer import Body, Discard, SourceError
from distributor.sources.standings import Standings


class Places(TypingProtocol):
    """
    How many requests may be made at once.
    """

    def take_spare_place(self) -> bool:
        """Take a place, if there is one that nobody waits for."""

    def leave_spare_place(self) -> None:
        """It is not needed any more."""


@frozen
class Won:
    """
    The first usable answer.

    @ivar asked_at: when its storage node was asked, in seconds.
    """

    node: StorageNode
    body: Body
    asked_at: float


class Race:
    """
    Owns the requests that are on their way for one run of bytes: the first, and perhaps a second.

    The first usable answer wins, whose ever it is, and the other request is taken back. That is no failure of the
    other's, but is remembered as the time for which it gave no answer.
    """

    def __init__(
        self,
        ask: Callable[[StorageNode], Deferred[Body]],
        standings: Standings,
        places: Places,
        clock: IReactorTime,
        another: Callable[[], StorageNode | None],
        dropped_out: Callable[[StorageNode, SourceError, StorageNode], None],
    ) -> None:
        """
        @param another: whom to ask as well; L{None} for nobody.
        @param dropped_out: is told of a node that has failed, why, and which one is left.
        """
        self._ask = ask
        self._standings = standings
        self._places = places
        self._clock = clock
        self._another = another
        self._dropped_out = dropped_out
        self._running: dict[StorageNode, tuple[Deferred[Body], float]] = {}
        self._second: IDelayedCall | None = None
        self._has_spare_place = False
        self._won: Deferred[Won] = Deferred(lambda _: self._stop())

    def run(self, first: StorageNode) -> Deferred[Won]:
        """
        Ask C{first}. Called once; its place has been taken, and is left by who calls.

        @return: fails with the L{SourceError} of the node that failed last, when all have.
        """
        usual_s = self._standings.usual_s(first)
        self._start(first)
        if self._running:
            self._second = self._clock.callLater(usual_s, self._start_second)
        return self._won

    def _start(self, node: StorageNode) -> None:
        now = self._clock.seconds()
        self._standings.asked(node)
        asked = self._ask(node)
        self._running[node] = asked, now
        asked.addCallbacks(self._answered, self._failed, callbackArgs=(node, now), errbackArgs=(node,))

    def _start_second(self) -> None:
        self._second = None
        if not self._places.take_spare_place():
            # There is more to do than can be done: no time to do anything twice.
            return
        self._has_spare_place = True
        node = self._another()
        if node is None or node in self._running:
            self._leave_spare_place()
        else:
            self._start(node)

    def _answered(self, body: Body, node: StorageNode, asked_at: float) -> None:
        if node not in self._running:
            body.deliver(Discard())
            return
        now = self._clock.seconds()
        del self._running[node]
        self._standings.answered(node, now - asked_at)
        for other, (_, since) in self._running.items():
            self._standings.unanswered(other, now - since)
        self._stop()
        self._won.callback(Won(node, body, asked_at))

    def _failed(self, failure: Failure, node: StorageNode) -> None:
        if node not in self._running:
            # It has been taken back.
            return
        del self._running[node]
        error = failure.value
        if isinstance(error, SourceError):
            self._standings.failed(node, str(error), well=error.well)
            if self._running:
                self._leave_spare_place()
                self._dropped_out(node, error, *self._running)
                return
        self._stop()
        self._won.errback(failure)

    def _stop(self) -> None:
        """
        The one place where a race gives back what it holds.
        """
        if self._second is not None:
            self._second.cancel()
            self._second = None
        running, self._running = self._running, {}
        for asked, _ in running.values():
            asked.cancel()
        self._leave_spare_place()

    def _leave_spare_place(self) -> None:
        if self._has_spare_place:
            self._has_spare_place = False
            self._places.leave_spare_place()
