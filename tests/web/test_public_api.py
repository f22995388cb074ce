"""
Tests for L{distributor.web.public_api}: the routes, and what stands before them, through the real HTTP server.
"""

from __future__ import annotations

import json
import re
from importlib import resources

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from distributor import __version__
from distributor.web import errors
from distributor.web.headers import api_headers
from tests.upstream import payload
from tests.web.node_in_memory import ASSET, BUCKETS, PAGE, POLICY, STATUS, Answer, NodeInMemory

CONTENT = payload(5000)

#: Every route that is read, with the type of its answer.
READABLE = {
    "/api/v1/status": "application/json",
    "/api/v1/buckets": "application/json",
    "/api/v1/openapi.json": "application/json",
    "/healthz": "text/plain; charset=utf-8",
    "/readyz": "text/plain; charset=utf-8",
    "/": "text/html; charset=utf-8",
    ASSET: "application/octet-stream",
}


class PublicApiCase(SynchronousTestCase):
    """
    A node, and its answers.
    """

    def setUp(self) -> None:
        self.node = NodeInMemory(self, CONTENT)

    def assert_error(self, answer: Answer, error: errors.ApiError) -> None:
        """
        It is that error, in full, and nothing of ours shows through.
        """
        self.assertEqual(answer.status, error.status)
        self.assertEqual(answer.body, errors.body(error))
        self.assertTrue(answer.whole)
        for name, value in errors.headers(error, answer["X-Request-Id"]):
            self.assertEqual(answer[name], value, name)
        self.assertTrue({*answer.without()} >= {name.lower() for name, _ in api_headers("")})


