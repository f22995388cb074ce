"""
Tests for L{distributor.devnet.service}, on the loopback interface.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from twisted.internet import reactor as real_reactor
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.error import CannotListenError, ConnectionRefusedError
from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from distributor.devnet.faults import Fault
from distributor.devnet.library import exhibits, library_manifest
from distributor.devnet.service import DemoStorageNode, NodeService, endpoint_url, storage_node_service
from distributor.devnet.storage_node import StorageNode

reactor: Any = real_reactor


class Client(Protocol):
    """
    Collects what comes, until the connection is closed.
    """

    def __init__(self) -> None:
        self.received = b""
        self.closed: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = None) -> None:  # type: ignore[assignment]
        self.closed.callback(self.received)


async def connected(port: int) -> Client:
    client: Client = await connectProtocol(HostnameEndpoint(reactor, "127.0.0.1", port), Client())
    return client


async def fetched(port: int, path: str) -> bytes:
    """
    The body of one answer.
    """
    client = await connected(port)
    assert client.transport is not None
    client.transport.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode("ascii"))
    answer = await client.closed
    return answer.partition(b"\r\n\r\n")[2]


@implementer(IListeningPort)
class Port:
    """
    A port that is only asked for its address.
    """

    def __init__(self, address: IAddress) -> None:
        self._address = address

    def getHost(self) -> IAddress:
        return self._address

    def startListening(self) -> None:
        raise NotImplementedError

    def stopListening(self) -> None:
        raise NotImplementedError


class EndpointUrlTests(SynchronousTestCase):
    """
    Where a node is that listens somewhere.
    """

    def test_url_is_the_address_as_seen_from_this_machine(self) -> None:
        """
        Who listens on all interfaces is on the loopback one.
        """
        for address, url in (
            (IPv4Address("TCP", "192.0.2.1", 80), "http://192.0.2.1:80/"),
            (IPv4Address("TCP", "0.0.0.0", 3333), "http://127.0.0.1:3333/"),
            (IPv6Address("TCP", "::", 3333), "http://[::1]:3333/"),
            (IPv6Address("TCP", "2001:db8::1", 3333), "http://[2001:db8::1]:3333/"),
        ):
            self.assertEqual(endpoint_url(Port(address)), url)

    def test_sockets_without_a_port_have_none(self) -> None:
        """
        A manifest could not name them.
        """
        self.assertRaises(ValueError, endpoint_url, Port(UNIXAddress("/run/x")))


class DemoStorageNodeTests(TestCase):
    """
    The built-in library, served.
    """

    def started(self, service: NodeService[StorageNode]) -> None:
        service.privilegedStartService()
        service.startService()
        self.addCleanup(service.stopService)

    def port(self, demo: DemoStorageNode) -> int:
        return int(demo.url.rsplit(":", 1)[1].strip("/"))

    def test_port_is_known_before_the_service_runs(self) -> Deferred[None]:
        """
        The manifest can be written at once; who connects early waits, and is served.
        """

        async def run() -> None:
            demo = DemoStorageNode(reactor)
            self.assertEqual(demo.manifest(), library_manifest(demo.url))
            early = Deferred.fromCoroutine(fetched(self.port(demo), "/api/v1/files/1"))
            self.started(demo)
            self.assertEqual(await early, exhibits()[0].path.read_bytes())

        return Deferred.fromCoroutine(run())

    def test_stopping_closes_the_port_and_drops_connections(self) -> Deferred[None]:
        """
        Also those in the middle of an answer that never comes; and it waits until they are gone.
        """

        async def run() -> None:
            demo = DemoStorageNode(reactor)
            demo.node.faults.always = Fault(hang=True)
            self.started(demo)
            idle, hanging = await connected(self.port(demo)), await connected(self.port(demo))
            assert hanging.transport is not None
            hanging.transport.write(b"GET /api/v1/files/1 HTTP/1.1\r\nHost: x\r\n\r\n")
            # A request on a third connection, answered, says that both have been accepted.
            await fetched(self.port(demo), "/api/v1/version")
            self.assertGreaterEqual(demo.open_connections, 2)
            await demo.stopService()
            self.assertEqual(demo.open_connections, 0)
            self.assertEqual([await idle.closed, await hanging.closed], [b"", b""])
            with self.assertRaises(ConnectionRefusedError):
                await connected(self.port(demo))

        return Deferred.fromCoroutine(run())

    def test_stopping_what_never_started_is_harmless(self) -> Deferred[None]:
        """
        A node whose configuration failed stops everything that it made.
        """
        demo = DemoStorageNode(reactor)
        self.successResultOf(demo.stopService())
        demo.startService()
        return demo.stopService()


class StorageNodeServiceTests(TestCase):
    """
    A folder, served.
    """

    def setUp(self) -> None:
        self.media = Path(self.mktemp())
        self.media.mkdir()
        (self.media / "7.bin").write_bytes(b"seven")

    def test_manifest_has_the_port_that_was_found(self) -> Deferred[bytes]:
        """
        Port 0 is the system's to choose; what the manifest says can be fetched.
        """

        path = Path(self.mktemp())
        service = storage_node_service(reactor, self.media, "tcp:0:interface=127.0.0.1", manifest=path)
        self.assertFalse(path.exists())
        service.privilegedStartService()
        self.addCleanup(service.stopService)
        service.startService()
        written = yaml.safe_load(path.read_text())
        port = int(written["storageNodes"][0]["endpoint"].rsplit(":", 1)[1].strip("/"))
        self.assertEqual(written["objects"]["7"]["size"], 5)
        body = Deferred.fromCoroutine(fetched(port, "/api/v1/files/7"))
        return body.addCallback(self.assertEqual, b"seven")

    def test_port_in_use_is_an_error_at_once(self) -> None:
        """
        For the command line to tell, in one line.
        """
        demo = DemoStorageNode(reactor)
        self.addCleanup(demo.stopService)
        demo.startService()
        taken = demo.url.rsplit(":", 1)[1].strip("/")
        service = storage_node_service(reactor, self.media, f"tcp:{taken}:interface=127.0.0.1")
        self.assertRaises(CannotListenError, service.privilegedStartService)

    def test_rate_is_passed_on(self) -> None:
        """
        One that makes no sense is refused before anything listens.
        """
        self.assertRaises(ValueError, storage_node_service, reactor, self.media, "tcp:0", 0)

    def test_delay_is_passed_on(self) -> None:
        """
        Each file is preceded by so much silence.
        """
        service = storage_node_service(reactor, self.media, "tcp:0:interface=127.0.0.1", delay_s=0.02)
        self.assertEqual(service.node.faults.take("1").delay_s, 0.02)
