"""
Tests for L{distributor.transfer.reader}: who waits, and who is told.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from distributor.model import DistributorError, SourcesFailed
from distributor.transfer import DownloadReader
from distributor.transfer.reader import Waiters


class Nothing:
    """
    A download that is not looked at.
    """

    size = 0
    media_type = None

    def available(self, offset: int) -> int:
        """
        Not asked for.
        """
        raise AssertionError

    def wait(self, reader: DownloadReader, offset: int) -> Deferred[None]:
        """
        Not asked for.
        """
        raise AssertionError

    def reader_left(self, reader: DownloadReader) -> None:
        """
        Not asked for.
        """
        raise AssertionError


class WaitersTests(SynchronousTestCase):
    """
    Each waiter has its own Deferred, and passes over them are few.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.there = 0
        self.error: DistributorError | None = None
        self.asked = 0
        self.waiters = Waiters(self.clock, self.ready, lambda reader: reader.error or self.error)
        self.reader = DownloadReader(Nothing(), ())

    def ready(self, offset: int) -> bool:
        """
        Whether the byte at C{offset} has come.
        """
        self.asked += 1
        return offset < self.there

    def take(self, ignored: None, seconds: float) -> None:
        """
        Be slow.
        """
        self.clock.advance(seconds)

    def test_there_already(self) -> None:
        """
        Who waits for what is there does not wait, even when nothing more will come.
        """
        self.there, self.error = 10, SourcesFailed()
        self.assertIsNone(self.successResultOf(self.waiters.wait(self.reader, 9)))
        self.failureResultOf(self.waiters.wait(self.reader, 10), SourcesFailed)

    def test_woken_when_there(self) -> None:
        """
        Those whose bytes have come are told, the others wait on.
        """
        near, far = self.waiters.wait(self.reader, 0), self.waiters.wait(self.reader, 100)
        self.there = 10
        self.waiters.wake()
        self.assertNoResult(near)
        self.clock.advance(0)
        self.assertIsNone(self.successResultOf(near))
        self.assertNoResult(far)
        self.error = SourcesFailed()
        self.waiters.wake()
        self.clock.advance(0)
        self.failureResultOf(far, SourcesFailed)

    def test_one_pass_for_many_wakes(self) -> None:
        """
        However often they are to be woken in one turn, each is looked at once; and without waiters nothing is done.
        """
        self.waiters.wake()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.waiters.wait(self.reader, 5)
        asked = self.asked
        for _ in range(10):
            self.waiters.wake()
        self.clock.advance(0)
        self.assertEqual((self.asked - asked, self.clock.getDelayedCalls()), (1, []))

    def test_cancel(self) -> None:
        """
        A wait that is cancelled is over, and is nobody else's business.
        """
        one, other = self.waiters.wait(self.reader, 0), self.waiters.wait(self.reader, 0)
        one.cancel()
        self.failureResultOf(one, CancelledError)
        self.there = 1
        self.waiters.wake()
        self.clock.advance(0)
        self.assertIsNone(self.successResultOf(other))

    def test_told_ones_may_wait_again_and_make_others_leave(self) -> None:
        """
        What a waiter does when it is told does not disturb the pass.
        """
        first, second, third = (self.waiters.wait(self.reader, 0) for _ in range(3))
        again: list[Deferred[None]] = []

        def told(ignored: None) -> None:
            second.cancel()
            again.append(self.waiters.wait(self.reader, 50))

        first.addCallback(told)
        self.there = 1
        self.waiters.wake()
        self.clock.advance(0)
        self.failureResultOf(second, CancelledError)
        self.assertIsNone(self.successResultOf(third))
        self.assertNoResult(again[0])

    def test_rests_as_long_as_it_took(self) -> None:
        """
        A pass that took long is followed by as long a rest, so that waking leaves time for everything else; but never
        by more than a tenth of a second.
        """
        for took_s, rest_s in [(0.03, 0.03), (3.0, 0.1), (0.0, 0.0)]:
            waiter = self.waiters.wait(self.reader, self.there)
            waiter.addCallback(self.take, took_s)
            self.there += 1
            self.waiters.wake()
            self.clock.advance(0.1)
            self.waiters.wait(self.reader, self.there + 1000).addErrback(lambda _: None)
            self.waiters.wake()
            [call] = self.clock.getDelayedCalls()
            self.assertAlmostEqual(call.getTime() - self.clock.seconds(), rest_s)
            self.clock.advance(0.2)
