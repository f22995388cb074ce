"""
What memory a process has.
"""

from __future__ import annotations

import re
from pathlib import Path
from platform import release

_ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")

#: Whether the kernel has huge pages, may use them, and can be told when.
CAN_COLLAPSE = (
    _ENABLED.exists()
    and "[never]" not in _ENABLED.read_text()
    and tuple(int(part) for part in re.findall(r"\d+", release())[:2]) >= (6, 1)
)


def in_huge_pages(pid: int, place: int | None = None) -> int:
    """
    How much of the mapping that has an address in it is in huge pages, or of all mappings, in kB.
    """
    found = 0
    shown = Path(f"/proc/{pid}/smaps").read_text()
    for start, stop, size in re.findall(r"^([0-9a-f]+)-([0-9a-f]+) .*?^AnonHugePages: +(\d+) kB$", shown, re.M | re.S):
        if place is None or int(start, 16) <= place < int(stop, 16):
            found += int(size)
    return found
