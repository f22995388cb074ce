"""
Tests for L{distributor.cache.contents}: what a store tells of what it has.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection

from attrs import evolve
from twisted.internet.defer import Deferred

from distributor.cache import ArgusState, Facts, Index, Store
from distributor.cache.cache_json import group_of
from distributor.cache.contents import FactState
from distributor.model import DiskFailed, InThread, P, T
from tests.cache.stores import IN_THREAD, NOW, Jobs, StoreCase, data_object, hash_of, payload
from tests.cache.test_database import FAULT

ALL: tuple[FactState, ...] = ("complete", "partial", "unverified")


class ContentsCase(StoreCase):
    """
    A store with something of each kind.
    """

    def setUp(self) -> None:
        super().setUp()
        self.cache_json = self.base / "state" / "cache.json"
        for object_id, age in (("7", 100), ("70", 50)):
            self.put_file(self.assets / object_id, payload(object_id, 2000))
            os.utime(self.assets / object_id, (NOW - age, NOW - age))
        self.store = self.with_argus()

    async def begun(self, argus_thread: InThread) -> Store:
        """
        A store beside a C{cache.json}, that has been started.
        """
        argus = ArgusState(self.cache_json, argus_thread)
        store = Store(self.assets, Index(self.database, IN_THREAD), 100_000, IN_THREAD, self.clock.seconds, argus)
        await store.start()
        await store.surveyed()
        return store

    def with_argus(self, argus_thread: InThread = IN_THREAD) -> Store:
        """
        The same, which is stopped when the test ends.
        """
        store = self.done(self.begun(argus_thread))
        self.addCleanup(lambda: self.done(store.stop()))
        return store

    def leave_partial(self, object_id: str) -> None:
        """
        Have the first half of an object.
        """
        allocation = self.done(self.store.allocate(data_object(object_id, 100)))
        self.write(allocation, 0, 50)
        self.done(allocation.suspend([(0, 50)], 2))


class FactsTests(ContentsCase):
    """
    L{Store.facts}, L{Store.page}, L{Store.known_type}.
    """

    def test_complete(self) -> None:
        """
        Reads that have not been written down show.
        """
        self.fill(self.store, "8", 100, "video/mp4")
        self.store.touch("8")
        content_hash = str(hash_of(payload("8", 100)))
        expected = Facts("8", 100, content_hash, "video/mp4", "complete", ((0, 100),), NOW, NOW + 1, 1)
        self.assertEqual(self.done(self.store.facts("8")), expected)
        self.done(self.store.flush())
        self.assertEqual(self.done(self.store.facts("8")), expected)
        self.assertEqual((expected.present, self.store.known_type("8")), (100, "video/mp4"))

    def test_partial(self) -> None:
        """
        Of an unfinished object its runs are known; while it is being filled, those that have been recorded.
        """
        self.leave_partial("8")
        facts = self.done(self.store.facts("8"))
        assert facts is not None
        self.assertEqual((facts.state, facts.extents, facts.present, facts.hits), ("partial", ((0, 50),), 50, 2))
        allocation = self.done(self.store.allocate(data_object("8", 100)))
        self.assertEqual(self.done(self.store.facts("8")), facts)
        self.done(allocation.discard())
        self.assertIsNone(self.done(self.store.facts("8")))

    def test_unverified(self) -> None:
        """
        Of an unverified file nothing is known but what others say.
        """
        expected = Facts("7", 2000, None, None, "unverified", ((0, 2000),), None, NOW - 100, 0)
        self.assertEqual(self.done(self.store.facts("7")), expected)

    def pages(self, limit: int, states: Collection[FactState] = ALL) -> list[list[str]]:
        """
        The ids of all pages.
        """
        pages: list[list[str]] = []
        while page := self.done(self.store.page(pages[-1][-1] if pages else None, limit, states)):
            pages.append([facts.object_id for facts in page])
        return pages

    def test_pages(self) -> None:
        """
        All kinds come together, in the order of the numbers.
        """
        for object_id in ("8", "100", "69"):
            self.fill(self.store, object_id, 10)
        self.leave_partial("71")
        self.assertEqual(self.pages(2), [["7", "8"], ["69", "70"], ["71", "100"]])
        self.assertEqual(self.pages(99), [["7", "8", "69", "70", "71", "100"]])
        self.assertEqual(self.pages(1, ["unverified"]), [["7"], ["70"]])
        self.assertEqual(self.pages(9, ["complete"]), [["8", "69", "100"]])
        self.assertEqual(self.pages(9, ["partial", "unverified"]), [["7", "70", "71"]])
        self.assertEqual(self.pages(9, []), [])

    def test_a_page_tells_what_facts_tell(self) -> None:
        """
        Both say the same of an object.
        """
        self.fill(self.store, "8", 10)
        self.store.touch("8")
        self.leave_partial("71")
        page = self.done(self.store.page(None, 99))
        self.assertEqual(page, [self.done(self.store.facts(facts.object_id)) for facts in page])

    def test_object_ids(self) -> None:
        """
        The ids of all there is can be had.
        """
        self.fill(self.store, "8", 10)
        self.leave_partial("71")
        self.assertEqual(set(self.store.object_ids()), {"7", "8", "70", "71"})
        self.assertEqual(self.store.complete(), ["8"])

    def test_evidence(self) -> None:
        """
        Evidence is there at once, and in the next life.
        """
        self.store.record_fault(FAULT)
        self.store.record_fault(evolve(FAULT, bytes=5))
        self.assertEqual(self.done(self.store.faults(1)), [evolve(FAULT, bytes=5)])
        self.done(self.store.stop())
        self.store = self.with_argus()
        self.assertEqual(self.done(self.store.faults(9)), [evolve(FAULT, bytes=5), FAULT])


class SaveForArgusTests(ContentsCase):
    """
    L{Store.save_for_argus}.
    """

    def saved(self) -> tuple[dict[str, tuple[int, int, int, int]], dict[str, str]]:
        """
        What is in the file: group, KiB, popularity and time in ms of each object, and types.
        """
        parsed = json.loads(self.cache_json.read_text(encoding="utf-8"))
        uses = {
            object_id: (group, facts["sizeKB"], facts["popularity"], facts["lastAccessTime"])
            for group, entries in enumerate(parsed["lruCacheGroups"])
            for object_id, facts in entries
        }
        return uses, dict(parsed["mimeTypeByObjectId"])

    def test_complete_and_unverified(self) -> None:
        """
        All complete files are listed, verified or not; unfinished ones are not.
        """
        self.fill(self.store, "8", 5000, "video/mp4")
        for _ in range(3):
            self.store.touch("8")
        self.leave_partial("71")
        self.assertTrue(self.done(self.store.save_for_argus()))
        uses, types = self.saved()
        at = round(NOW * 1000)
        self.assertEqual(
            uses,
            {"8": (0, 5, 3, at + 1000), "7": (1, 2, 1, at - 100_000), "70": (1, 2, 1, at - 50_000)},
        )
        self.assertEqual(types, {"8": "video/mp4"})

    def test_what_argus_knew_comes_back(self) -> None:
        """
        What it told of files that have not been verified since is written as it was.
        """
        self.done(self.store.stop())
        entry = ["7", {"sizeKB": 2, "popularity": 9, "lastAccessTime": 1_600_000_000_123}]
        written = {"lruCacheGroups": [[entry]], "mimeTypeByObjectId": [["7", "video/mp4"]]}
        self.cache_json.write_text(json.dumps(written), encoding="utf-8")
        self.store = self.with_argus()
        self.done(self.store.save_for_argus())
        uses, types = self.saved()
        self.assertEqual((uses["7"], types), ((0, 2, 9, 1_600_000_000_123), {"7": "video/mp4"}))

    def test_order_in_a_group(self) -> None:
        """
        In each list the least recently used come first, whether they have been verified or not.
        """
        for object_id in ("8", "9", "10"):
            self.fill(self.store, object_id, 2000)
        self.clock.advance(5)
        self.store.touch("8")
        self.fill(self.store, "11", 64 * 1024)
        self.done(self.store.save_for_argus())
        groups = json.loads(self.cache_json.read_text(encoding="utf-8"))["lruCacheGroups"]
        self.assertEqual([object_id for object_id, _ in groups[1]], ["7", "70", "9", "10", "8"])
        self.assertEqual([object_id for object_id, _ in groups[group_of(64 * 1024, 1)]], ["11"])

    def test_only_what_is_new(self) -> None:
        """
        What has not changed is not written again.
        """
        self.assertTrue(self.done(self.store.save_for_argus()))
        self.assertFalse(self.done(self.store.save_for_argus()))
        self.fill(self.store, "8", 10)
        self.assertTrue(self.done(self.store.save_for_argus()))
        self.store.touch("8")
        self.assertTrue(self.done(self.store.save_for_argus()))
        self.done(self.store.remove("8"))
        self.assertTrue(self.done(self.store.save_for_argus(due=True)))
        self.assertEqual(set(self.saved()[0]), {"7", "70"})

    def test_not_too_often(self) -> None:
        """
        What takes long is not due again soon; a clean stop does not ask for that.
        """
        took_s = 10.0

        def slow(f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
            if f is os.fsync:
                self.clock.advance(took_s)
            return IN_THREAD(f, *args, **kwargs)

        self.done(self.store.stop())
        self.store = self.with_argus(slow)
        self.assertTrue(self.done(self.store.save_for_argus(due=True)))
        self.fill(self.store, "8", 10)
        self.assertFalse(self.done(self.store.save_for_argus(due=True)))
        self.assertTrue(self.done(self.store.save_for_argus()))
        self.store.touch("8")
        self.clock.advance(100 * took_s - 1)
        self.assertFalse(self.done(self.store.save_for_argus(due=True)))
        self.clock.advance(1)
        self.assertTrue(self.done(self.store.save_for_argus(due=True)))

    def test_not_without_all(self) -> None:
        """
        Where the index lacks a file, nothing is written: Argus would delete it.
        """

        async def refuse(*args: object) -> None:
            raise DiskFailed("full")

        self.done(self.store.save_for_argus())
        before = self.cache_json.read_bytes()
        restore = self.patch(Index, "put", refuse).restore
        self.fill(self.store, "8", 10)
        self.failed(self.store.save_for_argus(), DiskFailed)
        self.assertEqual(self.cache_json.read_bytes(), before)
        restore()
        self.assertTrue(self.done(self.store.save_for_argus()))
        self.assertIn("8", self.saved()[0])

    def test_without_argus(self) -> None:
        """
        A store that was not told of Argus writes nothing.
        """
        self.done(self.store.stop())
        store = self.started(capacity=10_000)
        self.assertFalse(self.done(store.save_for_argus()))
        self.assertFalse(self.cache_json.exists())
        self.done(store.stop())

    def test_one_after_another(self) -> None:
        """
        One that is asked for while another is being written comes after it, and finds nothing to do.
        """
        self.done(self.store.stop())
        jobs = Jobs()
        starting = self.later(self.begun(jobs))
        jobs.run_all()
        store = self.successResultOf(starting)
        one, other = self.later(store.save_for_argus()), self.later(store.save_for_argus())
        self.assertEqual(jobs.names, ["_create"])
        jobs.run_all()
        self.assertEqual((self.successResultOf(one), self.successResultOf(other)), (True, False))
        self.done(store.stop())
