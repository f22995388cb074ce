"""
Tests for L{distributor.operations.operations}: what an operator sees.
"""

from __future__ import annotations

from attrs import evolve

from distributor.model import CatalogueUnavailable, DiskFailed
from distributor.web import operator_errors
from tests.operations.operated import Deletion, HeldObject
from tests.operations.operating import BUCKETS, FAULT, PART, SIZE, STATUS, OperationsCase


class SeeingTests(OperationsCase):
    """
    What there is.
    """

    def test_status(self) -> None:
        """
        The public status, and more.
        """
        status = self.described(self.operations.status(), "Status")
        self.assertEqual({name: status[name] for name in STATUS}, STATUS)
        self.assertEqual((status["publicApi"], status["queryNode"]), ("running", {"height": 100}))
        self.operations.stop_api()
        self.assertEqual(self.operations.status()["publicApi"], "stopped")

    def test_buckets(self) -> None:
        """
        The public buckets.
        """
        self.assertEqual(self.described(self.operations.buckets(), "Buckets"), BUCKETS)

    def test_config(self) -> None:
        """
        Each row of the configuration, in its order.
        """
        rows = self.described(self.operations.config(), "Config")["config"]
        self.assertEqual(rows[0], {"key": "publicApi.port", "value": 3334, "origin": "default"})
        self.assertEqual(rows[1]["key"], "id")

    def test_downloads(self) -> None:
        """
        What is coming, and how far it is.
        """
        self.assertEqual(self.described(self.operations.downloads(), "Downloads"), {"downloads": []})
        reader = self.operated.read("7")
        [download] = self.described(self.operations.downloads(), "Downloads")["downloads"]
        self.assertEqual((download["objectId"], download["state"], download["readers"]), ("7", "filling", 1))
        reader.close()

    def test_storage_nodes(self) -> None:
        """
        As they are ranked.
        """
        nodes = self.described(self.operations.storage_nodes(), "StorageNodes")["storageNodes"]
        self.assertEqual([node["endpoint"] for node in nodes], ["http://a/", "http://b/"])

    def test_faults(self) -> None:
        """
        The evidence, as much as is wanted.
        """
        self.operated.store.given_faults = [FAULT] * 3
        faults = self.described(self.done(self.operations.faults(2)), "Faults")["faults"]
        self.assertEqual(len(faults), 2)
        self.assertEqual(
            faults[0],
            {
                "objectId": "7",
                "endpoint": "http://a/",
                "bucket": "4",
                "kind": "early_end",
                "expected": "10",
                "got": "5",
                "bytes": 5,
                "at": 12.5,
            },
        )

    def test_objects(self) -> None:
        """
        The index, page by page, to its end.
        """
        self.operated.have("3", "1", "2")
        found, after = [], None
        for _ in range(10):
            page = self.described(self.done(self.operations.objects(after, 2)), "Objects")
            found += [each["objectId"] for each in page["objects"]]
            after = page["next"]
            if after is None:
                break
        self.assertEqual(found, ["1", "2", "3"])
        [one] = self.done(self.operations.objects("2", 2))["objects"]
        self.assertEqual((one["state"], one["size"], one["present"], one["hits"]), ("complete", SIZE, SIZE, 0))

    def test_objects_that_come(self) -> None:
        """
        Of an object that is coming, the download knows better than the index.
        """
        self.operated.store.more["1"] = PART
        [one] = self.described(self.done(self.operations.objects(None, 10)), "Objects")["objects"]
        self.assertEqual((one["state"], one["present"]), ("partial", 5))
        reader = self.operated.read("1")
        [one] = self.described(self.done(self.operations.objects(None, 10)), "Objects")["objects"]
        self.assertEqual((one["state"], one["present"]), ("downloading", 0))
        reader.close()

    def test_objects_of_others(self) -> None:
        """
        Of a file that nobody has verified not much is known.
        """
        self.operated.store.more["1"] = HeldObject("1", 5, None, None, "unverified", ((0, 5),))
        [one] = self.described(self.done(self.operations.objects(None, 10)), "Objects")["objects"]
        self.assertEqual((one["state"], one["contentHash"], one["addedAt"]), ("unverified", None, None))

    def test_index_refuses(self) -> None:
        """
        Where the index cannot be read, the operator is told why.
        """
        self.operated.store.trouble = DiskFailed("index: disk I/O error")
        self.assert_refused(operator_errors.DISK_FAILED, self.operations.objects, None, 10, message="disk I/O error")

    def test_explain(self) -> None:
        """
        All there is to say: from the catalogue, the storage nodes, the store, a download, the last verification.
        """
        self.operated.have("1")
        self.operated.store.evictions["1"] = Deletion("room for others", 9.5)
        told = self.described(self.done(self.operations.explain("1")), "Explanation")
        self.assertEqual((told["state"], told["readers"]), ("complete", 2))
        self.assertEqual(told["lastEviction"], {"at": 9.5, "reason": "room for others"})
        self.assertEqual((told["distributedHere"], told["why"]), (True, "1 is in bucket 0:1"))
        self.assertEqual(told["catalogue"]["ageS"], 1.5)
        self.assertEqual([node["endpoint"] for node in told["storageNodes"]], ["http://node0.example/"])
        reader = self.operated.read("2")
        told = self.described(self.done(self.operations.explain("2")), "Explanation")
        self.assertEqual((told["state"], told["readers"]), ("downloading", 1))
        reader.close()
        self.operated.store.more["3"] = evolve(PART, object_id="3")
        told = self.described(self.done(self.operations.explain("3")), "Explanation")
        self.assertEqual((told["state"], told["extents"]), ("partial", [[5, 10]]))

    def test_explain_without_catalogue(self) -> None:
        """
        A catalogue that is down says so, and the rest is told all the same.
        """
        self.operated.have("1")
        self.operated.troubles["1"] = CatalogueUnavailable()
        told = self.described(self.done(self.operations.explain("1")), "Explanation")
        self.assertEqual((told["state"], told["storageNodes"]), ("complete", []))
        self.assertEqual(told["catalogue"]["error"], "the catalogue cannot be reached")
        told = self.described(self.done(self.operations.explain("10")), "Explanation")
        self.assertEqual((told["state"], told["size"]), ("absent", None))
        self.assertEqual(told["catalogue"]["error"], "the catalogue does not know it")
