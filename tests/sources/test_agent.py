"""
Tests for L{distributor.sources.agent}.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IProtocol, IStreamClientEndpoint
from twisted.internet.task import Cooperator
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import URI, Agent, FileBodyProducer, HTTPConnectionPool, ResponseNeverReceived, readBody
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IClientRequest
from zope.interface import implementer
from zope.interface.verify import verifyObject

from distributor.sources.agent import GetAgent, Server, Servers
from distributor.sources.connections import _Endpoints
from distributor.sources.expected import Expected

URL = b"http://127.0.0.1:3333/api/v1/files/7"

hosts = st.sampled_from(["127.0.0.1", "[2001:db8::1]", "storage.example", "Storage.Example"])
ports = st.sampled_from(["", ":80", ":443", ":3333"])
paths = st.from_regex(r"((/[\w.~!$&'()*+,=:@%-]{0,5}){1,3}(\?[a-z=&]{1,5})?)?", fullmatch=True).filter(str.isascii)
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=9)


@implementer(IAgentEndpointFactory)
class Plain:
    """
    Connects over TCP, whatever the scheme is.
    """

    def __init__(self, reactor: MemoryReactorClock) -> None:
        self.reactor = reactor

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        return TCP4ClientEndpoint(self.reactor, uri.host.decode("ascii"), uri.port)


class AgentTests(SynchronousTestCase):
    """
    Requests over connections in memory.
    """

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.made: list[bytes] = []
        self.now = Cooperator(scheduler=lambda call: self.reactor.callLater(0, call), started=True)
        self.agent = self.agent_over(self.reactor)

    def agent_over(self, reactor: MemoryReactorClock) -> GetAgent:
        """
        Ours, with TCP for everything, and the C{Host} that it has in earnest.
        """
        plain, endpoints = Plain(reactor), _Endpoints(reactor, 7.0, Expected())

        def make(uri: URI) -> Server:
            self.made.append(uri.toBytes())
            endpoint = plain.endpointForURI(uri)
            return Server((uri.scheme, uri.host, uri.port), endpoint, endpoint, endpoints._server(uri).host)

        return GetAgent(reactor, HTTPConnectionPool(reactor), Servers(make))

    def twisteds(self, reactor: MemoryReactorClock) -> Agent:
        """
        One that keeps connections, too.
        """
        agent: Agent = Agent.usingEndpointFactory(reactor, Plain(reactor), HTTPConnectionPool(reactor))
        return agent

    def connected(self, reactor: MemoryReactorClock, number: int = -1) -> tuple[IProtocol, StringTransport]:
        """
        A connection that is made now, and where goes what is sent on it.
        """
        protocol: Any = reactor.tcpClients[number][2].buildProtocol(None)
        transport = StringTransport()
        protocol.makeConnection(transport)
        return protocol, transport

    @given(st.sampled_from(["http", "https", "HTTP"]), hosts, ports, paths, st.dictionaries(st.just("Range"), values))
    def test_as_twisted_has_it(self, scheme: str, host: str, port: str, path: str, more: dict[str, str]) -> None:
        """
        What goes over the wire, and to where, says the same as what Twisted's agent sends.
        """
        url = f"{scheme}://{host}{port}{path}".encode("ascii")
        headers = Headers({"User-Agent": ["x"], "Accept-Encoding": ["identity"], **{k: [v] for k, v in more.items()}})
        said = []
        for ours in True, False:
            reactor = MemoryReactorClock()
            agent = self.agent_over(reactor) if ours else self.twisteds(reactor)
            agent.request(b"GET", url, headers, None).addErrback(lambda _: None)
            _, transport = self.connected(reactor)
            line, *fields = transport.value().split(b"\r\n")
            said.append((reactor.tcpClients[0][:2], line, sorted(fields)))
        self.assertEqual(said[0], said[1])

    def test_kept(self) -> None:
        """
        The next request of the same server is made on the same connection, and on another where that has ended
        meanwhile; of the server nothing is found out again.
        """
        first = self.agent.request(b"GET", URL)
        protocol, transport = self.connected(self.reactor)
        protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
        self.assertEqual(self.successResultOf(readBody(self.successResultOf(first))), b"x")
        transport.clear()
        second = self.agent.request(b"GET", URL[:-1] + b"8")
        self.assertIn(b"/api/v1/files/8 ", transport.value())
        protocol.connectionLost(Failure(ConnectionResetError()))
        _, another = self.connected(self.reactor, 1)
        self.assertIn(b"/api/v1/files/8 ", another.value())
        self.assertNoResult(second)
        self.assertEqual(self.made, [b"http://127.0.0.1:3333"])

    def test_body(self) -> None:
        """
        What is no GET goes out as well, on connections that both may use.
        """
        got = self.agent.request(b"GET", URL)
        protocol, transport = self.connected(self.reactor)
        protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(self.successResultOf(readBody(self.successResultOf(got))), b"")
        transport.clear()
        self.agent.request(b"POST", URL, Headers({"X": ["y"]}), FileBodyProducer(BytesIO(b"body"), cooperator=self.now))
        self.reactor.advance(0)
        line, *fields, blank, body = transport.value().split(b"\r\n")
        self.assertEqual((line, blank, body), (b"POST /api/v1/files/7 HTTP/1.1", b"", b"body"))
        self.assertEqual(sorted(fields), [b"Content-Length: 4", b"Host: 127.0.0.1:3333", b"X: y"])
        self.assertEqual(self.made, [b"http://127.0.0.1:3333"])

    def test_taken_back(self) -> None:
        """
        A request that is not wanted any more takes its connection with it.
        """
        asked = self.agent.request(b"GET", URL)
        _, transport = self.connected(self.reactor)
        asked.cancel()
        self.failureResultOf(asked, ResponseNeverReceived)
        self.assertTrue(transport.disconnecting)

    def test_request(self) -> None:
        """
        An answer knows what it answers.
        """
        verifyObject(IAgent, self.agent)
        asked = self.agent.request(b"GET", URL, Headers({"Range": ["bytes=0-0"]}))
        protocol, _ = self.connected(self.reactor)
        protocol.dataReceived(b"HTTP/1.1 206 OK\r\nContent-Length: 1\r\n\r\n")
        request = self.successResultOf(asked).request
        verifyObject(IClientRequest, request)
        self.assertEqual((request.method, request.absoluteURI), (b"GET", URL))
        self.assertEqual(request.headers.getRawHeaders("Range"), ["bytes=0-0"])

    def test_what_is_no_url(self) -> None:
        """
        Nothing can be put between the lines of a request.
        """
        for url in b"/files/7", b"127.0.0.1", URL + b" HTTP/1.1\r\nHost: other\r\n", URL + b"\xff", b"":
            self.assertRaises(ValueError, self.agent.request, b"GET", url)
        self.agent.request(b"GET", URL, Headers({"User-Agent": ["x\r\nHost: other"]})).addErrback(lambda _: None)
        _, transport = self.connected(self.reactor)
        self.assertNotIn(b"\nHost: other", transport.value())

    def test_bounded(self) -> None:
        """
        Of the servers that have not been asked for long, nothing is remembered.
        """
        endpoint = TCP4ClientEndpoint(self.reactor, "127.0.0.1", 3333)
        servers = Servers(lambda uri: Server(uri.host, endpoint, endpoint, b""))
        first, _ = servers.of(b"http://0/")
        self.assertIs(servers.of(b"http://0/files")[0], first)
        for number in range(1024):
            servers.of(b"http://%d/" % (number + 1))
        self.assertIsNot(servers.of(b"http://0/")[0], first)
