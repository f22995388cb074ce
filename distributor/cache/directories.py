"""
The directories of a store: made, found writable, and locked against a second node.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from distributor.model import DistributorError

#: Inside the directory of assets: the files of unfinished objects.
PARTIAL = ".partial"

#: Inside C{.partial} and the directory of cache state: what a running node holds locked.
LOCK = "lock"

DIRECTORY_MODE = 0o755


class DirectoryLock:
    """
    Held from its making until L{release}, or until the process ends, in whichever way.
    """

    def __init__(self, fds: list[int]) -> None:
        self._fds = fds

    def release(self) -> None:
        """
        Let another node in. Doing so twice is harmless.
        """
        fds, self._fds = self._fds, []
        for fd in fds:
            os.close(fd)


def lock_directories(assets: Path, cache_state: Path) -> DirectoryLock:
    """
    Make the directories where they are missing, and keep other nodes out of them. To be called before anything runs:
    it blocks, if only for the time of a few system calls.

    @raise DistributorError: a directory cannot be written, or is in use by another node.
    """
    fds: list[int] = []
    partial = assets / PARTIAL
    try:
        for directory in (assets, partial, cache_state):
            _make_writable(directory)
        if assets.stat().st_dev != partial.stat().st_dev:
            raise DistributorError(
                f"{partial} has to be on the file system of {assets}: files are renamed between them"
            )
        for directory, shown in ((partial, assets), (cache_state, cache_state)):
            fds.append(_lock(directory / LOCK, shown))
    except BaseException:
        DirectoryLock(fds).release()
        raise
    return DirectoryLock(fds)


def _make_writable(directory: Path) -> None:
    try:
        directory.mkdir(DIRECTORY_MODE, parents=True, exist_ok=True)
    except OSError as error:
        raise DistributorError(f"directory {directory} cannot be made: {error.strerror}") from error
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        raise DistributorError(f"directory {directory} is not writable")


def _lock(path: Path, shown: Path) -> int:
    # flock belongs to the open file, so it goes with a daemon over its fork, and away with the last process.
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise DistributorError(f"directory {shown} is not writable: {path}: {error.strerror}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise DistributorError(f"directory {shown} is in use by another distributor") from None
    except OSError as error:
        os.close(fd)
        raise DistributorError(f"{path} cannot be locked: {error.strerror}") from error
    return fd
