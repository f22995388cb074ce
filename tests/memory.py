"""
What memory a process has.
"""

from __future__ import annotations

import re
from pathlib import Path
from platform import release

_PAGES = Path("/sys/kernel/mm/transparent_hugepage")

#: Who gets huge pages: C{always}, C{madvise} or C{never} in brackets; nothing where the kernel has none.
_WHO = (_PAGES / "enabled").read_text() if _PAGES.exists() else ""

#: Whether the kernel can put memory into huge pages of a usual size when it is told to, and does not by itself.
CAN_COLLAPSE = (
    "[madvise]" in _WHO
    and (_PAGES / "hpage_pmd_size").read_text().strip() == "2097152"
    and tuple(int(part) for part in re.findall(r"\d+", release())[:2]) >= (6, 1)
)


def in_huge_pages(pid: int, place: int | None = None) -> int:
    """
    How much of the mapping that has an address in it is in huge pages, or of all mappings, in kB.
    """
    found = 0
    shown = Path(f"/proc/{pid}/smaps").read_text(errors="surrogateescape")
    for start, stop, size in re.findall(r"^([0-9a-f]+)-([0-9a-f]+) .*?^AnonHugePages: +(\d+) kB$", shown, re.M | re.S):
        if place is None or int(start, 16) <= place < int(stop, 16):
            found += int(size)
    return found
