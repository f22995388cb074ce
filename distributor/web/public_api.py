"""
The public API: Klein routes, each of them thin.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from importlib import resources
from urllib.parse import unquote_to_bytes

from klein import Klein, KleinRenderable
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from distributor import __version__
from distributor.web import errors
from distributor.web.asset import Assets, new_request_id, write_head
from distributor.web.asset_request import field_value, request_id
from distributor.web.headers import Headers, api_headers, preflight_headers

BASE = "/api/v1"
_READ = ["GET", "HEAD"]

# RFC 9112 §3.2.2: clients of proxies send it, and a server has to accept it.
_ABSOLUTE_FORM = re.compile(rb"https?://([^/?]*)", re.IGNORECASE)

_HOST = re.compile(rb"(?:[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")

Facts = Callable[[], Mapping[str, object]]


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
    ) -> None:
        """
        @param status: what C{/status} says.
        @param buckets: what C{/buckets} says.
        @param downloads: what C{/downloads} says; L{None} where that is nobody's business.
        @param ready: whether the node can serve.
        @param page: makes the HTML at C{/}, from the origin under which the visitor knows this node.
        @param page_policy: its C{Content-Security-Policy}.
        """
        self._assets = assets
        self._status = status
        self._buckets = buckets
        self._downloads = downloads
        self._ready = ready
        self._page = page
        self._page_policy = page_policy
        self._openapi = resources.files("distributor.web").joinpath("openapi.json").read_bytes()

    @app.route(f"{BASE}/asset/<path:object_id>", methods=_READ)
    @app.route(f"{BASE}/assets/<path:object_id>", methods=_READ)
    async def asset(self, request: Request, object_id: str) -> None:
        # A trailing slash is tolerated, as Argus does.
        await self._assets.respond(request, object_id.removesuffix("/"))

    @app.route(f"{BASE}/status", methods=_READ)
    @app.route(f"{BASE}/status/", methods=_READ)
    def status(self, request: Request) -> bytes:
        return _json(request, 200, self._status())

    @app.route(f"{BASE}/buckets", methods=_READ)
    @app.route(f"{BASE}/buckets/", methods=_READ)
    def buckets(self, request: Request) -> bytes:
        return _json(request, 200, self._buckets())

    @app.route(f"{BASE}/downloads", methods=_READ)
    def downloads(self, request: Request) -> bytes:
        if self._downloads is None:
            return _error(request, errors.ROUTE_NOT_FOUND)
        return _json(request, 200, self._downloads())

    @app.route(f"{BASE}/openapi.json", methods=_READ)
    def openapi(self, request: Request) -> bytes:
        return _body(request, 200, "application/json", self._openapi)

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
        return _error(request, errors.METHOD_NOT_ALLOWED if wrong_method else errors.ROUTE_NOT_FOUND)

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


def _json(request: Request, status: int, value: Mapping[str, object]) -> bytes:
    return _body(request, status, "application/json", json.dumps(value).encode("ascii"))


def _error(request: Request, error: errors.ApiError) -> bytes:
    write_head(request, error.status, errors.headers(error, _request_id(request)))
    return errors.body(error)


class Front(Resource):
    """
    Stands before Klein, and answers what Klein and Werkzeug would fail at.
    """

    isLeaf = True
    _log = Logger()

    def __init__(self, api: PublicApi) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._klein = api.app.resource()

    def render(self, request: Request) -> KleinRenderable:
        request.setHeader(b"server", f"distributor/{__version__}".encode("ascii"))
        # Werkzeug takes "get" for GET, where RFC 9110 §9.1 tells them apart.
        if not request.method.isalpha() or not request.method.isupper():
            return _error(request, errors.METHOD_NOT_ALLOWED)
        absolute = _ABSOLUTE_FORM.match(request.path)
        if absolute is not None:
            request.requestHeaders.setRawHeaders(b"Host", [absolute[1]])
            request.path = request.path[absolute.end() :] or b"/"
            request.postpath = [unquote_to_bytes(segment) for segment in request.path[1:].split(b"/")]
        try:
            unquote_to_bytes(request.path).decode("utf-8")
        except UnicodeDecodeError:
            return _error(request, errors.ROUTE_NOT_FOUND)
        if not _HOST.fullmatch(request.getHeader(b"host") or b""):
            # No answer depends on the name by which a client knows this node, but Werkzeug refuses odd ones.
            request.requestHeaders.setRawHeaders(b"Host", [b"localhost"])
        return self._klein.render(request)


class _Channel(HTTPChannel):
    """
    A connection that its site knows of.

    It tells a producer which comes when there is no room. Twisted's leaves that to the transport, and one with TLS
    speaks when its buffer gets full, but not again while it is: behind pipelined requests, or between two ranges, a
    whole object would go into the buffer.
    """

    site: PublicSite
    _full = False

    def connectionMade(self) -> None:
        super().connectionMade()  # type: ignore[no-untyped-call]
        self.site.channels.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self.site.channel_lost(self)

    def pauseProducing(self) -> None:
        self._full = True
        super().pauseProducing()  # type: ignore[no-untyped-call]

    def resumeProducing(self) -> None:
        self._full = False
        super().resumeProducing()  # type: ignore[no-untyped-call]

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        super().registerProducer(producer, streaming)  # type: ignore[no-untyped-call]
        if self._full:
            producer.pauseProducing()


class PublicSite(Site):
    """
    The HTTP server of the public API.

    @ivar channels: the connections that are open.
    """

    noisy = False
    protocol = _Channel  # type: ignore[assignment]

    def __init__(self, api: PublicApi, **options: object) -> None:
        super().__init__(Front(api), **options)  # type: ignore[no-untyped-call]
        self.displayTracebacks = False
        self.channels: set[_Channel] = set()
        self._waiting: list[Deferred[None]] = []

    def channel_lost(self, channel: _Channel) -> None:
        """
        A connection has ended.
        """
        self.channels.discard(channel)
        if not self.channels:
            waiting, self._waiting = self._waiting, []
            for waiter in waiting:
                waiter.callback(None)

    def close(self) -> Deferred[None]:
        """
        End all connections, none of which may have an answer in progress. Fires when they have ended: when all that was
        written to them has gone out.
        """
        for channel in list(self.channels):
            channel.loseConnection()  # type: ignore[no-untyped-call]
        return self.empty()

    def cut(self) -> None:
        """
        End all connections at once.
        """
        for channel in list(self.channels):
            channel.transport.abortConnection()  # type: ignore[union-attr]

    def empty(self) -> Deferred[None]:
        """
        Fires when no connection is open.
        """
        if not self.channels:
            return succeed(None)
        waiter: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiter)
        return waiter

    def acceptableProtocols(self) -> list[bytes]:
        """
        HTTP/1.1 alone: C{protocol} speaks nothing else.
        """
        return [b"http/1.1"]

    def log(self, request: HTTPRequest) -> None:
        """
        Assets log their own end, with the request's id; the rest is not worth a line.
        """
