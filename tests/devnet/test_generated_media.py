"""
Tests for L{distributor.devnet.generated_media}.
"""

from __future__ import annotations

from pathlib import Path

from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.devnet.generated_media import KIB, MIB, content, media_path, sizes, write_media


class SizesTests(SynchronousTestCase):
    """
    How large the objects are.
    """

    @given(st.integers(), st.integers(5, 60))
    def test_mixed(self, seed: int, count: int) -> None:
        """
        However many there are, some are large, and the others are between a thumbnail and a song.
        """
        found = sizes(seed, count)
        self.assertEqual(list(found), [str(number) for number in range(1, count + 1)])
        self.assertEqual((min(found.values()), max(found.values())), (KIB, 64 * MIB))
        self.assertEqual(len([size for size in found.values() if size > 4 * MIB]), 3)

    def test_seed(self) -> None:
        """
        The seed determines them.
        """
        self.assertEqual(sizes(1, 20), sizes(1, 20))
        self.assertNotEqual(sizes(1, 20), sizes(2, 20))


class WriteMediaTests(SynchronousTestCase):
    """
    The files.
    """

    def test_files(self) -> None:
        """
        Each has the size that is wanted, and the hash that is told.
        """
        folder = Path(self.mktemp())
        made = write_media(folder, 1, {"1": 1000, "2": MIB + 1, "3": 0})
        self.assertEqual([(item.id, item.size) for item in made], [("1", 1000), ("2", MIB + 1), ("3", 0)])
        for item in made:
            written = media_path(folder, item.id).read_bytes()
            self.assertEqual(len(written), item.size)
            self.assertEqual(blake3(written).digest(), item.content_hash.digest)
        self.assertEqual(len(list(folder.iterdir())), 3)

    def test_same_seed_same_bytes(self) -> None:
        """
        The bytes depend on seed and id, and on nothing else.
        """
        first = b"".join(content(1, "1", 5 * KIB))
        self.assertEqual(b"".join(content(1, "1", 3 * KIB)), first[: 3 * KIB])
        self.assertNotEqual(b"".join(content(2, "1", 5 * KIB)), first)
        self.assertNotEqual(b"".join(content(1, "2", 5 * KIB)), first)
        self.assertNotEqual(first[:KIB], first[KIB : 2 * KIB])

    def test_again(self) -> None:
        """
        What an earlier devnet has left is replaced; who has it open keeps what was there.
        """
        folder = Path(self.mktemp())
        write_media(folder, 1, {"1": 100})
        with media_path(folder, "1").open("rb") as old:
            write_media(folder, 2, {"1": 200})
            self.assertEqual(old.read(), b"".join(content(1, "1", 100)))
        self.assertEqual(media_path(folder, "1").read_bytes(), b"".join(content(2, "1", 200)))
