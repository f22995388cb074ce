"""
Tests for L{distributor.sources.public}, through the client of storage nodes: where an endpoint written by a third party
may lead. What it may look like: see C{test_endpoint}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHostnameResolver, IReactorPluggableNameResolver
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from distributor.model import ByteRange, StorageNode
from distributor.sources import Body, Connections, SourceError, StorageNodes
from distributor.sources.public import NotPublic, OnlyPublic
from tests.sources.resolving import Resolver

#: An address for everybody to reach, and one for nobody.
PUBLIC, PRIVATE = "8.8.8.8", "10.0.0.1"

#: Endpoints that an attacker may have written, each with what its host leads to: of a literal address, what old
#: parsers take it for.
LEADS_ASTRAY = {
    "http://127.0.0.1:3333/": "127.0.0.1",
    "http://127.8.9.10/": "127.8.9.10",
    "http://0.0.0.0/": "0.0.0.0",
    "http://10.0.0.1/": "10.0.0.1",
    "http://172.16.0.1/": "172.16.0.1",
    "http://192.168.1.1/": "192.168.1.1",
    "http://169.254.169.254/latest/meta-data": "169.254.169.254",
    "http://100.64.0.1/": "100.64.0.1",
    "http://224.0.0.1/": "224.0.0.1",
    "http://255.255.255.255/": "255.255.255.255",
    "http://[::1]:3333/": "::1",
    "http://[::]/": "::",
    "http://[fe80::1]/": "fe80::1",
    "http://[fd00::1]/": "fd00::1",
    "http://[ff02::1]/": "ff02::1",
    "http://[::ffff:127.0.0.1]/": "::ffff:127.0.0.1",
    "http://[::ffff:7f00:1]/": "::ffff:7f00:1",
    "http://[64:ff9b::7f00:1]/": "64:ff9b::7f00:1",
    "http://[2002:7f00:1::1]/": "2002:7f00:1::1",
    "http://localhost:3333/": "127.0.0.1",
    "http://rebinding.example/": "127.0.0.1",
    "https://rebinding.example/": "192.168.0.1",
    "http://v6.rebinding.example/": "::1",
    "http://metadata.example/": "169.254.169.254",
    "http://scoped.example/": "fe80::1%eth0",
}

#: Endpoints that are not even looked up.
NOT_ASKED = (
    *("http://2130706433/", "http://0177.0.0.1/", "http://0x7f.0.0.1/", "http://127.1/", "http://[fe80::1%25eth0]/"),
    *("file:///etc/passwd", "ftp://storage.example/", "http://user:secret@storage.example/", "http://a.example:22/"),
    *("http://a.example:25/", "http://storage.example/?x=", "http://storage.example/#x", "http://", "", "nonsense"),
)


class NamedReactor(MemoryReactorClock):
    """
    A reactor in memory whose names lead where the test says.
    """

    def __init__(self, resolver: IHostnameResolver) -> None:
        super().__init__()
        self.nameResolver = resolver


class OnlyPublicTests(SynchronousTestCase):
    """
    Which connections are made for endpoints that third parties wrote.
    """

    def client(self, resolver: Resolver, *, allow_private: bool = False) -> StorageNodes:
        """
        One that connects to nothing, but tells where it would.
        """
        self.resolver = resolver
        self.reactor = NamedReactor(resolver)
        connections = Connections(self.reactor, 7.0, allow_private=allow_private)
        return StorageNodes(connections.agents, self.reactor, "distributor/test", 7.0, 10)

    def ask(self, client: StorageNodes, endpoint: str, *, trusted: bool = False) -> Deferred[Body]:
        """
        Ask for an object there.
        """
        node = StorageNode("0", endpoint, trusted)
        asked = Deferred.fromCoroutine(client.fetch(node, "7", 1000, ByteRange(0, 1000)))
        # Between the addresses of a name, endpoints leave a moment.
        self.reactor.pump([0.5, 0.5])
        return asked

    @property
    def connected_to(self) -> list[str]:
        """
        Which addresses have been connected to.
        """
        return [host for host, *_ in self.reactor.tcpClients]

    def test_astray(self) -> None:
        """
        No connection is made to an address that is not for everybody, however the endpoint leads there; and it is said
        why.
        """
        for endpoint, address in LEADS_ASTRAY.items():
            error = self.failureResultOf(self.ask(self.client(Resolver([address])), endpoint), SourceError).value
            self.assertIn(f"{address} is not a public address", str(error))
            self.assertEqual(self.connected_to, [], endpoint)

    def test_not_asked(self) -> None:
        """
        What is no plain endpoint is neither looked up nor connected to.
        """
        for endpoint in NOT_ASKED:
            self.failureResultOf(self.ask(self.client(Resolver([PUBLIC])), endpoint), SourceError)
            self.assertEqual((self.resolver.asked, self.connected_to), ([], []), endpoint)

    def test_public(self) -> None:
        """
        Where everybody may go, it goes: to the port that is said, or to that of the scheme.
        """
        for endpoint, port in (
            ("http://storage.example", 80),
            ("https://storage.example/node/", 443),
            ("http://storage.example:3333/", 3333),
            ("https://storage.example:8443/", 8443),
        ):
            self.assertNoResult(self.ask(self.client(Resolver([PUBLIC])), endpoint))
            [(host, connected_port, _, timeout_s, _)] = self.reactor.tcpClients
            self.assertEqual((host, connected_port, timeout_s), (PUBLIC, port, 7.0))

    def test_some_of_each(self) -> None:
        """
        Of a name with several addresses those are used that are for everybody.
        """
        self.assertNoResult(self.ask(self.client(Resolver([PRIVATE, PUBLIC, "::1"])), "http://mixed.example/"))
        self.reactor.pump([0.5, 0.5])
        self.assertEqual(self.connected_to, [PUBLIC])

    def test_changes_between_the_look_and_the_connection(self) -> None:
        """
        A name that leads elsewhere at its second look is not looked at twice: what is connected to is what was looked
        at.
        """
        self.assertNoResult(self.ask(self.client(Resolver([PUBLIC], ["127.0.0.1"])), "http://rebinding.example/"))
        self.assertEqual((self.resolver.asked, self.connected_to), (["rebinding.example"], [PUBLIC]))

    def test_changes_between_connections(self) -> None:
        """
        For each new connection it is looked at again.
        """
        client = self.client(Resolver([PUBLIC], ["127.0.0.1"]))
        self.assertNoResult(self.ask(client, "http://rebinding.example/"))
        self.failureResultOf(self.ask(client, "http://rebinding.example/"), SourceError)
        self.assertEqual((len(self.resolver.asked), self.connected_to), (2, [PUBLIC]))

    def test_trusted(self) -> None:
        """
        A storage node that the operator named may be anywhere.
        """
        client = self.client(Resolver([PRIVATE]))
        self.assertNoResult(self.ask(client, "http://storage.internal:22/", trusted=True))
        self.assertEqual(self.connected_to, [PRIVATE])

    def test_allowed(self) -> None:
        """
        So may all, where the operator allows it; though not at any port.
        """
        client = self.client(Resolver([PRIVATE]), allow_private=True)
        self.assertNoResult(self.ask(client, "http://storage.internal/"))
        self.assertEqual(self.connected_to, [PRIVATE])
        self.failureResultOf(self.ask(client, "http://storage.internal:22/"), SourceError)

    def test_no_such_name(self) -> None:
        """
        A name that leads nowhere is a failure like any other.
        """
        self.failureResultOf(self.ask(self.client(Resolver([])), "http://gone.example/"), SourceError)

    def test_only_addresses(self) -> None:
        """
        What has not been looked up is not connected to.
        """
        only: Any = OnlyPublic(NamedReactor(Resolver([PUBLIC])))
        verifyObject(IReactorPluggableNameResolver, only)
        self.assertRaises(NotPublic, only.connectTCP, "storage.example", 80, None)
