"""
One answer of the short way.
"""

from __future__ import annotations

from typing import cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IConsumer, IProducer, IPushProducer
from twisted.logger import Logger
from zope.interface import implementer

from distributor.delivery.direct import plain_connection, write_now
from distributor.delivery.pump import ColdRead, Pump, ReadingPump, SendfilePump, read_cached
from distributor.model import ByteRange, DiskFailed, DistributorError, IReader, NoRoom
from distributor.web.answer import Selection, select
from distributor.web.asset import new_request_id
from distributor.web.asset_request import AssetRequest, asset_request
from distributor.web.channel import Channel
from distributor.web.fast.head import PlainHead
from distributor.web.fast.hits import Hits
from distributor.web.fast.prepared import Prepared

#: Up to here, to read and to write costs less than to have the kernel copy.
_SMALL = 48 * 1024


@implementer(IConsumer)
class Visit:
    """
    A GET or HEAD of a complete object.

    It is let in before it begins, and leaves when it is over, whatever happens. For what writes the body by and by, it
    is the consumer.
    """

    _log = Logger()

    def __init__(
        self,
        channel: Channel,
        hits: Hits,
        plain: PlainHead,
        asked: AssetRequest,
        prepared: Prepared,
        selection: Selection,
    ) -> None:
        self._channel = channel
        self._hits = hits
        self._plain = plain
        self._asked = asked
        self._prepared = prepared
        self._selection = selection
        self._began = hits.clock.seconds()
        self._sent = 0

    @classmethod
    def enter(cls, channel: Channel, hits: Hits, plain: PlainHead) -> Visit | None:
        """
        Begin one; L{None} where it is not for the short way: there is no such object, the answer is an error or has
        several parts, or nobody is let in.
        """
        prepared = hits.prepared(plain.object_id)
        if prepared is None:
            return None
        asked = asset_request(plain.method, plain.object_id, plain.fields.get, b"", new_request_id)
        selection = select(asked, prepared.size, prepared.etag)
        if selection.status not in (200, 206, 304) or len(selection.ranges) > 1:
            return None
        visit = cls(channel, hits, plain, asked, prepared, selection)
        return visit if hits.gate.enter(visit) is None else None

    def run(self) -> Deferred[bool] | None:
        """
        Answer. Called once.

        @return: L{None} when the answer is over already; else what fires when it is, with whether it was answered. If
            not, nothing has been written, and the ordinary way is to be asked. It never fails; to be cancelled when the
            connection is lost.
        """
        if self._asked.method == "HEAD" or self._selection.status == 304:
            self._put(self._head())
            self._leave()
            return None
        reader = self._hits.node.open_now(self._asked.object_id, self._prepared.entry)
        if reader is None:
            return Deferred.fromCoroutine(self._open())
        return self._send(reader)

    def abort(self) -> None:
        """
        Cut the connection: what was sent must not look whole.
        """
        self._channel.abort()

    async def _open(self) -> bool:
        reader: IReader | None = None
        try:
            opened = await self._hits.node.open_stored(self._prepared.found)
            reader = opened.reader if opened is not None else None
        except CancelledError:
            pass
        except Exception:
            self._log.failure("request {request_id} failed", request_id=self._asked.request_id)
        if reader is None:
            self._hits.gate.leave(self)
            return False
        sending = self._send(reader)
        return True if sending is None else await sending

    def _send(self, reader: IReader) -> Deferred[bool] | None:
        """
        Send head and body. See L{run}.
        """
        head = self._head()
        if not self._selection.ranges:
            self._put(head)
            self._over(reader)
            return None
        [wanted] = self._selection.ranges
        if wanted.stop - wanted.start <= _SMALL and self._send_small(head, reader, wanted):
            self._over(reader)
            return None
        self._put(head, more=True)
        pump = self._pump(reader, wanted)
        pumped = pump.run()
        if pump.offset == wanted.stop:
            self._over(reader)
            return None
        return Deferred.fromCoroutine(self._follow(reader, pump, pumped, wanted.stop))

    def _send_small(self, head: bytes, reader: IReader, wanted: ByteRange) -> bool:
        """
        Send head and body together, if the whole body is in the page cache.
        """
        length = wanted.stop - wanted.start
        buffer = bytearray(len(head) + length)
        buffer[: len(head)] = head
        try:
            if read_cached(reader.fd, memoryview(buffer)[len(head) :], wanted.start) < length:
                return False
        except (ColdRead, OSError):
            # Whatever it is, a pump finds it, too.
            return False
        self._put(buffer)
        self._count(length)
        return True

    def _pump(self, reader: IReader, wanted: ByteRange) -> Pump:
        in_thread = self._hits.node.in_thread
        connection = plain_connection(self._channel.transport)
        if connection is None:
            return ReadingPump(reader, wanted.start, wanted.stop, in_thread, self)
        return SendfilePump(reader, wanted.start, wanted.stop, in_thread, self._channel, connection, self._count)

    async def _follow(self, reader: IReader, pump: Pump, pumped: Deferred[None], stop: int) -> bool:
        """
        Wait for what takes its time.
        """
        opened = self._hits.node.opened(self._prepared.found, reader)
        try:
            try:
                await pumped
            except (DiskFailed, NoRoom) as error:
                # A storage node can still give what the disk cannot.
                opened.reading_failed(error)
                passage = await opened.passage(ByteRange(pump.offset, stop))
                await passage.send_to(self)
        except CancelledError:
            # Most likely, the client has gone.
            self.abort()
        except (DistributorError, ConnectionLost) as error:
            if not isinstance(error, ConnectionLost):
                self._log.warn("request {request_id} is cut: {error}", request_id=self._asked.request_id, error=error)
            self.abort()
        except Exception:
            self._log.failure("request {request_id} failed", request_id=self._asked.request_id)
            self.abort()
        finally:
            opened.close()
            self._leave()
        return True

    def _over(self, reader: IReader) -> None:
        reader.close()
        self._leave()

    def _leave(self) -> None:
        hits = self._hits
        hits.gate.leave(self)
        hits.access.note(
            self._channel.peer,
            self._asked.method,
            self._plain.target.decode("ascii"),
            self._selection.status,
            self._sent,
            hits.clock.seconds() - self._began,
            self._asked.request_id,
        )

    def _head(self) -> bytes:
        plain = self._plain
        return self._prepared.head(
            self._selection, plain.version, plain.closes, self._hits.date(), self._asked.request_id
        )

    def _put(self, data: bytes | bytearray, *, more: bool = False) -> None:
        """
        @param more: what follows goes to the socket at once.
        """
        connection = plain_connection(self._channel.transport)
        if connection is not None:
            write_now(connection, data, more=more)
        else:
            self._channel.write(bytes(data))  # type: ignore[no-untyped-call]

    def _count(self, length: int) -> None:
        self._sent += length

    # The consumer of what comes by and by.

    def write(self, data: bytes) -> None:
        self._count(len(data))
        self._channel.write(data)  # type: ignore[no-untyped-call]

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        self._channel.registerProducer(cast(IPushProducer, producer), streaming)

    def unregisterProducer(self) -> None:
        self._channel.unregisterProducer()  # type: ignore[no-untyped-call]
