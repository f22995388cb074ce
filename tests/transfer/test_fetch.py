"""
Tests for L{distributor.transfer.fetch}: which requests are made, of which storage node, for which bytes. Failures: see
C{test_fetch_failures}.
"""

from __future__ import annotations

from distributor.transfer.extents import Extents
from distributor.transfer.plan import LONGEST_PAUSE_S, Reading
from tests.transfer.arriving import Answer, ArrivingNodes
from tests.transfer.fetching import CONTENT, SIZE, TIMEOUT_S, A, B, FetchCase


class RequestTests(FetchCase):
    """
    What is asked for.
    """

    def test_whole(self) -> None:
        """
        An object of which nothing is there is one request, and when it is over there is nothing more to do.
        """
        self.begin()
        self.last.accept()
        self.last.give_all()
        self.clock.advance(100)
        self.assertEqual((self.nodes.asked, self.fetch.segments), ([("a", 0, SIZE)], {}))
        self.assertTrue(self.sink.got == CONTENT)

    def test_holes(self) -> None:
        """
        For nobody, the holes are filled one after another, each with a request for just its bytes.
        """
        self.begin(arrived=Extents(((100, 1000), (2000, SIZE - 5))))
        for _ in range(3):
            self.last.accept()
            self.last.give_all()
            self.clock.advance(0)
        self.assertEqual(self.nodes.asked, [("a", 0, 100), ("a", 1000, 2000), ("a", SIZE - 5, SIZE)])
        self.assertEqual(self.fetch.arrived.runs, ((0, SIZE),))

    def test_one_plan_for_many_changes(self) -> None:
        """
        However many facts change in one turn, the plan is asked once.
        """
        fetch = self.begin()
        before = self.sink.asked_what_is_wanted
        for _ in range(10):
            fetch.plan_soon()
        self.clock.advance(0)
        self.assertEqual(self.sink.asked_what_is_wanted - before, 1)

    def test_one_who_seeks_does_not_wait_for_the_turn(self) -> None:
        """
        For the first two who have nothing the plan is asked at once, for others who come at the same instant together.
        """
        fetch = self.begin()
        self.last.accept()
        self.last.give(100_000)
        self.clock.advance(1)
        for offset in 800_000, 2_400_000, 3_900_000:
            self.sink.wanted.append(Reading(offset, offset + 1))
            fetch.plan_promptly()
        promptly = [0, 800_000, 2_400_000]
        self.assertEqual([first for _, first, _ in self.nodes.asked], promptly)
        self.clock.advance(0)
        self.assertEqual(sorted(first for _, first, _ in self.nodes.asked), [*promptly, 3_900_000])
        self.clock.advance(1)
        for number, offset in enumerate((2_150_000, 3_750_000), 5):
            self.sink.wanted.append(Reading(offset, offset + 1))
            fetch.plan_promptly()
            self.assertEqual(len(self.nodes.asked), number)
        self.clock.advance(1)
        # What was to be asked in this turn, has been then.
        before = self.sink.asked_what_is_wanted
        fetch.plan_soon()
        fetch.plan_promptly()
        self.clock.advance(0)
        fetch.stop()
        self.clock.advance(1)
        fetch.plan_promptly()
        self.assertEqual(self.sink.asked_what_is_wanted - before, 1)

    def test_a_seek_bounds_the_base(self) -> None:
        """
        A reader far ahead gets a request of its own; the base is cut where that begins, and no byte comes twice.
        """
        self.begin()
        base = self.last
        base.accept()
        base.give(100_000)
        self.read((0, SIZE), (3_000_000, SIZE))
        self.assertEqual(self.nodes.asked, [("a", 0, SIZE), ("a", 3_000_000, SIZE)])
        self.last.accept()
        self.last.give_all()
        self.assertFalse(base.dropped)
        base.give(3_000_000)
        self.clock.advance(0)
        self.assertTrue(base.dropped)
        self.assertEqual((len(self.nodes.asked), sum(self.sink.lengths)), (2, SIZE))
        self.assertTrue(self.sink.got == CONTENT)

    def test_spread(self) -> None:
        """
        Segments are asked of the node that is least busy with this object.
        """
        self.begin(A, B)
        self.last.accept()
        self.read((1_000_000, 1_100_000), (2_000_000, 2_100_000), (3_000_000, 3_100_000))
        self.assertEqual([node for node, _, _ in self.nodes.asked], ["a", "b", "a", "b"])

    def test_stays_with_one(self) -> None:
        """
        One after another they are asked of the same node, though another one has never been asked for anything: it is
        tried with another object.
        """
        self.begin(A, B, arrived=Extents(((1000, 2000),)))
        self.last.accept()
        self.last.give_all()
        self.clock.advance(0)
        self.last.accept()
        self.last.give_all()
        self.fetch.stop()
        self.begin(A, B)
        self.assertEqual(self.nodes.asked, [("a", 0, 1000), ("a", 2000, SIZE), ("b", 0, SIZE)])

    def test_distrusted_last(self) -> None:
        """
        A node that has given wrong bytes of anything is asked when no other is left.
        """
        self.nodes.standings.lied(A)
        self.begin(A, B)
        self.last.refuse()
        self.clock.advance(0)
        self.assertEqual([node for node, _, _ in self.nodes.asked], ["b", "a"])

    def test_brings(self) -> None:
        """
        It knows what is on its way.
        """
        self.begin(arrived=Extents(((0, 10),)))
        self.assertEqual([self.fetch.brings(offset) for offset in (9, 10, SIZE - 1)], [False, True, True])

    def test_stopped(self) -> None:
        """
        Once it has been stopped, nothing is asked for or taken, whatever happens.
        """
        fetch = self.begin()
        self.last.accept()
        self.last.give(10)
        fetch.stop()
        self.assertTrue(self.last.dropped)
        self.last.give(10)
        self.last.break_off()
        self.plan()
        self.clock.advance(100)
        self.assertEqual((len(self.nodes.asked), self.sink.lengths, self.sink.errors), (1, [10], []))


