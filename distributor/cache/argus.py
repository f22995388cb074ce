"""
The C{cache.json} of a folder that was, or will be, Argus's: what it tells is taken over, and it is written for the way
back.
"""

from __future__ import annotations

import os
from codecs import getincrementaldecoder
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from io import FileIO
from pathlib import Path

from twisted.logger import Logger

from distributor.cache.cache_json import Damaged, Reader, Told, Writer
from distributor.model import DiskFailed, InThread

#: How much of the file a job reads, in bytes: some two hundred entries, in a millisecond. The reactor does what it has
#: to between two of them, without waiting for the interpreter to take its lock from a thread that does not pause.
PIECE = 16 * 1024

_FILE_MODE = 0o644


class ArgusState:
    """
    One file, whose reading and writing are done in threads.
    """

    _log = Logger()

    def __init__(self, path: Path, in_thread: InThread) -> None:
        self._path = path
        self._in_thread = in_thread

    async def is_news(self) -> bool:
        """
        Whether there is such a file, and somebody else than this program wrote it last.
        """
        try:
            first = await self._in_thread(_first_byte, self._path)
        except OSError as error:
            self._log.error("{path} cannot be read: {error}", path=str(self._path), error=error)
            return False
        return first not in (None, Writer.MARK.encode("ascii"))

    async def read(self) -> AsyncGenerator[Told, None]:
        """
        What the file tells, a little at a time. Never fails: what is wrong with the file is logged, and all that comes
        before is told.
        """
        reader = Reader()
        pieces = _Pieces(self._path, reader)
        uses = types = 0
        try:
            while (told := await self._in_thread(pieces.read)) is not None:
                uses += len(told.uses)
                types += len(told.types)
                yield told
        except FileNotFoundError:
            return
        except (OSError, Damaged) as error:
            self._log.error(
                "{path} is damaged, which does not matter to the files: from byte {position} on it tells nothing of"
                " when they were used, and of their types ({error})",
                path=str(self._path),
                position=pieces.position,
                error=error,
            )
        finally:
            pieces.close()
        self._log.info(
            "{path}: {uses} files, {types} types, and {skipped} entries that are wrong",
            path=str(self._path),
            uses=uses,
            types=types,
            skipped=reader.skipped,
        )

    async def write(self, pieces: AsyncIterator[str]) -> None:
        """
        Put a new file in the place of the one that is there, once it is whole and on the disk.

        @raise DiskFailed: it cannot be written; the one that is there stays.
        """
        new = f"{self._path}.new"
        try:
            file = await self._in_thread(_create, new)
            try:
                async for piece in pieces:
                    await self._in_thread(_write, file, piece.encode("utf-8"))
                await self._in_thread(os.fsync, file.fileno())
            finally:
                file.close()
            await self._in_thread(_rename, new, self._path)
        except OSError as error:
            raise DiskFailed(f"writing {self._path}: {error.strerror or error}") from error


class _Pieces:
    """
    The thread's half of reading.

    @ivar position: in the file, in bytes; what comes before has been read.
    """

    def __init__(self, path: Path, reader: Reader) -> None:
        self._path = path
        self._reader = reader
        # Ids and the like are ASCII: of what is not, there is nothing to lose.
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._file: FileIO | None = None
        self._ended = False
        self.position = 0

    def read(self) -> Told | None:
        """
        What the next piece tells; L{None} after the last.
        """
        if self._ended:
            return None
        if self._file is None:
            self._file = FileIO(self._path)
        data = self._file.read(PIECE)
        if data:
            told = self._reader.feed(self._decoder.decode(data))
            self.position += len(data)
            return told
        told = self._reader.end()
        # Where its last words tell something, what is wrong with them is told the next time.
        self._ended = not (told.uses or told.types)
        return told

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _first_byte(path: Path) -> bytes | None:
    with suppress(FileNotFoundError), FileIO(path) as file:
        return file.read(1)
    return None


def _create(path: str) -> FileIO:
    # Not followed: somebody else's link is no place to write to.
    return FileIO(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, _FILE_MODE), "w")


def _write(file: FileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _rename(new: str, path: Path) -> None:
    os.rename(new, path)
    # A power failure must not take back the name: Argus deletes what its list does not name.
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
