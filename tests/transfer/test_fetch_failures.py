"""
Tests for L{distributor.transfer.fetch}: storage nodes that fail, and those that are too slow.
"""

from __future__ import annotations

from itertools import pairwise

from distributor.model import SourcesTimedOut
from distributor.transfer.extents import Extents
from distributor.transfer.plan import Reading
from tests.transfer.arriving import Answer
from tests.transfer.fetching import PATIENCE_S, SIZE, TIMEOUT_S, A, B, C, FetchCase


class FailureTests(FetchCase):
    """
    Storage nodes that fail.
    """

    def test_before_the_first_byte(self) -> None:
        """
        When each has failed once and nothing has come, that is the end, told once.
        """
        self.begin(A, B)
        self.last.refuse()
        self.clock.advance(0)
        self.last.refuse(timed_out=True)
        self.clock.advance(100)
        [error] = self.sink.errors
        self.assertNotIsInstance(error, SourcesTimedOut)
        self.assertEqual([node for node, _, _ in self.nodes.asked], ["a", "b"])

    def test_all_timed_out(self) -> None:
        """
        When each was too slow, the error says so.
        """
        self.begin(A, B)
        for _ in range(2):
            self.last.refuse(timed_out=True)
            self.clock.advance(0)
        self.assertIsInstance(self.sink.errors[0], SourcesTimedOut)

    def test_goes_on_from_the_first_missing_byte(self) -> None:
        """
        What a node that breaks off has not brought is asked of another one at once, and nothing else.
        """
        self.begin(A, B)
        self.last.accept()
        self.last.give(1_000_000)
        self.last.break_off()
        self.clock.advance(0)
        self.assertEqual(self.nodes.asked, [("a", 0, SIZE), ("b", 1_000_000, SIZE)])

    def test_stalls(self) -> None:
        """
        A node that falls silent has the time-out, and no more.
        """
        self.begin(A, B)
        self.last.accept()
        self.last.give(1_000_000)
        self.clock.advance(TIMEOUT_S - 0.1)
        self.assertEqual(len(self.nodes.asked), 1)
        self.clock.advance(0.1)
        self.clock.advance(0)
        self.assertEqual(self.nodes.asked[1:], [("b", 1_000_000, SIZE)])

    def test_tried_again_ever_less_often(self) -> None:
        """
        Once bytes have come, nodes are asked again and again with growing delay, and given up when their time is over.
        """
        self.begin()
        self.last.accept()
        self.last.give(1000)
        self.last.break_off()
        self.clock.advance(0)
        asked_at = []
        while not self.sink.errors:
            self.assertLess(self.clock.seconds(), 2 * PATIENCE_S)
            if not self.last.head.called:
                asked_at.append(self.clock.seconds())
                self.last.refuse()
                self.clock.advance(0)
            self.clock.advance(0.5)
            self.clock.advance(0)
        delays = [after - before for before, after in pairwise(asked_at)]
        self.assertEqual(delays, [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0])
        self.assertEqual(asked_at[-1], 60.5)
        self.assertEqual(set(self.nodes.asked[1:]), {("a", 1000, SIZE)})
        self.clock.advance(100)
        self.assertEqual(len(self.sink.errors), 1)

    def test_what_was_there_before(self) -> None:
        """
        After a restart, too, readers may have been sent what is there: they wait until the node is back.
        """
        self.begin(arrived=Extents(((0, 1000),)))
        for delay in (0.5, 1.0):
            self.last.refuse()
            self.clock.advance(0)
            self.assertEqual(self.sink.errors, [])
            self.clock.advance(delay)
            self.clock.advance(0)
        self.last.accept()
        self.assertEqual(self.nodes.asked, 3 * [("a", 1000, SIZE)])

    def test_a_byte_makes_it_begin_anew(self) -> None:
        """
        With each byte that comes, delays are short again, and the time that nodes have begins again.
        """
        self.begin()
        for _ in range(3):
            self.last.accept()
            self.last.give(1000)
            self.last.break_off()
            self.clock.advance(0)
            for delay in (0.5, 1.0, 2.0):
                self.last.refuse()
                self.clock.advance(0)
                before = len(self.nodes.asked)
                self.clock.advance(delay)
                self.clock.advance(0)
                self.assertEqual(len(self.nodes.asked), before + 1)
        self.assertEqual(self.sink.errors, [])

    def test_a_seek_that_is_refused_while_bytes_come(self) -> None:
        """
        A node that will not give a second answer beside the first is asked for it ever less often, not with each byte
        that comes; and gives it when it will.
        """
        self.begin()
        base = self.last
        base.accept()
        base.give(1000)
        self.read((0, SIZE), (3_000_000, SIZE))
        for _ in range(100):
            if not self.last.head.called:
                self.last.refuse()
            self.clock.advance(0.05)
            base.give(1000)
            self.plan()
        # After half a second, one, two; the next would be after four.
        self.assertEqual(len(self.nodes.asked), 5)
        self.assertEqual(self.sink.errors, [])
        self.assertEqual(self.nodes.asked[-1], ("a", 3_000_000, SIZE))
        self.assertFalse(base.dropped)

    def test_several_that_are_refused(self) -> None:
        """
        Where several requests are on their way at once and none is answered, that is the end, and not a beginning anew.
        """
        self.sink.wanted = [Reading(0, SIZE), Reading(2_000_000, SIZE), Reading(3_000_000, SIZE)]
        self.begin()
        asked = list(self.nodes.answers)
        self.assertEqual(len(asked), 3)
        for each in asked:
            each.refuse()
            self.clock.advance(0)
        self.clock.advance(0)
        self.assertEqual((len(self.sink.errors), len(self.nodes.asked)), (1, 3))

    def test_nothing_new(self) -> None:
        """
        A node that gives again and again what is there, and then breaks off, brings nothing, and is given up in time.
        """
        self.begin(arrived=Extents(((0, 500_000),)))
        while not self.sink.errors:
            self.assertLess(self.clock.seconds(), 2 * PATIENCE_S)
            if not self.last.head.called:
                self.last.accept(whole=True)
                self.last.give(400_000)
                self.last.break_off()
                self.clock.advance(0)
            self.clock.advance(0.5)
            self.clock.advance(0)
        self.assertLessEqual(len(self.nodes.asked), 9)
        self.assertEqual(self.sink.lengths, [])


