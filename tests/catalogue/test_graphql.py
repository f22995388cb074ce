"""
Tests for L{distributor.catalogue.graphql}: what a query node can do wrong.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseNeverReceived

from distributor.catalogue.facts import Question
from distributor.catalogue.graphql import Bounds, Endpoint, QueryFailed, Trouble, read_answer, shown_url
from distributor.catalogue.reading import WrongShape
from distributor.model import InThread
from tests.catalogue.query_nodes import URL, Chain, Fault, QueryNodeInMemory, hang, refuse, send

BOUNDS = Bounds(100_000, 5.0)


def read(data: object) -> Any:
    """
    What the answers here come to.
    """
    if not isinstance(data, dict) or "x" not in data:
        raise WrongShape("no x")
    return data["x"]


QUESTION = Question("Q", "query Q($n: Int) { x }", {"n": 7}, read)


class EndpointTests(SynchronousTestCase):
    """
    One question.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))
        self.node = QueryNodeInMemory(Chain())
        self.threads = 0
        self.counts: Counter[str] = Counter()
        in_thread = cast(InThread, self.in_thread)
        self.endpoint = Endpoint(self.node, URL, self.clock, in_thread, "distributor/test", self.counts)

    def in_thread(self, f: Any, /, *args: Any) -> Deferred[Any]:
        self.threads += 1
        return maybeDeferred(f, *args)

    def ask(self, fault: Fault) -> Deferred[Any]:
        """
        Ask a node with C{fault}.
        """
        self.node.fault = fault
        asked = Deferred.fromCoroutine(self.endpoint.ask(QUESTION, BOUNDS))
        self.node.flush()
        return asked

    def failed(self, asked: Deferred[Any]) -> QueryFailed:
        """
        Why there was no answer.
        """
        error = self.failureResultOf(asked, QueryFailed).value
        assert isinstance(error, QueryFailed)
        return error

    def trouble(self, fault: Fault) -> Trouble:
        """
        Why a node with C{fault} gave no answer.
        """
        return self.failed(self.ask(fault)).trouble

    def test_request(self) -> None:
        """
        A question is posted as JSON, with its name, its variables and this program's name, and must not be packed.
        """
        bodies: list[dict[str, Any]] = []

        def answer(request: Any) -> None:
            request.content.seek(0)
            bodies.append(json.loads(request.content.read()))
            send(200, {"data": {"x": 1}})(request)

        self.assertEqual(self.successResultOf(self.ask(answer)), 1)
        self.assertEqual(bodies, [{"query": QUESTION.text, "variables": {"n": 7}, "operationName": "Q"}])
        [headers] = self.node.headers
        self.assertEqual(headers.getRawHeaders("User-Agent"), ["distributor/test"])
        self.assertEqual(headers.getRawHeaders("Content-Type"), ["application/json"])
        self.assertEqual(headers.getRawHeaders("Accept-Encoding"), ["identity"])

    def test_counts(self) -> None:
        """
        Questions are counted by what became of them.
        """
        for fault in (send(200, {"data": {"x": 1}}), refuse("x"), refuse("x"), send(502, "sorry")):
            self.ask(fault).addErrback(lambda failure: failure.trap(QueryFailed))
        self.ask(hang).addErrback(lambda failure: failure.trap(CancelledError)).cancel()
        self.assertEqual(self.counts, {"answered": 1, "GraphQL errors": 2, "HTTP status": 1, "given up": 1})

    def test_large_answers(self) -> None:
        """
        A large answer is parsed in a thread, a small one at once.
        """
        self.successResultOf(self.ask(send(200, {"data": {"x": "y" * 1000}})))
        self.assertEqual(self.threads, 0)
        self.assertEqual(len(self.successResultOf(self.ask(send(200, {"data": {"x": "y" * 80_000}})))), 80_000)
        self.assertEqual(self.threads, 1)

    def test_errors_with_200(self) -> None:
        """
        GraphQL errors are no answer, whatever the status says.
        """
        error = self.failed(self.ask(refuse("no such luck", "more")))
        self.assertEqual((error.trouble, error.general), (Trouble.REFUSED, False))
        self.assertEqual(str(error), "GraphQL errors: 'no such luck'")
        self.assertEqual(self.trouble(refuse("x", data={"x": None})), Trouble.REFUSED)
        self.assertEqual(self.trouble(send(200, {"data": {"x": 1}, "errors": "oh"})), Trouble.REFUSED)
        self.assertEqual(self.trouble(send(200, {"errors": [None]})), Trouble.REFUSED)

    def test_partial_data(self) -> None:
        """
        Nor are data beside which there are errors: what is missing is not known to be missing.
        """
        error = self.failed(self.ask(refuse("half", data={"x": 1})))
        self.assertEqual((error.trouble, error.general), (Trouble.PARTIAL, False))

    def test_no_errors(self) -> None:
        """
        Some servers write an empty list of errors, or null.
        """
        nothing: tuple[object, ...] = ([], None)
        for errors in nothing:
            self.assertEqual(self.successResultOf(self.ask(send(200, {"data": {"x": 1}, "errors": errors}))), 1)

    def test_not_json(self) -> None:
        """
        A page of a proxy is no answer, nor is other JSON, nor a part of one.
        """
        for body in (b"<html>", b"", b"\xff\xfe", b'{"data": {"x"', b"[" * 90_000, b'"x"', b"[1]", b"1" * 5000):
            error = self.failed(self.ask(send(200, body)))
            self.assertEqual((error.trouble, error.general), (Trouble.NOT_JSON, True), body[:10])
            self.assertLess(len(str(error)), 1000)

    def test_other_shapes(self) -> None:
        """
        JSON that is no answer to the question says so.
        """
        for body in ({}, {"data": None}, {"data": [1]}, {"data": {"y": 1}}):
            error = self.failed(self.ask(send(200, body)))
            self.assertEqual((error.trouble, error.general), (Trouble.SHAPE, False))

    def test_statuses(self) -> None:
        """
        An HTTP error is one, with whatever the server says of it; a redirect is not followed.
        """
        for status in (301, 403, 429, 500, 503):
            error = self.failed(self.ask(send(status, {"data": {"x": 1}})))
            self.assertEqual((error.trouble, error.general), (Trouble.STATUS, True))
            self.assertIn(str(status), str(error))
        self.assertIn("slow down", str(self.failed(self.ask(refuse("slow down", status=429)))))

    def test_status_400(self) -> None:
        """
        400 with GraphQL errors is how some servers refuse a question; without, it is a proxy's.
        """
        self.assertEqual(self.trouble(refuse("Cannot query field", status=400)), Trouble.REFUSED)
        self.assertEqual(self.trouble(send(400, b"<html>")), Trouble.STATUS)

    def test_too_large(self) -> None:
        """
        An answer that is larger than it may be is not read to its end, whether it says how large it is or not.
        """
        self.assertEqual(self.trouble(send(200, b" " * 100_001)), Trouble.TOO_LARGE)

        written = []

        def endless(request: Any) -> None:
            request.notifyFinish().addErrback(lambda _: written.append("gone"))
            for _ in range(11):
                request.write(b" " * 10_000)

        error = self.failed(self.ask(endless))
        self.assertEqual((error.trouble, error.general), (Trouble.TOO_LARGE, False))
        self.node.flush()
        self.assertEqual(written, ["gone"])

    def test_too_large_by_its_own_account(self) -> None:
        """
        A length that is too large is enough.
        """

        def begin(request: Any) -> None:
            request.setHeader("Content-Length", "100001")
            request.write(b" ")

        self.assertEqual(self.trouble(begin), Trouble.TOO_LARGE)

    def test_just_not_too_large(self) -> None:
        """
        The limit itself is allowed.
        """
        body = b'{"data": {"x": 1}}'
        self.assertEqual(self.successResultOf(self.ask(send(200, body + b" " * (100_000 - len(body))))), 1)

    def test_silence(self) -> None:
        """
        No answer in time is none, and the connection is closed.
        """
        asked = self.ask(hang)
        self.clock.advance(4.9)
        self.assertNoResult(asked)
        self.clock.advance(0.2)
        error = self.failed(asked)
        self.assertEqual((error.trouble, error.general), (Trouble.TIMED_OUT, True))

    def test_drip(self) -> None:
        """
        The time is for the whole answer: a byte now and then does not help.
        """
        requests = []

        def drip(request: Any) -> None:
            request.write(b"{")
            requests.append(request)

        asked = self.ask(drip)
        for _ in range(10):
            self.assertNoResult(asked)
            self.clock.advance(0.5)
            if not requests[0]._disconnected:
                requests[0].write(b" ")
            self.node.flush()
        self.assertEqual(self.failed(asked).trouble, Trouble.TIMED_OUT)
        self.assertTrue(requests[0]._disconnected)

    def test_cut(self) -> None:
        """
        A connection that is lost before the end is no answer.
        """

        def cut(request: Any) -> None:
            request.setHeader("Content-Length", "100")
            request.write(b'{"data": {"x": 1}}')
            request.transport.loseConnection()

        error = self.failed(self.ask(cut))
        self.assertEqual((error.trouble, error.general), (Trouble.CUT, True))

    def test_packed(self) -> None:
        """
        What is packed although nobody asked for it is not unpacked.
        """

        def packed(request: Any) -> None:
            request.setHeader("Content-Encoding", "gzip")
            send(200, {"data": {"x": 1}})(request)

        self.assertEqual(self.trouble(packed), Trouble.NOT_JSON)

    def test_unreachable(self) -> None:
        """
        Nobody listens; or whatever else may go wrong on the way.
        """
        self.node.up = False
        error = self.failed(self.ask(hang))
        self.assertEqual((error.trouble, error.general), (Trouble.UNREACHABLE, True))
        reasons = {
            ConnectTimeout(): Trouble.TIMED_OUT,
            ResponseNeverReceived([]): Trouble.UNREACHABLE,
            KeyError("odd"): Trouble.UNREACHABLE,
        }
        for reason, trouble in reasons.items():
            self.patch(self.node, "request", lambda *_, reason=reason: maybeDeferred(_raise, reason))
            self.assertEqual(self.trouble(hang), trouble)

    def test_nonsense_url(self) -> None:
        """
        A URL that is none is a query node that cannot be reached.
        """
        for url in ("http://\u00e4.example/", "nonsense", ""):
            endpoint = Endpoint(self.node, url, self.clock, cast(InThread, self.in_thread), "distributor/test")
            error = self.failed(Deferred.fromCoroutine(endpoint.ask(QUESTION, BOUNDS)))
            self.assertEqual(error.trouble, Trouble.UNREACHABLE)

    def test_cancelled(self) -> None:
        """
        Who does not want to know any more is not told that it took too long.
        """
        for fault in (hang, lambda request: request.write(b"{")):
            asked = self.ask(fault)
            asked.cancel()
            self.failureResultOf(asked, CancelledError)


