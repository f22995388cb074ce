"""
Tests for L{distributor.transfer.passage}, against storage nodes in memory.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from distributor.devnet import Cut, Ending, Fault
from distributor.devnet.faults import flipped
from distributor.model import ByteRange, ContentMismatch, FaultKind, SourcesFailed
from distributor.transfer import HashLine, Passage, feed
from tests.stored import in_thread
from tests.transfer.test_disk_writer import Jobs
from tests.upstream import TIMEOUT_S, Upstream, payload

CONTENT = payload(300_000)


class PassageTests(SynchronousTestCase):
    """
    One run of bytes, passed through to one reader.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.upstream = Upstream(self, self.clock, CONTENT, count=2)
        self.transport = StringTransport()
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def passage(self, start: int = 0, stop: int = len(CONTENT), in_thread: Any = in_thread) -> Passage:
        """
        One that knows what stands before its run.
        """
        hasher = self.upstream.listing.object.content_hash.hasher()
        hasher.update(CONTENT[:start])
        line = HashLine(hasher, in_thread)
        passage = Passage(self.upstream.listing, ByteRange(start, stop), self.upstream.client, self.clock, line)
        self.addCleanup(passage.close)
        return passage

    def ready(self, passage: Passage) -> Deferred[None]:
        """
        Let it get as far as its first byte.
        """
        ready = passage.ready()
        self.upstream.flush()
        return ready

    def sent(self, passage: Passage) -> Deferred[None]:
        """
        Let it send what it can.
        """
        sent = passage.ready().addCallback(lambda _: passage.send_to(self.transport))
        self.upstream.flush()
        return sent

    def hashed_later(self, start: int = 0) -> Deferred[None]:
        """
        Let it send what it can before the hash is known, and then the hash.
        """
        jobs = Jobs()
        sent = self.sent(self.passage(start, in_thread=jobs))
        while jobs.waiting:
            jobs.run()
        return sent

    def test_whole(self) -> None:
        """
        The whole object passes, and its producer is gone at the end.
        """
        passage = self.passage()
        self.assertIsNone(self.successResultOf(self.sent(passage)))
        self.assertTrue(self.transport.value() == CONTENT)
        self.assertIsNone(self.transport.producer)
        self.assertEqual(self.upstream.ranges, [None])

    def test_a_range_is_asked_for_as_a_range(self) -> None:
        """
        Nothing but the run is asked for.
        """
        self.assertIsNone(self.successResultOf(self.sent(self.passage(1000, 2000))))
        self.assertEqual((self.transport.value(), self.upstream.ranges), (CONTENT[1000:2000], ["bytes=1000-1999"]))

    def test_range_ignored(self) -> None:
        """
        Of a node that ignores Range, what stands around the run is passed over.
        """
        self.upstream.nodes[0].faults.always = Fault(ignore_range=True)
        self.assertIsNone(self.successResultOf(self.sent(self.passage(100_000, 200_000))))
        self.assertTrue(self.transport.value() == CONTENT[100_000:200_000])

    def test_failover(self) -> None:
        """
        When a node breaks off, another one goes on from the missing byte, and the reader does not notice.
        """
        self.upstream.nodes[0].faults.always = Fault(cut=Cut(100_000, Ending.CLOSE))
        self.assertIsNone(self.successResultOf(self.sent(self.passage())))
        self.assertTrue(self.transport.value() == CONTENT)
        self.assertEqual(self.upstream.ranges, [None, "bytes=100000-299999"])

    def test_nobody_has_it(self) -> None:
        """
        When a whole round of nodes has failed before the first byte, that is told before anything is sent.
        """
        for node in self.upstream.nodes:
            node.faults.always = Fault(status=404)
        self.failureResultOf(self.ready(self.passage()), SourcesFailed)

    def test_nobody_goes_on(self) -> None:
        """
        When none can go on in the middle, the end is an error, and what was sent is right as far as it goes.
        """
        self.upstream.nodes[0].faults.next.append(Fault(cut=Cut(100_000, Ending.RESET)))
        for node in self.upstream.nodes:
            node.faults.always = Fault(status=500)
        sent = self.sent(self.passage())
        self.clock.advance(1)
        self.upstream.flush()
        self.failureResultOf(sent, SourcesFailed)
        self.assertEqual(len(self.transport.value()), 100_000)
        self.assertTrue(CONTENT.startswith(self.transport.value()))
        self.assertIsNone(self.transport.producer)

    def test_fails_between_ready_and_send(self) -> None:
        """
        An end that comes before the reader is there is told as soon as it is.
        """
        for node in self.upstream.nodes:
            node.faults.next.append(Fault(cut=Cut(10, Ending.STALL)))
            node.faults.always = Fault(status=500)
        passage = self.passage()
        self.successResultOf(self.ready(passage))
        passage.close()
        self.failureResultOf(passage.send_to(self.transport))
        self.assertIsNone(self.transport.producer)

    def test_why_it_failed_between(self) -> None:
        """
        Where it was the storage nodes, who comes then is told so.
        """
        self.upstream.nodes[0].faults.next.append(Fault(cut=Cut(10, Ending.RESET)))
        for node in self.upstream.nodes:
            node.faults.always = Fault(status=500)
        passage = self.passage()
        self.successResultOf(self.ready(passage))
        self.clock.advance(1)
        self.upstream.flush()
        self.failureResultOf(passage.send_to(self.transport), SourcesFailed)

    def test_a_wrong_byte(self) -> None:
        """
        A whole object with a wrong byte anywhere is not sent to its end.
        """
        for position in (0, 150_000, len(CONTENT) - 1):
            self.upstream = Upstream(self, self.clock, CONTENT)
            self.transport.clear()
            self.upstream.nodes[0].faults.next.append(Fault(flip_at=position))
            self.failureResultOf(self.hashed_later(), ContentMismatch)
            self.assertEqual(len(self.transport.value()), len(CONTENT) - 1)

    def test_evidence(self) -> None:
        """
        A node that gave all of what passed through wrongly is reported, with what that hashes to; one that gave a part
        is not, since it need not have been that part.
        """
        self.upstream.nodes[0].faults.next.append(Fault(flip_at=5))
        self.failureResultOf(self.hashed_later(), ContentMismatch)
        [evidence] = self.upstream.reported
        wrong = self.upstream.listing_of(flipped(CONTENT, 0, 5)).object.content_hash
        self.assertEqual((evidence.kind, evidence.bucket, evidence.bytes), (FaultKind.WRONG_HASH, "0", len(CONTENT)))
        expected = str(self.upstream.listing.object.content_hash)
        self.assertEqual((evidence.expected, evidence.got), (expected, str(wrong)))
        for node in self.upstream.nodes:
            node.faults.next.append(Fault(flip_at=200_000))
        self.failureResultOf(self.hashed_later(100_000), ContentMismatch)
        self.assertEqual(self.upstream.reported, [evidence])

    def test_slow_to_answer(self) -> None:
        """
        Where the first node takes its time, another one is asked as well, and passes.
        """
        self.upstream.nodes[0].faults.always = Fault(hang=True)
        sent = self.sent(self.passage())
        self.clock.advance(1.0)
        self.upstream.flush()
        self.assertIsNone(self.successResultOf(sent))
        self.assertTrue(self.transport.value() == CONTENT)
        self.assertEqual(self.upstream.ranges, [None, None])

    def test_a_wrong_byte_behind_a_known_beginning(self) -> None:
        """
        A run that goes on where something else left off is verified together with that.
        """
        self.upstream.nodes[0].faults.next.append(Fault(flip_at=200_000))
        self.failureResultOf(self.hashed_later(100_000), ContentMismatch)
        self.assertEqual(len(self.transport.value()), 199_999)

    def test_the_last_byte_waits_for_the_hash(self) -> None:
        """
        As long as the hash is being computed, the last byte is not sent.
        """
        jobs = Jobs()
        passage = self.passage(in_thread=jobs)
        sent = self.sent(passage)
        self.assertTrue(self.transport.value() == CONTENT[:-1])
        while jobs.waiting:
            jobs.run()
        self.assertIsNone(self.successResultOf(sent))
        self.assertTrue(self.transport.value() == CONTENT)

    def test_a_run_of_the_last_byte(self) -> None:
        """
        Where there is nothing but the last byte, readiness waits for the hash.
        """
        passage = self.passage(len(CONTENT) - 1)
        self.assertIsNone(self.successResultOf(self.sent(passage)))
        self.assertEqual(self.transport.value(), CONTENT[-1:])
        for node in self.upstream.nodes:
            node.faults.next.append(Fault(flip_at=len(CONTENT) - 1))
        self.failureResultOf(self.ready(self.passage(len(CONTENT) - 1)), ContentMismatch)

    def test_media_type(self) -> None:
        """
        The first bytes tell the type of what is passed through, too.
        """
        png = b"\x89PNG\r\n\x1a\n" + CONTENT
        self.upstream = Upstream(self, self.clock, png)
        passage = Passage(self.upstream.listing, ByteRange(0, len(png)), self.upstream.client, self.clock, None)
        self.successResultOf(self.ready(passage))
        self.assertEqual(passage.media_type, "image/png")
        passage.close()

    def test_reader_leaves(self) -> None:
        """
        When the reader goes away, the storage node is left alone.
        """
        self.upstream.nodes[0].faults.always = Fault(cut=Cut(100_000, Ending.STALL))
        passage = self.passage()
        sent = self.sent(passage)
        assert self.transport.producer is not None
        self.transport.producer.stopProducing()
        self.failureResultOf(sent, ConnectionLost)

    def test_pausing_pauses_the_storage_node(self) -> None:
        """
        While the reader takes nothing, nothing is written, and the node's silence is not held against it.
        """
        written: list[bytes] = []

        class Slow(StringTransport):
            def write(self, data: bytes) -> None:
                written.append(data)
                assert self.producer is not None
                self.producer.pauseProducing()

        self.transport = transport = Slow()
        self.upstream.nodes[0].faults.always = Fault(cut=Cut(100_000, Ending.STALL))
        sent = self.sent(self.passage())
        self.assertEqual(len(written), 1)
        self.clock.advance(10 * TIMEOUT_S)
        self.assertNoResult(sent)
        self.assertEqual(len(self.upstream.requests), 1)
        for _ in range(10):
            if transport.producer is not None:
                transport.producer.resumeProducing()
            self.clock.advance(TIMEOUT_S)
            self.upstream.flush()
        self.assertTrue(b"".join(written) == CONTENT)
        self.assertIsNone(self.successResultOf(sent))


