"""
What the kernel has in memory of a file, and what it would have to wait for a disk to get.
"""

from __future__ import annotations

import errno
import os

#: The kernel reads ahead by this much, so bytes this far apart tell of those between them.
_STEP = 128 * 1024

#: Takes a byte that nobody looks at.
_NOWHERE = [bytearray(1)]


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
    except OSError as error:
        raise _explained(error) from None


def probe(fd: int, start: int, stop: int) -> None:
    """
    Look whether a run of bytes is there.

    @raise ColdRead: it is not, or the file system cannot tell.
    @raise OSError: the disk refuses.
    """
    # As read_cached, without its price: this is a tenth of what it costs to send large bodies.
    preadv, flags = os.preadv, os.RWF_NOWAIT
    try:
        for offset in range(start, stop - 1, _STEP):
            preadv(fd, _NOWHERE, offset, flags)
        preadv(fd, _NOWHERE, stop - 1, flags)
    except OSError as error:
        raise _explained(error) from None


def warm(fd: int, start: int, stop: int) -> None:
    """
    Blocks: have the kernel read a run of bytes, as far as the file goes. Nothing is copied: that would take three times
    the processor time, from the reactor, too, where there is but one processor.

    @raise OSError: the disk refuses.
    """
    with open(os.devnull, "wb", buffering=0) as nowhere:
        while start < stop and (passed := os.sendfile(nowhere.fileno(), fd, start, stop - start)):
            start += passed


def _explained(error: OSError) -> Exception:
    return ColdRead() if error.errno in (errno.EAGAIN, errno.EOPNOTSUPP) else error
