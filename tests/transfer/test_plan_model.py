"""
Tests for L{distributor.transfer.plan}: what holds for any facts, against a model of single bytes.
"""

from __future__ import annotations

from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.transfer import plan as planning
from distributor.transfer.extents import Extents
from distributor.transfer.plan import (
    LONGEST_PAUSE_S,
    Action,
    Limits,
    Reading,
    Running,
    Start,
    begins_with_a_seek,
    comes_soon,
    plan,
)
from tests.transfer.planned import RATES, apply, check, hungry, missing_of, to_come, use_small_numbers


@frozen
class Facts:
    """
    What a plan is made from.
    """

    size: int
    arrived: Extents
    running: dict[int, Running]
    readers: list[Reading]
    limits: Limits

    def plan(self) -> list[Action]:
        return plan(self.size, self.arrived, list(self.running.values()), self.readers, self.limits)

    def afterwards(self) -> dict[int, Running]:
        return apply(self.plan(), self.running)


@st.composite
def facts(draw: st.DrawFn) -> Facts:
    """
    Any state of a small object: pieces of it have come, are on their way, or are missing.
    """
    pieces = draw(st.lists(st.tuples(st.integers(1, 20), st.sampled_from(["there", "coming", "missing"])), max_size=8))
    size, there, running = 0, [], {}
    for key, (length, kind) in enumerate(pieces):
        if kind == "there":
            there.append((size, size + length))
        elif kind == "coming":
            paused_s = draw(st.sampled_from([None, None, 0.0, LONGEST_PAUSE_S + 1]))
            rate = draw(st.sampled_from(RATES)) if paused_s is None else None
            running[key] = Running(key, size, size + length, rate, paused_s)
        size += length
    readers = []
    if size:
        offsets = st.integers(0, size - 1)
        for offset, stop in draw(st.lists(st.tuples(offsets, st.integers(1, size) | st.just(size)), max_size=6)):
            readers.append(Reading(min(offset, stop - 1), max(offset + 1, stop)))
    limits = Limits(max(1, len(running)) + draw(st.integers(0, 3)))
    return Facts(size, Extents.of(there), draw(st.permutations(list(running.items())).map(dict)), readers, limits)


class PropertyTests(SynchronousTestCase):
    """
    What holds whatever has come, is on its way, and is wanted.
    """

    def setUp(self) -> None:
        use_small_numbers(self)

    @settings(deadline=None, max_examples=500)
    @given(facts())
    def test_serves(self, facts: Facts) -> None:
        """
        Everybody who waits is served, unless all places are taken by those who wait, too; nothing runs for nobody
        meanwhile, and something runs when nobody waits; what segments bring is disjoint.
        """
        check(facts.size, facts.arrived, facts.afterwards(), facts.readers, facts.limits.segments)

    @settings(deadline=None, max_examples=300)
    @given(facts())
    def test_starts(self, facts: Facts) -> None:
        """
        What is asked for is missing, nobody else's to bring, and part of the object; and there is a reason for each
        request: one who is not served, or else nobody and nothing.
        """
        starts = [action for action in facts.plan() if isinstance(action, Start)]
        kept = to_come(facts.arrived, [segment for key, segment in facts.afterwards().items() if key in facts.running])
        for start in starts:
            asked = set(range(start.offset, start.stop))
            self.assertTrue(asked)
            self.assertLessEqual(asked, missing_of(facts.size, facts.arrived) - kept.keys())
        running = facts.running.values()
        wants = hungry(facts.arrived, facts.readers)
        starving = [missing for missing in wants if not any(comes_soon(missing, segment) for segment in running)]
        self.assertLessEqual(len(starts), len(starving) if wants else 1 - bool(running))

    @settings(deadline=None, max_examples=300)
    @given(facts())
    def test_gives_up(self, facts: Facts) -> None:
        """
        No segment is given up that somebody waits for, nor made shorter by what somebody waits for.
        """
        after = facts.afterwards()
        for missing in hungry(facts.arrived, facts.readers):
            for key, segment in facts.running.items():
                if comes_soon(missing, segment):
                    self.assertTrue(comes_soon(missing, after[key]))

    @settings(deadline=None, max_examples=300)
    @given(facts())
    def test_settles(self, facts: Facts) -> None:
        """
        Asked again, when nothing has changed but what was asked for, the plan has nothing to add.
        """
        again = Facts(facts.size, facts.arrived, facts.afterwards(), facts.readers, facts.limits)
        self.assertEqual(again.plan(), [])

    @given(facts(), st.integers(0, 200))
    def test_begins_with_a_seek(self, facts: Facts, offset: int) -> None:
        """
        What has come, is near to what has come from the beginning, or comes soon is no seek; all else is.
        """
        missing = missing_of(max(facts.size, offset) + 1, facts.arrived)
        near = offset <= min(missing) + planning.NEAR
        soon = any(comes_soon(offset, segment) for segment in facts.running.values())
        seek = begins_with_a_seek(offset, facts.arrived, facts.running.values())
        self.assertEqual(seek, offset in missing and not near and not soon)

    @given(facts())
    def test_without_ranges(self, facts: Facts) -> None:
        """
        There is one segment as long as there is a hole, it is not paused, and no other is started.
        """
        without = Facts(facts.size, facts.arrived, facts.running, facts.readers, Limits(ranges=False))
        after = without.afterwards()
        self.assertEqual(len(after), max(len(facts.running), bool(missing_of(facts.size, facts.arrived))))
        self.assertFalse([segment for segment in after.values() if segment.paused_s is not None])