class CrawlTests(FetchCase):
    """
    A node that gives under a tenth of what another one lately gave.
    """

    def crawl(self, best: float = 1_000_000) -> Answer:
        """
        A segment of A, while B is known to have given C{best} bytes per second.
        """
        self.nodes.standings.note_rate(B, best)
        self.begin(A, B)
        self.last.accept()
        return self.last

    def test_replaced(self) -> None:
        """
        It is given up for the other one, which goes on where it was.
        """
        slow = self.crawl()
        self.read((0, SIZE))
        self.trickle(slow, 4)
        self.assertEqual(len(self.nodes.asked), 1)
        self.trickle(slow, 1)
        self.assertTrue(slow.dropped)
        self.assertEqual(self.nodes.asked, [("a", 0, SIZE), ("b", 50_000, SIZE)])

    def test_last_of_all_from_then_on(self) -> None:
        """
        When the other one breaks off for once, it is asked again before the one that crawled.
        """
        slow = self.crawl()
        self.read((0, SIZE))
        self.trickle(slow, 5)
        self.last.accept()
        self.last.give(1000)
        self.last.break_off()
        self.clock.advance(0)
        self.assertEqual([node for node, _, _ in self.nodes.asked], ["a", "b", "b"])

    def test_just_under_a_tenth(self) -> None:
        """
        A little less than a tenth is too little.
        """
        slow = self.crawl(best=115_000)
        self.read((0, SIZE))
        self.trickle(slow, 6)
        self.assertTrue(slow.dropped)
        self.assertEqual([node for node, _, _ in self.nodes.asked], ["a", "b"])

    def test_nobody_waits(self) -> None:
        """
        For nobody, it may take its time.
        """
        self.trickle(self.crawl(), 20)
        self.assertEqual(len(self.nodes.asked), 1)

    def test_readers_have_what_they_want(self) -> None:
        """
        Nor are those in a hurry who have all that they want.
        """
        slow = self.crawl()
        slow.give(1000)
        self.read((0, 1000), (500, 900))
        self.trickle(slow, 20)
        self.assertEqual(len(self.nodes.asked), 1)

    def test_answers_that_are_soon_over(self) -> None:
        """
        What they bring in how long tells how fast a node is, too, unless it is next to nothing.
        """
        self.begin(B)
        self.last.accept()
        self.last.give(SIZE // 2)
        self.clock.advance(0.5)
        self.assertIs(self.nodes.standings.best_rate([B]), None)
        self.last.give_all()
        self.assertEqual(self.nodes.standings.best_rate([B]), 2 * SIZE)
        self.begin(C, arrived=Extents(((1000, SIZE),)))
        self.last.accept()
        self.clock.advance(0.5)
        self.last.give_all()
        self.assertIs(self.nodes.standings.best_rate([C]), None)

    def test_not_so_slow(self) -> None:
        """
        A tenth is enough.
        """
        slow = self.crawl(best=90_000)
        self.read((0, SIZE))
        self.trickle(slow, 20)
        self.assertEqual(len(self.nodes.asked), 1)

    def test_alone(self) -> None:
        """
        A node is not measured by itself.
        """
        self.nodes.standings.note_rate(A, 1_000_000)
        self.begin(A)
        self.last.accept()
        self.read((0, SIZE))
        self.trickle(self.last, 20)
        self.assertEqual(len(self.nodes.asked), 1)

    def test_what_it_gives_is_remembered(self) -> None:
        """
        What a node gives is what others are measured by.
        """
        self.begin(A, B)
        self.last.accept()
        self.trickle(self.last, 6)
        rate = self.nodes.standings.best_rate([A])
        assert rate is not None
        self.assertTrue(9_000 <= rate <= 11_000, rate)

    def test_all_have_become_slow(self) -> None:
        """
        Nodes that were fast once are not exchanged for each other for ever.
        """
        self.nodes.standings.note_rate(A, 1_000_000)
        slow = self.crawl()
        self.read((0, SIZE))
        self.trickle(slow, 5)
        self.last.accept()
        self.trickle(self.last, 30)
        self.assertEqual([node for node, _, _ in self.nodes.asked], ["a", "b"])