class PauseTests(FetchCase):
    """
    Segments that nobody waits for, and a disk that is behind.
    """

    def seek(self) -> tuple[Answer, Answer]:
        """
        A base that nobody waits for, and the segment of a seek.
        """
        self.begin()
        base = self.last
        base.accept()
        base.give(1000)
        self.read((3_000_000, SIZE))
        self.last.accept()
        self.last.give(1000)
        self.clock.advance(0)
        return base, self.last

    def test_paused_while_somebody_waits(self) -> None:
        """
        The base yields the bandwidth to a seek, and goes on with the same request once that is over.
        """
        base, far = self.seek()
        self.assertEqual((base.paused, far.paused), (True, False))
        far.give_all()
        self.clock.advance(0)
        self.assertFalse(base.paused)
        base.give_all()
        self.assertEqual(self.nodes.asked, [("a", 0, SIZE), ("a", 3_000_000, SIZE)])
        self.assertTrue(self.sink.got == CONTENT)

    def test_given_up_after_a_long_pause(self) -> None:
        """
        A segment that has been paused for long is given up, and what it has not brought is asked for when there is
        nothing better to do.
        """
        base, far = self.seek()
        self.trickle(far, int(LONGEST_PAUSE_S) - 1)
        self.assertFalse(base.dropped)
        self.trickle(far, 3)
        self.assertTrue(base.dropped)
        self.assertEqual(len(self.nodes.asked), 2)
        far.give_all()
        self.clock.advance(0)
        self.assertEqual(self.nodes.asked[2:], [("a", 1000, 3_000_000)])

    def test_held(self) -> None:
        """
        While the disk is behind all of them are held, those that begin meanwhile too.
        """
        base, far = self.seek()
        self.fetch.hold()
        self.fetch.hold()
        self.read((3_000_000, SIZE), (1_500_000, 1_600_000))
        late = self.last
        late.accept()
        late.give(1000)
        self.assertEqual([each.paused for each in (base, far, late)], [True, True, True])
        self.fetch.release()
        self.fetch.release()
        self.assertEqual([each.paused for each in (base, far, late)], [True, False, False])

    def test_hold_and_pause_have_both_to_be_taken_back(self) -> None:
        """
        A base that the plan lets go on while the disk is behind goes on when the disk has caught up, and not before.
        """
        base, _ = self.seek()
        self.fetch.hold()
        self.read()
        self.assertTrue(base.paused)
        self.fetch.release()
        self.assertFalse(base.paused)

    def test_silence_of_the_held_does_not_count(self) -> None:
        """
        A node is not blamed for a slow disk of ours.
        """
        self.begin()
        self.last.accept()
        self.last.give(1000)
        self.fetch.hold()
        self.clock.advance(10 * TIMEOUT_S)
        self.fetch.release()
        self.last.give_all()
        self.assertEqual(len(self.nodes.asked), 1)


class SeekTests(FetchCase):
    """
    Connections for seeks that may come.
    """

    def test_prepared(self) -> None:
        """
        As long as a storage node brings something, a connection to it is to be ready; soon, and not before those have
        their bytes who wait for them.
        """
        self.begin()
        self.last.accept()
        self.last.give(1000)
        self.assertEqual(self.nodes.prepared, [])
        self.clock.advance(0.02)
        self.assertEqual(self.nodes.prepared, [(b"http://a.example", False)])
        self.trickle(self.last, 3)
        self.assertGreaterEqual(len(self.nodes.prepared), 3)
        self.last.give_all()
        before = len(self.nodes.prepared)
        self.clock.advance(100)
        self.assertEqual(len(self.nodes.prepared), before)

    def test_no_use(self) -> None:
        """
        Not to one that ignores ranges, nor where no more requests could be made.
        """
        full = ArrivingNodes(self.clock, CONTENT, TIMEOUT_S, at_once=1)
        ignoring = ArrivingNodes(self.clock, CONTENT, TIMEOUT_S)
        ignoring.standings.remember_ignoring_ranges(A)
        for self.nodes in (full, ignoring):
            self.begin()
            self.last.accept()
            self.last.give(1000)
            self.clock.advance(0.02)
            self.fetch.stop()
            self.assertEqual(self.nodes.prepared, [])


