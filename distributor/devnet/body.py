"""
The body of one answer of a storage node, on its way to the reader.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from distributor.devnet.exchange import Exchange
from distributor.devnet.faults import Cut, Drip, Ending
from distributor.devnet.rate import SharedRate
from distributor.model import ByteRange

#: What is read from the file, and written to the transport, at once.
CHUNK = 64 * 1024

#: A reset throws away what is still in the system's buffers; so it waits, until the bytes before it can have arrived.
SETTLE_S = 0.05

#: Gives at most so many bytes from an offset on; an empty answer is the end.
Read = Callable[[int, int], bytes]


@define
class ServedRequest:
    """
    What benchmarks and tests want to know of a request for a file.

    @ivar range_header: the C{Range} that came with it.
    @ivar asked: the bytes of the object that a GET asked for; L{None} if the answer has none of them.
    @ivar status: of the answer; L{None} as long as there is none.
    @ivar sent: bytes of the body handed to the transport so far.
    @ivar finished: the answer was sent to its end.
    """

    method: str
    object_id: str
    range_header: str | None
    asked: ByteRange | None = None
    status: int | None = None
    sent: int = 0
    finished: bool = False


@implementer(IPushProducer)
class Body:
    """
    Sends C{length} bytes, as fast as the reader takes them and the rate allows.

    Reading is direct, so that a slow disk holds up the reactor: good enough for a tool to develop against, and for
    nothing else.
    """

    def __init__(
        self,
        request: Exchange,
        served: ServedRequest,
        read: Read,
        length: int,
        clock: IReactorTime,
        rate: SharedRate | None = None,
        cut: Cut | None = None,
        drip: Drip | None = None,
        close_after: bool = False,
        ended: Callable[[], object] = lambda: None,
    ) -> None:
        """
        @param cut: how to end early; ignored if the body is over by then.
        @param drip: how much to send how often, whatever the rate.
        @param close_after: end the connection with the body.
        @param ended: called once, when nothing more will be read.
        """
        self._request = request
        self._channel = request.channel
        self._served = served
        self._read = read
        self._cut = cut if cut is not None and cut.after < length else None
        self._stop = length if self._cut is None else self._cut.after
        self._clock = clock
        self._rate = rate
        self._drip = drip
        self._drip_stop = 0 if drip is None else self._stop if drip.stop is None else drip.stop
        self._next_drop: IDelayedCall | None = None
        self._close_after = close_after
        self._ended = ended
        self._position = 0
        self._paused = False
        self._over = False
        self._reset: IDelayedCall | None = None

    def start(self) -> None:
        """
        Send the head, and begin.
        """
        self._request.notifyFinish().addErrback(self._lost)
        self._request.write(b"")
        # The transport may pause, or stop, the producer within this call: resumeProducing looks at both.
        self._request.registerProducer(self, True)
        if self._position == self._stop:
            self._reach_stop()
        elif not self._paused:
            self.resumeProducing()

    def resumeProducing(self) -> None:
        """
        The reader takes more.
        """
        self._paused = False
        if self._position < self._drip_stop:
            self._await_drop()
            return
        if self._rate is not None:
            if self._flows():
                self._rate.ask(self._turn)
            return
        while self._flows():
            self._send(CHUNK)

    def pauseProducing(self) -> None:
        """
        The reader is behind.
        """
        self._paused = True
        if self._rate is not None:
            self._rate.leave(self._turn)

    def stopProducing(self) -> None:
        """
        The reader has gone.
        """
        self._end()

    def _flows(self) -> bool:
        return not self._paused and not self._over and self._position < self._stop

    def _await_drop(self) -> None:
        if self._next_drop is None and self._flows():
            assert self._drip is not None
            self._next_drop = self._clock.callLater(self._drip.every_s, self._drop)

    def _drop(self) -> None:
        self._next_drop = None
        assert self._drip is not None
        if self._flows():
            self._send(min(self._drip.size, self._drip_stop - self._position))
        if self._flows():
            self.resumeProducing()

    def _turn(self, share: int) -> int:
        assert self._rate is not None
        sent = self._send(min(share, CHUNK))
        if self._flows():
            self._rate.ask(self._turn)
        return sent

    def _send(self, at_most: int) -> int:
        data = self._read(self._position, min(at_most, self._stop - self._position))
        if not data:
            # The file is shorter than it was: the reader must see that the answer is not whole.
            self._abort()
            return 0
        self._position += len(data)
        self._served.sent += len(data)
        # This may call pauseProducing, or stopProducing, before it returns.
        self._request.write(data)
        if self._position == self._stop and not self._over:
            self._reach_stop()
        return len(data)

    def _reach_stop(self) -> None:
        if self._cut is None:
            self._end()
            self._served.finished = True
            self._request.unregisterProducer()
            self._request.finish()
            if self._close_after:
                self._channel.loseConnection()
        elif self._cut.ending is Ending.CLOSE:
            self._end()
            self._request.unregisterProducer()
            self._channel.loseConnection()
        elif self._cut.ending is Ending.RESET:
            self._reset = self._clock.callLater(SETTLE_S, self._abort)

    def _abort(self) -> None:
        self._reset = None
        self._channel.transport.abortConnection()
        self._end()

    def _lost(self, reason: Failure) -> None:
        self._end()

    def _end(self) -> None:
        if self._over:
            return
        self._over = True
        if self._rate is not None:
            self._rate.leave(self._turn)
        for call in (self._reset, self._next_drop):
            if call is not None:
                call.cancel()
        self._reset = self._next_drop = None
        self._ended()
