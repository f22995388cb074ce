"""
Tests for L{distributor.operations.operations}: what an operator does.
"""

from __future__ import annotations

import json
from typing import Any

from attrs import evolve

from distributor.model import DiskFailed
from distributor.operations import Door
from distributor.web import errors, operator_errors
from distributor.web.gate import Gate
from tests.operations.operated import HeldObject
from tests.operations.operating import PART, SIZE, OperationsCase


class ObjectsTests(OperationsCase):
    """
    What is done with objects.
    """

    def test_evict(self) -> None:
        """
        An object is deleted, and its bytes are free.
        """
        self.operated.have("1", "2")
        answer = self.described(self.done(self.operations.evict("1")), "Evicted")
        self.assertEqual(answer, {"objectId": "1", "freed": SIZE})
        self.assertEqual(self.operated.store.real.used, SIZE)
        self.assert_refused(operator_errors.NOT_HERE, self.operations.evict, "1")

    def test_evict_what_is_not_whole(self) -> None:
        """
        So is a part of one, and a file that nobody has verified.
        """
        self.operated.store.more["5"] = HeldObject("5", 7, None, None, "unverified", ((0, 7),))
        self.operated.store.more["6"] = evolve(PART, object_id="6")
        self.assertEqual(self.done(self.operations.evict("5"))["freed"], 7)
        self.assertEqual(self.done(self.operations.evict("6"))["freed"], 5)
        self.assertEqual(self.operated.store.reasons, [(each, "the operator wanted it") for each in "56"])

    def test_evict_what_comes(self) -> None:
        """
        What is being downloaded stays.
        """
        reader = self.operated.read("7")
        self.assert_refused(operator_errors.DOWNLOADING, self.operations.evict, "7")
        self.operated.settle()
        reader.close()
        self.assertEqual(self.done(self.operations.evict("7"))["freed"], SIZE)

    def test_evict_in_vain(self) -> None:
        """
        A disk that refuses is what the operator wants to know about.
        """
        self.operated.have("1")

        async def refuse(object_id: str, reason: str) -> bool:
            raise DiskFailed("deleting object 1: Read-only file system")

        self.patch(self.operated.store, "remove", refuse)
        self.assert_refused(operator_errors.DISK_FAILED, self.operations.evict, "1", message="Read-only")

    def test_prefetch(self) -> None:
        """
        Objects are fetched, and how far that is can be seen.
        """
        answer = self.described(self.done(self.operations.prefetch(["7", "10"])), "Prefetched")
        self.assertEqual([each["state"] for each in answer["objects"]], ["started", "unknown"])
        self.assertEqual(self.described(self.operations.prefetching(), "Prefetching")["running"], ["7"])
        self.operated.settle()
        self.assertEqual(self.described(self.operations.stop_prefetching(), "Prefetching")["done"], 1)

    def test_verify(self) -> None:
        """
        Objects are verified, and that can be left off.
        """
        self.operated.have("1")
        self.described(self.operations.verification(), "Verification")
        answer = self.described(self.operations.verify(1000), "Verification")
        self.assertEqual((answer["state"], answer["total"]), ("running", 1))
        self.assert_refused(operator_errors.VERIFYING, self.operations.verify, None)
        self.assertEqual(self.described(self.operations.stop_verifying(), "Verification")["state"], "stopped")

    def test_save_cache_state(self) -> None:
        """
        What Argus reads is written, unless nothing has changed; a disk that refuses is told of.
        """
        self.operated.have("1")
        saved = [self.described(self.done(self.operations.save_cache_state()), "Saved")["written"] for _ in range(2)]
        self.assertEqual(saved, [True, False])
        written = json.loads((self.operated.directory / "state" / "cache.json").read_text())
        self.assertEqual([use[0] for group in written["lruCacheGroups"] for use in group], ["1"])
        self.operated.store.trouble = DiskFailed("No space left on device")
        self.assert_refused(operator_errors.DISK_FAILED, self.operations.save_cache_state, message="No space")

    def test_bad(self) -> None:
        """
        What was found bad stands in the explanation.
        """
        self.operated.have("1")
        with self.operated.path("1").open("r+b") as file:
            file.write(b"other bytes")
        self.operations.verify(None)
        self.operated.settle()
        [bad] = self.described(self.operations.verification(), "Verification")["bad"]
        told = self.described(self.done(self.operations.explain("1")), "Explanation")
        self.assertEqual((told["state"], told["foundBad"]), ("absent", bad))