def _raise(reason: Exception) -> None:
    raise reason


class QueryFailedTests(SynchronousTestCase):
    """
    The failures themselves.
    """

    def test_words_that_are_not_understood(self) -> None:
        """
        Implementations of GraphQL say alike that they do not know a field, whatever the quotation marks.
        """
        for message in ('Cannot query field "x" on type "Query".', "Cannot query field 'x'", 'Unknown argument "y"'):
            body = json.dumps({"errors": [{"message": message}]}).encode()
            error = self.assertRaises(QueryFailed, read_answer, 400, body, QUESTION)
            self.assertTrue(error.misunderstood)
        body = json.dumps({"errors": [{"message": "Too many requests"}]}).encode()
        self.assertFalse(self.assertRaises(QueryFailed, read_answer, 200, body, QUESTION).misunderstood)

    def test_again(self) -> None:
        """
        A failure that is raised once more is as the first.
        """
        error = QueryFailed(Trouble.REFUSED, "x", ("y",))
        self.assertEqual(
            (str(error.again()), error.again().trouble, error.again().refusals), (str(error), Trouble.REFUSED, ("y",))
        )

    def test_shown_url(self) -> None:
        """
        What may be secret in a URL is not shown.
        """
        self.assertEqual(shown_url("https://user:secret@a.example:1/graphql?key=secret"), "https://a.example:1/graphql")
        self.assertEqual(shown_url("http://a/b/c"), "http://a/b/c")
