"""
Tests for L{distributor.transfer.fetch}: storage nodes that are slow to answer, and what is asked of whom then.
"""

from __future__ import annotations

from distributor.sources.breaker import THRESHOLD
from distributor.transfer.extents import Extents
from distributor.transfer.plan import Reading
from tests.transfer.fetching import CONTENT, SIZE, TIMEOUT_S, A, B, C, FetchCase

#: After which a second node is asked where the first is not known, in seconds.
USUAL_S = 1.0


class SlowAnswerTests(FetchCase):
    """
    A first node that does not answer in its usual time.
    """

    def test_one_request(self) -> None:
        """
        An object that is read from its beginning is one request, if that is answered in time.
        """
        self.sink.wanted = [Reading(0, SIZE)]
        self.begin(A, B, C)
        self.clock.advance(USUAL_S - 0.1)
        self.last.accept()
        self.last.give_all()
        self.clock.advance(100)
        self.assertEqual(self.nodes.asked, [("a", 0, SIZE)])
        self.assertTrue(self.sink.got == CONTENT)

    def test_two_requests(self) -> None:
        """
        If not, a second node is asked for the same bytes, and no third; whoever answers first brings them all.
        """
        self.sink.wanted = [Reading(0, SIZE)]
        self.begin(A, B, C)
        self.clock.advance(USUAL_S)
        self.clock.advance(1.0)
        self.assertEqual((self.nodes.asked, self.nodes.taken), ([("a", 0, SIZE), ("b", 0, SIZE)], 2))
        first, second = self.nodes.answers
        second.accept()
        self.assertEqual((first.dropped, self.nodes.taken), (True, 1))
        self.assertEqual([segment.node for segment in self.fetch.segments.values()], [B])
        second.give_all()
        # It had a second for that, since it was asked.
        self.assertEqual(self.nodes.standings.best_rate([B]), SIZE)
        self.clock.advance(100)
        self.assertEqual((len(self.nodes.asked), list(self.fetch.brought)), (2, [B]))
        self.assertTrue(self.sink.got == CONTENT)
        self.assertEqual(self.nodes.standings.of(A).failures, 0)

    def test_the_first_after_all(self) -> None:
        """
        That may be the first one.
        """
        self.begin(A, B)
        self.clock.advance(USUAL_S)
        first, second = self.nodes.answers
        first.accept()
        self.assertEqual((second.dropped, self.nodes.taken), (True, 1))
        first.give_all()
        self.assertEqual(list(self.fetch.brought), [A])

    def test_next_time(self) -> None:
        """
        The node that was slower is not asked first the next time.
        """
        self.test_two_requests()
        self.begin(A, B)
        self.assertEqual(self.nodes.asked[2:], [("b", 0, SIZE)])

    def test_first_fails_meanwhile(self) -> None:
        """
        A node that fails while another one is waited for is not asked again in this round; and when that fails as well,
        it is the third one's turn.
        """
        self.begin(A, B, C)
        self.clock.advance(USUAL_S)
        first, second = self.nodes.answers
        first.refuse()
        self.clock.advance(0)
        self.assertEqual((len(self.nodes.asked), self.nodes.taken), (2, 1))
        self.assertEqual([segment.node for segment in self.fetch.segments.values()], [B])
        second.refuse()
        self.clock.advance(0)
        self.assertEqual([node for node, _, _ in self.nodes.asked], ["a", "b", "c"])
        self.last.refuse()
        self.clock.advance(0)
        [error] = self.sink.errors
        self.assertEqual(str(error), "; ".join(f"http://{name}.example/: refused" for name in "abc"))

    def test_nobody_else(self) -> None:
        """
        Where there is no other node, or none of use, the first one has all of its time.
        """
        self.nodes.standings.lied(B)
        self.nodes.standings.remember_ignoring_ranges(C)
        self.begin(A, B, C, arrived=Extents(((0, 1000),)))
        self.clock.advance(TIMEOUT_S - 0.1)
        self.assertEqual(self.nodes.asked, [("a", 1000, SIZE)])

    def test_a_part_from_the_beginning(self) -> None:
        """
        A node that ignores C{Range} is not asked beside another for the first part of an object: it would send all.
        """
        self.nodes.standings.remember_ignoring_ranges(B)
        self.begin(A, B, arrived=Extents(((SIZE - 1000, SIZE),)))
        self.clock.advance(TIMEOUT_S - 0.1)
        self.assertEqual(self.nodes.asked, [("a", 0, SIZE - 1000)])

    def test_stopped(self) -> None:
        """
        Both are taken back when nobody wants anything any more.
        """
        self.begin(A, B)
        self.clock.advance(USUAL_S)
        self.fetch.stop()
        self.assertEqual(([answer.dropped for answer in self.nodes.answers], self.nodes.taken), ([True, True], 0))


class BreakerTests(FetchCase):
    """
    Nodes that have failed in a row.
    """

    def test_others_first(self) -> None:
        """
        They are asked when nobody else is left.
        """
        for _ in range(THRESHOLD):
            self.nodes.standings.failed(A, "refused")
        self.begin(A, B)
        self.last.refuse()
        self.clock.advance(0)
        self.assertEqual([node for node, _, _ in self.nodes.asked], ["b", "a"])

    def test_nobody_else(self) -> None:
        """
        Where there is only one, it is asked, and may serve.
        """
        for _ in range(THRESHOLD):
            self.nodes.standings.failed(A, "refused")
        self.begin(A)
        self.last.accept()
        self.last.give_all()
        self.assertTrue(self.sink.got == CONTENT)
        self.assertEqual(self.nodes.standings.explain([A])[0]["breaker"], "closed")
