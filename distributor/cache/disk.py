"""
The system calls of the store, each set of them one job in a thread.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from distributor.cache.directories import DIRECTORY_MODE, PARTIAL
from distributor.model import DiskFailed, InThread, P, T, is_object_id

_WRITING = os.O_RDWR | os.O_CLOEXEC
_READING = os.O_RDONLY | os.O_CLOEXEC
_FILE_MODE = 0o644

#: A complete file: its id, its size in bytes, and when it was used last, in seconds since 1970.
File = tuple[str, int, float]

#: How many files a job looks at: so few that the reactor does other things between them.
BATCH = 2000


#: More are only counted.
_STRANGE_TOLD = 3


class ScandirIterator(Protocol):
    """
    What C{os.scandir} gives.
    """

    def __iter__(self) -> Iterator[os.DirEntry[str]]: ...

    def close(self) -> None: ...


class Disk:
    """
    Where the files are, and what is done to them. Errors of the system are raised as L{DiskFailed}.

    Files are sparse while they are unfinished: their space is reserved in the store's own books. C{posix_fallocate}
    would make the disk keep it too, but where a file system lacks the call it writes zeros, which takes minutes for
    some gigabytes.
    """

    def __init__(self, assets: Path, in_thread: InThread) -> None:
        self._complete = f"{assets}/"
        self._partial = f"{assets}/{PARTIAL}/"
        self._in_thread = in_thread

    async def _run(self, doing: str, f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await self._in_thread(f, *args, **kwargs)
        except OSError as error:
            raise DiskFailed(f"{doing}: {error.strerror or error}") from error

    async def scan_partial(self) -> dict[str, int]:
        """
        Make the directories where they are missing, and list unfinished files: their sizes in bytes, by id.
        """
        return await self._run(f"reading {self._partial}", _scan_partial, self._partial)

    async def scan_complete(self) -> Listing:
        """
        Begin to list complete files.
        """
        return Listing(await self._run(f"reading {self._complete}", os.scandir, self._complete))

    async def read(self, listing: Listing) -> list[File]:
        """
        Some more complete files; none at the end.
        """
        return await self._run(f"reading {self._complete}", listing.read)

    async def open(self, object_id: str, size: int) -> int:
        """
        Open a complete file for reading.

        @raise LookupError: there is none of this size.
        """
        path = self._complete + object_id
        return await self._run(f"opening {path}", _open, path, size)

    async def create(self, object_id: str) -> int:
        """
        Open a fresh unfinished file, in place of what may be there.
        """
        path = self._partial + object_id
        return await self._run(f"creating {path}", _create, path)

    async def resume(self, object_id: str, stop: int) -> int | None:
        """
        Open an unfinished file; L{None} if there is none that reaches up to C{stop}.
        """
        path = self._partial + object_id
        return await self._run(f"opening {path}", _resume, path, stop)

    async def adopt(self, object_id: str, size: int) -> int | None:
        """
        Make a complete file an unfinished one, and open it; L{None} if there is none of this size.
        """
        path = self._complete + object_id
        return await self._run(f"moving {path}", _adopt, path, self._partial + object_id, size)

    async def sync(self, fd: int, object_id: str) -> None:
        """
        Fires when what has been written is on the disk.
        """
        await self._run(f"writing {self._partial}{object_id}", os.fdatasync, fd)

    async def finish(self, fd: int, object_id: str, size: int) -> None:
        """
        Make an unfinished file, once it is on the disk, a complete one.
        """
        path = self._partial + object_id
        await self._run(f"writing {path}", _finish, fd, path, self._complete + object_id, size)

    async def unlink_partial(self, object_ids: Iterable[str]) -> dict[str, OSError]:
        """
        Delete unfinished files; those that are not there are no matter.

        @return: by id, why one could not be deleted.
        """
        return await self._run("deleting", _unlink, self._partial, list(object_ids))

    async def shorten_partial(self, stops: Mapping[str, int]) -> dict[str, OSError]:
        """
        Cut unfinished files off, each behind so many bytes.

        @return: by id, why one could not be cut.
        """
        return await self._run("shortening", _shorten, self._partial, stops)

    async def unlink_complete(self, object_ids: Iterable[str]) -> dict[str, OSError]:
        """
        The same for complete ones.
        """
        return await self._run("deleting", _unlink, self._complete, list(object_ids))

    async def close(self, fd: int) -> None:
        """
        The last close of a deleted file gives its space back, which takes a while for a large one.
        """
        await self._run("closing", os.close, fd)


class Listing:
    """
    Complete files, a batch at a time. There may be hundreds of thousands, on a disk that has to look for each.

    @ivar strange_count: how many files have been seen that are not ours.
    @ivar strange: the paths of the first of them.
    """

    def __init__(self, entries: ScandirIterator) -> None:
        self._entries = entries
        self.strange_count = 0
        self.strange: list[str] = []

    def read(self) -> list[File]:
        """
        Read on; nothing comes at the end. Blocks.
        """
        files: list[File] = []
        for entry in self._entries:
            if entry.name == PARTIAL:
                continue
            if not is_object_id(entry.name) or not entry.is_file(follow_symlinks=False):
                self.strange_count += 1
                if len(self.strange) < _STRANGE_TOLD:
                    self.strange.append(entry.path)
                continue
            with suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                # Where a file system does not note reads, the former is old, or nothing.
                files.append((entry.name, status.st_size, max(status.st_atime, status.st_mtime)))
            if len(files) == BATCH:
                break
        return files

    def close(self) -> None:
        """
        Read no more.
        """
        self._entries.close()


def _scan_partial(directory: str) -> dict[str, int]:
    os.makedirs(directory, DIRECTORY_MODE, exist_ok=True)
    sizes = {}
    with os.scandir(directory) as entries:
        for entry in entries:
            if is_object_id(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):
                    sizes[entry.name] = entry.stat(follow_symlinks=False).st_size
    return sizes


def _open(path: str, size: int) -> int:
    try:
        fd = os.open(path, _READING)
    except FileNotFoundError:
        raise LookupError(f"{path} has vanished") from None
    actual = _size(fd)
    if actual != size:
        os.close(fd)
        raise LookupError(f"{path} has {actual} bytes instead of {size}")
    return fd


def _size(fd: int) -> int:
    try:
        return os.fstat(fd).st_size
    except BaseException:
        os.close(fd)
        raise


def _create(path: str) -> int:
    # Not truncated: who still reads the one before keeps it.
    with suppress(FileNotFoundError):
        os.unlink(path)
    return os.open(path, _WRITING | os.O_CREAT | os.O_EXCL, _FILE_MODE)


def _resume(path: str, stop: int) -> int | None:
    try:
        fd = os.open(path, _WRITING)
    except FileNotFoundError:
        return None
    if _size(fd) < stop:
        os.close(fd)
        return None
    return fd


def _adopt(path: str, partial: str, size: int) -> int | None:
    try:
        fd = os.open(path, _WRITING)
    except FileNotFoundError:
        return None
    if _size(fd) != size:
        os.close(fd)
        return None
    try:
        os.rename(path, partial)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _finish(fd: int, partial: str, complete: str, size: int) -> None:
    os.fdatasync(fd)
    actual = os.fstat(fd).st_size
    if actual != size:
        raise OSError(errno.EIO, f"{actual} bytes instead of {size}")
    os.rename(partial, complete)


def _unlink(directory: str, names: Sequence[str]) -> dict[str, OSError]:
    failed = {}
    for name in names:
        try:
            os.unlink(directory + name)
        except FileNotFoundError:
            pass
        except OSError as error:
            failed[name] = error
    return failed


def _shorten(directory: str, stops: Mapping[str, int]) -> dict[str, OSError]:
    failed = {}
    for name, stop in stops.items():
        try:
            os.truncate(directory + name, stop)
        except OSError as error:
            failed[name] = error
    return failed
