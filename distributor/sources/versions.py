"""
How storage nodes that nothing is asked of at present are: C{GET /version}.
"""

from __future__ import annotations

import json
from collections import deque

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss

from distributor.model import StorageNode
from distributor.sources.answer import Discard, SourceError
from distributor.sources.breaker import BreakerState
from distributor.sources.storage_node import StorageNodes

#: So many are asked at once.
_AT_ONCE = 3

#: No version takes more than this; in bytes, and in characters.
_LONGEST_BODY = 16 * 1024
_LONGEST_VERSION = 100


class VersionChecks:
    """
    Asks those that have not been asked for anything lately, so that it is known how soon they answer, and whether they
    do, before they are needed.

    One that does not answer has failed. That one does answer says nothing of whether it has objects to give: where it
    had failed before, that still counts.
    """

    def __init__(self, nodes: StorageNodes, clock: IReactorTime, every_s: float) -> None:
        """
        @param every_s: how often L{check} is called; one that was asked within that time is not asked again.
        """
        self._nodes = nodes
        self._clock = clock
        self._every_s = every_s
        self._due: deque[StorageNode] = deque()
        self._checking: Deferred[list[None]] | None = None

    async def check(self) -> None:
        """
        Ask them all, a few at a time, and return when all have answered or failed.
        """
        if self._checking is not None:
            return
        now = self._clock.seconds()
        self._due.extend(
            standing.node
            for standing in self._nodes.standings
            if (standing.asked_at is None or now - standing.asked_at >= self._every_s)
            and standing.breaker.state(now) is not BreakerState.OPEN
        )
        self._checking = gatherResults([Deferred.fromCoroutine(self._work()) for _ in range(_AT_ONCE)])
        try:
            await self._checking
        finally:
            self._checking = None

    def stop(self) -> None:
        """
        Leave off.
        """
        self._due.clear()
        if self._checking is not None:
            self._checking.addErrback(lambda _: None)
            self._checking.cancel()

    async def _work(self) -> None:
        while self._due:
            await self._ask(self._due.popleft())

    async def _ask(self, node: StorageNode) -> None:
        asked_at = self._clock.seconds()
        try:
            response = await self._nodes.get(node, "version")
            answered_after_s = self._clock.seconds() - asked_at
            if response.code != 200:
                response.deliverBody(Discard())
                raise SourceError(f"status {response.code}", well=400 <= response.code < 500)
            short = _Short()
            response.deliverBody(short)
            body = await short.read.addTimeout(self._nodes.timeout_s, self._clock)
        except Exception as error:
            if not (isinstance(error, SourceError) and error.well):
                self._nodes.standings.failed(node, f"version: {error}")
            return
        self._nodes.standings.answered(node, answered_after_s)
        self._nodes.standings.of(node).version = _version(body)


def _version(body: bytes) -> str | None:
    """
    What a storage node says that it is; L{None} where that is nothing to show to anybody.
    """
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return None
    version = told.get("version") if isinstance(told, dict) else None
    return version[:_LONGEST_VERSION] if isinstance(version, str) and version.isprintable() else None


class _Short(Protocol):
    """
    Reads a body, unless it is too long.

    @ivar read: fires with it. Cancelling it ends the connection.
    """

    def __init__(self) -> None:
        self.read: Deferred[bytes] = Deferred(lambda _: self._abort())
        self._body = b""

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        if self.read.called:
            return
        self._body += data
        if len(self._body) > _LONGEST_BODY:
            self.read.errback(SourceError(f"more than {_LONGEST_BODY} bytes"))
            self._abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.read.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.read.callback(self._body)
        else:
            self.read.errback(SourceError(f"broke off: {reason.getErrorMessage()}"))
