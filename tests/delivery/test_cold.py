"""
Tests for L{distributor.delivery.pump}: bytes that are not in the page cache.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from distributor.delivery import pump
from distributor.delivery.page_cache import probe, warm
from distributor.delivery.pump import ReadingPump, SendfilePump
from distributor.model import DiskFailed, SourcesFailed
from tests.delivery.consumers import Consumer, Pausing
from tests.delivery.readers import Cache, ScriptedReader, Threads, payload
from tests.delivery.test_sendfile import CONTENT as LARGE
from tests.delivery.test_sendfile import SendfileCase
from tests.stored import in_thread

WINDOW = 1000
CONTENT = payload(3 * WINDOW + 500)


class WarmTests(SynchronousTestCase):
    """
    L{warm}.
    """

    def setUp(self) -> None:
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(LARGE)
            os.fsync(file.fileno())
        self.fd = os.open(path, os.O_RDONLY)

    def test_reads(self) -> None:
        """
        What was asked for is in the page cache afterwards, as far as the file goes, and the file is where it was.
        """
        os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)
        warm(self.fd, 100_000, len(LARGE) + 1000)
        probe(self.fd, 100_000, len(LARGE))
        warm(self.fd, len(LARGE), len(LARGE) + 1)
        self.assertEqual(os.lseek(self.fd, 0, os.SEEK_CUR), 0)
        os.close(self.fd)

    def test_refused(self) -> None:
        """
        What cannot be read is told.
        """
        os.close(self.fd)
        self.assertRaises(OSError, warm, self.fd, 0, 1)


class ColdReadTests(SynchronousTestCase):
    """
    Bytes that are not in the page cache are read by a thread first, while the reactor goes on.
    """

    def setUp(self) -> None:
        self.patch(ReadingPump, "window", WINDOW)
        self.reader = ScriptedReader(self, CONTENT)
        self.threads = Threads()
        self.consumer: Any = Pausing()

    def run_pump(self, fails_with: OSError | None = None) -> tuple[ReadingPump, Deferred[None]]:
        """
        A pump over a cold file.
        """
        self.cache = Cache(fails_with)
        self.patch(os, "preadv", self.cache.preadv)
        running = ReadingPump(self.reader, 0, len(CONTENT), self.threads, self.consumer)
        return running, running.run()

    def test_cold(self) -> None:
        """
        Each window is read in a thread once, then sent without asking the cache again, which may have lost it.
        """
        _, done = self.run_pump()
        for offset in range(0, len(CONTENT), WINDOW):
            length = min(WINDOW, len(CONTENT) - offset)
            self.assertEqual(self.threads.jobs, [(warm, (self.reader.fd, offset, offset + length))])
            self.assertEqual(len(self.consumer.received), offset)
            self.threads.run()
            self.assertEqual(self.consumer.received, CONTENT[: offset + length])
            self.consumer.go_on()
        self.successResultOf(done)
        self.assertEqual(self.cache.asked, [0, WINDOW, 2 * WINDOW, 3 * WINDOW])

    def test_file_system_that_cannot_tell(self) -> None:
        """
        Where the file system does not know C{RWF_NOWAIT}, threads read all.
        """
        self.consumer = Consumer()
        _, done = self.run_pump(OSError(errno.EOPNOTSUPP, "not supported"))
        while self.threads.jobs:
            self.threads.run()
        self.successResultOf(done)
        self.assertEqual(self.consumer.received, CONTENT)

    def test_at_once(self) -> None:
        """
        A thread that is done at once is no matter.
        """
        self.patch(os, "preadv", Cache().preadv)
        consumer = Consumer()
        self.successResultOf(ReadingPump(self.reader, 0, len(CONTENT), in_thread, consumer).run())
        self.assertEqual(consumer.received, CONTENT)

    def test_asked_meanwhile(self) -> None:
        """
        Whoever pauses or resumes the pump while the thread reads gets nothing early, and no second thread is asked.
        """
        running, done = self.run_pump()
        running.resumeProducing()
        running.pauseProducing()
        self.assertEqual(len(self.threads.jobs), 1)
        self.threads.run()
        self.assertEqual(self.consumer.received, b"")
        running.resumeProducing()
        self.assertEqual(self.consumer.received, CONTENT[:WINDOW])
        done.cancel()
        self.failureResultOf(done, CancelledError)

    def test_disk_fails_in_the_thread(self) -> None:
        """
        The disk's error is told as such.
        """

        def broken(fd: int, start: int, stop: int) -> None:
            raise OSError(errno.EIO, "broken")

        self.patch(pump, "warm", broken)
        _, done = self.run_pump()
        self.threads.run()
        self.failureResultOf(done, DiskFailed)
        self.assertEqual((self.consumer.registered, self.consumer.unregistered), (1, 1))

    def given_up(self, end: Callable[[ReadingPump, Deferred[None]], object], error: type[Exception]) -> None:
        running, done = self.run_pump()
        end(running, done)
        self.failureResultOf(done, error)
        self.assertEqual((self.consumer.unregistered, self.threads.cancelled), (1, 1))
        # The thread cannot be stopped; by the time it is done, the reader may be closed.
        self.reader.close()
        self.threads.run()
        self.assertEqual(self.consumer.received, b"")

    def test_cancelled_meanwhile(self) -> None:
        """
        A pump that is cancelled while a thread reads ends at once, and does not look at what was read.
        """
        self.given_up(lambda running, done: done.cancel(), CancelledError)

    def test_reader_gone_meanwhile(self) -> None:
        """
        The same when the reader goes away.
        """
        self.given_up(lambda running, done: running.stopProducing(), ConnectionLost)


class ColdSendfileTests(SendfileCase):
    """
    Before the kernel copies, a pump makes sure that it need not wait for the disk.
    """

    def setUp(self) -> None:
        super().setUp()
        self.threads = Threads()
        self.cache = Cache()
        self.patch(os, "preadv", self.cache.preadv)

    def test_cold(self) -> None:
        """
        Each window is read by a thread once, and nothing of it is sent before.
        """
        self.patch(SendfilePump, "window", 800_000)
        running, done = self.pump(in_thread=self.threads)
        for start, stop in ((0, 800_000), (800_000, 1_600_000), (1_600_000, 2_000_000)):
            self.line.take_until(lambda: bool(self.threads.jobs))
            self.assertEqual(self.threads.jobs, [(warm, (self.reader.fd, start, stop))])
            self.assertEqual(running.offset, start)
            self.assertEqual(self.reactor.getWriters(), [], "the reactor has nothing to do for it")
            self.cache.stop = stop
            self.threads.run()
        self.line.take_until(lambda: len(self.line.received) == len(LARGE))
        self.successResultOf(done)
        self.assertTrue(self.line.received == LARGE)

    def test_half_cold(self) -> None:
        """
        A window whose beginning is in the cache is cold all the same; and while one is being sent, the next one is left
        alone, however many turns it takes.
        """
        self.patch(SendfilePump, "window", 800_000)
        self.cache.stop = 800_001
        running, done = self.pump(in_thread=self.threads)
        self.line.take_until(lambda: bool(self.threads.jobs))
        self.assertEqual(running.offset, 800_000)
        step = 128 * 1024
        self.assertEqual(self.cache.asked[:8], [*range(0, 800_000, step), 799_999])
        self.assertEqual(self.cache.asked[-2:], [800_000, 800_000 + step])
        self.assertTrue(all(offset < 800_000 for offset in self.cache.asked[:-2]))
        self.assertEqual(len(self.threads.jobs), 1)
        done.cancel()
        self.failureResultOf(done, CancelledError)

    def test_forgotten(self) -> None:
        """
        What the cache forgets while the socket is full is read again, no more than what is left of the window.
        """
        self.patch(SendfilePump, "window", 800_000)
        self.cache.stop = 800_000
        running, done = self.pump(in_thread=self.threads)
        self.fill(running)
        self.cache.stop = 0
        self.line.take_until(lambda: bool(self.threads.jobs))
        came = running.offset
        self.assertEqual(self.threads.jobs, [(warm, (self.reader.fd, came, 800_000))])
        self.threads.run()
        self.assertGreater(running.offset, came, "what a thread has just read was not sent")
        done.cancel()
        self.failureResultOf(done, CancelledError)

    def test_disk_fails_in_the_thread(self) -> None:
        """
        The disk's error is told as such; the connection is still good.
        """

        def broken(*_: object) -> None:
            raise OSError(errno.EIO, "broken")

        self.patch(pump, "warm", broken)
        running, done = self.pump(in_thread=self.threads)
        self.reactor.settle()
        self.threads.run()
        self.failureResultOf(done, DiskFailed)
        self.assertEqual(running.offset, 0)
        self.assert_given_back()

    def test_disk_fails_in_the_probe(self) -> None:
        """
        So is one that shows in the probe.
        """
        self.cache._fails_with = OSError(errno.EIO, "broken")
        _, done = self.pump(in_thread=self.threads)
        self.reactor.settle()
        self.failureResultOf(done, DiskFailed)
        self.assertEqual(self.threads.jobs, [])

    def test_reader_that_fails_later(self) -> None:
        """
        Bytes that are there are sent before a failure is told.
        """
        self.cache.stop = len(LARGE)
        self.reader = ScriptedReader(self, LARGE, 1_000_000)
        self.reader.fail(SourcesFailed("all of them"))
        _, done = self.pump(in_thread=self.threads)
        self.line.take_until(lambda: done.called)
        self.failureResultOf(done, SourcesFailed)
        self.line.take_until(lambda: len(self.line.received) == 1_000_000)
