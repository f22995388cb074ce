"""
The process' memory in huge pages.

An interpreter's objects lie all over its heap, and each request touches what lies in more pages than a processor can
keep the addresses of; in a virtual machine, each of those that it has not kept is looked up twice over.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

#: C{MADV_COLLAPSE} of C{madvise(2)}: what is in these pages goes into huge ones now, whatever is done with new ones.
_COLLAPSE = 25

#: How large a huge page is, in bytes.
_SIZE = Path("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size")

_SMAPS = Path("/proc/self/smaps")

#: Where the administrator says whether there are to be any.
_ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")

_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \d+ *(.*)")
_RESIDENT = re.compile(r"Rss: +(\d+) kB")

#: Memory of no file, as the kernel calls it: the heap, what has been asked for besides it, and that with a name of its
#: own.
_ANONYMOUS = re.compile(r"|\[heap\]|\[anon:.*")


@frozen
class Stretch:
    """
    Memory, from an address on.

    @ivar size: in bytes.
    """

    start: int
    size: int


def stretches(smaps: str, page_size: int) -> Iterator[Stretch]:
    """
    What is worth being put into huge pages: of memory that is the process' own, whole ones. Where a quarter or more is
    not there, as in the stack of a thread, huge pages would cost memory.

    @param smaps: C{/proc/<pid>/smaps}, see C{proc_pid_smaps(5)}.
    @param page_size: of a huge page, in bytes.
    """
    mapping = None
    for line in smaps.splitlines():
        if (begins := _MAPPING.fullmatch(line)) is not None:
            ours = begins[3] == "rw-p" and _ANONYMOUS.fullmatch(begins[4])
            mapping = (int(begins[1], 16), int(begins[2], 16)) if ours else None
        elif mapping is not None and (resident := _RESIDENT.fullmatch(line)) is not None:
            first, last = mapping
            start, stop = -(-first // page_size) * page_size, last // page_size * page_size
            if start < stop and 4 * 1024 * int(resident[1]) > 3 * (last - first):
                yield Stretch(start, stop - start)


def collapse(smaps: Path = _SMAPS, page_size: Path = _SIZE, enabled: Path = _ENABLED) -> None:
    """
    Put the process' memory as it is now into huge pages, where the system can do so and its administrator has not
    forbidden it. It takes some tens of milliseconds; who touches memory for the first time meanwhile may wait for one
    page.
    """
    try:
        # madvise(2) itself does not look at this.
        if "[never]" in enabled.read_text():
            return
        found = list(stretches(smaps.read_text(errors="surrogateescape"), int(page_size.read_text())))
        madvise = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):
        return
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for each in found:
        # What the kernel does not know, has no room for, or is not there any more stays as it was.
        madvise(each.start, each.size, _COLLAPSE)
