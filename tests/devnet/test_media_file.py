"""
Tests for L{distributor.devnet.media_file}.
"""

from __future__ import annotations

import os
from pathlib import Path

from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.devnet.media_file import DEFAULT_TYPE, MediaFile, UnsatisfiableRange, single_range
from distributor.model import ByteRange, ContentHash

_MP4 = b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41"


class MediaFileTests(SynchronousTestCase):
    """
    Looking at a file.
    """

    def file(self, content: bytes) -> MediaFile:
        path = Path(self.mktemp())
        path.write_bytes(content)
        return MediaFile.at(path)

    def test_type_is_told_by_the_first_bytes(self) -> None:
        """
        Not by the name, which may be anything.
        """
        self.assertEqual(self.file(_MP4).type, "video/mp4")
        self.assertEqual(self.file(b"%PDF-1.4\n").type, "application/pdf")

    def test_unknown_and_empty_files_are_octets(self) -> None:
        """
        A text has no signature, and neither has nothing.
        """
        self.assertEqual(self.file(b"WEBVTT\n").type, DEFAULT_TYPE)
        self.assertEqual(self.file(b"").type, DEFAULT_TYPE)

    def test_size_and_hash_are_those_of_the_content(self) -> None:
        """
        Also where the file is longer than one block of reading.
        """
        content = os.urandom(3) * 800_000
        file = self.file(content)
        self.assertEqual(file.size, len(content))
        self.assertEqual(file.content_hash().digest, blake3(content).digest())
        self.assertEqual(ContentHash.parse(str(file.content_hash())), file.content_hash())

    def test_etag_is_weak_and_changes_with_the_file(self) -> None:
        """
        As storage nodes have it: good for them alone.
        """
        file = self.file(b"one")
        self.assertRegex(file.etag, r'^W/"[0-9a-f]+-[0-9a-f]+"$')
        os.utime(file.path, (1, 1))
        self.assertNotEqual(MediaFile.at(file.path).etag, file.etag)


class SingleRangeTests(SynchronousTestCase):
    """
    Reading C{Range}.
    """

    @given(st.integers(1, 50), st.integers(0, 60), st.one_of(st.none(), st.integers(0, 60)))
    def test_range_is_what_slicing_gives(self, size: int, first: int, last: int | None) -> None:
        """
        C{a-b} and C{a-} select the bytes that a slice would.
        """
        positions = list(range(size))[first : None if last is None else last + 1]
        header = f"bytes={first}-{'' if last is None else last}"
        if last is not None and last < first:
            self.assertIsNone(single_range(header, size))
        elif not positions:
            self.assertRaises(UnsatisfiableRange, single_range, header, size)
        else:
            self.assertEqual(single_range(header, size), ByteRange(positions[0], positions[-1] + 1))

    @given(st.integers(0, 50), st.integers(0, 60))
    def test_suffix_is_the_end_of_the_file(self, size: int, suffix: int) -> None:
        """
        C{-n} selects the last n bytes, all if there are fewer, and is unsatisfiable if there are none.
        """
        if size and suffix:
            self.assertEqual(single_range(f"bytes=-{suffix}", size), ByteRange(max(size - suffix, 0), size))
        else:
            self.assertRaises(UnsatisfiableRange, single_range, f"bytes=-{suffix}", size)

    def test_what_is_no_single_range_is_ignored(self) -> None:
        """
        Other units, several ranges, and what C{int()} would take but HTTP does not.
        """
        for header in (
            None, "", "bytes", "bytes=", "bytes=-", "bytes=0-1,3-4", "items=0-1", "bytes=+1-2", "bytes=1_0-",
            "bytes=0x0-1", "bytes=\u0661-2", "byte\u017f=0-1", "bytes=0-1\n", "bytes=" + "9" * 21 + "-", "bytes=1--2",
        ):  # fmt: skip
            self.assertIsNone(single_range(header, 10), header)
