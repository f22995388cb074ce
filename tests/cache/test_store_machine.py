"""
Tests for L{distributor.cache.store}: any sequence of what is done to a store, against the disk itself.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from distributor.cache import Allocation, Store
from distributor.model import IReader, NoRoom
from tests.cache.stores import StoreCase, data_object, open_below, payload

CAPACITY = 100

ids = st.integers(1, 6).map(str)
fractions = st.sampled_from([0.0, 0.3, 0.7, 1.0])


def size_of(object_id: str) -> int:
    """
    Sizes of which some fit together, one is nothing, and one is all.
    """
    return {"1": 10, "2": 30, "3": 45, "4": 60, "5": 100, "6": 0}[object_id]


class StoreMachine(RuleBasedStateMachine):
    """
    Files are written from their beginning, without gaps, so that a file's size says what is in it: the books of the
    store can be compared with what the file system says. The model knows only what cannot be seen there.
    """

    case: StoreCase

    def __init__(self) -> None:
        super().__init__()
        self.base = Path(tempfile.mkdtemp(dir=self.case.base))
        self.allocations: dict[str, Allocation] = {}
        self.readers: list[tuple[str, IReader | _Held]] = []
        # What may be gone on from after a kill: the recorded prefix of each unfinished file.
        self.recorded: dict[str, int] = {}
        self.complete: set[str] = set()

    @initialize(planted=st.sets(ids, max_size=2))
    def begin(self, planted: set[str]) -> None:
        self.planted = {object_id for object_id in planted if size_of(object_id)}
        self.start(self.base)

    def start(self, base: Path) -> None:
        case = self.case
        self.base = base
        case.assets, case.partial = base / "assets", base / "assets" / ".partial"
        case.database = base / "state" / "index.sqlite3"
        for object_id in self.planted:
            case.put_file(case.assets / object_id, payload(object_id, size_of(object_id)))
        self.planted = set()
        self.store: Store = case.started(CAPACITY)
        # What another program has left may be more than the store may have; it must not get more.
        self.most = max(CAPACITY, self.store.used)

    # What is done.

    @rule(object_id=ids)
    def allocate(self, object_id: str) -> None:
        store, size = self.store, size_of(object_id)
        if object_id in self.allocations or store.get(object_id) is not None:
            return
        unverified = store.unverified.get(object_id)
        try:
            allocation = self.case.done(store.allocate(data_object(object_id, size)))
        except self.case.failureException:
            error = self.case.failed(store.allocate(data_object(object_id, size)), NoRoom)
            assert size > self.room(), error
            return
        expected = size if unverified == size else self.recorded.get(object_id, 0)
        assert allocation.extents == (((0, expected),) if expected else ()), allocation.extents
        self.allocations[object_id] = allocation
        # An adopted file is recorded before it is touched.
        self.recorded[object_id] = expected
        # What is in the file behind its extents does not count, and is cut off here to compare sizes.
        os.ftruncate(allocation.fd, expected)

    @precondition(lambda self: self.allocations)
    @rule(data=st.data(), fraction=fractions, record=st.booleans())
    def write(self, data: st.DataObject, fraction: float, record: bool) -> None:
        object_id, allocation = self.any_allocation(data)
        present = os.fstat(allocation.fd).st_size
        stop = max(present, int(allocation.object.size * fraction))
        self.case.write(allocation, 0, stop)
        allocation.grew(stop)
        if record:
            self.case.done(allocation.record(((0, stop),) if stop else ()))
            self.recorded[object_id] = stop

    @precondition(lambda self: self.allocations)
    @rule(data=st.data(), end=st.sampled_from(["commit", "commit", "suspend", "discard"]), read=st.booleans())
    def end(self, data: st.DataObject, end: str, read: bool) -> None:
        object_id, allocation = self.any_allocation(data)
        size = allocation.object.size
        if read:
            allocation.file.acquire()
        if end == "commit":
            self.case.write(allocation, 0, size)
            allocation.grew(size)
            self.case.done(allocation.commit(None))
            self.complete.add(object_id)
            self.recorded.pop(object_id, None)
        elif end == "suspend":
            present = os.fstat(allocation.fd).st_size
            self.case.done(allocation.suspend(((0, present),) if present else ()))
            self.recorded[object_id] = present
        else:
            self.case.done(allocation.discard())
            self.recorded.pop(object_id, None)
        del self.allocations[object_id]
        if read:
            self.readers.append((object_id, _Held(allocation)))

    def any_allocation(self, data: st.DataObject) -> tuple[str, Allocation]:
        object_id = data.draw(st.sampled_from(sorted(self.allocations)))
        return object_id, self.allocations[object_id]

    @rule(object_id=ids)
    def read(self, object_id: str) -> None:
        if self.store.get(object_id) is not None:
            self.store.touch(object_id)
            self.readers.append((object_id, self.case.done(self.store.open(object_id))))

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        position = data.draw(st.integers(0, len(self.readers) - 1))
        self.readers.pop(position)[1].close()

    @rule(object_id=ids)
    def remove(self, object_id: str) -> None:
        there = (self.assets / object_id).exists() or (self.partial / object_id).exists()
        removed = self.case.done(self.store.remove(object_id))
        assert removed == (there and object_id not in self.allocations)

    @rule(object_id=ids)
    def confirm(self, object_id: str) -> None:
        """
        A file that was left here has been found right, where it is.
        """
        size = size_of(object_id)
        expected = self.store.unverified.get(object_id) == size
        assert self.case.done(self.store.confirm(data_object(object_id, size), None)) == expected
        if expected:
            self.complete.add(object_id)

    @rule(object_ids=st.sets(ids), limit=st.integers(0, 3))
    def clean_up(self, object_ids: set[str], limit: int) -> None:
        """
        Objects turn out to be other nodes' to distribute, some of which go now.
        """
        unverified, read = dict(self.store.unverified), self.read_now()
        self.store.disown(object_ids)
        before = set(self.store.object_ids())
        assert self.case.done(self.store.clean_up(limit)) <= limit
        gone = before - set(self.store.object_ids())
        assert len(gone) <= limit and not gone & (unverified.keys() | read), gone
        self.store.own(object_ids)

    @rule()
    def flush(self) -> None:
        self.case.done(self.store.flush())

    @rule(planted=st.sets(ids, max_size=2))
    def stop(self, planted: set[str]) -> None:
        """
        An orderly end: downloads are suspended, readers leave; meanwhile the operator brings files.
        """
        for object_id, allocation in self.allocations.items():
            present = os.fstat(allocation.fd).st_size
            self.case.done(allocation.suspend(((0, present),) if present else ()))
            self.recorded[object_id] = present
        self.allocations.clear()
        self.close_all()
        self.case.done(self.store.stop())
        used = self.store.used
        known = {path.name for directory in (self.assets, self.partial) for path in directory.iterdir()}
        free = CAPACITY - used
        for object_id in sorted(planted - known):
            if 0 < size_of(object_id) <= free:
                free -= size_of(object_id)
                self.planted.add(object_id)
        planted_bytes = sum(map(size_of, self.planted))
        self.start(self.base)
        if used <= CAPACITY:
            assert self.store.used == used + planted_bytes

    @rule()
    def kill(self) -> None:
        """
        What is on the disk now is all that the next process gets.
        """
        base = self.base.with_name(self.base.name + "x")
        shutil.copytree(self.base, base)
        for object_id in self.allocations:
            if not self.recorded.get(object_id):
                self.recorded.pop(object_id, None)
        self.allocations.clear()
        self.readers.clear()
        for fd in open_below(self.base):
            os.close(fd)
        shutil.rmtree(self.base)
        self.start(base)

    # What always holds.

    @property
    def assets(self) -> Path:
        return self.base / "assets"

    @property
    def partial(self) -> Path:
        return self.assets / ".partial"

    def held(self) -> int:
        """
        Bytes of files without a name that this process keeps open.
        """
        inodes = {}
        for fd in open_below(self.base):
            status = os.fstat(fd)
            if status.st_nlink == 0:
                inodes[status.st_ino] = status.st_size
        return sum(inodes.values())

    def read_now(self) -> set[str]:
        """
        Whose file has a reader: where one was removed while it was read, the next of that name is another file.
        """
        inodes = {os.fstat(reader.fd).st_ino for _, reader in self.readers}
        files = (path for directory in (self.assets, self.partial) for path in directory.iterdir())
        return {path.name for path in files if path.stat().st_ino in inodes}

    def room(self) -> int:
        """
        What could be given away if all that nobody reads, or fills, were evicted.
        """
        read = self.read_now() - self.allocations.keys()
        named = {object_id for object_id in read if (self.assets / object_id).exists()}
        unfinished = {object_id for object_id in read - named if (self.partial / object_id).exists()}
        taken = sum(size_of(object_id) for object_id in self.allocations)
        taken += sum(size_of(object_id) for object_id in named)
        taken += sum(self.recorded.get(object_id, 0) for object_id in unfinished)
        return CAPACITY - taken - self.held()

    @invariant()
    def accounts_agree_with_the_disk(self) -> None:
        case, store = self.case, self.store
        complete, partial = case.files(self.assets), case.files(self.partial)
        on_disk = sum(complete.values()) + self.held()
        reserved = 0
        for object_id, size in partial.items():
            if object_id in self.allocations:
                on_disk += size
                reserved += size_of(object_id) - size
            else:
                on_disk += self.recorded[object_id]
        assert set(self.allocations) <= set(partial), "something that is being filled was evicted"
        assert (store.used, store.reserved) == (on_disk, reserved), (store.used, on_disk, store.reserved, reserved)
        assert store.used + store.reserved <= self.most
        self.most = max(CAPACITY, store.used + store.reserved)
        # What has been evicted meanwhile.
        self.recorded = {
            object_id: present
            for object_id, present in self.recorded.items()
            if object_id in partial or object_id in self.allocations
        }

    @invariant()
    def serves_what_was_verified(self) -> None:
        complete = self.case.files(self.assets)
        served = {object_id for object_id in complete if self.store.get(object_id) is not None}
        assert served | set(self.store.unverified) == set(complete)
        assert served <= self.complete
        assert self.store.object_count == len(served)

    @invariant()
    def readers_read_on(self) -> None:
        for object_id, reader in self.readers:
            available = reader.available(0)
            assert os.pread(reader.fd, available, 0) == payload(object_id, size_of(object_id))[:available]

    def close_all(self) -> None:
        while self.readers:
            self.readers.pop()[1].close()

    def teardown(self) -> None:
        self.close_all()
        for allocation in self.allocations.values():
            self.case.done(allocation.discard())
        self.case.done(self.store.stop())
        assert open_below(self.base) == {}
        shutil.rmtree(self.base)


class _Held:
    """
    A reader that was there before its object was complete, or discarded.
    """

    def __init__(self, allocation: Allocation) -> None:
        self._file = allocation.file
        self.fd = allocation.fd
        self._present = os.fstat(self.fd).st_size

    def available(self, offset: int) -> int:
        return self._present - offset

    def close(self) -> None:
        self._file.release()


class MachineTests(StoreCase):
    """
    The machine, run.
    """

    def test_accounts_never_drift(self) -> None:
        """
        Whatever is done, in whatever order, the books agree with the disk, the capacity is kept, what is filled or read
        is not disturbed, and only what was verified is served.
        """
        self.base.mkdir(parents=True)
        machine = type("Machine", (StoreMachine,), {"case": self})
        run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=40, deadline=None))