class NodeTests(OperationsCase):
    """
    What is done with the node.
    """

    def test_scope(self) -> None:
        """
        The catalogue is told who the node is, and what it distributes.
        """
        self.operations.set_worker(3)
        self.operations.set_buckets(("0:1",))
        self.operations.set_buckets(None)
        self.assertEqual(self.catalogue.said, [("worker", 3), ("buckets", ("0:1",)), ("buckets", None)])

    def test_no_scope(self) -> None:
        """
        Where there is nothing that knows of workers, there is nothing to be told.
        """
        operations = self.make(scope=None)
        self.assert_refused(operator_errors.NO_QUERY_NODE, operations.set_worker, 3)
        self.assert_refused(operator_errors.NO_QUERY_NODE, operations.set_buckets, None)

    def test_api(self) -> None:
        """
        The public API is stopped and started, each once.
        """
        self.assert_refused(operator_errors.ALREADY_STARTED, self.operations.start_api)
        self.operations.stop_api()
        self.assert_refused(operator_errors.ALREADY_STOPPED, self.operations.stop_api)
        self.operations.start_api()
        self.operated.have("1")
        self.operations.stop_api()
        self.assertEqual(self.done(self.operations.evict("1"))["freed"], SIZE)

    def test_shutdown(self) -> None:
        """
        The node ends once that has been answered; and once.
        """
        self.operations.shutdown()
        self.assertEqual(self.shutdowns, 0)
        self.assert_refused(operator_errors.SHUTTING_DOWN, self.operations.shutdown)
        self.operated.clock.advance(0)
        self.assertEqual(self.shutdowns, 1)

    def test_starting(self) -> None:
        """
        Before the index has been read, what needs it waits; the rest does not.
        """
        self.door = Door(Gate(10))
        self.operations = self.make()
        for f, args in self.needing_the_store():
            self.assert_refused(errors.STARTING, f, *args)
        self.operations.status()
        self.operations.storage_nodes()
        self.operations.shutdown()
        self.operated.clock.advance(0)

    def test_ending(self) -> None:
        """
        At the end, nothing is begun any more.
        """
        self.door.shut()
        for f, args in self.needing_the_store():
            self.assert_refused(operator_errors.SHUTTING_DOWN, f, *args)
        self.assert_refused(operator_errors.SHUTTING_DOWN, self.operations.shutdown)
        self.assertEqual(self.shutdowns, 0)

    def needing_the_store(self) -> list[tuple[Any, tuple[object, ...]]]:
        return [
            (self.operations.objects, (None, 10)),
            (self.operations.faults, (10,)),
            (self.operations.explain, ("1",)),
            (self.operations.evict, ("1",)),
            (self.operations.prefetch, (["1"],)),
            (self.operations.verify, (None,)),
            (self.operations.save_cache_state, ()),
        ]

    def test_stop(self) -> None:
        """
        The end leaves nothing running.
        """
        self.operated.have("1")
        self.operations.verify(1)
        self.done(self.operations.prefetch(["7"]))
        self.done(self.operations.stop())
        self.assertEqual(self.operations.verification()["state"], "stopped")
        self.assertEqual(self.operations.prefetching()["running"], [])
        self.assert_refused(operator_errors.SHUTTING_DOWN, self.operations.verify, None)
