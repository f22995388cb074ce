"""
Tests for L{distributor.devnet.network}.
"""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from distributor.devnet.network import Network
from tests.devnet.sample_network import NETWORK


class NetworkTests(SynchronousTestCase):
    """
    Questions to a network.
    """

    def test_document(self) -> None:
        """
        A network that went through JSON is the same.
        """
        self.assertEqual(Network.from_document(json.loads(json.dumps(NETWORK.document()))), NETWORK)

    def test_found(self) -> None:
        """
        An object is found with its bag; an id of which there is none finds nothing.
        """
        found = NETWORK.found("3")
        assert found is not None
        self.assertEqual((found[0].id, found[1].id), ("3", "dynamic:channel:2"))
        self.assertIsNone(NETWORK.found("5"))

    def test_lagging(self) -> None:
        """
        At a lower height, what came later is not there yet; everything else is.
        """
        self.assertIsNone(NETWORK.at(89).found("3"))
        self.assertEqual(NETWORK.at(89).height, 89)
        self.assertEqual(NETWORK.at(90).found("3"), NETWORK.found("3"))
        self.assertEqual(NETWORK.at(0).found("1"), NETWORK.found("1"))

    def test_served_by(self) -> None:
        """
        A worker serves the buckets that it has accepted, not those that it is invited to.
        """
        self.assertEqual(NETWORK.served_by(7), ("0:0",))
        self.assertEqual(NETWORK.served_by(8), ("0:1",))
        self.assertEqual(NETWORK.served_by(9), ())

    def test_distributed(self) -> None:
        """
        What some buckets distribute is the objects of their bags, each once.
        """
        self.assertEqual([item.id for item in NETWORK.distributed(["0:1"])], ["3", "4"])
        self.assertEqual([item.id for item in NETWORK.distributed(["0:1", "0:0"])], ["1", "2", "3", "4"])

    def test_manifest(self) -> None:
        """
        A manifest tells of the storage nodes that there are, and of the objects that have been uploaded.
        """
        manifest = NETWORK.manifest()
        self.assertEqual(
            manifest["storageNodes"],
            [{"id": "0", "endpoint": "http://127.0.0.1:1/"}, {"id": "1", "endpoint": "http://127.0.0.1:2"}],
        )
        objects = manifest["objects"]
        assert isinstance(objects, dict)
        self.assertEqual(list(objects), ["1", "2", "3"])
        self.assertEqual(
            {name: objects["2"][name] for name in ("size", "type", "storedBy", "buckets")},
            {"size": 2, "type": "text/vtt", "storedBy": ["0", "1"], "buckets": ["0:0"]},
        )
        self.assertEqual((objects["3"]["storedBy"], objects["3"]["buckets"]), (["1"], ["0:0", "0:1"]))
