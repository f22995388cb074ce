"""
The log in files of our own: a new one each day, or when one is full; old ones are compressed, or removed.

Writing happens where the event is, as Twisted's own log files do it: a line to the page cache takes microseconds. What
takes longer, compressing and removing, happens in a thread.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import RLock

from twisted.logger import Logger
from twisted.python.logfile import BaseLogFile
from twisted.python.threadable import synchronize

_log = Logger()

#: The file that is written; the others have their period in their names.
NAME = "distributor.log"

#: How periods are called: in the time of the place, as the log's own lines are.
PERIODS = {"yearly": "%Y", "monthly": "%Y-%m", "daily": "%Y-%m-%d", "hourly": "%Y-%m-%d-%H"}

_OLD = re.compile(r"distributor-(\d{4}(?:-\d{2}){0,3})(?:\.(\d+))?\.log(?:\.gz)?\Z", re.ASCII)
_UNFINISHED = ".tmp"


def period(frequency: str, at: float) -> str:
    """
    The name of the period that a time, in seconds since the epoch, is in.
    """
    return time.strftime(PERIODS[frequency], time.localtime(at))


def old_name(ended: str, names: Iterable[str]) -> str:
    """
    What a file of the period C{ended} is called when it is no longer written.

    @param names: those of the files that are there.
    """
    numbers = [int(match[2] or 0) for match in map(_OLD.match, names) if match is not None and match[1] == ended]
    # One that was removed in between leaves its number unused: a larger number is a later file.
    number = max(numbers, default=-1) + 1
    return f"distributor-{ended}.{number}.log" if number else f"distributor-{ended}.log"


def surplus(names: Iterable[str], max_files: int | None) -> list[str]:
    """
    Which old files to remove: the oldest, so that C{max_files} are left, with the one that is written.
    """
    if max_files is None:
        return []
    old = sorted((match[1], int(match[2] or 0), name) for name in names if (match := _OLD.match(name)) is not None)
    return [name for _, _, name in old[: max(0, len(old) - (max_files - 1))]]


class LogFiles(BaseLogFile):
    """
    A directory of log files, one of which is written.

    Where a new file cannot be begun, the old one goes on: a log that is too long is better than none.
    """

    def __init__(
        self,
        directory: Path,
        frequency: str,
        max_bytes: int | None,
        max_files: int | None,
        archive: bool,
        now: Callable[[], float],
        call_in_thread: Callable[[Callable[[], None]], object],
    ) -> None:
        """
        Open the file that is written, and make its directory if there is none.

        @param frequency: a key of L{PERIODS}.
        @param max_bytes: a file that has as many gets no more; L{None}: it may have any number.
        @param max_files: how many are kept, the one that is written included; L{None}: all.
        @param archive: whether the others are compressed.
        @param now: the time, in seconds since the epoch.
        @param call_in_thread: what runs a function, some time, in another thread. It is called from whichever thread
            logs.
        @raise OSError: the directory cannot be made, or the file not be written.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self._folder = directory
        self._frequency = frequency
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._archive = archive
        self._now = now
        self._call_in_thread = call_in_thread
        self._tidying = RLock()
        self._size = 0
        self._period = ""
        super().__init__(NAME, str(directory))
        # A process that was killed may have left some of it undone.
        call_in_thread(self._tidy)

    def _openFile(self) -> None:
        super()._openFile()  # type: ignore[no-untyped-call]
        facts = os.fstat(self._file.fileno())
        self._size = facts.st_size
        # A file that was begun before belongs to the time of its last line.
        self._period = period(self._frequency, facts.st_mtime if facts.st_size else self._now())

    def write(self, data: str | bytes) -> None:
        """
        Write to the current file, or to a new one where one is due.
        """
        encoded = data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data
        if not self._size:
            self._period = period(self._frequency, self._now())
        super().write(encoded)  # type: ignore[no-untyped-call]
        self._size += len(encoded)

    def shouldRotate(self) -> bool:
        """
        Whether the period of the current file is over, or it is full.
        """
        full = self._max_bytes is not None and self._size >= self._max_bytes
        # Of an empty file the period has just been set.
        return full or period(self._frequency, self._now()) != self._period

    def rotate(self) -> None:
        """
        Give the current file the name of its period, and begin a new one.
        """
        try:
            os.rename(self.path, self._folder / old_name(self._period, os.listdir(self._folder)))
        except OSError:
            return
        self.close()  # type: ignore[no-untyped-call]
        self._openFile()
        self._call_in_thread(self._tidy)

    def _tidy(self) -> None:
        """
        Remove the old files that are too many, and compress the others. Blocks.
        """
        with self._tidying:
            try:
                for name in surplus(os.listdir(self._folder), self._max_files):
                    (self._folder / name).unlink()
                if self._archive:
                    for name in os.listdir(self._folder):
                        if _OLD.match(name) and not name.endswith(".gz"):
                            _compress(self._folder / name)
            except OSError as error:
                _log.error("Old log files cannot be compressed or removed: {error}", error=error)


synchronize(LogFiles)


def _compress(path: Path) -> None:
    """
    Put C{path.gz} in the place of C{path}; both are there, whole, before one of them goes.
    """
    unfinished = path.with_name(f"{path.name}.gz{_UNFINISHED}")
    with path.open("rb") as source, gzip.open(unfinished, "wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    unfinished.rename(path.with_name(f"{path.name}.gz"))
    path.unlink()
