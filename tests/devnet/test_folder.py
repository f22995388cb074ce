"""
Tests for L{distributor.devnet.folder}.
"""

from __future__ import annotations

import os
from pathlib import Path

from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.devnet.folder import assign_ids, data_objects, media_in
from distributor.model import is_object_id

_NAMES = st.one_of(
    st.builds("{}{}".format, st.integers(0, 12), st.sampled_from(["", ".mp4", ".vtt"])),
    st.text(alphabet="ab.0", min_size=1, max_size=4),
)


class AssignIdsTests(SynchronousTestCase):
    """
    Names to ids.
    """

    @given(st.lists(_NAMES))
    def test_every_name_has_one_id_and_every_id_one_name(self, names: list[str]) -> None:
        """
        Whatever the names, none is lost and none collides; and the ids can be asked for.
        """
        ids = assign_ids(names)
        self.assertEqual(sorted(ids.values()), sorted(set(names)))
        self.assertTrue(all(is_object_id(object_id) for object_id in ids))

    @given(st.lists(_NAMES))
    def test_order_does_not_matter(self, names: list[str]) -> None:
        """
        A folder has the same ids whichever way the file system lists it.
        """
        self.assertEqual(assign_ids(names), assign_ids(names[::-1]))

    def test_numeric_stem_is_the_id(self) -> None:
        """
        The first by name where two have the same.
        """
        self.assertEqual(assign_ids(["7.mp4", "0", "7.vtt"]), {"7": "7.mp4", "0": "0", "1": "7.vtt"})

    def test_other_names_are_numbered_in_order_around_the_numeric_ones(self) -> None:
        """
        From one; C{007} is no canonical id, and so a name like others.
        """
        ids = assign_ids(["b.mp4", "a.mp4", "2.mp4", "007.mp4"])
        self.assertEqual(ids, {"2": "2.mp4", "1": "007.mp4", "3": "a.mp4", "4": "b.mp4"})


class MediaInTests(SynchronousTestCase):
    """
    What of a folder is served.
    """

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def test_files_are_served_in_order_of_id(self) -> None:
        """
        With their real sizes.
        """
        (self.folder / "10.bin").write_bytes(b"ten")
        (self.folder / "9.bin").write_bytes(b"")
        self.assertEqual([(i, f.size) for i, f in media_in(self.folder).items()], [("9", 0), ("10", 3)])

    def test_hidden_files_folders_and_pipes_are_not_served(self) -> None:
        """
        Neither C{.DS_Store}, nor what is below, nor what would block.
        """
        (self.folder / ".hidden").write_bytes(b"x")
        (self.folder / "sub").mkdir()
        (self.folder / "sub" / "deep.bin").write_bytes(b"x")
        os.mkfifo(self.folder / "pipe")
        self.assertEqual(media_in(self.folder), {})

    def test_links_are_followed_only_within_the_folder(self) -> None:
        """
        A folder that is shared must not share more than itself.
        """
        outside = Path(self.mktemp())
        outside.write_bytes(b"secret")
        (self.folder / "a.bin").write_bytes(b"x")
        (self.folder / "b.bin").symlink_to("a.bin")
        (self.folder / "c.bin").symlink_to(outside.resolve())
        (self.folder / "d.bin").symlink_to("nowhere")
        self.assertEqual([f.size for f in media_in(self.folder).values()], [1, 1])

    def test_folder_that_is_not_there_is_an_error(self) -> None:
        """
        And not an empty node.
        """
        self.assertRaises(OSError, media_in, self.folder / "missing")

    def test_catalogue_entry_has_hash_size_and_type(self) -> None:
        """
        The type by content, else, for texts, by name; else none.
        """
        (self.folder / "1.dat").write_bytes(b"%PDF-1.4\n")
        (self.folder / "2.vtt").write_bytes(b"WEBVTT\n")
        (self.folder / "3.bin").write_bytes(b"\x00\x01")
        pdf, vtt, other = data_objects(media_in(self.folder))
        self.assertEqual([pdf.type, vtt.type, other.type], ["application/pdf", "text/vtt", None])
        self.assertEqual((other.id, other.size, other.content_hash.digest), ("3", 2, blake3(b"\x00\x01").digest()))
