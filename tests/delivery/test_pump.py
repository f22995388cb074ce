"""
Tests for L{distributor.delivery.pump}: what all pumps have in common, and the one that reads and writes. The one that
lets the kernel copy is in C{test_sendfile}.
"""

from __future__ import annotations

import errno
import os

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from distributor.delivery.pump import ReadingPump
from distributor.model import DiskFailed, InThread, IReader, SourcesFailed
from tests.delivery import consumers
from tests.delivery.consumers import Consumer, Fickle, PausedFromTheStart, Pausing
from tests.delivery.readers import Cache, ScriptedReader, Threads, payload
from tests.stored import in_thread

WINDOW = 1000
CONTENT = payload(3 * WINDOW + 500)


class ReadingPumpTests(SynchronousTestCase):
    """
    A pump sends its run to whatever consumer, and comes to one end.
    """

    def setUp(self) -> None:
        self.patch(ReadingPump, "window", WINDOW)
        self.reader = ScriptedReader(self, CONTENT)

    def pump(
        self,
        consumer: Consumer,
        start: int = 0,
        stop: int = len(CONTENT),
        in_thread: InThread = in_thread,
        reader: ScriptedReader | None = None,
    ) -> tuple[ReadingPump, Deferred[None]]:
        """
        One that runs.
        """
        pump = ReadingPump(reader or self.reader, start, stop, in_thread, consumer)
        return pump, pump.run()

    def assert_over(self, consumer: Consumer) -> None:
        """
        It has come and gone once, and left nobody waiting.
        """
        self.assertEqual((consumer.registered, consumer.unregistered), (1, 1))
        self.assertIsNone(consumer.producer)
        self.assertFalse(self.reader.waiting)

    def lost(self, done: Deferred[None]) -> None:
        """
        It failed because the reader is gone.
        """
        self.failureResultOf(done, ConnectionLost)

    def test_interfaces(self) -> None:
        """
        It is a push producer, and the fakes of these tests are what they stand for.
        """
        verifyObject(IPushProducer, ReadingPump(self.reader, 0, 1, in_thread, Consumer()))
        verifyObject(IReader, self.reader)
        verifyObject(IConsumer, Consumer())

    def test_all_of_it(self) -> None:
        """
        Willing consumers get all bytes at once, a window at a time.
        """
        for kind in consumers.WILLING:
            consumer = kind()
            _, done = self.pump(consumer)
            self.successResultOf(done)
            self.assertEqual(consumer.received, CONTENT)
            self.assertEqual(consumer.writes, [WINDOW, WINDOW, WINDOW, 500])
            self.assert_over(consumer)

    @given(st.data())
    def test_any_run(self, data: st.DataObject) -> None:
        """
        Of any run, exactly its bytes are sent, whatever the consumer.
        """
        start = data.draw(st.integers(0, len(CONTENT) - 1))
        stop = data.draw(st.integers(start + 1, len(CONTENT)))
        consumer = data.draw(st.sampled_from([Consumer, Fickle, Pausing]))()
        pump, done = self.pump(consumer, start, stop)
        while isinstance(consumer, Pausing) and consumer.producer is not None:
            consumer.go_on()
        self.successResultOf(done)
        self.assertEqual(consumer.received, CONTENT[start:stop])
        self.assertEqual(pump.offset, stop)

    def test_string_transport(self) -> None:
        """
        Twisted's own transport for tests, which has state and checks it, gets all bytes.
        """
        transport = StringTransport()
        self.successResultOf(ReadingPump(self.reader, 0, len(CONTENT), in_thread, transport).run())
        self.assertEqual(transport.value(), CONTENT)
        self.assertIsNone(transport.producer)

    def test_pausing(self) -> None:
        """
        A consumer that pauses within a write gets nothing more until it asks, and the end is not told before.
        """
        consumer = Pausing()
        pump, done = self.pump(consumer)
        for count in (1, 2, 3):
            self.assertEqual(consumer.writes, [WINDOW] * count)
            self.assertEqual(pump.offset, count * WINDOW)
            self.assertNoResult(done)
            consumer.go_on()
        self.assertEqual(consumer.received, CONTENT)
        self.assertNoResult(done)
        consumer.go_on()
        self.successResultOf(done)
        self.assert_over(consumer)

    def test_paused_from_the_start(self) -> None:
        """
        A consumer that has no room when the pump comes gets nothing until it has.
        """
        consumer = PausedFromTheStart()
        _, done = self.pump(consumer)
        self.assertEqual(consumer.writes, [])
        assert consumer.producer is not None
        consumer.producer.resumeProducing()
        self.successResultOf(done)
        self.assertEqual(consumer.received, CONTENT)

    def test_leaving(self) -> None:
        """
        A consumer that goes away, at whatever time, gets nothing more; the pump ends once.
        """
        for kind, writes in consumers.LEAVING:
            consumer = kind()
            _, done = self.pump(consumer)
            self.lost(done)
            self.assertEqual(consumer.writes, [WINDOW] * writes)
            self.assert_over(consumer)

    def test_nothing_after_the_end(self) -> None:
        """
        Whatever a confused consumer calls after the end, nothing happens.
        """
        for end in ("complete", "stopped"):
            consumer = Consumer() if end == "complete" else Pausing()
            pump, done = self.pump(consumer)
            if end == "stopped":
                pump.stopProducing()
                self.lost(done)
            else:
                self.successResultOf(done)
            received = consumer.received
            pump.resumeProducing()
            pump.pauseProducing()
            pump.stopProducing()
            pump.resumeProducing()
            self.assertEqual(consumer.received, received)
            self.assert_over(consumer)

    def test_stalled(self) -> None:
        """
        A consumer that never goes on costs one window, until it goes away or the answer is cancelled.
        """
        for end in ("stopProducing", "cancel"):
            consumer = Pausing()
            pump, done = self.pump(consumer)
            self.assertEqual(consumer.writes, [WINDOW])
            if end == "cancel":
                done.cancel()
                self.failureResultOf(done, CancelledError)
            else:
                pump.stopProducing()
                self.lost(done)
            self.assertEqual(consumer.writes, [WINDOW])
            self.assert_over(consumer)

    def test_bytes_that_arrive(self) -> None:
        """
        Bytes go out as they arrive, and each wait is at the first byte that is missing.
        """
        self.reader.arrive(0)
        consumer = Consumer()
        _, done = self.pump(consumer, 100)
        self.assertEqual(consumer.writes, [])
        self.reader.arrive(50)
        self.assertEqual(consumer.writes, [])
        for there in (101, 150, 2600, len(CONTENT)):
            self.assertNoResult(done)
            self.reader.arrive(there)
            self.assertEqual(consumer.received, CONTENT[100:there])
        self.successResultOf(done)
        self.assertEqual(self.reader.waits, [100, 101, 150, 2600])
        self.assert_over(consumer)

    def test_early(self) -> None:
        """
        What is on its way to the file goes out, once and not more of it than is wanted; the rest comes from the file.
        """
        self.reader.arrive(0)
        self.reader.passing = 100, CONTENT[100:1000]
        consumer = Consumer()
        _, done = self.pump(consumer, 100, 2000)
        self.assertEqual((consumer.received, self.reader.waits), (CONTENT[100:1000], [1000]))
        self.reader.arrive(2000)
        self.successResultOf(done)
        self.assertEqual(consumer.received, CONTENT[100:2000])
        self.assert_over(consumer)
        self.reader.arrive(0)
        self.reader.passing = 100, CONTENT[100:1000]
        consumer = Consumer()
        _, done = self.pump(consumer, 100, 150)
        self.successResultOf(done)
        self.assertEqual(consumer.received, CONTENT[100:150])
        self.assert_over(consumer)

    def test_bytes_that_arrive_while_paused(self) -> None:
        """
        A consumer that has paused gets nothing when bytes arrive; when it goes on, the pump need not wait again.
        """
        self.reader.arrive(10)
        consumer = Pausing()
        _, done = self.pump(consumer)
        consumer.go_on()
        assert consumer.producer is not None
        consumer.producer.pauseProducing()
        self.reader.arrive(20)
        self.assertEqual(consumer.received, CONTENT[:10])
        self.reader.arrive(30)
        consumer.go_on()
        self.assertEqual(consumer.received, CONTENT[:30])
        self.assertEqual(self.reader.waits, [10])
        done.cancel()
        self.failureResultOf(done, CancelledError)

    def test_resumed_while_it_waits(self) -> None:
        """
        A consumer that asks while the pump waits does not make it wait twice, nor send what is not there.
        """
        self.reader.arrive(10)
        consumer = Consumer()
        _, done = self.pump(consumer)
        assert consumer.producer is not None
        consumer.producer.resumeProducing()
        consumer.producer.resumeProducing()
        self.assertEqual((consumer.received, self.reader.waits), (CONTENT[:10], [10]))
        self.reader.arrive(len(CONTENT))
        self.successResultOf(done)

    def test_given_up_while_it_waits(self) -> None:
        """
        Going away, and cancelling, gives up the wait too.
        """
        self.reader.arrive(10)
        for number, end in enumerate(("stopProducing", "cancel"), 1):
            consumer = Consumer()
            pump, done = self.pump(consumer)
            self.assertTrue(self.reader.waiting)
            if end == "cancel":
                done.cancel()
                self.failureResultOf(done, CancelledError)
            else:
                pump.stopProducing()
                self.lost(done)
            self.assertEqual(self.reader.cancelled, number)
            self.assert_over(consumer)

    def test_reader_fails(self) -> None:
        """
        When the reader fails, before the first byte or later, the pump fails with that very error, and knows how far
        it came.
        """
        for there in (0, 1500):
            self.reader = ScriptedReader(self, CONTENT, there)
            consumer = Consumer()
            pump, done = self.pump(consumer)
            self.assertNoResult(done)
            error = SourcesFailed("all of them")
            self.reader.fail(error)
            self.assertIs(self.failureResultOf(done).value, error)
            self.assertEqual((consumer.received, pump.offset), (CONTENT[:there], there))
            self.assert_over(consumer)

    def test_reader_has_failed_already(self) -> None:
        """
        A wait that fails at once is as good.
        """
        self.reader = ScriptedReader(self, CONTENT, 1500)
        self.reader.fail(SourcesFailed("all of them"))
        consumer = Consumer()
        _, done = self.pump(consumer)
        self.failureResultOf(done, SourcesFailed)
        self.assertEqual(consumer.received, CONTENT[:1500])
        self.assert_over(consumer)

    def test_reader_fails_while_paused(self) -> None:
        """
        A reader's failure reaches a consumer that has paused.
        """
        self.reader.arrive(10)
        consumer = Pausing()
        _, done = self.pump(consumer)
        consumer.go_on()
        assert consumer.producer is not None
        consumer.producer.pauseProducing()
        self.reader.fail(DiskFailed("full"))
        self.failureResultOf(done, DiskFailed)
        self.assert_over(consumer)

    def test_file_shrinks(self) -> None:
        """
        A file that is shorter than it should be is the disk's failure, and no endless loop.
        """
        for left in (0, 1500, len(CONTENT) - 1):
            self.reader = ScriptedReader(self, CONTENT)
            os.truncate(self.reader.path, left)
            consumer = Consumer()
            pump, done = self.pump(consumer)
            self.failureResultOf(done, DiskFailed)
            self.assertEqual((consumer.received, pump.offset), (CONTENT[:left], left))
            self.assert_over(consumer)

    def test_disk_refuses(self) -> None:
        """
        An error of the disk is told as such, with its cause.
        """
        cause = OSError(errno.EIO, "broken")
        self.patch(os, "preadv", Cache(cause).preadv)
        consumer = Consumer()
        _, done = self.pump(consumer)
        self.assertIs(self.failureResultOf(done, DiskFailed).value.__cause__, cause)
        self.assert_over(consumer)

    def test_half_in_the_cache(self) -> None:
        """
        Where the cache has fewer bytes than are wanted, a thread reads them all before any are sent.
        """
        cache = Cache()
        cache.stop = 300
        self.patch(os, "preadv", cache.preadv)
        threads = Threads()
        consumer = Consumer()
        _, done = self.pump(consumer, in_thread=threads)
        self.assertEqual((consumer.received, cache.asked), (b"", [0, WINDOW - 1]))
        threads.run()
        self.assertEqual(consumer.received, CONTENT[:WINDOW])
        done.cancel()
        self.failureResultOf(done, CancelledError)
