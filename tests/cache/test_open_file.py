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


class SpareFilesTests(StoreCase):
    """
    L{OpenFiles} that keeps some open when their users have gone.
    """

    def setUp(self) -> None:
        super().setUp()
        for name in "789":
            self.put_file(self.assets / name, b"12345")
        self.jobs = Jobs()
        self.files_open = OpenFiles(Disk(self.assets, self.jobs), most_spare=2)

    def used(self, name: str) -> OpenFile:
        """
        One that has been opened, and let go.
        """
        opening = self.files_open.open(name, 5)
        self.jobs.run_all()
        file: OpenFile = self.successResultOf(opening)
        file.release()
        self.jobs.run_all()
        return file

    def test_again(self) -> None:
        """
        Who comes later gets the same file at once. Nobody uses it meanwhile, so that its object may be evicted.
        """
        self.assertIsNone(self.files_open.open_now("7"))
        file = self.used("7")
        self.assertNotIn("7", self.files_open)
        self.assertIsNone(self.files_open.get("7"))
        self.assertTrue(is_open(file.fd))
        self.assertNoResult(file.unused)
        self.assertIs(self.files_open.open_now("7"), file)
        self.assertIs(self.files_open.open_now("7"), file)
        self.assertIn("7", self.files_open)
        file.release()
        self.assertIn("7", self.files_open)
        file.release()
        self.assertIs(self.successResultOf(self.files_open.open("7", 5)), file)

    def test_lent(self) -> None:
        """
        A descriptor is lent without anybody becoming its user; that counts as use where one has to go.
        """
        self.assertIsNone(self.files_open.lend("7"))
        first, second = self.used("7"), self.used("8")
        self.assertEqual(self.files_open.lend("7"), first.fd)
        self.assertNotIn("7", self.files_open)
        self.used("9")
        self.assertEqual([is_open(file.fd) for file in (first, second)], [True, False])
        user = self.files_open.open_now("7")
        assert user is not None
        self.assertEqual(self.files_open.lend("7"), first.fd)
        user.release()

    def test_least_recent(self) -> None:
        """
        Of more than may stay open, the one that was used least recently is closed.
        """
        first, second = self.used("7"), self.used("8")
        self.assertIs(self.used("7"), first)
        third = self.used("9")
        self.assertEqual([is_open(file.fd) for file in (first, second, third)], [True, False, True])
        self.successResultOf(second.unused)

    def test_forgotten(self) -> None:
        """
        A spare file closes when its object is deleted, and nobody is waited for.
        """
        file = self.used("7")
        self.assertIsNone(self.files_open.forget("7"))
        self.jobs.run_all()
        self.assertFalse(is_open(file.fd))
        self.assertIsNone(self.files_open.open_now("7"))

    def test_forgotten_in_use(self) -> None:
        """
        One that is in use when its object is deleted closes with its last user.
        """
        self.used("7")
        file = self.files_open.open_now("7")
        assert file is not None
        self.assertIs(self.files_open.forget("7"), file)
        file.release()
        self.jobs.run_all()
        self.assertFalse(is_open(file.fd))
        self.assertIsNone(self.files_open.open_now("7"))

    def test_distrusted(self) -> None:
        """
        A file that could not be read does not stay open, whether somebody uses it or not.
        """
        file = self.used("7")
        self.files_open.distrust("7")
        self.jobs.run_all()
        self.assertFalse(is_open(file.fd))
        self.used("7")
        again = self.files_open.open_now("7")
        assert again is not None
        self.files_open.distrust("7")
        again.release()
        self.jobs.run_all()
        self.assertFalse(is_open(again.fd))

    def test_written(self) -> None:
        """
        What an allocation has opened, to write, closes with its last user.
        """
        file = self.files_open.add("7", os.open(self.assets / "7", os.O_RDWR))
        file.release()
        self.jobs.run_all()
        self.assertFalse(is_open(file.fd))

    def test_closed(self) -> None:
        """
        In the end all are closed, and none stays open any more.
        """
        first, second = self.used("7"), self.used("8")
        self.files_open.close_spare()
        third = self.used("9")
        self.jobs.run_all()
        self.assertFalse(any(is_open(file.fd) for file in (first, second, third)))


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
