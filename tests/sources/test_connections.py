"""
Tests for L{distributor.sources.connections}.
"""

from __future__ import annotations

import platform
import random
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from service_identity import CertificateError
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import CertificateOptions, KeyPair
from twisted.internet.task import deferLater
from twisted.internet.testing import MemoryReactorClock
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import ResponseNeverReceived, readBody
from twisted.web.http import HTTPChannel, Request
from twisted.web.resource import Resource
from twisted.web.server import Site

from distributor.sources import Connections
from distributor.sources.connections import _Endpoints
from distributor.sources.expected import Expected
from distributor.sources.public import NotPublic


class EndpointsTests(SynchronousTestCase):
    """
    How storage nodes are connected to.
    """

    def connecting(self, uri: bytes) -> MemoryReactorClock:
        """
        A reactor that has been asked to connect.
        """
        reactor = MemoryReactorClock()
        endpoint = _Endpoints(reactor, 7.0, Expected()).servers.of(uri)[0].endpoint
        endpoint.connect(Factory.forProtocol(Protocol)).addErrback(lambda _: None)
        return reactor

    def test_address_and_time_out(self) -> None:
        """
        The host and port are the URL's, and a connection has to be made within the time-out.
        """
        for host in ("127.0.0.1", "2001:db8::1"):
            for scheme in ("http", "https"):
                authority = f"[{host}]:3333" if ":" in host else f"{host}:3333"
                uri = f"{scheme}://{authority}/".encode("ascii")
                [(address, port, _, timeout, _)] = self.connecting(uri).tcpClients
                self.assertEqual((address, port, timeout), (host, 3333, 7.0))


#: Prints how many pages the kernel has to clear for as many buffers as ten downloads of 4 MiB take.
_TAKES_AND_GIVES_BACK = """
from resource import RUSAGE_SELF, getrusage
from distributor.sources.connections import _keep_memory

def take():
    return [b"x" * 262_144 for _ in range(16)]

_keep_memory()
take()
before = getrusage(RUSAGE_SELF).ru_minflt
for _ in range(10):
    take()
print(getrusage(RUSAGE_SELF).ru_minflt - before)
"""


class MemoryTests(SynchronousTestCase):
    """
    What buffers leave behind.
    """

    if platform.libc_ver()[0] != "glibc":
        skip = "another C library may do as it likes"

    def test_is_kept(self) -> None:
        """
        Memory that buffers of downloads have given back is taken by the next ones as it is: it was not returned to the
        kernel, which would clear each of its pages.
        """
        # In a process of its own: what this one has given back before would count.
        said = subprocess.run(
            [sys.executable, "-c", _TAKES_AND_GIVES_BACK],
            cwd=Path(__file__).resolve().parents[2],
            stdout=subprocess.PIPE,
            check=True,
        )
        self.assertLess(int(said.stdout), 1000)


class Deaf(Protocol):
    """
    Hears nothing after the first words.
    """

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(b"what?")  # type: ignore[union-attr]
        self.transport.pauseProducing()  # type: ignore[union-attr]


class Losing(Protocol):
    """
    Gives up at the first answer, and tells when the connection is gone.
    """

    def __init__(self) -> None:
        self.lost: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.transport.write(b"well?")  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        self.transport.loseConnection()  # type: ignore[union-attr]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)


class Peer(Resource):
    """
    Remembers the ports of those who ask.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.ports: list[int] = []
        self.redirect: bytes | None = None

    def render_GET(self, request: Request) -> bytes:
        """
        Answer with a byte, or send elsewhere.
        """
        self.ports.append(request.getClientAddress().port)
        if self.redirect is not None:
            request.redirect(self.redirect)
        return b"x"


class Taking(Protocol):
    """
    Takes so many bytes, and then as many again.

    @ivar pieces: the lengths of what came at once.
    @ivar got: fires when all have come.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self.expect()

    def expect(self) -> None:
        """
        Begin anew.
        """
        self.pieces: list[int] = []
        self.got: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.pieces.append(len(data))
        if sum(self.pieces) == self._length:
            self.got.callback(None)


