"""
Tests for L{distributor.web.operator_api}, through real HTTP.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from distributor import __version__
from distributor.web import errors, operator_errors
from distributor.web.errors import ApiError
from distributor.web.operator_errors import Refused
from distributor.web.token import sign
from tests.web.node_in_memory import Answer
from tests.web.operator_in_memory import EVICTED, NOW, SECRET, OperatorInMemory

BASE = "/api/v1"

#: Each route that needs a token: method, address, body, and what the operations are asked.
SIGNED: list[tuple[str, str, dict[str, Any] | None, str, tuple[object, ...]]] = [
    ("GET", "/status", None, "status", ()),
    ("GET", "/buckets", None, "buckets", ()),
    ("GET", "/downloads", None, "downloads", ()),
    ("GET", "/config", None, "config", ()),
    ("GET", "/storage-nodes", None, "storage_nodes", ()),
    ("GET", "/storage-nodes/faults", None, "faults", (100,)),
    ("GET", "/storage-nodes/faults?limit=5", None, "faults", (5,)),
    ("GET", "/objects", None, "objects", (None, 100)),
    ("GET", "/objects?after=7&limit=2", None, "objects", ("7", 2)),
    ("GET", "/explain/7", None, "explain", ("7",)),
    ("DELETE", "/objects/7", None, "evict", ("7",)),
    ("POST", "/prefetch", {"objects": ["7", "8"]}, "prefetch", (("7", "8"),)),
    ("GET", "/prefetch", None, "prefetching", ()),
    ("DELETE", "/prefetch", None, "stop_prefetching", ()),
    ("POST", "/verify", None, "verify", (None,)),
    ("POST", "/verify", {"bytesPerSecond": 1000}, "verify", (1000,)),
    ("GET", "/verify", None, "verification", ()),
    ("DELETE", "/verify", None, "stop_verifying", ()),
    ("POST", "/save-cache-state", None, "save_cache_state", ()),
    ("POST", "/set-worker", {"workerId": 3}, "set_worker", (3,)),
    ("POST", "/set-buckets", {"buckets": ["0:1"]}, "set_buckets", (("0:1",),)),
    ("POST", "/set-buckets", None, "set_buckets", (None,)),
    ("POST", "/stop-api", None, "stop_api", ()),
    ("POST", "/start-api", None, "start_api", ()),
    ("POST", "/shutdown", None, "shutdown", ()),
]

#: Those that need none, with the type of the answer.
OPEN = {
    f"{BASE}/metrics": "text/plain; version=0.0.4; charset=utf-8",
    "/metrics": "text/plain; version=0.0.4; charset=utf-8",
    f"{BASE}/openapi.json": "application/json",
    "/healthz": "text/plain; charset=utf-8",
}

#: Those that say nothing but that it is done.
QUIET = ("set_worker", "set_buckets", "stop_api", "start_api", "shutdown")


class OperatorCase(SynchronousTestCase):
    """
    An operator's API.
    """

    def setUp(self) -> None:
        self.api = OperatorInMemory(self)
        self.operations = self.api.operations

    def assert_error(self, answer: Answer, error: ApiError, message: str | None = None) -> None:
        """
        It is that error, in JSON, and nothing was done.

        @param message: a part of it, where it is not always the same.
        """
        told = json.loads(answer.body)
        self.assertEqual((answer.status, told["type"]), (error.status, error.type), told)
        self.assertIn(error.message if message is None else message, told["message"])
        self.assertEqual(answer["Content-Type"], "application/json")
        self.assertTrue(answer.whole)


class RoutesTests(OperatorCase):
    """
    What is at which address.
    """

    def test_signed(self) -> None:
        """
        Each route asks for what it is there for, and gives what it gets.
        """
        for method, path, body, name, args in SIGNED:
            self.operations.asked.clear()
            self.operations.answers = {name: {"said": name}}
            answer = self.api.ask(method, BASE + path, body)
            self.assertEqual(answer.status, 200, path)
            self.assertEqual(json.loads(answer.body), {} if name in QUIET else {"said": name})
            self.assertEqual(self.operations.asked, [(name, args)])

    def test_open(self) -> None:
        """
        What a monitor reads, and the document, are there without a token.
        """
        for path, type in OPEN.items():
            answer = self.api.ask_raw("GET", path)
            self.assertEqual((answer.status, answer["Content-Type"]), (200, type), path)
        self.assertEqual(self.api.ask_raw("GET", "/metrics").body, b"up 1.0\n")
        written = resources.files("distributor.web").joinpath("operator-openapi.json").read_bytes()
        self.assertEqual(self.api.ask_raw("GET", f"{BASE}/openapi.json").body, written)

    def test_head(self) -> None:
        """
        HEAD is GET without the body, and is signed as such.
        """
        for method, path, *_ in SIGNED:
            if method == "GET":
                head = self.api.ask("HEAD", BASE + path)
                self.assertEqual((head.status, head.body), (200, b""), path)
                self.assertEqual(head["Content-Length"], "2")
        for path in OPEN:
            head, got = (self.api.ask_raw(method, path, "X-Request-Id: a") for method in ("HEAD", "GET"))
            self.assertEqual((head.body, head.without("date")), (b"", got.without("date")), path)

    def test_fields(self) -> None:
        """
        No answer may be kept by anybody, and none is for scripts of other origins.
        """
        for answer in (
            self.api.ask("GET", f"{BASE}/status"),
            self.api.ask_raw("GET", f"{BASE}/status"),
            self.api.ask_raw("GET", "/metrics"),
            self.api.ask_raw("GET", "/nowhere"),
        ):
            self.assertEqual(answer["Cache-Control"], "no-store")
            self.assertEqual(answer["X-Content-Type-Options"], "nosniff")
            self.assertEqual(answer["Server"], f"distributor/{__version__}")
            self.assertTrue(answer["X-Request-Id"])
            self.assertEqual([name for name, _ in answer.fields if name.startswith("access-control")], [])

    def test_nowhere(self) -> None:
        """
        Other addresses are 404, other methods 405; also those that Klein and Werkzeug would stumble over.
        """
        for path in ("/", "/nowhere", f"{BASE}/objects/7/8", f"{BASE}/%ff", "//", f"{BASE}//status"):
            self.assert_error(self.api.ask_raw("GET", path), errors.ROUTE_NOT_FOUND)
        for method, path in (
            ("GET", "/stop-api"),
            ("POST", "/status"),
            ("PUT", "/objects"),
            ("OPTIONS", "/status"),
            ("get", "/status"),
            ("DELETE", "/objects"),
            ("GET", "/objects/7"),
        ):
            answer = self.api.ask_raw(method, BASE + path)
            self.assert_error(answer, operator_errors.METHOD_NOT_ALLOWED)
            self.assertEqual(answer["Allow"], "GET, HEAD, POST, DELETE")
        self.assertEqual(self.operations.asked, [])

    def test_odd_ids(self) -> None:
        """
        What is no id is no object.
        """
        for odd in ("07", "x", "..", "%2e%2e", "-1", "7%20"):
            for method, path in (("GET", "explain"), ("DELETE", "objects")):
                answer = self.api.ask(method, f"{BASE}/{path}/{odd}")
                self.assertEqual(answer.status, 404, odd)
        self.assertEqual(self.operations.asked, [])


class SignatureTests(OperatorCase):
    """
    Who may come in.
    """

    def test_unsigned(self) -> None:
        """
        No route but the open ones does anything without a signature; and none tells what it would have answered.
        """
        for method, path, body, _, _ in SIGNED:
            content = b"" if body is None else json.dumps(body).encode("ascii")
            fields = (f"Content-Length: {len(content)}", "Content-Type: application/json")
            for more in ((), ("Authorization: Bearer x",), ("Authorization: Basic eDp5",)):
                answer = self.api.ask_raw(method, BASE + path, *fields, *more, content=content)
                self.assertEqual(answer.status, 401, path)
                self.assertEqual(answer["WWW-Authenticate"], "Bearer")
        self.assertEqual(self.operations.asked, [])

    def test_says_why(self) -> None:
        """
        Somebody whose clock is wrong, or who signs another address than the node receives, is told so.
        """
        path = f"{BASE}/stop-api"
        for token, why in (
            (sign(SECRET, path, {}, NOW - 1000), "older than"),
            (sign(SECRET, path, {}, NOW + 1000), "clocks"),
            (sign(SECRET, f"/distributor{path}", {}, NOW), "reqUrl"),
            (sign(SECRET, path, {"a": 1}, NOW), "reqBody"),
            (sign(SECRET, path, {}, NOW, method="GET"), "reqMethod"),
            (sign("x", path, {}, NOW), "not signed"),
        ):
            answer = self.api.ask_raw("POST", path, f"Authorization: Bearer {token}")
            self.assert_error(answer, operator_errors.UNAUTHORIZED, why)
            self.assertNotIn(token.rpartition(".")[2].encode("ascii"), answer.body)
        self.assertEqual(self.operations.asked, [])

    def test_once(self) -> None:
        """
        A request that was seen on its way cannot be made again; nor, on the way, another be made of it.
        """
        path = f"{BASE}/stop-api"
        field = f"Authorization: Bearer {sign(SECRET, path, {}, NOW)}"
        for other in (f"{BASE}/shutdown", f"{path}?", f"{path}?x=1"):
            self.assertEqual(self.api.ask_raw("POST", other, field).status, 401, other)
        self.assertEqual(self.api.ask_raw("POST", path, field).status, 200)
        self.assert_error(self.api.ask_raw("POST", path, field), operator_errors.UNAUTHORIZED, "before")
        self.assertEqual(self.operations.asked, [("stop_api", ())])

    def test_two_fields(self) -> None:
        """
        Two tokens are no token.
        """
        path = f"{BASE}/status"
        fields = [self.api.authorization("GET", path, {}) for _ in range(2)]
        self.assertEqual(self.api.ask_raw("GET", path, *fields).status, 401)

    def test_absolute_form(self) -> None:
        """
        What is signed is path and query, also where a proxy sends the whole address.
        """
        path = f"{BASE}/objects?limit=3"
        field = self.api.authorization("GET", path, {})
        self.assertEqual(self.api.ask_raw("GET", f"http://node:3335{path}", field).status, 200)

    def test_the_query_is_signed(self) -> None:
        """
        A token for one page is not for another.
        """
        field = self.api.authorization("GET", f"{BASE}/objects?limit=3", {})
        self.assertEqual(self.api.ask_raw("GET", f"{BASE}/objects?limit=4", field).status, 401)

    def test_told_of_sparingly(self) -> None:
        """
        Who tries secrets does not fill the log; and no token stands in it.
        """
        with capturedLogs() as events:
            for _ in range(50):
                self.api.ask_raw("GET", f"{BASE}/status", "Authorization: Bearer a.b.c")
        self.assertEqual(len(events), 1)
        self.assertNotIn("a.b.c", str(formatEvent(events[0])))

    def test_changes_are_logged(self) -> None:
        """
        What the operator does stands in the log; that he looks at something does not.
        """
        with capturedLogs() as events:
            self.api.ask("POST", f"{BASE}/stop-api")
            self.api.ask("GET", f"{BASE}/status")
        self.assertEqual([formatEvent(event) for event in events], [f"the operator says: POST {BASE}/stop-api"])


class BodyTests(OperatorCase):
    """
    What comes with a request.
    """

    def test_bad(self) -> None:
        """
        What is wrong with a body or a query is said.
        """
        for method, path, body, why in (
            ("POST", "/set-worker", {}, "workerId: is required"),
            ("POST", "/set-worker", {"workerId": 3, "x": 1}, "x: unknown key"),
            ("POST", "/set-buckets", {"buckets": []}, "one at least"),
            ("POST", "/prefetch", {"objects": ["x"]}, "objects[0]"),
            ("POST", "/verify", {"bytesPerSecond": 0}, "bytesPerSecond"),
            ("POST", "/stop-api", {"force": True}, "force"),
            ("GET", "/status", {"x": 1}, "x"),
            ("GET", "/status?x=1", None, "x"),
            ("GET", "/objects?limit=0", None, "limit"),
            ("GET", "/storage-nodes/faults?after=1", None, "after"),
        ):
            self.assert_error(self.api.ask(method, BASE + path, body), operator_errors.BAD_REQUEST, why)
        self.assertEqual(self.operations.asked, [])

    def test_not_json(self) -> None:
        """
        A body is JSON, and says so.
        """
        path = f"{BASE}/set-worker"
        for type, content, error in (
            ("text/plain", b'{"workerId": 3}', operator_errors.NOT_JSON),
            ("application/x-www-form-urlencoded", b"workerId=3", operator_errors.NOT_JSON),
            ("multipart/form-data; boundary=x", b"--x--", operator_errors.NOT_JSON),
            ("application/json", b"workerId=3", operator_errors.BAD_REQUEST),
            ("application/json", b"[3]", operator_errors.BAD_REQUEST),
        ):
            fields = (
                self.api.authorization("POST", path, {"workerId": 3}),
                f"Content-Type: {type}",
                f"Content-Length: {len(content)}",
            )
            answer = self.api.ask_raw("POST", path, *fields, content=content)
            self.assertEqual((answer.status, json.loads(answer.body)["type"]), (error.status, error.type))
        self.assertEqual(self.operations.asked, [])


class TroubleTests(OperatorCase):
    """
    What goes wrong.
    """

    def test_refused(self) -> None:
        """
        What the operations refuse is answered as they say.
        """
        for error in operator_errors.ALL_ERRORS:
            self.operations.answers["stop_api"] = Refused(error)
            answer = self.api.ask("POST", f"{BASE}/stop-api")
            self.assert_error(answer, error)
            self.assertEqual("Retry-After" in answer, error.retry_after is not None)
        self.operations.answers["evict"] = Refused(operator_errors.DISK_FAILED, "the disk is read-only")
        answer = self.api.ask("DELETE", f"{BASE}/objects/7")
        self.assert_error(answer, operator_errors.DISK_FAILED, "read-only")

    def test_unforeseen(self) -> None:
        """
        Of what nobody has thought of, the log tells, and not the answer.
        """
        for method, path, name in (("GET", "/status", "status"), ("DELETE", "/objects/7", "evict")):
            self.operations.answers[name] = ZeroDivisionError("a detail")
            self.assert_error(self.api.ask(method, BASE + path), errors.INTERNAL_ERROR)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_client_leaves(self) -> None:
        """
        What has begun goes on when the client leaves: nothing is half deleted.
        """
        for end in ("well", "badly", "unforeseen"):
            cancelled: list[object] = []
            evicting: Deferred[object] = Deferred(cancelled.append)
            self.operations.answers["evict"] = evicting
            visit = self.api.visit()
            self.api.send(visit, "DELETE", f"{BASE}/objects/7")
            self.assertEqual(visit.answers, [])
            visit.lose()
            self.assertEqual(cancelled, [])
            if end == "well":
                evicting.callback(EVICTED)
            elif end == "badly":
                evicting.errback(Refused(operator_errors.NOT_HERE))
                self.assertEqual(len(self.flushLoggedErrors(Refused)), 1)
            else:
                evicting.errback(ZeroDivisionError())
                self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_client_waits(self) -> None:
        """
        A client who waits gets the answer when there is one.
        """
        evicting: Deferred[object] = Deferred()
        self.operations.answers["evict"] = evicting
        visit = self.api.visit()
        self.api.send(visit, "DELETE", f"{BASE}/objects/7")
        evicting.callback(EVICTED)
        self.assertEqual(json.loads(visit.answer.body), EVICTED)
