"""
Where the operator comes in.
"""

from __future__ import annotations

import time
from typing import Any

from twisted.internet.defer import TimeoutError
from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.python.failure import Failure

from distributor.config import OperatorAPI
from distributor.observe import Sparse
from distributor.observe.metrics import Metrics
from distributor.operations import Operations
from distributor.web.operator_api import OperatorApi
from distributor.web.operator_site import OperatorSite
from distributor.web.token import Tokens

_IDLE_S = 60

#: An operator's last answer is small, and may be the one that says that the node is shutting down.
_FAREWELL_S = 2.0


class BackDoor:
    """
    The operator's API on a port of its own.
    """

    def __init__(self, reactor: Any, config: OperatorAPI, operations: Operations, metrics: Metrics) -> None:
        """
        @raise ValueError: the secret is of no use.
        """
        trouble = Sparse(reactor, Logger("distributor.operator"))
        api = OperatorApi(operations, Tokens(config.hmac_secret), metrics, time.time, trouble)
        self._reactor = reactor
        self._site = OperatorSite(api, timeout=_IDLE_S, reactor=reactor)
        kind = TCP6ServerEndpoint if ":" in config.host else TCP4ServerEndpoint
        self._endpoint = kind(reactor, config.port, interface=config.host)
        self._ports: list[IListeningPort] = []

    def listen(self) -> list[IListeningPort]:
        """
        Open the port.

        @raise CannotListenError: it cannot be opened.
        """
        failures: list[Failure] = []
        listening = self._endpoint.listen(self._site)  # type: ignore[no-untyped-call]
        listening.addCallbacks(self._ports.append, failures.append)
        for failure in failures:
            failure.raiseException()
        return self._ports

    async def close(self) -> None:
        """
        Close the port, and all connections.
        """
        ports, self._ports = self._ports, []
        for port in ports:
            stopped = port.stopListening()
            if stopped is not None:
                await stopped
        try:
            await self._site.close().addTimeout(_FAREWELL_S, self._reactor)
        except TimeoutError:
            self._site.cut()
