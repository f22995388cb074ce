"""
Tests for L{distributor.web.fast.visit}: files that are not what they were, and disks that are slow or broken.
"""

from __future__ import annotations

import errno
import os
from functools import partial
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent

from distributor.devnet import Fault
from tests.delivery.readers import Cache, Threads
from tests.delivery.sockets import Line
from tests.web.fast.hits import LARGE, SMALL, SMALL_ASSET, FastCase
from tests.web.node_in_memory import ASSET, answers


class DiskTests(FastCase):
    """
    Files that are not what they were, and disks that are slow or broken.
    """

    def test_evicted(self) -> None:
        """
        What is evicted under a reader is read to its end.
        """
        line = self.line()
        self.ask(line)
        self.reactor.settle()
        self.successResultOf(Deferred.fromCoroutine(self.node.store.remove("7")))
        self.assertFalse(self.file.exists())
        [answer] = self.got(line, "GET")
        self.assertTrue(answer.body == LARGE)

    def test_truncated(self) -> None:
        """
        What has been cut off a file comes from a storage node; if none gives it, the connection is cut.
        """
        for there in (True, False):
            with self.subTest(there=there):
                line = self.line()
                self.ask(line)
                self.reactor.settle()
                os.truncate(self.file, 300_000)
                if not there:
                    self.node.upstream.nodes[0].faults.always = Fault(status=500)
                    line.take_until(partial(self.settled, line))
                    line.take_to_the_end()
                    self.assertEqual(line.ended, "reset")
                    self.assertFalse(answers(line.received, ["GET"])[0].whole)
                else:
                    line.take_until(partial(self.settled, line))
                    [answer] = self.got(line, "GET")
                    self.assertTrue(answer.body == LARGE)
                self.file.write_bytes(LARGE)

    def settled(self, line: Line) -> bool:
        """
        Let the storage node answer, too.
        """
        self.node.settle()
        come = answers(line.received, ["GET"])
        return line.ended is not None or bool(come and len(come[0].body) >= 300_000)

    def test_looked_at_again(self) -> None:
        """
        A file that could not be read is opened anew next time, and found to be what it is.
        """
        os.truncate(self.file, 300_000)
        self.assertTrue(self.node.ask().body == LARGE)
        with capturedLogs() as events:
            self.assertTrue(self.node.ask().body == LARGE)
            self.assertIn("object 7 is lost", "\n".join(formatEvent(event) for event in events))
        self.assertEqual(self.node.ask()["X-Cache"], "hit")

    def test_broken(self) -> None:
        """
        What a broken disk does not give comes from a storage node.
        """

        def broken(*_: object) -> int:
            raise OSError(errno.EIO, "broken")

        with mock.patch("os.preadv", broken):
            for target, content in ((ASSET, LARGE), (SMALL_ASSET, SMALL)):
                answer = self.node.ask(target)
                self.assertTrue(answer.body == content)

    def test_cold(self) -> None:
        """
        While a disk is waited for, those whose object is in memory have their answers.
        """
        for target, content in ((ASSET, LARGE), (SMALL_ASSET, SMALL)):
            self.switch.threads = threads = Threads()
            cold, warm = self.line(), self.line()
            with mock.patch("os.preadv", Cache().preadv):
                self.ask(cold, target)
            self.ask(warm, SMALL_ASSET)
            [answer] = self.got(warm, "GET")
            self.assertTrue(answer.body == SMALL)
            cold.take(1_000_000)
            self.assertLess(len(cold.received), 4000, "only the head can have come")
            self.assertEqual([job.__name__ for job, _ in threads.jobs], ["warm"])
            threads.run()
            self.switch.threads = None
            [answer] = self.got(cold, "GET")
            self.assertTrue(answer.body == content)

    def test_opened_in_a_thread(self) -> None:
        """
        A file that nobody has open is opened in a thread; a client that leaves meanwhile leaves nothing behind.
        """
        for stays in (True, False):
            self.node.store.files.distrust("7")
            threads = Threads()
            self.patch(self.node.store.files._disk, "_in_thread", threads)
            line, other = self.line(), self.line()
            self.ask(line)
            self.ask(line, SMALL_ASSET)
            self.ask(other, SMALL_ASSET)
            self.assertTrue(self.got(other, "GET")[0].whole)
            self.assertEqual(line.take(1000), b"")
            if not stays:
                line.hang_up()
                self.reactor.settle()
                self.successResultOf(self.node.gate.empty())
            while threads.jobs:
                threads.run()
            if stays:
                self.assertTrue([each.body for each in self.got(line, "GET", "GET")] == [LARGE, SMALL])
            self.reactor.settle()
            self.assertNotIn("7", self.node.store.files)
        self.assertEqual(self.ordinary, [])

    def test_cannot_be_opened(self) -> None:
        """
        Where a file cannot be opened, the object is fetched for the request that has found that out.
        """
        self.node.store.files.distrust("7")
        self.file.unlink()
        line = self.line()
        self.ask(line)
        line.take_until(lambda: self.settled(line))
        self.assertEqual(self.got(line, "GET")[0]["X-Cache"], "miss")
        self.assertEqual(self.ordinary, [])
