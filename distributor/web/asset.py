"""
GET and HEAD of an asset, step by step.
"""

from __future__ import annotations

import secrets
from random import getrandbits

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.http import Request

from distributor.delivery import deliver
from distributor.model import ByteRange, CacheState, DistributorError, ObjectNotFound, is_object_id
from distributor.node import Found, Opened, Shelf
from distributor.observe import ACCESS_FORMAT
from distributor.observe.tally import Tally
from distributor.web import errors
from distributor.web.answer import Answer, Facts, answer, select
from distributor.web.asset_request import AssetRequest, asset_request, field_value
from distributor.web.channel import shown
from distributor.web.forwarded import Proxies
from distributor.web.gate import Gate
from distributor.web.headers import Headers, entity_tag

# Those that Twisted does not know.
_PHRASES = {421: b"Misdirected Request"}

# What a HEAD of an object that has not been fetched can say of its type.
_UNKNOWN_TYPE = "application/octet-stream"


def new_request_id() -> str:
    """
    A name for a request, as good as unique.
    """
    # Nobody has anything from guessing one; and secrets would ask the kernel for each.
    return f"{getrandbits(64):016x}"


def write_head(request: Request, status: int, headers: Headers) -> None:
    """
    Send the status line and the header fields.
    """
    request.setResponseCode(status, _PHRASES.get(status))
    for name, value in headers:
        request.responseHeaders.addRawHeader(name, value)
    request.write(b"")


class Assets:
    """
    Answers requests for assets, from what the node has.
    """

    def __init__(self, node: Shelf, gate: Gate, clock: IReactorTime, proxies: Proxies, tally: Tally) -> None:
        """
        @param tally: where answers are counted.
        """
        self._tally = tally
        self._proxies = proxies
        self._node = node
        self._gate = gate
        self._clock = clock

    async def respond(self, request: Request, object_id: str) -> None:
        """
        Answer one request, whatever happens. The caller finishes it.
        """
        asked = asset_request(
            request.method.decode("ascii"),
            object_id,
            lambda name: field_value(request.requestHeaders.getRawHeaders(name.encode("ascii"))),
            request.uri.partition(b"?")[2],
            new_request_id,
        )
        visit = _Visit(request, asked, self._node, self._clock, self._proxies, self._tally)
        refusal = self._gate.enter(visit)
        if refusal is not None:
            request.responseHeaders.setRawHeaders("Connection", ["close"])
            # Twisted heeds that field in requests alone.
            request.channel.persistent = False
            visit.refuse(refusal)
            return
        try:
            await visit.run()
        finally:
            self._gate.leave(visit)


class _Visit:
    """
    One answer.
    """

    _log = Logger()

    def __init__(
        self, request: Request, asked: AssetRequest, node: Shelf, clock: IReactorTime, proxies: Proxies, tally: Tally
    ) -> None:
        self._proxies = proxies
        self._tally = tally
        self._cache: CacheState | None = None
        self._head_after_s: float | None = None
        self._request = request
        self._asked = asked
        self._node = node
        self._clock = clock
        self._began = clock.seconds()

    async def run(self) -> None:
        """
        Answer, with an error if need be; behind the head, cut the connection instead.
        """
        try:
            await self._answer()
        except CancelledError:
            # The reader has gone.
            raise
        except (DistributorError, ConnectionLost) as error:
            await self._end_badly(error)
        except Exception as error:
            self._log.failure("request {request_id} failed", request_id=self._asked.request_id)
            await self._end_badly(error)
        finally:
            self._log_access()

    async def _end_badly(self, error: Exception) -> None:
        if not self._request.startedWriting:
            self.refuse(errors.error_for(error, self._node.negative_ttl_s))
            return
        if not isinstance(error, ConnectionLost):
            self._log.warn("request {request_id} is cut: {error}", request_id=self._asked.request_id, error=error)
        self.abort()
        # The end of the connection cancels this, and nothing may follow on it.
        await Deferred()

    def abort(self) -> None:
        """
        Cut the connection: what was sent must not look whole.
        """
        self._request.transport.abortConnection()  # type: ignore[union-attr]

    def refuse(self, error: errors.ApiError) -> None:
        """
        Answer with an error.
        """
        write_head(self._request, error.status, errors.headers(error, self._asked.request_id))
        self._request.write(errors.body(error))

    async def _answer(self) -> None:
        if not is_object_id(self._asked.object_id):
            raise ObjectNotFound(self._asked.object_id)
        found = await self._node.find(self._asked.object_id)
        selection = select(self._asked, found.object.size, entity_tag(found.object.content_hash))
        if self._asked.method == "GET" and selection.status in (200, 206):
            opened = await self._node.open(found, selection.ranges)
            try:
                await self._send(found, opened, selection.ranges[0] if selection.ranges else None)
            finally:
                opened.close()
        else:
            facts = self._facts(
                found,
                found.cache,
                found.type or _UNKNOWN_TYPE,
                external=found.cache is not CacheState.HIT and not self._node.keeps(found.object),
                collapsed=found.cache is CacheState.PENDING,
                stored=found.cache is not CacheState.HIT and self._node.keeps(found.object),
            )
            self._write(answer(self._asked, facts, ""))

    async def _send(self, found: Found, opened: Opened, first: ByteRange | None) -> None:
        opened_at = self._clock.seconds()
        await opened.begin(first)
        facts = self._facts(
            found,
            opened.cache,
            opened.type,
            external=opened.external,
            collapsed=opened.joined,
            stored=opened.reader is not None,
            source_s=self._clock.seconds() - opened_at,
        )
        decided = answer(self._asked, facts, secrets.token_hex(16))
        self._head_after_s = self._clock.seconds() - self._began
        write_head(self._request, decided.status, decided.headers)
        await deliver(self._request, decided.pieces, opened, self._node.in_thread)

    def _facts(
        self,
        found: Found,
        cache: CacheState,
        type: str,
        *,
        external: bool,
        collapsed: bool,
        stored: bool,
        source_s: float | None = None,
    ) -> Facts:
        self._cache = cache
        return Facts(
            size=found.object.size,
            content_hash=found.object.content_hash,
            cache=cache,
            external=external,
            type=type,
            collapsed=collapsed,
            stored=stored,
            catalogue_s=found.catalogue_s,
            source_s=source_s,
        )

    def _write(self, decided: Answer) -> None:
        write_head(self._request, decided.status, decided.headers)
        for piece in decided.pieces:
            assert isinstance(piece, bytes)
            self._request.write(piece)

    def _log_access(self) -> None:
        self._log.info(
            ACCESS_FORMAT,
            peer=self._proxies.client(
                shown(self._request.getClientAddress()),
                field_value(self._request.requestHeaders.getRawHeaders(b"X-Forwarded-For")),
            ),
            method=self._asked.method,
            uri=self._request.uri.decode("ascii", "backslashreplace"),
            status=self._request.code,
            sent=self._request.sentLength,
            seconds=self._clock.seconds() - self._began,
            request_id=self._asked.request_id,
        )
        self._tally.answered(self._cache, self._request.code, self._request.sentLength, self._head_after_s)
