"""
The network's side of a download: which segments run, and which storage nodes they ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Protocol as TypingProtocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from distributor.model import ByteRange, DataObject, SourcesFailed, StorageNode
from distributor.sources import Body, Round, SourceError, StorageNodes
from distributor.transfer.crawling import crawling
from distributor.transfer.extents import Extents
from distributor.transfer.plan import (
    Action,
    Bound,
    Limits,
    Pause,
    Reading,
    Resume,
    Running,
    Start,
    Stop,
    begins_with_a_seek,
    plan,
)
from distributor.transfer.planning import Planning
from distributor.transfer.segment import Segment

#: How often, in seconds, what changes by itself is looked at: rates, and how long something has been paused.
_TICK_S = 1.0

#: How long after an answer seeks are prepared for, in seconds: first those have their bytes who wait for it.
_SOON_S = 0.02

#: Of objects larger than this, in bytes, a reader may want another part than the one that comes.
_SEEKABLE = 1024 * 1024

#: Between two rounds of storage nodes, in seconds; doubled each time up to the second.
FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 15.0


class Sink(TypingProtocol):
    """
    The other side of a download.
    """

    def readings(self) -> list[Reading]:
        """What readers want, those who came first first."""

    def received(self, offset: int, data: bytes) -> None:
        """Bytes that were missing have come."""

    def arrived(self) -> None:
        """Those are all for now."""

    def answered(self, type: str | None) -> None:
        """A storage node has answered, and says so of the media type."""

    def planned(self) -> None:
        """The plan has been asked, and carried out."""

    def fetch_failed(self, error: SourcesFailed) -> None:
        """No storage node goes on. Comes once, last."""


class Fetch:
    """
    Owns the segments of one copy of an object.

    @ivar arrived: what has come.
    @ivar segments: those in progress.
    @ivar brought: what each storage node has contributed: what was there already and came again is not its.
    """

    _log = Logger()

    def __init__(
        self,
        object: DataObject,
        sources: Sequence[StorageNode],
        nodes: StorageNodes,
        clock: IReactorTime,
        arrived: Extents,
        sink: Sink,
        patience_s: float,
    ) -> None:
        """
        @param sources: the storage nodes to ask.
        @param arrived: what need not be asked for.
        @param patience_s: for how long to try again once there are bytes: readers may have been sent them.
        """
        self._object = object
        self._sources = tuple(sources)
        self._nodes = nodes
        self._standings = nodes.standings
        self._clock = clock
        self._sink = sink
        self._patience_s = patience_s
        self._round = Round(sources)
        self._keys = count()
        self._planning = Planning(clock, self._act)
        self._next_tick: IDelayedCall | None = None
        self._next_look: IDelayedCall | None = None
        self._retry: IDelayedCall | None = None
        self._delay_s = FIRST_DELAY_S
        self._progressed_at = clock.seconds() if arrived.runs else None
        self._fruitful: set[Segment] = set()
        self._crawled: set[StorageNode] = set()
        self._held = False
        self._over = False
        self.arrived = arrived
        self.segments: dict[int, Segment] = {}
        self.brought: dict[StorageNode, Extents] = {}

    # What the other side asks for.

    def plan_soon(self) -> None:
        """
        Facts have changed: ask the plan.
        """
        if self._plans:
            self._planning.soon()

    def plan_promptly(self) -> None:
        """
        The same, for somebody who has come, and has nothing.
        """
        if self._plans:
            self._planning.promptly()

    def hold(self) -> None:
        """
        Let nothing come for now: more waits for the disk than should.
        """
        if not self._held:
            self._held = True
            for segment in self.segments.values():
                segment.hold()

    def release(self) -> None:
        """
        The opposite of L{hold}.
        """
        if self._held:
            self._held = False
            for segment in self.segments.values():
                segment.release()

    def begins_with_a_seek(self, offset: int) -> bool:
        """
        Whether an answer that begins at C{offset} needs a request of its own.
        """
        # One of them brings it, if any.
        bringing = (
            self._seen(key, segment)
            for key, segment in self.segments.items()
            if segment.position <= offset < segment.stop_offset
        )
        return begins_with_a_seek(offset, self.arrived, bringing)

    def brings(self, offset: int) -> bool:
        """
        Whether a segment in progress brings the byte at C{offset}.
        """
        return any(
            segment.position <= offset < segment.stop_offset and segment.paused_s is None
            for segment in self.segments.values()
        )

    def stop(self) -> None:
        """
        Give everything up. Twice is harmless.
        """
        self._over = True
        self._planning.stop()
        for call in (self._next_tick, self._next_look, self._retry):
            if call is not None:
                call.cancel()
        self._next_tick = self._next_look = self._retry = None
        segments, self.segments = self.segments, {}
        for segment in segments.values():
            segment.stop()

    # The plan.

    def _seen(self, key: int, segment: Segment) -> Running:
        """
        As the plan sees it.
        """
        return Running(key, segment.position, segment.stop_offset, segment.rate, segment.paused_s)

    def _act(self) -> None:
        sources = self._round.left() or self._sources
        limits = Limits(ranges=any(not self._standings.ignores_ranges(source) for source in sources))
        readings = self._sink.readings()
        running = [self._seen(key, segment) for key, segment in self.segments.items()]
        for action in plan(self._object.size, self.arrived, running, readings, limits):
            if not self._plans:
                return
            self._do(action)
        self._sink.planned()
        if self.segments and self._next_tick is None:
            self._next_tick = self._clock.callLater(_TICK_S, self._tick)

    def _do(self, action: Action) -> None:
        if isinstance(action, Start):
            self._start(action.offset, action.stop)
            return
        segment = self.segments.get(action.key)
        if segment is None:
            # It ended by what was done before it in this turn, and the plan is going to be asked again.
            return
        match action:
            case Bound(stop=stop):
                segment.bound(stop)
            case Stop(key):
                del self.segments[key]
                self._fruitful.discard(segment)
                segment.stop()
            case Pause():
                segment.pause()
            case Resume():
                segment.resume()

    def _start(self, offset: int, stop: int) -> None:
        try:
            node = self._round.choose(lambda left: self._best(left, offset))
        except SourcesFailed as error:
            self._none_left(error)
            return
        if self._standings.ignores_ranges(node) and any(segment.is_whole for segment in self.segments.values()):
            # It would give from the beginning what comes from there already.
            self._none_left(SourcesFailed(f"{node.endpoint}: ignores Range"))
            return
        wanted = ByteRange(offset, stop)
        segment = Segment(self._nodes, node, self._object.id, self._object.size, wanted, self, self._clock)
        self.segments[next(self._keys)] = segment
        if self._held:
            segment.hold()
        segment.start()

    def _best(self, left: Sequence[StorageNode], offset: int) -> StorageNode:
        first = not self.brought and not self.segments
        return self._standings.best(left, first=first, ranged=offset > 0, busy=self._busy, crawled=self._crawled)

    def _busy(self, node: StorageNode) -> int:
        return sum(segment.node == node for segment in self.segments.values())

    def _none_left(self, error: SourcesFailed) -> None:
        if self._retry is not None:
            return
        if self.segments:
            # Others are still at it, and this one has its turn before long.
            self._retry_later()
            return
        now = self._clock.seconds()
        if self._progressed_at is None or now - self._progressed_at >= self._patience_s:
            self._over = True
            self._sink.fetch_failed(error)
            return
        self._log.warn(
            "no storage node goes on with object {id}, trying again in {delay:g} s: {error}",
            id=self._object.id,
            delay=self._delay_s,
            error=error,
        )
        self._retry_later()

    def _retry_later(self) -> None:
        self._retry = self._clock.callLater(self._delay_s, self._try_again)
        self._delay_s = min(2 * self._delay_s, LONGEST_DELAY_S)

    @property
    def _plans(self) -> bool:
        return not self._over and not self._waits()

    def _waits(self) -> bool:
        """
        Whether there is nothing to do before another round.
        """
        return self._retry is not None and not self.segments

    def _try_again(self) -> None:
        self._retry = None
        self._round.restart()
        self.plan_soon()

    def _tick(self) -> None:
        self._next_tick = None
        segments, readings = list(self.segments.values()), self._sink.readings()
        missing = {at for each in readings if (at := self.arrived.stop_at(each.offset)) < each.stop}
        for segment, rate in crawling(segments, missing, self._clock.seconds(), self._nodes, self._sources):
            self._crawled.add(segment.node)
            self._drop(segment, SourceError(f"crawls at {rate:.0f} bytes/s"))
        self._expect_seeks()
        self.plan_soon()
        if self.segments:
            self._next_tick = self._clock.callLater(_TICK_S, self._tick)

    # What segments ask and tell.

    def segment_alternative(self, segment: Segment) -> StorageNode | None:
        others = [node for node in self._round.left() if node != segment.node]
        # Of one that ignores Range, all that could be used is an answer to a request for the whole.
        ranged = segment.wanted != ByteRange(0, self._object.size)
        return self._standings.second(others, ranged=ranged, busy=self._busy, crawled=self._crawled)

    def segment_dropped(self, segment: Segment, node: StorageNode, error: SourceError) -> None:
        self._node_failed(node, error)

    def segment_answered(self, segment: Segment, body: Body) -> None:
        self._sink.answered(body.type)
        if self._next_look is None and not self._over:
            self._next_look = self._clock.callLater(_SOON_S, self._look_ahead)
        if body.start == segment.wanted.start and body.stop == segment.wanted.stop:
            return
        self._standings.remember_ignoring_ranges(segment.node)
        if any(not self._standings.ignores_ranges(source) for source in self._round.left()):
            if body.start != segment.wanted.start:
                self._drop(segment, SourceError("ignores Range"))
            elif len(self.segments) == 1:
                # Nothing is lost: it goes on to the end.
                segment.extend()
            return
        # The only kind that there is: all that is missing comes from one answer, the one that is furthest, and what it
        # brings again is passed over.
        base = max((each for each in self.segments.values() if each.is_whole), key=lambda each: each.position)
        for key, other in list(self.segments.items()):
            if other is not base:
                del self.segments[key]
                self._fruitful.discard(other)
                other.stop()
        base.extend()
        self.plan_soon()

    def _look_ahead(self) -> None:
        self._next_look = None
        self._expect_seeks()

    def _expect_seeks(self) -> None:
        if self._object.size <= _SEEKABLE:
            return
        for node in dict.fromkeys(each.node for each in self.segments.values() if each in self._fruitful):
            if not self._standings.ignores_ranges(node):
                self._nodes.prepare(node)

    def _drop(self, segment: Segment, error: SourceError) -> None:
        segment.stop()
        self.segment_ended(segment, error)

    def segment_received(self, segment: Segment, offset: int, data: bytes) -> None:
        for start, stop in self.arrived.holes(offset, offset + len(data)):
            whole = stop - start == len(data)
            self.arrived = self.arrived.add(start, stop)
            self._progressed_at = self._clock.seconds()
            if segment not in self._fruitful:
                # Only so: the bytes of one that runs say nothing of when another will be answered.
                self._delay_s = FIRST_DELAY_S
                self._fruitful.add(segment)
            self.brought[segment.node] = self.brought.get(segment.node, Extents()).add(start, stop)
            self._sink.received(start, data if whole else data[start - offset : stop - offset])
        # Only now: who is told may ask for more, and what is there is what has come.
        self._sink.arrived()

    def segment_ended(self, segment: Segment, error: SourceError | None) -> None:
        for key, each in list(self.segments.items()):
            if each is segment:
                del self.segments[key]
        if error is not None:
            if segment in self._fruitful:
                # Only so: a node that refuses one request while it answers another would be asked without end.
                self._round.progressed()
            self._node_failed(segment.node, error)
        elif segment.mean_rate is not None:
            # Most are over before they are old: else nothing would be known of a fast node.
            self._standings.note_rate(segment.node, segment.mean_rate)
        self._fruitful.discard(segment)
        if self._retry is not None and not self.segments:
            # It was to wait for the others, and they are over: whether that is the end is to be seen now.
            self._retry.cancel()
            self._retry = None
        self.plan_soon()

    def _node_failed(self, node: StorageNode, error: SourceError) -> None:
        self._log.warn(
            "storage node {node} failed for object {id}: {error}",
            node=node.endpoint,
            id=self._object.id,
            error=error,
        )
        self._round.failed(node, str(error), timed_out=error.timed_out)
        self._standings.forget_rate(node)
