"""
The answers of the short way: at once, or one that takes its time.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.logger import Logger
from twisted.python.failure import Failure

from distributor.delivery import new_pump
from distributor.delivery.direct import QUOTA, drained, plain_connection, send_now, write_now
from distributor.delivery.page_cache import ColdRead, probe, read_cached
from distributor.delivery.pump import Pump
from distributor.model import (
    FIRST_STEP,
    LARGEST_STEP,
    ByteRange,
    DiskFailed,
    DistributorError,
    IReader,
    NoRoom,
)
from distributor.web.asset import new_request_id
from distributor.web.asset_request import request_id
from distributor.web.channel import Channel
from distributor.web.fast.exchange import Outlet, put
from distributor.web.fast.hits import PAGE, SMALL, SMALL_ELSEWHERE, Hits
from distributor.web.fast.prepared import Decided


def begin(channel: Channel, hits: Hits, decided: Decided, asked_as: str) -> int | None:
    """
    Send what can be sent without waiting for anything.

    @param asked_as: the id of the request.
    @return: how much of the body that was, behind the head; L{None}: not even that, and nothing has happened.
    """
    wanted = decided.wanted
    if wanted is None:
        if decided.reads:
            # An empty object: whether it is still there is seen when it is opened.
            return None
        put(channel, make_head(hits, decided, asked_as))
        return 0
    fd = hits.node.lend(decided.plain.object_id)
    if fd is None:
        return None
    sent = _begin_body(channel, hits, decided, asked_as, fd, wanted)
    if sent == decided.length:
        hits.node.touch(decided.plain.object_id)
    return sent


def _begin_body(
    channel: Channel, hits: Hits, decided: Decided, asked_as: str, fd: int, wanted: ByteRange
) -> int | None:
    connection = plain_connection(channel.transport)
    if decided.length <= (SMALL if connection is not None else SMALL_ELSEWHERE):
        read = decided.length
    elif connection is None or not connection.connected:
        return None
    else:
        # The kernel passes on whole pages, a few at a time: what stands before the first of them goes with the head.
        read = min(-wanted.start % PAGE, decided.length)
    head = make_head(hits, decided, asked_as)
    before, offset = len(head), wanted.start + read
    data = hits.scratch[: before + read]
    data[:before] = head
    warm_stop = min(wanted.stop, offset + LARGEST_STEP)
    try:
        if read and read_cached(fd, data[before:], wanted.start) < read:
            return None
        if offset < warm_stop:
            probe(fd, offset, warm_stop)
    except (ColdRead, OSError):
        # Whatever it is, a pump finds it, too.
        return None
    if connection is None:
        channel.write(bytes(data))  # type: ignore[no-untyped-call]
        return read
    more = read < decided.length
    write_now(connection, data, more=more)
    if not more or not drained(connection):
        return read
    return send_now(connection, fd, offset, wanted.stop, warm_stop) - wanted.start


def note(
    channel: Channel,
    hits: Hits,
    decided: Decided,
    request_id: str,
    sent: int,
    seconds: float,
    waited_s: float | None = 0.0,
) -> None:
    """
    Log an answer that is over.

    @param waited_s: for how long its head has waited; L{None}: it was never sent.
    """
    plain = decided.plain
    client, forwarded_for, status = channel.peer, plain.fields.get("X-Forwarded-For"), decided.status
    assets = hits.assets
    if forwarded_for is not None:
        client = assets.proxies.client(client, forwarded_for)
    assets.tally.answered(decided.prepared.found.cache, status, sent, waited_s if status in (200, 206) else None)
    assets.access.note(client, plain.method, plain.target, status, sent, seconds, request_id)


def name_request(decided: Decided) -> str:
    """
    The id of a request with a head for which the answer is decided.
    """
    return request_id(decided.plain.fields.get("X-Request-Id"), new_request_id)


def make_head(hits: Hits, decided: Decided, request_id: str) -> bytes:
    """
    The head of the answer.
    """
    first, second, last = decided.head
    return b"".join((first, hits.date(), second, request_id.encode("ascii"), last))


class Visit(Outlet):
    """
    An answer that takes its time. It is let in before it begins, and leaves when it is over, whatever happens.
    """

    _log = Logger()

    def __init__(
        self,
        channel: Channel,
        hits: Hits,
        decided: Decided,
        asked_as: str,
        sent: int | None,
        reader: IReader,
        waited_s: float = 0.0,
    ) -> None:
        """
        @param sent: what L{begin} has returned.
        @param reader: of the object; this closes it.
        @param waited_s: for how long the request has waited.
        """
        super().__init__(channel)
        self._waited_s: float | None = waited_s
        self._hits = hits
        self.decided = decided
        self._began = hits.assets.clock.seconds() - waited_s
        self._id = asked_as
        self._headed = sent is not None
        self._reader = reader
        self.sent = sent or 0

    def run(self) -> Deferred[None] | None:
        """
        Answer. Called once.

        @return: L{None} when the answer is over already; else what fires when it is. It never fails; to be cancelled
            when the connection is lost.
        """
        wanted, length = self.decided.wanted, self.decided.length
        early = b""
        if not self._headed:
            head = make_head(self._hits, self.decided, self._id)
            if wanted is not None:
                early = self._reader.early(wanted.start, min(FIRST_STEP, length))
            put(self.channel, head + early, more=wanted is not None and not early)
            self.sent = len(early)
        if wanted is None or self.sent == length:
            self._end()
            return None
        left = ByteRange(wanted.start + self.sent, wanted.stop)
        if early:
            # Others are to have something first.
            turn = self._hits.coming.next_turn()
            return turn.addCallbacks(self._go_on, self._gone, callbackArgs=(left,))
        pump = self._pump(left)
        pumped = pump.run()
        if pumped.called and pump.offset == wanted.stop:
            self._end()
            return None
        return Deferred.fromCoroutine(self._finish(left, (pump, pumped)))

    def _go_on(self, ignored: None, left: ByteRange) -> Deferred[None]:
        return Deferred.fromCoroutine(self._finish(left, None))

    def _gone(self, failure: Failure) -> None:
        failure.trap(CancelledError)
        self.give_up()

    def _pump(self, wanted: ByteRange) -> Pump:
        # Of what is on its way, there may be many who have had nothing yet.
        first = QUOTA if self.decided.prepared.entry is not None else FIRST_STEP
        return new_pump(self, self.channel, self.count, self._reader, wanted, self._hits.node.in_thread, first)

    async def _finish(self, left: ByteRange, pumping: tuple[Pump, Deferred[None]] | None) -> None:
        """
        Wait for what takes its time.

        @param pumping: what sends C{left}, and when it is done; L{None}: nothing does so far.
        """
        opened = self._hits.node.opened(self.decided.prepared.found, self._reader)
        try:
            if pumping is None:
                pump = self._pump(left)
                pumped = pump.run()
            else:
                pump, pumped = pumping
            try:
                await pumped
            except (DiskFailed, NoRoom) as error:
                # A storage node can still give what the disk cannot.
                opened.reading_failed(error)
                passage = await opened.passage(ByteRange(pump.offset, left.stop))
                await passage.send_to(self)
        except CancelledError:
            # Most likely, the client has gone.
            self.abort()
        except (DistributorError, ConnectionLost) as error:
            if not isinstance(error, ConnectionLost):
                self._log.warn("request {request_id} is cut: {error}", request_id=self._id, error=error)
            self.abort()
        except Exception:
            self._log.failure("request {request_id} failed", request_id=self._id)
            self.abort()
        finally:
            opened.close()
            self._leave()

    def give_up(self) -> None:
        """
        Nothing more is to be sent.
        """
        self.abort()
        self._end()

    def _end(self) -> None:
        self._reader.close()
        self._leave()

    def _leave(self) -> None:
        self._hits.gate.leave(self)
        seconds = self._hits.assets.clock.seconds() - self._began
        note(self.channel, self._hits, self.decided, self._id, self.sent, seconds, self._waited_s)
