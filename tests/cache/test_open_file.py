"""
Tests for L{distributor.cache.open_file}.
"""

from __future__ import annotations

import errno
import os

from twisted.internet.defer import CancelledError
from zope.interface.verify import verifyObject

from distributor.cache.disk import Disk
from distributor.cache.open_file import OpenFile, OpenFiles, StoredReader
from distributor.model import DiskFailed, IReader
from tests.cache.stores import IN_THREAD, Jobs, StoreCase


def is_open(fd: int) -> bool:
    """
    Whether C{fd} is a descriptor of this process.
    """
    try:
        os.fstat(fd)
    except OSError as error:
        return error.errno != errno.EBADF
    return True


class OpenFilesTests(StoreCase):
    """
    L{OpenFiles} and L{OpenFile}.
    """

    def setUp(self) -> None:
        super().setUp()
        self.put_file(self.assets / "7", b"12345")
        self.jobs = Jobs()
        self.files_open = OpenFiles(Disk(self.assets, self.jobs))

    def opened(self) -> OpenFile:
        opening = self.files_open.open("7", 5)
        self.jobs.run_all()
        file: OpenFile = self.successResultOf(opening)
        return file

    def test_last_user_closes(self) -> None:
        """
        A descriptor is closed when the last user has let it go, and not before.
        """
        file = self.opened()
        self.assertIn("7", self.files_open)
        file.acquire()
        file.release()
        self.assertNoResult(file.unused)
        file.release()
        self.successResultOf(file.unused)
        self.assertNotIn("7", self.files_open)
        self.assertTrue(is_open(file.fd), "closing can take a while, and is a job for a thread")
        self.jobs.run_all()
        self.assertFalse(is_open(file.fd))

    def test_use_after_the_end(self) -> None:
        """
        Nobody gets, or lets go, a descriptor that may be another file's by now.
        """
        file = self.opened()
        file.release()
        self.assertRaises(RuntimeError, file.acquire)
        self.assertRaises(RuntimeError, file.release)
        self.jobs.run_all()

    def test_shared_when_open(self) -> None:
        """
        Who comes later gets the same descriptor, at once.
        """
        file = self.opened()
        self.assertIs(self.successResultOf(self.files_open.open("7", 5)), file)
        self.assertEqual(self.jobs.waiting, [])
        file.release()
        self.assertNoResult(file.unused)
        file.release()
        self.jobs.run_all()
        self.assert_nothing_open()

    def test_shared_while_opening(self) -> None:
        """
        Two who come at one time cause one system call, and each is a user.
        """
        first, second = self.files_open.open("7", 5), self.files_open.open("7", 5)
        self.assertIn("7", self.files_open)
        self.assertEqual(self.jobs.names, ["_open"])
        self.jobs.run()
        file = self.successResultOf(first)
        self.assertIs(self.successResultOf(second), file)
        file.release()
        self.assertNoResult(file.unused)
        file.release()
        self.successResultOf(file.unused)
        self.jobs.run_all()

    def test_refused(self) -> None:
        """
        All who wait hear of it; the next one tries again.
        """
        for size, kind in ((4, LookupError), (5, DiskFailed)):
            waiting = [self.files_open.open("7", size) for _ in range(2)]
            if kind is DiskFailed:
                (self.assets / "7").unlink()
                (self.assets / "7").symlink_to("7")
            self.jobs.run_all()
            for each in waiting:
                self.failureResultOf(each, kind)
            self.assertNotIn("7", self.files_open)
        (self.assets / "7").unlink()
        self.put_file(self.assets / "7", b"12345")
        self.opened().release()
        self.jobs.run_all()

    def test_cancelled(self) -> None:
        """
        One who goes away while the file is being opened takes nothing from the other, and leaves nothing open.
        """
        first, second = self.files_open.open("7", 5), self.files_open.open("7", 5)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.jobs.run()
        self.successResultOf(second).release()
        self.jobs.run_all()
        self.assert_nothing_open()

    def test_all_cancelled(self) -> None:
        """
        When nobody wants it any longer, what was opened is closed.
        """
        opening = self.files_open.open("7", 5)
        opening.cancel()
        self.failureResultOf(opening, CancelledError)
        self.jobs.run_all()
        self.assert_nothing_open()
        self.assertNotIn("7", self.files_open)

    def test_forgotten_while_opening(self) -> None:
        """
        A file that is evicted meanwhile is not given out, whatever the thread comes back with.
        """
        opening = self.files_open.open("7", 5)
        self.assertIsNone(self.files_open.forget("7"))
        self.failureResultOf(opening, LookupError)
        self.jobs.run_all()
        self.assert_nothing_open()

    def test_forgotten_and_opened_again(self) -> None:
        """
        What comes back from before the eviction is not taken for what is there after it.
        """
        old = self.files_open.open("7", 5)
        self.files_open.forget("7")
        self.failureResultOf(old, LookupError)
        new = self.files_open.open("7", 5)
        self.jobs.run()
        self.assertNoResult(new)
        self.jobs.run_all()
        self.successResultOf(new).release()
        self.jobs.run_all()
        self.assert_nothing_open()

    def test_forgotten_while_open(self) -> None:
        """
        Its users keep a file that is evicted; who comes later gets another one.
        """
        file = self.opened()
        self.assertIs(self.files_open.forget("7"), file)
        self.assertNotIn("7", self.files_open)
        (self.assets / "7").unlink()
        self.put_file(self.assets / "7", b"other")
        other = self.opened()
        self.assertEqual((os.pread(file.fd, 9, 0), os.pread(other.fd, 9, 0)), (b"12345", b"other"))
        file.release()
        self.assertIs(self.files_open.get("7"), other)
        other.release()
        self.jobs.run_all()
        self.assert_nothing_open()


class StoredReaderTests(StoreCase):
    """
    L{StoredReader}.
    """

    def setUp(self) -> None:
        super().setUp()
        self.put_file(self.assets / "7", b"12345")
        files = OpenFiles(Disk(self.assets, IN_THREAD))
        self.file = self.successResultOf(files.open("7", 5))
        self.reader = StoredReader(self.file, 5)

    def test_interface(self) -> None:
        """
        It is a reader.
        """
        self.assertTrue(verifyObject(IReader, self.reader))
        self.assertEqual((self.reader.size, self.reader.fd), (5, self.file.fd))
        self.reader.close()

    def test_all_is_there(self) -> None:
        """
        It never waits, also at the end of an empty object.
        """
        self.assertEqual([self.reader.available(each) for each in (0, 3, 5, 6)], [5, 2, 0, 0])
        for offset in (0, 5):
            self.assertIsNone(self.successResultOf(self.reader.wait(offset)))
        self.reader.close()

    def test_close(self) -> None:
        """
        Closing lets the file go, once; then nothing is to be had.
        """
        self.file.acquire()
        self.reader.close()
        self.reader.close()
        self.assertNoResult(self.file.unused)
        self.assertEqual(self.reader.available(0), 0)
        self.failureResultOf(self.reader.wait(0), CancelledError)
        self.file.release()
        self.successResultOf(self.file.unused)
