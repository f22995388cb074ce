"""
Where viewers come in: the ports, the gate, and how everybody leaves in the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from typing import Protocol as TypingProtocol

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from distributor.web.errors import SHUTTING_DOWN, STARTING, ApiError
from distributor.web.gate import Gate

#: What is in the buffers of a connection when its last answer is over takes a slow client about a second. Some clients
#: never answer the farewell of TLS.
_FAREWELL_S = 5.0


class _Site(TypingProtocol):
    def close(self) -> Deferred[None]: ...

    def cut(self) -> None: ...

    def empty(self) -> Deferred[None]: ...


class FrontDoor:
    """
    Shut until L{open}.

    @ivar ports: what it listens on.
    """

    _log = Logger()

    def __init__(self, clock: Any, endpoints: Sequence[IStreamServerEndpoint], most_inside: int) -> None:
        """
        @param most_inside: how many answers may be in progress.
        """
        self._clock = clock
        self._endpoints = endpoints
        self.gate = Gate(most_inside)
        self.gate.close(STARTING)
        self._hurried = False
        self._hurry: Deferred[None] | None = None
        self.ports: list[IListeningPort] = []

    def listen(self, factory: IProtocolFactory) -> None:
        """
        Open the ports.

        @raise Exception: one cannot be opened.
        """
        failures: list[Failure] = []
        for endpoint in self._endpoints:
            endpoint.listen(factory).addCallbacks(self.ports.append, failures.append)
        for failure in failures:
            failure.raiseException()

    def open(self) -> None:
        """
        Let everybody in.
        """
        self.gate.open()

    def shut(self, reason: ApiError) -> None:
        """
        Let nobody in.
        """
        self.gate.close(reason)

    def hurry(self) -> None:
        """
        Do not wait any longer for answers in progress, now that L{close} has been called.
        """
        self._hurried = True
        if self._hurry is not None:
            self._hurry.cancel()

    async def close(self, site: _Site, patience_s: float, about_to_cut: Callable[[], None]) -> None:
        """
        Let nobody in, let those inside finish for a while, and close all connections.

        @param about_to_cut: is called when they have not finished.
        """
        self.shut(SHUTTING_DOWN)
        ports, self.ports = self.ports, []
        for port in ports:
            stopped = port.stopListening()
            if stopped is not None:
                await stopped
        empty = self.gate.empty()
        if not empty.called:
            self._log.info("waiting up to {patience:g} s for answers in progress", patience=patience_s)
        if not await self._patiently(empty, patience_s):
            self._log.warn("cutting answers that are still in progress")
            about_to_cut()
            self.gate.throw_out()
            await self.gate.empty()
        # The end of an answer may still wait in a buffer for a slow client.
        if not await self._patiently(site.close(), min(patience_s, _FAREWELL_S)):
            site.cut()
            await site.empty()

    async def _patiently(self, done: Deferred[None], patience_s: float) -> bool:
        """
        Wait for a while, or until somebody is in a hurry.

        @return: whether it was enough.
        """
        if done.called or self._hurried:
            return done.called
        self._hurry = done.addTimeout(patience_s, self._clock)
        try:
            await done
        except (CancelledError, TimeoutError):
            return False
        finally:
            self._hurry = None
        return True
