"""
Tests for L{distributor.cache.argus}.
"""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from unittest import mock

from twisted.logger import LogLevel, capturedLogs

from distributor.cache import ArgusState, argus
from distributor.cache.cache_json import Told
from distributor.model import DiskFailed
from tests.cache.stores import IN_THREAD, Jobs, StoreCase
from tests.cache.test_cache_json import TYPES, USES, WRITTEN


async def texts(*pieces: str) -> AsyncGenerator[str, None]:
    """
    C{pieces}, each in its time.
    """
    for piece in pieces:
        yield piece


class ArgusStateTests(StoreCase):
    """
    L{ArgusState}.
    """

    def setUp(self) -> None:
        super().setUp()
        self.path = self.base / "state" / "cache.json"
        self.path.parent.mkdir(parents=True)
        self.state = ArgusState(self.path, IN_THREAD)

    async def all(self) -> list[Told]:
        """
        What the file tells, piece by piece.
        """
        return [told async for told in self.state.read()]

    def told(self) -> Told:
        """
        What it tells in all.
        """
        told = self.done(self.all())
        types = {object_id: type for one in told for object_id, type in one.types.items()}
        return Told([use for one in told for use in one.uses], types)

    def test_read(self) -> None:
        """
        All is told, however small the pieces that are read.
        """
        self.path.write_text(WRITTEN, encoding="utf-8")
        for size in (1, 7, 64 * 1024):
            self.patch(argus, "PIECE", size)
            self.assertEqual(self.told(), Told(USES, TYPES))
            self.assert_nothing_open()

    def test_a_little_at_a_time(self) -> None:
        """
        A job reads one piece, and others have their turn before the next.
        """
        self.patch(argus, "PIECE", 16)
        self.path.write_text(WRITTEN, encoding="utf-8")
        jobs = Jobs()
        self.state = ArgusState(self.path, jobs)
        reading = self.later(self.all())
        count = 0
        while jobs.waiting:
            self.assertEqual(len(jobs.waiting), 1)
            self.assertNoResult(reading)
            jobs.run()
            count += 1
        self.assertGreater(count, len(WRITTEN) // 16)
        self.assertEqual(sum(len(told.uses) for told in self.successResultOf(reading)), 2)

    def test_absent(self) -> None:
        """
        Without a file there is nothing to tell, and nothing to say about it.
        """
        with capturedLogs() as logged:
            self.assertEqual(self.told(), Told([], {}))
        self.assertEqual(logged, [])

    def test_damaged(self) -> None:
        """
        A file that ends too early tells what is there, and where it ends is logged.
        """
        for length in range(len(WRITTEN)):
            self.path.write_text(WRITTEN[:length], encoding="utf-8")
            with capturedLogs() as logged:
                told = self.told()
            self.assertEqual(told.uses, USES[: WRITTEN[:length].count("}]")])
            [error] = [event for event in logged if event["log_level"] is LogLevel.error]
            self.assertEqual((error["path"], error["position"]), (str(self.path), length))
            self.assert_nothing_open()

    def test_no_text_at_all(self) -> None:
        """
        Bytes that are no text are no trouble.
        """
        self.path.write_bytes(bytes(range(256)) * 1000)
        with capturedLogs() as logged:
            self.assertEqual(self.told(), Told([], {}))
        self.assertEqual([event["log_level"] for event in logged], [LogLevel.error, LogLevel.info])

    def test_unreadable(self) -> None:
        """
        Neither is a file that cannot be read.
        """
        self.path.mkdir()
        with capturedLogs() as logged:
            self.assertEqual(self.told(), Told([], {}))
            self.assertFalse(self.done(self.state.is_news()))
        self.assertIn("Is a directory", str(logged[0]["error"]))

    def test_wrong_entries_are_counted(self) -> None:
        """
        How many are skipped is logged.
        """
        self.path.write_text(WRITTEN.replace('"popularity":3', '"popularity":"3"'), encoding="utf-8")
        with capturedLogs() as logged:
            self.assertEqual(self.told().uses, USES[1:])
        self.assertEqual([(event["skipped"], event["uses"], event["types"]) for event in logged], [(1, 1, 2)])

    def test_left_off(self) -> None:
        """
        Who has heard enough leaves nothing open.
        """
        self.path.write_text(WRITTEN, encoding="utf-8")

        async def first() -> Told:
            reading = self.state.read()
            some = await anext(reading)
            await reading.aclose()
            return some

        self.assertEqual(self.done(first()).uses, USES)
        self.assert_nothing_open()

    def test_news(self) -> None:
        """
        Only what somebody else has written is news.
        """
        self.assertFalse(self.done(self.state.is_news()))
        self.done(self.state.write(texts('\n{"lruCacheGroups":[]}')))
        self.assertFalse(self.done(self.state.is_news()))
        self.path.write_text(WRITTEN, encoding="utf-8")
        self.assertTrue(self.done(self.state.is_news()))
        self.path.write_bytes(b"")
        self.assertTrue(self.done(self.state.is_news()))

    def test_write(self) -> None:
        """
        The new file takes the place of the old one once it is whole, and on the disk.
        """
        self.path.write_text("old", encoding="utf-8")
        jobs = Jobs()
        self.state = ArgusState(self.path, jobs)
        writing = self.later(self.state.write(texts("one ", "two")))
        while jobs.names[0] != "_rename":
            self.assertEqual(self.path.read_text(encoding="utf-8"), "old")
            name = jobs.names[0]
            jobs.run()
        self.assertEqual(name, "fsync")
        self.assertNoResult(writing)
        jobs.run()
        self.successResultOf(writing)
        self.assertEqual(self.path.read_text(encoding="utf-8"), "one two")
        self.assertEqual([path.name for path in self.path.parent.iterdir()], ["cache.json"])
        self.assert_nothing_open()

    def test_write_refused(self) -> None:
        """
        Where the disk refuses, the file that is there stays; the next time it works.
        """
        self.path.write_text("old", encoding="utf-8")
        error = OSError(errno.ENOSPC, "No space left on device")
        for name in ("fsync", "rename", "open"):
            with mock.patch.object(os, name, side_effect=error):
                failure = self.failed(self.state.write(texts("new")), DiskFailed)
            self.assertEqual(str(failure), f"writing {self.path}: No space left on device")
            self.assertEqual(self.path.read_text(encoding="utf-8"), "old")
            self.assert_nothing_open()
        self.done(self.state.write(texts("new")))
        self.assertEqual(self.path.read_text(encoding="utf-8"), "new")

    def test_what_should_be_written_fails(self) -> None:
        """
        Then nothing is, either.
        """

        async def failing() -> AsyncGenerator[str, None]:
            yield "half"
            raise DiskFailed("index")

        self.path.write_text("old", encoding="utf-8")
        self.failed(self.state.write(failing()), DiskFailed)
        self.assertEqual(self.path.read_text(encoding="utf-8"), "old")
        self.assert_nothing_open()

    def test_not_through_a_link(self) -> None:
        """
        A link in the place of the new file is not followed.
        """
        victim = Path(self.mktemp()).absolute()
        Path(f"{self.path}.new").symlink_to(victim)
        self.failed(self.state.write(texts("new")), DiskFailed)
        self.assertFalse(victim.exists())
