"""
Tests for L{distributor.sources.spare}.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionAborted, ConnectionRefusedError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseFailed, ResponseNeverReceived
from zope.interface import implementer

from distributor.sources.spare import SpareFirst, Spares

SERVER = "storage.example"


@implementer(IStreamClientEndpoint)
class Endpoint:
    """
    Remembers who wants to connect.

    @ivar attempts: what has not been decided yet.
    """

    def __init__(self) -> None:
        self.attempts: list[tuple[IProtocolFactory, Deferred[IProtocol]]] = []
        self.count = 0

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        self.count += 1
        connecting: Deferred[IProtocol] = Deferred()
        self.attempts.append((protocolFactory, connecting))
        return connecting

    def accept(self) -> Wire:
        """
        The oldest attempt succeeds.
        """
        factory, connecting = self.attempts.pop(0)
        transport = Wire()
        protocol = factory.buildProtocol(transport.getPeer())
        assert isinstance(protocol, Protocol)
        protocol.makeConnection(transport)
        transport.protocol = protocol
        connecting.callback(protocol)
        return transport

    def refuse(self) -> None:
        """
        It fails.
        """
        self.attempts.pop(0)[1].errback(ConnectionRefusedError())


class Wire(StringTransport):
    """
    Knows its protocol.
    """

    protocol: Protocol


class User(Protocol):
    """
    Remembers what happens to it.
    """

    def __init__(self) -> None:
        self.events: list[object] = []

    def connectionMade(self) -> None:
        self.events.append("made")

    def dataReceived(self, data: bytes) -> None:
        self.events.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.events.append(reason.type)


class SparesTests(SynchronousTestCase):
    """
    Connections that nobody uses yet.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.spares = Spares(self.clock)
        self.endpoint = Endpoint()
        self.factory = Factory.forProtocol(User)

    def take(self) -> User | None:
        """
        Somebody needs a connection.
        """
        protocol = self.spares.take(SERVER, self.factory)
        assert protocol is None or isinstance(protocol, User)
        return protocol

    def prepare(self) -> list[Wire]:
        """
        Two may be needed, and are there.
        """
        self.spares.prepare(SERVER, self.endpoint)
        return [self.endpoint.accept(), self.endpoint.accept()]

    def lose(self, transport: Wire) -> None:
        """
        A connection is over.
        """
        transport.protocol.connectionLost(Failure(ConnectionAborted()))

    def test_taken(self) -> None:
        """
        Who takes one is its protocol from then on, to the end.
        """
        first, second = self.prepare()
        user = self.take()
        assert user is not None and user.transport is not None
        user.transport.write(b"GET")
        first.protocol.dataReceived(b"200")
        self.lose(first)
        self.assertEqual((first.value(), second.value()), (b"GET", b""))
        self.assertEqual(user.events, ["made", b"200", ConnectionAborted])
        self.clock.advance(600)
        self.assertEqual((first.disconnected, second.disconnected), (False, True))

    def test_each_once(self) -> None:
        """
        Each is taken once; then there is none, and none is made, before the next word.
        """
        self.assertIsNone(self.take())
        transports = self.prepare()
        self.assertEqual([user.transport for user in (self.take(), self.take()) if user is not None], transports)
        self.assertIsNone(self.take())
        self.assertEqual(self.endpoint.count, 2)
        self.spares.prepare(SERVER, self.endpoint)
        self.assertEqual(self.endpoint.count, 4)
        self.assertIsNone(self.take())
        self.endpoint.accept()
        self.assertIsNotNone(self.take())

    def test_others(self) -> None:
        """
        A connection to one server is not one to another.
        """
        self.prepare()
        self.assertIsNone(self.spares.take("other.example", self.factory))

    def test_kept(self) -> None:
        """
        They are kept for some seconds behind the last word, and then given up.
        """
        transports = self.prepare()
        for _ in range(3):
            self.clock.advance(4)
            self.spares.prepare(SERVER, self.endpoint)
        self.assertEqual([each.disconnected for each in transports], [False, False])
        self.clock.advance(5)
        self.assertEqual([each.disconnected for each in transports], [True, True])
        self.assertEqual((self.endpoint.count, self.clock.getDelayedCalls()), (2, []))
        self.assertIsNone(self.take())

    def test_renewed(self) -> None:
        """
        None gets so old that its server may be about to give it up.
        """
        transports = self.prepare()
        for _ in range(10):
            self.clock.advance(3)
            self.spares.prepare(SERVER, self.endpoint)
        self.assertEqual([each.disconnected for each in transports], [True, True])
        self.assertEqual(self.endpoint.count, 4)

    def test_refused(self) -> None:
        """
        A server that wants no more connections, or ends them, is not asked again and again.
        """
        self.spares.prepare(SERVER, self.endpoint)
        self.endpoint.refuse()
        self.lose(self.endpoint.accept())
        for _ in range(9):
            self.clock.advance(3)
            self.spares.prepare(SERVER, self.endpoint)
            self.assertIsNone(self.take())
        self.assertEqual(self.endpoint.count, 2)
        self.clock.advance(3)
        self.spares.prepare(SERVER, self.endpoint)
        self.assertEqual(self.endpoint.count, 4)

    def test_unasked(self) -> None:
        """
        A server that says something before it is asked is not listened to.
        """
        first, second = self.prepare()
        first.protocol.dataReceived(b"HTTP/1.1 408 Request Timeout\r\n")
        self.assertTrue(first.disconnected)
        user = self.take()
        assert user is not None
        self.assertIs(user.transport, second)

    def test_close(self) -> None:
        """
        In the end, those that nobody has taken end, whether they have been made or not.
        """
        self.spares.prepare(SERVER, self.endpoint)
        made = self.endpoint.accept()
        closed = Deferred.fromCoroutine(self.spares.close())
        self.assertTrue(made.disconnected)
        self.assertNoResult(closed)
        self.lose(made)
        self.successResultOf(closed)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_first(self) -> None:
        """
        An endpoint takes the one that is ready, and connects where none is.
        """
        endpoint = SpareFirst(self.spares, SERVER, self.endpoint)
        connecting = endpoint.connect(self.factory)
        self.assertNoResult(connecting)
        self.endpoint.accept()
        self.assertIsInstance(self.successResultOf(connecting), User)
        [first, _] = self.prepare()
        taken = self.successResultOf(endpoint.connect(self.factory))
        self.assertIs(taken.transport, first)  # type: ignore[attr-defined]
        self.assertEqual(self.endpoint.count, 3)