class AgentTests(TestCase):
    """
    The agent, over real sockets.
    """

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.peer = Peer()
        self.connections = Connections(reactor, 7.0, allow_private=False)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.connections.close()))
        self.agent = self.connections.agents.trusted

    def listen(self, listen: Callable[..., IListeningPort], *options: object) -> int:
        """
        Serve until the test ends.
        """
        port = listen(0, Site(self.peer), *options, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        number: int = port.getHost().port  # type: ignore[attr-defined]
        return number

    async def test_keeps_alive(self) -> None:
        """
        Two requests use one connection.
        """
        port = self.listen(self.reactor.listenTCP)
        for _ in range(2):
            response = await self.agent.request(b"GET", b"http://127.0.0.1:%d/" % port)
            self.assertEqual(await readBody(response), b"x")
        self.assertEqual(len(set(self.peer.ports)), 1)

    async def test_trust_is_not_lent(self) -> None:
        """
        A connection that was made to a storage node of the operator's is not used for one of a third party's that says
        that it is the same.
        """
        port = self.listen(self.reactor.listenTCP)
        response = await self.agent.request(b"GET", b"http://127.0.0.1:%d/" % port)
        self.assertEqual(await readBody(response), b"x")
        checked = self.connections.agents.checked.request(b"GET", b"http://127.0.0.1:%d/" % port)
        await self.assertFailure(checked, NotPublic)
        self.assertEqual(len(self.peer.ports), 1)

    async def test_allowed(self) -> None:
        """
        Where private addresses are allowed, third parties' storage nodes are reached in the same way as the operator's.
        """
        port = self.listen(self.reactor.listenTCP)
        connections = Connections(self.reactor, 7.0, allow_private=True)
        self.addCleanup(lambda: Deferred.fromCoroutine(connections.close()))
        response = await connections.agents.checked.request(b"GET", b"http://127.0.0.1:%d/" % port)
        self.assertEqual(await readBody(response), b"x")

    async def test_ready(self) -> None:
        """
        A request goes out on a connection that has been made for it before; where that turns out to be gone, on a fresh
        one. Those that nobody has used end in the end.
        """
        made: list[Protocol] = []
        gone: list[Protocol] = []

        class Channel(HTTPChannel):
            def connectionMade(self) -> None:
                made.append(self)
                super().connectionMade()
                if len(made) == 2:
                    ready.callback(None)

            def dataReceived(self, data: bytes) -> None:
                if self in gone:
                    self.transport.abortConnection()  # type: ignore[union-attr]
                else:
                    super().dataReceived(data)

        site = Site(self.peer)
        site.protocol = Channel  # type: ignore[assignment]
        listening = self.reactor.listenTCP(0, site, interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        url = b"http://127.0.0.1:%d" % listening.getHost().port
        ready: Deferred[None] = Deferred()
        self.connections.agents.prepare(url, True)
        await ready
        # Both ends of each have been made by now, but this one may not know it yet.
        await deferLater(self.reactor, 0)
        response = await self.agent.request(b"GET", url)
        self.assertEqual(await readBody(response), b"x")
        self.assertEqual(len(made), 2)
        gone += made
        response = await self.agent.request(b"GET", url)
        self.assertEqual(await readBody(response), b"x")
        self.assertEqual(len(made), 3)

    async def test_redirects_are_not_followed(self) -> None:
        """
        A storage node that sends us elsewhere has given no answer that is of use, and elsewhere nothing is asked for.
        """
        port = self.listen(self.reactor.listenTCP)
        self.peer.redirect = b"http://127.0.0.1:%d/elsewhere" % port
        response = await self.agent.request(b"GET", b"http://127.0.0.1:%d/" % port)
        await readBody(response)
        self.assertEqual((response.code, len(self.peer.ports)), (302, 1))

    async def test_what_is_in_flight_is_bounded(self) -> None:
        """
        A connection that is cut loses little: what the other side can send of what nobody reads is bounded.
        """
        port = self.listen(self.reactor.listenTCP)
        endpoint = _Endpoints(self.reactor, 7.0, Expected()).servers.of(b"http://127.0.0.1:%d/" % port)[0].endpoint
        protocol = await endpoint.connect(Factory.forProtocol(Protocol))
        # All of what the kernel reserves may be filled.
        bound = protocol.transport.getHandle().getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)  # type: ignore[attr-defined]
        self.assertLessEqual(bound, 1024 * 1024)
        protocol.transport.abortConnection()  # type: ignore[attr-defined]

    async def test_goes_out_at_once(self) -> None:
        """
        A request does not wait for the reactor's next turn; of what answers it, little is read at first.
        """
        content = bytes(200 * 1024)
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        uri = b"http://127.0.0.1:%d/" % listener.getsockname()[1]
        taking = Taking(len(content))
        protocol = (
            await _Endpoints(self.reactor, 7.0, Expected())
            .servers.of(uri)[0]
            .endpoint.connect(Factory.forProtocol(lambda: taking))
        )
        peer, _ = listener.accept()
        self.addCleanup(peer.close)
        peer.settimeout(5)
        for lines in ([b"GET /1", b" HTTP/1.1"], [b"GET /2", b" HTTP/1.1"]):
            protocol.transport.writeSequence(lines)  # type: ignore[attr-defined]
            self.assertEqual(peer.recv(100), b"".join(lines))
            peer.sendall(content)
            await taking.got
            self.assertLessEqual(taking.pieces[0], 20 * 1024)
            self.assertGreater(max(taking.pieces), 20 * 1024)
            taking.expect()
        protocol.transport.write(b"bye")  # type: ignore[attr-defined]
        self.assertEqual(peer.recv(100), b"bye")
        protocol.transport.abortConnection()  # type: ignore[attr-defined]

    async def test_more_than_the_socket_takes(self) -> None:
        """
        What cannot go out at once does so later, before what is written after it.
        """
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        uri = b"http://127.0.0.1:%d/" % listener.getsockname()[1]
        endpoint = _Endpoints(self.reactor, 7.0, Expected()).servers.of(uri)[0].endpoint
        protocol = await endpoint.connect(Factory.forProtocol(Protocol))
        peer, _ = listener.accept()
        self.addCleanup(peer.close)
        peer.settimeout(5)
        much = random.Random(1).randbytes(16 * 1024 * 1024)
        protocol.transport.write(much)  # type: ignore[attr-defined]
        with peer.makefile("rb") as file:
            # There is room again for what is written next, before the reactor has seen that.
            begun = file.read(1024 * 1024)
            for words in b"one", b"two":
                protocol.transport.write(words)  # type: ignore[attr-defined]
            rest = await deferToThread(file.read, len(much) + 6 - len(begun))
        self.assertTrue(begun + rest == much + b"onetwo")
        protocol.transport.abortConnection()  # type: ignore[attr-defined]

    async def test_is_looked_for(self) -> None:
        """
        What comes first after something has been written may be taken before the reactor's turn; what follows that,
        only then.
        """
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        uri = b"http://127.0.0.1:%d/" % listener.getsockname()[1]
        expected, taking = Expected(), Taking(100)
        endpoint = _Endpoints(self.reactor, 7.0, expected).servers.of(uri)[0].endpoint
        protocol = await endpoint.connect(Factory.forProtocol(lambda: taking))
        peer, _ = listener.accept()
        self.addCleanup(peer.close)
        for length in 3, 4:
            protocol.transport.write(b"well?")  # type: ignore[attr-defined]
            expected.look()
            self.assertEqual(taking.pieces, [])
            peer.sendall(bytes(length))
            expected.look()
            self.assertEqual(taking.pieces, [length])
            peer.sendall(bytes(100 - length))
            expected.look()
            self.assertEqual(taking.pieces, [length])
            await taking.got
            taking.expect()
        protocol.transport.abortConnection()  # type: ignore[attr-defined]

    async def test_answer_is_looked_for(self) -> None:
        """
        The answer to a request that is on its way is there as soon as somebody looks for it.
        """
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        asked = self.agent.request(b"GET", b"http://127.0.0.1:%d/" % listener.getsockname()[1])
        peer, _ = await deferToThread(listener.accept)
        self.addCleanup(peer.close)
        await deferToThread(peer.recv, 1000)
        peer.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        self.assertNoResult(asked)
        self.connections.agents.look()
        self.assertEqual(self.successResultOf(asked).code, 204)

    async def test_who_pauses_is_not_looked_at(self) -> None:
        """
        Nothing is read from a connection that has been paused, or given up.
        """
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        uri = b"http://127.0.0.1:%d/" % listener.getsockname()[1]
        for still in "pauseProducing", "loseConnection":
            expected = Expected()
            endpoint = _Endpoints(self.reactor, 7.0, expected).servers.of(uri)[0].endpoint
            protocol = await endpoint.connect(Factory.forProtocol(partial(Taking, 100)))
            peer, _ = listener.accept()
            self.addCleanup(peer.close)
            protocol.transport.write(b"well?")  # type: ignore[attr-defined]
            peer.sendall(b"yes")
            getattr(protocol.transport, still)()  # type: ignore[attr-defined]
            expected.look()
            self.assertEqual(protocol.pieces, [])  # type: ignore[attr-defined]
            protocol.transport.abortConnection()  # type: ignore[attr-defined]

    async def test_says_nothing(self) -> None:
        """
        Connections to storage nodes are no news for the log.
        """
        port = self.listen(self.reactor.listenTCP)
        with capturedLogs() as events:
            response = await self.agent.request(b"GET", b"http://127.0.0.1:%d/" % port)
            await readBody(response)
            await self.connections.close()
        said = [formatEvent(event) for event in events]
        self.assertEqual([each for each in said if "_HTTP11ClientFactory" in each], [])

    async def test_goes_nowhere(self) -> None:
        """
        What is written to a connection that has been lost, or given up, is nobody's trouble.
        """
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        uri = b"http://127.0.0.1:%d/" % listener.getsockname()[1]

        class Losing(Protocol):
            def connectionLost(self, reason: Failure = connectionDone) -> None:
                losses.append(reason)
                lost.callback(None)

        for gives_up in (False, True):
            lost: Deferred[None] = Deferred()
            losses: list[Failure] = []
            expected = Expected()
            endpoint = _Endpoints(self.reactor, 7.0, expected).servers.of(uri)[0].endpoint
            protocol = await endpoint.connect(Factory.forProtocol(Losing))
            transport = protocol.transport  # type: ignore[attr-defined]
            peer, _ = listener.accept()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
            transport.write(b"x")
            transport.write(b"y")
            expected.look()
            if gives_up:
                transport.loseConnection()
                transport.write(b"z")
            await lost
            transport.write(b"!")
            expected.look()
            self.assertEqual(len(losses), 1)

    async def test_much_is_read_at_once(self) -> None:
        """
        What has come to a connection is read 256 KiB at a time, where Twisted would read 64 KiB.
        """

        class Giving(Protocol):
            def connectionMade(self) -> None:
                assert self.transport is not None
                self.transport.write(content)

        content = bytes(2 * 1024 * 1024)
        listening = self.reactor.listenTCP(0, Factory.forProtocol(Giving), interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        uri = b"http://127.0.0.1:%d/" % listening.getHost().port
        taking = Taking(len(content))
        protocol = (
            await _Endpoints(self.reactor, 7.0, Expected())
            .servers.of(uri)[0]
            .endpoint.connect(Factory.forProtocol(lambda: taking))
        )
        await taking.got
        protocol.transport.abortConnection()  # type: ignore[attr-defined]
        self.assertGreater(max(taking.pieces), 64 * 1024)
        self.assertLessEqual(max(taking.pieces), 256 * 1024)

    async def test_tls_is_verified(self) -> None:
        """
        A storage node whose certificate nobody vouches for is not talked to.
        """
        certificate = KeyPair.generate(size=2048).selfSignedCert(1, CN=b"127.0.0.1")
        port = self.listen(self.reactor.listenSSL, certificate.options())
        asked = self.agent.request(b"GET", b"https://127.0.0.1:%d/" % port)
        await self.assertFailure(asked, ResponseNeverReceived)
        self.assertEqual((len(self.flushLoggedErrors(CertificateError)), self.peer.ports), (1, []))

    async def test_tls_is_given_up_at_once(self) -> None:
        """
        A connection that is given up is gone, even if the storage node never says goodbye, as TLS would have it do.
        """
        certificate = KeyPair.generate(size=2048).selfSignedCert(1, CN=b"127.0.0.1")
        deaf = Factory.forProtocol(Deaf)
        port = self.reactor.listenSSL(0, deaf, certificate.options(), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        endpoints = _Endpoints(self.reactor, 7.0, Expected())
        endpoints._tls.creatorForNetloc = lambda *netloc: CertificateOptions()  # type: ignore[method-assign]
        uri = b"https://127.0.0.1:%d/" % port.getHost().port
        protocol = await endpoints.servers.of(uri)[0].endpoint.connect(Factory.forProtocol(Losing))
        await protocol.lost  # type: ignore[attr-defined]
        # The same of one that was made before it was needed.
        endpoints.prepare(uri)
        server, _ = endpoints.servers.of(uri)
        while (spare := endpoints.spares.take(server.key, Factory.forProtocol(Losing))) is None:
            await deferLater(self.reactor, 0)
        await spare.lost  # type: ignore[attr-defined]
        await endpoints.spares.close()

    test_tls_is_given_up_at_once.timeout = 10  # type: ignore[attr-defined]
