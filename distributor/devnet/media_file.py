"""
A file that a storage node serves, and the bytes of it that a request asks for.
"""

from __future__ import annotations

import re
from pathlib import Path

import filetype
from attrs import frozen
from blake3 import blake3

from distributor.model import BLAKE3_256, ByteRange, ContentHash

#: What joystream.md says that storage nodes look at to tell a file's type.
SNIFFED_BYTES = 4100

DEFAULT_TYPE = "application/octet-stream"

# Twenty digits hold any file's size; more would only make int() slow.
_SINGLE_RANGE = re.compile(
    r"bytes=[ \t]*(?:([0-9]{1,20})-([0-9]{1,20})?|-([0-9]{1,20}))[ \t]*\Z", re.IGNORECASE | re.ASCII
)


@frozen
class MediaFile:
    """
    @ivar size: bytes, when it was looked at; a file that changes later is cut, not followed.
    @ivar type: the media type that the first bytes tell.
    @ivar etag: weak, as storage nodes make it of size and time of change.
    """

    path: Path
    size: int
    type: str
    etag: str

    @classmethod
    def at(cls, path: Path) -> MediaFile:
        """
        Look at the file at C{path}, on the disk, at once.

        @raise OSError: it cannot be read.
        """
        with path.open("rb") as file:
            head = file.read(SNIFFED_BYTES)
        status = path.stat()
        guess: str | None = filetype.guess_mime(head)
        etag = f'W/"{status.st_size:x}-{status.st_mtime_ns // 1_000_000:x}"'
        return cls(path, status.st_size, guess or DEFAULT_TYPE, etag)

    def content_hash(self) -> ContentHash:
        """
        The BLAKE3 hash of the whole file, read on the spot: about a second for each GiB.
        """
        hasher = blake3()
        with self.path.open("rb") as file:
            while block := file.read(1024 * 1024):
                hasher.update(block)
        return ContentHash(BLAKE3_256, hasher.digest())


class UnsatisfiableRange(Exception):
    """
    A range was asked for, and no byte of the file is in it.
    """


def single_range(header: str | None, size: int) -> ByteRange | None:
    """
    The one range that a C{Range} header asks for, cut to a file of C{size} bytes (RFC 9110 §14.1.2); L{None} if the
    header is to be ignored: absent, malformed, in another unit, or with several ranges.

    @raise UnsatisfiableRange: the answer is a 416.
    """
    found = _SINGLE_RANGE.match(header) if header is not None else None
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        start, stop = max(size - int(suffix), 0), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last is not None else size
        if last is not None and int(last) < start:
            return None
    if start >= stop:
        raise UnsatisfiableRange(header)
    return ByteRange(start, stop)
