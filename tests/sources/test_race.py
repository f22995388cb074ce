"""
Tests for L{distributor.sources.race}: a second request where the first is not answered.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from distributor.model import StorageNode
from distributor.sources import Body, SourceError, Won
from distributor.sources.race import Race
from distributor.sources.standings import Standings

A, B = (StorageNode(name, f"http://{name}.example/") for name in "ab")
TIMEOUT_S = 10.0

#: When a second one is asked where the first is not known.
USUAL_S = 1.0


class Response:
    """
    An answer of which nobody has had a byte.
    """

    def __init__(self) -> None:
        self.transport = StringTransport()

    def deliverBody(self, protocol: Protocol) -> None:
        protocol.makeConnection(self.transport)


class RaceTests(SynchronousTestCase):
    """
    The first usable answer wins, and nothing is left of the other request.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.standings = Standings(self.clock, TIMEOUT_S)
        self.asked: dict[str, Deferred[Body]] = {}
        self.cancelled: list[str] = []
        self.dropped_out: list[tuple[str, str, str]] = []
        self.spare = 1
        self.others: list[StorageNode | None] = [B]
        self.addCleanup(lambda: self.assertEqual((self.spare, self.clock.getDelayedCalls()), (1, [])))

    # As Places has it.

    def take_spare_place(self) -> bool:
        if not self.spare:
            return False
        self.spare -= 1
        return True

    def leave_spare_place(self) -> None:
        self.spare += 1

    def ask(self, node: StorageNode) -> Deferred[Body]:
        """
        A request is made.
        """
        self.asked[node.id] = Deferred(lambda _: self.cancelled.append(node.id))
        return self.asked[node.id]

    def race(self) -> Deferred[Won]:
        """
        One that begins with A.
        """
        return Race(
            self.ask,
            self.standings,
            self,
            self.clock,
            lambda: self.others.pop(0),
            lambda node, error, left: self.dropped_out.append((node.id, str(error), left.id)),
        ).run(A)

    def hedged(self) -> Deferred[Won]:
        """
        One in which B has been asked, too.
        """
        won = self.race()
        self.clock.advance(USUAL_S)
        self.assertEqual((list(self.asked), self.spare), (["a", "b"], 0))
        return won

    def answer(self, node: StorageNode) -> Body:
        """
        Let the head of an answer come.
        """
        body = Body(0, 10, None, Response())
        self.asked[node.id].callback(body)
        return body

    def first_byte_s(self, node: StorageNode) -> float | None:
        """
        How long it takes to answer, as far as is known.
        """
        return self.standings.of(node).performance.first_byte_s

    def test_in_time(self) -> None:
        """
        A node that answers in its usual time is the only one that is asked.
        """
        won = self.race()
        self.clock.advance(USUAL_S - 0.1)
        body = self.answer(A)
        self.assertEqual(self.successResultOf(won), Won(A, body, 0.0))
        self.clock.advance(TIMEOUT_S)
        self.assertEqual((list(self.asked), self.first_byte_s(A)), (["a"], USUAL_S - 0.1))

    def test_second_wins(self) -> None:
        """
        Where the second answers first, the first request is taken back. That is no failure, but it is remembered that
        the first took so long.
        """
        won = self.hedged()
        self.clock.advance(0.5)
        body = self.answer(B)
        self.assertEqual(self.successResultOf(won), Won(B, body, USUAL_S))
        self.assertEqual((self.cancelled, self.first_byte_s(A), self.first_byte_s(B)), (["a"], USUAL_S + 0.5, 0.5))
        self.assertEqual((self.standings.of(A).failures, self.dropped_out), (0, []))

    def test_first_wins_after_all(self) -> None:
        """
        The second is taken back if the first answers before it; that it had no time tells nothing of it.
        """
        won = self.hedged()
        self.clock.advance(0.01)
        body = self.answer(A)
        self.assertEqual(self.successResultOf(won), Won(A, body, 0.0))
        self.assertEqual((self.cancelled, self.first_byte_s(B)), (["b"], None))

    def test_first_fails_at_once(self) -> None:
        """
        A node that fails before its time is over has lost, and it is for others to ask the next.
        """
        won = self.race()
        self.asked["a"].errback(SourceError("refused"))
        self.failureResultOf(won, SourceError)
        self.clock.advance(TIMEOUT_S)
        self.assertEqual((list(self.asked), self.standings.of(A).failures), (["a"], 1))
        self.assertEqual(self.standings.of(A).last_error, "refused")

    def test_one_of_two_fails(self) -> None:
        """
        The other one is waited for, whichever it is.
        """
        won = self.hedged()
        self.asked["a"].errback(SourceError("refused"))
        self.assertNoResult(won)
        self.assertEqual((self.dropped_out, self.spare), ([("a", "refused", "b")], 1))
        self.answer(B)
        self.assertEqual(self.successResultOf(won).node, B)
        self.others = [B]
        won = self.hedged_again()
        self.asked["b"].errback(SourceError("gone"))
        self.assertEqual(self.dropped_out[1:], [("b", "gone", "a")])
        self.answer(A)
        self.assertEqual(self.successResultOf(won).node, A)

    def hedged_again(self) -> Deferred[Won]:
        """
        The same, whatever is known of A by now.
        """
        self.asked.clear()
        won = self.race()
        self.clock.advance(TIMEOUT_S / 2)
        self.assertEqual(list(self.asked), ["a", "b"])
        return won

    def test_both_fail(self) -> None:
        """
        When both have failed, it is over, for the reason of the last.
        """
        won = self.hedged()
        self.asked["b"].errback(SourceError("gone"))
        self.asked["a"].errback(SourceError("refused"))
        self.assertEqual(str(self.failureResultOf(won, SourceError).value), "refused")
        self.assertEqual(self.dropped_out, [("b", "gone", "a")])
        self.assertEqual([self.standings.of(node).failures for node in (A, B)], [1, 1])

    def test_nobody_else(self) -> None:
        """
        Where there is no other node, the first one is waited for.
        """
        self.others = [None]
        won = self.race()
        self.clock.advance(USUAL_S)
        self.assertEqual((list(self.asked), self.spare), (["a"], 1))
        self.answer(A)
        self.assertEqual(self.successResultOf(won).node, A)

    def test_no_place(self) -> None:
        """
        Where as many requests are made as may be, none is made twice.
        """
        self.spare = 0
        won = self.race()
        self.clock.advance(USUAL_S)
        self.assertEqual((list(self.asked), self.others), (["a"], [B]))
        self.answer(A)
        self.successResultOf(won)
        self.spare = 1

    def test_cancelled(self) -> None:
        """
        One that is given up takes all of its requests back.
        """
        for begin, taken_back in ((self.race, ["a"]), (self.hedged, ["a", "b"])):
            self.asked.clear()
            self.cancelled.clear()
            won = begin()
            won.cancel()
            self.failureResultOf(won, CancelledError)
            self.assertEqual((self.cancelled, self.standings.of(A).failures), (taken_back, 0))

    def test_an_answer_that_comes_all_the_same(self) -> None:
        """
        An answer to a request that can no longer be taken back is not left open.
        """
        response = Response()
        self.ask = lambda node: Deferred(lambda asked: asked.callback(Body(0, 10, None, response)))  # type: ignore
        won = self.race()
        won.cancel()
        self.failureResultOf(won, CancelledError)
        self.assertTrue(response.transport.disconnecting)

    def test_a_mistake_of_ours(self) -> None:
        """
        What is nobody's failure ends it, too.
        """
        won = self.hedged()
        self.asked["b"].errback(ZeroDivisionError())
        self.failureResultOf(won, ZeroDivisionError)
        self.assertEqual((self.cancelled, self.standings.of(B).failures), (["a"], 0))
