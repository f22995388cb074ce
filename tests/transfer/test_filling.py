"""
Tests for L{distributor.transfer.filling}: the network, the disk and the hash, each at a pace of its own.
"""

from __future__ import annotations

from pathlib import Path
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from distributor.cache import Allocation
from distributor.model import ByteRange, DataObject, FaultKind, Listing, StorageNode
from distributor.observe import Sparse
from distributor.transfer import Download, DownloadReader
from distributor.transfer.filling import HIGH_WATER, LOW_WATER
from distributor.transfer.records import RECORD_EVERY_S
from tests.cache.stores import Jobs, all_rows, hash_of
from tests.stored import in_thread, started_store
from tests.transfer.arriving import Answer, ArrivingNodes
from tests.upstream import payload

MIB = 1024 * 1024
SIZE = 12 * MIB
CONTENT = payload(SIZE)
TIMEOUT_S = 5.0
PATIENCE_S = 60.0
A, B, C = (StorageNode(name, f"http://{name}.example/") for name in "abc")


def spoilt(position: int) -> bytes:
    """
    The object with one byte that is wrong.
    """
    return CONTENT[:position] + bytes((CONTENT[position] ^ 1,)) + CONTENT[position + 1 :]


class FillingCase(SynchronousTestCase):
    """
    A download whose answers, and perhaps whose disk, do what the test says.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.directory = Path(self.mktemp())
        self.store = started_store(self, self.clock, directory=self.directory)
        self.nodes = ArrivingNodes(self.clock, CONTENT, TIMEOUT_S)
        self.jobs = Jobs()
        self.addCleanup(lambda: self.assertEqual((self.clock.getDelayedCalls(), self.nodes.taken), ([], 0)))

    def begin(self, *sources: StorageNode, slow_disk: bool = False, read: bool = True) -> Download:
        """
        A download that has asked for the first bytes.
        """
        object = DataObject("7", SIZE, hash_of(CONTENT), "video/mp4")
        threads = self.jobs if slow_disk else in_thread
        trouble = Sparse(self.clock, Logger())
        self.download = Download(
            Listing(object, sources or (A,)), self.store, self.nodes, self.clock, threads, trouble, PATIENCE_S
        )
        if read:
            self.reader = self.read(ByteRange(0, SIZE))
        self.over = Deferred.fromCoroutine(self.download.run())
        self.clock.advance(0)
        return self.download

    def read(self, wanted: ByteRange) -> DownloadReader:
        """
        One more reader.
        """
        reader = self.download.reader([wanted])
        self.addCleanup(reader.close)
        self.clock.advance(0)
        return reader

    def stop(self) -> None:
        """
        Leave off.
        """
        self.download.stop()
        self.jobs.run_all()
        self.successResultOf(self.over)

    def answer(self, length: int | None = None, *, content: bytes = CONTENT, whole: bool = False) -> Answer:
        """
        Answer the last request.

        @param length: how much of it; all, by default.
        """
        answer = self.nodes.answers[-1]
        answer.content = content
        answer.accept(whole=whole)
        if length is None:
            answer.give_all()
        else:
            answer.give(length)
        self.clock.advance(0)
        return answer


class BackPressureTests(FillingCase):
    """
    A disk that is slower than the network.
    """

    def test_held_and_released(self) -> None:
        """
        With more than a few MiB waiting for the disk the network is held, until the disk has caught up.
        """
        self.begin(slow_disk=True)
        answer = self.answer(HIGH_WATER)
        self.assertFalse(answer.paused)
        answer.give(1)
        self.assertTrue(answer.paused)
        self.jobs.run()
        # What came while the first job ran is in the second.
        self.assertTrue(answer.paused or self.download.extents.runs[0][1] >= HIGH_WATER - LOW_WATER)
        self.jobs.run_all()
        self.assertFalse(answer.paused)
        self.assertEqual(len(self.nodes.asked), 1)
        self.stop()

    def test_memory(self) -> None:
        """
        However fast the network is, no more than that and what one connection had in its buffer waits for the disk.
        """
        self.begin(slow_disk=True)
        answer = self.answer(1)
        most = 0
        while len(self.download.extents) < SIZE - 1:
            while not answer.paused and self.nodes.taken:
                answer.give(65536)
            most = max(most, self.download._filling._writer.queued)  # type: ignore[union-attr]
            self.jobs.run()
            self.clock.advance(0)
        self.jobs.run_all()
        self.successResultOf(self.over)
        self.assertLessEqual(most, HIGH_WATER + 65536)
        self.assertEqual((len(self.nodes.asked), self.reader.available(0)), (1, SIZE))

    def test_paused_by_the_plan_as_well(self) -> None:
        """
        A base that the plan has paused stays so when the disk has caught up; the segment that is waited for goes on.
        """
        self.begin(slow_disk=True)
        self.reader.close()
        base = self.answer(MIB)
        self.read(ByteRange(8 * MIB, SIZE))
        far = self.answer(MIB)
        self.assertEqual((base.paused, far.paused), (True, False))
        far.give(HIGH_WATER - MIB)
        self.assertEqual((base.paused, far.paused), (True, True))
        self.jobs.run_all()
        self.clock.advance(0)
        # All that was wanted is there by now, and the base has its turn.
        self.assertEqual((base.paused, len(self.nodes.asked)), (False, 2))
        self.stop()


class WithheldTests(FillingCase):
    """
    The last byte, which nobody gets before the whole has been verified.
    """

    def test_crawling_rest(self) -> None:
        """
        Who waits for it waits for all that is missing: a node that crawls is replaced, wherever in the object that is.
        """
        self.begin(A, B, read=False)
        [rest] = self.nodes.answers
        rest.accept()
        self.nodes.standings.note_rate(B, 1_000_000_000)
        reader = self.read(ByteRange(SIZE - 1, SIZE))
        self.answer()
        waiting = reader.wait(SIZE - 1)
        self.assertNoResult(waiting)
        for _ in range(60):
            if not rest.dropped:
                rest.give(10)
            self.clock.advance(0.125)
        self.assertTrue(rest.dropped)
        self.assertEqual(self.nodes.answers[-1].node, B)
        self.answer()
        self.successResultOf(waiting)
        self.successResultOf(self.over)


class BlameTests(FillingCase):
    """
    Copies that turn out wrong, and those that do not come.
    """

    def distrusted(self) -> list[str]:
        """
        Who is.
        """
        return [node.id for node in (A, B, C) if self.nodes.standings.distrusts(node)]

    def test_what_came_again_is_not_its(self) -> None:
        """
        A node that ignored C{Range} is not blamed for what was there before it came.
        """
        self.begin(A, B, C)
        self.nodes.standings.remember_ignoring_ranges(C)
        self.answer(MIB, content=spoilt(5)).break_off()
        self.clock.advance(0)
        self.nodes.standings.remember_ignoring_ranges(A)
        self.answer(whole=True)
        self.assertEqual([node for node, _, _ in self.nodes.asked], ["a", "b", "c"])
        self.assertEqual(self.distrusted(), [])
        self.answer()
        self.successResultOf(self.over)
        self.assertEqual(self.distrusted(), ["a"])
        # What it gave hashes to something only together with what others gave.
        self.assertEqual(self.evidence, [("a", FaultKind.WRONG_HASH, str(hash_of(CONTENT)), "", MIB)])

    @property
    def evidence(self) -> list[tuple[str, FaultKind, str, str, int]]:
        """
        That of wrong bytes: against whom, what was expected, what came, and how many bytes.
        """
        return [
            (fault.bucket, fault.kind, fault.expected, fault.got, fault.bytes)
            for fault in self.nodes.reported
            if fault.kind is FaultKind.WRONG_HASH
        ]

    def test_one_that_gave_all(self) -> None:
        """
        The evidence against a node that gave all of a wrong copy tells what that hashes to.
        """
        self.begin(A, B)
        wrong = spoilt(5)
        self.answer(content=wrong)
        self.answer()
        self.successResultOf(self.over)
        expected, got = str(hash_of(CONTENT)), str(hash_of(wrong))
        self.assertEqual(self.evidence, [("a", FaultKind.WRONG_HASH, expected, got, SIZE)])

    def test_a_second_copy_that_does_not_come(self) -> None:
        """
        A node that gives a part of another copy, and then no more, is not blamed; the next one is asked for all of it.
        """
        self.begin(A, B, C)
        self.answer(content=spoilt(5))
        self.assertEqual(self.distrusted(), ["a"])
        self.answer(MIB).break_off()
        while self.nodes.asked[-1][0] == "b":
            self.assertLess(self.clock.seconds(), 2 * PATIENCE_S)
            self.clock.advance(1)
            if self.nodes.asked[-1][0] == "b" and not self.nodes.answers[-1].head.called:
                self.nodes.answers[-1].refuse()
                self.clock.advance(0)
        self.assertEqual(self.nodes.asked[-1], ("c", 0, SIZE))
        self.assertEqual((self.reader.available(0), self.download.progress().state), (0, "replacing"))
        self.answer()
        self.successResultOf(self.over)
        self.assertEqual((self.distrusted(), self.reader.available(0)), (["a"], SIZE))

    def test_a_wrong_part_from_before(self) -> None:
        """
        Where the wrong byte was on the disk, the node that gave the rest is asked for all, and is not blamed.
        """
        self.begin(A)
        self.answer(MIB, content=spoilt(5))
        self.stop()
        self.reader.close()
        self.begin(A)
        self.answer()
        self.assertEqual(self.nodes.asked, [("a", 0, SIZE), ("a", MIB, SIZE), ("a", 0, SIZE)])
        self.answer()
        self.successResultOf(self.over)
        self.assertEqual((self.distrusted(), self.evidence, self.reader.available(0)), ([], [], SIZE))


class RecordTests(FillingCase):
    """
    What a node that is killed can go on from.
    """

    def rows(self) -> list[tuple[str, tuple[tuple[int, int], ...], int]]:
        """
        Of each object in the index: what there is of it, and how many read it.
        """
        rows = self.successResultOf(Deferred.fromCoroutine(all_rows(self.store._index)))
        return [(row.id, row.extents, row.hits) for row in rows]

    def test_a_while_ago(self) -> None:
        """
        What came is recorded within five seconds, though nothing comes any more; and that somebody read it.
        """
        self.begin()
        self.answer(MIB)
        self.clock.advance(RECORD_EVERY_S - 1)
        self.assertEqual(self.rows(), [])
        self.clock.advance(1)
        self.assertEqual(self.rows(), [("7", ((0, MIB),), 1)])
        self.stop()

    def test_out_of_order(self) -> None:
        """
        So is what came out of order, some of it just now.
        """
        self.begin(read=False)
        base = self.answer(MIB)
        self.reader = self.read(ByteRange(8 * MIB, SIZE))
        self.answer(MIB)
        self.clock.advance(RECORD_EVERY_S - 1)
        self.reader.close()
        self.clock.advance(0)
        base.give(1)
        self.clock.advance(1)
        self.assertEqual(self.rows(), [("7", ((0, MIB + 1), (8 * MIB, 9 * MIB)), 0)])
        self.stop()

    def test_nothing_new(self) -> None:
        """
        Where nothing has come, nothing is recorded, however often somebody looks.
        """
        self.begin()
        self.answer(MIB)
        self.clock.advance(RECORD_EVERY_S)
        with mock.patch.object(Allocation, "record") as record:
            for _ in range(20):
                self.clock.advance(1)
                self.download.progressed()
        record.assert_not_called()
        self.stop()
