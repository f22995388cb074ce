"""
The operator's API: Klein routes, each of them thin. Who asks must sign the request, see L{distributor.web.token}.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib import resources
from typing import Any, Protocol

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from distributor.model import T, is_object_id
from distributor.observe import Sparse
from distributor.web import errors, operator_request
from distributor.web.asset import new_request_id
from distributor.web.asset_request import field_value, request_id
from distributor.web.errors import ApiError
from distributor.web.exchange import write_head
from distributor.web.operator_errors import (
    BODY_TOO_LARGE,
    METHOD_NOT_ALLOWED,
    TOO_MANY_TOKENS,
    UNAUTHORIZED,
    Refused,
    answer_headers,
    error_headers,
)
from distributor.web.token import TokenRefused, Tokens, TooManyTokens

BASE = "/api/v1"
_READ = ["GET", "HEAD"]
_POST = ["POST"]

Answer = Mapping[str, object]


class Operations(Protocol):
    """
    What an operator can ask of a node. Answers are objects of JSON.

    Every method may raise L{Refused}.
    """

    def status(self) -> Answer: ...

    def buckets(self) -> Answer: ...

    def downloads(self) -> Answer: ...

    def config(self) -> Answer: ...

    def storage_nodes(self) -> Answer: ...

    async def faults(self, limit: int) -> Answer: ...

    async def objects(self, after: str | None, limit: int) -> Answer: ...

    async def explain(self, object_id: str) -> Answer: ...

    async def evict(self, object_id: str) -> Answer: ...

    async def prefetch(self, object_ids: Sequence[str]) -> Answer: ...

    def prefetching(self) -> Answer: ...

    def stop_prefetching(self) -> Answer: ...

    def verify(self, rate: int | None) -> Answer: ...

    def verification(self) -> Answer: ...

    def stop_verifying(self) -> Answer: ...

    async def save_cache_state(self) -> Answer: ...

    def set_worker(self, worker_id: int) -> None: ...

    def set_buckets(self, buckets: tuple[str, ...] | None) -> None: ...

    def stop_api(self) -> None: ...

    def start_api(self) -> None: ...

    def shutdown(self) -> None: ...


class Exposition(Protocol):
    """
    What a monitoring system reads.
    """

    content_type: str

    def text(self) -> bytes: ...


class OperatorApi:
    """
    What the node answers its operator over HTTP.
    """

    app = Klein()
    _log = Logger()

    def __init__(
        self,
        operations: Operations,
        tokens: Tokens,
        metrics: Exposition,
        seconds: Callable[[], float],
        trouble: Sparse,
    ) -> None:
        """
        @param seconds: the time, in seconds since 1970.
        @param trouble: where requests are told of that the operator has not signed.
        """
        self._operations = operations
        self._tokens = tokens
        self._metrics = metrics
        self._seconds = seconds
        self._trouble = trouble
        self._openapi = resources.files("distributor.web").joinpath("operator-openapi.json").read_bytes()

    # Who may come in.

    def _admit(self, request: Request) -> dict[str, Any]:
        """
        @return: the body, once it is clear that the operator has sent it.
        @raise Refused: it is not, or cannot be read.
        """
        if getattr(request, "overfull", False):
            raise Refused(BODY_TOO_LARGE)
        # The path is without the host that clients of proxies put before it; the query is not parsed.
        _, mark, query = request.uri.partition(b"?")
        target = request.path + mark + query
        method, url = request.method.decode("ascii"), target.decode("ascii", "backslashreplace")
        authorization = field_value(request.requestHeaders.getRawHeaders(b"Authorization"))
        now = self._seconds()
        try:
            claims = self._tokens.verify(authorization, method, url, now)
            content_type = field_value(request.requestHeaders.getRawHeaders(b"Content-Type"))
            assert request.content is not None
            body = operator_request.json_object(request.content.read(), content_type)
            self._tokens.accept(claims, body, now)
        except TokenRefused as error:
            self._trouble.error("the operator's API has refused a request that is not the operator's: {why}", why=error)
            raise Refused(UNAUTHORIZED, str(error)) from None
        except TooManyTokens as error:
            raise Refused(TOO_MANY_TOKENS, str(error)) from None
        if method not in _READ:
            self._log.info("the operator says: {method} {url}", method=method, url=url)
        return body

    def _admit_plain(self, request: Request) -> None:
        """
        The same for a request that consists of its address alone.
        """
        body = self._admit(request)
        operator_request.no_parameters(request.args)
        operator_request.nothing(body)

    def _id(self, object_id: str) -> str:
        if not is_object_id(object_id):
            raise Refused(errors.OBJECT_NOT_FOUND)
        return object_id

    # What the operator sees.

    @app.route(f"{BASE}/status", methods=_READ)
    def status(self, request: Request) -> bytes:
        self._admit_plain(request)
        return _json(request, self._operations.status())

    @app.route(f"{BASE}/buckets", methods=_READ)
    def buckets(self, request: Request) -> bytes:
        self._admit_plain(request)
        return _json(request, self._operations.buckets())

    @app.route(f"{BASE}/downloads", methods=_READ)
    def downloads(self, request: Request) -> bytes:
        self._admit_plain(request)
        return _json(request, self._operations.downloads())

    @app.route(f"{BASE}/config", methods=_READ)
    def config(self, request: Request) -> bytes:
        self._admit_plain(request)
        return _json(request, self._operations.config())

    @app.route(f"{BASE}/storage-nodes", methods=_READ)
    def storage_nodes(self, request: Request) -> bytes:
        self._admit_plain(request)
        return _json(request, self._operations.storage_nodes())

    @app.route(f"{BASE}/storage-nodes/faults", methods=_READ)
    async def faults(self, request: Request) -> bytes:
        operator_request.nothing(self._admit(request))
        limit = operator_request.rows(request.args)
        return _json(request, await _apart(self._operations.faults(limit)))

    @app.route(f"{BASE}/objects", methods=_READ)
    async def objects(self, request: Request) -> bytes:
        operator_request.nothing(self._admit(request))
        after, limit = operator_request.page(request.args)
        return _json(request, await _apart(self._operations.objects(after, limit)))

    @app.route(f"{BASE}/explain/<object_id>", methods=_READ)
    async def explain(self, request: Request, object_id: str) -> bytes:
        self._admit_plain(request)
        return _json(request, await _apart(self._operations.explain(self._id(object_id))))

    # What the operator does.

    @app.route(f"{BASE}/objects/<object_id>", methods=["DELETE"])
    async def evict(self, request: Request, object_id: str) -> bytes:
        self._admit_plain(request)
        return _json(request, await _apart(self._operations.evict(self._id(object_id))))

    @app.route(f"{BASE}/prefetch", methods=_POST)
    async def prefetch(self, request: Request) -> bytes:
        body = self._admit(request)
        operator_request.no_parameters(request.args)
        return _json(request, await _apart(self._operations.prefetch(operator_request.objects(body))))

    @app.route(f"{BASE}/prefetch", methods=_READ)
    def prefetching(self, request: Request) -> bytes:
        self._admit_plain(request)
        return _json(request, self._operations.prefetching())

    @app.route(f"{BASE}/prefetch", methods=["DELETE"])
    def stop_prefetching(self, request: Request) -> bytes:
        self._admit_plain(request)
        return _json(request, self._operations.stop_prefetching())

    @app.route(f"{BASE}/verify", methods=_POST)
    def verify(self, request: Request) -> bytes:
        body = self._admit(request)
        operator_request.no_parameters(request.args)
        return _json(request, self._operations.verify(operator_request.pace(body)))

    @app.route(f"{BASE}/verify", methods=_READ)
    def verification(self, request: Request) -> bytes:
        self._admit_plain(request)
        return _json(request, self._operations.verification())

    @app.route(f"{BASE}/verify", methods=["DELETE"])
    def stop_verifying(self, request: Request) -> bytes:
        self._admit_plain(request)
        return _json(request, self._operations.stop_verifying())

    @app.route(f"{BASE}/save-cache-state", methods=_POST)
    async def save_cache_state(self, request: Request) -> bytes:
        self._admit_plain(request)
        return _json(request, await _apart(self._operations.save_cache_state()))

    @app.route(f"{BASE}/set-worker", methods=_POST)
    def set_worker(self, request: Request) -> bytes:
        body = self._admit(request)
        operator_request.no_parameters(request.args)
        self._operations.set_worker(operator_request.worker(body))
        return _json(request, {})

    @app.route(f"{BASE}/set-buckets", methods=_POST)
    def set_buckets(self, request: Request) -> bytes:
        body = self._admit(request)
        operator_request.no_parameters(request.args)
        self._operations.set_buckets(operator_request.buckets(body))
        return _json(request, {})

    @app.route(f"{BASE}/stop-api", methods=_POST)
    def stop_api(self, request: Request) -> bytes:
        self._admit_plain(request)
        self._operations.stop_api()
        return _json(request, {})

    @app.route(f"{BASE}/start-api", methods=_POST)
    def start_api(self, request: Request) -> bytes:
        self._admit_plain(request)
        self._operations.start_api()
        return _json(request, {})

    @app.route(f"{BASE}/shutdown", methods=_POST)
    def shutdown(self, request: Request) -> bytes:
        self._admit_plain(request)
        self._operations.shutdown()
        return _json(request, {})

    # What needs no token: a monitoring system cannot sign, and nothing of it is secret.

    @app.route(f"{BASE}/metrics", methods=_READ)
    @app.route("/metrics", methods=_READ)
    def metrics(self, request: Request) -> bytes:
        return _body(request, self._metrics.content_type, self._metrics.text())

    @app.route(f"{BASE}/openapi.json", methods=_READ)
    def openapi(self, request: Request) -> bytes:
        return _body(request, "application/json", self._openapi)

    @app.route("/healthz", methods=_READ)
    def healthz(self, request: Request) -> bytes:
        return _body(request, "text/plain; charset=utf-8", b"ok\n")

    # What goes wrong.

    @app.handle_errors(Refused)  # type: ignore[arg-type]
    def refused(self, request: Request, failure: Failure) -> bytes:
        assert isinstance(failure.value, Refused)
        return error_answer(request, failure.value.error)

    @app.handle_errors(HTTPException)  # type: ignore[arg-type]
    def not_routed(self, request: Request, failure: Failure) -> bytes:
        wrong_method = isinstance(failure.value, MethodNotAllowed)
        return error_answer(request, METHOD_NOT_ALLOWED if wrong_method else errors.ROUTE_NOT_FOUND)

    @app.handle_errors(Exception)  # type: ignore[arg-type]
    def unforeseen(self, request: Request, failure: Failure) -> bytes:
        id = _request_id(request)
        self._log.failure("request {request_id} failed", failure, request_id=id)
        return error_answer(request, errors.INTERNAL_ERROR)


def _apart(doing: Awaitable[T]) -> Deferred[T]:
    """
    Let what has begun go on when the client leaves, since Klein would cancel it: files are deleted whole, or not.
    """
    told: Deferred[T] = Deferred(lambda _: None)

    async def run() -> None:
        try:
            result = await doing
        except Exception:
            failure = Failure()
            if told.called:
                OperatorApi._log.failure("what an operator asked for, who has left", failure)
            else:
                told.errback(failure)
        else:
            if not told.called:
                told.callback(result)

    Deferred.fromCoroutine(run()).addErrback(lambda failure: OperatorApi._log.failure("answering", failure))
    return told


def _request_id(request: Request) -> str:
    return request_id(field_value(request.requestHeaders.getRawHeaders(b"X-Request-Id")), new_request_id)


def _body(request: Request, type: str, body: bytes) -> bytes:
    write_head(request, 200, answer_headers(type, len(body), _request_id(request)))
    return body


def _json(request: Request, value: Answer) -> bytes:
    return _body(request, "application/json", json.dumps(value).encode("ascii"))


def error_answer(request: Request, error: ApiError) -> bytes:
    """
    Answer with an error: write the head, and give the body.
    """
    write_head(request, error.status, error_headers(error, _request_id(request)))
    return errors.body(error)
