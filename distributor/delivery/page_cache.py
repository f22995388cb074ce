"""
What the kernel has in memory of a file, and what it would have to wait for a disk to get.
"""

from __future__ import annotations

import errno
import os

#: The kernel reads ahead by this much, so bytes this far apart tell of those between them.
_STEP = 128 * 1024


class ColdRead(Exception):
    """
    The bytes are not in the page cache: reading them here would make everybody wait for the disk.
    """


def read_cached(fd: int, buffer: bytearray | memoryview, offset: int) -> int:
    """
    Read from the page cache alone.

    @return: how many bytes; fewer than C{buffer} takes where the file ends, or the rest is not there.
    @raise ColdRead: nothing is there, or the file system cannot tell.
    """
    try:
        return os.preadv(fd, [buffer], offset, os.RWF_NOWAIT)
    except BlockingIOError:
        raise ColdRead from None
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            raise ColdRead from None
        raise


def probe(fd: int, start: int, stop: int) -> None:
    """
    Look whether a run of bytes is there.

    @raise ColdRead: it is not, or the file system cannot tell.
    @raise OSError: the disk refuses.
    """
    byte = bytearray(1)
    for offset in range(start, stop - 1, _STEP):
        read_cached(fd, byte, offset)
    read_cached(fd, byte, stop - 1)
