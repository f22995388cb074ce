"""
The operator's API of a node that is none: it checks that requests are signed, with a library and no code of ours, and
answers what a test wants.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import jwt
from attrs import define, field, frozen
from twisted.trial.unittest import SynchronousTestCase

#: Long enough for PyJWT to find nothing to say about it.
SECRET = "a secret of the operator's, for tests only"

#: What time it is, in seconds since 1970: 2026-11-24 12:00:00 UTC.
NOW = 1795521600.0


@frozen
class Asked:
    """
    A request that was signed as it should be.
    """

    method: str
    url: str
    body: object
    field_values: Mapping[str, str] = field(eq=False, factory=dict)


@define
class FakeApi:
    """
    Listens on the loopback interface.

    @ivar now: what time it is, in seconds since 1970.
    @ivar answers: what is answered to a method and an address, one after the other; the last one for ever.
    @ivar asked: what was asked for.
    @ivar unsigned: why requests were refused.
    """

    url: str
    now: float = NOW
    answers: dict[str, deque[tuple[int, bytes]]] = field(factory=dict)
    asked: list[Asked] = field(factory=list)
    unsigned: list[str] = field(factory=list)
    _tokens: set[str] = field(factory=set)

    def answer(self, request: str, *bodies: object, status: int = 200) -> None:
        """
        @param request: such as C{GET /status}.
        @param bodies: of JSON, or bytes as they are.
        """
        encoded = [body if isinstance(body, bytes) else json.dumps(body).encode() for body in bodies]
        self.answers.setdefault(request, deque()).extend((status, body) for body in encoded)

    @property
    def calls(self) -> list[str]:
        """
        What was asked for, in short.
        """
        return [f"{asked.method} {asked.url.removeprefix('/api/v1')}" for asked in self.asked]

    def take(self, method: str, url: str, headers: Mapping[str, str], content: bytes) -> tuple[int, bytes]:
        """
        Judge and answer one request.
        """
        body = json.loads(content) if content else {}
        try:
            self._judge(headers.get("Authorization", ""), method, url, body)
        except (AssertionError, jwt.PyJWTError) as error:
            self.unsigned.append(repr(error))
            return 401, b'{"type": "unauthorized", "message": "not signed"}'
        self.asked.append(Asked(method, url, body, dict(headers)))
        waiting = self.answers.get(f"{method} {url.removeprefix('/api/v1')}")
        if not waiting:
            return 404, b'{"type": "route_not_found", "message": "There is nothing here"}'
        return waiting.popleft() if len(waiting) > 1 else waiting[0]

    def _judge(self, authorization: str, method: str, url: str, body: object) -> None:
        kind, _, token = authorization.partition(" ")
        assert kind == "Bearer", authorization
        assert jwt.get_unverified_header(token)["alg"] == "HS256"
        claims = jwt.decode(token, SECRET, algorithms=["HS256"], options={"verify_iat": False})
        assert abs(claims["iat"] - self.now) < 300, claims
        assert claims["reqUrl"] == url, claims
        assert claims["reqBody"] == body, claims
        assert claims.get("reqMethod", method) == method, claims
        assert token not in self._tokens, "the same token again"
        self._tokens.add(token)


def fake_api(case: SynchronousTestCase) -> FakeApi:
    """
    One that listens until the test ends. It has a thread, since who asks it blocks.
    """

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = api.take(self.command, self.path, dict(self.headers.items()), content)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = _answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    api = FakeApi(f"http://127.0.0.1:{server.server_port}")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def end() -> None:
        server.shutdown()
        thread.join()
        server.server_close()

    case.addCleanup(end)
    return api
