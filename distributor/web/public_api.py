"""
The public API: Klein routes, each of them thin.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources

from klein import Klein
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from distributor.model import DistributorError
from distributor.web import errors
from distributor.web.asset import Assets, new_request_id
from distributor.web.asset_request import field_value, request_id
from distributor.web.exchange import RequestExchange, write_head
from distributor.web.headers import Headers, api_headers, preflight_headers

BASE = "/api/v1"
_READ = ["GET", "HEAD"]

#: What is shown of the whole node: known here, or asked of the process that knows.
Facts = Callable[[], Mapping[str, object] | Awaitable[Mapping[str, object]]]


class PublicApi:
    """
    What the node answers over HTTP.
    """

    app = Klein()
    _log = Logger()

    def __init__(
        self,
        assets: Assets,
        status: Facts,
        buckets: Facts,
        downloads: Facts | None,
        ready: Callable[[], bool],
        page: Callable[[str], str],
        page_policy: str,
        metrics: Callable[[], tuple[str, bytes] | Awaitable[tuple[str, bytes]]] | None = None,
    ) -> None:
        """
        @param status: what C{/status} says.
        @param buckets: what C{/buckets} says.
        @param downloads: what C{/downloads} says; L{None} where that is nobody's business.
        @param ready: whether the node can serve.
        @param page: makes the HTML at C{/}, from the origin under which the visitor knows this node.
        @param page_policy: its C{Content-Security-Policy}.
        @param metrics: what C{/metrics} says, and its media type; L{None} where that is nobody's business.
        """
        self._assets = assets
        self._status = status
        self._buckets = buckets
        self._downloads = downloads
        self._ready = ready
        self._page = page
        self._page_policy = page_policy
        self._metrics = metrics
        self._openapi = resources.files("distributor.web").joinpath("openapi.json").read_bytes()

    @app.route(f"{BASE}/asset/<path:object_id>", methods=_READ)
    @app.route(f"{BASE}/assets/<path:object_id>", methods=_READ)
    async def asset(self, request: Request, object_id: str) -> None:
        # A trailing slash is tolerated, as Argus does.
        await self._assets.respond(RequestExchange(request), object_id.removesuffix("/"))

    @app.route(f"{BASE}/status", methods=_READ)
    @app.route(f"{BASE}/status/", methods=_READ)
    async def status(self, request: Request) -> bytes:
        return await _facts(request, self._status)

    @app.route(f"{BASE}/buckets", methods=_READ)
    @app.route(f"{BASE}/buckets/", methods=_READ)
    async def buckets(self, request: Request) -> bytes:
        return await _facts(request, self._buckets)

    @app.route(f"{BASE}/downloads", methods=_READ)
    async def downloads(self, request: Request) -> bytes:
        if self._downloads is None:
            return error_answer(request, errors.ROUTE_NOT_FOUND)
        return await _facts(request, self._downloads)

    @app.route(f"{BASE}/openapi.json", methods=_READ)
    def openapi(self, request: Request) -> bytes:
        return _body(request, 200, "application/json", self._openapi)

    @app.route("/metrics", methods=_READ)
    async def metrics(self, request: Request) -> bytes:
        if self._metrics is None:
            return error_answer(request, errors.ROUTE_NOT_FOUND)
        told = self._metrics()
        type, text = told if isinstance(told, tuple) else await told
        return _body(request, 200, type, text)

    @app.route("/healthz", methods=_READ)
    def healthz(self, request: Request) -> bytes:
        return _body(request, 200, "text/plain; charset=utf-8", b"ok\n")

    @app.route("/readyz", methods=_READ)
    def readyz(self, request: Request) -> bytes:
        if self._ready():
            return _body(request, 200, "text/plain; charset=utf-8", b"ready\n")
        return _body(request, 503, "text/plain; charset=utf-8", b"not ready\n", (("Retry-After", "5"),))

    @app.route("/", methods=_READ)
    def page(self, request: Request) -> bytes:
        host = field_value(request.requestHeaders.getRawHeaders(b"Host")) or ""
        origin = f"{'https' if request.isSecure() else 'http'}://{host}"
        policy = (("Content-Security-Policy", self._page_policy),)
        return _body(request, 200, "text/html; charset=utf-8", self._page(origin).encode("utf-8"), policy)

    @app.route("/", methods=["OPTIONS"])
    @app.route("/<path:anything>", methods=["OPTIONS"])
    def preflight(self, request: Request, anything: str = "") -> bytes:
        wanted = field_value(request.requestHeaders.getRawHeaders(b"Access-Control-Request-Headers"))
        write_head(request, 204, preflight_headers(wanted, _request_id(request)))
        return b""

    @app.handle_errors(HTTPException)  # type: ignore[arg-type]
    def not_routed(self, request: Request, failure: Failure) -> bytes:
        # The route of the preflight matches every path: where it alone does, there is nothing.
        wrong_method = isinstance(failure.value, MethodNotAllowed) and "GET" in (failure.value.valid_methods or ())
        return error_answer(request, errors.METHOD_NOT_ALLOWED if wrong_method else errors.ROUTE_NOT_FOUND)

    @app.handle_errors(Exception)  # type: ignore[arg-type]
    def unforeseen(self, request: Request, failure: Failure) -> bytes:
        id = _request_id(request)
        self._log.failure("request {request_id} failed", failure, request_id=id)
        if request.startedWriting:
            # What was sent must not look whole.
            request.transport.abortConnection()  # type: ignore[union-attr]
            return b""
        write_head(request, 500, errors.headers(errors.INTERNAL_ERROR, id))
        return errors.body(errors.INTERNAL_ERROR)


def _request_id(request: Request) -> str:
    return request_id(field_value(request.requestHeaders.getRawHeaders(b"X-Request-Id")), new_request_id)


def _body(request: Request, status: int, type: str, body: bytes, more: Headers = ()) -> bytes:
    headers = (
        ("Content-Type", type),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        *api_headers(_request_id(request)),
        *more,
    )
    write_head(request, status, headers)
    return body


async def _facts(request: Request, facts: Facts) -> bytes:
    value = facts()
    try:
        known = value if isinstance(value, Mapping) else await value
    except DistributorError as error:
        return error_answer(request, errors.error_for(error, negative_max_age_s=0))
    return _json(request, 200, known)


def _json(request: Request, status: int, value: Mapping[str, object]) -> bytes:
    return _body(request, status, "application/json", json.dumps(value).encode("ascii"))


def error_answer(request: Request, error: errors.ApiError) -> bytes:
    """
    Answer with an error: write the head, and return the body.
    """
    write_head(request, error.status, errors.headers(error, _request_id(request)))
    return errors.body(error)
