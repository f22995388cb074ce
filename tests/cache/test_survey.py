"""
Tests for L{distributor.cache.survey}: a store that serves before it has looked at its files, and what Argus told.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Sequence

from twisted.internet.defer import CancelledError
from twisted.logger import LogLevel, capturedLogs

from distributor.cache import ArgusState, Index, Store, disk
from distributor.cache.disk import Listing
from distributor.model import DiskFailed, NoRoom
from tests.cache.stores import IN_THREAD, NOW, Jobs, StoreCase, data_object, payload


class SurveyCase(StoreCase):
    """
    Stores whose threads wait, with a C{cache.json} beside the index.
    """

    def setUp(self) -> None:
        super().setUp()
        self.jobs = Jobs()
        self.cache_json = self.base / "state" / "cache.json"

    def held(self, capacity: int = 1000) -> Store:
        """
        A store whose start has returned, and that has not looked at any file yet.
        """
        argus = ArgusState(self.cache_json, self.jobs)
        index = Index(self.database, IN_THREAD)
        store = Store(self.assets, index, capacity, self.jobs, self.clock.seconds, argus)
        starting = self.later(store.start())
        while not starting.called:
            self.jobs.run()
        self.successResultOf(starting)
        self.assertEqual(self.jobs.names, ["read"])
        return store

    def surveyed(self, capacity: int = 1000) -> Store:
        """
        A store that has looked at all of them.
        """
        store = self.held(capacity)
        self.jobs.run_all()
        self.successResultOf(store.surveyed())
        return store

    def leave(self, *object_ids: str, size: int = 100) -> None:
        """
        Have complete objects, and be stopped.
        """
        store = self.started()
        for object_id in object_ids:
            self.fill(store, object_id, size)
        self.done(store.stop())

    def leave_file(self, object_id: str, used_at: float, size: int = 100) -> None:
        """
        Have a file that no index knows.
        """
        self.put_file(self.assets / object_id, payload(object_id, size))
        os.utime(self.assets / object_id, (used_at, used_at))

    def tell(self, uses: Sequence[tuple[str, float]], **types: str) -> None:
        """
        Be Argus, who writes down when objects were used, in seconds before now; and types, by ids with an underscore.
        """
        entries = [
            [object_id, {"sizeKB": 1, "popularity": 4, "lastAccessTime": (NOW - age) * 1000}] for object_id, age in uses
        ]
        listed = [[object_id.removeprefix("_"), type] for object_id, type in types.items()]
        self.put_file(
            self.cache_json, json.dumps({"lruCacheGroups": [entries], "mimeTypeByObjectId": listed}).encode("ascii")
        )


class SurveyTests(SurveyCase):
    """
    What can be done before all files have been looked at.
    """

    def test_serves_at_once(self) -> None:
        """
        What the index says is served before anybody has looked for the files.
        """
        self.leave("1", "2")
        store = self.held()
        self.assertEqual((store.object_count, store.used), (2, 200))
        opening = self.later(store.open("2"))
        self.jobs.run("_open")
        reader = self.successResultOf(opening)
        self.assertEqual(os.pread(reader.fd, 999, 0), payload("2", 100))
        reader.close()
        self.assertEqual(self.jobs.names, ["read"])
        self.jobs.run_all()
        self.assertEqual(store.object_count, 2)
        self.ran(self.jobs, store.stop())

    def test_what_changes_files_waits(self) -> None:
        """
        Filling and deleting wait for the end of it, and go on then.
        """
        self.leave("1", "2", "3")
        self.leave_file("4", NOW)
        store = self.held(capacity=10_000)
        store.disown(["3"])
        removing, spacing = self.later(store.remove("1")), self.later(store.make_space(100))
        cleaning = self.later(store.clean_up(9))
        allocating = self.later(store.allocate(data_object("4", 100)))
        self.assertEqual(self.jobs.names, ["read"])
        self.jobs.run_all()
        # The third was the first that could be spared.
        self.assertEqual((self.successResultOf(removing), self.successResultOf(spacing)), (True, True))
        self.assertEqual(self.successResultOf(cleaning), 0)
        allocation = self.successResultOf(allocating)
        self.assertEqual(allocation.extents, ((0, 100),))
        self.assertEqual((self.files(self.assets), self.files(self.partial)), ({"2": 100}, {"4": 100}))
        self.ran(self.jobs, allocation.discard())
        self.ran(self.jobs, store.stop())

    def test_a_file_that_has_gone(self) -> None:
        """
        Who asks for an object whose file has gone learns that, and the survey finds it out, too.
        """
        self.leave("1", "2")
        (self.assets / "1").unlink()
        store = self.held()
        opening = self.later(store.open("1"))
        self.jobs.run("_open")
        self.failureResultOf(opening, LookupError)
        self.jobs.run_all()
        self.assertIsNone(store.get("1"))
        self.assertEqual((store.used, store.object_count), (100, 1))
        self.ran(self.jobs, store.stop())
        self.assertEqual([row.id for row in self.rows()], ["2"])

    def test_a_file_that_goes_while_it_is_read(self) -> None:
        """
        Who reads a file that somebody else deletes reads on, and it takes its space until then; a new one may come.
        """
        self.leave("1")
        store = self.held(capacity=150)
        opening = self.later(store.open("1"))
        self.jobs.run("_open")
        reader = self.successResultOf(opening)
        (self.assets / "1").unlink()
        self.jobs.run_all()
        self.assertEqual((store.get("1"), store.used), (None, 100))
        self.failureResultOf(self.later(store.allocate(data_object("1", 100))), NoRoom)
        reader.close()
        self.assertEqual(store.used, 0)
        self.ran(self.jobs, self.fetch(store, data_object("1", 100)))
        self.assertEqual(self.files(self.assets), {"1": 100})
        self.ran(self.jobs, store.stop())

    def test_a_file_that_is_another(self) -> None:
        """
        One that has another size than it should is one of which nothing is known, and is not deleted, though somebody
        has asked for it.
        """
        self.leave("1")
        self.put_file(self.assets / "1", b"short")
        store = self.held()
        opening = self.later(store.open("1"))
        self.jobs.run("_open")
        self.failureResultOf(opening, LookupError)
        self.jobs.run_all()
        self.assertEqual((store.get("1"), store.unverified, store.used), (None, {"1": 5}, 5))
        self.assertEqual(self.files(self.assets), {"1": 5})
        self.ran(self.jobs, store.stop())

    def test_touched_meanwhile(self) -> None:
        """
        What is read while files are looked at is the last to go, whatever was known of it.
        """
        self.leave("1", "2")
        self.leave_file("8", NOW + 5)
        self.patch(disk, "BATCH", 1)
        store = self.held(capacity=300)
        self.clock.advance(10)
        store.touch("1")
        while self.jobs.waiting:
            self.jobs.run()
        self.assertEqual(list(store.object_ids()), ["2", "8", "1"])
        self.ran(self.jobs, store.stop())

    def test_waiting_is_each_ones_own(self) -> None:
        """
        One who does not wait any longer does not matter to the others.
        """
        store = self.held()
        one, other = store.surveyed(), store.surveyed()
        one.cancel()
        self.failureResultOf(one, CancelledError)
        self.assertNoResult(other)
        self.jobs.run_all()
        self.successResultOf(other)
        self.ran(self.jobs, store.stop())

    def test_left_off(self) -> None:
        """
        A node that is stopped does not look at the rest: it keeps what it has not seen, and nobody gets space any more.
        """
        self.leave(*"123456")
        self.patch(disk, "BATCH", 2)
        store = self.held()
        allocating = self.later(store.allocate(data_object("9", 10)))
        self.jobs.run()
        store.leave_off()
        self.jobs.run()
        self.assertEqual(self.jobs.names, [])
        self.failureResultOf(allocating, NoRoom)
        self.assertFalse(self.ran(self.jobs, store.save_for_argus()))
        self.ran(self.jobs, store.stop())
        self.assertEqual(len(self.rows()), 6)
        self.assertFalse(self.cache_json.exists())

    def test_stopped(self) -> None:
        """
        So does a store that is stopped.
        """
        self.leave("1")
        store = self.held()
        stopping = self.later(store.stop())
        self.assertNoResult(stopping)
        self.jobs.run_all()
        self.successResultOf(stopping)
        self.assertEqual(len(self.rows()), 1)

    def test_a_disk_that_fails_in_the_middle(self) -> None:
        """
        What has not been seen stays in the index, and is served; nothing new is kept, as nobody knows what there is.
        """
        self.leave("1", "2")

        def read(listing: Listing) -> None:
            raise OSError(errno.EIO, "Input/output error")

        self.patch(Listing, "read", read)
        store = self.held()
        with capturedLogs() as logged:
            self.jobs.run_all()
        self.assertIs(logged[0]["log_level"], LogLevel.error)
        self.assertEqual(store.object_count, 2)
        opening = self.later(store.open("1"))
        self.jobs.run_all()
        self.successResultOf(opening).close()
        allocating = self.later(store.allocate(data_object("3", 10)))
        self.failureResultOf(allocating, NoRoom)
        self.assertFalse(self.ran(self.jobs, store.save_for_argus()))
        self.ran(self.jobs, store.stop())
        self.assertEqual(len(self.rows()), 2)

    def test_unreadable(self) -> None:
        """
        A directory that cannot be read at all is told at once.
        """
        self.leave("1")

        def scandir(path: str) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        self.patch(os, "scandir", scandir)
        self.failed(self.make_store().start(), DiskFailed)


class ArgusTests(SurveyCase):
    """
    A folder that Argus has left.
    """

    def test_order(self) -> None:
        """
        Its files are evicted in the order in which Argus, or else the file system, saw them used; objects of an earlier
        life among them.
        """
        self.leave("1")
        for object_id, age in (("7", 1), ("8", 1), ("9", 50), ("10", -100)):
            self.leave_file(object_id, NOW - age)
        self.tell([("7", 100), ("8", 10), ("99", 0)])
        store = self.surveyed()
        self.assertEqual(store.object_ids(), ["7", "9", "8", "1", "10"])
        self.ran(self.jobs, store.stop())

    def test_evicted_in_this_order(self) -> None:
        """
        And the first that goes for the sake of another is the one that nobody has wanted for longest.
        """
        for object_id in "789":
            self.leave_file(object_id, NOW)
        self.tell([("7", 10), ("8", 30), ("9", 20)])
        store = self.surveyed(capacity=300)
        self.ran(self.jobs, self.fetch(store, data_object("1", 50)))
        self.assertEqual(self.files(self.assets), {"7": 100, "9": 100, "1": 50})
        self.ran(self.jobs, store.stop())

    def test_room_is_given_at_once_where_there_is_some(self) -> None:
        """
        What fits does not wait until all is in order; what something has to be evicted for does.
        """
        for object_id in "78":
            self.leave_file(object_id, NOW)
        self.tell([("7", 10), ("8", 30)])
        store = self.held(capacity=260)
        small, large = (self.later(store.allocate(data_object(each, size))) for each, size in (("1", 60), ("2", 90)))
        self.jobs.run("read")
        self.jobs.run("read")
        self.jobs.run("_create")
        allocation = self.successResultOf(small)
        self.assertNoResult(large)
        self.assertEqual(self.files(self.assets), {"7": 100, "8": 100})
        self.jobs.run_all()
        self.assertEqual(self.files(self.assets), {"7": 100})
        for each in (allocation, self.successResultOf(large)):
            self.ran(self.jobs, each.discard())
        self.ran(self.jobs, store.stop())

    def test_types(self) -> None:
        """
        Types are known before the files have been verified; not those of files that are not there.
        """
        self.leave_file("7", NOW)
        self.leave_file("8", NOW)
        self.tell([], _7="video/mp4", _9="video/webm")
        store = self.surveyed()
        self.assertEqual([store.known_type(each) for each in "789"], ["video/mp4", None, None])
        self.ran(self.jobs, store.stop())

    def test_complete_objects(self) -> None:
        """
        After a time with Argus, objects that were verified before count as used when Argus used them.
        """
        self.leave("1", "2", "3")
        self.tell([("1", -50), ("2", 50)])
        store = self.surveyed()
        self.assertEqual(store.object_ids(), ["2", "3", "1"])
        self.ran(self.jobs, store.stop())

    def test_written_here(self) -> None:
        """
        What this program has written is read again only where the index has lost something.
        """
        self.leave_file("7", NOW)
        self.tell([("7", 10)], _7="video/mp4")
        store = self.surveyed()
        self.ran(self.jobs, self.fetch(store, data_object("7", 100)))
        self.ran(self.jobs, store.save_for_argus())
        self.ran(self.jobs, store.stop())
        with capturedLogs() as logged:
            store = self.surveyed()
        self.assertFalse([event for event in logged if "uses" in event])
        self.ran(self.jobs, store.stop())
        self.database.unlink()
        with capturedLogs() as logged:
            store = self.surveyed()
        self.assertEqual([event["uses"] for event in logged if "uses" in event], [1])
        self.ran(self.jobs, store.stop())

    def test_damaged(self) -> None:
        """
        Of what a damaged file tells nothing is lost but that; no file goes, and no object.
        """
        self.leave("1")
        self.leave_file("7", NOW - 10)
        self.put_file(self.cache_json, b'{"lruCacheGroups":[[["7",{"sizeKB":1,"popularity":1,"lastAcc')
        store = self.surveyed()
        self.assertEqual((store.object_ids(), store.unverified), (["7", "1"], {"7": 100}))
        self.assertEqual(self.files(self.assets), {"1": 100, "7": 100})
        self.ran(self.jobs, store.stop())

    def test_left_off(self) -> None:
        """
        A node that is stopped does not read it to its end, and leaves it as it is.
        """
        self.leave_file("7", NOW)
        self.tell([("7", 10)])
        before = self.cache_json.read_bytes()
        store = self.held()
        self.jobs.run("read")
        self.jobs.run("read")
        allocating = self.later(store.allocate(data_object("9", store.capacity)))
        making_space = self.later(store.make_space(1))
        store.leave_off()
        self.jobs.run("read")
        self.assertEqual(self.jobs.names, [])
        # Nor does anything go for others, as nobody knows what should go first.
        self.failureResultOf(allocating, NoRoom)
        self.assertFalse(self.successResultOf(making_space))
        # What has not been read must not be written over.
        self.assertFalse(self.ran(self.jobs, store.save_for_argus()))
        self.assertEqual(self.cache_json.read_bytes(), before)
        self.ran(self.jobs, store.stop())
        self.assert_nothing_open()