class Asked(User):
    """
    One that requests are made on.
    """

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[object] = []
        self.answered: Deferred[object] = Deferred()

    def request(self, request: object) -> Deferred[object]:
        """
        What L{HTTP11ClientProtocol<twisted.web._newclient.HTTP11ClientProtocol>} has.
        """
        self.requests.append(request)
        return self.answered


class ReadyTests(SynchronousTestCase):
    """
    Requests on connections that were made before them.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.spares = Spares(self.clock)
        self.endpoint = Endpoint()
        self.users: list[Asked] = []
        self.spares.prepare(SERVER, self.endpoint)
        self.endpoint.accept()
        self.endpoint.accept()
        connected = SpareFirst(self.spares, SERVER, self.endpoint).connect(Factory.forProtocol(self.new_user))
        self.answer = self.successResultOf(connected).request("a request")  # type: ignore[attr-defined]
        self.addCleanup(self.clock.advance, 60)

    def new_user(self) -> Asked:
        """
        Made for one connection.
        """
        user = Asked()
        self.users.append(user)
        return user

    def test_answered(self) -> None:
        """
        The answer is that of the connection.
        """
        self.users[0].answered.callback("an answer")
        self.assertEqual(self.successResultOf(self.answer), "an answer")
        self.assertEqual(self.endpoint.count, 2)

    def test_gone(self) -> None:
        """
        Where its server was just giving it up, the request is made again, once, on a fresh one.
        """
        gone = ResponseNeverReceived([Failure(ConnectionAborted())])
        self.users[0].answered.errback(gone)
        self.assertNoResult(self.answer)
        self.endpoint.accept()
        self.assertEqual([each.requests for each in self.users], [["a request"]] * 2)
        self.users[1].answered.errback(gone)
        self.failureResultOf(self.answer, ResponseNeverReceived)
        self.assertEqual(self.endpoint.count, 3)

    def test_other_failures(self) -> None:
        """
        A request that was given up is not made again, nor one that has been answered in part.
        """
        self.users[0].answered.errback(ResponseNeverReceived([Failure(CancelledError())]))
        self.failureResultOf(self.answer, ResponseNeverReceived)
        self.setUp()
        self.users[0].answered.errback(ResponseFailed([Failure(ConnectionAborted())]))
        self.failureResultOf(self.answer, ResponseFailed)
        self.assertEqual(self.endpoint.count, 2)
