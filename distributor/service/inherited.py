"""
Listening on sockets that another process has opened.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from typing import Any

from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.protocols.tls import TLSMemoryBIOFactory


class Inherited:
    """
    A reactor, as far as server endpoints need one, that takes the sockets which were handed down, in their order,
    instead of opening others. So an endpoint's description means the same in each process.
    """

    def __init__(self, reactor: Any, descriptors: Iterable[int]) -> None:
        self._reactor = reactor
        self._descriptors = iter(descriptors)

    def listenTCP(self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = "") -> IListeningPort:
        """
        As L{twisted.internet.interfaces.IReactorTCP} has it.
        """
        descriptor = next(self._descriptors)
        family = socket.AF_INET6 if ":" in interface else socket.AF_INET
        adopted: IListeningPort = self._reactor.adoptStreamPort(descriptor, family, factory)
        # It has been duplicated; this one would go on listening when the port is closed.
        os.close(descriptor)
        return adopted

    def listenSSL(
        self, port: int, factory: IProtocolFactory, contextFactory: Any, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        """
        As L{twisted.internet.interfaces.IReactorSSL} has it.
        """
        return self.listenTCP(port, TLSMemoryBIOFactory(contextFactory, False, factory), backlog, interface)
