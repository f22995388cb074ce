"""
Tests for L{distributor.transfer.plan}: examples that read as its rules.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from distributor.transfer.extents import Extents
from distributor.transfer.plan import (
    LEAST,
    LONGEST_PAUSE_S,
    NEAR,
    WELL_SUPPLIED,
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
    comes_soon,
    plan,
)

MIB = 1024 * 1024
SIZE = 64 * MIB
WHOLE = Reading(0, SIZE)
NOTHING = Extents()
LIMITS = Limits()


def first(stop: int) -> Extents:
    """
    The bytes up to C{stop} have come.
    """
    return Extents.of([(0, stop)])


class BaseTests(SynchronousTestCase):
    """
    An object that is read from its beginning.
    """

    def test_one_request(self) -> None:
        """
        Readers of the whole and of first parts of it share one request, whoever came first.
        """
        parts = [Reading(0, 4100), Reading(0, MIB), WHOLE, Reading(0, 3 * MIB)]
        for readers in (parts, parts[::-1], [WHOLE] * 32):
            self.assertEqual(plan(SIZE, NOTHING, (), readers, LIMITS), [Start(0, SIZE)])

    def test_nothing_else_while_it_comes(self) -> None:
        """
        Whatever the rate of the segment, those who read on where it brings need nothing else, however much they have.
        """
        for position in (1, MIB, SIZE - 1):
            for rate in (None, 0.0, 1.0, 1e9):
                running = [Running(1, position, SIZE, rate)]
                readers = [Reading(offset, SIZE) for offset in (0, position // 2, position)]
                self.assertEqual(plan(SIZE, first(position), running, readers, LIMITS), [])

    def test_goes_on_after_a_failure(self) -> None:
        """
        What a segment did not bring is asked for, from its first missing byte.
        """
        self.assertEqual(plan(SIZE, first(MIB), (), [WHOLE], LIMITS), [Start(MIB, SIZE)])

    def test_for_nobody(self) -> None:
        """
        Without readers, the first hole is filled, and then the next.
        """
        self.assertEqual(plan(SIZE, Extents.of([(MIB, 2 * MIB)]), (), (), LIMITS), [Start(0, MIB)])
        self.assertEqual(plan(SIZE, Extents.of([(MIB, 2 * MIB)]), [Running(1, 5, MIB)], (), LIMITS), [])
        self.assertEqual(plan(SIZE, first(2 * MIB), (), (), LIMITS), [Start(2 * MIB, SIZE)])

    def test_complete(self) -> None:
        """
        When all has come, or there is nothing to come, nothing is done.
        """
        self.assertEqual(plan(SIZE, first(SIZE), (), [WHOLE], LIMITS), [])
        self.assertEqual(plan(0, NOTHING, (), (), LIMITS), [])

    def test_well_supplied_readers_need_nothing(self) -> None:
        """
        A reader with much ahead of it lets the first hole be filled; with less, it gets what it needs.
        """
        arrived = Extents.of([(32 * MIB, 40 * MIB)])
        reader = Reading(40 * MIB - WELL_SUPPLIED, SIZE)
        self.assertEqual(plan(SIZE, arrived, (), [reader], LIMITS), [Start(0, 32 * MIB)])
        reader = Reading(40 * MIB - WELL_SUPPLIED + 1, SIZE)
        self.assertEqual(plan(SIZE, arrived, (), [reader], LIMITS), [Start(40 * MIB, SIZE)])

    def test_reader_whose_range_is_there(self) -> None:
        """
        What follows a range does not matter to its reader.
        """
        running = [Running(1, MIB, SIZE, 1e6)]
        self.assertEqual(plan(SIZE, first(MIB), running, [Reading(0, MIB)], LIMITS), [])


class SeekTests(SynchronousTestCase):
    """
    Readers far from what is being brought.
    """

    def test_gets_a_segment_at_once(self) -> None:
        """
        The base brings what lies before the seek, and the new segment what the reader wants: no byte comes twice.
        """
        actions = plan(SIZE, first(MIB), [Running(1, MIB, SIZE, 8e6)], [WHOLE, Reading(40 * MIB, SIZE)], LIMITS)
        self.assertEqual(actions, [Bound(1, 40 * MIB), Start(40 * MIB, SIZE)])

    def test_range(self) -> None:
        """
        No more is asked for than a range, nor than what is missing of it.
        """
        running = [Running(1, MIB, 32 * MIB, 8e6)]
        for stop, expected in ((50 * MIB, 50 * MIB), (SIZE, 56 * MIB)):
            arrived = Extents.of([(0, MIB), (56 * MIB, 57 * MIB)])
            actions = plan(SIZE, arrived, running, [WHOLE, Reading(40 * MIB, stop)], LIMITS)
            self.assertEqual(actions, [Start(40 * MIB, expected)])

    def test_stops_where_another_begins(self) -> None:
        """
        Nor what another segment brings.
        """
        running = [Running(1, MIB, 32 * MIB, 8e6), Running(2, 50 * MIB, SIZE, 8e6)]
        readers = [WHOLE, Reading(50 * MIB, SIZE), Reading(40 * MIB, SIZE)]
        self.assertEqual(plan(SIZE, first(MIB), running, readers, LIMITS), [Start(40 * MIB, 50 * MIB)])

    def test_first_reader_seeks(self) -> None:
        """
        A cold object is asked for from where it is wanted.
        """
        self.assertEqual(plan(SIZE, NOTHING, (), [Reading(SIZE - MIB, SIZE)], LIMITS), [Start(SIZE - MIB, SIZE)])

    def test_head_for_the_media_type(self) -> None:
        """
        Who needs the first bytes as well as others gets both at once.
        """
        actions = plan(SIZE, NOTHING, (), [Reading(SIZE - MIB, SIZE), Reading(0, 4100)], LIMITS)
        self.assertEqual(actions, [Start(SIZE - MIB, SIZE), Start(0, LEAST)])

    def test_small_range(self) -> None:
        """
        A request is worth making for some more than a few bytes, if there is more to ask for.
        """
        for there, expected in (([], 40 * MIB + LEAST), ([(40 * MIB + 10, 41 * MIB)], 40 * MIB + 10)):
            actions = plan(SIZE, Extents.of(there), (), [Reading(40 * MIB, 40 * MIB + 1)], LIMITS)
            self.assertEqual(actions, [Start(40 * MIB, expected)])
        self.assertEqual(plan(SIZE, NOTHING, (), [Reading(SIZE - 5, SIZE - 4)], LIMITS), [Start(SIZE - 5, SIZE)])

    def test_what_comes_soon_is_waited_for(self) -> None:
        """
        It is the rate that tells, not the distance.
        """
        reader = Reading(2 * MIB, SIZE)
        fast, slow = Running(1, MIB, SIZE, 100e6), Running(1, MIB, SIZE, 1e6)
        self.assertEqual(plan(SIZE, first(MIB), [fast], [reader], LIMITS), [])
        self.assertEqual(
            plan(SIZE, first(MIB), [slow], [reader], LIMITS)[:2], [Bound(1, 2 * MIB), Start(2 * MIB, SIZE)]
        )

    def test_stalled(self) -> None:
        """
        A segment that brings nothing makes only those wait who are at its next byte.
        """
        stalled = [Running(1, MIB, SIZE, 0.0)]
        self.assertEqual(plan(SIZE, first(MIB), stalled, [Reading(MIB, SIZE)], LIMITS), [])
        actions = plan(SIZE, first(MIB), stalled, [Reading(MIB, SIZE), Reading(MIB + 1, SIZE)], LIMITS)
        self.assertEqual(actions, [Bound(1, MIB + 1), Start(MIB + 1, SIZE)])

    def test_near_readers_share(self) -> None:
        """
        Readers a little apart take one request, as far as the furthest of them, whoever came first.
        """
        readers = [Reading(40 * MIB, 42 * MIB), Reading(40 * MIB + NEAR // 2, 45 * MIB), Reading(40 * MIB + NEAR, SIZE)]
        for order in (readers, readers[::-1], [readers[1], readers[0], readers[2]]):
            actions = plan(SIZE, first(MIB), [Running(1, MIB, SIZE, 8e6)], [WHOLE, *order], LIMITS)
            self.assertEqual(actions, [Bound(1, 40 * MIB), Start(40 * MIB, SIZE)])

    def test_near_readers_of_what_is_there_in_between(self) -> None:
        """
        They do not share where bytes lie between them that have come, and that a segment from a storage node without
        ranges would bring again.
        """
        arrived = Extents.of([(0, MIB), (40 * MIB, 40 * MIB + 1000)])
        before, behind = Reading(40 * MIB - 1000, SIZE), Reading(40 * MIB + 1000, SIZE)
        for readers in ([before, behind], [behind, before]):
            actions = plan(SIZE, arrived, [Running(1, MIB, SIZE, 8e6)], [WHOLE, *readers], LIMITS)
            self.assertEqual(actions[0], Bound(1, before.offset))
            self.assertCountEqual(actions[1:], [Start(before.offset, 40 * MIB), Start(behind.offset, SIZE)])

    def test_near_reader_of_another_segment(self) -> None:
        """
        Nor with one who shares with somebody else already.
        """
        readers = [Reading(40 * MIB + offset, SIZE) for offset in (0, 800_000, 900_000)]
        actions = plan(SIZE, first(MIB), [Running(1, MIB, 40 * MIB, 8e6)], [WHOLE, *readers], LIMITS)
        self.assertEqual(actions, [Start(40 * MIB, 40 * MIB + 900_000), Start(40 * MIB + 900_000, SIZE)])

    def test_hole_that_begins_near(self) -> None:
        """
        A hole that begins shortly before the reader is filled from its beginning; else from where the reader is.
        """
        there = [(30 * MIB, 40 * MIB)]
        for before, expected in ((NEAR, 40 * MIB), (NEAR + 1, 40 * MIB + NEAR + 1)):
            actions = plan(SIZE, Extents.of(there), (), [Reading(40 * MIB + before, SIZE)], LIMITS)
            self.assertEqual(actions, [Start(expected, SIZE)])

    def test_hole_that_begins_near_behind_a_segment(self) -> None:
        """
        What another segment brings is no part of the hole.
        """
        running = [Running(1, MIB, 40 * MIB, 8e6)]
        actions = plan(SIZE, first(MIB), running, [WHOLE, Reading(40 * MIB + NEAR, SIZE)], LIMITS)
        self.assertEqual(actions, [Start(40 * MIB, SIZE)])

    def test_two_seeks_into_one_segment(self) -> None:
        """
        The segment is bounded once, before the first of them.
        """
        for seeks in ([20 * MIB, 40 * MIB], [40 * MIB, 20 * MIB]):
            readers = [WHOLE, *(Reading(seek, SIZE) for seek in seeks)]
            actions = plan(SIZE, first(MIB), [Running(1, MIB, SIZE, 8e6)], readers, LIMITS)
            self.assertEqual(actions[0], Bound(1, 20 * MIB))
            self.assertCountEqual(actions[1:], [Start(20 * MIB, 40 * MIB), Start(40 * MIB, SIZE)])

    def test_begins_with_a_seek(self) -> None:
        """
        An answer begins with a seek if its first byte is neither there, nor near, nor coming.
        """
        arrived, running = Extents.of([(0, MIB), (8 * MIB, 9 * MIB)]), [Running(1, 30 * MIB, SIZE, 8e6)]
        for offset in (0, MIB - 1, MIB, MIB + NEAR, 8 * MIB, 9 * MIB - 1, 30 * MIB, 31 * MIB):
            self.assertFalse(begins_with_a_seek(offset, arrived, running), offset)
        for offset in (MIB + NEAR + 1, 9 * MIB, 30 * MIB - 1, 32 * MIB, SIZE - 1):
            self.assertTrue(begins_with_a_seek(offset, arrived, running), offset)

    def test_comes_soon(self) -> None:
        """
        A segment brings soon what its rate says, from its position on and before its end.
        """
        segment = Running(1, 100, 200, 250.0)
        self.assertEqual([offset for offset in range(300) if comes_soon(offset, segment)], list(range(100, 151)))
        segment = Running(1, 100, 110, 1e9)
        self.assertEqual([offset for offset in range(300) if comes_soon(offset, segment)], list(range(100, 110)))


class BackgroundTests(SynchronousTestCase):
    """
    Segments that nobody waits for.
    """

    base = Running(1, 10 * MIB, 40 * MIB, 8e6)
    seek = Running(2, 40 * MIB, SIZE, 8e6)
    reader = Reading(40 * MIB, SIZE)

    def planned(self, base: Running, *readers: Reading) -> list[Action]:
        return plan(SIZE, first(10 * MIB), [base, self.seek], readers, LIMITS)

    def test_paused_while_somebody_waits(self) -> None:
        """
        They leave the bandwidth to those that somebody waits for.
        """
        self.assertEqual(self.planned(self.base, self.reader), [Pause(1)])

    def test_paused_when_somebody_seeks(self) -> None:
        """
        At once with the segment that is started.
        """
        base = Running(1, 10 * MIB, SIZE, 8e6)
        actions = plan(SIZE, first(10 * MIB), [base], [self.reader], LIMITS)
        self.assertEqual(actions, [Bound(1, 40 * MIB), Start(40 * MIB, SIZE), Pause(1)])

    def test_stays_paused(self) -> None:
        """
        For as long as its connection stays open by itself.
        """
        for paused_s in (0.0, LONGEST_PAUSE_S):
            self.assertEqual(self.planned(Running(1, 10 * MIB, 40 * MIB, None, paused_s), self.reader), [])

    def test_given_up(self) -> None:
        """
        And no longer.
        """
        base = Running(1, 10 * MIB, 40 * MIB, None, LONGEST_PAUSE_S + 0.1)
        self.assertEqual(self.planned(base, self.reader), [Stop(1)])

    def test_resumed_when_nobody_waits(self) -> None:
        """
        However long the pause was: if the storage node has closed the connection, that will be seen.
        """
        base = Running(1, 10 * MIB, 40 * MIB, None, LONGEST_PAUSE_S + 0.1)
        self.assertEqual(self.planned(base), [Resume(1)])
        well_supplied = Reading(0, 40 * MIB)
        self.assertEqual(self.planned(base, well_supplied), [Resume(1)])

    def test_resumed_when_wanted(self) -> None:
        """
        By a reader who comes to need it.
        """
        base = Running(1, 10 * MIB, 40 * MIB, None, 3.0)
        hungry = Reading(9 * MIB, SIZE)
        self.assertEqual(self.planned(base, self.reader, hungry), [Resume(1)])

    def test_not_started_while_somebody_waits(self) -> None:
        """
        A hole that nobody waits for is left until nothing else runs.
        """
        self.assertEqual(plan(SIZE, NOTHING, [self.seek], [self.reader], LIMITS), [])
        self.assertEqual(plan(SIZE, NOTHING, [self.seek], (), LIMITS), [])


class LimitTests(SynchronousTestCase):
    """
    As many segments as there may be.
    """

    def test_nobodys_makes_place(self) -> None:
        """
        A segment that nobody waits for is given up, though one that somebody will want later stands before it.
        """
        running = [Running(1, MIB, 20 * MIB, 8e6), Running(2, 20 * MIB, 40 * MIB, 8e6)]
        readers = [Reading(MIB // 2, SIZE), Reading(40 * MIB, SIZE)]
        actions = plan(SIZE, first(MIB), running, readers, Limits(2))
        self.assertEqual(actions, [Stop(2), Start(40 * MIB, SIZE)])

    def test_nearest_to_running_dry(self) -> None:
        """
        The reader with the least ahead of it is served first, whoever came first.
        """
        there = [(10 * MIB, 11 * MIB), (20 * MIB, 21 * MIB), (30 * MIB, 31 * MIB)]
        readers = [Reading(10 * MIB + 1, SIZE), Reading(20 * MIB + 3, SIZE), Reading(30 * MIB + 2, SIZE)]
        actions = plan(SIZE, Extents.of(there), (), readers, Limits(2))
        self.assertEqual(actions, [Start(21 * MIB, 30 * MIB), Start(31 * MIB, SIZE)])

    def test_first_come(self) -> None:
        """
        Among those who have nothing, those who came first are served first.
        """
        readers = [Reading(offset * MIB, SIZE) for offset in (50, 10, 30, 20)]
        actions = plan(SIZE, NOTHING, (), readers, Limits(2))
        self.assertEqual(actions, [Start(50 * MIB, SIZE), Start(10 * MIB, 50 * MIB)])

    def test_nobodys_place_is_not_taken_lightly(self) -> None:
        """
        A reader that still has much ahead of it takes no place, lest places go round with each byte that comes.
        """
        running = [Running(1, MIB, 20 * MIB, 8e6)]
        arrived = Extents.of([(0, MIB), (30 * MIB, 40 * MIB)])
        for ahead, expected in ((WELL_SUPPLIED - 1, []), (WELL_SUPPLIED // 4, [Stop(1), Start(40 * MIB, SIZE)])):
            reader = Reading(40 * MIB - ahead, SIZE)
            self.assertEqual(plan(SIZE, arrived, running, [reader], Limits(1)), expected)

    def test_somebodys_is_kept(self) -> None:
        """
        No place is taken from one who waits, as every byte that comes would turn the order round, and cost a request.
        """
        running = [Running(1, MIB, SIZE, 8e6)]
        actions = plan(SIZE, first(MIB), running, [Reading(MIB - 1, SIZE), Reading(40 * MIB, SIZE)], Limits(1))
        self.assertEqual(actions, [])

    def test_waits_for_what_there_is(self) -> None:
        """
        Where there is no place, a reader waits for a segment that will bring its bytes some time: it goes on.
        """
        running = [Running(1, MIB, 20 * MIB, 8e6), Running(2, 20 * MIB, SIZE, None, 1.0)]
        readers = [Reading(MIB, 20 * MIB), Reading(60 * MIB, SIZE), Reading(20 * MIB, SIZE)]
        self.assertEqual(plan(SIZE, first(MIB), running, readers, Limits(2)), [Resume(2)])


class WithoutRangesTests(SynchronousTestCase):
    """
    Storage nodes that send everything, whatever they are asked for.
    """

    limits = Limits(ranges=False)

    def test_one_segment(self) -> None:
        """
        One segment runs, from the first hole on, wherever readers are.
        """
        readers = [Reading(40 * MIB, SIZE), WHOLE]
        self.assertEqual(plan(SIZE, NOTHING, (), readers, self.limits), [Start(0, SIZE)])
        arrived = Extents.of([(0, MIB), (2 * MIB, 3 * MIB)])
        self.assertEqual(plan(SIZE, arrived, (), readers, self.limits), [Start(MIB, 2 * MIB)])
        self.assertEqual(plan(SIZE, arrived, [Running(1, 0, SIZE, 1.0)], readers, self.limits), [])
        self.assertEqual(plan(SIZE, first(SIZE), (), (), self.limits), [])

    def test_resumed(self) -> None:
        """
        It is not paused for anybody.
        """
        self.assertEqual(plan(SIZE, NOTHING, [Running(1, 0, SIZE, None, 1.0)], [WHOLE], self.limits), [Resume(1)])
