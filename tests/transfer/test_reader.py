"""
Tests for L{distributor.transfer.reader}: who waits, and who is told.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from distributor.model import LARGEST_STEP, ByteRange, ContentMismatch, DistributorError, SourcesFailed
from distributor.transfer import DownloadReader
from distributor.transfer.plan import Reading
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

    def early(self, offset: int, length: int) -> bytes:
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

    def ready(self, reader: DownloadReader, offset: int) -> bool:
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

    def beginner(self) -> DownloadReader:
        """
        One that has had nothing.
        """
        return DownloadReader(Nothing(), ())

    def test_those_who_begin_come_first(self) -> None:
        """
        Who has had nothing yet is told before those who go on, whoever has waited for longer.
        """
        told: list[str] = []
        self.reader.begun = True
        going_on = self.waiters.wait(self.reader, 0)
        going_on.addCallback(lambda _: told.append("going on"))
        beginning = self.waiters.wait(self.beginner(), 0)
        beginning.addCallback(lambda _: told.append("beginning"))
        self.there = 1
        self.waiters.wake()
        self.clock.advance(0)
        self.assertEqual(told, ["beginning", "going on"])

    def test_only_those_who_begin(self) -> None:
        """
        What concerns them alone is looked at for nobody else, and not at all where there is none.
        """
        self.reader.begun = True
        going_on = self.waiters.wait(self.reader, 0)
        self.waiters.wake_beginners()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        beginning = self.waiters.wait(self.beginner(), 0)
        self.there = 1
        self.waiters.wake_beginners()
        self.clock.advance(0)
        self.assertIsNone(self.successResultOf(beginning))
        self.assertNoResult(going_on)
        # Nor does it keep others from being woken.
        late = self.waiters.wait(self.beginner(), 5)
        self.waiters.wake_beginners()
        self.waiters.wake()
        self.clock.advance(0)
        self.assertIsNone(self.successResultOf(going_on))
        late.cancel()
        self.failureResultOf(late, CancelledError)

    def test_one_who_seeks(self) -> None:
        """
        What has come for one who seeks has come for nobody else, so that there is nothing to wait for.
        """
        seeking = self.beginner()
        seeking.external = True
        waiting = self.waiters.wait(seeking, 0)
        self.waiters.wake_beginners()
        self.assertNoResult(waiting)
        self.there = 1
        self.waiters.wake_beginners()
        self.assertIsNone(self.successResultOf(waiting))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        # Who does not seek has its turn.
        sought, other = (self.waiters.wait(each, 1) for each in (seeking, self.beginner()))
        self.there = 2
        self.waiters.wake_beginners()
        self.successResultOf(sought)
        self.assertNoResult(other)
        self.clock.advance(0)
        self.successResultOf(other)

    def test_several_who_seek(self) -> None:
        """
        Two who seek are told at once, unless telling the first has made the second leave; of a crowd, nobody is.
        """
        several = [self.beginner() for _ in range(3)]
        for each in several:
            each.external = True
        first, second = (self.waiters.wait(each, 0) for each in several[:2])
        self.there = 1
        self.waiters.wake_beginners()
        self.successResultOf(first)
        self.successResultOf(second)
        first, second = (self.waiters.wait(each, 1) for each in several[:2])
        first.addCallback(lambda _: second.cancel())
        self.there = 2
        self.waiters.wake_beginners()
        self.failureResultOf(second, CancelledError)
        crowd = [self.waiters.wait(each, 2) for each in several]
        self.there = 3
        self.waiters.wake_beginners()
        for waiting in crowd:
            self.assertNoResult(waiting)
        self.clock.advance(0)
        for waiting in crowd:
            self.successResultOf(waiting)

    def test_rests_as_long_as_it_took(self) -> None:
        """
        A pass that took long is followed by as long a rest, so that waking leaves time for everything else; but never
        by more than a tenth of a second.
        """
        for took_s, rest_s in [(0.03, 0.03), (3.0, 0.1), (0.0009, 0.0), (0.0, 0.0), (-1.0, 0.0)]:
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

    def test_one_that_has_failed(self) -> None:
        """
        A reader that gets nothing more is told so, whatever is there; the others read on.
        """
        other = DownloadReader(Nothing(), ())
        waiting, others = self.waiters.wait(self.reader, 5), self.waiters.wait(other, 5)
        self.reader.fail(ContentMismatch())
        self.there = 10
        self.waiters.wake()
        self.clock.advance(0)
        self.failureResultOf(waiting, ContentMismatch)
        self.assertIsNone(self.successResultOf(others))
        self.failureResultOf(self.waiters.wait(self.reader, 0), ContentMismatch)


class Download:
    """
    A download of a thousand bytes.
    """

    size = 1000
    media_type = "video/mp4"

    def __init__(self) -> None:
        self.there = 0
        self.left: list[DownloadReader] = []
        self.waiting: Deferred[None] = Deferred()

    def available(self, offset: int) -> int:
        """
        What is there is at the beginning.
        """
        return max(0, self.there - offset)

    def early(self, offset: int, length: int) -> bytes:
        """
        A hundred bytes are on their way.
        """
        come = max(0, self.there + 100 - offset)
        return bytes(min(length, come))

    def wait(self, reader: DownloadReader, offset: int) -> Deferred[None]:
        """
        When the test says so.
        """
        self.waiting = Deferred()
        return self.waiting

    def reader_left(self, reader: DownloadReader) -> None:
        """
        Remember who.
        """
        self.left.append(reader)


class ReaderTests(SynchronousTestCase):
    """
    What a reader tells of itself.
    """

    def setUp(self) -> None:
        self.download = Download()

    def reader(self, *ranges: tuple[int, int]) -> DownloadReader:
        """
        One that is going to read these.
        """
        return DownloadReader(self.download, [ByteRange(*each) for each in ranges])

    def test_reading(self) -> None:
        """
        Where it reads is where it was last, asking or waiting; at first, at its beginning.
        """
        reader = self.reader((100, 500))
        self.assertEqual(reader.reading, Reading(100, 500))
        reader.available(200)
        self.assertEqual(reader.reading, Reading(200, 500))
        reader.wait(300).addErrback(lambda _: None)
        self.assertEqual(reader.reading, Reading(300, 500))
        reader.close()

    def test_reading_in_any_order(self) -> None:
        """
        Of several ranges it reads the one in which it is, wherever that lies.
        """
        reader = self.reader((500, 600), (0, 100), (900, 1000))
        self.assertEqual(reader.reading, Reading(500, 600))
        for offset, expected in ((599, Reading(599, 600)), (0, Reading(0, 100)), (950, Reading(950, 1000))):
            reader.available(offset)
            self.assertEqual(reader.reading, expected)

    def test_reading_nothing(self) -> None:
        """
        One that wants nothing, or is at its end, does not read.
        """
        self.assertIsNone(self.reader().reading)
        reader = self.reader((0, 1000))
        reader.wait(1000).addErrback(lambda _: None)
        self.assertIsNone(reader.reading)
        reader.close()

    def test_may_have_read(self) -> None:
        """
        What it was told is available may have gone out, but no more than a step at a time, and none beyond its range.
        """
        reader = self.reader((100, 500), (700, 800))
        self.assertEqual(reader.may_have_read.runs, ())
        reader.available(100)
        self.assertEqual(reader.may_have_read.runs, ())
        self.download.there = 300
        reader.available(150)
        self.assertEqual(reader.may_have_read.runs, ((100, 300),))
        self.download.there = 1000
        reader.available(200)
        self.assertEqual(reader.may_have_read.runs, ((100, 500),))
        reader.available(700)
        self.assertEqual(reader.may_have_read.runs, ((100, 500), (700, 800)))

    def test_early(self) -> None:
        """
        What is on its way is given once, to who has had nothing, and counts as read.
        """
        reader = self.reader((100, 500), (700, 800))
        self.assertEqual((reader.early(100, 50), reader.begun), (b"", False))
        self.download.there = 90
        self.assertEqual((len(reader.early(100, 50)), reader.begun), (50, True))
        self.assertEqual(reader.may_have_read.runs, ((100, 150),))
        self.assertEqual(reader.early(150, 50), b"")

    def test_had_early(self) -> None:
        """
        It keeps what it was given until that is in the file.
        """
        reader = self.reader((100, 500))
        self.download.there = 90
        data = reader.early(100, 50)
        reader.available(150)
        self.download.there = 149
        reader.available(120)
        self.assertEqual(reader.had_early, (100, data))
        self.download.there = 151
        reader.available(150)
        self.assertEqual(reader.had_early, (0, b""))

    def test_nothing_early(self) -> None:
        """
        Nor is it given to one that has read the file, has failed, or is closed.
        """
        self.download.there = 10
        begun, failed, closed = (self.reader((0, 1000)) for _ in range(3))
        begun.available(0)
        failed.fail(ContentMismatch())
        closed.close()
        for reader in begun, failed, closed:
            self.assertEqual(reader.early(10, 50), b"")

    def test_a_step(self) -> None:
        """
        A step is a MiB.
        """
        self.download.size = self.download.there = 10 * LARGEST_STEP
        reader = self.reader((0, 10 * LARGEST_STEP))
        reader.available(5)
        self.assertEqual(reader.may_have_read.runs, ((0, 5 + LARGEST_STEP),))

    def test_fail(self) -> None:
        """
        For one that has failed nothing is available.
        """
        self.download.there = 10
        reader = self.reader((0, 1000))
        self.assertEqual(reader.available(0), 10)
        reader.fail(ContentMismatch())
        self.assertEqual(reader.available(0), 0)

    def test_close(self) -> None:
        """
        Closing cancels its wait, and tells the download once.
        """
        reader = self.reader((0, 1000))
        waiting = reader.wait(0)
        reader.close()
        reader.close()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual((self.download.left, reader.available(0)), ([reader], 0))

    def test_one_wait_at_a_time(self) -> None:
        """
        It waits again once its wait is over, and not before.
        """
        reader = self.reader((0, 1000))
        waiting = reader.wait(0)
        self.assertRaises(AssertionError, reader.wait, 0)
        self.download.waiting.callback(None)
        self.assertIsNone(self.successResultOf(waiting))
        reader.wait(0).addErrback(lambda _: None)
        reader.close()
