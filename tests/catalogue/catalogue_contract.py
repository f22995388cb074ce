"""
What every catalogue does, whatever it is made from.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from distributor.catalogue import ICatalogue, Selection
from distributor.model import Listing, ObjectNotFound, StorageNode


class CatalogueTestsMixin:
    """
    A catalogue of the objects 1, in bucket 0:0, 2, in bucket 0:1, and 3, in 0:0 and not uploaded; all stored at
    C{http://storage.example/}; made for bucket 0:0, and worker 3, whose it is.

    To be inherited from beside C{SynchronousTestCase}.

    @ivar changes: how often it was told that what is ours has changed.
    """

    changes: int

    def catalogue(self) -> Any:
        """
        Make it, and let it know what it can.
        """
        raise NotImplementedError

    def refreshed(self) -> None:
        """
        Let it know what it can, once more.
        """

    def listing(self: Any, object_id: str) -> Listing:
        """
        What it says of an object.
        """
        found: Listing = self.successResultOf(Deferred.fromCoroutine(self.made.lookup(object_id)))
        return found

    def make(self: Any) -> Any:
        self.made = self.catalogue()
        return self.made

    def test_interface(self: Any) -> None:
        """
        It provides the interface.
        """
        catalogue = self.make()
        verifyObject(ICatalogue, catalogue)
        self.assertIsInstance(catalogue.negative_ttl_s, int)

    def test_listings(self: Any) -> None:
        """
        An object is listed with its storage nodes, and whether it is ours; whether it was uploaded is for others.
        """
        self.make()
        first, second, third = map(self.listing, "123")
        self.assertEqual((first.object.id, first.object.size, first.object.accepted), ("1", 6, True))
        self.assertEqual([node.endpoint for node in first.storage_nodes], ["http://storage.example/"])
        self.assertEqual([each.distributed_here for each in (first, second, third)], [True, False, True])
        self.assertFalse(third.object.accepted)

    def test_unknown(self: Any) -> None:
        """
        What there is not is not found; nor is what is no object id.
        """
        catalogue = self.make()
        for object_id in ("4", "", "01", "x", "../1", "1" * 21, "\u0661"):
            self.failureResultOf(Deferred.fromCoroutine(catalogue.lookup(object_id)), ObjectNotFound)
            self.assertFalse(catalogue.serves(object_id))
            self.assertFalse(catalogue.explain(object_id)["ours"])

    def test_serves(self: Any) -> None:
        """
        Whether an object is ours can be said from memory, and is what a lookup says.
        """
        catalogue = self.make()
        self.assertEqual([catalogue.serves(each) for each in "123"], [True, False, True])

    def test_other_buckets(self: Any) -> None:
        """
        Other buckets make other objects ours, and that is told; the same ones do not.
        """
        catalogue = self.make()
        before = self.changes
        catalogue.set_buckets(("0:1",))
        self.refreshed()
        self.assertGreater(self.changes, before)
        self.assertEqual([catalogue.serves(each) for each in "123"], [False, True, False])
        self.assertEqual([self.listing(each).distributed_here for each in "123"], [False, True, False])
        self.assertEqual(catalogue.selection, Selection(("0:1",), 3))
        before = self.changes
        catalogue.set_buckets(["0:1"])
        self.assertEqual(self.changes, before)

    def test_worker(self: Any) -> None:
        """
        Without buckets, the worker counts, as far as the catalogue knows of workers.
        """
        catalogue = self.make()
        catalogue.set_buckets(None)
        self.refreshed()
        self.assertTrue(catalogue.serves("1"))
        catalogue.set_worker(4)
        self.refreshed()
        self.assertEqual(catalogue.selection, Selection(None, 4))
        self.assertTrue(catalogue.serves("2"))
        catalogue.set_worker(None)
        self.refreshed()
        self.assertEqual([catalogue.serves(each) for each in "123"], [True, True, True])

    def test_bucket_ids(self: Any) -> None:
        """
        Its buckets can be told.
        """
        self.assertIn("0:0", self.make().bucket_ids)

    def test_storage_nodes(self: Any) -> None:
        """
        All storage nodes can be told.
        """
        [node] = self.make().storage_nodes
        self.assertIsInstance(node, StorageNode)
        self.assertEqual((node.id, node.endpoint), ("0", "http://storage.example/"))

    def test_explanations(self: Any) -> None:
        """
        What is known of an object, and why it is ours or is not, can be told as JSON.
        """
        catalogue = self.make()
        for each in "123":
            self.listing(each)
        ours, others = (json.loads(json.dumps(catalogue.explain(each))) for each in "12")
        self.assertEqual((ours["state"], ours["ours"]), ("known", True))
        self.assertEqual((others["state"], others["ours"]), ("known", False))
        self.assertIn("0:0", ours["why"])
        self.assertIn("0:1", others["why"])
        self.assertEqual(ours["object"]["size"], 6)
        self.assertTrue(ours["object"]["contentHash"].startswith("gW"))
        self.assertEqual(ours["storageNodes"], [{"bucket": "0", "endpoint": "http://storage.example/"}])
        self.assertNotEqual(catalogue.explain("4")["state"], "known")

    def test_status(self: Any) -> None:
        """
        So can how the catalogue is.
        """
        status = json.loads(json.dumps(self.make().status()))
        self.assertIn("0:0", status["buckets"])
