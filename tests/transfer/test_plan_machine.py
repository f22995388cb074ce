"""
Tests for L{distributor.transfer.plan}: whole downloads, with all that readers and storage nodes may do, as a model.
"""

from __future__ import annotations

from collections import Counter

from attrs import define, evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from distributor.transfer.extents import Extents
from distributor.transfer.plan import Limits, Reading, Running, Start, plan
from tests.transfer.planned import RATES, apply, check, missing_of, to_come, use_small_numbers

#: One of those that there are, whatever their number.
which = st.integers(0, 100)
lengths = st.integers(1, 25)


@define(eq=False)
class Reader:
    """
    One who reads from C{offset} up to C{stop}.
    """

    offset: int
    stop: int


@define
class Answer:
    """
    What a storage node sends for a request, wherever its segment is bounded.
    """

    start: int
    stop: int
    came: bool = False


class DownloadMachine(RuleBasedStateMachine):
    """
    A download without clock or sockets: facts change by the rules, and the plan is carried out after each of them, or
    after several.

    @ivar asked: how often each byte was asked for.
    @ivar released: how often it was given up, failed to come, or was lost by a restart.
    @ivar later: the plan is carried out after so many more rules.
    """

    def __init__(self) -> None:
        super().__init__()
        self.size = 0
        self.segments: dict[int, Running] = {}
        self.answers: dict[int, Answer] = {}
        self.readers: list[Reader] = []
        self.arrived = self.recorded = Extents()
        self.asked: Counter[int] = Counter()
        self.released: Counter[int] = Counter()
        self.starts = 0
        self.later = 0

    @initialize(
        size=st.integers(0, 80),
        limit=st.integers(1, 4),
        nodes=st.sampled_from(["honour", "both", "ignore"]),
        step=st.sampled_from([1, 4, 100]),
    )
    def begin(self, size: int, limit: int, nodes: str, step: int) -> None:
        """
        @param nodes: what storage nodes do with C{Range}.
        @param step: how much comes at a time in the end.
        """
        self.size = size
        self.content = bytes(range(100, 100 + size))
        self.file = bytearray(size)
        self.limits = Limits(limit)
        self.nodes = nodes
        self.step = step

    # Readers.

    @precondition(lambda self: self.size)
    @rule(kind=st.sampled_from(["whole", "range", "suffix"]), offset=which, length=lengths)
    def reader_comes(self, kind: str, offset: int, length: int) -> None:
        offset = {"whole": 0, "range": offset % self.size, "suffix": max(0, self.size - length)}[kind]
        self.readers.append(Reader(offset, min(offset + length, self.size) if kind == "range" else self.size))

    @precondition(lambda self: self.readers)
    @rule(reader=which, length=lengths)
    def reader_reads(self, reader: int, length: int) -> None:
        self.read(self.readers[reader % len(self.readers)], length)

    @precondition(lambda self: self.readers)
    @rule(reader=which, offset=which)
    def reader_seeks(self, reader: int, offset: int) -> None:
        seeking = self.readers[reader % len(self.readers)]
        seeking.offset, seeking.stop = offset % self.size, self.size

    @precondition(lambda self: self.readers)
    @rule(reader=which)
    def reader_goes(self, reader: int) -> None:
        del self.readers[reader % len(self.readers)]

    def read(self, reader: Reader, length: int) -> None:
        """
        Read what is there, and leave at the end.
        """
        stop = min(self.arrived.stop_at(reader.offset), reader.offset + length, reader.stop)
        read = self.file[reader.offset : stop]
        assert read == self.content[reader.offset : stop], f"{read!r} at {reader.offset}"
        reader.offset = stop
        if reader.offset == reader.stop:
            self.readers.remove(reader)

    # Storage nodes.

    def chosen(self, segment: int) -> int | None:
        """
        One of the segments whose bytes can come.
        """
        flowing = [key for key, each in self.segments.items() if each.paused_s is None]
        return flowing[segment % len(flowing)] if flowing else None

    @rule(segment=which, length=lengths, ignores=st.booleans())
    def delivers(self, segment: int, length: int, ignores: bool) -> None:
        key = self.chosen(segment)
        if key is not None:
            self.deliver(key, length, ignores)

    @rule(segment=which, rate=st.sampled_from(RATES))
    def is_measured(self, segment: int, rate: float | None) -> None:
        """
        A rate of nothing is a stall.
        """
        key = self.chosen(segment)
        if key is not None:
            self.segments[key] = evolve(self.segments[key], rate=rate)

    @rule(segment=which, length=st.integers(0, 25))
    def ends_early(self, segment: int, length: int) -> None:
        """
        Fewer bytes come than the answer should have had, or none.
        """
        key = self.chosen(segment)
        if key is not None and self.segments[key].position + length < self.segments[key].stop:
            if length:
                self.deliver(key, length, False)
            # The head of its answer may have been enough to give it up.
            if key in self.segments:
                self.fail(key)

    @rule(segment=which)
    def sends_too_much(self, segment: int) -> None:
        """
        Nothing is taken of a piece that goes beyond the answer's end.
        """
        key = self.chosen(segment)
        if key is not None:
            self.fail(key)

    @rule(seconds=st.integers(1, 20))
    def time_passes(self, seconds: int) -> None:
        for key, segment in self.segments.items():
            if segment.paused_s is not None:
                self.segments[key] = evolve(segment, paused_s=segment.paused_s + seconds)

    def deliver(self, key: int, length: int, ignores: bool) -> None:
        """
        The next bytes of a segment come; before the first, the head of the answer.
        """
        answer = self.answers[key]
        if not answer.came:
            answer.came = True
            if self.nodes == "ignore" or (self.nodes == "both" and ignores):
                self.range_is_ignored(key, answer)
        if key not in self.segments:
            return
        segment = self.segments[key]
        stop = min(segment.position + length, segment.stop)
        for start, end in self.arrived.holes(segment.position, stop):
            self.file[start:end] = self.content[start:end]
        self.arrived = self.arrived.add(segment.position, stop)
        self.segments[key] = evolve(segment, position=stop)
        if stop == segment.stop:
            del self.segments[key]

    def range_is_ignored(self, key: int, answer: Answer) -> None:
        """
        The whole object comes. If nothing better can be had, one segment brings all of it, the one that is furthest;
        else it is of use where it was asked for from the beginning, and goes on to the end if nothing else runs.
        """
        if (answer.start, answer.stop) == (0, self.size):
            return
        if self.nodes == "both":
            if answer.start > 0:
                self.fail(key)
            if self.segments.keys() != {key}:
                return
        else:
            self.limits = evolve(self.limits, ranges=False)
        before = to_come(self.arrived, self.segments.values())
        if answer.start > 0:
            self.segments[key] = evolve(self.segments[key], position=0)
        self.answers[key] = Answer(0, self.size, True)
        whole = [each for each in self.segments.values() if self.answers[each.key] == Answer(0, self.size, True)]
        furthest = max(whole, key=lambda each: each.position)
        self.segments = {furthest.key: evolve(furthest, stop=self.size)}
        after = to_come(self.arrived, self.segments.values())
        self.released.update(before - after)
        self.asked.update(after - before)

    def fail(self, key: int) -> None:
        self.released.update(to_come(self.arrived, [self.segments.pop(key)]))

    # The process.

    @rule()
    def records(self) -> None:
        self.recorded = self.arrived

    @rule()
    def restarts(self) -> None:
        """
        What was not recorded is lost, readers are gone, and what the node knew of others.
        """
        for key in list(self.segments):
            self.fail(key)
        self.readers.clear()
        for start, stop in self.arrived.runs:
            for hole in self.recorded.holes(start, stop):
                self.released.update(range(*hole))
                self.file[slice(*hole)] = bytes(hole[1] - hole[0])
        self.arrived = self.recorded
        self.limits = Limits(self.limits.segments)

    @rule(rules=st.integers(2, 4))
    def much_happens_at_once(self, rules: int) -> None:
        self.later = rules

    # The plan, and what has to hold.

    def act(self) -> bool:
        """
        Carry out a plan.

        @return: whether there was anything to do.
        """
        before = to_come(self.arrived, self.segments.values())
        readings = [Reading(reader.offset, reader.stop) for reader in self.readers]
        actions = plan(self.size, self.arrived, list(self.segments.values()), readings, self.limits)
        first_key = len(self.answers)
        self.segments = apply(actions, self.segments, first_key)
        kept = [segment for key, segment in self.segments.items() if key < first_key]
        self.released.update(before - to_come(self.arrived, kept))
        for action in actions:
            if isinstance(action, Start):
                self.asked.update(range(action.offset, action.stop))
                self.answers[len(self.answers)] = Answer(action.offset, action.stop)
                self.starts += 1
        if self.limits.ranges:
            check(self.size, self.arrived, self.segments, readings, self.limits.segments)
        return bool(actions)

    @invariant()
    def is_planned(self) -> None:
        if self.later:
            self.later -= 1
        else:
            self.act()
            assert not self.act(), "it does not settle"

    @invariant()
    def each_byte_is_asked_for_once(self) -> None:
        """
        Again only if it was given back.
        """
        coming = to_come(self.arrived, self.segments.values())
        missing = missing_of(self.size, self.arrived)
        for byte in range(self.size):
            expected = coming[byte] if byte in missing else 1
            assert expected <= 1, f"byte {byte} comes {expected} times"
            assert self.asked[byte] - self.released[byte] == expected, f"byte {byte} was asked for too often"

    def teardown(self) -> None:
        """
        Once storage nodes do what they should, everybody gets everything, the object becomes complete, and all ends.
        """
        self.starts = 0
        pieces = 1 + len(self.readers) + len(self.segments) + len(list(self.arrived.holes(0, self.size)))
        rounds = 0
        while self.act() or self.segments or self.readers:
            rounds += 1
            assert rounds <= 3 * self.size + 3, "it goes on for ever"
            for reader in list(self.readers):
                self.read(reader, self.size)
            for key in list(self.segments):
                if key in self.segments and self.segments[key].paused_s is None:
                    self.deliver(key, self.step, False)
            self.each_byte_is_asked_for_once()
        assert not missing_of(self.size, self.arrived), "it is not complete"
        assert self.file == self.content
        assert self.starts <= pieces, f"{self.starts} requests for {pieces} pieces"


class MachineTests(SynchronousTestCase):
    """
    The machine, run.
    """

    def test_downloads_end_well(self) -> None:
        """
        Whatever happens, no byte is asked for twice without need, nobody gets a wrong one, and everybody gets all.
        """
        use_small_numbers(self)
        run_state_machine_as_test(
            DownloadMachine, settings=settings(max_examples=150, stateful_step_count=40, deadline=None)
        )
