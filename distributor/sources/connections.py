"""
Connections to storage nodes: kept alive, TLS verified.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import connectionDone
from twisted.internet.tcp import Connection
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import URI, BrowserLikePolicyForHTTPS, HTTPConnectionPool
from zope.interface import implementer

from distributor.model import FIRST_STEP
from distributor.sources.agent import GetAgent, Server, Servers
from distributor.sources.expected import Expected
from distributor.sources.public import OnlyPublic
from distributor.sources.spare import SpareFirst, Spares
from distributor.sources.storage_node import Agents

#: An idle connection is kept for less time than most servers keep theirs, so that few requests meet one that closes.
_IDLE_S = 4

#: Connections to one storage node that are kept for the next request.
_KEPT = 8

#: What may be on its way at once on one connection, in bytes: what is lost when it is cut, and enough for 10 MB/s at a
#: round trip of 100 ms. The kernel would let it grow to several MiB.
_IN_FLIGHT = 1024 * 1024

#: What is read from a connection at once, in bytes, where there is so much. Twisted's 64 KiB cost half as much again.
_READ_SIZE = 256 * 1024

#: The same, of the beginning of an answer: Twisted copies all of it for each line of the head.
_FIRST_READ = FIRST_STEP + 4096

#: Memory that is kept for what is read next, in bytes: as much as a download holds, and some more.
_KEPT_MEMORY = 8 * 1024 * 1024


class Connections:
    """
    Owns the connections to all storage nodes.

    Those to nodes that the operator named, and those to others, are in pools of their own: a pool knows a host by its
    name, and would lend a connection that was made without a look at the address.

    @ivar agents: what makes requests over them.
    """

    def __init__(self, reactor: Any, timeout_s: float, *, allow_private: bool) -> None:
        """
        @param timeout_s: within which a connection has to be made.
        @param allow_private: all nodes may be at addresses that are not for everybody to reach.
        """
        _keep_memory()
        expected = Expected()
        trusted = _Endpoints(reactor, timeout_s, expected)
        checked = trusted if allow_private else _Endpoints(OnlyPublic(reactor), timeout_s, expected)
        self._endpoints = (trusted,) if allow_private else (trusted, checked)
        self._pools: list[HTTPConnectionPool] = []
        agents = {endpoints: self._agent(reactor, endpoints) for endpoints in self._endpoints}
        self.agents = Agents(
            agents[trusted],
            agents[checked],
            lambda url, is_trusted: (trusted if is_trusted else checked).prepare(url),
            expected.look,
        )

    def _agent(self, reactor: Any, endpoints: _Endpoints) -> GetAgent:
        pool = HTTPConnectionPool(reactor)
        pool.maxPersistentPerHost = _KEPT
        pool.cachedConnectionTimeout = _IDLE_S
        self._pools.append(pool)
        return GetAgent(reactor, pool, endpoints.servers)

    async def close(self) -> None:
        """
        End all that are kept for a next request.
        """
        for endpoints in self._endpoints:
            await endpoints.spares.close()
        for pool in self._pools:
            await pool.closeCachedConnections()


def _keep_memory() -> None:
    """
    Have the C library keep what buffers leave behind, for the next ones.

    It gives the end of its memory back whenever more than a little of it is free, and the kernel clears each page that
    is taken again: a tenth of what a download costs. How much is a little, it learns from blocks that are given back:
    twice the largest (mallopt(3), C{M_MMAP_THRESHOLD}).
    """
    bytearray(_KEPT_MEMORY // 2)


class _Endpoints:
    """
    How an agent connects.

    @ivar servers: to those that have been asked lately.
    @ivar spares: the connections that are ready.
    """

    def __init__(self, reactor: Any, timeout_s: float, expected: Expected) -> None:
        self._reactor = reactor
        self._timeout_s = timeout_s
        self._expected = expected
        self._tls = BrowserLikePolicyForHTTPS()
        self.servers = Servers(self._server)
        self.spares = Spares(reactor)

    def prepare(self, url: bytes) -> None:
        """
        Have connections ready.
        """
        server, _ = self.servers.of(url)
        self.spares.prepare(server.key, server.fresh)

    def _server(self, uri: URI) -> Server:
        host = uri.host.decode("ascii")
        written = f"[{host}]" if isIPv6Address(host) else host
        if (uri.scheme, uri.port) not in ((b"http", 80), (b"https", 443)):
            written += f":{uri.port}"
        key, fresh = (uri.scheme, uri.host, uri.port), self._fresh(uri)
        return Server(key, fresh, SpareFirst(self.spares, key, fresh), written.encode("ascii"))

    def _fresh(self, uri: URI) -> IStreamClientEndpoint:
        endpoint: IStreamClientEndpoint = _Endpoint(self._to(uri.host.decode("ascii"), uri.port), self._expected)
        if uri.scheme == b"https":
            return _Abrupt(wrapClientTLS(self._tls.creatorForNetloc(uri.host, uri.port), endpoint))
        return endpoint

    def _to(self, host: str, port: int) -> IStreamClientEndpoint:
        # An address has no others behind it that could be tried as well, which takes HostnameEndpoint its time.
        if isIPAddress(host):
            return TCP4ClientEndpoint(self._reactor, host, port, timeout=self._timeout_s)
        if isIPv6Address(host):
            return TCP6ClientEndpoint(self._reactor, host, port, timeout=self._timeout_s)
        return HostnameEndpoint(self._reactor, host, port, timeout=self._timeout_s)


@implementer(IStreamClientEndpoint)
class _Endpoint:
    """
    Connects, without a line in the log for each connection, and bounds what is in flight.
    """

    def __init__(self, endpoint: IStreamClientEndpoint, expected: Expected) -> None:
        self._endpoint = endpoint
        self._expected = expected

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        protocolFactory.noisy = False  # type: ignore[attr-defined]
        factory = _PromptFactory(protocolFactory)  # type: ignore[no-untyped-call]
        factory.expected = self._expected
        connected: Deferred[IProtocol] = self._endpoint.connect(factory)
        return connected.addCallback(_bound).addCallback(_unwrapped)


class _Promptly(ProtocolWrapper):
    """
    A connection on which what is written goes out at once, and not when the reactor has seen to everybody else: a crowd
    that comes at one instant keeps that busy for longer than a storage node takes to answer. (TLS above it gathers what
    is written in a turn.) Of an answer not more is read at first than somebody needs to begin.
    """

    factory: _PromptFactory

    # Whether the transport may have something left to send.
    _behind = False

    def dataReceived(self, data: bytes) -> None:
        # In memory there is no socket.
        if isinstance(self.transport, Connection):
            self.transport.bufferSize = _READ_SIZE
        self._forget()
        super().dataReceived(data)  # type: ignore[no-untyped-call]

    def write(self, data: bytes) -> None:
        transport = self.transport
        if isinstance(transport, Connection) and transport.connected and not transport.disconnecting:
            transport.bufferSize = _FIRST_READ
            if not self._behind:
                # What cannot be sent, or why, the reactor finds anew.
                with suppress(OSError):
                    data = data[transport.getHandle().send(data) :]
            self.factory.expected.add(transport)
        if data:
            self._behind = True
            super().write(data)  # type: ignore[no-untyped-call]

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def pauseProducing(self) -> None:
        self._forget()
        self.transport.pauseProducing()  # type: ignore[union-attr]

    def loseConnection(self) -> None:
        self._forget()
        super().loseConnection()  # type: ignore[no-untyped-call]

    def _forget(self) -> None:
        if isinstance(self.transport, Connection):
            self.factory.expected.discard(self.transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._forget()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]


class _PromptFactory(WrappingFactory[_Promptly]):
    noisy = False
    protocol = _Promptly
    expected: Expected


class _Abruptly(ProtocolWrapper):
    """
    A connection that is gone at once when it is given up.
    """

    def loseConnection(self) -> None:
        self.disconnecting = True
        self.transport.abortConnection()  # type: ignore[union-attr]


class _AbruptFactory(WrappingFactory[_Abruptly]):
    noisy = False
    protocol = _Abruptly


@implementer(IStreamClientEndpoint)
class _Abrupt:
    """
    Connects so that giving a connection up ends it. TLS says goodbye, and waits to hear the same: from a storage node
    that hangs it never would, and the connection, and the end of this process, would wait for ever.
    """

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        factory = _AbruptFactory(protocolFactory)  # type: ignore[no-untyped-call]
        connected: Deferred[IProtocol] = self._endpoint.connect(factory)
        return connected.addCallback(_unwrapped)


def _unwrapped(wrapper: IProtocol) -> IProtocol:
    protocol: IProtocol = wrapper.wrappedProtocol  # type: ignore[attr-defined]
    return protocol


def _bound(protocol: IProtocol) -> IProtocol:
    transport = getattr(protocol, "transport", None)
    # In memory there is no socket.
    with suppress(AttributeError):
        # Linux doubles what it is told, and lets nearly all of that be filled.
        transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _IN_FLIGHT // 2)  # type: ignore[union-attr]
    return protocol
