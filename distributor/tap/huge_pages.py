"""
The process' memory in huge pages.

An interpreter's objects lie all over its heap, and each request touches what lies in more pages than a processor can
keep the addresses of, the less so in a virtual machine, where each has to be looked up twice over.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.application.service import Service
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

_log = Logger("distributor")

#: C{MADV_COLLAPSE} of C{madvise(2)}: what is in these pages goes into huge ones now, whatever is done with new ones.
_COLLAPSE = 25

#: How large a huge page is, in bytes.
_SIZE = Path("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size")

_SMAPS = Path("/proc/self/smaps")

_MAPPING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \d+ *(.*)$", re.MULTILINE)
_RESIDENT = re.compile(r"^Rss: +(\d+) kB$", re.MULTILINE)


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
    mappings = list(_MAPPING.finditer(smaps))
    ends = [*(each.start() for each in mappings[1:]), len(smaps)]
    for mapping, end in zip(mappings, ends, strict=False):
        first, last = int(mapping[1], 16), int(mapping[2], 16)
        resident = _RESIDENT.search(smaps, mapping.end(), end)
        if mapping[3] != "rw-p" or mapping[4] not in ("", "[heap]") or resident is None:
            continue
        start, stop = -(-first // page_size) * page_size, last // page_size * page_size
        if start < stop and 4 * 1024 * int(resident[1]) > 3 * (last - first):
            yield Stretch(start, stop - start)


def collapse(smaps: Path = _SMAPS, page_size: Path = _SIZE) -> None:
    """
    Put the process' memory as it is now into huge pages, where the system can do so; it takes some milliseconds, while
    other threads go on.
    """
    try:
        found = list(stretches(smaps.read_text(), int(page_size.read_text())))
        madvise = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):
        return
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for each in found:
        # What the kernel does not know, has no room for, or is not there any more stays as it was.
        madvise(each.start, each.size, _COLLAPSE)


class HugePages(Service):
    """
    Puts what the process has loaded into huge pages once it runs: what comes later comes and goes.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        # Not before: twistd may still become another process.
        self._reactor.callWhenRunning(self._begin)

    def _begin(self) -> None:
        done = deferToThreadPool(self._reactor, self._reactor.getThreadPool(), collapse)
        done.addErrback(lambda failure: _log.failure("Huge pages", failure))
