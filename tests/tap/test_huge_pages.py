"""
Tests for L{distributor.tap.huge_pages}.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path

from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from distributor.tap.huge_pages import Stretch, collapse, stretches
from tests.memory import CAN_COLLAPSE, in_huge_pages

PAGE = 4096
HUGE = 2 * 1024 * 1024

CONTENT = bytes(range(256)) * (16 * HUGE // 256)


@frozen
class Mapping:
    """
    A mapping as the kernel shows it.
    """

    start: int
    pages: int
    resident: int
    access: str
    name: str

    @property
    def stop(self) -> int:
        return self.start + self.pages * PAGE

    def shown(self) -> str:
        return (
            f"{self.start:08x}-{self.stop:08x} {self.access} 00000000 00:00 0 {self.name and ' ' * 20 + self.name}\n"
            f"Size:           {self.pages * 4:8} kB\nKernelPageSize:        4 kB\n"
            f"Rss:            {self.resident * 4:8} kB\nPss:                   0 kB\nVmFlags: rd wr mr mw me ac sd\n"
        )


@st.composite
def mappings(draw: st.DrawFn) -> list[Mapping]:
    """
    Mappings one behind the other, with gaps.
    """
    found, start = [], 0x400000
    for _ in range(draw(st.integers(0, 8))):
        start += draw(st.integers(0, 3000)) * PAGE
        pages = draw(st.integers(1, 3000))
        resident = draw(st.integers(0, pages))
        access = draw(st.sampled_from(["rw-p", "rw-p", "rw-s", "r--p", "r-xp", "---p"]))
        name = draw(
            st.sampled_from(["", "", "[heap]", "[anon:x y]", "[stack]", "/usr/lib/a b.so", "/dev/shm/x (deleted)"])
        )
        found.append(Mapping(start, pages, resident, access, name))
        start = found[-1].stop
    return found


class StretchesTests(SynchronousTestCase):
    """
    What is worth being put into huge pages.
    """

    @given(mappings())
    def test_whole_huge_pages_of_what_is_there(self, several: list[Mapping]) -> None:
        """
        Each stretch is of whole huge pages, within one mapping that is the process' own and of which more than three
        quarters are there; no huge page of such a mapping is left out.
        """
        found = list(stretches("".join(each.shown() for each in several), HUGE))
        for each in found:
            self.assertEqual((each.start % HUGE, each.size % HUGE), (0, 0))
        wanted = {
            place
            for each in several
            if each.access == "rw-p"
            and each.name in ("", "[heap]", "[anon:x y]")
            and 4 * each.resident > 3 * each.pages
            for place in range(0, each.stop, HUGE)
            if each.start <= place and place + HUGE <= each.stop
        }
        self.assertEqual({place for each in found for place in range(each.start, each.start + each.size, HUGE)}, wanted)

    def test_what_the_kernel_shows(self) -> None:
        """
        A heap, as it is; and what has a name besides, as some allocators give it.
        """
        shown = (
            "561c3a2f1000-561c3ab00000 rw-p 00000000 00:00 0                          [heap]\n"
            "Size:               8252 kB\nKernelPageSize:        4 kB\nMMUPageSize:           4 kB\n"
            "Rss:                8100 kB\nPss:                8100 kB\nVmFlags: rd wr mr mw me ac\n"
        )
        named = shown.replace("561c3a", "7f003a").replace("[heap]", "[anon:glibc: malloc]")
        self.assertEqual(
            list(stretches(shown + named, HUGE)),
            [Stretch(0x561C3A400000, 3 * HUGE), Stretch(0x7F003A400000, 3 * HUGE)],
        )


class CollapseTests(SynchronousTestCase):
    """
    The memory of a process.
    """

    def setUp(self) -> None:
        if not CAN_COLLAPSE:
            raise SkipTest("this kernel cannot do it, or does it by itself")
        self.memory = mmap.mmap(-1, len(CONTENT), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.addCleanup(self.memory.close)
        # So that the kernel does not count it with what is beside it.
        self.memory.madvise(mmap.MADV_DONTDUMP)
        self.memory[:] = CONTENT
        self.assertEqual(self.in_huge_pages(), 0)

    def in_huge_pages(self) -> int:
        """
        How much of it is, in kB.
        """
        return in_huge_pages(os.getpid(), ctypes.addressof(ctypes.c_char.from_buffer(self.memory)))

    def test_what_is_there_stays_as_it_was(self) -> None:
        """
        Memory that is put into huge pages has the same bytes as before.
        """
        collapse()
        self.assertEqual(self.memory[:], CONTENT)
        self.assertGreater(self.in_huge_pages(), 0)

    def test_forbidden(self) -> None:
        """
        Where the administrator wants none, there are none.
        """
        enabled = Path(self.mktemp())
        enabled.write_text("always madvise [never]\n")
        collapse(enabled=enabled)
        self.assertEqual(self.in_huge_pages(), 0)

    def test_a_system_without(self) -> None:
        """
        Where there are no huge pages, or nothing is known of the memory, nothing is done.
        """
        missing = Path(self.mktemp())
        for each in ("smaps", "page_size", "enabled"):
            collapse(**{each: missing})
        self.assertEqual(self.in_huge_pages(), 0)