class RoutesTests(PublicApiCase):
    """
    What is at which address.
    """

    def test_status(self) -> None:
        """
        The status is JSON, as it is at that moment.
        """
        answer = self.node.ask("/api/v1/status")
        self.assertEqual((answer.status, json.loads(answer.body)), (200, STATUS))
        self.assertEqual(answer["Cache-Control"], "no-store")

    def test_buckets(self) -> None:
        """
        Ids of buckets come as they were written.
        """
        answer = self.node.ask("/api/v1/buckets")
        self.assertEqual((answer.status, json.loads(answer.body)), (200, BUCKETS))

    def test_openapi(self) -> None:
        """
        The document is the one in the package.
        """
        answer = self.node.ask("/api/v1/openapi.json")
        written = resources.files("distributor.web").joinpath("openapi.json").read_bytes()
        self.assertEqual((answer.status, answer.body), (200, written))

    def test_page(self) -> None:
        """
        People get the page, which knows by which name they came, and its policy.
        """
        for host in (b"node:3334", b"[::1]:3334", b"media.example.org"):
            answer = self.node.ask("/", host=host)
            self.assertEqual(answer.body.decode("utf-8"), PAGE.format(origin=f"http://{host.decode('ascii')}"))
            self.assertEqual(answer["Content-Security-Policy"], POLICY)

    def test_health(self) -> None:
        """
        The process is well as long as it answers; it is ready when it says so, else it says when to try again.
        """
        self.assertEqual((self.node.ask("/healthz").status, self.node.ask("/readyz").status), (200, 200))
        self.node.ready = False
        answer = self.node.ask("/readyz")
        self.assertEqual((self.node.ask("/healthz").status, answer.status), (200, 503))
        self.assertTrue(int(answer["Retry-After"]))

    def test_types(self) -> None:
        """
        Each answer says what it is, how long, who sent it, and to which request.
        """
        for path, type in READABLE.items():
            answer = self.node.ask(path, "X-Request-Id: abc-1")
            self.assertEqual((answer.status, answer["Content-Type"]), (200, type), path)
            self.assertEqual(answer["Content-Length"], str(len(answer.body)))
            self.assertEqual(answer["Server"], f"distributor/{__version__}")
            self.assertEqual(answer["X-Request-Id"], "abc-1")
            self.assertEqual(answer["X-Content-Type-Options"], "nosniff")
            self.assertEqual(answer["Access-Control-Allow-Origin"], "*")

    def test_head(self) -> None:
        """
        HEAD is GET without the body.
        """
        self.node.ask()
        for path in (*READABLE, "/nowhere", "/api/v1/asset/8", "/api/v1/asset/%ff"):
            got = self.node.ask(path, "X-Request-Id: abc-1")
            head = self.node.ask(path, "X-Request-Id: abc-1", method="HEAD")
            self.assertEqual((head.status, head.body), (got.status, b""), path)
            self.assertEqual(head.without("date"), got.without("date"), path)

    def test_trailing_slash(self) -> None:
        """
        One slash behind it is tolerated, by C{/status}, C{/buckets} and assets under both their names.
        """
        for path in ("/api/v1/status", "/api/v1/buckets", ASSET, "/api/v1/assets/7"):
            self.assertEqual(self.node.ask(path).body, self.node.ask(path + "/").body)

    def test_nowhere(self) -> None:
        """
        What is at no address is a 404 in JSON, whether or not a Werkzeug would redirect.
        """
        for path in (
            "/nowhere",
            "/api",
            "/api/v1",
            "/api/v1/",
            "/api/v1/asset",
            "/api/v1/assets",
            "/api/v1/statuses",
            "/api/v1/status/x",
            "/api/v2/status",
            "/healthz/",
            "/favicon.ico",
            "/API/v1/status",
            "/api/v1/status%00",
            "/api/v1/%2e%2e/v1/status",
            "/.",
            "/..",
        ):
            self.assert_error(self.node.ask(path), errors.ROUTE_NOT_FOUND)

    def test_query(self) -> None:
        """
        A query that means nothing is no matter, whatever is in it.
        """
        for query in ("?", "?a=b", "?%ff", "?a=%00&&=", "?" + "x" * 3000):
            self.assertEqual(self.node.ask("/api/v1/status" + query).status, 200)
            self.assertEqual(self.node.ask(ASSET + query).body, CONTENT)

    def test_not_text(self) -> None:
        """
        A path that is no UTF-8 is at no address; nothing of it is logged as trouble.
        """
        for path in ("/%ff", "/api/v1/asset/%ff", "/api/v1/asset/7%c3", "/%c3%28/%e2%82"):
            answer = self.node.ask(path)
            self.assertEqual(answer.status, 404)
            self.assertEqual(answer["Content-Type"], "application/json")
        self.assertEqual(self.node.ask("/api/v1/asset/%C3%A4").status, 404)
        self.assertEqual(self.flushLoggedErrors(), [])

    @settings(max_examples=50, deadline=None)
    @given(st.data())
    def test_any_host(self, data: st.DataObject) -> None:
        """
        By whatever name a client knows the node, or none, the answer is the same.
        """
        host = data.draw(
            st.one_of(
                st.binary(max_size=300).map(lambda raw: raw.translate(None, b"\0\r\n")),
                st.from_regex(r"[a-z0-9.\[\]:_-]{0,300}", fullmatch=True).map(str.encode),
                st.sampled_from(
                    [b"", b"node:", b"node:x", b"a..b", b"[::1", b"xn--", b"-", b"\xff", b"a" * 64, b"node:99999"]
                ),
            )
        )
        answer = self.node.ask("/api/v1/status", host=host)
        self.assertEqual((answer.status, json.loads(answer.body)), (200, STATUS))
        self.assertEqual(self.flushLoggedErrors(), [])

    @settings(max_examples=50, deadline=None)
    @given(st.binary(min_size=1, max_size=40))
    def test_any_path(self, raw: bytes) -> None:
        """
        Whatever comes after the slash, encoded in whatever way, is answered, and with JSON if it is nothing.
        """
        odd = b"".join(b"%%%02x" % byte for byte in raw)
        plain = re.sub(rb"[^!-~]|[?#]", b"", raw)
        for path in (b"/" + odd, b"/api/v1/asset/" + odd, b"/api/v1/asset/" + plain, b"/" + plain):
            answer = self.node.ask(path)
            self.assertIn(answer.status, (200, 404), path)
            if answer.status == 404:
                self.assertIn(json.loads(answer.body)["type"], ("route_not_found", "object_not_found"))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_absolute_target(self) -> None:
        """
        A target that names the node itself, as clients of proxies send it, is understood (RFC 9112 §3.2.2).
        """
        answer = self.node.ask("http://node:3334/api/v1/status")
        self.assertEqual((answer.status, json.loads(answer.body)), (200, STATUS))
        self.assertEqual(self.node.ask("http://node/api/v1/asset/7?download").body, CONTENT)
        self.assertEqual(self.node.ask("HTTP://node").body, self.node.ask("/", host=b"node").body)


class OldClientsTests(PublicApiCase):
    """
    Clients that speak HTTP/1.0.
    """

    def test_answered_and_closed(self) -> None:
        """
        They need not say by which name they know the node; the connection ends behind the answer.
        """
        for path, start in ((ASSET, CONTENT[:10]), ("/healthz", b"ok\n")):
            visit = self.node.visit()
            visit.wire.protocol.dataReceived(b"GET %s HTTP/1.0\r\n\r\n" % path.encode("ascii"))
            self.node.settle()
            head, _, body = visit.wire.received.partition(b"\r\n\r\n")
            self.assertTrue(head.startswith(b"HTTP/1.0 200 "), head)
            self.assertEqual((body[:10], visit.wire.ended), (start, "closed"))


