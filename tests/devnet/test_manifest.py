"""
Tests for L{distributor.devnet.manifest}.
"""

from __future__ import annotations

from pathlib import Path

import yaml
from twisted.trial.unittest import SynchronousTestCase

from distributor.devnet.manifest import manifest, manifest_text, write_manifest
from distributor.model import BLAKE3_256, ContentHash, DataObject

HASH = ContentHash(BLAKE3_256, bytes(32))
FILM = DataObject("7", 1048576, HASH, "video/mp4")
BYTES = DataObject("8", 0, HASH)
ENDPOINT = "http://127.0.0.1:3333/"


class ManifestTests(SynchronousTestCase):
    """
    What a node is told of a storage node.
    """

    def test_manifest_names_one_node_and_all_objects(self) -> None:
        """
        In the shape that the catalogue reads; no type where none is known.
        """
        self.assertEqual(
            manifest(ENDPOINT, [FILM, BYTES]),
            {
                "storageNodes": [{"id": "0", "endpoint": ENDPOINT}],
                "objects": {
                    "7": {"size": 1048576, "hash": str(HASH), "type": "video/mp4"},
                    "8": {"size": 0, "hash": str(HASH)},
                },
            },
        )

    def test_text_reads_back_as_the_same(self) -> None:
        """
        Above all the ids, which are texts and look like numbers.
        """
        self.assertEqual(yaml.safe_load(manifest_text(ENDPOINT, [FILM])), manifest(ENDPOINT, [FILM]))

    def test_file_is_replaced_whole(self) -> None:
        """
        The old one gives way to the new one, and nothing else is left in the folder.
        """
        folder = Path(self.mktemp())
        folder.mkdir()
        write_manifest(folder / "m.yml", "old")
        write_manifest(folder / "m.yml", "new")
        self.assertEqual([(p.name, p.read_text()) for p in folder.iterdir()], [("m.yml", "new")])

    def test_manifest_that_cannot_be_put_in_place_leaves_no_draft(self) -> None:
        """
        The error is the caller's to tell.
        """
        folder = Path(self.mktemp())
        (folder / "m.yml").mkdir(parents=True)
        self.assertRaises(OSError, write_manifest, folder / "m.yml", "text")
        self.assertEqual([p.name for p in folder.iterdir()], ["m.yml"])
