"""
Answers on the connection of a plain request: where they go, and one of any kind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from twisted.internet.interfaces import IConsumer, IProducer, IPushProducer
from zope.interface import implementer

from distributor.delivery.direct import plain_connection, write_now
from distributor.web.channel import Channel
from distributor.web.fast.answer_head import head, head_fields
from distributor.web.fast.head import PlainHead
from distributor.web.headers import Headers


def put(channel: Channel, data: bytes | memoryview, *, more: bool = False) -> None:
    """
    Write, without waiting for the reactor where that is possible.

    @param more: what follows goes to the socket at once.
    """
    connection = plain_connection(channel.transport)
    if connection is not None:
        write_now(connection, data, more=more)
    else:
        channel.write(bytes(data))  # type: ignore[no-untyped-call]


@implementer(IConsumer)
class Outlet:
    """
    Where one answer goes: a consumer for what comes by and by.

    @ivar sent: how many bytes of the body have gone.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.sent = 0

    def count(self, length: int) -> None:
        """
        So many bytes of the body have gone past this.
        """
        self.sent += length

    def abort(self) -> None:
        """
        Cut the connection: what was sent must not look whole.
        """
        self.channel.abort()

    def write(self, data: bytes) -> None:
        self.channel.write(data)  # type: ignore[no-untyped-call]
        self.count(len(data))

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        self.channel.registerProducer(cast(IPushProducer, producer), streaming)

    def unregisterProducer(self) -> None:
        self.channel.unregisterProducer()  # type: ignore[no-untyped-call]


class PlainExchange(Outlet):
    """
    A plain request, and the answer to it. An L{Exchange<distributor.web.exchange.Exchange>}.
    """

    query = b""

    def __init__(self, channel: Channel, plain: PlainHead, date: str, begun: Callable[[PlainHead], None]) -> None:
        """
        @param date: what the answer's C{Date} is to be.
        @param begun: is called when something of a body has gone.
        """
        super().__init__(channel)
        self._begun = begun
        self._plain = plain
        self._date = date
        self._ended = False
        self.method = plain.method
        self.target = plain.target
        self.status = 200
        self.headed = False

    @property
    def peer(self) -> str:
        """
        The address of the client, for people.
        """
        return self.channel.peer

    @property
    def consumer(self) -> IConsumer:
        """
        What takes the body.
        """
        return self

    @property
    def last(self) -> bool:
        """
        Whether the connection ends with the answer.
        """
        return self._ended or self._plain.last

    def field(self, name: str) -> str | None:
        """
        The value of a header field of the request.
        """
        return self._plain.fields.get(name)

    def write_head(self, status: int, headers: Headers, *, more: bool) -> None:
        """
        Send the head of the answer.
        """
        self.status = status
        self.headed = True
        version = self._plain.version
        fields = head_fields(version, headers, self._date, closes=self._plain.closes, ended=self._ended)
        put(self.channel, head(version, status, fields), more=more and self.method != "HEAD")

    def end_connection(self) -> None:
        """
        This is the last answer on its connection.
        """
        self._ended = True

    def count(self, length: int) -> None:
        """
        So many bytes of the body have gone past this.
        """
        first = self.sent == 0
        super().count(length)
        if first:
            self._begun(self._plain)

    def write(self, data: bytes) -> None:
        if self.method != "HEAD":
            super().write(data)
