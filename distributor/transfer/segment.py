"""
One upstream request: a run of bytes from one storage node.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol as TypingProtocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from distributor.model import ByteRange, FaultKind, StorageNode
from distributor.sources import Body, SourceError, StorageNodes
from distributor.transfer.rate import Rate

#: From fewer bytes, nothing can be told of the rate of a storage node: they take as long as the request does.
_TELLING = 256 * 1024


class SegmentSink(TypingProtocol):
    """
    Where a segment's bytes go.
    """

    def segment_alternative(self, segment: Segment) -> StorageNode | None:
        """Its node has not answered in its usual time: which one to ask as well, if any."""

    def segment_dropped(self, segment: Segment, node: StorageNode, error: SourceError) -> None:
        """One of the two that were asked has failed; it waits for the other."""

    def segment_answered(self, segment: Segment, body: Body) -> None:
        """The head of the answer has come, and is right."""

    def segment_received(self, segment: Segment, offset: int, data: bytes) -> None:
        """The bytes of the object at C{offset} have come. The segment may be paused or stopped from here."""

    def segment_ended(self, segment: Segment, error: SourceError | None) -> None:
        """It has delivered all of its bytes (L{None}), or failed. Comes once, last, and never after C{stop}."""


class State(Enum):
    """
    Where a segment is in its life: each state goes only to one below it, but for C{PAUSED} and C{RECEIVING}.
    """

    CREATED = "created"
    ASKING = "asking"
    RECEIVING = "receiving"
    PAUSED = "paused"
    ENDED = "ended"


class Segment(Protocol):
    """
    Asks one storage node for a run of bytes and passes them on in order; one of two, where the first is slow to answer.

    @ivar node: which one; where there were two, the one that answered.
    @ivar wanted: what was asked for.
    @ivar began_at: when, in seconds.
    @ivar position: the offset in the object of the next byte to come.
    @ivar first: the offset of the first one that came, or will.
    @ivar stop_offset: the offset behind the last byte that it is to bring.
    """

    _log = Logger()

    def __init__(
        self,
        nodes: StorageNodes,
        node: StorageNode,
        object_id: str,
        size: int,
        wanted: ByteRange,
        sink: SegmentSink,
        clock: IReactorTime,
    ) -> None:
        self._nodes = nodes
        self.node = node
        self._object_id = object_id
        self._size = size
        self.wanted = wanted
        self._sink = sink
        self._clock = clock
        self.first = self.position = wanted.start
        self.stop_offset = self._body_stop = wanted.stop
        self.began_at = clock.seconds()
        self._rate = Rate(self.began_at)
        self._paused_at: float | None = None
        self._rested = False
        self._held = False
        self._state = State.CREATED
        self._asking: Deferred[None] | None = None
        self._silence: IDelayedCall | None = None
        self._has_place = False

    def __repr__(self) -> str:
        run = f"{self._object_id}[{self.position}:{self.stop_offset}]"
        return f"<Segment {self._state.value} {run} {self.node.endpoint}>"

    def start(self) -> None:
        """
        Send the request.
        """
        assert self._state is State.CREATED, self
        self._state = State.ASKING
        self._asking = Deferred.fromCoroutine(self._ask())
        self._asking.addErrback(self._failed)

    async def _ask(self) -> None:
        await self._nodes.take_place()
        self._has_place = True
        won = await self._nodes.race(
            self.node,
            self._object_id,
            self._size,
            self.wanted,
            lambda: self._sink.segment_alternative(self),
            self._dropped_out,
        )
        body = won.body
        self.node = won.node
        self.began_at = won.asked_at
        self._body_stop = body.stop
        if body.start != self.wanted.start:
            # Range was ignored: this is the whole object, and the sink takes what it misses of it.
            self.first = self.position = body.start
            self.stop_offset = body.stop
        self._state = State.RECEIVING
        self._rate = Rate(self._clock.seconds())
        self._sink.segment_answered(self, body)
        if self._held or self._paused_at is not None:
            self._still()
        body.deliver(self)

    def _dropped_out(self, node: StorageNode, error: SourceError, left: StorageNode) -> None:
        self.node = left
        self._sink.segment_dropped(self, node, error)

    def _failed(self, failure: Failure) -> None:
        if self._state is State.ENDED:
            return
        error = failure.value
        if not isinstance(error, SourceError):
            self._log.failure("asking {node} for a segment", failure, node=self.node.endpoint)
            error = SourceError(failure.getErrorMessage())
        self._end(error)

    # The body, as IProtocol.

    def connectionMade(self) -> None:
        if self._state is State.ENDED:
            self._drop_connection()
        elif self._state is State.RECEIVING:
            self._watch()

    def dataReceived(self, data: bytes) -> None:
        if self._state is State.ENDED:
            return
        if self._silence is not None:
            self._silence.reset(self._nodes.timeout_s)
        if self._state is State.PAUSED:
            # The response resumes its transport once it has delivered what it had buffered.
            self._pause_transport()
        excess = self.position + len(data) - self._body_stop
        if excess > 0:
            # Only a body without a length can do this: one with the wrong length was refused by its head.
            whole = self._body_stop - self.first
            self._report(FaultKind.WRONG_LENGTH, whole, whole + excess)
            self._broke(SourceError(f"{excess} bytes too many"))
            return
        self._rate.add(self._clock.seconds(), len(data))
        self._nodes.tally.bytes_received += len(data)
        offset = self.position
        wanted = data[: self.stop_offset - offset]
        self.position += len(wanted)
        self._sink.segment_received(self, offset, wanted)
        if self.position == self.stop_offset < self._body_stop:
            # What follows is brought by another one.
            self._end_early()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._state is State.ENDED:
            return
        if self.position == self.stop_offset:
            # However the connection ended: all is there, and the hash will tell whether it is right.
            self._end(None)
        else:
            self._report(FaultKind.EARLY_END, self._body_stop - self.first, self.position - self.first)
            self._broke(SourceError(f"broke off at {self.position} of {self.stop_offset}: {reason.getErrorMessage()}"))

    def _report(self, kind: FaultKind, expected: int, got: int) -> None:
        self._nodes.report(self.node, self._object_id, kind, str(expected), str(got), got)

    # The sink's side.

    @property
    def rate(self) -> float | None:
        """
        Bytes per second lately; L{None} if it is too new to tell.
        """
        return self._rate.lately(self._clock.seconds()) if self._state is State.RECEIVING else None

    @property
    def mean_rate(self) -> float | None:
        """
        Bytes per second over all its life, the wait for the answer included; L{None} if it has brought too little to
        tell, or was paused.
        """
        brought, lasted_s = self.position - self.first, self._clock.seconds() - self.began_at
        return brought / lasted_s if brought >= _TELLING and lasted_s and not self._rested else None

    @property
    def paused_s(self) -> float | None:
        """
        For how many seconds it has been paused; L{None} if it is not.
        """
        return None if self._paused_at is None else self._clock.seconds() - self._paused_at

    @property
    def is_whole(self) -> bool:
        """
        Whether its answer has come, and is the whole object.
        """
        answered = self._state in (State.RECEIVING, State.PAUSED)
        return answered and self.first == 0 and self._body_stop == self._size

    def bound(self, stop: int) -> None:
        """
        Bring nothing from C{stop} on. The connection is cut there, unless the answer ends there anyway.
        """
        self.stop_offset = min(self.stop_offset, stop)
        if self.position >= self.stop_offset:
            self._end_early()

    def extend(self) -> None:
        """
        Bring all that the answer has, more than was asked for.
        """
        self.stop_offset = self._body_stop

    def pause(self) -> None:
        """
        Let no more bytes come for now. The storage node's silence is not held against it meanwhile.
        """
        if self._paused_at is None:
            self._paused_at = self._clock.seconds()
            self._still()

    def resume(self) -> None:
        """
        The opposite of L{pause}.
        """
        self._paused_at = None
        self._go_on()

    def hold(self) -> None:
        """
        The same as L{pause}, for another reason: each of the two has to be taken back.
        """
        self._held = True
        self._still()

    def release(self) -> None:
        """
        The opposite of L{hold}.
        """
        if self._held:
            self._held = False
            self._go_on()

    def _still(self) -> None:
        self._rested = True
        if self._state is State.RECEIVING:
            self._state = State.PAUSED
            self._unwatch()
            self._pause_transport()

    def _go_on(self) -> None:
        if self._state is State.PAUSED and not self._held and self._paused_at is None:
            self._state = State.RECEIVING
            self._rate = Rate(self._clock.seconds())
            self._watch()
            if self.transport is not None:
                self.transport.resumeProducing()  # type: ignore[attr-defined]

    def stop(self) -> None:
        """
        Give up, without telling the sink.
        """
        if self._state is not State.ENDED:
            self._release()
            if self.position > self.first:
                # What it was to bring, it brought.
                self._nodes.standings.succeeded(self.node)

    def _pause_transport(self) -> None:
        if self.transport is not None:
            self.transport.pauseProducing()  # type: ignore[attr-defined]

    def _watch(self) -> None:
        self._unwatch()
        self._silence = self._clock.callLater(self._nodes.timeout_s, self._silent)

    def _unwatch(self) -> None:
        if self._silence is not None and self._silence.active():
            self._silence.cancel()
        self._silence = None

    def _silent(self) -> None:
        self._silence = None
        self._broke(SourceError(f"no byte for {self._nodes.timeout_s:g} s", timed_out=True))

    def _broke(self, error: SourceError) -> None:
        """
        Its node has failed in the middle of its answer.
        """
        self._release()
        self._nodes.standings.failed(self.node, str(error))
        self._sink.segment_ended(self, error)

    def _end_early(self) -> None:
        # The sink may have stopped it when it got the last bytes.
        if self._state is not State.ENDED:
            self._end(None)

    def _end(self, error: SourceError | None) -> None:
        self._release()
        if error is None:
            self._nodes.standings.succeeded(self.node)
        self._sink.segment_ended(self, error)

    def _release(self) -> None:
        """
        The one place where a segment gives back what it holds.
        """
        was, self._state = self._state, State.ENDED
        self._unwatch()
        if was is State.ASKING and self._asking is not None:
            self._asking.cancel()
        elif self.position < self._body_stop:
            # A connection whose answer was read to its end stays open, for the next request.
            self._drop_connection()
        if self._has_place:
            self._has_place = False
            self._nodes.leave_place()

    def _drop_connection(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()
