"""
A zoo of consumers: each takes bytes in a way of its own, and all of them object to a producer that misbehaves.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IConsumer, IProducer, IPushProducer
from zope.interface import implementer


@implementer(IConsumer)
class Consumer:
    """
    Takes what comes, at once.

    @ivar received: all bytes.
    @ivar writes: the length of each write.
    @ivar producer: who is registered.
    @ivar registered: how often somebody was.
    @ivar unregistered: how often somebody was not any more.
    """

    def __init__(self) -> None:
        self.received = b""
        self.writes: list[int] = []
        self.producer: IPushProducer | None = None
        self.registered = 0
        self.unregistered = 0

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        assert self.producer is None, "two producers at a time"
        assert streaming, "a pull producer"
        assert IPushProducer.providedBy(producer)
        self.producer = producer
        self.registered += 1

    def unregisterProducer(self) -> None:
        assert self.producer is not None, "nobody is registered"
        self.producer = None
        self.unregistered += 1

    def write(self, data: bytes) -> None:
        assert self.producer is not None, "bytes from nobody"
        assert data, "an empty write"
        self.received += data
        self.writes.append(len(data))


class Pausing(Consumer):
    """
    Pauses its producer within each write, until C{go_on}.
    """

    def write(self, data: bytes) -> None:
        super().write(data)
        assert self.producer is not None
        self.producer.pauseProducing()

    def go_on(self) -> None:
        """
        Take one more write.
        """
        assert self.producer is not None
        self.producer.resumeProducing()


class Fickle(Consumer):
    """
    Pauses and resumes its producer within each write.
    """

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.producer is not None:
            self.producer.pauseProducing()
        if self.producer is not None:
            self.producer.resumeProducing()


class StoppingInWrite(Consumer):
    """
    Goes away within the write of its given number.
    """

    def __init__(self, at: int = 1) -> None:
        super().__init__()
        self._at = at

    def write(self, data: bytes) -> None:
        super().write(data)
        if len(self.writes) == self._at:
            assert self.producer is not None
            self.producer.stopProducing()


class PausingThenStoppingInWrite(Consumer):
    """
    Pauses its producer and goes away, all within the first write.
    """

    def write(self, data: bytes) -> None:
        super().write(data)
        producer = self.producer
        assert producer is not None
        producer.pauseProducing()
        producer.stopProducing()


class StoppingInRegister(Consumer):
    """
    Has gone away before anybody came.
    """

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        super().registerProducer(producer, streaming)
        producer.stopProducing()


class PausedFromTheStart(Consumer):
    """
    Has no room yet when the producer comes.
    """

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        super().registerProducer(producer, streaming)
        assert self.producer is not None
        self.producer.pauseProducing()


#: Those who take everything without being asked to go on.
WILLING: tuple[Callable[[], Consumer], ...] = (Consumer, Fickle)

#: Those who leave on their own, with how many writes they take.
LEAVING: tuple[tuple[Callable[[], Consumer], int], ...] = (
    (StoppingInRegister, 0),
    (StoppingInWrite, 1),
    (lambda: StoppingInWrite(2), 2),
    (PausingThenStoppingInWrite, 1),
)
