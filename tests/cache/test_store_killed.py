"""
Tests for L{distributor.cache.store} on what a node leaves that is killed: by hand for each of the moments that matter,
and then for every moment of a whole life.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred

from distributor.cache import Index, Row, Store
from distributor.model import DataObject, P, T
from tests.cache.stores import IN_THREAD, NOW, StoreCase, data_object, open_below, payload


class LeftoverTests(StoreCase):
    """
    States of the disk, each built by hand.
    """

    def put_row(self, object: DataObject, state: Any, extents: tuple[tuple[int, int], ...] = ()) -> None:
        async def put() -> None:
            index = Index(self.database, IN_THREAD)
            await index.open()
            await index.put(
                Row(object.id, object.size, str(object.content_hash), object.type, state, extents, NOW, NOW)
            )
            await index.close()

        self.done(put())

    def assert_left(self, complete: dict[str, int], partial: dict[str, int], unverified: dict[str, int]) -> Store:
        """
        Start, and compare what is on disk, what is counted, and what is served.
        """
        store = self.started()
        self.assertEqual((self.files(self.assets), self.files(self.partial)), (complete, partial))
        self.assertEqual(store.unverified, unverified)
        self.assertEqual(store.used, sum(complete.values()) + sum(partial.values()))
        self.assertEqual(store.object_count, len(complete) - len(unverified))
        for object_id, size in complete.items():
            if object_id not in unverified:
                self.assertEqual(self.read(store, object_id), payload(object_id, size))
        self.addCleanup(lambda: self.done(store.stop()))
        return store

    def test_allocated(self) -> None:
        """
        A file that has been made and not been recorded is deleted.
        """
        self.put_file(self.partial / "7", payload("7", 60)[:20])
        self.assert_left({}, {}, {})
        self.assertEqual(self.rows(), [])

    def test_recorded(self) -> None:
        """
        A file that has been recorded is gone on with, from what was recorded.
        """
        self.put_file(self.partial / "7", payload("7", 60)[:20])
        self.put_row(data_object("7", 60), "partial", ((0, 20),))
        store = self.assert_left({}, {"7": 20}, {})
        allocation = self.done(store.allocate(data_object("7", 60)))
        self.assertEqual(allocation.extents, ((0, 20),))
        self.done(allocation.discard())

    def test_written_behind_the_record(self) -> None:
        """
        What was written and not recorded goes, and will be written again.
        """
        self.put_file(self.partial / "7", payload("7", 60)[:50])
        self.put_row(data_object("7", 60), "partial", ((0, 20),))
        store = self.assert_left({}, {"7": 20}, {})
        self.done(self.fetch(store, data_object("7", 60)))
        self.assertEqual(self.read(store, "7"), payload("7", 60))

    def test_committed_but_for_the_row(self) -> None:
        """
        A file that has its name and no row, or still the row of its download, is verified again.
        """
        for row in (False, True):
            self.put_file(self.assets / "7", payload("7", 60))
            if row:
                self.put_row(data_object("7", 60), "partial", ((0, 20),))
            store = self.assert_left({"7": 60}, {}, {"7": 60})
            self.done(self.fetch(store, data_object("7", 60)))
            self.assertEqual(self.read(store, "7"), payload("7", 60))
            self.done(store.remove("7"))
            self.done(store.stop())

    def test_row_without_its_name(self) -> None:
        """
        A power failure may take a name back, and not the row: the row goes, and so does the file.
        """
        self.put_file(self.partial / "7", payload("7", 60))
        self.put_row(data_object("7", 60), "complete")
        store = self.assert_left({}, {}, {})
        self.done(store.stop())
        self.assertEqual(self.rows(), [])

    def test_evicted_but_for_the_row(self) -> None:
        """
        The row of a file that has been deleted goes.
        """
        self.put_row(data_object("7", 60), "complete")
        store = self.assert_left({}, {}, {})
        self.done(store.stop())
        self.assertEqual(self.rows(), [])

    def test_discarded_but_for_the_row(self) -> None:
        """
        So does that of an unfinished one.
        """
        self.put_row(data_object("7", 60), "partial", ((0, 20),))
        store = self.assert_left({}, {}, {})
        self.done(store.stop())
        self.assertEqual(self.rows(), [])

    def test_adopted_but_for_the_name(self) -> None:
        """
        A file whose row says that it is being verified, and that has not been moved, is still to be verified.
        """
        self.put_file(self.assets / "7", payload("7", 60))
        self.put_row(data_object("7", 60), "partial", ((0, 60),))
        self.assert_left({"7": 60}, {}, {"7": 60})

    def test_adopted(self) -> None:
        """
        One that has been moved is gone on with.
        """
        self.put_file(self.partial / "7", payload("7", 60))
        self.put_row(data_object("7", 60), "partial", ((0, 60),))
        store = self.assert_left({}, {"7": 60}, {})
        self.done(self.fetch(store, data_object("7", 60)))
        self.assertEqual(self.read(store, "7"), payload("7", 60))

    def test_cut_short(self) -> None:
        """
        A file that lost its end is not served.
        """
        self.put_file(self.assets / "7", payload("7", 60)[:59])
        self.put_row(data_object("7", 60), "complete")
        store = self.assert_left({"7": 59}, {}, {"7": 59})
        self.done(self.fetch(store, data_object("7", 60)))
        self.assertEqual(self.read(store, "7"), payload("7", 60))

    def test_no_index(self) -> None:
        """
        An index that is gone costs the verification of all, and the downloads.
        """
        self.put_file(self.assets / "7", payload("7", 60))
        self.put_file(self.partial / "8", payload("8", 60))
        self.assert_left({"7": 60}, {}, {"7": 60})


#: The system calls that change what is on the disk.
CALLS = ("open", "rename", "unlink", "truncate", "fdatasync")


class Killed(BaseException):
    """What happens to a process, as far as its own code can see it."""


class Life:
    """
    So many system calls and transactions, and then none.
    """

    def __init__(self, steps: int) -> None:
        self.left = steps

    def step(self) -> None:
        if self.left == 0:
            raise Killed
        self.left -= 1

    def wrapped(self, real: Callable[P, T]) -> Callable[P, T]:
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            self.step()
            return real(*args, **kwargs)

        return call

    def in_thread(self, f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        return maybeDeferred(self.wrapped(f), *args, **kwargs)


class EveryMomentTests(StoreCase):
    """
    One life with everything in it, cut short at each of its steps.
    """

    objects = tuple(data_object(object_id, size) for object_id, size in (("1", 60), ("2", 50), ("3", 70), ("90", 40)))
    #: An operator's file that does not have the hash of its object.
    wrong = data_object("91", 40)
    #: One that has, and is verified where it is.
    kept = data_object("92", 10)
    capacity = 210

    def setUp(self) -> None:
        super().setUp()
        # The garbage collector would close a database in an orderly way, at any moment.
        self.killed: list[Store] = []

    async def live(self, store: Store) -> None:
        """
        Everything that a store does.
        """
        one, two, three, right = self.objects
        await store.start()
        allocation = await store.allocate(one)
        self.write(allocation, 0, 30)
        allocation.grew(30)
        await allocation.record([(0, 30)])
        # Something behind what is recorded, for a while.
        self.write(allocation, 30, 60)
        allocation.grew(60)
        await allocation.record([(0, 30)])
        await allocation.commit("video/mp4")
        allocation = await store.allocate(two)
        self.write(allocation, 20, 50)
        allocation.grew(30)
        await allocation.suspend([(20, 50)])
        reader = await store.open("1")
        store.touch("1")
        await store.flush()
        reader.close()
        await self.fetch(store, two)
        await store.confirm(self.kept, None)
        await self.fetch(store, right)
        await self.fetch(store, self.wrong)
        await self.fetch(store, three)
        await store.remove("2")
        allocation = await store.allocate(two)
        self.write(allocation, 0, 10)
        await allocation.record([(0, 10)])
        await allocation.discard()
        allocation = await store.allocate(two)
        self.write(allocation, 0, 10)
        await allocation.suspend([(0, 10)])
        await store.stop()

    def run_life(self, base: Path, steps: int, live: Callable[[Store], Any]) -> bool:
        """
        Live in C{base} for C{steps} steps, and leave everything as it is then.

        @return: whether that was the natural end.
        """
        life = Life(steps)
        patches = [self.patch(os, name, life.wrapped(getattr(os, name))) for name in CALLS]
        index = Index(base / "state" / "index.sqlite3", life.in_thread)
        store = Store(base / "assets", index, self.capacity, IN_THREAD, self.clock.seconds)
        self.killed.append(store)
        ended = Deferred.fromCoroutine(live(store))
        for patch in patches:
            patch.restore()
        results: list[object] = []
        ended.addBoth(results.append)
        killed = bool(getattr(results[0], "check", lambda _: None)(Killed))
        if not killed:
            self.assertIsNone(results[0])
        self.flushLoggedErrors(Killed)
        return not killed

    def copied(self, base: Path) -> Path:
        """
        What a power switch would leave: the database as it is, and no process that has it open.
        """
        copy = base.with_name(base.name + "x")
        shutil.copytree(base, copy)
        for fd in open_below(base):
            os.close(fd)
        return copy

    def assert_sound(self, base: Path) -> None:
        """
        A store that is started on C{base} serves right bytes alone, counts what is there, and can be worked with.
        """
        self.assets, self.partial = base / "assets", base / "assets" / ".partial"
        self.database = base / "state" / "index.sqlite3"
        store = self.started(self.capacity)
        complete = self.files(self.assets)
        for object_id, size in complete.items():
            entry = store.get(object_id)
            self.assertEqual(entry is None, object_id in store.unverified)
            if entry is not None:
                self.assertEqual(self.read(store, object_id), payload(object_id, size))
        self.assertEqual(store.object_count + len(store.unverified), len(complete))
        recorded = {row.id: row.extents for row in self.read_rows(base) if row.state == "partial"}
        self.assertEqual(self.files(self.partial).keys(), recorded.keys())
        present = sum(stop - start for runs in recorded.values() for start, stop in runs)
        self.assertEqual((store.used, store.reserved), (sum(complete.values()) + present, 0))
        for each in (*self.objects, self.wrong, self.kept):
            if store.get(each.id) is None:
                self.done(self.fetch(store, each))
            self.assertEqual(self.read(store, each.id), payload(each.id, each.size))
            self.done(store.remove(each.id))
        self.assertEqual((store.used, self.files(self.assets), self.files(self.partial)), (0, {}, {}))
        self.done(store.stop())
        self.assertEqual(self.rows(), [])

    def read_rows(self, base: Path) -> list[Row]:
        """
        What the index says while a store has it open.
        """
        copy = Path(self.mktemp())
        shutil.copytree(base / "state", copy)
        self.database = copy / "index.sqlite3"
        rows = self.rows()
        self.database = base / "state" / "index.sqlite3"
        return rows

    def test_every_moment(self) -> None:
        """
        Whenever a node is killed, and even when it is killed again while it starts, what it leaves is sound.
        """
        steps = 0
        ended = False
        while not ended:
            base = self.base / str(steps)
            self.put_file(base / "assets" / "90", payload("90", 40))
            self.put_file(base / "assets" / "91", b"wrong" * 8)
            self.put_file(base / "assets" / "92", payload("92", 10))
            ended = self.run_life(base, steps, self.live)
            second = self.copied(base)
            self.run_life(second, steps % 7, lambda store: store.start())
            self.assert_sound(self.copied(second))
            self.killed.clear()
            shutil.rmtree(self.base)
            steps += 1
        self.assertGreater(steps, 60, "the life was shorter than it should be")
