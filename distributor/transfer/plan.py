"""
What a download should do next, as a function of facts.

The rules, in the order in which they go:

  1. A reader that will soon run dry, and whose next byte no running segment brings soon, gets a segment of its own
     there. The segment that was to fetch those bytes is bounded to what lies before them: no byte is asked for twice.
  2. While segments run that somebody waits for, the others are paused, and given up when that takes long.
  3. Otherwise one segment fills the first hole.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from operator import attrgetter

from attrs import frozen

from distributor.transfer.extents import Extents


@frozen
class Running:
    """
    A segment in progress.

    @ivar key: names it.
    @ivar position: the offset of the next byte that it brings.
    @ivar stop: the offset behind the last byte that it is to bring.
    @ivar rate: bytes per second, lately; L{None} if it is too new to tell.
    @ivar paused_s: for how long it has been paused; L{None} if it is not.
    """

    key: int
    position: int
    stop: int
    rate: float | None = None
    paused_s: float | None = None


@frozen
class Reading:
    """
    A reader.

    @ivar offset: of the next byte that it reads.
    @ivar stop: the offset behind the last byte that it reads.
    """

    offset: int
    stop: int


@frozen
class Limits:
    """
    What a download may do.

    @ivar segments: how many segments at once.
    @ivar ranges: whether there is a storage node that honours C{Range}.
    """

    segments: int = 32
    ranges: bool = True


@frozen
class Start:
    """
    Ask a storage node for the bytes from C{offset} up to C{stop}.
    """

    offset: int
    stop: int


@frozen
class Bound:
    """
    Let a segment bring nothing from C{stop} on.
    """

    key: int
    stop: int


@frozen
class Stop:
    """
    Give a segment up.
    """

    key: int


@frozen
class Pause:
    """
    Let a segment bring nothing for now.
    """

    key: int


@frozen
class Resume:
    """
    Let a paused segment go on.
    """

    key: int


Action = Start | Bound | Stop | Pause | Resume

#: A reader with more than this ahead of it, in bytes, can wait: two seconds of a film of 8 Mbit/s.
WELL_SUPPLIED = 2 * 1024 * 1024

#: Where no more segments may run, a reader takes the place of a segment that nobody waits for only with less than this
#: ahead of it; then it keeps the place until it is well supplied. Else places would go round with each byte that comes.
LOW = WELL_SUPPLIED // 2

#: What a running segment brings within this time is not asked for again: a request of its own takes about as long.
SOON_S = 0.2

#: What is taken for the rate of a segment that is too new to have one, in bytes per second.
ASSUMED_RATE = 4 * 1024 * 1024

#: A hole that begins no further than this before a reader is filled from its beginning: one request less later on.
NEAR = 256 * 1024

#: A request asks for no less, in bytes, where that is missing: all of the object is going to be wanted, and a request
#: has a cost. So an object of a MiB takes one, whatever is read of it first.
LEAST = 1024 * 1024

# Called for several segments for each question that is asked of the plan, while a reader waits.
_POSITION = attrgetter("position")

#: The connection of a segment that has been paused for longer would be closed by most storage nodes.
LONGEST_PAUSE_S = 10.0


def comes_soon(offset: int, segment: Running) -> bool:
    """
    Whether C{segment} will soon bring the byte at C{offset}.
    """
    if not segment.position <= offset < segment.stop:
        return False
    rate = ASSUMED_RATE if segment.rate is None else segment.rate
    return offset - segment.position <= rate * SOON_S


def begins_with_a_seek(offset: int, arrived: Extents, running: Iterable[Running]) -> bool:
    """
    Whether an answer that begins at C{offset} needs a storage node to be asked for just that, as neither what is there
    nor what is on its way will do.
    """
    missing = arrived.stop_at(offset)
    if missing > offset:
        return False
    return offset - arrived.stop_at(0) > NEAR and not any(comes_soon(offset, segment) for segment in running)


def plan(
    size: int, arrived: Extents, running: Collection[Running], readers: Sequence[Reading], limits: Limits
) -> list[Action]:
    """
    What to do.

    @param size: of the object, in bytes.
    @param arrived: what has come, whether or not it has reached the disk.
    @param running: the segments in progress; what they have still to bring is disjoint, and disjoint from C{arrived}.
    @param readers: those who came first stand first.
    @return: in the order in which to do it. Afterwards, too, what segments have to bring is disjoint.
    """
    if not limits.ranges:
        return _without_ranges(size, arrived, running)
    planning = _Planning(size, arrived, running, limits)
    needs: dict[int, tuple[int, int]] = {}
    for reader in readers:
        missing = arrived.stop_at(reader.offset)
        ahead = missing - reader.offset
        if missing < reader.stop and ahead < WELL_SUPPLIED:
            least, furthest = needs.get(missing, (ahead, reader.stop))
            needs[missing] = min(ahead, least), max(reader.stop, furthest)
    # The nearest to running dry first; the sort keeps those who came first in front.
    in_order = sorted(needs.items(), key=lambda need: need[1][0])
    starving = {missing: need for missing, need in in_order if not planning.is_served(missing)}
    for missing, (ahead, stop) in starving.items():
        planning.serve(missing, stop, starving, may_displace=ahead < LOW)
    planning.background()
    return planning.actions


def _is_paused_for_long(segment: Running) -> bool:
    return segment.paused_s is not None and segment.paused_s > LONGEST_PAUSE_S


def _without_ranges(size: int, arrived: Extents, running: Collection[Running]) -> list[Action]:
    """
    One segment, from the beginning: nothing else would bring anything sooner.
    """
    actions: list[Action] = [Resume(segment.key) for segment in running if segment.paused_s is not None]
    if not running:
        actions.extend(Start(*hole) for hole in list(arrived.holes(0, size))[:1])
    return actions


class _Planning:
    """
    One run of the planner: the segments as they will be, and what has to be done for that.
    """

    def __init__(self, size: int, arrived: Extents, running: Collection[Running], limits: Limits) -> None:
        self._size = size
        self._arrived = arrived
        self._limits = limits
        # By position, those to be started included: their keys are negative.
        self._segments = sorted(running, key=_POSITION)
        self._wanted: set[int] = set()
        self._started = 0
        self.actions: list[Action] = []

    def _at(self, offset: int) -> Running | None:
        """
        The segment that has to bring the byte at C{offset}.
        """
        index = bisect_right(self._segments, offset, key=_POSITION) - 1
        segment = self._segments[index] if index >= 0 else None
        return segment if segment is not None and offset < segment.stop else None

    def is_served(self, missing: int) -> bool:
        """
        Whether the byte at C{missing} comes soon; if so, what brings it is wanted.
        """
        bringing = self._at(missing)
        if bringing is None or not comes_soon(missing, bringing):
            return False
        self._wanted.add(bringing.key)
        return True

    def serve(self, missing: int, stop: int, starving: Collection[int], may_displace: bool) -> None:
        """
        Have the byte at C{missing} brought soon, and those behind it, as far as C{stop}.

        @param starving: what others, too, wait for without a segment that brings it soon.
        @param may_displace: whether a segment that nobody waits for may be given up for this one.
        """
        stop = min(max(stop, missing + LEAST), self._size)
        bringing = self._at(missing)
        if self.is_served(missing):
            assert bringing is not None
            if bringing.key < 0 and bringing.stop < stop:
                self._change(bringing, self._free_until(bringing.stop, stop))
            return
        if not self._make_place(may_displace):
            if bringing is not None:
                self._wanted.add(bringing.key)
            return
        begin = min(other for other in starving if self._may_share(other, missing))
        # It may have been given up to make the place.
        bringing = self._at(missing)
        if bringing is not None:
            self._change(bringing, begin)
        self._start(begin, stop)

    def _may_share(self, other: int, missing: int) -> bool:
        """
        Whether a segment for C{missing} does well to begin at C{other}: there is nothing in between that need not come,
        or that another segment brings.
        """
        if not missing - NEAR <= other <= missing:
            return False
        bringing = self._at(missing)
        if bringing is not None:
            in_one = bringing is self._at(other) and not comes_soon(other, bringing)
            return in_one and next(self._arrived.holes(other, missing + 1)) == (other, missing + 1)
        return self._free_until(other, missing + 1) > missing

    def _make_place(self, may_displace: bool) -> bool:
        if len(self._segments) < self._limits.segments:
            return True
        for segment in self._segments:
            if segment.key not in self._wanted and (may_displace or _is_paused_for_long(segment)):
                self._segments.remove(segment)
                self.actions.append(Stop(segment.key))
                return True
        return False

    def _change(self, segment: Running, stop: int) -> None:
        """
        Let a segment end elsewhere; one that runs cannot end later.
        """
        # evolve takes several times as long, while a reader waits.
        changed = Running(segment.key, segment.position, stop, segment.rate, segment.paused_s)
        self._segments[self._segments.index(segment)] = changed
        old: Action = Bound(segment.key, segment.stop)
        new: Action = Bound(segment.key, stop)
        if segment.key < 0:
            old, new = Start(segment.position, segment.stop), Start(segment.position, stop)
        if old in self.actions:
            self.actions[self.actions.index(old)] = new
        else:
            self.actions.append(new)

    def _free_until(self, start: int, stop: int) -> int:
        """
        How far, up to C{stop}, the bytes from C{start} on are missing, and nobody's to bring.
        """
        index = bisect_right(self._segments, start, key=_POSITION)
        if index < len(self._segments):
            stop = min(stop, self._segments[index].position)
        if index and self._segments[index - 1].stop > start:
            return start
        for hole_start, hole_stop in self._arrived.holes(start, stop):
            return hole_stop if hole_start == start else start
        return start

    def _start(self, missing: int, stop: int) -> None:
        index = bisect_right(self._segments, missing, key=_POSITION)
        # The hole's beginning, if it is near and nobody else brings it.
        nobodys = self._segments[index - 1].stop if index else 0
        [*_, (hole_start, _)] = self._arrived.holes(nobodys, missing + 1)
        start = hole_start if missing - hole_start <= NEAR else missing
        self._started += 1
        segment = Running(-self._started, start, self._free_until(missing, stop))
        self._segments.insert(index, segment)
        self._wanted.add(segment.key)
        self.actions.append(Start(segment.position, segment.stop))

    def background(self) -> None:
        """
        What is done for nobody: as little as possible while there is somebody, else everything.
        """
        mine = [segment for segment in self._segments if segment.key >= 0]
        for segment in mine:
            if segment.key in self._wanted or not self._wanted:
                if segment.paused_s is not None:
                    self.actions.append(Resume(segment.key))
            elif segment.paused_s is None:
                self.actions.append(Pause(segment.key))
            elif _is_paused_for_long(segment):
                self.actions.append(Stop(segment.key))
        if not self._segments:
            self.actions.extend(Start(*hole) for hole in list(self._arrived.holes(0, self._size))[:1])
