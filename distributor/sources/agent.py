"""
What makes requests of storage nodes and query nodes: nearly all are GETs, of few servers, and a reader waits for each.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IStreamClientEndpoint, ITransport
from twisted.web.client import URI, Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IBodyProducer, IClientRequest, IResponse
from zope.interface import implementer

#: Servers of which something is remembered.
_MOST_SERVERS = 1024

_VISIBLE = re.compile(rb"[\x21-\x7e]+")


@frozen
class Server:
    """
    @ivar key: names it in a pool: scheme, host and port, as L{Agent} has it.
    @ivar fresh: connects to it.
    @ivar endpoint: the same, but for a connection that is ready, where there is one.
    @ivar host: the C{Host} field of requests to it.
    """

    key: tuple[bytes, bytes, int]
    fresh: IStreamClientEndpoint
    endpoint: IStreamClientEndpoint
    host: bytes


@implementer(IAgentEndpointFactory)
class Servers:
    """
    Those that have been asked lately, by what their URLs begin with.
    """

    def __init__(self, make: Callable[[URI], Server]) -> None:
        self._make = make
        self._servers: dict[bytes, Server] = {}

    def of(self, url: bytes) -> tuple[Server, bytes]:
        """
        @param url: absolute; behind the authority, a path, or nothing.
        @return: the server, and what it is asked for (RFC 9112 §3.2.1).
        @raise ValueError: it is no URL.
        """
        if _VISIBLE.fullmatch(url) is None:
            raise ValueError(f"Invalid URL {url!r}")
        path_at = url.find(b"/", url.index(b"://") + 3)
        origin, path = (url, b"/") if path_at < 0 else (url[:path_at], url[path_at:])
        server = self._servers.get(origin)
        if server is None:
            server = self._make(URI.fromBytes(origin))
            if len(self._servers) >= _MOST_SERVERS:
                del self._servers[next(iter(self._servers))]
            self._servers[origin] = server
        return server, path

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        return self.of(uri.toBytes())[0].endpoint


@implementer(IClientRequest)
class _Get:
    """
    A request as an C{HTTP11ClientProtocol} sends it.
    """

    method = b"GET"
    bodyProducer = None
    persistent = True

    def __init__(self, url: bytes, headers: Headers, head: bytes) -> None:
        self.absoluteURI = url
        self.headers = headers
        self._head = head

    def writeTo(self, transport: ITransport) -> Deferred[None]:
        transport.write(self._head)
        return succeed(None)


@implementer(IAgent)
class GetAgent:
    """
    An L{Agent<twisted.web.client.Agent>} whose GETs take less: that one parses each URL, and finds out how to connect,
    as if it had never seen the server. Redirects are not followed, nor cookies kept.
    """

    def __init__(self, reactor: object, pool: HTTPConnectionPool, servers: Servers) -> None:
        self._agent: Agent = Agent.usingEndpointFactory(reactor, servers, pool)
        self._pool = pool
        self._servers = servers

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        """
        @param uri: as L{Servers.of} takes it.
        @param headers: without C{Host}.
        """
        if method != b"GET" or bodyProducer is not None:
            asked: Deferred[IResponse] = self._agent.request(method, uri, headers, bodyProducer)
            return asked
        server, path = self._servers.of(uri)
        headers = headers or Headers()
        lines = [b"GET ", path, b" HTTP/1.1\r\nHost: ", server.host, b"\r\n"]
        for name, values in headers.getAllRawHeaders():
            for value in values:
                lines += name, b": ", value, b"\r\n"
        lines.append(b"\r\n")
        get = _Get(uri, headers, b"".join(lines))
        connected: Deferred[Any] = self._pool.getConnection(server.key, server.endpoint)
        return connected.addCallback(lambda connection: connection.request(get))
