"""
Tests for L{distributor.cache.disk}.
"""

from __future__ import annotations

import os
from pathlib import Path

from distributor.cache import disk
from distributor.cache.disk import BATCH, Disk, File
from distributor.model import DiskFailed
from tests.cache.stores import IN_THREAD, NOW, StoreCase


class DiskTests(StoreCase):
    """
    L{Disk}.
    """

    def setUp(self) -> None:
        super().setUp()
        self.disk = Disk(self.assets, IN_THREAD)

    def opened(self, fd: int | None) -> int:
        assert fd is not None
        self.addCleanup(os.close, fd)
        return fd

    async def complete(self) -> tuple[list[File], int, list[str]]:
        """
        What a whole listing gives.
        """
        listing = await self.disk.scan_complete()
        found: list[File] = []
        while files := await self.disk.read(listing):
            self.assertLessEqual(len(files), BATCH)
            found += files
        listing.close()
        return found, listing.strange_count, listing.strange

    def test_scan_makes_directories(self) -> None:
        """
        A new store has no files.
        """
        self.assertEqual(self.done(self.disk.scan_partial()), {})
        self.assertEqual(self.done(self.complete()), ([], 0, []))
        self.assertTrue(self.partial.is_dir())

    def test_scan(self) -> None:
        """
        Files named by an id are ours; anything else, links and directories too, is told of and left alone. The lock is
        no news.
        """
        for path in (self.assets / "7", self.partial / "8"):
            self.put_file(path, b"12345")
        strange = [self.assets / name for name in ("07", "7.mp4", "-1", "٣", "cache.json")]
        for path in strange:
            self.put_file(path, b"")
        self.put_file(self.partial / "lock", b"")
        (self.assets / "9").mkdir()
        (self.assets / "10").symlink_to("7")
        strange += [self.assets / "9", self.assets / "10"]
        os.utime(self.assets / "7", (NOW + 5, NOW))
        files, strange_count, some = self.done(self.complete())
        self.assertEqual((files, self.done(self.disk.scan_partial())), ([("7", 5, NOW + 5)], {"8": 5}))
        self.assertEqual((strange_count, len(some)), (7, 3))
        self.assertLessEqual(set(some), set(map(str, strange)))
        self.assertTrue(all(os.path.lexists(path) for path in strange))

    def test_last_access(self) -> None:
        """
        Where reading leaves no trace, what counts is when a file was written.
        """
        self.put_file(self.assets / "7", b"")
        os.utime(self.assets / "7", (NOW - 5, NOW))
        self.assertEqual(self.done(self.complete())[0], [("7", 0, NOW)])

    def test_scan_in_batches(self) -> None:
        """
        Many files are listed a batch at a time, each of them once.
        """
        self.patch(disk, "BATCH", 3)
        for number in range(10):
            self.put_file(self.assets / str(number), b"")
        listing = self.done(self.disk.scan_complete())
        sizes = []
        found = []
        while files := self.done(self.disk.read(listing)):
            sizes.append(len(files))
            found += [object_id for object_id, _, _ in files]
        self.assertEqual((sizes, sorted(found)), ([3, 3, 3, 1], sorted(map(str, range(10)))))

    def test_open(self) -> None:
        """
        A complete file is opened for reading alone.
        """
        self.put_file(self.assets / "7", b"12345")
        fd = self.opened(self.done(self.disk.open("7", 5)))
        self.assertEqual(os.pread(fd, 9, 0), b"12345")
        self.assertRaises(OSError, os.pwrite, fd, b"x", 0)
        self.assertFalse(os.get_inheritable(fd))

    def test_open_what_is_not_there(self) -> None:
        """
        A file that is not there, or has another size, is not the one that was looked for.
        """
        self.put_file(self.assets / "7", b"12345")
        self.assertIn("vanished", str(self.failed(self.disk.open("8", 5), LookupError)))
        self.assertIn("5 bytes instead of 4", str(self.failed(self.disk.open("7", 4), LookupError)))
        self.assert_nothing_open()

    def test_errors(self) -> None:
        """
        A refusal tells what was refused, and why.
        """
        self.put_file(self.assets / "9", b"")
        error = self.failed(self.disk.open("9/1", 1), DiskFailed)
        self.assertEqual(str(error), f"opening {self.assets}/9/1: Not a directory")
        self.assertIsInstance(error.__cause__, NotADirectoryError)

    def test_create_leaves_the_old_file_to_its_readers(self) -> None:
        """
        A fresh file is another one, not the old one emptied.
        """
        self.done(self.disk.scan_partial())
        old = self.opened(self.done(self.disk.create("7")))
        os.pwrite(old, b"12345", 0)
        new = self.opened(self.done(self.disk.create("7")))
        self.assertEqual(os.fstat(new).st_size, 0)
        self.assertEqual(os.pread(old, 9, 0), b"12345")

    def test_resume(self) -> None:
        """
        An unfinished file is opened if it reaches as far as is believed.
        """
        self.put_file(self.partial / "7", b"12345")
        fd = self.opened(self.done(self.disk.resume("7", 5)))
        os.pwrite(fd, b"67", 5)
        self.assertEqual((self.partial / "7").read_bytes(), b"1234567")
        self.assertIsNone(self.done(self.disk.resume("7", 8)))
        self.assertIsNone(self.done(self.disk.resume("8", 1)))

    def test_adopt(self) -> None:
        """
        A complete file of the right size becomes an unfinished one.
        """
        self.put_file(self.assets / "7", b"12345")
        self.done(self.disk.scan_partial())
        self.assertIsNone(self.done(self.disk.adopt("7", 4)))
        self.assertIsNone(self.done(self.disk.adopt("8", 4)))
        self.opened(self.done(self.disk.adopt("7", 5)))
        self.assertEqual((self.files(self.assets), self.files(self.partial)), ({}, {"7": 5}))

    def test_adopt_what_cannot_be_moved(self) -> None:
        """
        It stays where it is, and is not left open.
        """
        self.put_file(self.assets / "7", b"12345")
        self.failed(self.disk.adopt("7", 5), DiskFailed)
        self.assertEqual(self.files(self.assets), {"7": 5})
        self.assert_nothing_open()

    def test_finish(self) -> None:
        """
        An unfinished file gets its name if it has its size.
        """
        self.done(self.disk.scan_partial())
        fd = self.opened(self.done(self.disk.create("7")))
        os.pwrite(fd, b"12345", 0)
        error = self.failed(self.disk.finish(fd, "7", 6), DiskFailed)
        self.assertIn("5 bytes instead of 6", str(error))
        self.assertEqual(self.files(self.assets), {})
        self.done(self.disk.finish(fd, "7", 5))
        self.assertEqual((self.files(self.assets), self.files(self.partial)), ({"7": 5}, {}))

    def test_unlink(self) -> None:
        """
        Each file is tried; those that are not there are no matter, those that refuse are named.
        """
        for object_id in ("7", "8", "9"):
            self.put_file(self.assets / object_id, b"")
        (self.assets / "10").mkdir()
        failed = self.done(self.disk.unlink_complete(["6", "10", "7", "8"]))
        self.assertEqual({key: type(error) for key, error in failed.items()}, {"10": IsADirectoryError})
        self.assertEqual(self.files(self.assets), {"9": 0})

    def test_shorten(self) -> None:
        """
        Unfinished files are cut off; those that cannot be are named.
        """
        for object_id in ("7", "8"):
            self.put_file(self.partial / object_id, b"12345")
        failed = self.done(self.disk.shorten_partial({"7": 2, "9": 1}))
        self.assertEqual(list(failed), ["9"])
        self.assertEqual(self.files(self.partial), {"7": 2, "8": 5})

    def test_paths(self) -> None:
        """
        The two kinds of files are in two directories.
        """
        for path in (self.assets / "7", self.partial / "7"):
            self.put_file(path, b"")
        self.done(self.disk.unlink_partial(["7"]))
        self.assertTrue(Path(self.assets / "7").exists())
        self.assertFalse(Path(self.partial / "7").exists())
