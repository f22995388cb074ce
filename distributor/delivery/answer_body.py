"""
The body of an answer: its pieces, one after another, from wherever they can be had.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol as TypingProtocol

from twisted.web.http import Request

from distributor.delivery.direct import plain_connection
from distributor.delivery.pump import Pump, ReadingPump, SendfilePump
from distributor.model import ByteRange, DiskFailed, DistributorError, InThread, IReader, NoRoom
from distributor.transfer import Passage


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


async def deliver(request: Request, pieces: Iterable[bytes | ByteRange], source: Source, in_thread: InThread) -> None:
    """
    Write the body of an answer whose head has been written.

    @raise DistributorError: it cannot go on; what has been written is right as far as it goes.
    @raise ConnectionLost: the reader is gone.
    """
    for piece in pieces:
        if isinstance(piece, bytes):
            request.write(piece)
            continue
        offset = piece.start
        if source.reader is not None:
            pump = _pump(request, source.reader, piece, in_thread)
            try:
                await pump.run()
            except (DiskFailed, NoRoom) as error:
                # A storage node can still give what the disk cannot.
                source.reading_failed(error)
            offset = pump.offset
        if offset < piece.stop:
            passage = await source.passage(ByteRange(offset, piece.stop))
            await passage.send_to(request)


def _pump(request: Request, reader: IReader, wanted: ByteRange, in_thread: InThread) -> Pump:
    transport = plain_connection(getattr(request.channel, "transport", None))
    if transport is not None:

        def sent(length: int) -> None:
            request.sentLength += length

        return SendfilePump(reader, wanted.start, wanted.stop, in_thread, request.channel, transport, sent)
    return ReadingPump(reader, wanted.start, wanted.stop, in_thread, request)
