"""
The body of an answer: its pieces, one after another, from wherever they can be had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol as TypingProtocol
from typing import cast

from twisted.internet.interfaces import IConsumer, IPushProducer

from distributor.delivery.direct import plain_connection
from distributor.delivery.pump import Pump, ReadingPump, SendfilePump
from distributor.model import FIRST_STEP, ByteRange, DiskFailed, DistributorError, InThread, IReader, NoRoom
from distributor.transfer import Passage


class Channel(TypingProtocol):
    """
    The connection that an answer goes to: the producer of its transport.
    """

    @property
    def transport(self) -> object:
        """What the connection is made of."""

    def pauseProducing(self) -> None: ...

    def resumeProducing(self) -> None: ...

    def stopProducing(self) -> None: ...


class Source(TypingProtocol):
    """
    Where the bytes of one answer come from.

    @ivar reader: the file, as long as there is one to read from.
    """

    reader: IReader | None

    def reading_failed(self, error: DistributorError) -> None:
        """
        The file will not do for all that was wanted; a passage is asked for next.
        """

    async def passage(self, wanted: ByteRange) -> Passage:
        """
        C{wanted} from a storage node, its first byte ready.
        """


async def deliver(
    consumer: IConsumer,
    channel: Channel | None,
    count: Callable[[int], None],
    pieces: Iterable[bytes | ByteRange],
    source: Source,
    in_thread: InThread,
) -> None:
    """
    Write the body of an answer whose head has been written.

    @param consumer: takes what is written.
    @param channel: whose connection that goes to, so that it need not be written; L{None} when it is gone.
    @param count: is told how many bytes have gone past C{consumer}.

    @raise DistributorError: it cannot go on; what has been written is right as far as it goes.
    @raise ConnectionLost: the reader is gone.
    """
    for piece in pieces:
        if isinstance(piece, bytes):
            consumer.write(piece)
            continue
        offset = piece.start
        if source.reader is not None:
            pump = new_pump(consumer, channel, count, source.reader, piece, in_thread)
            try:
                await pump.run()
            except (DiskFailed, NoRoom) as error:
                # A storage node can still give what the disk cannot.
                source.reading_failed(error)
            offset = pump.offset
        if offset < piece.stop:
            passage = await source.passage(ByteRange(offset, piece.stop))
            await passage.send_to(consumer)


def new_pump(
    consumer: IConsumer,
    channel: Channel | None,
    count: Callable[[int], None],
    reader: IReader,
    wanted: ByteRange,
    in_thread: InThread,
    first: int = FIRST_STEP,
) -> Pump:
    """
    What sends a run of bytes of a file, by whichever way there is. See L{deliver}.

    @param first: how many bytes may go out at once, before others have their turn.
    """
    connection = plain_connection(getattr(channel, "transport", None))
    if channel is None or connection is None:
        return ReadingPump(reader, wanted.start, wanted.stop, in_thread, consumer)
    producer = cast(IPushProducer, channel)
    return SendfilePump(reader, wanted.start, wanted.stop, in_thread, producer, connection, count, first)