class MethodsTests(PublicApiCase):
    """
    What other methods come to.
    """

    def test_others(self) -> None:
        """
        Other methods are told which there are; methods are told apart by case (RFC 9110 §9.1).
        """
        for method in (
            "POST",
            "PUT",
            "DELETE",
            "PATCH",
            "TRACE",
            "PROPFIND",
            "M-SEARCH",
            "get",
            "Head",
            "options",
            "X",
        ):
            for path in READABLE:
                answer = self.node.ask(path, method=method)
                self.assert_error(answer, errors.METHOD_NOT_ALLOWED)
                self.assertEqual(answer["Allow"], "GET, HEAD, OPTIONS")
        self.assertEqual(self.node.upstream.requests, [])

    def test_body(self) -> None:
        """
        The body of a request that is refused is read over: the connection serves the next one.
        """
        visit = self.node.visit()
        visit.put(ASSET, "Content-Length: 20000", method="POST")
        visit.wire.protocol.dataReceived(b"x" * 20_000)
        visit.send("/healthz")
        self.assertEqual([answer.status for answer in visit.answers], [405, 200])

    def test_preflight(self) -> None:
        """
        A preflight may ask for any header, anywhere, whether something is there or not.
        """
        for path in (ASSET, "/", "/api/v1/status", "/nowhere/at/all", "/api/v1/asset/8"):
            answer = self.node.ask(
                path,
                "Origin: https://player.example",
                "Access-Control-Request-Method: GET",
                "Access-Control-Request-Headers: range, x-anything",
                "X-Request-Id: abc-1",
                method="OPTIONS",
            )
            self.assertEqual((answer.status, answer.body, answer["X-Request-Id"]), (204, b"", "abc-1"), path)
            self.assertEqual(answer["Access-Control-Allow-Headers"], "range, x-anything")
            self.assertEqual(answer["Access-Control-Allow-Methods"], "GET, HEAD, OPTIONS")
            self.assertEqual(answer["Access-Control-Allow-Origin"], "*")
            self.assertEqual(answer["Allow"], "GET, HEAD, OPTIONS")
            self.assertNotIn("content-length", answer)
            self.assertNotIn("transfer-encoding", answer)

    def test_preflight_keeps_the_connection(self) -> None:
        """
        The answer without a body does not upset what comes after it.
        """
        visit = self.node.visit()
        visit.put(ASSET, method="OPTIONS")
        visit.put("/healthz")
        visit.send(ASSET, method="OPTIONS")
        self.assertEqual([answer.status for answer in visit.answers], [204, 200, 204])


class BackPressureTests(SynchronousTestCase):
    """
    A connection whose client does not read costs little, whatever it asks for.
    """

    def test_pipelined_behind_a_full_connection(self) -> None:
        """
        An answer that begins when the connection is full already waits until it is not. Over TLS, nobody says so again.
        """
        content = payload(3_000_000)
        node = NodeInMemory(self, content)
        node.ask()
        room = 64 * 1024
        visit = node.visit(room)
        for _ in range(room // 500):
            visit.put("/nowhere")
        visit.put(ASSET)
        visit.put("/healthz")
        for _ in range(1000):
            self.assertLess(len(visit.wire.value()), 3 * room)
            if not visit.wire.value():
                break
            visit.wire.take()
            node.settle()
        *refused, asset, health = visit.answers
        self.assertEqual({answer.status for answer in refused}, {404})
        self.assertTrue(asset.whole and asset.body == content)
        self.assertEqual(health.status, 200)


class TroubleTests(PublicApiCase):
    """
    What a client sees when something goes wrong outside of assets.
    """

    def test_unexpected(self) -> None:
        """
        An exception that nobody foresaw is a 500 in JSON; its traceback goes to the log, with the request's id, and
        nowhere else.
        """
        self.node.api._status = lambda: {"secret": 1 // 0}
        logged: list[str] = []
        with capturedLogs() as events:
            answer = self.node.ask("/api/v1/status", "X-Request-Id: abc-1")
            logged += [formatEvent(event) for event in events]
        self.assert_error(answer, errors.INTERNAL_ERROR)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(any("abc-1" in line for line in logged), logged)

    def test_unexpected_without_an_id(self) -> None:
        """
        Where the client sent no id, the one that it is told is the one in the log.
        """
        self.node.api._buckets = lambda: {"secret": 1 // 0}
        with capturedLogs() as events:
            answer = self.node.ask("/api/v1/buckets")
            logged = [formatEvent(event) for event in events]
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(any(answer["X-Request-Id"] in line for line in logged), logged)

    def test_request_ids(self) -> None:
        """
        A client's id is taken when it is harmless; else, and without one, each request has an id of its own.
        """
        for given_id in ("a", "A.b_c-9", "x" * 64):
            for path in ("/healthz", "/nowhere", ASSET):
                self.assertEqual(self.node.ask(path, f"X-Request-Id: {given_id}")["X-Request-Id"], given_id)
        made = set()
        fields: tuple[tuple[str | bytes, ...], ...] = (
            (),
            ("X-Request-Id: ",),
            ("X-Request-Id: a b",),
            ("X-Request-Id: " + "x" * 65,),
            (b"X-Request-Id: \xff",),
            ("X-Request-Id: a", "X-Request-Id: b"),
        )
        for lines in fields:
            for path in ("/healthz", "/nowhere", ASSET):
                made.add(self.node.ask(path, *lines)["X-Request-Id"])
        self.assertEqual(len(made), 3 * len(fields))
        for each in made:
            self.assertTrue(re.fullmatch("[0-9a-f]{16}", each), each)
