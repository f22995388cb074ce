"""
Tests for L{distributor.node.deadlines}.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from distributor.model import Overloaded
from distributor.node.deadlines import Deadlines

PATIENCE_S = 60.0


class DeadlinesTests(SynchronousTestCase):
    """
    Many who wait, with one delayed call.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.deadlines = Deadlines(self.clock, PATIENCE_S)
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def wait(self) -> tuple[Deferred[str], Deferred[str]]:
        """
        One more who waits.

        @return: what for, and what comes of it.
        """
        byte: Deferred[str] = Deferred()
        return byte, Deferred.fromCoroutine(self.deadlines.in_time(byte))

    def test_in_time(self) -> None:
        """
        Who gets something, or is told of trouble, is told at once; so is who need not wait at all.
        """
        byte, waiting = self.wait()
        self.assertNoResult(waiting)
        byte.callback("a byte")
        self.assertEqual(self.successResultOf(waiting), "a byte")
        byte, waiting = self.wait()
        byte.errback(ZeroDivisionError())
        self.failureResultOf(waiting, ZeroDivisionError)
        there: Deferred[str] = Deferred()
        there.callback("there")
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(self.deadlines.in_time(there))), "there")

    def test_each_has_its_own(self) -> None:
        """
        Each gives up when it has waited for so long itself, however the others fare.
        """
        first, patient = self.wait()
        self.clock.advance(10)
        second, served = self.wait()
        self.clock.advance(10)
        third, late = self.wait()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(PATIENCE_S - 20 - 1)
        self.assertNoResult(patient)
        self.clock.advance(1)
        self.failureResultOf(patient, Overloaded)
        second.callback("a byte")
        self.assertEqual(self.successResultOf(served), "a byte")
        self.clock.advance(19)
        self.assertNoResult(late)
        self.clock.advance(1)
        self.failureResultOf(late, Overloaded)
        # Both have been told that nobody waits.
        first.callback("too late")
        third.callback("too late")

    def test_at_one_instant(self) -> None:
        """
        Those who have come together give up together; one that takes another with it is no trouble.
        """
        _, first = self.wait()
        second, other = self.wait()

        def serve(failure: Failure) -> Failure:
            second.callback("a byte")
            return failure

        first.addErrback(serve)
        self.clock.advance(PATIENCE_S)
        self.failureResultOf(first, Overloaded)
        self.assertEqual(self.successResultOf(other), "a byte")

    def test_one_comes_as_another_gives_up(self) -> None:
        """
        Who begins to wait because another has given up has all of its time, and takes none from those who wait already.
        """
        _, first = self.wait()
        self.clock.advance(20)
        _, second = self.wait()
        later: list[Deferred[str]] = []

        def wait_again(ignored: Failure) -> None:
            later.append(self.wait()[1])

        first.addErrback(wait_again)
        self.clock.advance(PATIENCE_S - 20)
        self.clock.advance(19)
        self.assertNoResult(second)
        self.clock.advance(1)
        self.failureResultOf(second, Overloaded)
        self.clock.advance(PATIENCE_S - 21)
        self.assertNoResult(later[0])
        self.clock.advance(1)
        self.failureResultOf(later[0], Overloaded)

    def test_cancelled(self) -> None:
        """
        Who goes away has not lost its patience.
        """
        _, waiting = self.wait()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