class HashLineTests(SynchronousTestCase):
    """
    A hash that is fed in a thread.
    """

    def test_in_order(self) -> None:
        """
        Whatever is fed while a job runs is taken in after it, in order; the digest is that of all.
        """
        jobs = Jobs()
        content_hash = Upstream(self, Clock(), CONTENT).listing.object.content_hash
        line = HashLine(content_hash.hasher(), jobs)
        for start in range(0, len(CONTENT), 100_000):
            line.feed(CONTENT[start : start + 100_000])
        digest = line.digest()
        self.assertEqual(len(jobs.waiting), 1)
        while jobs.waiting:
            self.assertNoResult(digest)
            jobs.run()
        self.assertEqual(self.successResultOf(digest), content_hash.digest)

    def test_feed(self) -> None:
        """
        The beginning of a file can be taken in; one that is too short cannot.
        """
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(CONTENT)
        fd = os.open(path, os.O_RDONLY)
        self.addCleanup(os.close, fd)
        hash = Upstream(self, Clock(), CONTENT).listing.object.content_hash
        hasher = hash.hasher()
        feed(hasher, fd, len(CONTENT))
        self.assertEqual(hasher.digest(), hash.digest)
        self.assertRaises(OSError, feed, hash.hasher(), fd, len(CONTENT) + 1)
