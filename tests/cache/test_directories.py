"""
Tests for L{distributor.cache.directories}.
"""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from distributor.cache import lock_directories
from distributor.model import DistributorError


class LockDirectoriesTests(SynchronousTestCase):
    """
    L{lock_directories}.
    """

    def setUp(self) -> None:
        self.base = Path(self.mktemp()).absolute()
        self.assets = self.base / "deep" / "assets"
        self.state = self.base / "state"

    def assert_refused(self, assets: Path, state: Path, message: str) -> None:
        error = self.assertRaises(DistributorError, lock_directories, assets, state)
        self.assertIn(message, str(error))

    def test_makes_directories(self) -> None:
        """
        All directories are there afterwards.
        """
        lock = lock_directories(self.assets, self.state)
        self.addCleanup(lock.release)
        self.assertTrue((self.assets / ".partial").is_dir())
        self.assertTrue(self.state.is_dir())
        self.assertEqual(self.assets.stat().st_mode & 0o022, 0, "others may write")

    def test_second_node(self) -> None:
        """
        A second node is refused, whichever of the two directories it shares with the first; and let in when the first
        has gone.
        """
        lock = lock_directories(self.assets, self.state)
        other = self.base / "other"
        self.assert_refused(self.assets, self.state, f"{self.assets} is in use by another distributor")
        self.assert_refused(self.assets, other, f"{self.assets} is in use by another distributor")
        self.assert_refused(other, self.state, f"{self.state} is in use by another distributor")
        lock.release()
        lock.release()
        lock_directories(self.assets, self.state).release()

    def test_refusal_holds_nothing(self) -> None:
        """
        A node that was refused for one directory does not keep others out of the other one.
        """
        lock = lock_directories(self.base / "a", self.state)
        self.assert_refused(self.assets, self.state, "in use")
        lock.release()
        lock_directories(self.assets, self.base / "b").release()

    def test_survives_a_fork(self) -> None:
        """
        A daemon keeps the lock which its parent took, when that ends.
        """
        lock = lock_directories(self.assets, self.state)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)
        os.close(reading)
        lock.release()
        self.assert_refused(self.assets, self.state, "in use")
        os.close(writing)
        os.waitpid(child, 0)
        lock_directories(self.assets, self.state).release()

    def test_not_inherited_by_programs(self) -> None:
        """
        A program that the node starts does not hold the lock.
        """
        lock = lock_directories(self.assets, self.state)
        self.addCleanup(lock.release)
        held = [
            int(fd)
            for fd in os.listdir("/proc/self/fd")
            if os.path.lexists(f"/proc/self/fd/{fd}") and os.readlink(f"/proc/self/fd/{fd}").startswith(str(self.base))
        ]
        self.assertEqual(len(held), 2)
        self.assertFalse(any(os.get_inheritable(fd) for fd in held))

    def test_not_a_directory(self) -> None:
        """
        A file where a directory should be is told of with its path.
        """
        self.base.mkdir(parents=True)
        self.state.write_text("")
        self.assert_refused(self.assets, self.state, f"directory {self.state} cannot be made")

    def test_not_writable(self) -> None:
        """
        So is a directory that cannot be written.
        """
        self.patch(os, "access", lambda path, mode, **_: path != self.state)
        self.assert_refused(self.assets, self.state, f"directory {self.state} is not writable")

    def test_lock_cannot_be_written(self) -> None:
        """
        So is one where the lock cannot be opened, whatever the permissions seem to be.
        """
        (self.state / "lock").mkdir(parents=True)
        self.assert_refused(self.assets, self.state, f"directory {self.state} is not writable")
