"""
Tests for L{distributor.transfer.disk_writer}.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from hashlib import sha256
from itertools import pairwise
from typing import Any
from unittest import mock

from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from distributor.model import DiskFailed
from distributor.transfer import disk_writer
from distributor.transfer.disk_writer import DiskWriter, Filler
from distributor.transfer.extents import Extents
from tests.stored import in_thread
from tests.upstream import MOMENT_S

PAYLOAD = random.Random(7).randbytes(10_000)


class Jobs:
    """
    A thread pool whose jobs run when the test says so.
    """

    def __init__(self) -> None:
        self.waiting: list[tuple[Deferred[Any], Callable[[], Any]]] = []

    def __call__(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        result: Deferred[Any] = Deferred()
        self.waiting.append((result, lambda: f(*args, **kwargs)))
        return result

    def run(self) -> None:
        """
        Let the oldest job run to its end.
        """
        result, job = self.waiting.pop(0)
        in_thread(job).chainDeferred(result)


class FillerTests(SynchronousTestCase):
    """
    The blocking half.
    """

    def filler(self, size: int = len(PAYLOAD)) -> Filler:
        self.fd = os.open(self.mktemp(), os.O_RDWR | os.O_CREAT)
        self.addCleanup(os.close, self.fd)
        return Filler(self.fd, size, blake3())

    @given(st.randoms(use_true_random=False), st.lists(st.integers(1, len(PAYLOAD) - 1), max_size=12))
    def test_any_order(self, order: random.Random, cuts: list[int]) -> None:
        """
        In whatever order the pieces come, the file is the object, and the hash of its prefix is always right.
        """
        edges = [0, *sorted(set(cuts)), len(PAYLOAD)]
        pieces = list(pairwise(edges))
        order.shuffle(pieces)
        filler, extents = self.filler(), Extents()
        for start, stop in pieces:
            extents = extents.add(start, stop)
            hashed = filler.fill([(start, PAYLOAD[start:stop])], extents.stop_at(0))
            self.assertEqual(hashed, extents.stop_at(0))
            self.assertEqual(filler.digest(), blake3(PAYLOAD[:hashed]).digest())
        self.assertEqual(os.pread(self.fd, len(PAYLOAD) + 1, 0), PAYLOAD)

    def test_reads_back_in_bounded_jobs(self) -> None:
        """
        A long prefix that is on disk already is hashed by several jobs, none of which reads more than its share.
        """
        self.patch(disk_writer, "READ_BACK", 3000)
        filler = self.filler()
        os.pwrite(self.fd, PAYLOAD, 0)
        self.assertEqual([filler.fill([], len(PAYLOAD)) for _ in range(4)], [3000, 6000, 9000, len(PAYLOAD)])
        self.assertEqual(filler.digest(), blake3(PAYLOAD).digest())

    def test_head(self) -> None:
        """
        The head is there as soon as the bytes that tell a media type are, and not before.
        """
        filler = self.filler()
        filler.fill([(0, PAYLOAD[:4099])], 4099)
        self.assertIsNone(filler.head)
        filler.fill([(4099, PAYLOAD[4099:5000])], 5000)
        self.assertEqual(filler.head, PAYLOAD[:4100])

    def test_head_of_a_short_object(self) -> None:
        """
        The head of an object shorter than that is all of it; of an empty one, nothing, without a job.
        """
        filler = self.filler(3)
        filler.fill([(0, b"abc")], 3)
        self.assertEqual((filler.head, self.filler(0).head), (b"abc", b""))

    def test_a_file_that_was_cut_raises(self) -> None:
        """
        A file that is shorter than what was written to it is a failure of the disk, not a loop.
        """
        filler = self.filler()
        self.assertRaises(OSError, filler.fill, [], 10)

    def test_short_writes_go_on(self) -> None:
        """
        A disk that takes a part of what it is given gets the rest.
        """
        filler = self.filler()
        self.patch(os, "pwritev", lambda fd, views, offset: os.pwrite(fd, b"".join(views)[:7], offset))
        filler.fill([(at, PAYLOAD[at : at + 5]) for at in range(0, 100, 5)], 100)
        self.assertEqual(os.pread(self.fd, 200, 0), PAYLOAD[:100])

    def test_what_follows_is_written_together(self) -> None:
        """
        Pieces that follow one upon the other are written by one call, in whatever order they came; of those that the
        system takes at once, no more than that.
        """
        self.patch(disk_writer, "_MOST_PIECES", 3)
        filler = self.filler()
        calls: list[tuple[int, int]] = []

        def pwritev(fd: int, views: list[memoryview], offset: int, real: Any = os.pwritev) -> object:
            calls.append((offset, len(views)))
            return real(fd, views, offset)

        self.patch(os, "pwritev", pwritev)
        filler.fill([(at, PAYLOAD[at : at + 10]) for at in (100, 0, 20, 110, 30, 10, 40)], 50)
        self.assertEqual(calls, [(0, 3), (30, 2), (100, 2)])
        self.assertEqual((os.pread(self.fd, 50, 0), os.pread(self.fd, 20, 100)), (PAYLOAD[:50], PAYLOAD[100:120]))
        self.assertEqual(filler.digest(), blake3(PAYLOAD[:50]).digest())


class DiskWriterTests(SynchronousTestCase):
    """
    The reactor's half.
    """

    def setUp(self) -> None:
        self.fd = os.open(self.mktemp(), os.O_RDWR | os.O_CREAT)
        self.addCleanup(os.close, self.fd)
        self.clock = Clock()
        self.jobs = Jobs()
        self.progress: list[tuple[int, int]] = []
        self.failures: list[DiskFailed] = []
        self.writer = DiskWriter(
            Filler(self.fd, len(PAYLOAD), sha256()),
            Extents(),
            self.clock,
            self.jobs,
            lambda: self.progress.append((len(self.writer.extents), self.writer.hashed)),
            self.failures.append,
            self.make_space,
        )
        self.space = 0

    async def make_space(self, size: int) -> bool:
        """
        Evict, as long as there is something to evict.
        """
        self.space -= 1
        return self.space >= 0

    def write(self, offset: int, data: bytes) -> None:
        """
        Bytes come, and nothing more for a moment.
        """
        self.writer.write(offset, data)
        self.clock.advance(MOMENT_S)

    def test_before_there_is_a_file(self) -> None:
        """
        What comes before there is a file waits, counted, and is written then; or forgotten, if that is the end.
        """
        for ends in (False, True):
            writer = DiskWriter(
                Filler(None, len(PAYLOAD), sha256()),
                Extents(),
                self.clock,
                self.jobs,
                lambda: None,
                self.failures.append,
                self.make_space,
            )
            writer.write(0, PAYLOAD[:1000])
            self.clock.advance(1)
            self.assertEqual((self.jobs.waiting, writer.queued), ([], 1000))
            if ends:
                self.successResultOf(writer.close())
            writer.open(self.fd)
            self.clock.advance(1)
            self.assertEqual(len(self.jobs.waiting), 0 if ends else 1)
            if not ends:
                self.jobs.run()
                self.assertEqual((writer.extents.runs, writer.hashed), (((0, 1000),), 1000))

    def test_one_job_takes_what_comes_in_one_moment(self) -> None:
        """
        What comes within a moment, be it in several turns of the reactor, goes into one job.
        """
        for start in range(0, 3000, 1000):
            self.writer.write(start, PAYLOAD[start : start + 1000])
            self.clock.advance(0)
        self.assertEqual((self.jobs.waiting, self.writer.queued), ([], 3000))
        self.clock.advance(MOMENT_S)
        self.jobs.run()
        self.assertEqual((self.progress, self.writer.queued, self.jobs.waiting), ([(3000, 3000)], 0, []))

    def test_one_job_at_a_time_takes_all_that_waits(self) -> None:
        """
        What comes while a job runs goes into the next one, all of it.
        """
        for start in range(0, 5000, 1000):
            self.write(start, PAYLOAD[start : start + 1000])
        self.assertEqual((len(self.jobs.waiting), self.writer.queued), (1, 5000))
        self.jobs.run()
        self.assertEqual((self.progress, self.writer.queued), ([(1000, 1000)], 4000))
        self.clock.advance(MOMENT_S)
        self.jobs.run()
        self.assertEqual((self.progress, self.writer.queued, self.jobs.waiting), ([(1000, 1000), (5000, 5000)], 0, []))

    def test_enough_does_not_wait(self) -> None:
        """
        As soon as there is enough for a job, it starts; also the next one, when it has ended.
        """
        self.patch(disk_writer, "ENOUGH", 2000)
        for start in range(0, 4000, 1000):
            self.writer.write(start, PAYLOAD[start : start + 1000])
        self.assertEqual((len(self.jobs.waiting), self.writer.queued), (1, 4000))
        self.jobs.run()
        self.assertEqual((self.progress, len(self.jobs.waiting)), ([(2000, 2000)], 1))
        self.jobs.run()
        self.assertEqual((self.progress, self.jobs.waiting), ([(2000, 2000), (4000, 4000)], []))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nothing_more_will_come(self) -> None:
        """
        Once that is said, nothing is waited for: neither for what waits already, nor for what a job has kept waiting.
        """
        self.writer.write(0, PAYLOAD[:1000])
        self.assertEqual(self.jobs.waiting, [])
        self.writer.hurry()
        self.clock.advance(0)
        self.writer.write(1000, PAYLOAD[1000:1900])
        self.jobs.run()
        self.clock.advance(0)
        self.jobs.run()
        self.assertEqual((self.progress[-1], self.clock.getDelayedCalls()), ((1900, 1900), []))

    def test_another_copy_is_not_hurried(self) -> None:
        """
        Where it starts over, more will come again.
        """
        self.writer.hurry()
        self.writer.start_over(sha256())
        self.writer.write(0, PAYLOAD[:1000])
        self.assertEqual(self.jobs.waiting, [])
        self.clock.advance(MOMENT_S)
        self.jobs.run()
        self.assertEqual(self.progress, [(1000, 1000)])

    def test_early(self) -> None:
        """
        What has come can be had as long as it is not in the file: while it waits, and while it is written; not more of
        it than is asked for, and nothing behind its end.
        """
        self.writer.write(100, PAYLOAD[100:1000])
        self.clock.advance(MOMENT_S)
        self.writer.write(2000, PAYLOAD[2000:3000])
        for offset, length, expected in (
            (100, 50, PAYLOAD[100:150]),
            (999, 50, PAYLOAD[999:1000]),
            (2500, 5000, PAYLOAD[2500:3000]),
            (2500, -1, b""),
            (99, 50, b""),
            (1000, 50, b""),
            (3000, 50, b""),
        ):
            self.assertEqual(self.writer.early(offset, length), expected, (offset, length))
        self.jobs.run()
        self.assertEqual((self.writer.early(100, 50), self.writer.early(2000, 1)), (b"", PAYLOAD[2000:2001]))
        self.writer.close()
        self.jobs.run()
        self.assertEqual(self.writer.early(2000, 1), b"")

    def test_hashes_what_was_there(self) -> None:
        """
        Where there is nothing to hash, C{run} starts nothing, and leaves alone what waits for more; else both are done.
        """
        self.writer.write(0, PAYLOAD[:1000])
        self.writer.run()
        self.assertEqual(self.jobs.waiting, [])
        self.writer.extents = Extents(((0, 500), (1000, 1500)))
        os.pwrite(self.fd, PAYLOAD[:1500], 0)
        self.assertTrue(self.writer.behind)
        self.writer.run()
        # A job is at it.
        self.assertFalse(self.writer.behind)
        self.writer.run()
        self.assertEqual(len(self.jobs.waiting), 1)
        self.jobs.run()
        self.assertEqual((self.progress, self.clock.getDelayedCalls()), ([(1500, 1500)], []))

    def test_nothing_is_there_before_it_is_written(self) -> None:
        """
        Extents and hash are those of the last job that has ended.
        """
        self.write(0, PAYLOAD)
        self.assertEqual((self.writer.extents, self.writer.hashed), (Extents(), 0))
        self.jobs.run()
        self.assertEqual((self.writer.extents.runs, self.writer.hashed), (((0, len(PAYLOAD)),), len(PAYLOAD)))

    def test_a_disk_that_refuses_ends_it(self) -> None:
        """
        An C{OSError} is told once, as C{DiskFailed}; nothing is written after it.
        """
        self.write(0, b"x")
        with mock.patch.object(os, "pwritev", side_effect=OSError(28, "No space left on device")):
            self.jobs.run()
        [error] = self.failures
        self.assertIn("No space left", str(error))
        self.write(1, b"y")
        self.assertEqual((self.jobs.waiting, self.progress, self.writer.extents), ([], [], Extents()))

    def test_close_waits_for_the_job_that_runs(self) -> None:
        """
        Closing tells nobody, and fires once what has come is in the file, and that is not used any more.
        """
        self.write(0, b"x")
        self.write(1, b"y")
        closed = self.writer.close()
        self.writer.write(2, b"z")
        for _ in range(2):
            self.assertNoResult(closed)
            self.jobs.run()
        self.assertIsNone(self.successResultOf(closed))
        self.assertEqual((self.progress, self.jobs.waiting, self.clock.getDelayedCalls()), ([], [], []))
        self.assertEqual((os.pread(self.fd, 10, 0), self.writer.extents.runs), (b"xy", ((0, 2),)))

    def test_close_before_a_job(self) -> None:
        """
        What waits for more when it is closed is written, too.
        """
        self.writer.write(0, b"x")
        closed = self.writer.close()
        self.jobs.run()
        self.assertIsNone(self.successResultOf(closed))
        self.assertEqual((self.writer.extents.runs, self.clock.getDelayedCalls()), (((0, 1),), []))

    def test_close_of_another_copy(self) -> None:
        """
        Of another copy that has just been begun with nothing is written over what is there.
        """
        self.write(0, b"x")
        self.writer.start_over(sha256())
        self.writer.write(0, b"y")
        closed = self.writer.close()
        self.jobs.run()
        self.assertIsNone(self.successResultOf(closed))
        self.assertEqual((os.pread(self.fd, 10, 0), self.jobs.waiting), (b"x", []))

    def test_close_of_an_idle_one(self) -> None:
        """
        Without a job, closing is done at once; writing to a closed one is harmless.
        """
        self.assertIsNone(self.successResultOf(self.writer.close()))
        self.write(0, b"x")
        self.assertEqual(self.jobs.waiting, [])

    def test_an_error_in_telling_is_logged(self) -> None:
        """
        A mistake of the one who is told does not pass for a failure of the disk.
        """

        def mistaken() -> None:
            raise ZeroDivisionError

        writer = DiskWriter(
            Filler(self.fd, 1, sha256()),
            Extents(),
            self.clock,
            in_thread,
            mistaken,
            self.failures.append,
            self.make_space,
        )
        writer.write(0, b"x")
        self.clock.advance(MOMENT_S)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.failures, [])

    def full_at(self, *sizes: int) -> None:
        """
        The disk takes so many bytes of the file, and more each time that space has been made.
        """
        self.room = list(sizes)

        def pwritev(fd: int, views: list[memoryview], offset: int) -> int:
            if offset >= self.room[0]:
                raise OSError(errno.ENOSPC, "No space left on device")
            return os.pwrite(fd, b"".join(views)[: self.room[0] - offset], offset)

        self.patch(os, "pwritev", pwritev)

    def test_a_full_disk_on_which_space_can_be_made(self) -> None:
        """
        As much space is made as the batch needs, as often as it takes, and nothing is lost or hashed twice.
        """
        asked: list[int] = []

        async def make_space(size: int) -> bool:
            asked.append(size)
            self.room.pop(0)
            return True

        writer = DiskWriter(
            Filler(self.fd, len(PAYLOAD), sha256()),
            Extents(),
            self.clock,
            in_thread,
            lambda: None,
            self.failures.append,
            make_space,
        )
        self.full_at(100, 2000, len(PAYLOAD))
        for start in (0, 5000):
            writer.write(start, PAYLOAD[start : start + 5000])
            self.clock.advance(MOMENT_S)
        self.assertEqual((asked, self.failures), ([5000, 5000], []))
        self.assertEqual((writer.extents.runs, writer.hashed), (((0, len(PAYLOAD)),), len(PAYLOAD)))
        self.assertEqual(os.pread(self.fd, len(PAYLOAD) + 1, 0), PAYLOAD)

    def test_a_full_disk_on_which_none_can_be_made(self) -> None:
        """
        When nothing is left to evict, that is a failure of the disk, told once; what was written before is there.
        """
        self.full_at(100, 200, 300)
        self.space = 2
        self.write(0, PAYLOAD[:100])
        self.jobs.run()
        self.write(100, PAYLOAD[100:1000])
        self.write(1000, PAYLOAD[1000:2000])
        while self.jobs.waiting:
            self.jobs.run()
        self.assertEqual(self.space, -1)
        [error] = self.failures
        self.assertIn("No space left", str(error))
        self.assertEqual((self.writer.extents.runs, self.writer.hashed), (((0, 100),), 100))

    def test_other_refusals_are_no_matter_of_space(self) -> None:
        """
        For no other error is anything evicted; a quota is as good as a full disk.
        """
        for number, evicted in ((errno.EIO, 0), (errno.EACCES, 0), (errno.ENOSPC, 1), (errno.EDQUOT, 1)):
            self.space, failures = 0, list[DiskFailed]()
            writer = DiskWriter(
                Filler(self.fd, 1, sha256()),
                Extents(),
                self.clock,
                in_thread,
                lambda: None,
                failures.append,
                self.make_space,
            )
            with mock.patch.object(os, "pwritev", side_effect=OSError(number, "refused")):
                writer.write(0, b"x")
                self.clock.advance(MOMENT_S)
            self.assertEqual((len(failures), -self.space), (1, evicted))

    def test_closed_while_space_is_made(self) -> None:
        """
        Closing waits for that, too.
        """
        made: Deferred[bool] = Deferred()

        async def make_space(size: int) -> bool:
            return await made

        writer = DiskWriter(
            Filler(self.fd, 1000, sha256()),
            Extents(),
            self.clock,
            in_thread,
            lambda: None,
            self.failures.append,
            make_space,
        )
        self.full_at(0, 1000)
        writer.write(0, PAYLOAD[:1000])
        self.clock.advance(MOMENT_S)
        closed = writer.close()
        self.assertNoResult(closed)
        self.room.pop(0)
        made.callback(True)
        self.assertIsNone(self.successResultOf(closed))
        self.assertEqual(os.pread(self.fd, 2000, 0), PAYLOAD[:1000])

    def test_start_over(self) -> None:
        """
        Another copy is written over the first one, in any order, with a hash of its own; where it differs is known.
        """
        wrong = bytearray(PAYLOAD)
        for position in (0, 4095, 4096, 9999):
            wrong[position] ^= 1
        filler = Filler(self.fd, len(PAYLOAD), blake3())
        progress: list[int] = []
        writer = DiskWriter(
            filler,
            Extents(),
            self.clock,
            in_thread,
            lambda: progress.append(writer.hashed),
            self.failures.append,
            self.make_space,
        )
        writer.write(0, bytes(wrong))
        self.clock.advance(MOMENT_S)
        self.assertEqual((filler.digest(), filler.head), (blake3(wrong).digest(), bytes(wrong[:4100])))
        writer.start_over(blake3())
        self.assertEqual((writer.extents.runs, writer.hashed, filler.head), ((), 0, None))
        writer.write(5000, PAYLOAD[5000:])
        self.clock.advance(MOMENT_S)
        self.assertEqual((writer.extents.runs, writer.hashed), (((5000, 10_000),), 0))
        writer.write(0, PAYLOAD[:5000])
        self.clock.advance(MOMENT_S)
        self.assertEqual((filler.digest(), filler.head), (blake3(PAYLOAD).digest(), PAYLOAD[:4100]))
        self.assertEqual(progress, [10_000, 0, 10_000])
        for position in (0, 4095, 4096, 9999):
            self.assertTrue(filler.differences.overlaps(Extents(((position, position + 1),))), position)
        self.assertEqual(len(filler.differences), 4098)

    @given(st.sets(st.integers(0, 999), max_size=8), st.lists(st.integers(1, 999), max_size=5))
    def test_differences(self, positions: set[int], cuts: list[int]) -> None:
        """
        Each difference is found, however the copy comes in pieces; and none where there is none.
        """
        self.patch(disk_writer, "_COMPARED", 10)
        filler = Filler(self.fd, 1000, sha256())
        wrong = bytearray(PAYLOAD[:1000])
        for position in positions:
            wrong[position] ^= 1
        filler.fill([(0, bytes(wrong))], 1000)
        filler.start_over(sha256())
        for start, stop in pairwise([0, *sorted(set(cuts)), 1000]):
            filler.fill([(start, PAYLOAD[start:stop])], 0)
        for position in range(1000):
            found = filler.differences.overlaps(Extents(((position, position + 1),)))
            if position in positions:
                self.assertTrue(found, position)
            elif found:
                # Two that are near are taken for one, with what lies between them.
                self.assertTrue(any(abs(position - other) < 10 for other in positions), position)
