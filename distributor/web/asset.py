"""
GET and HEAD of an asset, step by step.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from random import getrandbits

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from distributor.delivery import deliver
from distributor.model import ByteRange, CacheState, DistributorError, ObjectNotFound, is_object_id
from distributor.node import Found, Opened, Shelf
from distributor.observe import AccessLog
from distributor.observe.tally import Tally
from distributor.web import errors
from distributor.web.answer import Answer, Facts, answer, select
from distributor.web.asset_request import AssetRequest, asset_request
from distributor.web.exchange import Exchange
from distributor.web.forwarded import Proxies
from distributor.web.gate import Gate, Visitor
from distributor.web.headers import entity_tag

# What a HEAD of an object that has not been fetched can say of its type.
_UNKNOWN_TYPE = "application/octet-stream"


def new_request_id() -> str:
    """
    A name for a request, as good as unique.
    """
    # Nobody has anything from guessing one; and secrets would ask the kernel for each.
    return f"{getrandbits(64):016x}"


@frozen
class Vain:
    """
    A wait for a download that has brought nothing.

    @ivar found: what was known when it began.
    @ivar error: why it is over.
    @ivar visitor: who has waited, and is inside still.
    """

    found: Found
    error: DistributorError
    visitor: Visitor


class Assets:
    """
    Answers requests for assets, from what the node has.

    @ivar node: where objects are.
    @ivar gate: who may come in.
    @ivar proxies: who is believed when it says whom it asks for.
    @ivar tally: where answers are counted.
    @ivar access: where they are logged.
    """

    def __init__(
        self, node: Shelf, gate: Gate, clock: IReactorTime, proxies: Proxies, tally: Tally, access: AccessLog
    ) -> None:
        self.node = node
        self.gate = gate
        self.clock = clock
        self.proxies = proxies
        self.tally = tally
        self.access = access

    async def respond(
        self, exchange: Exchange, object_id: str, waited_s: float = 0.0, vain: Vain | None = None
    ) -> None:
        """
        Answer one request, whatever happens. When this returns, nothing more is going to be sent.

        @param waited_s: for how long it has waited already.
        @param vain: for a download, in vain.
        @raise CancelledError: it was cancelled, as the client has gone.
        """
        asked = asset_request(exchange.method, object_id, exchange.field, exchange.query, new_request_id)
        visit = _Visit(exchange, asked, self, waited_s, vain)
        refusal = None
        if vain is not None:
            self.gate.replace(vain.visitor, visit)
        else:
            refusal = self.gate.enter(visit)
        if refusal is not None:
            exchange.end_connection()
            visit.refuse(refusal)
            return
        try:
            await visit.run()
        finally:
            self.gate.leave(visit)


class _Visit:
    """
    One answer.
    """

    _log = Logger()

    def __init__(
        self, exchange: Exchange, asked: AssetRequest, assets: Assets, waited_s: float, vain: Vain | None
    ) -> None:
        self._exchange = exchange
        self._asked = asked
        self._assets = assets
        self._node = assets.node
        self._clock = assets.clock
        self._cache: CacheState | None = None
        self._head_after_s: float | None = None
        self._began = self._clock.seconds() - waited_s
        self._vain = vain

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
        if not self._exchange.headed:
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
        self._exchange.abort()

    def refuse(self, error: errors.ApiError) -> None:
        """
        Answer with an error.
        """
        self._exchange.write_head(error.status, errors.headers(error, self._asked.request_id), more=True)
        self._exchange.consumer.write(errors.body(error))

    async def _answer(self) -> None:
        if not is_object_id(self._asked.object_id):
            raise ObjectNotFound(self._asked.object_id)
        vain = self._vain
        found = await self._node.find(self._asked.object_id) if vain is None else vain.found
        selection = select(self._asked, found.object.size, entity_tag(found.object.content_hash))
        if self._asked.method == "GET" and selection.status in (200, 206):
            if vain is None:
                opened = await self._node.open(found, selection.ranges)
            else:
                opened = self._node.without(found, vain.error)
            try:
                await self._send(found, opened, selection.ranges)
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

    async def _send(self, found: Found, opened: Opened, ranges: Sequence[ByteRange]) -> None:
        opened_at = self._clock.seconds() if self._vain is None else self._began
        await opened.begin(ranges[0] if ranges else None)
        facts = self._facts(
            found,
            opened.cache,
            opened.type,
            external=opened.external,
            collapsed=opened.joined,
            stored=opened.reader is not None,
            source_s=self._clock.seconds() - opened_at,
        )
        decided = answer(self._asked, facts, secrets.token_hex(16) if len(ranges) > 1 else "")
        self._head_after_s = self._clock.seconds() - self._began
        exchange = self._exchange
        exchange.write_head(decided.status, decided.headers, more=bool(decided.pieces))
        await deliver(exchange.consumer, exchange.channel, exchange.count, decided.pieces, opened, self._node.in_thread)

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
        self._exchange.write_head(decided.status, decided.headers, more=bool(decided.pieces))
        for piece in decided.pieces:
            assert isinstance(piece, bytes)
            self._exchange.consumer.write(piece)

    def _log_access(self) -> None:
        exchange, assets = self._exchange, self._assets
        client = assets.proxies.client(exchange.peer, exchange.field("X-Forwarded-For"))
        seconds = self._clock.seconds() - self._began
        method, request_id = self._asked.method, self._asked.request_id
        assets.access.note(client, method, exchange.target, exchange.status, exchange.sent, seconds, request_id)
        assets.tally.answered(self._cache, exchange.status, exchange.sent, self._head_after_s)