class IgnoredRangeTests(FetchCase):
    """
    Nodes that answer a request for a part with the whole.
    """

    def test_from_the_beginning(self) -> None:
        """
        Where the part was the first, nothing is lost: the answer goes on to the end of the object.
        """
        self.begin(A, B, arrived=Extents(((SIZE - 1000, SIZE - 500),)))
        self.assertEqual(self.nodes.asked, [("a", 0, SIZE - 1000)])
        self.last.accept(whole=True)
        self.last.give_all()
        self.clock.advance(0)
        self.assertEqual((len(self.nodes.asked), sum(self.sink.lengths)), (1, SIZE - 500))
        self.assertEqual(self.fetch.arrived.runs, ((0, SIZE),))
        self.assertTrue(self.nodes.standings.ignores_ranges(A))

    def test_from_the_beginning_beside_others(self) -> None:
        """
        Nothing is lost either where others bring the rest: it ends where it was to end.
        """
        self.sink.wanted = [Reading(3_000_000, SIZE)]
        self.begin(A, B)
        far = self.last
        far.accept()
        self.read((3_000_000, SIZE), (0, 1_500_000))
        first = self.last
        first.accept(whole=True)
        self.assertFalse(first.dropped)
        first.give(1_600_000)
        self.assertTrue(first.dropped)
        self.assertTrue(self.sink.got[:1_500_000] == CONTENT[:1_500_000])
        self.assertEqual((sum(self.sink.lengths), far.dropped), (1_500_000, False))
        self.assertEqual(self.nodes.asked[:2], [("a", 3_000_000, SIZE), ("b", 0, 1_500_000)])

    def test_another_one_honours_them(self) -> None:
        """
        Elsewhere the answer is dropped where another node may honour C{Range}, and that is asked for the same bytes.
        """
        self.sink.wanted = [Reading(3_000_000, SIZE)]
        self.begin(A, B)
        ignoring = self.last
        ignoring.accept(whole=True)
        self.clock.advance(0)
        self.assertTrue(ignoring.dropped)
        self.assertEqual(self.nodes.asked, [("a", 3_000_000, SIZE), ("b", 3_000_000, SIZE)])

    def test_the_only_kind_there_is(self) -> None:
        """
        Where no node honours C{Range}, the answer is used from its beginning, what is there already is passed over, and
        readers who seek meanwhile wait for it.
        """
        self.sink.wanted = [Reading(3_000_000, SIZE)]
        self.begin(arrived=Extents(((1000, 2000),)))
        self.last.accept(whole=True)
        self.last.give(1_000_000)
        self.read((2_000_000, SIZE), (3_000_000, SIZE))
        self.last.give_all()
        self.clock.advance(0)
        self.assertEqual(self.nodes.asked, [("a", 3_000_000, SIZE)])
        self.assertEqual(sum(self.sink.lengths), SIZE - 1000)
        self.assertEqual(self.fetch.arrived.runs, ((0, SIZE),))

    def test_told_once(self) -> None:
        """
        Where what is there is in the middle of what comes, one is told when both parts have come, and not between: who
        asks for more then does not ask for the second.
        """
        self.sink.wanted = [Reading(3_000_000, SIZE)]
        self.begin(arrived=Extents(((1000, 2000),)))
        self.last.accept(whole=True)
        self.last.give(10_000)
        self.assertEqual((self.sink.lengths, self.sink.told), ([1000, 8000], [9000]))

    def test_the_base_stays(self) -> None:
        """
        Where a base is under way that brings the whole, it is kept, not the answer to a seek that would begin anew.
        """
        self.begin()
        base = self.last
        base.accept()
        base.give(1_000_000)
        self.read((3_000_000, SIZE))
        self.last.accept(whole=True)
        self.clock.advance(0)
        self.assertEqual((base.dropped, base.paused, self.last.dropped), (False, False, True))
        base.give_all()
        self.clock.advance(0)
        self.assertEqual(self.nodes.asked, [("a", 0, SIZE), ("a", 3_000_000, SIZE)])
        self.assertEqual(sum(self.sink.lengths), SIZE)
        self.assertTrue(self.sink.got == CONTENT)

    def test_remembered(self) -> None:
        """
        A node that is known for it is not asked for a part again.
        """
        self.nodes.standings.remember_ignoring_ranges(A)
        self.sink.wanted = [Reading(3_000_000, SIZE), Reading(1_000_000, 1_100_000)]
        self.begin(A, B)
        self.assertEqual({node for node, _, _ in self.nodes.asked}, {"b"})
