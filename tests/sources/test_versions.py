"""
Tests for L{distributor.sources.versions}, against storage nodes in memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import Request
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from distributor.model import StorageNode
from distributor.sources import Agents, StorageNodes, VersionChecks
from distributor.sources.breaker import FIRST_DELAY_S, THRESHOLD

TIMEOUT_S = 5.0
EVERY_S = 60.0


class Answering(Resource):
    """
    Answers every request in the way that the test says, or not at all.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Request] = []
        self.answer: Callable[[Request], bytes] | None = None

    def render_GET(self, request: Request) -> bytes | int:
        """
        Answer, if that is what is wanted.
        """
        self.requests.append(request)
        return NOT_DONE_YET if self.answer is None else self.answer(request)


@implementer(IAgent)
class Unplugged:
    """
    Connects to nobody.
    """

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        return fail(ConnectionRefusedError())


class VersionChecksTests(SynchronousTestCase):
    """
    Who is asked for its version, and what comes of that.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.resource = Answering()
        self.answer(json.dumps({"version": "4.3.0", "userAgent": "storage-node/4.3.0"}).encode("ascii"))
        self.agent = RequestTraversalAgent(self.resource)
        self.nodes = StorageNodes(Agents(self.agent, Unplugged()), self.clock, "distributor/test", TIMEOUT_S, 10)
        self.checks = VersionChecks(self.nodes, self.clock, EVERY_S)
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def answer(self, body: bytes, code: int = 200) -> None:
        """
        From now on, all nodes answer so.
        """

        def render(request: Request) -> bytes:
            request.setResponseCode(code)
            return body

        self.resource.answer = render

    def know(self, name: str, *, trusted: bool = True) -> StorageNode:
        """
        A storage node that has been listed.
        """
        node = StorageNode(name, f"http://{name}.example/", trusted)
        self.nodes.standings.of(node)
        return node

    def check(self) -> Deferred[None]:
        """
        It is time.
        """
        checked = Deferred.fromCoroutine(self.checks.check())
        for _ in range(50):
            self.agent.flush()
        return checked

    def test_known_ones(self) -> None:
        """
        Each node that is known of is asked, and its version and how soon it answers are remembered.
        """
        nodes = [self.know(str(n)) for n in range(10)]
        self.successResultOf(self.check())
        self.assertEqual([request.path for request in self.resource.requests], [b"/api/v1/version"] * 10)
        headers = self.resource.requests[0].requestHeaders
        self.assertEqual(headers.getRawHeaders("User-Agent"), ["distributor/test"])
        for node in nodes:
            standing = self.nodes.standings.of(node)
            self.assertEqual((standing.version, standing.performance.first_byte_s), ("4.3.0", 0.0))

    def test_not_those_in_use(self) -> None:
        """
        One that has been asked for something within the interval is left alone.
        """
        self.nodes.standings.asked(self.know("a"))
        self.clock.advance(EVERY_S - 1)
        self.successResultOf(self.check())
        self.assertEqual(self.resource.requests, [])
        self.clock.advance(1)
        for count in (1, 2):
            self.successResultOf(self.check())
            self.assertEqual(len(self.resource.requests), count)

    def test_a_few_at_a_time(self) -> None:
        """
        However many there are, three are asked at once; and a second check begins nothing while the first goes on.
        """
        for n in range(10):
            self.know(str(n))
        self.resource.answer = None
        checked = self.check()
        self.successResultOf(self.check())
        self.assertEqual(len(self.resource.requests), 3)
        self.clock.advance(TIMEOUT_S)
        self.agent.flush()
        self.assertEqual(len(self.resource.requests), 6)
        self.checks.stop()
        self.successResultOf(checked)
        self.assertEqual(len(self.resource.requests), 6)

    def test_it_is_not_a_turn(self) -> None:
        """
        A node that has only been asked for its version is still one that has never been asked for an object.
        """
        node = self.know("a")
        self.successResultOf(self.check())
        self.assertFalse(self.nodes.standings.of(node).performance.asked)

    def test_failures(self) -> None:
        """
        A node that does not answer, or not as it should, has failed, and is left alone when it has often enough.
        """
        for answer, reason in (
            (lambda: self.answer(b"", 500), "version: status 500"),
            (lambda: self.answer(b"x" * 20_000), "version: more than 16384 bytes"),
        ):
            node = self.know(str(len(reason)))
            answer()
            self.successResultOf(self.check())
            self.assertEqual(self.nodes.standings.of(node).last_error, reason)
        for _ in range(THRESHOLD):
            self.successResultOf(self.check())
        asked = len(self.resource.requests)
        self.successResultOf(self.check())
        self.assertEqual(len(self.resource.requests), asked)
        self.clock.advance(FIRST_DELAY_S)

    def test_silence(self) -> None:
        """
        One that never comes to an end of its answer is not waited for.
        """
        node = self.know("a")

        def begin(request: Request) -> int:
            request.write(b"{")
            return NOT_DONE_YET

        self.resource.answer = begin  # type: ignore[assignment]
        checked = self.check()
        self.assertNoResult(checked)
        self.clock.advance(TIMEOUT_S)
        self.successResultOf(checked)
        self.assertEqual(self.nodes.standings.of(node).failures, 1)

    def test_without_a_version(self) -> None:
        """
        A node that has no such page, or says nothing of use there, is well.
        """
        for number, body in enumerate(
            (b"", b"null", b"[]", b'{"version": 7}', b'{"version": "\\u0007"}', b"[" * 10_000)
        ):
            node = self.know(str(number))
            self.answer(body)
            self.successResultOf(self.check())
            standing = self.nodes.standings.of(node)
            self.assertEqual((standing.version, standing.failures), (None, 0), body)
        self.answer(b"", 404)
        node = self.know("absent")
        self.successResultOf(self.check())
        self.assertEqual(self.nodes.standings.of(node).failures, 0)

    def test_an_answer_makes_up_for_nothing(self) -> None:
        """
        A node that answers this, but gives no objects, goes on being avoided.
        """
        node = self.know("a")
        for _ in range(THRESHOLD):
            self.nodes.standings.failed(node, "status 500")
        self.clock.advance(FIRST_DELAY_S)
        self.successResultOf(self.check())
        self.assertEqual(self.nodes.standings.explain([node])[0]["breaker"], "half-open")

    def test_third_parties(self) -> None:
        """
        The endpoints of third parties are asked with the same care as for objects.
        """
        node = self.know("a", trusted=False)
        self.successResultOf(self.check())
        self.assertIn("ConnectionRefusedError", self.nodes.standings.of(node).last_error or "")
        self.assertEqual(self.resource.requests, [])
